"""Stops that a route leaves out while its buses drive round them."""

from collections.abc import Mapping

from api.snapshot import RouteDirection, Snapshot

_NONE: frozenset[str] = frozenset()


def left_out(now: Snapshot, route_id: str | None, direction_id: int | None) -> frozenset[str]:
    """The stops that detours of this route and direction pass by, as the alerts of the moment say."""
    found: Mapping[RouteDirection, frozenset[str]] | None = now.memo.get("left_out")
    if found is None:
        stops: dict[RouteDirection, frozenset[str]] = {}
        for entity in now.alerts.values():
            d = entity.data
            if d["kind"] == "detour":
                line = d["route_id"], d["direction_id"]
                stops[line] = stops.get(line, _NONE) | frozenset(d["stop_ids"] or ())
        found = now.memo["left_out"] = stops
    return found.get((route_id, direction_id), _NONE)
