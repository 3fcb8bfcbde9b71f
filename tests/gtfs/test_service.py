from datetime import date

import numpy as np
import pytest

from streams.gtfs.calendar import day_start
from streams.gtfs.service import GRACE_S, PlannedService, service_dates_of
from tests.drawing import draw

STREET = "A-----B-----C"


def service(**more):
    network, drawing = draw(STREET, routes={"R": "ABC"}, **more)
    found = PlannedService(network)
    return found, day_start(date(2026, 3, 4), found.zone), drawing


def test_headway_and_buses_of_a_frequency():
    plan, midnight, _ = service(windows={"R": (("05:00:00", "09:00:00", 300), ("09:00:00", "20:00:00", 900))})
    at = [plan.at(midnight + h * 3600) for h in (4, 7, 15, 21)]
    np.testing.assert_allclose([p.headway_s[0] for p in at], [np.nan, 300, 900, np.nan])
    run = plan.run_s[0]
    assert at[1].vehicles[0] == pytest.approx(run / 300, rel=0.01)
    assert at[2].vehicles[0] == pytest.approx(run / 900, rel=0.01)


def test_buses_fade_in_and_out_over_the_grace():
    plan, midnight, _ = service(hours=("08:00:00", "10:00:00"))
    first, last = midnight + 8 * 3600, midnight + 10 * 3600 + plan.run_s[0]
    seen = [
        plan.at(t).vehicles[0]
        for t in (first - GRACE_S - 60, first - 600, first + 3600, last + 600, last + GRACE_S + 60)
    ]
    assert seen[0] == seen[4] == 0.0
    assert 0 < seen[1] < seen[2]
    assert 0 < seen[3] < seen[2]


def test_departures_of_a_timetable():
    plan, midnight, _ = service(trips={"R": ("07:00:00", "07:10:00", "07:40:00")})
    headway = [plan.at(midnight + 7 * 3600 + m * 60).headway_s[0] for m in (0, 9, 24, 26, 50, 120)]
    np.testing.assert_allclose(headway, [np.nan, 600, 600, 1800, 1800, np.nan])
    assert plan.at(midnight + 7 * 3600 + 600).vehicles[0] > 0


def test_after_midnight_the_day_before_still_runs():
    plan, midnight, _ = service(hours=("22:00:00", "29:00:00"))
    night = midnight + 27 * 3600
    assert service_dates_of(plan.network, night) == [date(2026, 3, 4)]
    assert plan.at(night).headway_s[0] == 600
    assert plan.dates_of(midnight + 22 * 3600) == [date(2026, 3, 4)]
    assert plan.dates_of(midnight + 24 * 3600 + 21.75 * 3600) == [date(2026, 3, 5)]


def test_outside_the_calendar_nothing_runs():
    plan, _, _ = service()
    assert plan.dates_of(day_start(date(2031, 1, 1), plan.zone) + 8 * 3600) == []
    assert not plan.at(day_start(date(2031, 1, 1), plan.zone) + 8 * 3600).vehicles.any()


def test_a_minute_is_worked_out_once():
    plan, midnight, _ = service()
    assert plan.at(midnight + 30_000.0) is plan.at(midnight + 30_010.0)
