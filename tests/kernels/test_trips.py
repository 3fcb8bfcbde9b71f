"""Which run of the timetable is driven."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.tables import TimesOf, tables_of
from streams.gtfs.calendar import day_start, zone_of
from streams.kernels import tracking
from streams.kernels.trips import ASTRAY, EARLY, LATE_S, due_log, find_run, planned_s
from tests.drawing import draw
from tests.kernels import naive_track as naive

pytestmark = pytest.mark.kernel

LINE = "A------B------C------D"


def network(**more):
    found, _ = draw(LINE, routes={"R": "ABCD"}, metres_per_char=50, **more)
    return found


def at(n, hours, day=date(2026, 3, 10)):
    return day_start(day, zone_of(n.timezone)) + hours * 3600.0


def run(n, t, dist_m=0.0, reported=-1, last=-1):
    times = TimesOf(n).of(np.array([t]), tracking.fleet(1), np.array([0]))
    return find_run(tables_of(n), times, 0, t, dist_m, reported, last)


@given(st.floats(-10, 2000))
def test_planned_time_is_straight_between_stops(dist_m):
    n = network()
    expected = naive.planned_s(n.pstop_dist_m.tolist(), n.pstop_departure_s.tolist(), dist_m)
    assert planned_s(tables_of(n), 0, dist_m) == pytest.approx(expected)


def test_a_frequency_run_starts_when_it_started():
    n = network()
    trip, day, start = run(n, at(n, 7.25))
    assert (trip, day, start) == (0, date(2026, 3, 10).toordinal(), 7.25 * 3600)


def test_a_run_first_seen_on_its_way_started_before():
    n = network()
    planned = planned_s(tables_of(n), 0, 700.0)
    assert planned > 0
    assert run(n, at(n, 7.25), dist_m=700.0)[2] == np.floor(7.25 * 3600 - planned + 0.5)


def test_after_midnight_it_is_still_the_day_before():
    n = network(windows={"R": [("22:00:00", "28:00:00", 600.0)]})
    assert run(n, at(n, 1.0))[1:] == (date(2026, 3, 9).toordinal(), 25 * 3600.0)


def test_the_window_that_holds_the_start_decides_the_template():
    n = network(windows={"R": [("05:00:00", "09:00:00", 300.0), ("09:00:00", "24:00:00", 600.0)]})
    trip, day, _ = run(n, at(n, 12.0))
    assert trip >= 0
    assert day == date(2026, 3, 10).toordinal()


TIMED = {"trips": {"R": ["07:00:00", "07:10:00", "07:20:00"]}, "blocks": {"R": ["x", "y", "x"]}}


@pytest.mark.parametrize(
    ("minute", "expected"), [(1, "07:00:00"), (6, "07:00:00"), (9, "07:10:00"), (16, "07:10:00"), (18, "07:20:00")]
)
def test_the_nearest_trip_of_the_timetable_late_rather_than_early(minute, expected):
    n = network(**TIMED)
    _, _, start = run(n, at(n, 7 + minute / 60))
    assert f"{int(start) // 3600:02d}:{int(start) // 60 % 60:02d}:00" == expected


def test_a_reported_trip_is_believed_though_it_is_late():
    n = network(**TIMED)
    first = int(np.argmin(n.trip_start_s))
    assert run(n, at(n, 7 + 19 / 60), reported=first)[0] == first
    assert run(n, at(n, 12), reported=first)[0] == -1


def test_the_block_goes_on_and_no_trip_is_driven_twice():
    n = network(**TIMED)
    by_start = np.argsort(n.trip_start_s)
    assert run(n, at(n, 7 + 16 / 60), last=int(by_start[0]))[0] == by_start[2]
    assert run(n, at(n, 7 + 1 / 60), last=int(by_start[0]))[0] != by_start[0]


def test_a_day_without_service_is_the_last_resort():
    n = network(days=("20260101", "20260309"))
    trip, day, _ = run(n, at(n, 0.5))
    assert trip == 0
    assert day == date(2026, 3, 9).toordinal()


def due(n, t, dist_m=0.0, expected=1.0):
    times = TimesOf(n).of(np.array([t]), tracking.fleet(1), np.array([0]))
    return due_log(tables_of(n), times, 0, t, dist_m, np.log(expected))


def test_a_vehicle_is_where_a_trip_is_due_rather_late_than_early():
    n = network(trips={"R": ["07:00:00", "09:00:00"]})
    there = planned_s(tables_of(n), 0, 700.0) / 3600.0
    on_time, late, early, never = (due(n, at(n, 7.0 + there + h), 700.0) for h in (0.0, 0.1, -0.1, 1.0))
    assert on_time > late > early > never
    assert never == pytest.approx(np.log(ASTRAY))
    assert due(network(), at(network(), 7.0), 700.0) == 0.0  # headways alone


@given(
    st.lists(st.integers(6 * 60, 9 * 60), min_size=1, max_size=12, unique=True),
    st.floats(5.5, 10.0),
    st.floats(0.0, 1000.0),
)
def test_it_counts_every_trip_by_how_late_it_would_be(starts, hours, dist_m):
    n = network(trips={"R": [f"{m // 60:02}:{m % 60:02}:00" for m in starts]})
    late = [hours * 3600.0 - planned_s(tables_of(n), 0, dist_m) - 60.0 * m for m in starts]
    density = sum(np.exp(-(x if x > 0 else -EARLY * x) / LATE_S) for x in late) / (LATE_S + LATE_S / EARLY)
    expected = np.log(ASTRAY + (1.0 - ASTRAY) * density * n.pstop_departure_s[-1])
    assert due(n, at(n, hours), dist_m) == pytest.approx(expected, abs=0.05)
