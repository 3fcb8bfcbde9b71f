"""The grid that finds which shapes run near a ping."""

from dataclasses import dataclass

import numpy as np

from streams.gtfs.shapes import Shapes
from streams.kernels.laying import rasterise

SIZE_M = 50.0
MOST_CELLS = 4_000_000  # 16 MB of starts; a larger region gets larger cells

Array = np.ndarray


@dataclass(frozen=True)
class Grid:
    """Columns `grid_*` of the network."""

    x0: float
    y0: float
    size_m: float
    nx: int
    ny: int
    start: Array
    segment: Array


def lay(shapes: Shapes) -> Grid:
    """Square cells over everything the shapes cover, a cell's width wider on each side."""
    size = SIZE_M
    while True:
        x0, y0 = float(shapes.x.min()) - size, float(shapes.y.min()) - size
        nx = int((float(shapes.x.max()) - x0) / size) + 2
        ny = int((float(shapes.y.max()) - y0) / size) + 2
        if nx * ny <= MOST_CELLS:
            break
        size *= 2
    start, segment = rasterise(shapes.x, shapes.y, shapes.point_shape_ix, x0, y0, size, nx, ny)
    return Grid(x0, y0, size, nx, ny, start, segment)
