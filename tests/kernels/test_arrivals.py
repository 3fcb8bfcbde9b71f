import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import arrivals as kernel
from tests.kernels import naive_arrivals as naive

pytestmark = pytest.mark.kernel

NOW = 1_700_000_000.0
CENTRES = np.array([15.0, 60.0, 300.0, 1500.0])
QUANTILES = np.stack(
    [
        np.stack([-5.0 - 0.1 * CENTRES, 0.02 * CENTRES, 10.0 + 0.2 * CENTRES]).T,
        np.stack([-20.0 - 0.1 * CENTRES, 20.0 + 0.0 * CENTRES, 120.0 + 0.3 * CENTRES]).T,
        np.stack([-10.0 - 0.1 * CENTRES, 10.0 + 0.0 * CENTRES, 90.0 + 0.4 * CENTRES]).T,
    ]
)


def bus(**known):
    return {
        "dist": 0.0, "anchor": NOW, "next": 1, "depart": None, "stood": 0.0, "stray": False, "plan": None, "scale": 1.0,
        "timepoints": (), **known,
    }  # fmt: skip


def estimate(stops, *buses, hold=0.0, at_timepoint=0.0, quantiles=QUANTILES, now=NOW, later=1.0):
    """Rows of (base, p10, p50, p90, told) per bus; all buses drive the one pattern."""
    dist, running, jam = (np.array(column, float) for column in zip(*stops, strict=True))
    n = len(stops)
    plan = [b["plan"] for b in buses]
    row_start = np.concatenate([[0], np.cumsum([n - b["next"] for b in buses])]).astype(np.int64)
    out = [np.empty(row_start[-1]) for _ in range(5)]
    link = np.append(np.arange(n - 1), -1)
    kernel.estimate(
        now, np.zeros(len(buses), np.int64), np.array([b["dist"] for b in buses], float),
        np.array([b["anchor"] for b in buses], float), np.array([b["next"] for b in buses], np.int64),
        np.array([np.nan if b["depart"] is None else b["depart"] for b in buses], float),
        np.array([b["stood"] for b in buses], float), np.array([b["stray"] for b in buses]),
        np.full(len(buses), now), np.array([-1 if p is None else n * i for i, p in enumerate(plan)], np.int64),
        np.array([b["scale"] for b in buses], float), row_start, np.array([0, n]), dist, link,
        np.concatenate([np.full(n, np.nan) if p is None else np.array(p, float) - now for p in plan]),
        np.concatenate([np.isin(np.arange(n), list(b["timepoints"])) for b in buses]),
        running, later * running, jam, np.array([hold, at_timepoint]), CENTRES, quantiles, *out,
        np.empty(row_start[-1], np.int64),
    )  # fmt: skip
    rows = list(zip(*out, strict=True))
    return [rows[a:b] for a, b in itertools.pairwise(row_start)]


def line(n=4, hop_m=600.0, hop_s=120.0, jam=()):
    return [(i * hop_m, hop_s, dict(jam).get(i, 0.0)) for i in range(n)]


stops = st.integers(2, 7).flatmap(
    lambda n: st.lists(
        st.tuples(st.floats(30, 2000), st.floats(5, 900), st.one_of(st.just(0.0), st.floats(0, 900))),
        min_size=n, max_size=n,
    )
).map(lambda hops: [(sum(h[0] for h in hops[:i]), *hops[i][1:]) for i in range(len(hops))])  # fmt: skip


@st.composite
def cases(draw):
    line = draw(stops)
    following = draw(st.integers(0, len(line) - 1))
    waits = following == 1 and draw(st.booleans())
    behind = line[following - 1][0] if following else -200.0
    return line, bus(
        next=following,
        dist=draw(st.floats(behind, line[following][0])),
        anchor=NOW - draw(st.floats(0, 400)),
        depart=NOW + draw(st.floats(-60, 900)) if waits else None,
        stood=draw(st.one_of(st.just(0.0), st.floats(0, 3000))),
        stray=draw(st.booleans()),
        plan=[NOW + draw(st.floats(-600, 3000)) for _ in line] if draw(st.booleans()) else None,
        scale=draw(st.floats(0.5, 2.0)),
        timepoints=draw(st.sets(st.integers(0, len(line) - 1))),
    )


@given(cases(), st.floats(0, 0.6), st.floats(0, 1), st.floats(0.5, 2.0))
def test_estimates_are_those_of_walking_from_stop_to_stop(case, hold, at_timepoint, later):
    line, b = case
    (got,) = estimate(line, b, hold=hold, at_timepoint=at_timepoint, later=later)
    want = naive.estimate(NOW, b, line, CENTRES, QUANTILES, (hold, at_timepoint), later)
    assert len(got) == len(want)
    for row, twin in zip(got, want, strict=True):
        if twin is None:
            assert np.isnan(row).all()
        else:
            assert row == pytest.approx(twin, abs=1e-3)


@given(cases(), st.floats(0, 0.6), st.lists(st.floats(-900, 900), min_size=9, max_size=9))
def test_laws_of_an_estimate(case, hold, wild):
    """Whatever residuals were tracked: in the future, in order, rising from stop to stop, told within its bounds."""
    line, b = case
    table = QUANTILES + np.array(wild).reshape(3, 1, 3)
    (rows,) = estimate(line, b, hold=hold, quantiles=table)
    before = (NOW,) * 4
    for _base, p10, p50, p90, told in rows:
        if np.isnan(p50):
            continue
        assert NOW < p10 <= p50 <= p90
        assert p10 <= told <= p50
        assert told >= p50 - 120.0 - 1e-6
        now = (p10, p50, p90, told)
        assert all(b - a >= 1.0 - 1e-6 for a, b in zip(before, now, strict=True))
        before = now


def test_a_bus_between_stops_worked_by_hand():
    # 300 m past a stop, 320 m of the link's 600 gone: dwell 15 s gone, 105 s * 280 / 600 = 49 s left
    (rows,) = estimate(line(3), bus(dist=300.0))
    assert rows[0][0] - NOW == pytest.approx(49.0, abs=1e-3)
    assert rows[1][0] - NOW == pytest.approx(169.0, abs=1e-3)


def test_told_is_an_eighth_early_worked_by_hand():
    (rows,) = estimate(line(3), bus(dist=300.0), quantiles=np.tile([-100.0, 0.0, 100.0], (3, 4, 1)))
    assert rows[1][4] - NOW == pytest.approx(169 * 0.88, abs=1e-3)


def test_a_bus_that_waits_leaves_when_it_is_due():
    (waiting,) = estimate(line(3), bus(depart=NOW + 300))
    assert [row[0] - NOW for row in waiting] == pytest.approx([420, 540], abs=1e-3)
    (overdue,) = estimate(line(3), bus(depart=NOW - 300))
    assert [row[0] - NOW for row in overdue] == pytest.approx([120, 240], abs=1e-3)


def test_far_links_are_driven_at_the_pace_of_later():
    (rows,) = estimate(line(4, hop_s=900.0), bus(dist=-20.0), later=2.0)
    base = [row[0] - NOW for row in rows]
    assert base == pytest.approx([900.0, 900 + 900 * 1.25, 2025 + 900 * (1 + 2025 / 3600)], rel=1e-6)


def test_a_jam_ahead_lengthens_and_widens():
    (free,), (jammed,) = estimate(line(), bus(dist=300.0)), estimate(line(jam={1: 240.0}), bus(dist=300.0))
    assert jammed[0] == pytest.approx(free[0])  # the jam is behind that stop
    assert jammed[1][2] > free[1][2] + 200
    assert jammed[1][3] - jammed[1][1] > free[1][3] - free[1][1] + 200


def test_standing_for_twenty_minutes_widens_but_does_not_vanish():
    (moving,) = estimate(line(), bus(dist=300.0))
    (standing,) = estimate(line(), bus(dist=300.0, stood=1200.0))
    for a, b in zip(moving, standing, strict=True):
        assert b[2] > a[2] + 300
        assert b[3] - b[1] > a[3] - a[1] + 700


def test_an_early_bus_is_held_by_the_share_learned():
    plan = [NOW, NOW + 300, NOW + 420, NOW + 540]  # a minute late at the first stop, three early at the second
    (free,), (held,) = (estimate(line(), bus(dist=0.0, plan=plan), hold=h) for h in (0.0, 0.5))
    early = 300 - (free[0][0] - NOW)
    assert held[0][0] == pytest.approx(free[0][0])
    assert held[1][0] - free[1][0] == pytest.approx(0.5 * early, abs=1e-3)


def test_a_bus_is_held_where_buses_wait_for_the_time():
    plan = [NOW, NOW + 300, NOW + 420, NOW + 540]
    (free,), (held,) = (estimate(line(), bus(plan=plan, timepoints={1}), at_timepoint=h) for h in (0.0, 0.9))
    assert held[0][0] == pytest.approx(free[0][0])
    early = 300 - (free[0][0] - NOW)
    assert held[1][0] - free[1][0] == pytest.approx(0.9 * early, abs=1e-3)
    assert held[2][0] - free[2][0] == pytest.approx(0.9 * early, abs=1e-3)  # and nowhere else


def test_a_bus_that_stands_at_a_timepoint_waits_for_the_time_and_is_not_stuck():
    plan = [NOW - 300, NOW + 200, NOW + 320, NOW + 440]
    here = bus(dist=600.0, next=2, stood=180.0, plan=plan)
    (stuck,), (waits,) = (estimate(line(), {**here, "timepoints": t}, at_timepoint=1.0) for t in ((), {1}))
    left = naive.left_of_link(120.0, 600.0, 20.0)
    assert waits[0][0] - NOW == pytest.approx(200 + left)
    assert waits[0][3] - waits[0][1] < stuck[0][3] - stuck[0][1]
    (late,) = estimate(line(), {**here, "timepoints": {1}, "plan": [t - 400 for t in plan]}, at_timepoint=1.0)
    assert late[0] == stuck[0]


def test_a_bus_an_hour_before_its_plan_is_on_another_trip_and_not_held_by_it():
    plan = [NOW + 3600 + 120 * i for i in range(9)]
    (free,), (held,) = (estimate(line(9), bus(plan=plan), hold=h) for h in (0.0, 0.02))
    assert held[-1][0] - free[-1][0] < 9 * 0.02 * 301


def test_beyond_an_hour_nothing_is_said():
    (rows,) = estimate(line(5, hop_s=1500.0), bus(dist=0.0))
    assert [bool(np.isnan(row[2])) for row in rows] == [False, False, True, True]


def test_what_may_come_within_the_hour_is_said_though_it_hardly_will():
    early = np.tile([-100.0, 0.0, 100.0], (3, 4, 1))
    (rows,) = estimate(line(5, hop_s=1250.0), bus(dist=-20.0), quantiles=early)
    assert rows[2][0] - NOW == pytest.approx(3750.0)
    assert [bool(np.isnan(row[2])) for row in rows] == [False, False, False, True]


def test_a_ping_long_ago_is_no_reason_to_expect_the_bus_at_once():
    (rows,) = estimate(line(), bus(dist=0.0, anchor=NOW - 5000))
    assert rows[0][0] >= NOW


# --- learning


def learned(n=3):
    return {
        "prior_s": np.full(n, 100.0), "sum_s": np.zeros(n), "sum_prior_s": np.zeros(n),
        "hour_s": np.zeros((n, 48), np.float32), "hour_prior_s": np.zeros((n, 48), np.float32),
        "net_s": np.zeros(48), "net_expected_s": np.zeros(48), "recent_s": np.zeros(n),
        "recent_expected_s": np.zeros(n), "recent_net": np.zeros(2), "fits": np.zeros(8), "own_s": np.zeros(2),
        "own_expected_s": np.zeros(2), "own_at": np.zeros(2),
    }  # fmt: skip


def learn(a, passages, now=NOW, usual=None, factor=None, vehicle=0):
    """(link, hour, at, seconds, early[, at a timepoint]); expected is what the timetable says."""
    n = len(a["prior_s"])
    passages = [(*p, False)[:6] for p in passages]
    link, hour, at, seconds, early, timepoint = (np.array(c, float) for c in zip(*passages, strict=True))
    kernel.learn(
        np.full(len(passages), vehicle), link.astype(np.int64), hour.astype(np.int64), at, seconds, early,
        timepoint > 0, now, a["prior_s"].copy() if usual is None else usual, np.ones(n) if factor is None else factor,
        a["prior_s"].copy(), *a.values(),
    )  # fmt: skip


def times(a, hour=8, near=None, weight=0.0):
    n = len(a["prior_s"])
    near = near or [{} for _ in range(n)]
    start = np.cumsum([0] + [len(each) for each in near]).astype(np.int64)
    return kernel.running_times(
        hour, *[v for name, v in a.items() if name != "fits" and not name.startswith("own")], start,
        np.array([o for each in near for o in each], np.int64),
        np.array([1 / (1 + d) for each in near for d in each.values()], float), weight,
    )  # fmt: skip


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 47), st.floats(NOW - 3000, NOW), st.floats(1, 900)), max_size=12
    ),
    st.integers(0, 47),
    st.floats(0, 1),
)
def test_running_times_are_those_of_the_formulas(passages, hour, weight):
    a = learned()
    near = [{1: 1, 2: 2}, {0: 1, 2: 1}, {1: 1, 0: 2}]
    passages = sorted(passages, key=lambda p: p[2])
    if passages:
        learn(a, [(*p, np.nan) for p in passages])
    got = times(a, hour, near, weight)
    links = [
        {
            "prior": 100.0, "sum": a["sum_s"][i], "sum_prior": a["sum_prior_s"][i], "hour": a["hour_s"][i].tolist(),
            "hour_prior": a["hour_prior_s"][i].tolist(), "recent": a["recent_s"][i],
            "recent_expected": a["recent_expected_s"][i],
        }
        for i in range(3)
    ]  # fmt: skip
    net = {
        "hour": a["net_s"], "hour_expected": a["net_expected_s"], "recent": a["recent_net"][0],
        "recent_expected": a["recent_net"][1],
    }  # fmt: skip
    for i in range(3):
        want = naive.running_time(hour, i, links, net, near[i], weight)
        assert [column[i] for column in got] == pytest.approx(want, rel=1e-6)


def test_a_profile_worked_by_hand():
    # two passages of 150 s at 8: link (300 + 70) / (200 + 70), hour (300 + 500 * link * net) / (200 + 500)
    a = learned()
    learn(a, [(0, 8, NOW, 150.0, np.nan)] * 2)
    usual, _, expected = times(a)
    link = 370 / 270
    net = (300 + 40_000) / (a["net_expected_s"][8] + 40_000)
    assert usual[0] == pytest.approx((300 + 500 * link * net) / 700 * 100, rel=1e-6)
    assert expected[0] == usual[0]  # the recent factor is off until it has proved itself


def test_passages_are_clipped():
    a = learned()
    learn(a, [(0, 8, NOW, 9999.0, np.nan), (1, 8, NOW, 1.0, np.nan)])
    assert a["sum_s"].tolist() == [360.0, 30.0, 0.0]  # three times the timetable and a minute


def test_an_hour_borrows_half_from_its_neighbours_but_not_across_the_weekend():
    """Of six links one takes twice as long at 23, and as long as the others at 12."""
    a = learned(6)
    for link in range(6):
        learn(a, [(link, h, NOW, 200.0 if (link, h) == (0, 23) else 100.0, np.nan) for h in (12, 23)] * 60)
    usual = [times(a, hour)[0][0] for hour in (23, 0, 1, 24)]
    assert usual[0] > usual[1] > usual[2]
    assert usual[3] == pytest.approx(usual[2], rel=0.02)


def test_a_neighbouring_hour_tells_of_the_link_and_not_of_how_slow_that_hour_is():
    """All links take twice as long at 9 as at 8; link 0 was driven at 9 only."""
    n = 200
    a = learned(n)
    for _ in range(30):
        learn(a, [(i, h, NOW, 100.0 * (h - 7), np.nan) for i in range(1, n) for h in (8, 9)])
    learn(a, [(0, 9, NOW, 200.0, np.nan)] * 30)
    usual = times(a, 8)[0]
    assert usual[0] < 1.25 * usual[1]


def test_the_recent_factor_earns_its_weight():
    """Buses that are slow when the factor says slow raise it; noise does not."""
    rng = np.random.default_rng(3)
    for truth, low, high in ((1.0, 0.6, 1.0), (0.0, 0.0, 0.15)):
        a = learned()
        for _ in range(800):
            factor = np.exp(rng.normal(0, 0.3, 3))
            i = int(rng.integers(3))
            seconds = 100 * (1 + truth * (factor[i] - 1)) * np.exp(rng.normal(0, 0.2))
            learn(a, [(i, 8, NOW, seconds, np.nan)], factor=factor)
        assert low <= kernel.fitted(a["fits"])[0] <= high


def test_the_hold_is_learned_from_early_buses():
    a = learned()
    learn(a, [(0, 8, NOW, 100.0 + 0.4 * 60, 60.0)] * 20_000)
    assert kernel.fitted(a["fits"])[1] == pytest.approx(0.4, abs=0.02)
    late = learned()
    learn(late, [(0, 8, NOW, 300.0, -60.0), (0, 8, NOW, 300.0, np.nan)] * 10_000)
    assert kernel.fitted(late["fits"])[1] == 0.0


def test_the_hold_at_timepoints_is_learned_apart_and_is_no_running_time():
    a = learned()
    assert kernel.fitted(a["fits"])[2] == pytest.approx(0.75)
    for _ in range(100):
        learn(a, [(0, 8, NOW, 100.0 + 0.5 * 200, 200.0, True)] * 30)
    assert kernel.fitted(a["fits"])[1:3] == pytest.approx((0.0, 0.5), abs=0.02)
    assert a["sum_s"][0] / a["sum_prior_s"][0] == pytest.approx(1.0, abs=0.05)
    late = learned()
    learn(late, [(0, 8, NOW, 300.0, -60.0, True), (0, 8, NOW, 300.0, np.nan, True)] * 1000)
    assert kernel.fitted(late["fits"])[2] == pytest.approx(0.75)


def own_pace(a, vehicle=0, now=NOW):
    return kernel.own_pace(now, a["own_s"][vehicle], a["own_expected_s"][vehicle], a["own_at"][vehicle])


@given(st.lists(st.tuples(st.floats(0, 7200), st.floats(30, 360)), min_size=1, max_size=9), st.floats(0, 7200))
def test_an_own_pace_is_that_of_the_formula(passages, later):
    passages = sorted(passages)
    a = learned()
    for ago in range(0, len(passages), 3):  # in what portions they are learned does not matter
        learn(a, [(0, 8, NOW + at, seconds, np.nan) for at, seconds in passages[ago : ago + 3]], now=NOW + 7200)
    want = naive.own_pace(passages, 100.0, 7200 + later)
    assert own_pace(a, now=NOW + 7200 + later) == pytest.approx(want)
    assert own_pace(a, vehicle=1) == 1.0


def test_own_paces_earn_their_weight():
    """Where who was slow stays slow it is expected to be; where one passage tells nothing of the next, not."""
    rng = np.random.default_rng(5)
    for lasts, low, high in ((True, 0.8, 1.5), (False, 0.0, 0.2)):
        a = learned()
        for driver in range(200):
            slow = rng.choice([0.8, 1.25])
            for k in range(12):
                pace = slow if lasts else rng.choice([0.8, 1.25])
                at = NOW + 40_000 * driver + 100 * k
                learn(a, [(0, 8, at, 100 * pace, np.nan)], now=at)
        assert low <= kernel.fitted(a["fits"])[3] <= high


def test_the_wait_at_a_timepoint_is_no_slow_driving():
    a = learned()
    learn(a, [(0, 8, NOW, 175.0, 100.0, True)])
    assert own_pace(a) == pytest.approx(1.0)


def test_own_paces_lengthen_the_way_of_buses_under_way():
    a = learned()
    learn(a, [(0, 8, NOW, 200.0, np.nan)] * 12)
    waiting = np.array([False, True, False])
    vehicle = np.array([0, 0, 1])
    own = (a["own_s"], a["own_expected_s"], a["own_at"])
    assert kernel.own_paces(NOW, vehicle, waiting, *own, 1.0) == pytest.approx([1.5, 1.0, 1.0])
    assert kernel.own_paces(NOW, vehicle, waiting, *own, 0.5) == pytest.approx([1.25, 1.0, 1.0])
    assert kernel.own_paces(NOW, vehicle, waiting, *own, 0.0) == pytest.approx([1.0, 1.0, 1.0])
    assert kernel.own_paces(NOW, vehicle, waiting, *own, 1.5)[0] == 1.5  # and no further


# --- passages


class Line:
    """`chain` over one pattern of four stops (and its planned times, 100 s apart)."""

    def __init__(self, vehicles=2):
        self.last = [np.full(vehicles, -1, np.int64) for _ in range(3)]
        self.times = [np.full(vehicles, np.nan) for _ in range(4)]
        self.waits = []

    def feed(self, rows, planned=False, scale=1.0):
        """(vehicle, run, pos, arrival, departure, settled); -> [(link, at, seconds, early)]."""
        rows = [(*r, r[3] if len(r) == 4 else r[4]) for r in rows]
        vehicle, run, pos, arrival, departure, *_ = zip(*rows, strict=True)
        settled = [r[5] if len(r) > 6 else (r[3] if np.isnan(r[4]) else r[4]) for r in rows]
        n = len(rows)
        by, link, out, wait = np.empty(n, np.int64), np.empty(n, np.int64), [np.empty(n) for _ in range(3)], np.empty(n)
        self.timepoint = np.empty(n, np.bool_)
        count = kernel.chain(
            np.array(vehicle), np.array(run), np.zeros(n, np.int64), np.array(pos), np.array(arrival, float),
            np.array(departure, float), np.array(settled, float), np.full(n, 0.0),
            np.full(n, 0 if planned else -1, np.int64), np.full(n, scale), np.array([0.0, 100, 200, 300]),
            np.array([False, False, True, False]), np.array([0, 4]), np.array([0, 1, 2, -1]), *self.last, *self.times,
            120.0, by, link, *out, self.timepoint, wait,
        )  # fmt: skip
        self.timepoint = self.timepoint[:count]
        self.by = by[:count].tolist()
        self.waits += wait[~np.isnan(wait)].tolist()
        return [
            (int(a), *(float(v) for v in rest))
            for a, *rest in zip(link[:count], *(o[:count] for o in out), strict=True)
        ]


NAN = float("nan")


def test_passages_run_from_arrival_to_arrival_the_first_from_departure():
    got = Line().feed([(0, 7, 0, 0.0, 50.0), (0, 7, 1, 150.0, 170.0), (0, 7, 2, 260.0, 260.0)])
    assert [row[:3] for row in got] == [(0, 150.0, 100.0), (1, 260.0, 110.0)]


def test_a_passage_is_of_its_vehicle():
    line = Line()
    line.feed([(0, 7, 1, 0.0, 0.0), (1, 8, 1, 20.0, 20.0), (1, 8, 2, 110.0, 110.0), (0, 7, 2, 150.0, 150.0)])
    assert line.by == [1, 0]


def test_a_passage_knows_whether_it_began_at_a_timepoint_of_its_plan():
    rows = [(0, 7, pos, 100.0 * pos, 100.0 * pos) for pos in range(4)]
    for planned, want in ((True, [False, False, True]), (False, [False, False, False])):
        line = Line()
        line.feed(rows, planned=planned)
        assert line.timepoint.tolist() == want


def test_passages_of_a_trip_that_takes_longer_by_plan_are_told_as_of_one_that_does_not():
    got = Line().feed([(0, 7, 0, 0.0, 50.0), (0, 7, 1, 200.0, 200.0), (0, 7, 2, 320.0, 320.0)], scale=1.5)
    assert [row[:3] for row in got] == [(0, 200.0, 100.0), (1, 320.0, 80.0)]


def test_a_stop_that_closes_twice_is_taken_once_with_its_departure():
    line = Line()
    assert line.feed([(0, 7, 0, 0.0, NAN)]) == []
    assert line.feed([(0, 7, 0, 0.0, 50.0)]) == []
    got = line.feed([(0, 7, 1, 150.0, NAN), (0, 7, 1, 150.0, 160.0), (0, 7, 2, 250.0, 250.0)])
    assert [row[:3] for row in got] == [(0, 150.0, 100.0), (1, 250.0, 100.0)]


def test_a_missed_stop_breaks_the_chain_and_another_run_starts_anew():
    got = Line().feed([(0, 7, 0, 0.0, 0.0), (0, 7, 2, 200.0, 200.0), (0, 7, 3, 300.0, 300.0), (0, 8, 1, 900.0, 900.0)])
    assert [row[:3] for row in got] == [(2, 300.0, 100.0)]


def test_a_run_that_starts_again_is_timed_from_its_second_start():
    line = Line()
    assert [row[:3] for row in line.feed([(0, 7, 0, 0.0, 0.0), (0, 7, 1, 60.0, 60.0)])] == [(0, 60.0, 60.0)]
    late = [(0, 7, 0, 500.0, 500.0), (0, 7, 1, 590.0, 590.0), (0, 7, 2, 700.0, 700.0)]
    assert [row[:3] for row in line.feed(late)] == [(0, 590.0, 90.0), (1, 700.0, 110.0)]


def test_a_passage_across_a_long_silence_is_left_out():
    got = Line().feed([(0, 7, 0, 0.0, 0.0, 10.0), (0, 7, 1, 100.0, 100.0, 230.0), (0, 7, 2, 220.0, 220.0, 230.0)])
    assert got == []


def test_earliness_is_before_the_planned_departure():
    got = Line().feed(
        [(0, 7, 0, 0.0, 0.0), (0, 7, 1, 70.0, 70.0), (0, 7, 2, 210.0, 210.0), (0, 7, 3, 300.0, 300.0)], True
    )
    assert [row[3] for row in got][1:] == [30.0, -10.0]
    assert np.isnan(got[0][3])


def test_a_wait_at_a_terminal_is_from_the_end_of_one_run_to_the_departure_of_the_next():
    line = Line()
    for run in range(3):
        t = run * 1000.0
        line.feed(
            [
                (0, run, 0, t - 20, t),
                (0, run, 1, t + 100, t + 100),
                (0, run, 2, t + 200, t + 200),
                (0, run, 3, t + 300, t + 300),
            ]
        )
    assert line.waits == [700.0, 700.0]


def test_no_wait_is_known_after_a_run_whose_end_was_not_seen():
    line = Line()
    line.feed([(0, 1, 0, 0.0, 0.0), (0, 1, 1, 100.0, 100.0), (0, 2, 0, 800.0, 900.0)])
    assert line.waits == []


# --- what is passed, what is said


def test_passed_is_what_a_gate_says_or_what_lies_behind():
    start, dist, seq = np.array([0, 3]), np.array([0.0, 500.0, 1000.0]), np.array([0, 4, 9])
    vehicles = [(0.0, -1), (6.0, -1), (500.0, -1), (506.0, -1), (480.0, 4), (1000.0, 9)]

    def next_stops(stood_s):
        dist_m, gate_seq = (np.array(column) for column in zip(*vehicles, strict=True))
        return kernel.next_stops(
            np.zeros(6, np.int64), dist_m, gate_seq, np.full(6, stood_s), start, dist, seq
        ).tolist()  # fmt: skip

    assert next_stops(0.0) == [0, 1, 1, 2, 2, 3]
    vehicles = [(0.0, -1), (470.0, -1), (481.0, -1), (500.0, -1), (981.0, 4), (979.0, 4)]
    assert next_stops(0.0) == [0, 1, 1, 1, 2, 2]
    assert next_stops(20.0) == [1, 1, 2, 2, 3, 2]  # standing beside a stop is having come to it


class Memory:
    def __init__(self, vehicles=1, stops=6):
        self.p50, self.told, self.at = (np.full((vehicles, stops), kernel.NOTHING, np.int32) for _ in range(3))

    def choose(self, now, estimates, next_pos=0, vehicle=0):
        """`estimates`: seconds from the epoch [(p50, told)], the epoch is NOW; -> positions stated."""
        n = len(estimates)
        say = np.zeros(n, np.bool_)
        p50, told = (np.array([NOW + e[j] for e in estimates], float) for j in (0, 1))
        kernel.choose(
            NOW + now, NOW, np.array([vehicle]), np.array([next_pos]), np.array([0, n]), p50, told, self.p50,
            self.told, self.at, say,
        )  # fmt: skip
        return (np.flatnonzero(say) + next_pos).tolist()

    def withdraw(self, keep_from, keep_to, room=16):
        out = np.empty((2, room), np.int64)
        n = kernel.withdraw(self.p50, np.array([keep_from]), np.array([keep_to]), *out)
        return out[1, :n].tolist()


def test_stated_when_new_when_moved_and_every_thirty_seconds():
    memory = Memory()
    assert memory.choose(0, [(100, 90), (1000, 900)]) == [0, 1]
    assert memory.choose(5, [(110, 99), (1010, 910)]) == []
    assert memory.choose(10, [(116, 104), (1048, 940)]) == [0]  # 16 s; 48 s is less than 5 % of 1038 s
    assert memory.choose(15, [(116, 104), (1056, 945)]) == [1]
    assert memory.choose(40, [(116, 104), (1056, 945)]) == [0]
    assert memory.choose(45, [(116, 104), (1056, 945)]) == [1]


def test_small_drifts_add_up():
    memory = Memory()
    memory.choose(0, [(100, 90)])
    assert [memory.choose(5 * i, [(100 + 6 * i, 90)]) for i in (1, 2, 3)] == [[], [], [0]]


@given(
    st.lists(st.lists(st.tuples(st.floats(1, 60), st.floats(0, 30)), min_size=4, max_size=4), min_size=1, max_size=8)
)
def test_what_stands_stated_rises_from_stop_to_stop(rounds):
    memory = Memory(stops=4)
    for i, hops in enumerate(rounds):
        now = 5.0 * i
        p50 = now + np.cumsum([h for h, _ in hops])
        told = [now]
        for m, (_, early) in zip(p50, hops, strict=True):
            told.append(max(m - early, told[-1] + 1.0))
        memory.choose(now, list(zip(p50, told[1:], strict=True)))
        stands = memory.told[0]
        assert (np.diff(stands) >= 10 - 1).all()  # a decisecond may go in rounding
        assert stands[0] >= now * 10 + 10 - 1


def test_what_is_not_held_is_not_stated():
    memory = Memory()
    assert memory.choose(0, [(100, 90), (NAN, NAN)]) == [0]
    assert memory.choose(5, [(100, 90), (300, 260)]) == [1]


def test_withdrawn_once():
    memory = Memory()
    memory.choose(0, [(100, 90), (200, 180), (300, 270)])
    assert memory.withdraw(1, 3) == [0]
    assert memory.withdraw(1, 3) == []
    assert memory.withdraw(0, 0, room=1) == [1]
    assert memory.withdraw(0, 0, room=1) == [2]
    assert memory.choose(5, [(200, 180)], next_pos=1) == [1]


# --- calibration


def test_tracked_quantiles_cover_eighty_percent():
    rng = np.random.default_rng(11)
    state = (np.tile([-10.0, 0.0, 10.0], (3, 4, 1)), np.full((3, 4), 10.0), np.zeros((3, 4)))

    def residuals(n):
        bins = rng.integers(0, 4, n)
        return bins, (rng.gamma(2.0, 20.0, n) - 25.0) * (1 + bins)

    bins, r = residuals(6000)
    for k in range(0, 6000, 20):
        rows = slice(k, k + 20)
        kernel.calibrate(np.zeros(20, np.int64), bins[rows], r[rows], np.ones(20, np.bool_), *state)
    bins, r = residuals(6000)
    for b in range(4):
        p10, p50, p90 = state[0][0, b]
        inside = r[bins == b]
        assert 0.76 < np.mean((inside >= p10) & (inside <= p90)) < 0.84
        assert 0.44 < np.mean(inside < p50) < 0.56
    assert state[2][1].tolist() == [0] * 4  # other classes have learned nothing


def test_many_estimates_of_one_minute_weigh_no_more_than_a_few():
    """Five hundred buses in one jam are no more news than ten: else the next minute's would know only that jam."""

    def after(n):
        state = (np.tile([-10.0, 0.0, 10.0], (3, 1, 1)), np.full((3, 1), 10.0), np.zeros((3, 1)))
        none = np.zeros(n, np.int64)
        kernel.calibrate(none, none, np.full(n, 200.0), np.ones(n, np.bool_), *state)
        return np.concatenate([state[0][0, 0], state[1][0], state[2][0]])

    assert after(500) == pytest.approx(after(int(kernel.ALIKE)), rel=0.15)
    assert after(500)[-1] == pytest.approx(kernel.ALIKE)
    assert (after(5)[:3] < after(10)[:3]).all()


def test_one_that_has_not_come_counts_as_late_where_that_is_certain():
    def after(residual, known):
        state = (np.tile([-10.0, 0.0, 10.0], (3, 1, 1)), np.full((3, 1), 10.0), np.zeros((3, 1)))
        kernel.calibrate(np.array([0]), np.array([0]), np.array([residual]), np.array([known]), *state)
        return state[0][0, 0]

    assert (after(50.0, False) > [-10, 0, 10]).all()
    undecided = after(5.0, False)
    assert (undecided[:2] > [-10, 0]).all()
    assert undecided[2] == 10.0  # it may still come after that, or not
    assert after(5.0, True)[2] < 10.0
