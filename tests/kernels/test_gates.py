"""What a run passes and when: against its course sampled the slow way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.tables import TimesOf, params_of, tables_of
from streams.kernels import gates as g
from streams.kernels import matching as m
from streams.kernels import recall, tracking
from streams.settings import Track as TrackSettings
from tests.drawing import draw
from tests.kernels import naive_track as naive

pytestmark = pytest.mark.kernel

T0 = 1_773_100_800.0


class Course:
    """A run that is told where it is, without any matching."""

    def __init__(self, metres_per_char=70):
        self.network, _ = draw("A----B-----C----D", routes={"R": "ABCD"}, metres_per_char=metres_per_char)
        self.tables, self.params = tables_of(self.network), params_of(TrackSettings())
        self.state, self.facts = tracking.state(1), g.facts(2000)
        self.times = TimesOf(self.network).of(np.array([T0, T0 + 3600]), tracking.fleet(1), np.array([0]))
        self.gates = self.network.pgate_dist_m.tolist()
        self.stops = np.flatnonzero(self.network.pgate_stop_pos >= 0).tolist()

    def at(self, t, dist_m, standing=False, phase=m.IN_SERVICE, off=0):
        said = np.array([phase, 0 if phase == m.IN_SERVICE else -1, 0, 0, off, 0, dist_m, 3.0, 0.99, 8.0], dtype=float)
        self.state.fi[0, m.STANDING] = int(standing)
        g.follow(
            self.state, 0, T0 + t, said, -1, self.tables, self.params, self.times, recall.way(), 0, self.facts, g.TOLD
        )

    def passings(self):
        """Last word on each gate: (run, gate) -> (arrival, departure, relation), times after T0."""
        out = {}
        for row in self.facts.passings[g.TOLD, : self.facts.counts[g.TOLD, 0]]:
            key = (int(row[g.F_NUMBER]), int(row[g.F_GATE]))
            out[key] = (row[g.F_ARRIVAL] - T0, row[g.F_DEPARTURE] - T0, int(row[g.F_RELATION]))
        return out

    def cells(self):
        rows = self.facts.cells[g.TOLD, : self.facts.counts[g.TOLD, 1]]
        return rows[:, [g.C_CELL, g.C_ENTERED, g.C_RUNNING, g.C_DISTANCE]] - np.array([0.0, T0, 0.0, 0.0])


@given(st.lists(st.tuples(st.floats(1.0, 30.0), st.floats(7.0, 10.0)), min_size=1, max_size=20))
def test_gates_are_passed_when_the_course_says(steps):
    course = Course()
    t, d = 0.0, 150.0  # seen first beyond the start: nothing before is told
    track = [(t, d)]
    course.at(t, d)
    for dt, speed in steps:
        t, d = t + dt, min(d + dt * speed, 1050.0)
        if d >= 1050.0:
            break
        track.append((t, d))
        course.at(t, d)
    found = course.passings()
    for gate, expected in enumerate(naive.crossing_times(track, course.gates)):
        if course.gates[gate] <= 150.0 or expected is None:
            assert (1, gate) not in found
        else:
            arrival, departure, relation = found[1, gate]
            assert arrival == pytest.approx(expected, abs=1e-6)
            assert departure == arrival
            assert relation == g.SCHEDULED
    for cell, _, running, distance in course.cells():
        assert cell >= 0
        assert 7.0 - 1e-5 <= distance / running <= 10.0 + 1e-5


@given(st.floats(15.0, 60.0), st.floats(20.0, 90.0))
def test_a_slow_step_with_a_stop_in_it_had_a_visit_that_nobody_saw(dt, beyond):
    course = Course()
    stop = course.stops[1]
    place = course.gates[stop]
    t = 0.0
    for d in np.arange(place - 180.0, place - 15.0, 40.0):  # 8 m/s
        course.at(t, d)
        t += 5.0
    last_t, last_d = t - 5.0, d
    course.at(last_t + dt, place + beyond)
    arrival, departure, _ = course.passings()[1, stop]
    lost = dt - (place + beyond - last_d) / 8.0 - 8.0 * (g.BRAKE_S + g.PULL_S)
    if lost < g.UNSEEN_DWELL_S - 1e-6:
        assert departure == arrival
    elif lost > g.UNSEEN_DWELL_S + 1e-6:
        assert departure - arrival == pytest.approx(lost, abs=1e-6)
        assert arrival == pytest.approx(last_t + (place - last_d) / 8.0 + 8.0 * g.BRAKE_S, abs=1e-6)
    assert last_t <= arrival <= departure <= last_t + dt


def test_dwell_stands_between_arrival_and_departure_and_is_no_running_time():
    course = Course()
    stop = course.stops[1]
    place = course.gates[stop]
    t = 0.0
    for d in np.arange(160.0, place - 5.0, 40.0):
        course.at(t, d)
        t += 5.0
    came = t
    for _ in range(8):  # stands 5 m before the pole
        course.at(t, place - 5.0, standing=True)
        t += 5.0
    left = t - 5.0
    for d in np.arange(place + 35.0, 1000.0, 40.0):
        course.at(t, d)
        t += 5.0
    arrival, departure, _ = course.passings()[1, stop]
    assert came - 5.0 <= arrival <= came
    assert left <= departure <= left + 5.0
    stood = [row for row in course.cells() if row[1] <= arrival and row[1] + row[2] + 60.0 >= departure]
    assert all(distance / running > 4.0 for *_, running, distance in stood)


def test_a_stop_gate_waits_for_its_departure():
    course = Course()
    place = course.gates[course.stops[1]]
    course.at(0.0, place - 100.0)
    course.at(10.0, place - 2.0)
    course.at(20.0, place - 2.0, standing=True)
    _, departure, _ = course.passings()[1, course.stops[1]]
    assert np.isnan(departure)
    course.at(40.0, place + 60.0)
    arrival, departure, _ = course.passings()[1, course.stops[1]]
    assert arrival <= 20.0 <= departure <= 40.0


def test_stops_left_out_by_a_detour_are_skipped_and_in_a_gap_missing():
    for off, relation in ((1, g.SKIPPED), (0, g.MISSING)):
        course = Course()
        stop = course.stops[1]
        course.at(0.0, course.gates[stop] - 100.0)
        if off:
            course.at(30.0, np.nan, off=1)
        course.at(250.0, course.gates[stop] + 200.0)
        arrival, departure, found = course.passings()[1, stop]
        assert np.isnan(arrival)
        assert np.isnan(departure)
        assert found == relation
        between = [k for k in course.passings() if course.gates[stop] < course.gates[k[1]]]
        assert not between  # places between stops are not told when nobody saw the bus there


def test_the_terminal_ends_the_run_and_the_next_one_has_its_own_number():
    course = Course()
    end = course.gates[-1]
    course.at(0.0, end - 200.0)
    course.at(20.0, end - 20.0)
    course.at(25.0, end - 20.0, standing=True)
    course.at(60.0, np.nan, phase=m.LAYOVER)
    assert course.state.fi[0, m.RUN_PATTERN] == -1
    assert course.passings()[1, course.stops[-1]][0] <= 25.0
    course.at(200.0, 30.0)
    assert (2, course.stops[0]) in course.passings()


def test_a_step_back_is_noise_and_a_leap_back_another_run():
    course = Course()
    course.at(0.0, 500.0)
    course.at(5.0, 470.0)
    assert course.state.ff[0, m.RUN_D] == 500.0
    assert course.state.fi[0, m.RUN_N] == 1
    course.at(10.0, 200.0)
    assert course.state.fi[0, m.RUN_N] == 2


def creeps(course):
    """A bus moves up 180 m at its terminal and waits again, until the run that it seemed to be on is taken back."""
    for t, dist_m in ((0.0, 5.0), (10.0, 60.0), (20.0, 120.0), (30.0, 180.0)):
        course.at(t, dist_m)
    course.at(60.0, np.nan, phase=m.LAYOVER)
    assert course.state.fi[0, m.VOIDS] == 0
    course.at(90.0, np.nan, phase=m.LAYOVER)
    assert course.state.fi[0, m.VOIDS] == 1
    assert (1, course.stops[0]) in course.passings()


def test_a_bus_that_is_held_up_right_after_its_start_is_on_the_run_that_it_began():
    course = Course()
    for t, dist_m in ((0.0, 5.0), (10.0, 60.0), (20.0, 120.0), (30.0, 180.0)):
        course.at(t, dist_m)
    before = course.passings()
    course.at(40.0, np.nan, phase=m.LAYOVER)
    course.at(70.0, np.nan, phase=m.LAYOVER)
    course.at(80.0, 210.0)
    course.at(90.0, 300.0)
    assert course.state.fi[0, m.VOIDS] == 0
    assert {number for number, _ in course.passings()} == {1}
    assert before.items() <= course.passings().items()


def test_a_run_that_was_taken_back_keeps_its_number_when_it_starts_for_good():
    course = Course()
    creeps(course)
    course.at(300.0, 5.0)
    course.at(310.0, 90.0)
    numbers = {number for number, _ in course.passings()}
    assert numbers == {1}
    assert course.passings()[1, course.stops[0]][0] >= 290.0


def test_a_false_start_that_a_late_ping_may_yet_bring_back_has_its_number_for_itself():
    course = Course()
    creeps(course)
    course.at(90.0 + course.params.lateness_s, 5.0)
    assert (2, course.stops[0]) in course.passings()
    assert course.passings()[1, course.stops[0]][0] <= 0.0


def test_a_bus_that_drives_to_the_depot_from_where_it_waits_had_not_begun_its_run():
    course = Course()
    course.at(0.0, 5.0)
    course.at(10.0, 60.0)
    course.at(20.0, np.nan, phase=m.LAYOVER)
    course.at(40.0, np.nan, phase=m.DEADHEAD)
    assert course.state.fi[0, m.VOIDS] == 1


def test_a_number_is_kept_for_one_run_only():
    course = Course()
    creeps(course)
    course.at(300.0, 5.0)
    course.at(400.0, 700.0)
    assert course.state.fi[0, m.RUN_N] == 1
    course.at(2000.0, np.nan, phase=m.DEADHEAD)
    course.at(2400.0, 5.0)
    assert course.state.fi[0, m.RUN_N] == 2


def test_a_false_start_on_a_short_line_does_not_reach_its_end():
    course = Course(metres_per_char=20)  # 320 m: its end is as near as a terminal is wide
    course.at(0.0, 5.0)
    course.at(10.0, 60.0)
    course.at(80.0, np.nan, phase=m.LAYOVER)
    assert max(gate for _, gate in course.passings()) < course.stops[-1]
