"""Routes, stops, trips and their times, as the feed has them: the tables with ids turned into positions."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from streams.gtfs import feed as f
from streams.gtfs.calendar import zone_of
from streams.gtfs.feed import Feed, FeedError

Array = np.ndarray


@dataclass
class Stops:
    """stops.txt without entrances and nodes, in file order."""

    ids: list[str]
    name: list[str]
    lat: Array
    lon: Array
    parent_ix: Array
    is_station: Array


@dataclass
class Routes:
    """routes.txt, in file order."""

    ids: list[str]
    short_name: list[str]
    long_name: list[str]
    color: list[str]


@dataclass
class Trips:
    """trips.txt and stop_times.txt: trips with two stops or more in file order, their rows by stop_sequence."""

    ids: list[str]
    route_ix: Array
    direction: Array
    headsign: list[str]
    block_ids: list[str]
    block_ix: Array
    shape_ids: list[str]
    service_ids: list[str]
    start: Array  # (n + 1) rows of stop_times
    stop_ix: Array
    sequence: Array
    arrival_s: Array  # NaN where the feed leaves it to be interpolated
    departure_s: Array
    timepoint: Array  # buses wait there for the time
    row: Array  # line of stop_times.txt


@dataclass
class Timetable:
    """All of it."""

    timezone: str
    feed_version: str
    agency_ids: list[str]
    routes: Routes
    stops: Stops
    trips: Trips
    freq_trip_ix: Array
    freq_start_s: Array
    freq_end_s: Array
    freq_headway_s: Array
    freq_exact: Array
    oddities: dict[str, int]


def read_timetable(feed: Feed) -> Timetable:
    """Read and check the tables; FeedError where they cannot be used."""
    odd: dict[str, int] = {}
    agency = feed.table("agency.txt")
    if not agency.height:
        raise FeedError("agency.txt", None, None, "has no row; name at least one agency and its time zone")
    zones = f.required(agency, "agency.txt", "agency_timezone")
    f.refuse_where(
        np.array([z != zones[0] for z in zones]),
        agency,
        "agency.txt",
        "agency_timezone",
        f"{{value}} differs from {zones[0]!r} above; a feed has one time zone, split it into two",
    )
    try:
        zone_of(zones[0])
    except ValueError as wrong:
        raise FeedError("agency.txt", int(agency[f.ROW][0]), "agency_timezone", str(wrong)) from None
    info = feed.table("feed_info.txt")
    version = (info["feed_version"][0] or "") if info.height else ""
    routes = _routes(feed)
    stops = _stops(feed)
    trips = _trips(feed, routes, stops, odd)
    freq = _frequencies(feed, trips, odd)
    _hold_times(trips, odd)
    return Timetable(zones[0], version, f.texts(agency, "agency_id"), routes, stops, trips, *freq, odd)


def _routes(feed: Feed) -> Routes:
    frame = feed.table("routes.txt")
    ids = f.unique_ids(frame, "routes.txt", "route_id")
    if not ids:
        raise FeedError("routes.txt", None, None, "has no row; there is nothing to track")
    color = [c if len(c) == 6 else "" for c in (v.lstrip("#").upper() for v in f.texts(frame, "route_color"))]
    return Routes(ids, f.texts(frame, "route_short_name"), f.texts(frame, "route_long_name"), color)


def _stops(feed: Feed) -> Stops:
    file = "stops.txt"
    frame = feed.table(file)
    all_ids = f.unique_ids(frame, file, "stop_id")
    kind = f.whole(frame, file, "location_type", 0, 4, missing=0)
    parent_all = f.positions(frame, file, "parent_station", all_ids, file, optional=True)
    keep = np.flatnonzero(kind <= 1)
    used = frame[keep]
    lat = f.numbers(used, file, "stop_lat", -90, 90)
    lon = f.numbers(used, file, "stop_lon", -180, 180)
    f.refuse_where(
        (np.abs(lat) < 1e-6) & (np.abs(lon) < 1e-6), used, file, "stop_lat", "{value}: the stop lies at 0, 0; place it"
    )
    new = np.full(len(all_ids) + 1, -1, dtype=np.int32)
    new[keep] = np.arange(len(keep))
    return Stops(
        ids=[all_ids[i] for i in keep.tolist()],
        name=f.texts(used, "stop_name"),
        lat=lat,
        lon=lon,
        parent_ix=new[parent_all[keep]],
        is_station=kind[keep] == 1,
    )


def _trips(feed: Feed, routes: Routes, stops: Stops, odd: dict[str, int]) -> Trips:
    file = "trips.txt"
    frame = feed.table(file)
    ids = f.unique_ids(frame, file, "trip_id")
    if not ids:
        raise FeedError(file, None, None, "has no row; there is nothing to track")
    route_ix = f.positions(frame, file, "route_id", routes.ids, "routes.txt")
    direction = f.whole(frame, file, "direction_id", 0, 1, missing=-1).astype(np.int8)
    blocks = frame["block_id"]
    block_ids = list(dict.fromkeys(b for b in blocks.to_list() if b is not None))
    block_ix = f.positions(frame, file, "block_id", block_ids, file, optional=True)
    services = f.required(frame, file, "service_id")

    file = "stop_times.txt"
    rows = feed.table(file)
    trip_ix = f.positions(rows, file, "trip_id", ids, "trips.txt")
    stop_ix = f.positions(rows, file, "stop_id", stops.ids, "stops.txt (as a stop or station)")
    sequence = f.whole(rows, file, "stop_sequence", 0, 2**31 - 1).astype(np.int32)
    arrival = f.times(rows, file, "arrival_time", optional=True)
    departure = f.times(rows, file, "departure_time", optional=True)
    arrival, departure = (
        np.where(np.isnan(arrival), departure, arrival),
        np.where(np.isnan(departure), arrival, departure),
    )
    timepoint = f.whole(rows, file, "timepoint", 0, 1, missing=1) == 1
    if timepoint.all():  # a feed that does not tell them apart
        timepoint[:] = False
    line = rows[f.ROW].to_numpy()
    order = np.lexsort((sequence, trip_ix))
    trip_ix, stop_ix, sequence, arrival, departure, timepoint, line = (
        a[order] for a in (trip_ix, stop_ix, sequence, arrival, departure, timepoint, line)
    )
    twice = np.flatnonzero((trip_ix[1:] == trip_ix[:-1]) & (sequence[1:] == sequence[:-1]))
    if len(twice):
        raise FeedError(
            file,
            int(line[twice[0] + 1]),
            "stop_sequence",
            f"{sequence[twice[0]]} stands twice in trip {ids[trip_ix[twice[0]]]!r}; number its stops",
        )
    count = np.bincount(trip_ix, minlength=len(ids))
    keep = count >= 2
    odd["trips_under_two_stops"] = int((~keep).sum())
    if not keep.any():
        raise FeedError(file, None, None, "no trip has two stops; there is nothing to track")
    kept = np.flatnonzero(keep)
    mask = keep[trip_ix]
    start = np.concatenate([[0], np.cumsum(count[kept])]).astype(np.int64)
    trips = Trips(
        ids=[ids[i] for i in kept.tolist()],
        route_ix=route_ix[kept],
        direction=direction[kept],
        headsign=[v for v, k in zip(f.texts(frame, "trip_headsign"), keep.tolist(), strict=True) if k],
        block_ids=block_ids,
        block_ix=block_ix[kept],
        shape_ids=[v for v, k in zip(f.texts(frame, "shape_id"), keep.tolist(), strict=True) if k],
        service_ids=[v for v, k in zip(services, keep.tolist(), strict=True) if k],
        start=start,
        stop_ix=stop_ix[mask],
        sequence=sequence[mask],
        arrival_s=arrival[mask],
        departure_s=departure[mask],
        timepoint=timepoint[mask],
        row=line[mask],
    )
    for ends, word in ((start[:-1], "first"), (start[1:] - 1, "last")):
        lost = ends[np.isnan(trips.arrival_s[ends])]
        if len(lost):
            trip = trips.ids[int(np.searchsorted(start, lost[0], side="right")) - 1]
            raise FeedError(
                file,
                int(trips.row[lost[0]]),
                "arrival_time",
                f"the {word} stop of trip {trip!r} needs a time (HH:MM:SS)",
            )
    odd["stop_times_interpolated"] = int(np.isnan(trips.arrival_s).sum())
    served = np.zeros(len(stops.ids), dtype=np.bool_)
    served[trips.stop_ix] = True
    parent = np.zeros(len(stops.ids), dtype=np.bool_)
    parent[stops.parent_ix[stops.parent_ix >= 0]] = True
    odd["stops_unused"] = int((~served & ~stops.is_station).sum())
    odd["stations_without_stops"] = int((stops.is_station & ~parent).sum())
    odd["trips_past_midnight"] = int((trips.departure_s[start[1:] - 1] >= 86_400).sum())
    return trips


def _frequencies(feed: Feed, trips: Trips, odd: dict[str, int]) -> tuple[Array, Array, Array, Array, Array]:
    file = "frequencies.txt"
    frame = feed.table(file)
    known = feed.table("trips.txt")["trip_id"].to_list() if frame.height else []
    f.positions(frame, file, "trip_id", known, "trips.txt")
    # of a trip that was left out
    index = pl.DataFrame(
        {"trip_id": trips.ids, "_ix": np.arange(len(trips.ids))}, schema={"trip_id": pl.String, "_ix": pl.Int32}
    )
    trip_ix = frame.join(index, on="trip_id", how="left", maintain_order="left")["_ix"].fill_null(-1).to_numpy()
    begin = f.times(frame, file, "start_time", optional=False)
    end = f.times(frame, file, "end_time", optional=False)
    f.refuse_where(
        end <= begin, frame, file, "end_time", "{value} is not after start_time; past midnight goes on as 25:00:00"
    )
    headway = f.numbers(frame, file, "headway_secs", 1, 7 * 86_400)
    exact = f.whole(frame, file, "exact_times", 0, 1, missing=0) == 1
    order = np.lexsort((begin, trip_ix))
    order = order[trip_ix[order] >= 0]
    t, b, e = trip_ix[order], begin[order], end[order]
    odd["frequency_windows_overlapping"] = int(((t[1:] == t[:-1]) & (b[1:] < e[:-1])).sum())
    return t.astype(np.int32), b, e, headway[order], exact[order]


def _hold_times(trips: Trips, odd: dict[str, int]) -> None:
    """Times that go back within a trip are held at the latest so far, and counted."""
    both = np.stack([trips.arrival_s, trips.departure_s], axis=1)
    trip_of = np.repeat(np.arange(len(trips.ids)), np.diff(trips.start))
    raised = np.where(np.isnan(both), -np.inf, both) + 1e7 * trip_of[:, None]
    held = np.maximum.accumulate(raised.ravel()).reshape(-1, 2) - 1e7 * trip_of[:, None]
    back = ~np.isnan(both) & (held > both + 1e-3)
    odd["trips_with_times_going_back"] = len(np.unique(trip_of[back.any(axis=1)]))
    trips.arrival_s = np.where(back[:, 0], held[:, 0], trips.arrival_s)
    trips.departure_s = np.where(back[:, 1], held[:, 1], trips.departure_s)
