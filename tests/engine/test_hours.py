import numpy as np
import pytest

from streams.engine import hours

MONDAY = 1_700_438_400.0  # 2023-11-20 00:00 UTC


@pytest.mark.parametrize(
    ("posix", "zone", "hour"),
    [
        (MONDAY, "UTC", 0),
        (MONDAY + 3599, "UTC", 0),
        (MONDAY - 1, "UTC", 167),
        (MONDAY, "Asia/Jakarta", 7),
        (MONDAY, "America/New_York", 163),
    ],
)
def test_hours_are_those_of_the_citys_clock(posix, zone, hour):
    assert hours.hours_of_week(np.array([posix]), zone).tolist() == [hour]


def test_the_weekend_has_hours_of_its_own():
    assert hours.hour_of_day_type(np.array([0, 23, 24, 119, 120, 143, 144, 167])).tolist() == [
        0, 23, 0, 23, 24, 47, 24, 47
    ]  # fmt: skip


def test_parts_of_the_week_cover_it():
    assert len(hours.PART_OF_HOUR) == 168
    assert set(hours.PART_OF_HOUR) == set(range(hours.PARTS))


def test_due_once_in_each_period_whatever_the_grid():
    for every in (5.0, 7.0, 30.0):
        grid = np.arange(1, 200) * every + 1_700_000_000 // every * every
        due = [at for at in grid if hours.falls_due(at, every, 30.0)]
        assert np.diff([at // 30 for at in due]).tolist() == [1] * (len(due) - 1)
