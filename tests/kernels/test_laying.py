import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString, box

from streams.kernels import laying
from tests.kernels import naive_laying as naive

pytestmark = pytest.mark.kernel

STEP = 10.0
angle = st.sampled_from([0, 20, 45, 90, 180, 200, 270])


@st.composite
def lanes_of_road(draw):
    """A few wriggling shapes that start near each other, sampled; patterns on them; gates at the stops."""
    samples = []
    for _ in range(draw(st.integers(1, 2))):
        x, y = draw(st.integers(0, 30)), draw(st.integers(0, 30))
        line = []
        for bend in draw(st.lists(angle, min_size=1, max_size=3)):
            ux, uy = math.sin(math.radians(bend)), math.cos(math.radians(bend))
            for _ in range(draw(st.integers(2, 14))):
                line.append((float(x), float(y), ux, uy))
                x, y = x + STEP * ux, y + STEP * uy
        samples.append(line)
    shapes, busway, stops, gates = [], [], [], []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(st.integers(0, len(samples) - 1))
        length = (len(samples[shape]) - 1) * STEP
        places = sorted(draw(st.lists(st.floats(0, length), min_size=2, max_size=4)))
        lane = draw(st.integers(0, 1))
        own = []
        for d in places:
            own.append((d, len(gates)))
            gates.append((*samples[shape][int(d / STEP)], lane))
        shapes.append(shape)
        busway.append(lane)
        stops.append(own)
    return samples, shapes, busway, stops, gates


@given(lanes_of_road())
def test_gates_are_those_of_looking_at_every_gate(case):
    samples, shapes, busway, stops, gates = case
    sample_start = np.cumsum([0, *map(len, samples)]).astype(np.int32)
    stop_start = np.cumsum([0, *map(len, stops)]).astype(np.int32)
    places, lanes, start, dist, rows = laying.lay_gates(
        sample_start, np.array([s for line in samples for s in line]), STEP,
        np.array(shapes, np.int32), np.array(busway, np.int32), stop_start,
        np.array([d for own in stops for d, _ in own]), np.array([g for own in stops for _, g in own], np.int32),
        np.array([g[:4] for g in gates]), np.array([g[4] for g in gates], np.int32),
    )  # fmt: skip
    expected_gates, expected = naive.lay_gates(samples, STEP, shapes, busway, stops, gates)
    np.testing.assert_allclose(places, [g[:4] for g in expected_gates], atol=1e-6)
    assert lanes.tolist() == [g[4] for g in expected_gates]
    for p, row in enumerate(expected):
        mine = sorted(zip(dist[start[p] : start[p + 1]].round(6), *rows[start[p] : start[p + 1]].T, strict=True))
        assert mine == sorted((round(d, 6), g, pos) for d, g, pos in row)
        assert (np.diff(dist[start[p] : start[p + 1]]) >= 0).all()
        assert (np.diff(dist[start[p] : start[p + 1]]) <= 75.0 + 1e-9).all()


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 60.0)), min_size=1, max_size=8), min_size=1, max_size=3
    ),
    st.floats(0.5, 30.0),
)
def test_short_runs_join_a_neighbour(shapes, least):
    start = np.cumsum([0, *map(len, shapes)]).astype(np.int32)
    begin = np.array([sum(m for _, m in runs[:i]) for runs in shapes for i in range(len(runs))])
    length = np.array([sum(m for _, m in runs) for runs in shapes])
    key = np.array([k for runs in shapes for k, _ in runs], np.int64)
    out_start, out_key, out_begin = laying.merge_short(start, key, begin, length, least)
    for s, runs in enumerate(shapes):
        mine = slice(out_start[s], out_start[s + 1])
        old = list(zip(key[start[s] : start[s + 1]], begin[start[s] : start[s + 1]], strict=True))
        assert list(zip(out_key[mine], out_begin[mine], strict=True)) == naive.merge_short(old, length[s], least)
        assert out_begin[mine][0] == 0.0
        spans = np.diff([*out_begin[mine], length[s]])
        assert len(runs) == 1 or len(spans) == 1 or (spans >= least - 1e-9).all()
        assert (np.diff(out_key[mine]) != 0).all()


@given(st.lists(st.tuples(st.floats(5, 195), st.floats(5, 95)), min_size=2, max_size=6))
def test_a_segment_is_in_every_cell_it_crosses(points):
    xy = np.array(points)
    nx, ny, size = 10, 5, 20.0
    start, segments = laying.rasterise(
        xy[:, 0].copy(), xy[:, 1].copy(), np.zeros(len(points), np.int32), 0.0, 0.0, size, nx, ny
    )
    for g in range(len(points) - 1):
        line = LineString(points[g : g + 2])
        for c in range(nx * ny):
            cell = box(c % nx * size, c // nx * size, (c % nx + 1) * size, (c // nx + 1) * size)
            listed = g in segments[start[c] : start[c + 1]]
            if cell.buffer(-1e-6).intersection(line).length > 1e-6:  # an edge belongs to either side
                assert listed
            elif cell.distance(line) > 1e-6:
                assert not listed


def test_the_last_point_of_a_shape_starts_no_segment():
    start, segments = laying.rasterise(
        np.array([5.0, 15.0, 100.0, 110.0]), np.full(4, 5.0), np.array([0, 0, 1, 1], np.int32), 0.0, 0.0, 20.0, 10, 5
    )
    assert sorted(segments.tolist()) == [0, 2]
    assert start[-1] == 2
