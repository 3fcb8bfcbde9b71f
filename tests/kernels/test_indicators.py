import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import indicators
from tests.kernels import naive_indicators as naive

pytestmark = pytest.mark.kernel

PLACES = 4
headway = st.tuples(
    st.integers(0, 2), st.integers(0, 9), st.integers(-1, 9999), st.integers(-1, 9999), st.integers(0, 63)
)  # route direction, minute, headway, planned, what is said of it
batch = st.tuples(st.sampled_from((1, -1)), st.lists(headway, max_size=6))


def put(minute, sums, sign, rows):
    columns = list(zip(*rows, strict=True)) or [()] * 5
    indicators.put(minute, sums, *(np.array(c, np.int64) for c in columns), sign)


def fresh():
    return np.full((3, PLACES), -1, np.int64), np.zeros((3, PLACES, indicators.SUMS), np.int64)


@given(st.lists(batch, max_size=5), st.integers(-1, 9), st.integers(0, 9))
def test_a_window_is_the_sum_of_what_went_in_less_what_came_out(batches, after, until):
    minute, sums = fresh()
    for sign, rows in batches:
        put(minute, sums, sign, rows)
    got = indicators.window(minute, sums, after, until)
    assert got.tolist() == naive.window(batches, 3, PLACES, after, until)


def test_what_goes_in_and_comes_out_again_leaves_nothing():
    minute, sums = fresh()
    rows = [(1, 5, 600, 700, 3), (1, 5, 900, -1, 48), (1, 5, -1, 700, 0)]
    put(minute, sums, 1, rows)
    assert indicators.window(minute, sums, 4, 5)[1].tolist() == [
        *(2, 1500, 1170000, 1, 600, 360000, 700, 490000),
        *(3, 1, 1, 0, 0, 1, 1),
    ]
    put(minute, sums, -1, rows)
    assert not sums.any()


@given(st.lists(batch, max_size=5), st.integers(-1, 9), st.integers(0, 9), st.integers(1, 3))
def test_a_mean_is_that_of_the_headways_in_its_minutes(batches, after, until, least):
    minute, sums = fresh()
    for sign, rows in batches:
        put(minute, sums, sign, rows)
    who = np.arange(3)
    got = indicators.means(minute, sums, who, np.full(3, after), np.full(3, until), least)
    for r, window in enumerate(indicators.window(minute, sums, after, until).tolist()):
        n, h = window[indicators.N], window[indicators.H]
        assert np.isnan(got[r]) if n < least else got[r] == pytest.approx(h / n / 100.0, abs=0.0051)
