"""Toronto's five days as a feed and a recording: routes whose stop list is one way out and one way back.

The recording has no timetable and no shapes. Stops are listed in the order in which NextBus gives them; a tag that
ends in `_ar` is the arrival at a terminal, so it ends a direction. Shapes are drawn from stop to stop, running times
are those of one pace everywhere, headways ten minutes: whatever is known beyond that is learned.
"""

import gzip
import io
from pathlib import Path

import numpy as np
import polars as pl

from fixtures.feed import write_feed

PACE_S_PER_M = 0.2  # 18 km/h, stops included
HEADWAY_S = 600
SIMPLE = 0.85  # share of a route's pings that are on its two plain directions
RAD_M = 6_371_008.8 * np.pi / 180.0

Array = np.ndarray


def prepare(data: Path, out: Path, routes: int) -> tuple[Path, Path]:
    """Write feed.zip and pings.parquet of the `routes` simple routes with the most pings into `out`."""
    pings = pl.read_parquet(data / "positions.parquet").rename(
        {"route": "name", "ts": "timestamp", "vid": "vehicle_id"}
    )
    stops = pl.read_csv(io.BytesIO(gzip.decompress((data / "stops_by_route.csv.gz").read_bytes())), infer_schema=False)
    stops = stops.with_columns(pl.col("i").cast(pl.Int64), pl.col("lat", "lon").cast(pl.Float64)).sort("route", "i")
    number = pl.col("name").str.split("-").list.first()
    plain = [pl.format("{}_{}_{}", number, pl.lit(d), number) for d in (0, 1)]
    pings = pings.with_columns(
        direction_id=pl.when(pl.col("dir") == plain[0]).then(0).when(pl.col("dir") == plain[1]).then(1)
    )
    share = pings.group_by("name").agg(n=pl.len(), plain=pl.col("direction_id").is_not_null().mean())
    chosen = []
    for name, _, _ in share.filter(pl.col("plain") >= SIMPLE).sort("n", descending=True).iter_rows():
        ways = _ways(stops.filter(pl.col("route") == name))
        if ways is not None and len(chosen) < routes:
            chosen.append((name, _in_order(ways, pings.filter(pl.col("name") == name))))
    out.mkdir(parents=True, exist_ok=True)
    feed = write_feed(out / "feed.zip", _tables(chosen))
    used = pings.filter(pl.col("name").is_in([name for name, _ in chosen])).sort("timestamp", "vehicle_id")
    used.select(
        "vehicle_id",
        pl.col("timestamp").cast(pl.Float64),
        "lat",
        "lon",
        "direction_id",
        route_id=number,
        bearing_deg=pl.when(pl.col("hdg") >= 0).then(pl.col("hdg")).cast(pl.Float64),
    ).write_parquet(out / "pings.parquet")
    return feed, out / "pings.parquet"


def _ways(stops: pl.DataFrame) -> list[pl.DataFrame] | None:
    """The two directions; None where the list is not one way out and one way back."""
    ends = np.flatnonzero(stops["tag"].str.ends_with("_ar").to_numpy())
    if len(ends) != 2 or ends[1] != stops.height - 1:
        return None
    return [stops[: ends[0] + 1], stops[ends[0] + 1 :]]


def _in_order(ways: list[pl.DataFrame], pings: pl.DataFrame) -> list[pl.DataFrame]:
    """Direction 0 first: the one along which buses that say so move forward."""
    rows = pings.filter(pl.col("direction_id") == 0).sort("vehicle_id", "timestamp")
    lat, lon, stop = rows["lat"].to_numpy(), rows["lon"].to_numpy(), ways[0]
    x, y = stop["lon"].to_numpy() * np.cos(np.radians(43.7)), stop["lat"].to_numpy()
    near = np.array(
        [np.argmin((x - a) ** 2 + (y - b) ** 2) for a, b in zip(lon * np.cos(np.radians(43.7)), lat, strict=True)]
    )
    step = np.diff(near)[(rows["vehicle_id"][1:] == rows["vehicle_id"][:-1]).to_numpy()]
    step = step[np.abs(step) <= 3]
    return ways if step.sum() > 0 else ways[::-1]


def _tables(chosen: list[tuple[str, list[pl.DataFrame]]]) -> dict[str, list[dict[str, object]]]:
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    tables: dict[str, list[dict[str, object]]] = {
        "agency": [
            {"agency_name": "Toronto", "agency_url": "http://a.example", "agency_timezone": "America/Toronto"}
        ],
        "calendar": [
            {"service_id": "D", "start_date": "20161201", "end_date": "20161231", **dict.fromkeys(days, 1)}
        ],
        "routes": [], "stops": [], "trips": [], "stop_times": [], "frequencies": [],
    }  # fmt: skip
    seen: set[str] = set()
    for name, ways in chosen:
        route = name.split("-")[0]
        tables["routes"].append(
            {"route_id": route, "route_short_name": route, "route_long_name": name, "route_type": 3}
        )
        for direction, stops in enumerate(ways):
            trip = f"{route}-{direction}"
            lat, lon = stops["lat"].to_numpy(), stops["lon"].to_numpy()
            metres = np.hypot(np.diff(lat), np.diff(lon) * np.cos(np.radians(lat[:-1]))) * RAD_M
            seconds = 6 * 3600 + np.round(np.concatenate([[0.0], np.cumsum(metres)]) * PACE_S_PER_M).astype(int)
            tables["trips"].append({"route_id": route, "service_id": "D", "trip_id": trip, "direction_id": direction})
            tables["frequencies"].append(
                {
                    "trip_id": trip, "start_time": "00:00:00", "end_time": "26:00:00", "headway_secs": HEADWAY_S,
                    "exact_times": 0,
                }
            )  # fmt: skip
            for k, (tag, title) in enumerate(zip(stops["tag"], stops["title"], strict=True)):
                stop = tag.removesuffix("_ar")
                if stop not in seen:
                    seen.add(stop)
                    tables["stops"].append(
                        {"stop_id": stop, "stop_name": title or stop, "stop_lat": lat[k], "stop_lon": lon[k]}
                    )
                at = f"{seconds[k] // 3600:02}:{seconds[k] // 60 % 60:02}:{seconds[k] % 60:02}"
                tables["stop_times"].append(
                    {"trip_id": trip, "arrival_time": at, "departure_time": at, "stop_id": stop, "stop_sequence": k}
                )
    return tables
