import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely import LineString, Point

from streams.kernels import projection
from tests.kernels import naive_projection as naive

pytestmark = pytest.mark.kernel

place = st.tuples(st.integers(-12, 12), st.integers(-12, 12)).map(lambda p: (p[0] * 4.0, p[1] * 4.0))
lines = st.lists(place, min_size=2, max_size=5)
sides = st.sampled_from([-1, 0, 1])


def along(line):
    out = [0.0]
    for a, b in pairwise(line):
        out.append(out[-1] + math.dist(a, b))
    return out


def assign(stops, fractions, line, side=0):
    dist = np.array(along(line))
    xy = np.array(line, float)
    stop = np.array(stops, float)
    out_dist, out_offset = np.empty(len(stops)), np.empty(len(stops))
    projection.assign_stops(
        stop[:, 0].copy(), stop[:, 1].copy(), np.array(fractions, float), np.array([0, len(stops)], np.int32),
        np.array([0], np.int32), np.array([0, len(line)], np.int32), xy[:, 0].copy(), xy[:, 1].copy(), dist, side,
        out_dist, out_offset,
    )  # fmt: skip
    return out_dist, out_offset


@given(st.lists(place, min_size=1, max_size=3), lines, sides, st.booleans())
def test_assignment_is_the_best_of_all_monotone_ones(stops, line, side, timed):
    dist = along(line)
    assume(len(naive.pieces_of(line, dist)) <= 16)
    fractions = [i / max(1, len(stops) - 1) if timed else math.nan for i in range(len(stops))]
    expected, offset, margin = naive.assign_stops(stops, fractions, line, dist, side)
    assume(margin > 1e-6)
    got, off = assign(stops, fractions, line, side)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(off, offset, atol=1e-6)


@given(st.lists(place, min_size=1, max_size=8), lines, sides)
def test_distances_never_decrease_and_stay_on_the_line(stops, line, side):
    got, _ = assign(stops, [math.nan] * len(stops), line, side)
    assert (np.diff(got) >= 0).all()
    assert got.min() >= 0
    assert got.max() <= along(line)[-1] + 1e-9


@given(st.lists(place, min_size=1, max_size=5), lines)
def test_no_stop_is_put_nearer_than_the_line_is(stops, line):
    _, off = assign(stops, [math.nan] * len(stops), line)
    assert all(o >= LineString(line).distance(Point(s)) - 1e-9 for o, s in zip(off, stops, strict=True))


def test_out_and_back_puts_the_second_call_on_the_way_back():
    line = [(0.0, 0.0), (500.0, 0.0), (0.0, 0.0)]
    got, _ = assign([(100.0, 0.0), (500.0, 0.0), (100.0, 0.0)], [math.nan] * 3, line)
    np.testing.assert_allclose(got, [100.0, 500.0, 900.0], atol=1e-6)


def test_a_loop_ends_at_its_end():
    line = [(0.0, 0.0), (300.0, 0.0), (300.0, 300.0), (0.0, 300.0), (0.0, 0.0)]
    got, _ = assign([(0.0, 0.0), (300.0, 300.0), (0.0, 0.0)], [math.nan] * 3, line)
    np.testing.assert_allclose(got, [0.0, 600.0, 1200.0], atol=1e-6)


@pytest.mark.parametrize(("fraction", "expected"), [(0.2, 200.0), (0.8, 800.0)])
def test_the_timetable_tells_two_passes_of_one_street_apart(fraction, expected):
    line = [(0.0, 0.0), (500.0, 0.0), (0.0, 0.0)]
    got, _ = assign([(0.0, 0.0), (200.0, 0.0), (0.0, 0.0)], [0.0, fraction, 1.0], line)
    assert got[1] == pytest.approx(expected)


@pytest.mark.parametrize(("side", "expected"), [(1, 200.0), (-1, 800.0)])
def test_the_side_of_the_road_tells_them_apart_too(side, expected):
    line = [(0.0, 0.0), (500.0, 0.0), (0.0, 0.0)]
    got, _ = assign([(0.0, 0.0), (200.0, 5.0), (0.0, 0.0)], [math.nan] * 3, line, side)
    assert got[1] == pytest.approx(expected)


@given(st.lists(place, min_size=1, max_size=5), lines)
def test_nearest_agrees_with_shapely(stops, line):
    stop, xy = np.array(stops, float), np.array(line, float)
    offset, side = np.empty(len(stops)), np.zeros(len(stops), np.int8)
    projection.nearest(
        stop[:, 0].copy(), stop[:, 1].copy(), np.array([0, len(stops)], np.int32), np.array([0], np.int32),
        np.array([0, len(line)], np.int32), xy[:, 0].copy(), xy[:, 1].copy(), offset, side,
    )  # fmt: skip
    np.testing.assert_allclose(offset, [LineString(line).distance(Point(s)) for s in stops], atol=1e-9)
    assert all(s == 0 for s, o in zip(side, offset, strict=True) if o < 2.0 or o > 40.0)


def test_left_is_left():
    offset, side = np.empty(2), np.zeros(2, np.int8)
    projection.nearest(
        np.array([50.0, 50.0]), np.array([5.0, -5.0]), np.array([0, 2], np.int32), np.array([0], np.int32),
        np.array([0, 2], np.int32), np.array([0.0, 100.0]), np.array([0.0, 0.0]), offset, side,
    )  # fmt: skip
    assert side.tolist() == [1, -1]


@given(st.lists(lines, min_size=1, max_size=3), st.floats(0.5, 20.0))
def test_simplify_agrees_with_recursion(drawn, tolerance):
    start = np.cumsum([0, *map(len, drawn)]).astype(np.int32)
    xy = np.array([p for line in drawn for p in line], float)
    keep = projection.simplify(xy[:, 0].copy(), xy[:, 1].copy(), start, tolerance)
    for a, b, line in zip(start[:-1], start[1:], drawn, strict=True):
        kept = np.flatnonzero(keep[a:b]).tolist()
        assert kept == naive.simplify(line, tolerance)
        short = LineString([line[i] for i in kept])
        assert all(short.distance(Point(p)) <= tolerance + 1e-9 for p in line)
