import math
from datetime import date

import numpy as np
import pytest

from streams.engine.planned import Planned, active_services, offsets, rings_of
from tests.drawing import draw
from tests.engine.driving import DAY, Log

STREET = "A----B----C----D"


def planned_at(network, drawing, key, stop_pos, times, day=DAY):
    """Planned headways at a stop of a pattern at these clock times."""
    log = Log(network, drawing, day)
    planned = Planned(network, rings_of(network, 4))
    p = drawing.pattern_ix(key)
    gate = network.pgate_start[p] + network.pstop_gate_seq[network.pstop_start[p] + stop_pos]
    ring = np.full(len(times), planned.rings.of_pgate[gate], dtype=np.int64)
    time = np.array([log.clock(t) for t in times])
    days = np.full(len(times), day.toordinal())
    headway, pgate = planned.headways(ring, time, np.full(len(times), p), days)
    assert set(pgate.tolist()) == {int(gate)}
    return headway.tolist()


def test_frequency_windows_hold_where_the_bus_set_out_not_where_it_is():
    windows = {"R": [("06:00:00", "07:00:00", 300.0), ("07:00:00", "22:00:00", 900.0)]}
    network, drawing = draw(STREET, {"R": "ABCD"}, windows=windows)
    # D lies 180 s behind A
    assert planned_at(network, drawing, "R", 0, ["06:59:00", "07:01:00"]) == [300.0, 900.0]
    assert planned_at(network, drawing, "R", 3, ["07:01:00", "07:04:00"]) == [300.0, 900.0]


def test_a_timetable_in_the_night_belongs_to_the_day_it_began_on():
    network, drawing = draw(STREET, {"R": "ABCD"}, trips={"R": ["23:50:00", "24:10:00", "24:50:00"]})
    assert planned_at(network, drawing, "R", 0, ["24:12:00", "24:49:00"]) == [1200.0, 2400.0]


def test_an_unknown_service_day_is_read_from_the_clock():
    network, drawing = draw(STREET, {"R": "ABCD"}, trips={"R": ["23:50:00", "24:10:00", "24:50:00"]})
    log = Log(network, drawing)
    planned = Planned(network, rings_of(network, 4))
    one = np.zeros(1, dtype=np.int64)
    for clock, gap in (("24:12:00", 1200.0), ("23:51:00", 1200.0)):
        assert planned.headways(one, np.array([log.clock(clock)]), one, one)[0] == [gap]
    for mad in (-1e18, 1e18):
        planned.headways(one, np.array([mad]), one, one)


def test_outside_the_calendar_the_same_weekday_counts():
    network, _ = draw(STREET, {"R": "ABCD"}, days=("20260105", "20260201"))
    for day in (date(2025, 12, 29), date(2026, 1, 6), date(2027, 3, 3)):
        assert active_services(network, day.toordinal()).all()
    first = network.first_day
    weekdays = {d: (first + d) % 7 for d in range(network.service_active.shape[1])}
    for ordinal in range(first - 20, first + network.service_active.shape[1] + 20):
        marked = np.zeros((1, network.service_active.shape[1]), dtype=np.bool_)
        for d, weekday in weekdays.items():
            marked[0, d] = weekday == ordinal % 7
        assert active_services(Marked(first, marked), ordinal).all()


class Marked:
    """As much of a network as a calendar is."""

    def __init__(self, first_day, service_active):
        self.first_day, self.service_active = first_day, service_active


def test_gates_between_stops_are_reached_in_proportion():
    network, drawing = draw(STREET, {"R": "ABCD"}, speed_mps=5.0, dwell_s=10.0)
    p = drawing.pattern_ix("R")
    rows = slice(network.pgate_start[p], network.pgate_start[p + 1])
    offset, dist = offsets(network)[rows], network.pgate_dist_m[rows]
    assert (np.diff(offset) >= 0).all()
    stops = network.pgate_stop_pos[rows] >= 0
    assert offset[stops] == pytest.approx([0.0, 60.0, 120.0, 180.0], abs=1.0)
    between = ~stops & (dist < 250)
    assert between.any()
    assert offset[between] == pytest.approx(dist[between] * 60.0 / 250.0, abs=1.5)


def test_days_are_remembered_but_not_all_of_them():
    network, _ = draw(STREET, {"R": "ABCD"})
    planned = Planned(network, rings_of(network, 4))
    for d in range(10):
        planned.day(DAY.toordinal() + d)
    assert len(planned._days) <= 4
    assert planned.day(DAY.toordinal()).starts_at == Log(network, None).midnight


def test_no_rows_have_no_plan():
    network, _ = draw(STREET, {"R": "ABCD"})
    planned = Planned(network, rings_of(network, 4))
    none = np.empty(0, dtype=np.int64)
    headway, pgate = planned.headways(none, np.empty(0), none, none)
    assert len(headway) == len(pgate) == 0


def test_late_after_the_last_window_the_last_headway_stands_for_a_while():
    network, drawing = draw(STREET, {"R": "ABCD"}, windows={"R": [("06:00:00", "09:00:00", 300.0)]})
    found = planned_at(network, drawing, "R", 0, ["09:10:00", "12:00:00"])
    assert found[0] == 300.0
    assert math.isnan(found[1])


def running(network, day, clock, settled_s=600.0):
    """Planned headway of the first route direction at a clock time, NaN as None."""
    log = Log(network, None, day)
    found = Planned(network, rings_of(network, 4)).running(log.clock(clock), settled_s)[0]
    return None if math.isnan(found) else round(float(found), 1)


def test_service_is_under_way_once_it_has_been_planned_for_a_while():
    windows = {"R": [("06:00:00", "07:00:00", 300.0), ("07:00:00", "22:00:00", 900.0)]}
    network, _ = draw(STREET, {"R": "ABCD"}, windows=windows)
    assert running(network, DAY, "06:05:00") is None, "the first bus is still to come"
    assert running(network, DAY, "06:10:00") == 300.0
    assert running(network, DAY, "07:05:00") == 900.0, "one window goes on as the next"
    assert running(network, DAY, "22:00:00") is None
    assert running(network, DAY, "04:00:00") is None


def test_a_timetable_is_under_way_between_its_departures():
    trips = {"R": ["23:00:00", "23:20:00", "23:40:00", "24:20:00", "25:00:00"]}
    network, _ = draw(STREET, {"R": "ABCD"}, trips=trips)
    assert running(network, DAY, "22:50:00") is None
    assert running(network, DAY, "23:41:00") == 1200.0
    assert running(network, DAY, "24:21:00") == 1800.0, "after midnight it is still that day's service"
    assert running(network, DAY, "25:01:00") is None, "nothing follows"
