"""Which shapes pass near a place: a lookup in a grid of shape segments.

The cell of the place and its eight neighbours answer for everything within one cell size; where they hold nothing
near enough, wider rings are tried.
"""

import numpy as np

from streams.jit import kernel

MAX_CANDIDATES = 256
SAME_PASS_M = 120.0  # hits on one shape closer than this along it are one pass of the shape by the place


@kernel
def near_shapes(tables, x, y, radius_m, rings, out_shape, out_dist, out_offset, out_east, out_north):
    """Every pass of a shape within `radius_m` of (x, y): its nearest place there.

    tables   Tables: grid and shape points
    rings    how many rings of cells around the own one to read
    out_*    (MAX_CANDIDATES,) shape_ix, metres along, offset in metres, direction as a unit vector

    Returns how many were found; more than MAX_CANDIDATES are cut off (the grid's order decides which).
    """
    n = 0
    column = int(np.floor((x - tables.grid_x0) / tables.grid_size_m))
    row = int(np.floor((y - tables.grid_y0) / tables.grid_size_m))
    limit = radius_m * radius_m
    px, py, pd = tables.point_x, tables.point_y, tables.point_dist_m
    for r in range(max(0, row - rings), min(tables.grid_ny - 1, row + rings) + 1):
        for c in range(max(0, column - rings), min(tables.grid_nx - 1, column + rings) + 1):
            cell = r * tables.grid_nx + c
            for k in range(tables.grid_start[cell], tables.grid_start[cell + 1]):
                i = tables.grid_segment[k]
                ax, ay = px[i], py[i]
                ex, ey = px[i + 1] - ax, py[i + 1] - ay
                square = ex * ex + ey * ey
                if square <= 0.0:
                    continue
                u = min(1.0, max(0.0, ((x - ax) * ex + (y - ay) * ey) / square))
                dx, dy = x - (ax + u * ex), y - (ay + u * ey)
                d2 = dx * dx + dy * dy
                if d2 > limit:
                    continue
                shape = tables.point_shape_ix[i]
                dist = pd[i] + u * (pd[i + 1] - pd[i])
                offset = np.sqrt(d2)
                at = -1
                for j in range(n):
                    if out_shape[j] == shape and abs(out_dist[j] - dist) < SAME_PASS_M:
                        at = j
                        break
                if at >= 0:
                    if offset > out_offset[at] or (offset == out_offset[at] and dist >= out_dist[at]):
                        continue
                elif n < MAX_CANDIDATES:
                    at = n
                    n += 1
                else:
                    continue
                norm = np.sqrt(square)
                out_shape[at] = shape
                out_dist[at] = dist
                out_offset[at] = offset
                out_east[at] = ex / norm
                out_north[at] = ey / norm
    return n


@kernel
def nearest_shapes(tables, x, y, out_shape, out_dist, out_offset, out_east, out_north):
    """`near_shapes` within one cell size, else within two, four and eight: the first that finds anything."""
    rings = 1
    while rings <= 8:
        n = near_shapes(
            tables, x, y, rings * tables.grid_size_m, rings, out_shape, out_dist, out_offset, out_east, out_north
        )
        if n > 0:
            return n
        rings *= 2
    return 0
