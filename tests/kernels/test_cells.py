import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import cells
from tests.kernels import naive_cells as naive

pytestmark = pytest.mark.kernel

traversal = st.tuples(
    st.integers(0, 5), st.integers(0, 3), st.floats(0.1, 500.0), st.floats(0.1, 2000.0)
)  # cell, vehicle, metres, seconds


def sums(rows):
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return cells.window_sums(
        np.array(columns[0], np.int64), np.array(columns[1], np.int64), np.array(columns[2], float),
        np.array(columns[3], float), 4,
    )  # fmt: skip


@given(st.lists(traversal, max_size=30))
def test_sums_are_those_of_adding_up_row_by_row(rows):
    rows = sorted(rows, key=lambda r: r[0])
    cell, metres, seconds, samples, vehicles = sums(rows)
    got = {int(c): row for c, *row in zip(cell, metres, seconds, samples, vehicles, strict=True)}
    want = naive.window_sums(rows)
    assert got.keys() == want.keys()
    for c, row in got.items():
        assert row == pytest.approx(want[c], rel=1e-12)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_by_cell_is_a_stable_sort(cell):
    got = cells.by_cell(np.array(cell, np.int64), 6)
    assert got.tolist() == sorted(range(len(cell)), key=lambda i: cell[i])


def test_a_window_worked_by_hand():
    # two buses through cell 3 (one of them twice), one through cell 7 at 2 m/s
    rows = [(3, 0, 100.0, 10.0), (3, 1, 100.0, 40.0), (3, 0, 100.0, 50.0), (7, 1, 60.0, 30.0)]
    cell, metres, seconds, samples, vehicles = sums(rows)
    assert cell.tolist() == [3, 7]
    assert (metres / seconds).tolist() == [3.0, 2.0]
    assert samples.tolist() == [3, 1]
    assert vehicles.tolist() == [2, 1]


def test_nothing_adds_up_to_nothing():
    assert [len(column) for column in sums([])] == [0] * 5


@given(st.floats(0.01, 40.0), st.floats(0.5, 40.0))
def test_levels_are_the_first_limit_that_holds(speed, free):
    assert cells.levels(np.array([speed]), np.array([free]))[0] == naive.level(speed, free)


@pytest.mark.parametrize(("speed", "level"), [(6.7, 1), (6.69, 2), (5.0, 2), (4.99, 3), (3.0, 3), (2.99, 4), (0.0, 4)])
def test_limits_belong_to_the_better_level(speed, level):
    assert cells.levels(np.array([speed]), np.array([10.0]))[0] == level


def test_unknown_speed_has_no_level():
    assert cells.levels(np.array([np.nan, 5.0]), np.array([10.0, np.nan])).tolist() == [0, 0]


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 200.0)), max_size=4), min_size=1, max_size=4),
    st.lists(st.floats(0.05, 5.0), min_size=4, max_size=4),
    st.lists(st.floats(0.05, 5.0), min_size=4, max_size=4),
)
def test_jam_seconds_are_those_of_walking_the_link(links, now, usual):
    start = np.cumsum([0] + [len(link) for link in links])
    cell = np.array([c for link in links for c, _ in link], np.int64)
    metres = np.array([m for link in links for _, m in link], float)
    got = cells.jam_seconds(start.astype(np.int64), cell, metres, np.array(now), np.array(usual), 0.5)
    assert got == pytest.approx(naive.jam_seconds(links, now, usual, 0.5), rel=1e-9)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 80.0)), max_size=4), min_size=1, max_size=4),
    st.lists(st.floats(0.05, 5.0), min_size=4, max_size=4),
    st.lists(st.floats(0.05, 5.0), min_size=4, max_size=4),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.data(),
)
def test_what_cells_say_of_a_link_is_what_walking_it_says(links, pace, free, samples, data):
    start = np.cumsum([0] + [len(link) for link in links]).astype(np.int64)
    cell = np.array([c for link in links for c, _ in link], np.int64)
    metres = np.array([m for link in links for _, m in link], float)
    which = data.draw(st.lists(st.integers(0, len(links) - 1), unique=True))
    got = cells.along(np.array(which, np.int64), start, cell, metres, np.array(pace), np.array(free), np.array(samples))
    for i, link in enumerate(which):
        assert [column[i] for column in got] == pytest.approx(naive.along(links[link], pace, free, samples), rel=1e-9)


def test_a_jam_worked_by_hand():
    # 100 m at 1 s/m instead of 0.2 s/m is 80 s; the second cell is slower than usual but no jam
    got = cells.jam_seconds(
        np.array([0, 2, 2]), np.array([0, 1]), np.array([100.0, 100.0]), np.array([1.0, 0.3]), np.array([0.2, 0.2]), 0.5
    )
    assert got.tolist() == pytest.approx([80.0, 0.0])
