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
