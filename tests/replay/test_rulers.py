"""Rulers, worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replay.rulers import MBTA, TRANSIT, Ruler, errors, intervals


def judged(ruler: Ruler, left_s: float, error_s: float) -> list[float]:
    """Share of one estimate in every window, None where it does not belong."""
    share, count = ruler.shares(np.array([left_s]), np.array([error_s]))
    return [s if n else None for s, n in zip(share, count, strict=True)]


@pytest.mark.parametrize(
    ("ruler", "left_s", "window", "early", "late"),
    [
        (TRANSIT, 0.0, 0, 30, 90),
        (TRANSIT, 179.9, 0, 30, 90),
        (TRANSIT, 180.0, 1, 60, 150),
        (TRANSIT, 360.0, 2, 60, 210),
        (TRANSIT, 600.0, 3, 90, 270),
        (TRANSIT, 899.9, 3, 90, 270),
        (MBTA, -30.0, 0, 60, 60),
        (MBTA, 180.0, 1, 90, 120),
        (MBTA, 360.0, 2, 150, 210),
        (MBTA, 1799.9, 3, 240, 360),
    ],
)
def test_windows_and_tolerances(ruler: Ruler, left_s: float, window: int, early: float, late: float) -> None:
    """Bounds of the error are inclusive, of the time left the lower one only; early is: before it was said to come."""
    for error, good in ((-early, 100.0), (late, 100.0), (-early - 0.1, 0.0), (late + 0.1, 0.0), (0.0, 100.0)):
        expected: list[float | None] = [None] * 4
        expected[window] = good
        assert judged(ruler, left_s, error) == expected


@pytest.mark.parametrize(("ruler", "left_s"), [(TRANSIT, -0.1), (TRANSIT, 900.0), (MBTA, -30.1), (MBTA, 1800.0)])
def test_outside_of_every_window(ruler: Ruler, left_s: float) -> None:
    assert judged(ruler, left_s, 0.0) == [None] * 4


def test_the_score_is_the_unweighted_mean_of_the_windows() -> None:
    """Three estimates 100 s before the arrival, two of them right; one each 200, 400 and 700 s before, right, wrong,
    right: (66.7 + 100 + 0 + 100) / 4."""
    left = np.array([100.0, 100, 100, 200, 400, 700])
    error = np.array([0.0, 90, 91, 150, -61, 270])
    found = errors(np.zeros(6), left, left - error, np.arange(6))
    assert found.shares["Transit"] == pytest.approx([200 / 3, 100, 0, 100])
    assert found.counts["Transit"] == [3, 1, 1, 1]
    assert found.overall(TRANSIT) == pytest.approx((200 / 3 + 300 - 100) / 4)
    assert found.mae_s == pytest.approx((0 + 90 + 91 + 150 + 61 + 270) / 6)
    assert found.bias_s == pytest.approx((0 + 90 + 91 + 150 - 61 + 270) / 6)
    assert found.bias_by_bin_s == pytest.approx([181 / 3, 150, (-61 + 270) / 2, math.nan], nan_ok=True)
    assert found.n == 6


def test_a_window_without_estimates_has_no_share_and_the_score_none() -> None:
    found = errors(np.array([0.0]), np.array([100.0]), np.array([100.0]), np.array([1]))
    assert found.shares["MBTA"] == pytest.approx([100, math.nan, math.nan, math.nan], nan_ok=True)
    assert math.isnan(found.overall(MBTA))


def test_bins_count_what_their_errors_are_of() -> None:
    """A ruler's first window also takes what stands when the bus has just come; errors by bin are of buses to come."""
    found = errors(np.zeros(3), np.array([-20.0, 60, 100]), np.array([5.0, 50, 120]), np.arange(3))
    assert found.counts["MBTA"] == [3, 0, 0, 0]
    assert found.n_by_bin == [2, 0, 0, 0]
    assert found.mae_by_bin_s[0] == pytest.approx((10 + 20) / 2)


def test_wobble_is_the_change_from_one_minute_to_the_next() -> None:
    """Bus 1 told 500, 530, 510 in three minutes; bus 2 told 900, then (a minute left out) 990."""
    made = np.array([0.0, 60, 120, 0, 120])
    predicted = np.array([500.0, 530, 510, 900, 990])
    bus = np.array([1, 1, 1, 2, 2])
    shuffled = np.array([4, 1, 3, 0, 2])
    found = errors(made[shuffled], np.full(5, 700.0), predicted[shuffled], bus[shuffled])
    assert found.wobble_s == pytest.approx((30 + 20) / 2)


def test_intervals_by_predicted_time_left() -> None:
    p50 = np.array([60.0, 60, 60, 200, 1000])
    found = intervals(
        np.zeros(5), np.array([50.0, 39, 81, 220, 1100]), p50 - 20, p50, p50 + 20, known_until=1e6
    )  # fmt: skip
    assert found.n == [3, 1, 0, 1, 5]
    assert found.coverage == pytest.approx([100 / 3, 100, math.nan, 0, 40], nan_ok=True)
    assert found.early == pytest.approx([100 / 3, 0, math.nan, 0, 20], nan_ok=True)
    assert found.late == pytest.approx([100 / 3, 0, math.nan, 100, 40], nan_ok=True)
    assert found.width_s == pytest.approx([40, 40, math.nan, 40, 40], nan_ok=True)


def test_an_interval_is_not_held_against_a_bus_that_had_come_unseen() -> None:
    p50 = np.array([60.0, 60.0])
    found = intervals(np.full(2, 45.0), np.array([44.0, 45.0]), p50 - 20, p50, p50 + 20, known_until=1e6)
    assert (found.n[0], found.coverage[0]) == (1, 100.0)


def test_a_bus_that_had_not_come_by_its_p90_is_late_and_not_left_out() -> None:
    """The recording ends at 300 s: of the second it is known to be late, of the third nothing is known."""
    made, p50 = np.zeros(3), np.array([200.0, 200.0, 290.0])
    found = intervals(made, np.array([200.0, np.nan, np.nan]), p50 - 50, p50, p50 + 50, known_until=300.0)
    assert found.n[-1] == 2
    assert found.coverage[-1] == pytest.approx(50.0)
    assert found.late[-1] == pytest.approx(50.0)


@given(st.integers(0, 2**32 - 1), st.floats(700, 3000))
def test_coverage_does_not_depend_on_when_the_recording_ends(seed: int, end: float) -> None:
    """Honest intervals of buses that may come very late: cut anywhere, what was decided by then shows the same law."""
    random = np.random.default_rng(seed)
    n = 4000
    made, ahead = random.uniform(0, 600, n), random.uniform(60, 600, n)
    late = random.exponential(300.0, n)
    actual = made + ahead + late
    p10, p90 = made + ahead + 300 * -math.log(0.9), made + ahead + 300 * -math.log(0.1)
    seen = np.where(actual < end, actual, np.nan)
    found = intervals(made, seen, p10, made + ahead + 300 * math.log(2.0), p90, known_until=end)
    few = 4.5 * 40.0 / math.sqrt(max(found.n[-1], 1))
    assert found.n[-1] == 0 or abs(found.coverage[-1] - 80.0) < few + 1e-9
