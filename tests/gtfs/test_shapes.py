import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString

from streams.gtfs.shapes import Shapes, along_m, haversine_m

place = st.tuples(st.floats(-500, 500), st.floats(-500, 500))
lines = st.lists(st.lists(place, min_size=2, max_size=6, unique=True), min_size=1, max_size=3)


def shapes_of(drawn):
    start = np.cumsum([0, *map(len, drawn)]).astype(np.int32)
    xy = np.array([p for line in drawn for p in line])
    dist = np.concatenate([[0.0, *np.cumsum(np.hypot(*np.diff(line, axis=0).T))] for line in drawn])
    return Shapes(start, xy[:, 0].copy(), xy[:, 1].copy(), dist)


@given(lines, st.floats(-50, 3000))
def test_a_place_along_is_that_of_shapely(drawn, dist):
    shapes = shapes_of(drawn)
    x, y = shapes.place_at(np.arange(len(drawn)), np.full(len(drawn), dist))
    for s, line in enumerate(drawn):
        expected = LineString(line).interpolate(min(max(dist, 0.0), shapes.length_m[s]))
        assert math.dist((x[s], y[s]), (expected.x, expected.y)) < 1e-6


@given(lines, st.floats(0, 3000))
def test_a_heading_is_a_unit_vector(drawn, dist):
    x, y = shapes_of(drawn).heading_at(np.arange(len(drawn)), np.full(len(drawn), dist))
    np.testing.assert_allclose(np.hypot(x, y), 1.0)


def test_headings():
    shapes = shapes_of([[(0, 0), (0, 100), (100, 100)], [(0, 0), (200, 0), (0, 0)]])
    shape, dist = np.array([0, 0, 0, 1, 1, 1]), np.array([50.0, 100.0, 150.0, 100.0, 200.0, 300.0])
    hx, hy = shapes.heading_at(shape, dist)
    degrees = np.degrees(np.arctan2(hx, hy)) % 360
    np.testing.assert_allclose(degrees, [0, 45, 90, 90, 270, 270], atol=1e-6)


def test_a_shape_without_length_has_a_heading_too():
    shapes = Shapes(np.array([0, 2], np.int32), np.zeros(2), np.zeros(2), np.zeros(2))
    hx, hy = shapes.heading_at(np.array([0]), np.array([0.0]))
    assert (hx[0], hy[0]) == (0.0, 1.0)


@given(lines, st.sampled_from([5.0, 10.0]))
def test_samples(drawn, step):
    shapes = shapes_of(drawn)
    start, shape, dist = shapes.samples(step)
    for s in range(len(drawn)):
        mine = slice(start[s], start[s + 1])
        assert (shape[mine] == s).all()
        np.testing.assert_allclose(dist[mine], np.arange(len(dist[mine])) * step)
        assert dist[mine][-1] <= shapes.length_m[s] < dist[mine][-1] + step
    part = shapes.samples(step, 1)
    np.testing.assert_array_equal(part[2], dist[start[1] :])


def test_metres_on_the_sphere():
    one_degree = 6_371_008.8 * math.pi / 180
    assert haversine_m(*map(np.array, (0.0, 0.0, 1.0, 0.0))) == pytest.approx(one_degree)
    assert haversine_m(*map(np.array, (60.0, 179.5, 60.0, -179.5))) == pytest.approx(one_degree / 2, rel=1e-4)


def test_sums_start_anew_with_every_line():
    start = np.array([0, 2, 5], np.int32)
    dist = along_m(start, np.array([0.0, 1.0, 9.0, 9.0, 10.0]), np.zeros(5))
    one = 6_371_008.8 * math.pi / 180
    np.testing.assert_allclose(dist, [0, one, 0, 0, one])
