"""What the tracker's kernels read: the compiled schedule as plain arrays, and the tracker's constants.

Both are named tuples of arrays and numbers, so that a kernel has three arguments instead of eighty. Layout and units
of the arrays are those of the compiled network; `_ix` -1 is "none", NaN "unknown".
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


# Every array of the schedule is a part of one of two long ones, `i` or `f`, and `at[NAME]` says where it begins: row k
# of pattern_length_m is `f[at[PATTERN_LENGTH_M] + k]`. (An argument costs the compiler time in every kernel that hands
# it on; there were fifty.) Names, units and layout are those of the compiled network.
(
    SHAPE_PATTERN_START,  # CSR
    SHAPE_PATTERN_IX,
    PATTERN_FIRST,  # first point of the pattern's shape
    PATTERN_LAST,  # last point (inclusive)
    PATTERN_ROUTE_IX,
    PATTERN_DIRECTION,  # -1 none
    PATTERN_ROUTE_DIR_IX,
    PATTERN_NEXT_IX,  # the pattern that follows at the end; itself for a loop; -1
    ROUTE_PATTERN_START,  # CSR
    ROUTE_PATTERN_IX,
    PSTOP_START,  # CSR: stops of a pattern
    PSTOP_STOP_IX,
    PSTOP_SEQUENCE,
    PGATE_START,  # CSR: gates of a pattern
    PGATE_STOP_POS,  # position in the pattern's stops; between stops -1 - that of the next one
    PGATE_GATE_IX,  # which gate of the network it is
    SPAN_START,  # CSR: runs of one directed cell along a pattern
    SPAN_CELL_IX,
    PATTERN_TRIP_START,  # CSR
    PATTERN_TRIP_IX,  # by start time
    TRIP_IS_FREQUENCY,
    TRIP_SERVICE_IX,
    TRIP_BLOCK_IX,
    TRIP_FREQ_START,  # CSR: windows of a trip
    SERVICE_ACTIVE,  # services x N_DAYS, row by row
    GRID_START,  # CSR: cells of the candidate grid, row-major
    GRID_SEGMENT,  # first point of a shape segment
) = range(27)
(
    PATTERN_LENGTH_M,
    PATTERN_END_M,  # the last stop
    # 4 a pattern: where a vehicle waits before it starts: x, y of its own start, and of the end of the pattern before
    PATTERN_WAIT,
    PSTOP_DIST_M,
    PSTOP_DEPARTURE_S,  # after the first departure
    PGATE_DIST_M,
    SPAN_DIST_M,
    TRIP_START_S,  # seconds of the service day
    FREQ_START_S,
    FREQ_END_S,
    GRID,  # x0, y0 and cell size in metres
) = range(27, 38)
# and four plain numbers stand in `at` themselves
FIRST_DAY, N_DAYS, GRID_NX, GRID_NY = range(38, 42)
ENTRIES = 42


# columns of Tables.segments: the way the shape leads there, as a unit vector; how far the street may be from it (m);
# which shape it is
EAST, NORTH, LOOSE, SHAPE = 0, 1, 2, 3


class Tables(NamedTuple):
    """The schedule. Places are metres east (x) and north (y)."""

    points: Array  # f8 (n, 3): x, y, metres along the shape
    segments: Array  # f8 (n, 4), of the segment that begins at each point: EAST, NORTH, LOOSE, SHAPE
    i: Array  # i4
    f: Array  # f8
    at: Array  # i8 (ENTRIES,)


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
    loiter_s: float
    waiting_odds: float
    leave_s: float
    retire_s: float
    stray_s: float
    deadhead_s: float
    pick_up_s: float
    rejoin_s: float
    jump_s: float
    inject_s: float
    beam: int
    beam_known: int
    depth: float
    depth_sure: float
    merge_m: float
    match_threshold: float
    gate_speed_mps: float
    gate_m: float
    forget_s: float
    stand_mps: float
    gap_s: float
    stop_pull: float
    along: Array  # f8 (seconds since the last fix, 5), see engine.tables.along_gains


class Times(NamedTuple):
    """Service days and what is on the road: pure functions of time, tabulated for one call."""

    bucket: Array  # i8 sorted: floor(t / BUCKET_S)
    log_prior: Array  # f4 (n_buckets, n_patterns): log of the expected number of vehicles on each pattern then
    day: Array  # f8 (n_days, 2): ordinal, and POSIX time of noon minus 12 h of that service day; sorted


BUCKET_S = 300  # the timetable's expectation is looked up on this grid
