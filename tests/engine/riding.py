"""Buses that keep to a written plan, and the `positions` records a perfect tracker would make of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fixtures.feed import write_feed
from streams import messages
from streams.gtfs import compile as compiler
from streams.gtfs.network import Network

MIDNIGHT = 1_700_438_400.0  # 2023-11-20 00:00 UTC, a Monday
LATENESS_S = 30.0


def street(
    folder: Path, stops: int = 6, hop_m: float = 600.0, hop_s: float = 120.0, frequency: bool = True,
    departures: tuple[str, ...] = ("08:00:00",), timezone: str = "UTC", block: str | None = None,
    paces: tuple[float, ...] = (),
) -> Network:  # fmt: skip
    """A straight street eastwards, evenly spaced stops S0, S1, ...; route R, trips T0, T1, ... from `departures`.

    `paces` are of the trips: how much longer than `hop_s` each takes for a hop.
    """
    metre = 1.0 / (6_371_008.8 * np.pi / 180.0)
    lons = [106.8 + i * hop_m * metre / np.cos(np.radians(-6.2)) for i in range(stops)]
    trips, times = [], []
    for n, departure in enumerate(departures):
        h, m, s = (int(v) for v in departure.split(":"))
        trips.append(
            {
                "route_id": "R",
                "service_id": "D",
                "trip_id": f"T{n}",
                "shape_id": "P",
                "direction_id": 0,
                "block_id": block,
            }
        )
        for i in range(stops):
            t = round(h * 3600 + m * 60 + s + i * hop_s * (paces[n] if paces else 1.0))
            text = f"{t // 3600:02}:{t // 60 % 60:02}:{t % 60:02}"
            times.append(
                {
                    "trip_id": f"T{n}",
                    "arrival_time": text,
                    "departure_time": text,
                    "stop_id": f"S{i}",
                    "stop_sequence": i,
                }
            )
    tables: dict[str, Any] = {
        "agency": [{"agency_name": "A", "agency_url": "http://a.example", "agency_timezone": timezone}],
        "routes": [{"route_id": "R", "route_short_name": "R", "route_type": 3}],
        "stops": [
            {"stop_id": f"S{i}", "stop_name": f"S{i}", "stop_lat": -6.2, "stop_lon": lon} for i, lon in enumerate(lons)
        ],
        "trips": trips,
        "stop_times": times,
        "shapes": [
            {"shape_id": "P", "shape_pt_lat": -6.2, "shape_pt_lon": lon, "shape_pt_sequence": i}
            for i, lon in enumerate(lons)
        ],
        "calendar": [
            {"service_id": "D", "start_date": "20230101", "end_date": "20271231"}
            | dict.fromkeys(
                ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), 1
            )
        ],
    }  # fmt: skip
    if frequency:
        tables["frequencies"] = [
            {"trip_id": "T0", "start_time": "00:00:00", "end_time": "24:00:00", "headway_secs": 600, "exact_times": 0}
        ]
    path = write_feed(folder / "feed.zip", tables)
    with compiler.Feed(path) as feed:
        return compiler.compile_feed(feed)


@dataclass
class Ride:
    """One run: where the bus is (`time` against `dist_m`, both rising), and what the tracker says of it."""

    vehicle_id: str
    time: np.ndarray
    dist_m: np.ndarray
    run: int = 1
    pattern: int = 0
    trip: str | None = None
    day: str = "2023-11-20"
    layover_until: float = -np.inf  # pings before are Layover
    off_route: tuple[float, float] = (np.inf, -np.inf)  # from, to
    quiet: tuple[float, float] = (np.inf, -np.inf)  # no pings from, to

    @property
    def run_id(self) -> str:
        return f"{self.day}:{self.vehicle_id}:{self.run}"


def ride(
    network: Network, vehicle_id: str, start: float, link_s: Any, dwell_s: float = 10.0, pattern: int = 0, **more: Any
) -> Ride:
    """A run that leaves its first stop at `start`; `link_s[i]` from arrival to arrival, `dwell_s` of it standing."""
    first, end = network.pstop_start[pattern], network.pstop_start[pattern + 1]
    dist = network.pstop_dist_m[first:end]
    link_s = np.broadcast_to(np.asarray(link_s, dtype=float), len(dist) - 1)
    time, place = [start - 20.0, start], [dist[0], dist[0]]
    arrival = start
    for i, seconds in enumerate(link_s):
        leaves = arrival if i == 0 else arrival + min(dwell_s, 0.5 * seconds)
        if leaves > time[-1]:
            time.append(leaves)
            place.append(dist[i])
        arrival += seconds
        time.append(arrival)
        place.append(dist[i + 1])
    time.append(arrival + 70.0)
    place.append(dist[-1])
    return Ride(vehicle_id, np.array(time), np.array(place), pattern=pattern, **more)


def waits(ride: Ride, at_m: float, for_s: float) -> Ride:
    """The same run, but standing for a while at a place between stops."""
    when = float(np.interp(at_m, ride.dist_m, ride.time))
    k = int(np.searchsorted(ride.time, when))
    time = np.concatenate([ride.time[:k], [when, when + for_s], ride.time[k:] + for_s])
    dist = np.concatenate([ride.dist_m[:k], [at_m, at_m], ride.dist_m[k:]])
    return Ride(ride.vehicle_id, time, dist, ride.run, ride.pattern, ride.trip, ride.day)


@dataclass
class Known:
    """Facts of a ride in the order of the time at which they can be known."""

    at: list[float] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    row: list[dict[str, Any]] = field(default_factory=list)


def facts_of(network: Network, ride: Ride) -> Known:
    """Passings of stops (arrival, then departure) and traversals of cells of one ride."""
    first, end = network.pstop_start[ride.pattern], network.pstop_start[ride.pattern + 1]
    known = Known()

    def add(at: float, kind: str, row: dict[str, Any]) -> None:
        known.at.append(at)
        known.kind.append(kind)
        known.row.append(row)

    common = {"vehicle_id": ride.vehicle_id, "trip_id_performed": ride.run_id, "withdrawn": False}
    for at in range(first, end):
        d = network.pstop_dist_m[at]
        here = np.flatnonzero(np.abs(ride.dist_m - d) < 1e-6)
        arrival, departure = ride.time[here[0]], ride.time[here[-1]]
        if at == first:
            arrival = ride.time[0]
        row = {
            **common,
            "trip_id_scheduled": ride.trip,
            "pattern_id": network.pattern_ids[ride.pattern],
            "gate_seq": int(network.pstop_gate_seq[at]),
            "gate_ix": int(network.pgate_gate_ix[network.pgate_start[ride.pattern] + network.pstop_gate_seq[at]]),
            "arrival_time": round(arrival, 2),
            "departure_time": None if departure > arrival else round(departure, 2),
            "schedule_relationship": "Scheduled",
            "revision": 0,
        }
        add(arrival, "passings", row)
        if departure > arrival:
            add(departure, "passings", {**row, "departure_time": round(departure, 2), "revision": 1})
    lo, hi = network.span_start[ride.pattern], network.span_start[ride.pattern + 1]
    edges = np.append(network.span_dist_m[lo:hi], network.pattern_length_m[ride.pattern])
    for k in range(hi - lo):
        a, b = max(edges[k], ride.dist_m[0]), min(edges[k + 1], ride.dist_m[-1])
        if b <= a:
            continue
        entered, left = np.interp([a, b], ride.dist_m, ride.time)
        dwell = 0.0
        for at in range(first, end):
            d = network.pstop_dist_m[at]
            here = np.flatnonzero(np.abs(ride.dist_m - d) < 1e-6)
            if a <= d < b:
                dwell += max(ride.time[here[-1]] - max(ride.time[here[0]], entered), 0.0)
        add(
            left,
            "traversals",
            {
                **common,
                "cell_ix": int(network.span_cell_ix[lo + k]),
                "entered_at": round(entered, 2),
                "running_s": round(max(left - entered - dwell, 0.0), 2),
                "distance_m": round(b - a, 1),
                "revision": 0,
            },
        )
    order = np.argsort(known.at, kind="stable")
    return Known(*([values[i] for i in order] for values in (known.at, known.kind, known.row)))


def records(network: Network, rides: list[Ride], ping_s: float = 10.0, lag_s: float = 1.0, until: float = 0.0) -> Any:
    """`(record_time, columns)` in order: every vehicle's pings `ping_s` apart, one record per moment."""
    begin = min(r.time[0] for r in rides)
    end = max(until, max(r.time[-1] for r in rides) + 180.0)
    facts = [facts_of(network, r) for r in rides]
    done = [0] * len(rides)
    out = []
    for t in np.arange(np.ceil(begin / ping_s) * ping_s, end, ping_s):
        rows: dict[str, list[dict[str, Any]]] = {"positions": [], "passings": [], "traversals": [], "closed": []}
        for n, r in enumerate(rides):
            if t < r.time[0] or r.quiet[0] <= t < r.quiet[1]:
                continue
            if t <= r.time[-1]:
                dist = float(np.interp(t, r.time, r.dist_m))
                off = r.off_route[0] <= t < r.off_route[1]
                rows["positions"].append(_position(network, r, float(t), dist, off))
                while done[n] < len(facts[n].at) and facts[n].at[done[n]] <= t:
                    rows[facts[n].kind[done[n]]].append({**facts[n].row[done[n]], "determined_at": float(t)})
                    done[n] += 1
                rows["closed"].append({"vehicle_id": r.vehicle_id, "until": float(t) - LATENESS_S})
            elif t >= r.time[-1] + 120.0 and t < r.time[-1] + 120.0 + ping_s:
                rows["closed"].append(
                    {"vehicle_id": r.vehicle_id, "until": float(np.floor(r.time[-1] / ping_s) * ping_s)}
                )
        out.append((float(t) + lag_s, columns(rows)))
    return out


def columns(rows: dict[str, list[dict[str, Any]]]) -> dict[str, messages.Columns]:
    """The four groups of a `positions` record from rows; what a row lacks is unknown."""
    specs = {
        "positions": messages.POSITION, "passings": messages.PASSING, "traversals": messages.TRAVERSAL,
        "closed": messages.CLOSED,
    }  # fmt: skip
    return {
        name: {c: messages.column(kind, [row.get(c) for row in rows.get(name, [])]) for c, kind in spec.items()}
        for name, spec in specs.items()
    }


def _position(network: Network, r: Ride, t: float, dist: float, off: bool) -> dict[str, Any]:
    return {
        "vehicle_id": r.vehicle_id,
        "timestamp": t,
        "lat": -6.2,
        "lon": 106.8,
        "route_id": network.route_ids[network.pattern_route_ix[r.pattern]],
        "direction_id": int(network.pattern_direction[r.pattern]),
        "pattern_id": network.pattern_ids[r.pattern],
        "trip_id_performed": r.run_id,
        "trip_id_scheduled": r.trip,
        "service_date": r.day,
        "dist_m": None if off else round(dist, 1),
        "match_probability": 1.0,
        "trip_type": "Layover" if t < r.layover_until else "In service",
        "off_route": off,
        "revision": 0,
    }
