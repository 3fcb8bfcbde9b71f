from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gtfs.calendar import DAYS, day_start, local_date, zone_of
from tests.gtfs.feeds import compiled, tables

ZONES = ["Asia/Jakarta", "America/Toronto", "Europe/Warsaw", "Australia/Lord_Howe", "America/Santiago"]


def active(network, service):
    days = np.flatnonzero(network.service_active[network.service_ids.index(service)]) + network.first_day
    return [date.fromordinal(int(d)) for d in days]


@given(st.sets(st.sampled_from(DAYS)), st.integers(0, 400), st.dates(date(2000, 1, 1), date(2030, 12, 31)))
def test_a_weekly_service_runs_on_its_weekdays(tmp_path_factory, weekdays, length, start):
    feed = tables()
    end = start + timedelta(days=length)
    feed["calendar"] = [
        {
            "service_id": "D",
            **{d: int(d in weekdays) for d in DAYS},
            "start_date": f"{start:%Y%m%d}",
            "end_date": f"{end:%Y%m%d}",
        }
    ]
    network = compiled(tmp_path_factory.mktemp("f"), feed)
    every = [start + timedelta(days=i) for i in range(length + 1)]
    assert active(network, "D") == [d for d in every if DAYS[d.weekday()] in weekdays]


def test_exceptions_add_and_take_away(tmp_path):
    feed = tables()
    feed["calendar"][0] |= {"start_date": "20260105", "end_date": "20260107"}
    feed["calendar_dates"] = [
        {"service_id": "D", "date": "20260106", "exception_type": 2},
        {"service_id": "D", "date": "20260110", "exception_type": 1},
    ]
    assert active(compiled(tmp_path, feed), "D") == [date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 10)]


def test_calendar_dates_alone_are_a_calendar(tmp_path):
    feed = tables()
    del feed["calendar"]
    feed["calendar_dates"] = [{"service_id": "D", "date": "20240219", "exception_type": 1}]
    assert active(compiled(tmp_path, feed), "D") == [date(2024, 2, 19)]


def test_a_service_that_no_calendar_knows_never_runs(tmp_path):
    feed = tables()
    feed["trips"][0]["service_id"] = "X"
    network = compiled(tmp_path, feed)
    assert active(network, "X") == []
    assert network.oddities["trips_without_a_day"] == 1


@given(st.sampled_from(ZONES), st.dates(date(1990, 1, 1), date(2037, 12, 31)))
def test_a_service_day_starts_twelve_hours_before_its_noon(name, day):
    zone = zone_of(name)
    start = day_start(day, zone)
    noon = datetime.fromtimestamp(start + 12 * 3600, UTC).astimezone(zone)
    assert (noon.date(), noon.hour, noon.minute) == (day, 12, 0)


@pytest.mark.parametrize(
    ("day", "hour"), [(date(2026, 3, 7), 0), (date(2026, 3, 8), 23), (date(2026, 11, 1), 1), (date(2026, 11, 2), 0)]
)
def test_where_the_clocks_change_it_is_not_midnight(day, hour):
    zone = zone_of("America/Toronto")
    wall = datetime.fromtimestamp(day_start(day, zone), zone)
    assert wall.hour == hour
    assert wall.date() == (day if hour != 23 else day - timedelta(days=1))


@given(st.sampled_from(ZONES), st.integers(631_152_000, 2_145_000_000))
def test_the_date_on_the_wall(name, posix):
    zone = zone_of(name)
    assert local_date(float(posix), zone) == datetime.fromtimestamp(posix, UTC).astimezone(zone).date()


@pytest.mark.parametrize("name", ["", "Jakarta", "../etc/passwd", "UTC+7"])
def test_a_zone_that_is_none(name):
    with pytest.raises(ValueError, match="IANA"):
        zone_of(name)
