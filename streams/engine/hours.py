"""The clock on the city's wall, as hours of the week: what a profile is learned by."""

import math
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

Array = np.ndarray

# Parts of the week: hours that drive alike. Five of a weekday's, three of the weekend's.
_WEEKDAY = (*[0] * 6, *[1] * 4, *[2] * 6, *[3] * 4, *[4] * 2, *[0] * 2)
_WEEKEND = (*[5] * 7, *[6] * 5, *[7] * 9, *[5] * 3)
PARTS = 8
PART_OF_HOUR: Array = np.array([*_WEEKDAY * 5, *_WEEKEND * 2], dtype=np.int64)


@lru_cache(maxsize=4096)
def hour_of_week(hour: int, timezone: str) -> int:
    """Local hour of the week, Monday 00:00 first, of the POSIX hour `hour`.

    Zones that are off by half an hour are taken at the POSIX hour's beginning: a profile does not notice.
    """
    local = datetime.fromtimestamp(hour * 3600.0, ZoneInfo(timezone))
    return local.weekday() * 24 + local.hour


def hours_of_week(posix: Array, timezone: str) -> Array:
    """Local hour of the week (i8) of each POSIX second."""
    hours = np.floor(posix / 3600.0).astype(np.int64)
    seen, inverse = np.unique(hours, return_inverse=True)
    found: Array = np.array([hour_of_week(int(h), timezone) for h in seen], dtype=np.int64)[inverse]
    return found


def hour_of_day_type(hour_of_week: Array | int) -> Array:
    """0..23 on a weekday, 24..47 at the weekend, of hours of the week."""
    hour = np.asarray(hour_of_week)
    found: Array = np.where(hour >= 120, 24, 0) + hour % 24
    return found


def falls_due(at: float, every_s: float, period_s: float) -> bool:
    """Whether grid point `at` is the first at or after a multiple of `period_s`; points lie `every_s` apart."""
    return math.floor(at / period_s) > math.floor((at - every_s) / period_s)
