"""Which service runs on which day."""

import numpy as np

from streams.gtfs import feed as f
from streams.gtfs.feed import Feed, FeedError
from streams.service_day import day_start, local_date, zone_of

__all__ = ["day_start", "local_date", "read_calendar", "zone_of"]

Array = np.ndarray
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LONGEST_DAYS = 36_600  # a century: beyond it a year is mistyped


def read_calendar(feed: Feed, used_ids: list[str]) -> tuple[list[str], int, Array]:
    """Service ids, the first day (ordinal) and `active` (bool, services x days).

    `used_ids` are the services that trips name; one that has no day stands in the table and never runs.
    """
    calendar, exceptions = feed.table("calendar.txt"), feed.table("calendar_dates.txt")
    if not feed.has("calendar.txt") and not feed.has("calendar_dates.txt"):
        raise FeedError("calendar.txt", None, None, "is missing; a feed needs calendar.txt or calendar_dates.txt")
    ids = f.unique_ids(calendar, "calendar.txt", "service_id")
    starts = f.dates(calendar, "calendar.txt", "start_date")
    ends = f.dates(calendar, "calendar.txt", "end_date")
    f.refuse_where(ends < starts, calendar, "calendar.txt", "end_date", "{value} lies before start_date; swap them")
    weekly = [f.whole(calendar, "calendar.txt", day, 0, 1) == 1 for day in DAYS]
    days = f.dates(exceptions, "calendar_dates.txt", "date")
    kinds = f.whole(exceptions, "calendar_dates.txt", "exception_type", 1, 2)
    named = f.required(exceptions, "calendar_dates.txt", "service_id")
    ids = list(dict.fromkeys([*ids, *named, *used_ids]))
    bounds = np.concatenate([starts, ends, days])
    if not len(bounds):
        raise FeedError("calendar.txt", None, None, "no service has a day; add rows here or in calendar_dates.txt")
    first, last = int(bounds.min()), int(bounds.max())
    if last - first > LONGEST_DAYS:
        raise FeedError("calendar.txt", None, "end_date", "the services span more than a century; mend the years")
    active = np.zeros((len(ids), last - first + 1), dtype=np.bool_)
    weekday = (np.arange(first, last + 1) + 6) % 7  # ordinal 1 was a Monday
    for i, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        runs = np.array([day[i] for day in weekly])
        active[i, a - first : b - first + 1] = runs[weekday[a - first : b - first + 1]]
    index = {v: i for i, v in enumerate(ids)}
    for service, day, kind in zip(named, days.tolist(), kinds.tolist(), strict=True):
        active[index[service], day - first] = kind == 1
    return ids, first, active
