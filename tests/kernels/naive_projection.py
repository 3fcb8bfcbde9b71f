"""Slow twins of streams/kernels/projection.py."""

from itertools import combinations_with_replacement
from math import ceil, hypot, isnan


def pieces_of(line, dist, step=20.0):
    """[(a, b, dist of a, dist of b)] of at most `step` metres."""
    out = []
    for (a, da), (b, db) in zip(zip(line, dist, strict=True), list(zip(line, dist, strict=True))[1:], strict=False):
        k = max(1, ceil((db - da) / step))
        for q in range(k):
            f, g = q / k, (q + 1) / k
            start = (a[0] + f * (b[0] - a[0]), a[1] + f * (b[1] - a[1]))
            end = (a[0] + g * (b[0] - a[0]), a[1] + g * (b[1] - a[1]))
            out.append((start, end, da + f * (db - da), da + g * (db - da)))
    return out


def on_piece(stop, piece):
    """(metres along, metres off, side: cross product) of the nearest point of a piece."""
    (ax, ay), (bx, by), da, db = piece
    d2 = (bx - ax) ** 2 + (by - ay) ** 2
    t = min(1.0, max(0.0, ((stop[0] - ax) * (bx - ax) + (stop[1] - ay) * (by - ay)) / d2)) if d2 > 0 else 0.0
    ox, oy = stop[0] - (ax + t * (bx - ax)), stop[1] - (ay + t * (by - ay))
    return da + t * (db - da), hypot(ox, oy), (bx - ax) * oy - (by - ay) * ox


def assign_stops(stops, fractions, line, dist, side):
    """(distances, offsets, by how much the best assignment beats the second), of all monotone ones."""
    pieces = pieces_of(line, dist)
    found = [[on_piece(s, p) for p in pieces] for s in stops]

    def cost(i, j):
        along, off, cross = found[i][j]
        total = off**2
        if side and cross * side < 0 and off**2 > 1.0:
            total += 10.0
        if not isnan(fractions[i]):
            total += min((0.005 * (along - fractions[i] * dist[-1])) ** 2, 150.0)
        return total

    ranked = sorted(
        (sum(cost(i, j) for i, j in enumerate(way)), way)
        for way in combinations_with_replacement(range(len(pieces)), len(stops))
    )
    best = ranked[0][1]
    along = [found[i][j][0] for i, j in enumerate(best)]
    for i in range(1, len(along)):
        along[i] = max(along[i], along[i - 1])
    margin = ranked[1][0] - ranked[0][0] if len(ranked) > 1 else float("inf")
    return along, [found[i][j][1] for i, j in enumerate(best)], margin


def simplify(line, tolerance):
    """Positions kept by Douglas and Peucker, by recursion."""
    keep = {0, len(line) - 1}

    def split(a, b):
        offs = [on_piece(line[g], (line[a], line[b], 0.0, 1.0))[1] for g in range(a + 1, b)]
        if offs and max(offs) > tolerance:
            at = a + 1 + offs.index(max(offs))
            keep.add(at)
            split(a, at)
            split(at, b)

    split(0, len(line) - 1)
    return sorted(keep)
