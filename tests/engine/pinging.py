"""Small drives on drawn streets for the tests of the tracker, and what is left of what it said."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Any

from streams import messages
from streams.engine.track import Track
from streams.gtfs.calendar import day_start, zone_of
from streams.gtfs.network import Network
from streams.messages import PING, Columns
from streams.settings import Settings
from tests.drawing import Drawing, draw

Ping = dict[str, Any]
ONE = replace(Settings(), kafka=replace(Settings().kafka, partitions=1))
SPECS = {
    "positions": messages.POSITION,
    "passings": messages.PASSING,
    "traversals": messages.TRAVERSAL,
    "closed": messages.CLOSED,
    "rejects": messages.REJECT,
}
SILENCE_S = 600.0


@lru_cache
def town() -> tuple[Network, Drawing]:
    """Two routes that share a street and part at C, each out and back."""
    return draw(
        """
                       E
                       |
        A-----B--------C--------D
                                |
                                F
        """,
        routes={"R": "ABCD", "R-back": "DCBA", "S": "ABCE", "S-back": "ECBA", "T": "FDCBA", "T-back": "ABCDF"},
        metres_per_char=50,
        headway_s=600,
    )


@lru_cache
def fork() -> tuple[Network, Drawing]:
    """Two routes that share a long street with three stops and part at C."""
    return draw(
        """
                                     E
                                     |
                                     |
                                     |
                                     |
        A-----B------X-----Y---------C--------D
        """,
        routes={"R": "ABXYCD", "S": "ABXYCE"},
        metres_per_char=50,
        headway_s=600,
    )


@lru_cache
def tracker(network: Network) -> Track:
    """The track stage of this network, for one partition."""
    return Track(network, ONE)


def seven(network: Network) -> float:
    """07:00 of a day with service, POSIX seconds."""
    return day_start(date(2026, 3, 10), zone_of(network.timezone)) + 7 * 3600.0


def columns(pings: Iterable[Ping]) -> Columns:
    """Pings as columns."""
    rows = list(pings)
    return {name: messages.column(kind, [r.get(name) for r in rows]) for name, kind in PING.items()}


def ride(
    drawing: Drawing,
    key: str,
    start: float,
    *,
    vehicle_id: str = "bus",
    from_m: float = 0.0,
    to_m: float | None = None,
    speed_mps: float = 8.0,
    every_s: float = 5.0,
    stops: Sequence[tuple[float, float]] = (),
    **fields: Any,
) -> list[Ping]:
    """A bus along a pattern: at each of `stops` (metres, seconds) it stands. Its last ping is at `to_m`."""
    length = float(drawing.network.pattern_length_m[drawing.pattern_ix(key)])
    to_m = length if to_m is None else to_m
    waits = sorted(stops)
    pings, t, d, standing = [], start, from_m, 0.0
    while True:
        lat, lon = drawing.along(key, d)
        pings.append({"vehicle_id": vehicle_id, "timestamp": t, "lat": lat, "lon": lon, **fields})
        if d >= to_m and standing <= 0:
            return pings
        left = every_s
        while left > 1e-9:
            if standing > 0:
                step = min(left, standing)
                standing -= step
                left -= step
                continue
            goal = min([to_m, *(m for m, _ in waits if m >= d)])
            step = min(left, (goal - d) / speed_mps)
            d += step * speed_mps
            left -= step
            if waits and d >= waits[0][0] - 1e-6:
                standing = waits.pop(0)[1]
            elif d >= to_m - 1e-6:
                break
        t += every_s


def stand(place: tuple[float, float], start: float, seconds: float, every_s: float = 5.0, **fields: Any) -> list[Ping]:
    """A bus that stays where it is."""
    fields = {"vehicle_id": "bus", **fields}
    n = int(seconds // every_s)
    return [{"timestamp": start + k * every_s, "lat": place[0], "lon": place[1], **fields} for k in range(n)]


def run(network: Network, pings: Sequence[Ping], silence: bool = True) -> dict[str, Columns]:
    """Everything said, ping by ping in this order; each arrives a second after it was made, or as `arrived` says."""
    track = tracker(network)
    state = track.fresh(0)
    said: dict[str, list[Columns]] = {name: [] for name in SPECS}
    now = 0.0

    def add(facts: dict[str, Columns], rejects: Columns) -> None:
        for name, part in {**facts, "rejects": rejects}.items():
            said[name].append(part)

    for offset, ping in enumerate(pings):
        now = max(now, ping.get("arrived", ping["timestamp"] + 1.0))
        add(*track.advance(state, columns([ping]), now, offset))
    if silence:
        for seconds in range(0, int(SILENCE_S), 60):
            add(*track.advance(state, columns([]), now + seconds))
    return {name: messages.concat(SPECS[name], parts) for name, parts in said.items()}


def rows(columns: Columns) -> list[dict[str, Any]]:
    """Rows as dicts; unknown is None."""
    out = []
    for values in zip(*(v.tolist() for v in columns.values()), strict=True):
        out.append({k: None if v != v else v for k, v in zip(columns, values, strict=True)})
    return out


def last_words(said: dict[str, Columns]) -> dict[str, dict[Any, dict[str, Any]]]:
    """What is left when repeats overwrite by identity and withdrawn rows go; without the count of revisions."""
    identity = {
        "positions": ("vehicle_id", "timestamp"),
        "passings": ("trip_id_performed", "gate_seq"),
        "traversals": ("vehicle_id", "cell_ix", "entered_at"),
    }
    out: dict[str, dict[Any, dict[str, Any]]] = {}
    for name, key in identity.items():
        found: dict[Any, dict[str, Any]] = {}
        seen: dict[Any, int] = {}
        for row in rows(said[name]):
            k = tuple(round(row[c]) if c == "entered_at" else row[c] for c in key)
            if k in seen:
                assert row["revision"] > seen[k], (name, k, "a repeat must carry a higher revision")
            seen[k] = row["revision"]
            found[k] = row
        out[name] = {
            k: {c: v for c, v in row.items() if c not in ("revision", "withdrawn")}
            for k, row in sorted(found.items())
            if not row["withdrawn"]
        }
    return out


def stops_of(network: Network, said: dict[str, Columns]) -> list[tuple[str, str, float | None, float | None]]:
    """Visits that are left: run, stop, arrival, departure, in order."""
    out = []
    for (trip, gate), row in last_words(said)["passings"].items():
        p = network.pattern_ix[row["pattern_id"]]
        position = network.pgate_stop_pos[network.pgate_start[p] + gate]
        if position >= 0 and row["schedule_relationship"] == "Scheduled":
            stop = network.stop_ids[network.pstop_stop_ix[network.pstop_start[p] + position]]
            out.append((trip, stop, row["arrival_time"], row["departure_time"]))
    return out
