"""Where a vehicle came from: what is looked at when it is recognised late.

A vehicle keeps a thinned trail of its final fixes. With those of its ring behind it, thinned by the same rule, that is
its way; which of them have left the ring already makes no difference. A pattern that the vehicle turns out to drive
is followed back along the way, as far as the places lie on it one before the other.
"""

import numpy as np

from streams.jit import inner, lean
from streams.kernels.geometry import snap_window
from streams.kernels.tables import PATTERN_FIRST, PATTERN_LAST, PGATE_DIST_M, PGATE_START, Array

TRAIL = 64  # places kept
STEP_M = 60.0  # a place this far from the last one is kept
STEP_S = 60.0  # and one this much later
OFFSET_M = 50.0  # a fix this far from a shape is not on it
BACK_M = 30.0  # GPS error moves a vehicle that stands this far back
START_M = 100.0  # a run that is seen first within this of its start began there

# columns of a way, f8: POSIX time, metres east and north, and metres along the pattern where it was found on it
AT_S, EAST_M, NORTH_M, ALONG_M = range(4)
# columns of a trail, i4: tenths of a second modulo WRAP, millionths of a degree
TENTHS, LAT, LON = range(3)
WRAP = 2_000_000_000


def way() -> Array:
    """Room for a way."""
    return np.zeros((TRAIL + 1, 4))


def trails(n: int) -> Array:
    """Room for the trails of n vehicles."""
    return np.zeros((n, TRAIL, 3), np.int32)


@inner
def tenths(t):
    """A time as a trail keeps it."""
    return np.int64(np.floor(t * 10.0 + 0.5)) % WRAP


@lean
def keep(trail, kept, t, lat, lon, place):
    """Put a fix behind the `kept` places of a trail if it is a step from the last one; the oldest makes room.

    trail  i4 (TRAIL, 3);  t POSIX seconds;  lat, lon millionths of a degree;  place tracking.Place
    Returns how many places there are.
    """
    at = tenths(t)
    if kept > 0:
        last = trail[kept - 1]
        east = (lon - last[LON]) * place.east_m
        north = (lat - last[LAT]) * place.north_m
        if east * east + north * north < STEP_M * STEP_M and (at - last[TENTHS]) % WRAP < STEP_S * 10.0:
            return kept
    if kept == TRAIL:
        for k in range(TRAIL - 1):
            for c in range(3):
                trail[k, c] = trail[k + 1, c]
        kept -= 1
    trail[kept, TENTHS], trail[kept, LAT], trail[kept, LON] = at, lat, lon
    return kept + 1


@inner
def place_on(way, k, p, to_m, tables):
    """Metres along pattern `p`, no farther than `to_m`, of place k of a way; NaN when it is not on it."""
    first, last = tables.i[tables.at[PATTERN_FIRST] + p], tables.i[tables.at[PATTERN_LAST] + p]
    dist, offset, _ = snap_window(
        tables.points, first, last, 0.0, to_m + BACK_M, way[k, EAST_M], way[k, NORTH_M], first
    )
    return min(dist, to_m) if offset <= OFFSET_M else np.nan


@lean
def came_along(way, n, p, dist_m, t, since, tables, prm):
    """The first of the places way[first:n] that led along pattern `p` to `dist_m` at time `t`; n: none did.

    since  nothing before this is looked at;  writes ALONG_M of the places found
    Goes back no farther than the pattern's first gate, nor over a silence of more than gap_s.
    """
    first, last = tables.i[tables.at[PATTERN_FIRST] + p], tables.i[tables.at[PATTERN_LAST] + p]
    first_m = tables.f[tables.at[PGATE_DIST_M] + tables.i[tables.at[PGATE_START] + p]]
    at_m, at_s, near = dist_m, t, last
    k = n
    while k > 0 and at_m > first_m:
        then = way[k - 1, AT_S]
        if then <= since or at_s - then > prm.gap_s:
            break
        reach_m = prm.max_speed_mps * (at_s - then) + BACK_M
        dist, offset, near = snap_window(
            tables.points, first, last, at_m - reach_m, at_m + BACK_M, way[k - 1, EAST_M], way[k - 1, NORTH_M], near
        )
        if not offset <= OFFSET_M:
            break
        if at_m <= first_m + START_M and dist <= first_m + BACK_M:
            break  # where it stood before it left says nothing of when it left
        at_m, at_s = min(at_m, dist), then
        k -= 1
        way[k, ALONG_M] = at_m
    return k
