"""The compiled schedule: flat read-only arrays and id tables. Strings end here; kernels see only `_ix`.

Rows of one thing that belong to one of another are CSR: `x_start[i]:x_start[i + 1]`. -1 is "none" for an `_ix`,
NaN "unknown" for a measure. Places are metres east and north of (`origin_lat`, `origin_lon`); `dist_m` is metres
along a shape summed on a sphere of radius 6,371,008.8 m.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

EARTH_RADIUS_M = 6_371_008.8

Array = np.ndarray


@dataclass(frozen=True, slots=False, eq=False)
class Network:
    """One city's feed, ready for pings. Build it with `streams.gtfs.compile.load`."""

    # --- what it is
    hash: str  # 12 hex digits of feed content and compiler version
    feed_version: str  # feed_info.feed_version, else the hash
    timezone: str  # IANA name of the first agency
    origin_lat: float
    origin_lon: float

    # --- id tables (strings)
    agency_ids: list[str]
    route_ids: list[str]
    stop_ids: list[str]
    shape_ids: list[str]  # also shapes made from stops where the feed has none: "made:<pattern>"
    pattern_ids: list[str]  # <route_id>:<direction_id of the feed or ->:<6 hex of stops and shape>
    trip_ids: list[str]
    service_ids: list[str]
    block_ids: list[str]
    gate_ids: list[str]  # stable between feeds where the place is: stop_id + octant, else h3 res 12 + octant

    # --- routes
    route_short_name: list[str]
    route_long_name: list[str]
    route_color: list[str]  # RRGGBB or ""
    route_busway: Array  # bool; lane of the route: busway if most of its stops have a parent station

    # --- stops
    stop_name: list[str]
    stop_lat: Array
    stop_lon: Array
    stop_parent_ix: Array  # i4, -1
    stop_is_station: Array  # bool, location_type 1

    # --- shapes: points (x, y in metres), distance along
    shape_start: Array  # i4 (n_shapes + 1)
    point_x: Array  # f8
    point_y: Array  # f8
    point_dist_m: Array  # f8

    # --- route directions: "same route and direction", what a headway belongs to
    route_dir_route_ix: Array  # i4
    route_dir_direction: Array  # i1, direction_id, -1 where it has one way only and the feed does not say which

    # --- patterns: same route, direction, stops and shape
    pattern_headsign: list[str]  # of most of its trips, "" unknown
    pattern_route_ix: Array  # i4
    pattern_direction: Array  # i1, -1
    pattern_direction_inferred: Array  # bool: the direction is not the feed's but told by the order of its stops
    pattern_route_dir_ix: Array  # i4
    pattern_shape_ix: Array  # i4
    pattern_length_m: Array  # f8, of the shape
    pattern_is_loop: Array  # bool: first and last stop are one (or siblings within 100 m)
    pattern_partner_ix: Array  # i4: pattern that usually follows at the end (same route, starts within 600 m), -1

    # --- stops of patterns, in order
    pstop_start: Array  # i4 (n_patterns + 1)
    pstop_stop_ix: Array  # i4
    pstop_sequence: Array  # i4, stop_sequence of the pattern's first trip; nearly always of all (see sequence_of)
    pstop_dist_m: Array  # f8, monotone within a pattern
    pstop_arrival_s: Array  # f8, of the pattern's median trip, seconds after its first departure
    pstop_departure_s: Array  # f8
    pstop_gate_seq: Array  # i4, position in the pattern's list of gates
    pstop_link_ix: Array  # i4, link from this stop to the next one; -1 at the last

    # --- links: stop to stop, shared by every pattern that drives it alike
    link_from_stop_ix: Array  # i4
    link_to_stop_ix: Array  # i4
    link_length_m: Array  # f8
    link_running_s: Array  # f8, prior running time from the timetable (smoothed, see arrivals.md), dwell included

    # --- trips
    trip_pattern_ix: Array  # i4
    trip_service_ix: Array  # i4
    trip_block_ix: Array  # i4, -1
    trip_start_s: (
        Array  # f8, first departure, seconds of the service day (noon minus 12 h); for a template trip its own
    )
    trip_is_frequency: Array  # bool
    trip_time_start: Array  # i8 (n_trips + 1): rows of the trip's own times, aligned with its pattern's stops
    trip_time_arrival_s: Array  # f4, seconds of the service day
    trip_time_departure_s: Array  # f4
    trip_time_timepoint: Array  # bool: buses wait there for the time; nowhere in a feed that does not tell stops apart

    trip_numbering_ix: Array  # i4, other stop_sequences than the pattern's, -1 the same
    numbering_start: Array  # i4 (n_numberings + 1)
    numbering_sequence: Array  # i4

    # --- frequencies
    freq_trip_ix: Array  # i4
    freq_start_s: Array  # f8
    freq_end_s: Array  # f8
    freq_headway_s: Array  # f8
    freq_exact: Array  # bool

    # --- calendar
    first_day: int  # proleptic ordinal (date.toordinal) of column 0
    service_active: Array  # bool (n_services, n_days)

    # --- gates: directed places
    gate_x: Array  # f8
    gate_y: Array  # f8
    gate_heading_deg: Array  # f4
    gate_stop_ix: Array  # i4, -1 between stops
    gate_busway: Array  # bool
    pgate_start: Array  # i4 (n_patterns + 1): gates of a pattern, in order
    pgate_gate_ix: Array  # i4
    pgate_dist_m: Array  # f8, monotone
    pgate_stop_pos: Array  # i4, position in the pattern's stops, -1 between stops
    pgate_slot_ix: Array  # i4, the (gate, route_dir) the gate belongs to for headways per route and direction
    slot_gate_ix: Array  # i4, slots sorted by gate
    slot_route_dir_ix: Array  # i4
    gate_slot_start: Array  # i4 (n_gates + 1)

    # --- directed cells: H3 res 10 x heading octant x lane
    cell_h3: Array  # u8
    cell_octant: Array  # i1
    cell_busway: Array  # bool
    span_start: Array  # i4 (n_patterns + 1): the runs of one directed cell along a pattern, in order, gapless
    span_dist_m: Array  # f8, where the span begins; it ends where the next begins, the last at pattern_length_m
    span_cell_ix: Array  # i4

    # --- candidate grid over shape segments (square cells of grid_size_m, row-major from grid_x0, grid_y0)
    grid_x0: float
    grid_y0: float
    grid_size_m: float
    grid_nx: int
    grid_ny: int
    grid_start: Array  # i4 (nx * ny + 1)
    grid_segment: Array  # i4, global index of the segment's first point
    point_shape_ix: Array  # i4, shape of each point
    shape_pattern_start: Array  # i4 (n_shapes + 1)
    shape_pattern_ix: Array  # i4, patterns on this shape

    # --- what was odd, by name (see streams.gtfs.check)
    oddities: dict[str, int] = field(default_factory=dict)

    @cached_property
    def route_ix(self) -> dict[str, int]:
        """Route by its id."""
        return {v: i for i, v in enumerate(self.route_ids)}

    @cached_property
    def route_direction_inferred(self) -> Array:
        """Routes (bool) of which a pattern's direction is not the feed's: nobody else can mean the same by it."""
        return np.bincount(self.pattern_route_ix, self.pattern_direction_inferred, len(self.route_ids)) > 0

    def sequence_of(self, trip_ix: int) -> Array:
        """The stop_sequence (i4) that a trip itself gives its stops, in order."""
        numbering = self.trip_numbering_ix[trip_ix]
        if numbering >= 0:
            return self.numbering_sequence[self.numbering_start[numbering] : self.numbering_start[numbering + 1]]
        pattern = self.trip_pattern_ix[trip_ix]
        return self.pstop_sequence[self.pstop_start[pattern] : self.pstop_start[pattern + 1]]

    @cached_property
    def stop_ix(self) -> dict[str, int]:
        """Stop by its id."""
        return {v: i for i, v in enumerate(self.stop_ids)}

    @cached_property
    def pattern_ix(self) -> dict[str, int]:
        """Pattern by its id."""
        return {v: i for i, v in enumerate(self.pattern_ids)}

    @cached_property
    def trip_ix(self) -> dict[str, int]:
        """Trip by its id."""
        return {v: i for i, v in enumerate(self.trip_ids)}

    def project(self, lat: Array, lon: Array) -> tuple[Array, Array]:
        """Metres east and north of the origin."""
        k = np.pi / 180.0 * EARTH_RADIUS_M
        return (lon - self.origin_lon) * k * np.cos(np.radians(self.origin_lat)), (lat - self.origin_lat) * k

    def unproject(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Latitude and longitude of places in metres; the inverse of `project`."""
        k = np.pi / 180.0 * EARTH_RADIUS_M
        return self.origin_lat + y / k, self.origin_lon + x / (k * np.cos(np.radians(self.origin_lat)))
