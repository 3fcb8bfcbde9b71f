"""Snapping to a shape: against every segment tried, and its laws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels.geometry import snap_window, snap_windows
from tests.kernels import naive_track as naive

pytestmark = pytest.mark.kernel

metres = st.integers(-300, 300).map(float)


@st.composite
def shapes(draw):
    """A shape with repeated points, self-crossings and segments of no length, between two others."""
    xy = draw(st.lists(st.tuples(metres, metres), min_size=2, max_size=12))
    steps = [0.0] + [float(np.hypot(b[0] - a[0], b[1] - a[1])) for a, b in pairwise(xy)]
    own = np.column_stack([np.array(xy), np.cumsum(steps)])
    other = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 50.0]])
    return np.ascontiguousarray(np.concatenate([other, own, other])), 2, 2 + len(own) - 1


@given(shapes(), metres, metres, st.floats(-50, 1500), st.floats(0, 800), st.integers(-5, 30))
def test_snap_agrees_with_trying_every_segment(shape, x, y, from_m, width, near):
    points, first, last = shape
    dist, offset, segment = snap_window(points, first, last, from_m, from_m + width, x, y, near)
    expected_dist, expected_offset = naive.snap_window(points.tolist(), first, last, from_m, from_m + width, x, y)
    assert offset == pytest.approx(expected_offset, abs=1e-6)
    if np.isinf(expected_offset):
        assert np.isnan(dist)
        return
    # Two places may be equally near: then either of them is right.
    if abs(dist - expected_dist) > 1e-6:
        again = naive.snap_window(points.tolist(), first, last, dist - 1e-9, dist + 1e-9, x, y)[1]
        assert again == pytest.approx(expected_offset, abs=1e-5)
    assert from_m - 1e-6 <= dist <= from_m + width + 1e-6
    assert first <= segment < last


@given(shapes(), metres, metres)
def test_a_place_on_the_shape_is_no_farther_than_either_end_of_any_segment(shape, x, y):
    points, first, last = shape
    offset = snap_window(points, first, last, 0.0, np.inf, x, y, first)[1]
    corners = np.hypot(points[first : last + 1, 0] - x, points[first : last + 1, 1] - y)
    assert offset <= corners.min() + 1e-9


@given(shapes(), metres, metres, st.integers(-1000, 1000))
def test_shifting_the_map_changes_nothing(shape, x, y, shift):
    points, first, last = shape
    moved = points + np.array([float(shift), -2.0 * shift, 0.0])
    here = snap_window(points, first, last, 0.0, 5000.0, x, y, first)
    there = snap_window(moved, first, last, 0.0, 5000.0, x + shift, y - 2.0 * shift, first)
    assert there[1] == pytest.approx(here[1], abs=1e-6)


@pytest.mark.parametrize("window", [(100.5, 200.0), (-50.0, -1.0), (60.0, 40.0)])
def test_an_empty_window_says_so(window):
    points = np.array([[0.0, 0.0, 0.0], [100.0, 0.0, 100.0]])
    dist, offset, _ = snap_window(points, 0, 1, *window, 10.0, 3.0, 0)
    assert np.isnan(dist)
    assert np.isinf(offset)


@given(shapes(), st.lists(st.tuples(metres, metres, st.floats(0, 500)), min_size=1, max_size=5))
def test_many_at_once_are_each_as_one(shape, places):
    points, first, last = shape
    x, y, low = (np.array(v) for v in zip(*places, strict=True))
    n = len(places)
    dist, offset, segment = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64)
    near = np.linspace(first - 1, last + 1, n).astype(np.int64)
    snap_windows(
        points, np.full(n, first), np.full(n, last), near, low, low + 100.0, x, y, dist, offset, segment
    )  # fmt: skip
    for i in range(n):
        expected = snap_window(points, first, last, low[i], low[i] + 100.0, x[i], y[i], near[i])
        assert naive.same(dist[i], expected[0])
        assert (offset[i], segment[i]) == expected[1:]
