"""What the tracker says of real recordings, beside what is known of them.

Brooklyn's B63: every ping labelled with its phase and, in part, with the place on the route (destination sign codes of
the route count as a reported route). Kingston: the reported route hidden, found again? Warsaw: the line of each bus
reported; a bus should be said to drive it, on its own block, in few runs an hour.
"""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from benchmarks.accuracy.judge import follow, whose_words
from benchmarks.accuracy.tracker import SETTINGS, share
from benchmarks.harness import Benchmark
from benchmarks.workload import REAL_FEED
from streams import messages
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.gtfs.network import Network
from streams.messages import Columns
from streams.sources.recording import to_columns
from streams.sources.registry import open_source

Array = np.ndarray
DATA = REAL_FEED.parent.parent
B63_CODES = {"4630", "4631"}  # destination sign codes of the route
PHASES = {
    "In service": ("IN_PROGRESS",),
    "Layover": ("LAYOVER_",),
    "Deadhead": ("DEADHEAD_",),
    "Other not in service": ("AT_BASE",),
}


def run(bench: Benchmark) -> None:
    """All three; in a short run Brooklyn alone. Nothing where the recordings are not there."""
    if not DATA.exists():
        print(f"{bench.name}: no recordings beside the project, left out")
        return
    _brooklyn(bench)
    if bench.short:
        return
    _kingston(bench)
    _warsaw(bench)


@dataclass(frozen=True, slots=True)
class _Labelled:
    pings: Columns
    phases: dict[tuple[str, float], list[str]]
    places: dict[tuple[str, float], tuple[float, float]]


def _brooklyn(bench: Benchmark) -> None:
    network = load(DATA / "brooklyn-b63" / "gtfs.zip")
    track = Track(network, SETTINGS)
    right = at_first = total = labelled = 0
    away: list[float] = []
    for path in sorted((DATA / "brooklyn-b63" / "traces").glob("*.csv")):
        trace = _trace(path)
        positions, _ = follow(track, trace.pings)
        whose = whose_words(positions)
        lat, lon = _places(network, positions)
        labelled += len(trace.phases)
        for i, key in enumerate(zip(positions["vehicle_id"].tolist(), positions["timestamp"].tolist(), strict=True)):
            if key not in trace.phases:
                continue
            total += 1
            right += _acceptable(positions["trip_type"][whose[i]], trace.phases[key])
            at_first += _acceptable(positions["trip_type"][i], trace.phases[key])
            if key in trace.places and not np.isnan(lat[i]):
                x, y = network.project(
                    np.array([lat[i], trace.places[key][0]]), np.array([lon[i], trace.places[key][1]])
                )
                away.append(float(np.hypot(x[1] - x[0], y[1] - y[0])))
    assert total >= 0.95 * labelled, "labelled pings were not answered"
    said_of = f"six labelled traces, {total} pings"
    bench.add("Brooklyn: acceptable phase", 100.0 * right / total, "%", said_of, "≥97")
    bench.add("Brooklyn: acceptable phase, as first said", 100.0 * at_first / total, "%", said_of)
    bench.add("Brooklyn: from the true place, median", float(np.median(away)), "m", f"{len(away)} pings", "≤15")


def _acceptable(said: str, labels: list[str]) -> bool:
    return any(label.startswith(start) for label in labels for start in PHASES.get(said, ()))


def _trace(path: Path) -> _Labelled:
    zone = ZoneInfo("America/New_York")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    phases: dict[tuple[str, float], list[str]] = {}
    places: dict[tuple[str, float], tuple[float, float]] = {}
    table = []
    for row in rows:
        t = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=zone).timestamp()
        key = (path.stem, t)
        if row["actual_phase"]:
            phases[key] = row["actual_phase"].split("+")
        if row.get("actual_block_lat"):
            places[key] = (float(row["actual_block_lat"]), float(row["actual_block_lon"]))
        route = "B63" if row["dsc"] in B63_CODES else None
        table.append({"vehicle_id": path.stem, "timestamp": t, "lat": row["lat"], "lon": row["lon"], "route_id": route})
    columns = {
        name: messages.column(kind, [_number(r.get(name)) for r in table]) for name, kind in messages.PING.items()
    }
    return _Labelled({**columns, "record_time": columns["timestamp"].copy()}, phases, places)


def _number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _places(network: Network, positions: Columns) -> tuple[Array, Array]:
    """Where on its shape each position is said to be; NaN off the shapes."""
    x, y = np.full(len(positions["lat"]), np.nan), np.full(len(positions["lat"]), np.nan)
    for i, pattern in enumerate(positions["pattern_id"].tolist()):
        if pattern is None or np.isnan(positions["dist_m"][i]):
            continue
        shape = int(network.pattern_shape_ix[network.pattern_ix[pattern]])
        a, b = int(network.shape_start[shape]), int(network.shape_start[shape + 1])
        x[i] = np.interp(positions["dist_m"][i], network.point_dist_m[a:b], network.point_x[a:b])
        y[i] = np.interp(positions["dist_m"][i], network.point_dist_m[a:b], network.point_y[a:b])
    return network.unproject(x, y)


def _kingston(bench: Benchmark) -> None:
    network = load(DATA / "kingston" / "gtfs.zip")
    frame = open_source(DATA / "kingston" / "vehicle_positions.csv.gz").frame
    pings = {**to_columns(frame), "record_time": frame["record_time"].to_numpy()}
    reported = dict(
        zip(zip(pings["vehicle_id"].tolist(), pings["timestamp"].tolist(), strict=True), pings["route_id"], strict=True)
    )
    nothing = np.full(len(pings["vehicle_id"]), None, dtype=object)
    hidden = {
        **pings,
        **dict.fromkeys(("route_id", "trip_id", "start_date", "start_time"), nothing),
        "direction_id": np.full(len(nothing), -1, dtype=np.int64),
    }
    for name, columns, goal in (("ids given", pings, ""), ("ids hidden", hidden, "≥90")):
        positions, _ = follow(Track(network, SETTINGS), columns)
        keys = zip(positions["vehicle_id"].tolist(), positions["timestamp"].tolist(), strict=True)
        told = np.array([reported.get(key) for key in keys], dtype=object)
        known = np.array([r in network.route_ix for r in told.tolist()])
        service = (positions["trip_type"] == "In service") & known
        said = np.array([r is not None for r in positions["route_id"].tolist()])
        right = positions["route_id"] == told
        conditions = f"{int(service.sum())} pings in service"
        bench.add(
            f"Kingston, {name}: right route where one is said", share(right, service & said), "%", conditions, goal
        )
        bench.add(f"Kingston, {name}: a route is said", share(said, service), "%", conditions)


def _warsaw(bench: Benchmark) -> None:
    network = load(DATA / "warsaw-2024" / "gtfs.zip")
    names = "vehicle_id=VehicleNumber,timestamp=Time,lat=Lat,lon=Lon,route_id=Lines"
    path = DATA / "warsaw-2024" / "positions.csv.gz"
    frame = open_source(path, columns=names, timezone="Europe/Warsaw").frame
    pings = {**to_columns(frame), "record_time": frame["record_time"].to_numpy()}
    duty = {
        (row[0], row[1]): f"{row[1]}/{row[2]}"
        for row in pl.read_csv(path, infer_schema=False).select("VehicleNumber", "Lines", "Brigade").unique().rows()
    }
    positions, _ = follow(Track(network, SETTINGS), pings)
    service = positions["trip_type"] == "In service"
    vehicle, route = positions["vehicle_id"].tolist(), positions["route_id"].tolist()
    own = np.array([(v, r) in duty for v, r in zip(vehicle, route, strict=True)])
    trip = [network.trip_ix.get(t, -1) for t in positions["trip_id_scheduled"].tolist()]
    block = [
        network.block_ids[network.trip_block_ix[t]] if t >= 0 and network.trip_block_ix[t] >= 0 else None for t in trip
    ]
    on_block = np.array([duty.get((v, r)) == b for v, r, b in zip(vehicle, route, block, strict=True)])
    has_block = np.array([b is not None for b in block])
    runs = len({r for r in positions["trip_id_performed"].tolist() if r is not None})
    conditions = f"{len(vehicle)} pings of {len(set(vehicle))} buses in an hour"
    bench.add("Warsaw, line given: in service", share(service, np.ones(len(own), dtype=bool)), "%", conditions)
    bench.add("Warsaw, line given: its own line", share(own, service), "%", conditions)
    bench.add("Warsaw, line given: its own block", share(on_block, service & has_block), "%", conditions)
    bench.add("Warsaw, line given: off route", share(positions["off_route"], service), "%", conditions)
    bench.add("Warsaw, line given: runs of a bus", runs / len(set(vehicle)), "", conditions)
