import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import fleet
from tests.kernels import naive_fleet as naive

pytestmark = pytest.mark.kernel

row = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-1, 2))  # vehicle, time, rank


def columns(rows):
    vehicle, at, *rank = list(zip(*rows, strict=True)) or [(), (), ()]
    return [np.array(vehicle, np.int64), np.array(at, float), *(np.array(r, np.int64) for r in rank)]


@given(st.lists(row, max_size=20))
def test_a_row_is_the_newest_yet_when_none_before_it_is_greater(rows):
    at, rank = np.full(4, np.nan), np.full(4, -1, np.int64)
    assert fleet.newest_yet(*columns(rows), at, rank).tolist() == naive.newest_yet(rows)
    for v in {row[0] for row in rows}:
        assert (at[v], rank[v]) == max(row[1:] for row in rows if row[0] == v)


def test_a_row_equal_to_the_newest_takes_its_place():
    rows = columns([(0, 7, 1), (1, 7, 1), (0, 7, 1), (0, 7, 0)])
    assert fleet.newest_yet(*rows, np.full(2, np.nan), np.full(2, -1)).tolist() == [True, True, True, False]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 4)), max_size=20))
def test_a_level_is_the_greatest_that_was_said(rows):
    level = np.array([-np.inf, 1.0, 3.0, -np.inf])
    want = naive.raise_to(level.tolist(), rows)
    vehicle, value, *_ = columns(rows)
    reached = fleet.raise_to(level, vehicle, value)
    assert level.tolist() == want
    begin = [-np.inf, 1.0, 3.0, -np.inf]
    assert reached.tolist() == [at >= naive.raise_to(begin, rows[:i])[v] for i, (v, at) in enumerate(rows)]


def test_a_level_that_is_not_known_yet_is_reached_by_anything():
    level = np.full(1, np.nan)
    assert fleet.raise_to(level, np.zeros(3, np.int64), np.array([5.0, 4.0, 5.0])).tolist() == [True, False, True]
    assert level.tolist() == [5.0]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.none(), st.sampled_from([0.0, 20.0, 50.0, 90.0])), st.integers(0, 1)),
        max_size=20,
    )
)
def test_a_vehicle_moves_when_it_gets_far_enough_or_onto_another_run(rows):
    rows = [(v, float(i), dist, run) for i, (v, dist, run) in enumerate(rows)]
    at, m, run = np.full(3, np.nan), np.full(3, np.nan), np.full(3, -1, np.int64)
    vehicle, when, dist, on = list(zip(*rows, strict=True)) or [(), (), (), ()]
    where = np.array([np.nan if d is None else d for d in dist], float)
    fleet.move(np.array(vehicle, np.int64), np.array(when), where, np.array(on, np.int64), 30.0, at, m, run)
    for v, row in naive.move(rows, 30.0).items():
        assert (at[v], run[v]) == (row[1], row[3])
        assert m[v] == row[2] or (np.isnan(m[v]) and row[2] is None)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(100, 163)), max_size=40), st.integers(1, 40))
def test_a_minute_counts_the_vehicles_heard_in_it_once(rows, size):
    newest, mask = np.full(4, -1, np.int64), np.zeros(4, np.uint64)
    held, count = np.full(64, -1, np.int64), np.zeros(64, np.int64)
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        before = dict(zip(held.tolist(), count.tolist(), strict=True))
        vehicle, minute = (np.array(c, np.int64) for c in zip(*part, strict=True))
        row, changed = fleet.hear(0, vehicle, minute, np.zeros(len(part), np.int64), newest, mask, held, count)
        assert row == len(part)
        after = dict(zip(held.tolist(), count.tolist(), strict=True))
        newest_of_all = max(before)
        others = {m for m in after if m >= 0 and after[m] != before.get(m, 0)} - {newest_of_all}
        assert changed == bool(others)
    told = {m: c for m, c in zip(held.tolist(), count.tolist(), strict=True) if m >= 0}
    assert told == naive.hear(rows)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(100, 163), st.booleans()), min_size=1, max_size=30))
def test_hearing_stops_behind_each_record_that_changes_an_older_minute(rows):
    def heard():
        return np.full(4, -1, np.int64), np.zeros(4, np.uint64), np.full(64, -1, np.int64), np.zeros(64, np.int64)

    vehicle, minute = (np.array(c, np.int64) for c in list(zip(*rows, strict=True))[:2])
    record = np.cumsum([new for _, _, new in rows]).astype(np.int64)
    one_by_one, changed = heard(), []
    for r in np.unique(record):
        mine = np.flatnonzero(record == r)
        if fleet.hear(0, vehicle[mine], minute[mine], record[mine], *one_by_one)[1]:
            changed.append(r)
    together, stopped, row = heard(), [], 0
    while row < len(rows):
        row, change = fleet.hear(row, vehicle, minute, record, *together)
        if change:
            stopped.append(record[row - 1])
    assert stopped == changed
    assert all((a == b).all() for a, b in zip(together, one_by_one, strict=True))


def test_an_hour_and_more_before_the_newest_is_not_counted_and_an_older_place_is_taken_over():
    newest, mask = np.full(1, -1, np.int64), np.zeros(1, np.uint64)
    held, count = np.full(100, -1, np.int64), np.zeros(100, np.int64)
    vehicle = record = np.zeros(4, np.int64)
    fleet.hear(0, vehicle, np.array([50, 150, 86, 87]), record, newest, mask, held, count)
    assert {m: c for m, c in zip(held.tolist(), count.tolist(), strict=True) if m >= 0} == {150: 1, 87: 1}
