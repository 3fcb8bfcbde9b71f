import numpy as np

from streams.gtfs import grid
from streams.gtfs.shapes import Shapes
from tests.drawing import draw


def test_a_place_on_a_shape_finds_its_segment():
    network, drawing = draw("A---B---C\n        |\n        D", {"R": "ABCD"}, metres_per_char=80)
    for dist in np.linspace(0, network.pattern_length_m[0], 50):
        lat, lon = drawing.along("R", dist)
        x, y = network.project(np.array(lat), np.array(lon))
        column = int((x - network.grid_x0) / network.grid_size_m)
        row = int((y - network.grid_y0) / network.grid_size_m)
        near = []
        for c in (column - 1, column, column + 1):
            for r in (row - 1, row, row + 1):
                if 0 <= c < network.grid_nx and 0 <= r < network.grid_ny:
                    cell = r * network.grid_nx + c
                    near += network.grid_segment[network.grid_start[cell] : network.grid_start[cell + 1]].tolist()
        segment = int(np.searchsorted(network.point_dist_m, dist, side="right")) - 1
        assert min(segment, len(network.point_x) - 2) in near


def test_a_huge_region_gets_larger_cells():
    x = np.array([0.0, 400_000.0, 400_000.0])
    y = np.array([0.0, 0.0, 300_000.0])
    found = grid.lay(Shapes(np.array([0, 3], np.int32), x, y, np.array([0.0, 400_000.0, 700_000.0])))
    assert found.nx * found.ny <= grid.MOST_CELLS
    assert found.size_m == 200.0
    assert found.start[-1] == len(found.segment)
