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
def test_newest_rows_are_the_last_of_each_vehicle_when_sorted(rows):
    assert fleet.newest_rows(*columns(rows), 4).tolist() == naive.newest_rows(rows)


def test_of_equal_rows_the_last_counts():
    assert fleet.newest_rows(*columns([(0, 7, 1), (1, 7, 1), (0, 7, 1), (0, 7, 0)]), 2).tolist() == [1, 2]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 4)), max_size=20))
def test_a_level_is_the_greatest_that_was_said(rows):
    level = np.array([-np.inf, 1.0, 3.0, -np.inf])
    want = naive.raise_to(level.tolist(), rows)
    vehicle, value, *_ = columns(rows)
    fleet.raise_to(level, vehicle, value)
    assert level.tolist() == want


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(100, 163)), max_size=40), st.integers(1, 40))
def test_a_minute_counts_the_vehicles_heard_in_it_once(rows, size):
    newest, mask = np.full(4, -1, np.int64), np.zeros(4, np.uint64)
    held, count = np.full(64, -1, np.int64), np.zeros(64, np.int64)
    for at in range(0, len(rows), size):
        part = rows[at : at + size]
        before = dict(zip(held.tolist(), count.tolist(), strict=True))
        vehicle, minute = (np.array(c, np.int64) for c in zip(*part, strict=True))
        changed = fleet.hear(vehicle, minute, newest, mask, held, count)
        after = dict(zip(held.tolist(), count.tolist(), strict=True))
        newest_of_all = max(before)
        others = {m for m in after if m >= 0 and after[m] != before.get(m, 0)} - {newest_of_all}
        assert changed == bool(others)
    told = {m: c for m, c in zip(held.tolist(), count.tolist(), strict=True) if m >= 0}
    assert told == naive.hear(rows)


def test_an_hour_and_more_before_the_newest_is_not_counted_and_an_older_place_is_taken_over():
    newest, mask = np.full(1, -1, np.int64), np.zeros(1, np.uint64)
    held, count = np.full(100, -1, np.int64), np.zeros(100, np.int64)
    fleet.hear(np.zeros(4, np.int64), np.array([50, 150, 86, 87]), newest, mask, held, count)
    assert {m: c for m, c in zip(held.tolist(), count.tolist(), strict=True) if m >= 0} == {150: 1, 87: 1}
