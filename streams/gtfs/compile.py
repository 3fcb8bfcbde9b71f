"""A feed becomes a `Network`: the one place where strings turn into positions and streets into tables.

`load` is what everybody calls; it compiles once per content of the feed and maps the result afterwards.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from streams.gtfs import cache, cells, directions, gates, grid, links
from streams.gtfs import feed as f
from streams.gtfs.calendar import read_calendar
from streams.gtfs.feed import Feed, FeedError
from streams.gtfs.network import EARTH_RADIUS_M, Network
from streams.gtfs.shapes import Shapes, along_m, haversine_m, stops_along
from streams.gtfs.timetable import Stops, Timetable, Trips, read_timetable

VERSION = 4  # of what the compiler makes of a feed; part of Network.hash
ELSEWHERE_M = 500.0  # a shape this far from its stops, in the mean, belongs to another trip
FAR_STOP_M = 60.0
OUT_OF_ORDER_M = 30.0
PARTNER_M = 600.0
SIBLING_M = 100.0

Array = np.ndarray
Progress = Callable[[str, float], None]  # what is being done, and the share of the work before it


def load(path: Path | str, cache_dir: Path | str | None = None, progress: Progress | None = None) -> Network:
    """The network of a GTFS zip or folder: mapped from its cache, or compiled and cached.

    The cache is a file in `cache_dir`; by default beside the feed where that can be written to, else below
    KORIDOR_HOME. It is known by the feed's content, so an edited feed is compiled anew, and it is mapped read-only, so
    that any number of processes share one copy. Raises FeedError for a feed that cannot be used.
    """
    with Feed(path) as feed:
        content = feed.content_hash()
        file = cache.place(Path(path), cache_dir, content)
        found = cache.read(file)
        if found is not None:
            return found
        network = compile_feed(feed, content, progress)
    return cache.write(file, network)


def compile_feed(feed: Feed, content: str | None = None, progress: Progress | None = None) -> Network:
    """Compile without a cache. The same content always gives the same network."""
    tell = progress or (lambda _what, _share: None)
    content = content or feed.content_hash()
    tell("reading the timetable", 0.0)
    table = read_timetable(feed)
    trips, stops = table.trips, table.stops
    odd = table.oddities
    service_ids, first_day, active = read_calendar(feed, trips.service_ids)
    service_index = {v: i for i, v in enumerate(service_ids)}
    service_ix = np.array([service_index[v] for v in trips.service_ids], dtype=np.int32)
    idle = np.flatnonzero(~active.any(axis=1))
    odd["trips_without_a_day"] = int(np.isin(service_ix, idle).sum())

    tell("reading the shapes", 0.2)
    drawn = _read_shapes(feed, trips.shape_ids, odd)
    served = np.unique(trips.stop_ix)
    lat0 = round(float(stops.lat[served].min() + stops.lat[served].max()) / 2, 4)
    lon0 = round(float(stops.lon[served].min() + stops.lon[served].max()) / 2, 4)
    patterns = _Patterns(table, drawn)
    patterns.group()

    tell("finding stops on shapes", 0.35)
    k = np.pi / 180.0 * EARTH_RADIUS_M
    kx = k * np.cos(np.radians(lat0))
    px, py = (stops.lon - lon0) * kx, (stops.lat - lat0) * k
    runs = _runs(table, patterns)
    patterns.direct(px, py, runs)
    shapes, shape_ids, shape_ix = patterns.shapes(kx, k, lat0, lon0)
    fraction = patterns.time_fraction()
    dist, offset, least = stops_along(
        shapes, shape_ix, patterns.start, px[patterns.stop_ix], py[patterns.stop_ix], fraction
    )
    mean_offset = np.bincount(patterns.of_stop, offset) / np.diff(patterns.start)
    odd["shapes_elsewhere"] = int((mean_offset > ELSEWHERE_M).sum())
    if odd["shapes_elsewhere"]:
        patterns.shape_key = [
            "" if far else key
            for far, key in zip((mean_offset > ELSEWHERE_M).tolist(), patterns.shape_key, strict=True)
        ]
        shapes, shape_ids, shape_ix = patterns.shapes(kx, k, lat0, lon0)
        dist, offset, least = stops_along(
            shapes, shape_ix, patterns.start, px[patterns.stop_ix], py[patterns.stop_ix], fraction
        )
    odd["patterns_drawn_stop_to_stop"] = sum(not key for key in patterns.shape_key)
    odd["stops_far_from_their_shape"] = len(np.unique(patterns.stop_ix[offset > FAR_STOP_M]))
    odd["stops_against_their_shape"] = len(np.unique(patterns.stop_ix[offset > least + OUT_OF_ORDER_M]))
    odd["shapes_unused"] = drawn.count - len({key for key in patterns.shape_key if key})

    trip_arrival, trip_departure = _fill_times(trips, patterns, dist)
    arrival, departure = _median_times(trips, patterns, trip_arrival, trip_departure)

    tell("joining links", 0.5)
    link = links.join(patterns.start, patterns.stop_ix, dist, arrival, departure, runs)
    busway_route = _busway(table, patterns)
    busway = busway_route[patterns.route_ix]
    tell("laying gates", 0.55)
    gate = gates.lay(shapes, shape_ix, busway, patterns.route_dir_ix, patterns.start, patterns.stop_ix, dist)
    gate_lat, gate_lon = lat0 + gate.y / k, lon0 + gate.x / kx
    tell("laying cells", 0.75)
    cell = cells.lay(shapes, lambda x, y: (lat0 + y / k, lon0 + x / kx), shape_ix, busway)
    tell("laying the grid", 0.95)
    raster = grid.lay(shapes)
    loop = _is_loop(stops, patterns)
    odd["loops"] = int(loop.sum())
    shape_pattern = np.argsort(shape_ix, kind="stable").astype(np.int32)
    name = sha256(f"{VERSION}:{content}".encode()).hexdigest()[:12]
    return Network(
        hash=name,
        feed_version=table.feed_version or name,
        timezone=table.timezone,
        origin_lat=lat0,
        origin_lon=lon0,
        agency_ids=table.agency_ids,
        route_ids=table.routes.ids,
        stop_ids=stops.ids,
        shape_ids=shape_ids,
        pattern_ids=patterns.ids(),
        trip_ids=trips.ids,
        service_ids=service_ids,
        block_ids=trips.block_ids,
        gate_ids=gates.gate_ids(gate, stops.ids, gate_lat, gate_lon),
        route_short_name=table.routes.short_name,
        route_long_name=table.routes.long_name,
        route_color=table.routes.color,
        route_busway=busway_route,
        stop_name=stops.name,
        stop_lat=stops.lat,
        stop_lon=stops.lon,
        stop_parent_ix=stops.parent_ix,
        stop_is_station=stops.is_station,
        shape_start=shapes.start,
        point_x=shapes.x,
        point_y=shapes.y,
        point_dist_m=shapes.dist_m,
        route_dir_route_ix=patterns.route_dir_route_ix,
        route_dir_direction=patterns.route_dir_direction,
        pattern_headsign=patterns.headsign,
        pattern_route_ix=patterns.route_ix,
        pattern_direction=patterns.direction,
        pattern_direction_inferred=patterns.inferred,
        pattern_route_dir_ix=patterns.route_dir_ix,
        pattern_shape_ix=shape_ix,
        pattern_length_m=shapes.length_m[shape_ix],
        pattern_is_loop=loop,
        pattern_partner_ix=_partners(table, patterns, service_ix, loop, runs, trip_departure, px, py),
        pstop_start=patterns.start,
        pstop_stop_ix=patterns.stop_ix,
        pstop_sequence=patterns.sequence,
        pstop_dist_m=dist,
        pstop_arrival_s=arrival,
        pstop_departure_s=departure,
        pstop_gate_seq=gate.pstop_gate_seq,
        pstop_link_ix=link.pstop_link_ix,
        link_from_stop_ix=link.from_stop_ix,
        link_to_stop_ix=link.to_stop_ix,
        link_length_m=link.length_m,
        link_running_s=link.running_s,
        trip_pattern_ix=patterns.of_trip,
        trip_service_ix=service_ix,
        trip_block_ix=trips.block_ix,
        trip_start_s=trip_departure[trips.start[:-1]],
        trip_is_frequency=np.isin(np.arange(len(trips.ids)), table.freq_trip_ix),
        trip_time_start=trips.start,
        trip_time_arrival_s=trip_arrival.astype(np.float32),
        trip_time_departure_s=trip_departure.astype(np.float32),
        trip_time_timepoint=trips.timepoint,
        trip_numbering_ix=patterns.numbering,
        numbering_start=patterns.numbering_start,
        numbering_sequence=patterns.numbering_sequence,
        freq_trip_ix=table.freq_trip_ix,
        freq_start_s=table.freq_start_s,
        freq_end_s=table.freq_end_s,
        freq_headway_s=table.freq_headway_s,
        freq_exact=table.freq_exact,
        first_day=first_day,
        service_active=active,
        gate_x=gate.x,
        gate_y=gate.y,
        gate_heading_deg=gate.heading_deg,
        gate_stop_ix=gate.stop_ix,
        gate_busway=gate.busway,
        pgate_start=gate.start,
        pgate_gate_ix=gate.gate_ix,
        pgate_dist_m=gate.dist_m,
        pgate_stop_pos=gate.stop_pos,
        pgate_slot_ix=gate.slot_ix,
        slot_gate_ix=gate.slot_gate_ix,
        slot_route_dir_ix=gate.slot_route_dir_ix,
        gate_slot_start=gate.gate_slot_start,
        cell_h3=cell.h3,
        cell_octant=cell.octant,
        cell_busway=cell.busway,
        span_start=cell.start,
        span_dist_m=cell.dist_m,
        span_cell_ix=cell.cell_ix,
        grid_x0=raster.x0,
        grid_y0=raster.y0,
        grid_size_m=raster.size_m,
        grid_nx=raster.nx,
        grid_ny=raster.ny,
        grid_start=raster.start,
        grid_segment=raster.segment,
        point_shape_ix=shapes.point_shape_ix,
        shape_pattern_start=np.searchsorted(shape_ix[shape_pattern], np.arange(len(shape_ids) + 1)).astype(np.int32),
        shape_pattern_ix=shape_pattern,
        oddities=odd,
    )


# --- shapes of the feed -------------------------------------------------------------------------------------------


class _Drawn:
    """Shapes that trips use, in degrees; `key` is the same for two that are drawn alike."""

    def __init__(self) -> None:
        self.count = 0  # in the feed
        self.key: dict[str, str] = {}  # shape_id -> key
        self.line: dict[str, tuple[str, Array, Array]] = {}  # key -> shape_id, lat, lon


def _read_shapes(feed: Feed, used: list[str], odd: dict[str, int]) -> _Drawn:
    out = _Drawn()
    file = "shapes.txt"
    frame = feed.table(file)
    ids = f.required(frame, file, "shape_id")
    names = list(dict.fromkeys(ids))
    out.count = len(names)
    lat = f.numbers(frame, file, "shape_pt_lat", -90, 90)
    lon = f.numbers(frame, file, "shape_pt_lon", -180, 180)
    sequence = f.whole(frame, file, "shape_pt_sequence", 0, 2**31 - 1)
    shape = f.positions(frame, file, "shape_id", names, file)
    order = np.lexsort((sequence, shape))
    shape, lat, lon = shape[order], lat[order], lon[order]
    same = np.flatnonzero((shape[1:] == shape[:-1]) & (sequence[order][1:] == sequence[order][:-1]))
    if len(same):
        f.refuse(
            file, frame, int(order[same[0] + 1]), "shape_pt_sequence", "stands twice in its shape; number its points"
        )
    moved = np.ones(len(lat), dtype=np.bool_)
    moved[1:] = (shape[1:] != shape[:-1]) | (lat[1:] != lat[:-1]) | (lon[1:] != lon[:-1])
    shape, lat, lon = shape[moved], lat[moved], lon[moved]
    bounds = np.searchsorted(shape, np.arange(len(names) + 1))
    wanted = set(used)
    odd["shapes_missing"] = len(wanted - set(names) - {""})
    odd["shapes_of_one_point"] = 0
    rounded = np.stack([np.rint(lat * 1e5), np.rint(lon * 1e5)], axis=1).astype(np.int32)
    for i, name in enumerate(names):
        a, b = bounds[i], bounds[i + 1]
        if name not in wanted:
            continue
        if b - a < 2:
            odd["shapes_of_one_point"] += 1
            continue
        key = sha256(rounded[a:b].tobytes()).hexdigest()
        out.key[name] = key
        out.line.setdefault(key, (name, lat[a:b], lon[a:b]))
    return out


# --- patterns -----------------------------------------------------------------------------------------------------


class _Patterns:
    """Trips of one route and direction that call at the same stops along the same shape."""

    def __init__(self, table: Timetable, drawn: _Drawn) -> None:
        self.table, self.drawn = table, drawn
        self.shape_key: list[str] = []  # "" draws it from stop to stop

    def group(self) -> None:
        """Number the patterns by their first trip."""
        trips = self.table.trips
        index: dict[tuple[int, int, str, bytes], int] = {}
        of_trip = np.empty(len(trips.ids), dtype=np.int32)
        first: list[int] = []
        numbering = np.full(len(trips.ids), -1, dtype=np.int32)
        numberings: dict[tuple[int, bytes], int] = {}
        bounds = trips.start.tolist()
        rows = zip(trips.route_ix.tolist(), trips.direction.tolist(), trips.shape_ids, strict=True)
        for t, (route, direction, shape) in enumerate(rows):
            a, b = bounds[t], bounds[t + 1]
            key = (route, direction, self.drawn.key.get(shape, ""), trips.stop_ix[a:b].tobytes())
            p = index.setdefault(key, len(first))
            if p == len(first):
                first.append(t)
            elif trips.sequence[a] != trips.sequence[bounds[first[p]]] or not np.array_equal(
                trips.sequence[a:b], trips.sequence[bounds[first[p]] : bounds[first[p] + 1]]
            ):
                numbering[t] = numberings.setdefault((p, trips.sequence[a:b].tobytes()), len(numberings))
            of_trip[t] = p
        self.table.oddities["trips_with_other_stop_sequence_than_their_pattern"] = int((numbering >= 0).sum())
        self.numbering = numbering
        rows_of = [np.frombuffer(numbers, dtype=trips.sequence.dtype) for _, numbers in numberings]
        self.numbering_start = np.cumsum([0, *map(len, rows_of)]).astype(np.int32)
        self.numbering_sequence = np.concatenate([*rows_of, np.empty(0)]).astype(np.int32)
        self.of_trip = of_trip
        self.first_trip = np.array(first)
        self.shape_key = [key[2] for key in index]
        count = np.diff(trips.start)[self.first_trip]
        self.start = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
        self.of_stop = np.repeat(np.arange(len(first), dtype=np.int32), count)
        self.row = np.arange(self.start[-1]) - self.start[self.of_stop] + trips.start[self.first_trip][self.of_stop]
        self.stop_ix = trips.stop_ix[self.row]
        self.sequence = trips.sequence[self.row]
        self.route_ix = trips.route_ix[self.first_trip]
        self.given = trips.direction[self.first_trip]
        signs: list[dict[str, int]] = [{} for _ in first]
        for p, sign in zip(of_trip.tolist(), trips.headsign, strict=True):
            signs[p][sign] = signs[p].get(sign, 0) + 1
        self.headsign = [max(s.items(), key=lambda kv: kv[1])[0] for s in signs]

    def direct(self, x: Array, y: Array, runs: Array) -> None:
        """Tell the two ways of each route apart, and number the route directions by their first pattern."""
        stops = self.table.stops
        known: dict[tuple[int, str], int] = {}
        place = [
            known.setdefault((parent, "" if parent >= 0 else name), len(known)) if parent >= 0 or name else -1
            for parent, name in zip(stops.parent_ix.tolist(), stops.name, strict=True)
        ]
        self.direction = directions.infer(
            self.route_ix, self.given, self.start, self.stop_ix, x, y, np.array(place), stops.ids, runs
        )
        self.inferred = self.direction != self.given
        self.table.oddities["patterns_direction_inferred"] = int(self.inferred.sum())
        pair, at, inverse = np.unique(
            self.route_ix.astype(np.int64) * 3 + self.direction + 1, return_index=True, return_inverse=True
        )
        rank = np.argsort(np.argsort(at))
        self.route_dir_ix = rank[inverse].astype(np.int32)
        by_rank = pair[np.argsort(at)]
        self.route_dir_route_ix = (by_rank // 3).astype(np.int32)
        self.route_dir_direction = (by_rank % 3 - 1).astype(np.int8)

    def shapes(self, kx: float, k: float, lat0: float, lon0: float) -> tuple[Shapes, list[str], Array]:
        """The shapes in use, their ids, and the shape of each pattern."""
        stops = self.table.stops
        names: list[str] = []
        lines: list[tuple[Array, Array]] = []
        known: dict[str, int] = {}
        shape_ix = np.empty(len(self.shape_key), dtype=np.int32)
        ids = self.ids()
        for p, key in enumerate(self.shape_key):
            if key and key in known:
                shape_ix[p] = known[key]
                continue
            if key:
                name, lat, lon = self.drawn.line[key]
                known[key] = len(names)
            else:
                chain = self.stop_ix[self.start[p] : self.start[p + 1]]
                name, lat, lon = f"made:{ids[p]}", stops.lat[chain], stops.lon[chain]
            shape_ix[p] = len(names)
            names.append(name)
            lines.append((lat, lon))
        start = np.concatenate([[0], np.cumsum([len(lat) for lat, _ in lines])]).astype(np.int32)
        lat = np.concatenate([a for a, _ in lines])
        lon = np.concatenate([o for _, o in lines])
        return Shapes(start, (lon - lon0) * kx, (lat - lat0) * k, along_m(start, lat, lon)), names, shape_ix

    def ids(self) -> list[str]:
        """<route_id>:<direction_id of the feed, or ->:<6 hex of stops and shape>; more digits if two would be one."""
        routes, stops = self.table.routes.ids, self.table.stops.ids
        digests = []
        for p, key in enumerate(self.shape_key):
            chain = "\0".join(stops[s] for s in self.stop_ix[self.start[p] : self.start[p + 1]].tolist())
            digests.append(sha256(f"{chain}\1{key}".encode()).hexdigest())
        heads = [
            f"{routes[r]}:{d if d >= 0 else '-'}:"
            for r, d in zip(self.route_ix.tolist(), self.given.tolist(), strict=True)
        ]
        width = 6
        while True:
            out = [h + d[:width] for h, d in zip(heads, digests, strict=True)]
            if len(set(out)) == len(out) or width >= 64:
                return out
            width += 2

    def time_fraction(self) -> Array:
        """Share of the first trip's time that has passed at each stop; NaN where it is not told."""
        trips = self.table.trips
        begin = trips.departure_s[trips.start[:-1]][self.first_trip]
        total = trips.arrival_s[trips.start[1:] - 1][self.first_trip] - begin
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(
                total[self.of_stop] > 0, (trips.arrival_s[self.row] - begin[self.of_stop]) / total[self.of_stop], np.nan
            )


# --- times --------------------------------------------------------------------------------------------------------


def _fill_times(trips: Trips, patterns: _Patterns, dist: Array) -> tuple[Array, Array]:
    """Arrivals and departures of all trips; those that the feed leaves out are interpolated by distance."""
    arrival, departure = trips.arrival_s.copy(), trips.departure_s.copy()
    lost = np.flatnonzero(np.isnan(arrival))
    if not len(lost):
        return arrival, departure
    trip_of = np.repeat(np.arange(len(trips.ids)), np.diff(trips.start))
    along = dist[np.arange(len(arrival)) - trips.start[trip_of] + patterns.start[patterns.of_trip[trip_of]]]
    told = np.flatnonzero(~np.isnan(arrival))
    after = np.searchsorted(told, lost)
    left, right = told[after - 1], told[after]
    stretch = along[right] - along[left]
    share = np.where(stretch > 0, (along[lost] - along[left]) / np.where(stretch > 0, stretch, 1.0), 0.0)
    arrival[lost] = departure[lost] = departure[left] + share * (arrival[right] - departure[left])
    return arrival, departure


def _median_times(trips: Trips, patterns: _Patterns, arrival: Array, departure: Array) -> tuple[Array, Array]:
    """Per stop of each pattern, seconds after the first departure of the trip whose run time is the median."""
    begin = departure[trips.start[:-1]]
    total = arrival[trips.start[1:] - 1] - begin
    order = np.lexsort((np.arange(len(total)), total, patterns.of_trip))
    bounds = np.searchsorted(patterns.of_trip[order], np.arange(len(patterns.first_trip) + 1))
    median = order[(bounds[:-1] + bounds[1:] - 1) // 2]
    row = patterns.row - trips.start[patterns.first_trip][patterns.of_stop] + trips.start[median][patterns.of_stop]
    zero = begin[median][patterns.of_stop]
    return arrival[row] - zero, departure[row] - zero


def _runs(table: Timetable, patterns: _Patterns) -> Array:
    """Runs of each pattern that the timetable knows: trips, and for frequencies window / headway."""
    weight = np.ones(len(table.trips.ids))
    weight[table.freq_trip_ix] = 0.0
    np.add.at(weight, table.freq_trip_ix, (table.freq_end_s - table.freq_start_s) / table.freq_headway_s)
    return np.bincount(patterns.of_trip, weight, len(patterns.first_trip))


# --- what patterns are to each other ------------------------------------------------------------------------------


def _busway(table: Timetable, patterns: _Patterns) -> Array:
    """Routes most of whose stops have a parent station."""
    n = len(table.routes.ids)
    route = patterns.route_ix[patterns.of_stop]
    seen = np.unique(route.astype(np.int64) * len(table.stops.ids) + patterns.stop_ix)
    route, stop = seen // len(table.stops.ids), seen % len(table.stops.ids)
    parents = np.bincount(route, table.stops.parent_ix[stop] >= 0, n)
    return parents > 0.5 * np.bincount(route, minlength=n)


def _is_loop(stops: Stops, patterns: _Patterns) -> Array:
    """First and last stop are one, or siblings within 100 m."""
    a, b = patterns.stop_ix[patterns.start[:-1]], patterns.stop_ix[patterns.start[1:] - 1]
    parent = stops.parent_ix
    sibling = (parent[a] >= 0) & (parent[a] == parent[b])
    near = haversine_m(stops.lat[a], stops.lon[a], stops.lat[b], stops.lon[b]) <= SIBLING_M
    loop: Array = (a == b) | (sibling & near)
    return loop


def _partners(
    table: Timetable,
    patterns: _Patterns,
    service_ix: Array,
    loop: Array,
    runs: Array,
    departure: Array,
    px: Array,
    py: Array,
) -> Array:
    """The pattern most likely to follow at the end: by blocks where there are any, else back along the same route."""
    n = len(patterns.first_trip)
    partner = np.full(n, -1, dtype=np.int32)
    first, last = patterns.stop_ix[patterns.start[:-1]], patterns.stop_ix[patterns.start[1:] - 1]
    by_route: dict[int, list[int]] = {}
    for p, r in enumerate(patterns.route_ix.tolist()):
        by_route.setdefault(r, []).append(p)
    for p in range(n):
        others = np.array(by_route[int(patterns.route_ix[p])])
        gap = np.hypot(px[first[others]] - px[last[p]], py[first[others]] - py[last[p]])
        fits = np.flatnonzero(gap <= PARTNER_M)
        if loop[p]:
            partner[p] = p
        elif len(fits):
            back = patterns.direction[others] != patterns.direction[p]
            best = min(fits.tolist(), key=lambda i: (not back[i], others[i] == p, -runs[others[i]], gap[i], i))
            partner[p] = others[best]
    trips = table.trips
    blocked = np.flatnonzero(trips.block_ix >= 0)
    begin = departure[trips.start[:-1]]
    order = blocked[np.lexsort((begin[blocked], service_ix[blocked], trips.block_ix[blocked]))]
    a, b = order[:-1], order[1:]
    follows = (trips.block_ix[a] == trips.block_ix[b]) & (service_ix[a] == service_ix[b])
    pair, count = np.unique(
        patterns.of_trip[a[follows]].astype(np.int64) * n + patterns.of_trip[b[follows]], return_counts=True
    )
    for i in np.lexsort((-pair, count)).tolist():  # the most frequent is written last; of equals the first pattern
        partner[pair[i] // n] = pair[i] % n
    return partner


__all__ = ["FeedError", "compile_feed", "load"]
