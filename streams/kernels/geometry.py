"""Where a place lies along a shape.

A shape is a run of rows `first..last` (inclusive) of `points` (n, 3): x and y in metres, and metres along the shape,
not decreasing. The nearest place wins; of equally near ones the first along the shape.
"""

import numpy as np

from streams.jit import lean, prefetch

AHEAD = 6  # places to come whose segments are asked for


@lean
def snap_window(points, first, last, from_m, to_m, x, y, near):
    """The nearest place on a shape, no earlier than `from_m` and no later than `to_m` along it.

    points  f8 (n, 3), points of all shapes; the shape is first..last
    near    a segment to look from; any number will do, a near one saves the search

    Returns (dist_m, offset_m, segment): metres along, distance to it, and the segment's first point. An empty window
    says so: (NaN, inf, near). Does not check NaN.
    """
    best = np.inf
    dist = np.nan
    if last <= first or to_m < from_m:
        return dist, best, near
    # The last segment that begins at or before from_m, lo: stride away from the near one, then halve.
    lo = min(max(near, first), last - 1)
    stride = 1
    if points[lo, 2] <= from_m:
        hi = lo + 1
        while hi < last and points[hi, 2] <= from_m:
            lo = hi
            stride *= 2
            hi = min(last, hi + stride)
    else:
        hi = lo
        lo = max(first, hi - 1)
        while lo > first and points[lo, 2] > from_m:
            hi = lo
            stride *= 2
            lo = max(first, lo - stride)
    while hi - lo > 1:
        mid = (lo + hi) >> 1
        if points[mid, 2] <= from_m:
            lo = mid
        else:
            hi = mid
    # Asked only where it may be: the shape's ends are in no near cache.
    if (lo == first and to_m < points[first, 2]) or (lo == last - 1 and from_m > points[last, 2]):
        return dist, best, near
    at = lo
    # Points may repeat: the segments before that one of no length cannot matter, they end at from_m too.
    for i in range(lo, last):
        start = points[i, 2]
        if start > to_m:
            break
        length = points[i + 1, 2] - start
        ax, ay = points[i, 0], points[i, 1]
        ex, ey = points[i + 1, 0] - ax, points[i + 1, 1] - ay
        square = ex * ex + ey * ey
        u = 0.0
        if square > 0.0:
            u = ((x - ax) * ex + (y - ay) * ey) / square
            u = min(1.0, max(0.0, u))
        if length > 0.0:
            if start + u * length < from_m:
                u = min(1.0, (from_m - start) / length)
            elif start + u * length > to_m:
                u = max(0.0, (to_m - start) / length)
        dx, dy = x - (ax + u * ex), y - (ay + u * ey)
        d2 = dx * dx + dy * dy
        if d2 < best:
            best = d2
            at = i
            dist = start + u * length
    return dist, np.sqrt(best), at


@lean
def snap_windows(points, first, last, near, from_m, to_m, x, y, dist_m, offset_m, segment):
    """`snap_window` for many places: row i on the shape first[i]..last[i], window from_m[i]..to_m[i].

    near  (n,) segments to look from: where the vehicles were last

    Writes dist_m, offset_m and segment (n,). The plain window snap, without any matching.
    """
    for i in range(len(x)):
        if i + AHEAD < len(x):
            prefetch(points, 3 * near[i + AHEAD] - 6)
            prefetch(points, 3 * near[i + AHEAD] + 2)
            prefetch(points, 3 * near[i + AHEAD] + 10)
        dist_m[i], offset_m[i], segment[i] = snap_window(
            points, first[i], last[i], from_m[i], to_m[i], x[i], y[i], near[i]
        )
