"""Slow twins of the tracker's kernels, in plain Python: the obvious way, whatever it costs."""

from itertools import pairwise
from math import hypot, inf, isnan, nan


def snap_window(points, first, last, from_m, to_m, x, y):
    """Every segment of the shape, cut to the window, the nearest place of each."""
    best = (nan, inf)
    for i in range(first, last):
        (ax, ay, a), (bx, by, b) = points[i], points[i + 1]
        if b < from_m or a > to_m:
            continue
        low = max(0.0, (from_m - a) / (b - a)) if b > a else 0.0
        high = min(1.0, (to_m - a) / (b - a)) if b > a else 1.0
        square = (bx - ax) ** 2 + (by - ay) ** 2
        u = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square if square > 0 else 0.0
        u = min(high, max(low, min(1.0, max(0.0, u))))
        offset = hypot(x - ax - u * (bx - ax), y - ay - u * (by - ay))
        if offset < best[1]:
            best = (a + u * (b - a), offset)
    return best


def passes(shapes, x, y, radius_m, apart_m):
    """Of each shape (lists of x, y, dist) the places within the radius, nearest first, others nearby left out."""
    out = []
    for k, points in enumerate(shapes):
        hits = []
        for (ax, ay, a), (bx, by, b) in pairwise(points):
            square = (bx - ax) ** 2 + (by - ay) ** 2
            if square == 0:
                continue
            u = min(1.0, max(0.0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / square))
            offset = hypot(x - ax - u * (bx - ax), y - ay - u * (by - ay))
            if offset <= radius_m:
                hits.append((offset, a + u * (b - a)))
        hits.sort()
        kept = []
        for offset, dist in hits:
            if all(abs(dist - other) >= apart_m for _, other in kept):
                kept.append((offset, dist))
        out += [(k, dist, offset) for offset, dist in kept]
    return out


def planned_s(dist_m, departure_s, place_m):
    """Time of the timetable at a place, straight between stops."""
    if place_m <= dist_m[0]:
        return 0.0
    for a, b, from_s, to_s in zip(dist_m, dist_m[1:], departure_s, departure_s[1:], strict=False):
        if a <= place_m < b:
            return from_s + (place_m - a) / (b - a) * (to_s - from_s)
    return departure_s[-1]


def crossing_times(track, gates):
    """When a course of (time, metres), straight between its points, first reaches each gate; None: never."""
    out = []
    for gate in gates:
        found = None
        for (t0, d0), (t1, d1) in pairwise(track):
            if d1 >= gate:
                found = t0 if d0 >= gate else t0 + (gate - d0) / (d1 - d0) * (t1 - t0)
                break
        out.append(found)
    return out


def same(a, b):
    """Equal, unknown being equal to unknown."""
    return (a is None and b is None) or (isnan(a) and isnan(b)) or a == b
