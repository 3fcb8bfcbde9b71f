"""What the tracker's kernels read: the compiled schedule as plain arrays, and the tracker's constants.

Both are named tuples of arrays and numbers, so that a kernel has three arguments instead of eighty. Layout and units
of the arrays are those of the compiled network; `_ix` -1 is "none", NaN "unknown".
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Tables(NamedTuple):
    """The schedule. CSR arrays are called `x_start`; places are metres east (x) and north (y)."""

    # shapes
    point_x: Array  # f8
    point_y: Array  # f8
    point_dist_m: Array  # f8, metres along the shape
    point_shape_ix: Array  # i4
    shape_pattern_start: Array  # i4 (n_shapes + 1)
    shape_pattern_ix: Array  # i4
    # patterns
    pattern_first: Array  # i4, first point of the pattern's shape
    pattern_last: Array  # i4, last point (inclusive)
    pattern_length_m: Array  # f8
    pattern_route_ix: Array  # i4
    pattern_direction: Array  # i1, -1
    pattern_route_dir_ix: Array  # i4
    pattern_next_ix: Array  # i4, the pattern that follows at the end; itself for a loop; -1
    pattern_wait_x: Array  # f8 (n_patterns, 2): where a vehicle waits before it starts, its own start and
    pattern_wait_y: Array  # f8 (n_patterns, 2): the end of the pattern that leads to it (NaN: none)
    route_pattern_start: Array  # i4 (n_routes + 1)
    route_pattern_ix: Array  # i4
    # stops, gates and directed cells along patterns
    pstop_start: Array  # i4
    pstop_stop_ix: Array  # i4
    pstop_sequence: Array  # i4
    pstop_dist_m: Array  # f8
    pstop_departure_s: Array  # f8, after the first departure
    pstop_gate_seq: Array  # i4
    pgate_start: Array  # i4
    pgate_dist_m: Array  # f8
    pgate_stop_pos: Array  # i4, position in the pattern's stops, -1 between stops
    span_start: Array  # i4
    span_dist_m: Array  # f8
    span_cell_ix: Array  # i4
    # trips of a pattern, and their times
    pattern_trip_start: Array  # i4 (n_patterns + 1)
    pattern_trip_ix: Array  # i4, by start time
    trip_start_s: Array  # f8
    trip_is_frequency: Array  # bool
    trip_service_ix: Array  # i4
    trip_block_ix: Array  # i4
    trip_time_start: Array  # i8
    trip_time_departure_s: Array  # f4
    trip_freq_start: Array  # i4 (n_trips + 1): rows below, windows of a trip
    freq_start_s: Array  # f8
    freq_end_s: Array  # f8
    # calendar
    service_active: Array  # bool (n_services, n_days)
    first_day: int  # ordinal of column 0
    # candidate grid over shape segments
    grid_x0: float
    grid_y0: float
    grid_size_m: float
    grid_nx: int
    grid_ny: int
    grid_start: Array  # i4
    grid_segment: Array  # i4


class Params(NamedTuple):
    """Constants of the tracker; their reasons stand in settings.Track, under the same names."""

    lateness_s: float
    future_s: float
    silent_s: float
    sigma_m: float
    offset_tempering_s: float
    heading_tempering_s: float
    heading_kappa: float
    off_network: float
    off_heading: float
    max_speed_mps: float
    back_m: float
    gain_s: float
    stale: float
    depart_standing_s: float
    depart_moving_s: float
    terminal_s: float
    leave_s: float
    deadhead_s: float
    pick_up_s: float
    rejoin_s: float
    jump_s: float
    inject_s: float
    beam: int
    beam_known: int
    merge_m: float
    match_threshold: float
    gate_speed_mps: float
    gate_m: float
    forget_s: float
    stand_mps: float
    gap_s: float


class Times(NamedTuple):
    """Service days and what is on the road: pure functions of time, tabulated for one call."""

    bucket: Array  # i8 sorted: floor(t / BUCKET_S)
    log_prior: Array  # f4 (n_buckets, n_patterns): log of the expected number of vehicles on each pattern then
    day: Array  # i4 sorted: proleptic ordinals
    day_start: Array  # f8: POSIX time of noon minus 12 h of that service day


BUCKET_S = 300  # the timetable's expectation is looked up on this grid
