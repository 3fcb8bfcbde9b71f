"""Which shapes pass near a place: a lookup in a grid of shape segments.

The cell of the place and its eight neighbours answer for everything within one cell size; where they hold nothing
near enough, wider rings are tried.
"""

import numpy as np

from streams.jit import inner, lean, prefetch
from streams.kernels.tables import GRID, GRID_NX, GRID_NY, GRID_SEGMENT, GRID_START, SHAPE

MAX_CANDIDATES = 256
AHEAD = 8  # segments to come that are asked for
SAME_PASS_M = 120.0  # hits on one shape closer than this along it are one pass of the shape by the place


@inner
def _expect_segment(tables, i):
    prefetch(tables.points, 3 * i)
    prefetch(tables.points, 3 * i + 5)
    prefetch(tables.segments, 4 * i)


@lean
def expect_near(tables, x, y, soon):
    """Ask for what `near_shapes` will read of the grid at (x, y): where the lists begin, then (`soon`) the lists."""
    grid = tables.at[GRID]
    size, nx, ny = tables.f[grid + 2], tables.at[GRID_NX], tables.at[GRID_NY]
    column = int(np.floor((x - tables.f[grid]) / size))
    row = int(np.floor((y - tables.f[grid + 1]) / size))
    if column < 1 or column >= nx - 1 or row < 1 or row >= ny - 1:
        return
    for r in range(row - 1, row + 2):
        cell = tables.at[GRID_START] + r * nx + column - 1
        if soon:
            place = tables.at[GRID_SEGMENT] + tables.i[cell]
            prefetch(tables.i, place)
            prefetch(tables.i, place + 16)
        else:
            prefetch(tables.i, cell)


@lean
def near_shapes(tables, x, y, radius_m, rings, near):
    """Every pass of a shape within `radius_m` of (x, y): its nearest place there.

    tables   Tables: grid and shape points
    rings    how many rings of cells around the own one to read
    near     f8 (MAX_CANDIDATES, 4), written: shape_ix, metres along, offset in metres, first point of the segment

    Returns how many were found; more than MAX_CANDIDATES are cut off (the grid's order decides which).
    """
    n = 0
    grid = tables.at[GRID]
    size, nx, ny = tables.f[grid + 2], tables.at[GRID_NX], tables.at[GRID_NY]
    column = int(np.floor((x - tables.f[grid]) / size))
    row = int(np.floor((y - tables.f[grid + 1]) / size))
    limit = radius_m * radius_m
    points = tables.points
    west, east = max(0, column - rings), min(nx - 1, column + rings)
    cells, lists = tables.at[GRID_START], tables.at[GRID_SEGMENT]
    if west > east:
        return 0
    south, north = max(0, row - rings), min(ny - 1, row + rings)
    for r in range(south, north + 1):
        first, end = lists + tables.i[cells + r * nx + west], lists + tables.i[cells + r * nx + east + 1]
        for k in range(first, min(end, first + AHEAD)):
            _expect_segment(tables, tables.i[k])
    for r in range(south, north + 1):
        # The cells of a row lie side by side, and so do their lists.
        first, end = lists + tables.i[cells + r * nx + west], lists + tables.i[cells + r * nx + east + 1]
        for k in range(first, end):
            if k + AHEAD < end:
                _expect_segment(tables, tables.i[k + AHEAD])
            i = tables.i[k]
            ax, ay = points[i, 0], points[i, 1]
            ex, ey = points[i + 1, 0] - ax, points[i + 1, 1] - ay
            # Most segments of nine cells are too far away: told without a division.
            if (
                min(ax, ax + ex) > x + radius_m
                or max(ax, ax + ex) < x - radius_m
                or min(ay, ay + ey) > y + radius_m
                or max(ay, ay + ey) < y - radius_m
            ):
                continue
            square = ex * ex + ey * ey
            if square <= 0.0:
                continue
            u = min(1.0, max(0.0, ((x - ax) * ex + (y - ay) * ey) / square))
            dx, dy = x - (ax + u * ex), y - (ay + u * ey)
            d2 = dx * dx + dy * dy
            if d2 > limit:
                continue
            shape = tables.segments[i, SHAPE]
            dist = points[i, 2] + u * (points[i + 1, 2] - points[i, 2])
            offset = np.sqrt(d2)
            at = -1
            for j in range(n):
                if near[j, 0] == shape and abs(near[j, 1] - dist) < SAME_PASS_M:
                    at = j
                    break
            if at >= 0:
                if offset > near[at, 2] or (offset == near[at, 2] and dist >= near[at, 1]):
                    continue
            elif n < MAX_CANDIDATES:
                at = n
                n += 1
            else:
                continue
            near[at, 0], near[at, 1], near[at, 2], near[at, 3] = shape, dist, offset, i
    return n


@lean
def nearest_shapes(tables, x, y, near):
    """`near_shapes` within one cell size, else within two, four and eight: the first that finds anything."""
    rings = 1
    while rings <= 8:
        n = near_shapes(tables, x, y, rings * tables.f[tables.at[GRID] + 2], rings, near)
        if n > 0:
            return n
        rings *= 2
    return 0
