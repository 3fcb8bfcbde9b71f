"""Where a pattern's stops lie along its shape."""

import numpy as np

from streams.jit import kernel

STEP_M = 20.0  # resolution of the assignment; exact within the chosen piece
PACE_WEIGHT = 0.005  # (m off the timetable's place) -> m of offset: decides between two passes of one street
PACE_CAP = 150.0
SIDE_M2 = 10.0  # what standing on the wrong side of the road costs


@kernel
def assign_stops(
    stop_x,
    stop_y,
    stop_fraction,
    start,
    shape_ix,
    shape_start,
    point_x,
    point_y,
    point_dist,
    side,
    out_dist,
    out_offset,
):
    """One monotone assignment of all stops of each pattern to its shape, by dynamic programming.

    stop_x, stop_y   (n,) metres, the stops of all patterns one behind the other
    stop_fraction    (n,) share of the run's time that has passed there by the timetable; NaN unknown
    start            (p + 1,) CSR of patterns into stops
    shape_ix         (p,) shape of each pattern
    shape_start, point_x, point_y, point_dist   the shapes' points; dist is metres along
    side             +1 stops stand left of the line, -1 right, 0 unknown
    out_dist, out_offset   (n,) written: metres along, metres off the shape

    The sum of squared offsets over the whole trip is least among all assignments that never go back; a street driven
    twice is told apart by the order of stops, then by side and timetable. Distances never decrease within a pattern.
    """
    for p in range(len(shape_ix)):
        first, last = shape_start[shape_ix[p]], shape_start[shape_ix[p] + 1]
        pieces = 0
        for g in range(first, last - 1):
            pieces += max(1, int(np.ceil((point_dist[g + 1] - point_dist[g]) / STEP_M)))
        n = start[p + 1] - start[p]
        ax = np.empty(pieces)
        ay = np.empty(pieces)
        bx = np.empty(pieces)
        by = np.empty(pieces)
        ad = np.empty(pieces)
        bd = np.empty(pieces)
        m = 0
        for g in range(first, last - 1):
            k = max(1, int(np.ceil((point_dist[g + 1] - point_dist[g]) / STEP_M)))
            for q in range(k):
                f0, f1 = q / k, (q + 1) / k
                ax[m] = point_x[g] + f0 * (point_x[g + 1] - point_x[g])
                ay[m] = point_y[g] + f0 * (point_y[g + 1] - point_y[g])
                bx[m] = point_x[g] + f1 * (point_x[g + 1] - point_x[g])
                by[m] = point_y[g] + f1 * (point_y[g + 1] - point_y[g])
                ad[m] = point_dist[g] + f0 * (point_dist[g + 1] - point_dist[g])
                bd[m] = point_dist[g] + f1 * (point_dist[g + 1] - point_dist[g])
                m += 1
        length = point_dist[last - 1]
        best = np.zeros(pieces)
        back = np.empty((n, pieces), dtype=np.int32)
        for i in range(n):
            s = start[p] + i
            expected = stop_fraction[s] * length
            least, least_at = np.inf, 0
            for j in range(pieces):
                if i > 0 and best[j] < least:
                    least, least_at = best[j], j
                t = _along(stop_x[s], stop_y[s], ax[j], ay[j], bx[j], by[j])
                dx = bx[j] - ax[j]
                dy = by[j] - ay[j]
                ox = stop_x[s] - (ax[j] + t * dx)
                oy = stop_y[s] - (ay[j] + t * dy)
                offset2 = ox * ox + oy * oy
                cost = offset2
                if side != 0 and (dx * oy - dy * ox) * side < 0.0 and offset2 > 1.0:
                    cost += SIDE_M2
                if not np.isnan(expected):
                    off = PACE_WEIGHT * (ad[j] + t * (bd[j] - ad[j]) - expected)
                    cost += min(off * off, PACE_CAP)
                back[i, j] = least_at
                # best[j] of the stop before is not needed any more: `least` covers it
                best[j] = cost + (least if i > 0 else 0.0)
        j = 0
        for q in range(pieces):
            if best[q] < best[j]:
                j = q
        for i in range(n - 1, -1, -1):
            s = start[p] + i
            t = _along(stop_x[s], stop_y[s], ax[j], ay[j], bx[j], by[j])
            out_dist[s] = ad[j] + t * (bd[j] - ad[j])
            out_offset[s] = np.hypot(
                stop_x[s] - (ax[j] + t * (bx[j] - ax[j])), stop_y[s] - (ay[j] + t * (by[j] - ay[j]))
            )
            j = back[i, j]
        for s in range(start[p] + 1, start[p + 1]):
            out_dist[s] = max(out_dist[s], out_dist[s - 1])


@kernel
def nearest(stop_x, stop_y, start, shape_ix, shape_start, point_x, point_y, out_offset, out_side):
    """How far each stop lies off the nearest piece of its shape, whatever the order of stops, and on which side.

    Arguments as of `assign_stops`; out_offset (n,) metres; out_side (n,) i1: +1 left, -1 right, 0 within 2 m or beyond
    40 m, where a side means nothing.
    """
    for p in range(len(shape_ix)):
        first, last = shape_start[shape_ix[p]], shape_start[shape_ix[p] + 1]
        for s in range(start[p], start[p + 1]):
            least = np.inf
            cross = 0.0
            for g in range(first, last - 1):
                t = _along(stop_x[s], stop_y[s], point_x[g], point_y[g], point_x[g + 1], point_y[g + 1])
                dx = point_x[g + 1] - point_x[g]
                dy = point_y[g + 1] - point_y[g]
                ox = stop_x[s] - (point_x[g] + t * dx)
                oy = stop_y[s] - (point_y[g] + t * dy)
                if ox * ox + oy * oy < least:
                    least = ox * ox + oy * oy
                    cross = dx * oy - dy * ox
            out_offset[s] = np.sqrt(least)
            out_side[s] = 0
            if 4.0 <= least <= 1600.0:
                out_side[s] = 1 if cross > 0.0 else -1


@kernel
def _along(x, y, ax, ay, bx, by):
    dx = bx - ax
    dy = by - ay
    d2 = dx * dx + dy * dy
    if d2 <= 0.0:
        return 0.0
    return min(1.0, max(0.0, ((x - ax) * dx + (y - ay) * dy) / d2))


@kernel
def simplify(x, y, start, tolerance_m):
    """Which points draw each polyline (CSR `start`) to within `tolerance_m` (Douglas and Peucker 1973); ends always do.

    x, y (n,) metres. Returns keep (n,) bool.
    """
    keep = np.zeros(len(x), dtype=np.bool_)
    stack = np.empty((64, 2), dtype=np.int64)
    for s in range(len(start) - 1):
        if start[s] == start[s + 1]:
            continue
        keep[start[s]] = True
        keep[start[s + 1] - 1] = True
        stack[0, 0], stack[0, 1] = start[s], start[s + 1] - 1
        top = 1
        while top > 0:
            top -= 1
            a, b = stack[top, 0], stack[top, 1]
            worst, at = 0.0, -1
            for g in range(a + 1, b):
                t = _along(x[g], y[g], x[a], y[a], x[b], y[b])
                off = np.hypot(x[g] - (x[a] + t * (x[b] - x[a])), y[g] - (y[a] + t * (y[b] - y[a])))
                if off > worst:
                    worst, at = off, g
            if worst > tolerance_m:
                keep[at] = True
                # the longer part waits: the stack stays below log2(n)
                if at - a > b - at:
                    stack[top, 0], stack[top, 1] = a, at
                    stack[top + 1, 0], stack[top + 1, 1] = at, b
                else:
                    stack[top, 0], stack[top, 1] = at, b
                    stack[top + 1, 0], stack[top + 1, 1] = a, at
                top += 2
    return keep
