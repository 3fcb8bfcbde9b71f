"""The beam, a step at a time: what each term does, and what stays true of the weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.tables import TimesOf, params_of, tables_of
from streams.kernels import deciding, tracking
from streams.kernels import matching as m
from streams.settings import Track as TrackSettings
from tests.drawing import draw

pytestmark = pytest.mark.kernel

T0 = 1_773_100_800.0  # 2026-03-10 07:00 in Jakarta


class Beam:
    """One filter state on a drawn network."""

    def __init__(self, network, drawing, **settings):
        self.network, self.drawing = network, drawing
        self.tables, self.params = tables_of(network), params_of(TrackSettings(**settings))
        self.state, self.work, self.said = tracking.state(1), m.work(), np.zeros(11)
        self.times = TimesOf(network).of(np.array([T0, T0 + 7200]), tracking.fleet(1), np.array([0]))

    def see(self, t, place, bearing=np.nan, speed=np.nan, route=-1, direction=-1, pattern=-1):
        x, y = self.network.project(*(np.float64(v) for v in place))
        return m.match(
            self.state, 0, T0 + t, float(x), float(y), bearing, speed, route, direction, pattern,
            self.tables, self.params, self.times, self.work,
        )  # fmt: skip

    def drive(self, key, t, from_m, to_m, every_s=5.0, speed=8.0, **said):
        d = from_m
        while d <= to_m:
            assert self.see(t, self.drawing.along(key, d), **said) == m.USED
            t, d = t + every_s, d + every_s * speed
        return t

    def say(self):
        deciding.decide(self.state, 0, self.tables, self.params, self.said, self.work)
        return self.said

    def weights(self):
        return np.exp(self.state.h[0, : self.state.fi[0, m.N], m.LOG].astype(float))

    def share(self, phase, pattern=None):
        h = self.state.h[0, : self.state.fi[0, m.N]]
        mine = h[:, m.H_PHASE] == phase
        if pattern is not None:
            mine &= h[:, m.H_PATTERN] == pattern
        return float(self.weights()[mine].sum())


def street():
    return draw("A------B------C------D", routes={"R": "ABCD", "R-back": "DCBA"}, metres_per_char=100)


def fork():
    return draw(
        """
        A------B------C------D
                      |
                      |
                      |
                      E
        """,
        routes={"R": "ABCD", "R-back": "DCBA", "S": "ABCE", "S-back": "ECBA"},
        metres_per_char=100,
        headway_s={"R": 300, "R-back": 300, "S": 1200, "S-back": 1200},
    )


@given(st.lists(st.tuples(st.floats(0.01, 200), st.floats(-0.003, 0.003), st.floats(-0.003, 0.003)), max_size=12))
def test_weights_are_a_distribution_heaviest_first(steps):
    network, drawing = fork()
    beam = Beam(network, drawing)
    lat, lon = drawing.at("B")
    t = 0.0
    for dt, dy, dx in steps:
        t += dt
        beam.see(t, (lat + dy, lon + dx))
        n = beam.state.fi[0, m.N]
        assert 1 <= n <= m.MAX_BEAM
        weights = beam.weights()
        assert weights.sum() == pytest.approx(1.0, abs=1e-4)
        assert (np.diff(weights) <= 1e-6).all()
        assert np.isfinite(beam.state.h[0, :n, : m.SPEED_ALONG]).all()


def test_the_direction_of_driving_decides_the_direction():
    network, drawing = street()
    for key in ("R", "R-back"):
        beam = Beam(network, drawing)
        beam.drive(key, 0.0, 200.0, 600.0)
        said = beam.say()
        assert said[deciding.P_PATTERN] == drawing.pattern_ix(key)
        assert said[deciding.P_PROBABILITY] > 0.95


def test_a_bearing_tells_the_direction_at_once():
    network, drawing = street()
    beam = Beam(network, drawing)
    beam.see(0.0, drawing.along("R", 800.0), bearing=90.0, speed=8.0)
    east = beam.share(m.IN_SERVICE, drawing.pattern_ix("R"))
    assert east > 5 * beam.share(m.IN_SERVICE, drawing.pattern_ix("R-back"))


def test_on_a_shared_street_the_timetable_speaks_and_candidates_are_told():
    network, drawing = fork()
    beam = Beam(network, drawing)
    beam.drive("R", 0.0, 200.0, 900.0)
    said = beam.say()
    frequent = beam.share(m.IN_SERVICE, drawing.pattern_ix("R"))
    rare = beam.share(m.IN_SERVICE, drawing.pattern_ix("S"))
    assert 2.0 < frequent / rare < 6.0  # four times as many buses of R
    assert said[deciding.P_PROBABILITY] >= 0.6
    picky = Beam(network, drawing, match_threshold=0.95)
    picky.drive("R", 0.0, 200.0, 900.0)
    said = picky.say()
    assert said[deciding.P_ROUTE] == -1
    assert said[deciding.P_CANDIDATES] >= 2
    assert picky.work.rank[0, 1] >= picky.work.rank[1, 1]


def test_on_a_shared_street_the_route_is_likelier_whose_trip_is_due_here():
    network, drawing = draw(
        "A------B------C------D", routes={"R": "ABCD", "S": "ABCD"}, metres_per_char=400,
        trips={"R": ["06:50:00"], "S": ["06:40:00"]},
    )  # fmt: skip
    planned = network.pstop_departure_s[network.pstop_start[drawing.pattern_ix("S")] :]
    for key, minutes in (("R", 10.0), ("S", 20.0)):
        at_m = float(np.interp(60.0 * minutes, planned[:4], network.pstop_dist_m[:4]))
        beam = Beam(network, drawing)
        beam.drive(key, 0.0, at_m, at_m + 200.0)
        assert beam.share(m.IN_SERVICE, drawing.pattern_ix(key)) > 0.6


def test_a_route_is_said_that_its_ways_have_together():
    network, drawing = fork()
    r, s = network.route_ix["R"], network.route_ix["S"]

    def say(weights, run=-1, **settings):
        beam = Beam(network, drawing, **settings)
        state = beam.state
        state.fi[0, m.N], state.fi[0, m.RUN_PATTERN] = len(weights), run
        for k, (key, weight) in enumerate(weights):
            state.h[0, k, m.H_PATTERN], state.h[0, k, m.H_PHASE] = drawing.pattern_ix(key), m.IN_SERVICE
            state.h[0, k, m.LOG], beam.work.kept[k, 0] = np.log(weight), weight
        return beam.say(), beam.work.rank

    said, rank = say([("R", 0.45), ("R-back", 0.35), ("S", 0.2)])
    assert (said[deciding.P_ROUTE], said[deciding.P_DIRECTION], said[deciding.P_PATTERN]) == (r, -1, -1)
    assert said[deciding.P_PROBABILITY] == pytest.approx(0.8)
    assert said[deciding.P_CANDIDATES] == 3
    np.testing.assert_allclose(rank[:3, 1], [0.45, 0.35, 0.2])
    # the likeliest way need not be of the likeliest route
    said, rank = say([("S", 0.36), ("R", 0.34), ("R-back", 0.3)])
    assert (said[deciding.P_ROUTE], rank[0, 2]) == (r, s)
    said, _ = say([("S", 0.36), ("R", 0.34), ("R-back", 0.3)], match_threshold=0.7)
    assert said[deciding.P_ROUTE] == -1
    assert said[deciding.P_PROBABILITY] == pytest.approx(1.0)  # of the phase: it is all that is said
    # what a run drives is said for longer than it takes to say it at first
    weights = [("S", 0.52), ("R", 0.25), ("R-back", 0.23)]
    assert say(weights)[0][deciding.P_ROUTE] == -1
    weights = [("S", 0.38), ("S-back", 0.12), ("R", 0.27), ("R-back", 0.23)]
    assert say(weights)[0][deciding.P_ROUTE] == -1
    assert say(weights, run=drawing.pattern_ix("S"))[0][deciding.P_ROUTE] == s


def test_after_the_fork_it_is_known():
    network, drawing = fork()
    for key in ("R", "S"):
        beam = Beam(network, drawing)
        beam.drive(key, 0.0, 200.0, float(network.pattern_length_m[drawing.pattern_ix(key)]) - 120.0)
        assert beam.say()[deciding.P_PATTERN] == drawing.pattern_ix(key)


def test_what_is_reported_counts_once_and_may_be_a_lie():
    network, drawing = fork()
    r, s = network.route_ix["R"], drawing.pattern_ix("S")
    beam = Beam(network, drawing)
    t = beam.drive("S", 0.0, 200.0, 800.0, route=r)
    assert beam.say()[deciding.P_ROUTE] == r
    told = beam.share(m.IN_SERVICE, drawing.pattern_ix("R"))
    beam.drive("S", t, 840.0, 1200.0, route=r)
    assert beam.share(m.IN_SERVICE, drawing.pattern_ix("R")) == pytest.approx(told, abs=0.1)
    # and the street decides in the end
    beam.drive("S", t + 50.0, 1240.0, float(network.pattern_length_m[s]) - 20.0, route=r)
    assert beam.share(m.IN_SERVICE, s) > 0.5


def test_the_trip_of_the_run_before_is_likelier_than_another_route():
    both = {"R": "ABCD", "R-back": "DCBA", "S": "ABCD", "S-back": "DCBA"}
    network, drawing = draw("A------B------C------D", routes=both, metres_per_char=100)
    beam = Beam(network, drawing)
    r = drawing.pattern_ix("R")
    report = {"route": int(network.pattern_route_ix[r]), "direction": int(network.pattern_direction[r]), "pattern": r}
    beam.drive("R-back", 0.0, 400.0, 1200.0, **report)
    assert beam.share(m.IN_SERVICE, drawing.pattern_ix("R-back")) > 0.6


def test_progress_is_bounded():
    network, drawing = street()
    beam = Beam(network, drawing)
    beam.drive("R", 0.0, 200.0, 400.0, every_s=1.0)
    beam.see(51.0, drawing.along("R", 1500.0))  # 1.1 km in 25 s
    head = beam.state.h[0, 0]
    if head[m.H_PHASE] == m.IN_SERVICE and head[m.H_PATTERN] == drawing.pattern_ix("R"):
        assert head[m.DIST] <= 400.0 + 26 * 25.0 + 60.0


def test_the_way_back_beside_the_street_is_not_taken_for_the_way_out():
    # 35 m beside its street, by GPS error, it is nearer to the street that it comes back on a minute later.
    network, drawing = draw("A--------------B\nD--------------C", routes={"R": "ABCD"}, metres_per_char=40)
    beam = Beam(network, drawing)
    t = beam.drive("R", 0.0, 40.0, 280.0, every_s=30.0, speed=4.0)
    lat, lon = drawing.along("R", 400.0)
    beam.see(t, (lat - 35.0 / 111_195.0, lon))
    assert beam.say()[deciding.P_DIST] == pytest.approx(400.0, abs=60.0)


@pytest.mark.parametrize("every_s", [1.0, 5.0, 30.0])
def test_two_hours_in_service_stay_in_service(every_s):
    network, drawing = street()
    beam = Beam(network, drawing)
    rng = np.random.default_rng(3)
    error, t, d, said, n = np.zeros(2), 0.0, 300.0, 0, 0
    pull = np.exp(-every_s / 60.0)
    while t < 7200.0 / (4 if every_s == 1.0 else 1):
        error = error * pull + rng.normal(0.0, 12.0, 2) * np.sqrt(1 - pull**2)
        lat, lon = drawing.along("R", d)
        assert beam.see(t, (lat + error[0] / 111_195, lon + error[1] / 110_500)) == m.USED
        said += beam.say()[deciding.P_PHASE] == m.IN_SERVICE
        n += 1
        t, d = t + every_s, min(d + 0.25 * every_s, 1900.0)  # a crawl: a jam is not a layover
    assert said / n >= 0.99


def test_layover_is_born_at_terminals_only():
    network, drawing = street()
    end = float(network.pattern_length_m[drawing.pattern_ix("R")])
    mid, terminal = Beam(network, drawing), Beam(network, drawing)
    t = mid.drive("R", 0.0, 200.0, 1000.0)
    u = terminal.drive("R", 0.0, end - 600.0, end)
    for k in range(60):
        mid.see(t + 5.0 * k, drawing.along("R", 1000.0), speed=0.0)
        terminal.see(u + 5.0 * k, drawing.along("R", end), speed=0.0)
    assert mid.share(m.LAYOVER) < 0.01
    assert terminal.share(m.LAYOVER, drawing.pattern_ix("R-back")) > 0.7
    terminal.drive("R-back", u + 300.0, 40.0, 400.0)
    assert terminal.say()[deciding.P_PATTERN] == drawing.pattern_ix("R-back")


def test_off_its_route_and_back():
    network, drawing = street()
    beam = Beam(network, drawing)
    t = beam.drive("R", 0.0, 100.0, 500.0)
    for k in range(40):  # 200 m beside the street for 600 m
        lat, lon = drawing.along("R", 500.0 + 15.0 * k)
        beam.see(t + 5.0 * k, (lat + 0.0018 * min(1.0, k / 5), lon))
    assert beam.share(m.OFF_ROUTE) + beam.share(m.DEADHEAD) > 0.9
    assert beam.share(m.IN_SERVICE) < 0.1
    beam.drive("R", t + 205.0, 1120.0, 1700.0)
    assert beam.share(m.IN_SERVICE, drawing.pattern_ix("R")) > 0.9


def test_the_gate_keeps_teleports_out_and_opens_for_two_that_agree():
    network, drawing = street()
    beam = Beam(network, drawing)
    t = beam.drive("R", 0.0, 100.0, 500.0)
    lat, lon = drawing.along("R", 540.0)
    before = beam.state.h[0].copy()
    assert beam.see(t, (lat + 0.1, lon)) == m.IMPOSSIBLE_SPEED
    assert (beam.state.h[0] == before).all()
    assert beam.see(t + 5.0, drawing.along("R", 580.0)) == m.USED
    assert beam.see(t + 10.0, (lat + 0.1, lon)) == m.IMPOSSIBLE_SPEED
    assert beam.see(t + 15.0, (lat + 0.1, lon + 0.0003)) == m.USED


def test_coordinates_that_freeze_while_it_says_it_drives():
    network, drawing = street()
    beam = Beam(network, drawing)
    codes = [beam.see(5.0 * k, drawing.along("R", 500.0), speed=8.0) for k in range(12)]
    assert codes[:7] == [m.USED] * 7
    assert codes[-1] == m.FROZEN
    assert [beam.see(60.0 + 5.0 * k, drawing.along("R", 500.0), speed=0.0) for k in range(12)] == [m.USED] * 12


def test_drift_while_standing_is_no_progress():
    network, drawing = street()
    beam = Beam(network, drawing)
    t = beam.drive("R", 0.0, 200.0, 600.0, speed=8.0)
    rng = np.random.default_rng(1)
    for k in range(100):
        lat, lon = drawing.along("R", 600.0 + rng.normal(0.0, 12.0))
        beam.see(t + 5.0 * k, (lat, lon), speed=0.0)
    assert abs(beam.say()[deciding.P_DIST] - 600.0) < 25.0
