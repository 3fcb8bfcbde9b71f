"""Routes of the feed, and how regularly their buses come."""

from typing import Annotated, Any

from fastapi import Query

from api import schema
from api.answers import Answer, answer
from api.network import NetworkView
from api.routes.common import Whole, documented, missing, network_of, router

routes = router()
Direction = Annotated[int | None, Query(ge=0, le=1, description="only of this direction")]


@routes.get("/routes", responses=documented(schema.RouteList), tags=["routes"])
async def all_routes(now: Whole) -> Answer:
    """Every route of the feed."""
    return answer({"at": now.at, "data": [_route(r) for r in network_of(now).routes.values()]}, lasting=True)


@routes.get("/routes/{route_id:path}/headways", responses=documented(schema.HeadwayList, missing=True), tags=["routes"])
async def headways(now: Whole, route_id: str, direction_id: Direction = None) -> Answer:
    """How far apart the route's buses are, in the order in which they drive, and at each stop the last one that passed.

    `headway_s` is the time since the vehicle ahead of the same route and direction passed the same place.
    """
    _known(network_of(now), route_id)

    def wanted(row: Any) -> bool:
        return row["route_id"] == route_id and direction_id in (None, row["direction_id"])

    # A bus that has gone on to another route is no longer a part of this one.
    buses = [
        row
        for vehicle_id, row in now.headways.items()
        if wanted(row) and vehicle_id in now.vehicles and now.vehicles[vehicle_id].route_id == route_id
    ]
    buses.sort(key=lambda r: (r["direction_id"] or 0, -(r["dist_m"] or 0.0), r["vehicle_id"]))
    stops = [row for row in now.stop_headways.values() if wanted(row)]
    stops.sort(key=lambda r: (r["direction_id"] or 0, r["dist_m"] or 0.0, r["stop_id"]))

    def aged(row: Any) -> dict[str, Any]:
        return {**row, "age_s": round(now.at - row["event_timestamp"], 1)}

    return answer({"at": now.at, "data": [aged(r) for r in buses], "stops": [aged(r) for r in stops]})


@routes.get(
    "/routes/{route_id:path}/indicators", responses=documented(schema.IndicatorList, missing=True), tags=["routes"]
)
async def indicators(now: Whole, route_id: str) -> Answer:
    """How regular the route is, per direction: mean headway, its variation, excess wait, bunching, gaps, compliance.

    `data` is the last hour until now; `hours` the last 24 hours of the clock that have closed, oldest first. This
    process knows them from `hours_from` on, the beginning of the oldest hour that it has heard of for any route; null:
    of none yet.
    """
    _known(network_of(now), route_id)

    def aged(row: Any) -> dict[str, Any]:
        return {**row, "age_s": round(now.at - row["made_at"], 1)}

    rolling = sorted(
        (row for (route, _), row in now.indicators.items() if route == route_id), key=lambda r: r["direction_id"] or 0
    )
    hours = [row for (route, _), kept in now.indicator_hours.items() if route == route_id for row in kept.values()]
    hours.sort(key=lambda r: (r["window_start"], r["direction_id"] or 0))
    known = [begin for kept in now.indicator_hours.values() for begin in kept]
    return answer(
        {
            "at": now.at,
            "data": [aged(r) for r in rolling],
            "hours": [aged(r) for r in hours],
            "hours_from": min(known, default=None),
        }
    )


@routes.get("/groups", responses=documented(schema.GroupList), tags=["routes"])
async def groups(now: Whole) -> Answer:
    """Routes that share a corridor and are one line of buses to those who wait there, as far as buses run now."""
    found: dict[str, list[Any]] = {}
    for (group, _), row in sorted(now.group_headways.items()):
        found.setdefault(group, []).append(row)
    data = [
        {"route_group_id": group, "route_ids": sorted({row["route_id"] for row in rows}), "n_vehicles": len(rows)}
        for group, rows in found.items()
    ]
    return answer({"at": now.at, "data": data})


@routes.get(
    "/groups/{route_group_id:path}/headways",
    responses=documented(schema.GroupHeadwayList, missing=True),
    tags=["routes"],
)
async def group_headways(now: Whole, route_group_id: str) -> Answer:
    """How far apart the buses of a group are, whatever their route, the newest passing first."""
    rows = [row for (group, _), row in now.group_headways.items() if group == route_group_id]
    if not rows:
        raise missing("route group", route_group_id)
    rows.sort(key=lambda r: (-r["event_timestamp"], r["vehicle_id"]))
    data = [{**row, "age_s": round(now.at - row["event_timestamp"], 1)} for row in rows]
    return answer({"at": now.at, "data": data})


# Last: its path takes in the two above, as an id of a feed may hold a slash.
@routes.get("/routes/{route_id:path}", responses=documented(schema.RouteAnswer, missing=True), tags=["routes"])
async def route(now: Whole, route_id: str) -> Answer:
    """One route: its patterns with their stops, and its shape as GeoJSON."""
    network = network_of(now)
    known = _known(network, route_id)
    pattern_ids = network.patterns_of.get(route_id, [])
    names = tuple(schema.Pattern.model_fields)
    data = _route(known) | {
        "patterns": [{name: network.patterns[p][name] for name in names} for p in pattern_ids],
        "shape": {"type": "FeatureCollection", "features": network.shape_geojson(pattern_ids)},
    }
    return answer({"at": now.at, "data": data}, lasting=True)


def _known(network: NetworkView, route_id: str) -> dict[str, Any]:
    if route_id not in network.routes:
        raise missing("route", route_id)
    return network.routes[route_id]


def _route(route: dict[str, Any]) -> dict[str, Any]:
    return {name: route[name] for name in schema.Route.model_fields}
