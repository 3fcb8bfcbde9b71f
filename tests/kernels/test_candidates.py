"""Shapes near a place: the grid finds what looking at every shape finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.tables import tables_of
from streams.kernels.candidates import MAX_CANDIDATES, SAME_PASS_M, near_shapes, nearest_shapes
from tests.drawing import draw
from tests.kernels import naive_track as naive

pytestmark = pytest.mark.kernel


def town():
    network, _ = draw(
        """
        A---B---C---D
            |   |
            E---F---G
        """,
        routes={"R": "ABCD", "R-back": "DCBA", "O": "ABEFCBA", "S": "GFEB"},
        metres_per_char=70,
    )
    return network, tables_of(network)


def shapes(network):
    bounds = zip(network.shape_start[:-1], network.shape_start[1:], strict=True)
    points = np.column_stack([network.point_x, network.point_y, network.point_dist_m])
    return [points[a:b].tolist() for a, b in bounds]


@given(st.floats(-0.1, 1.1), st.floats(-0.3, 1.3))
def test_the_grid_agrees_with_looking_at_every_shape(across, down):
    network, tables = town()
    x = network.point_x.min() + across * np.ptp(network.point_x)
    y = network.point_y.min() + down * np.ptp(network.point_y)
    near = np.zeros((MAX_CANDIDATES, 4))
    size = float(network.grid_size_m)
    n = near_shapes(tables, x, y, size, 1, near)
    found = sorted((int(s), o) for s, _, o in near[:n, :3])
    expected = naive.passes(shapes(network), x, y, size, SAME_PASS_M)
    # Each pass that the slow way finds is found as near; one pass may be cut in two where a shape winds.
    for shape, dist, offset in expected:
        alike = [o for s, d, o in near[:n, :3].tolist() if s == shape and abs(d - dist) <= SAME_PASS_M]
        assert min(alike, default=np.inf) <= offset + 1e-6
    assert {s for s, _ in found} == {s for s, _, _ in expected}
    for k in range(n):
        assert near[k, 2] <= size
        assert network.point_shape_ix[int(near[k, 3])] == near[k, 0]


def test_a_wider_ring_answers_where_nothing_is_near():
    network, tables = town()
    near = np.zeros((MAX_CANDIDATES, 4))
    x, y = float(network.point_x[0]), float(network.point_y.max() + 3.3 * network.grid_size_m)
    assert near_shapes(tables, x, y, float(network.grid_size_m), 1, near) == 0
    n = nearest_shapes(tables, x, y, near)
    assert n > 0
    assert near[:n, 2].min() == pytest.approx(3.3 * network.grid_size_m, abs=1.0)
    assert nearest_shapes(tables, x, y + 1e5, near) == 0
