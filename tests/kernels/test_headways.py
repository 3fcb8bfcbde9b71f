import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import headways as kernels
from tests.kernels import naive_headways as naive

pytestmark = pytest.mark.kernel

DAY = {0: 738_000, 1: 738_001}


class Rings:
    """The kernel's arrays, with runs named by strings and every told row kept."""

    def __init__(self, n_rings, day_of=lambda run: DAY[0], day_gap_s=7200.0, vehicle_of=lambda run: run, hole_s=300.0):
        w = kernels.WIDTH
        self.arrays = (
            np.full((n_rings, w), np.nan),
            np.full((n_rings, w), -1, np.int32),
            np.zeros((n_rings, w), np.int32),
            np.zeros((n_rings, w), np.int32),
            np.zeros((n_rings, w), np.bool_),
            np.zeros(n_rings, np.int32),
        )
        self.runs = []
        self.day_of = day_of
        self.day_gap_s = day_gap_s
        self.vehicle_of = vehicle_of
        self.hole_s = hole_s
        self.holes = np.empty((0, 2))
        self.told = {}  # (ring, run): (time, leader, headway), as a reader of the topic keeps it
        self.revisions = {}
        self.lost = 0
        self.forgetful = False  # the leader of the passing that is withdrawn was dropped from the ring before

    def feed(self, facts, room=None, holes=None):
        """`holes`: they are these from now on, so that every ring is told again first."""
        holes = self.holes if holes is None else np.array(holes, float).reshape(-1, 2)
        if len(holes) != len(self.holes) or (holes != self.holes).any():
            facts = [*((r, None, math.nan, 0, False) for r in range(len(self.arrays[0]))), *facts]
        for _, run, *_ in facts:
            if run is not None and run not in self.runs:
                self.runs.append(run)
        # a run's key must be ordered like its name for the twin to settle ties alike
        key = np.array([int.from_bytes(r.encode().ljust(8, b"\0")[:8], "big") for r in self.runs], np.uint64)
        day = np.array([self.day_of(r) for r in self.runs], np.int64)
        ring = np.array([f[0] for f in facts], np.int64)
        run = np.array([-1 if f[1] is None else self.runs.index(f[1]) for f in facts], np.int64)
        vehicles = [self.vehicle_of(r) for r in self.runs]
        vehicle = np.array([vehicles.index(v) for v in vehicles], np.int64)
        time = np.array([f[2] for f in facts], np.float64)
        revision = np.array([f[3] for f in facts], np.int64)
        gone = np.array([f[4] for f in facts], np.bool_)
        size = kernels.ROOM + (room or 2 * len(facts))
        rows = []
        begin = 0
        while True:
            out = (
                np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size), np.empty(size, np.int64),
                np.empty(size), np.empty(size, np.int64), np.empty(size, np.bool_), np.empty(size), np.empty(size),
                np.empty(size, np.int64),
            )  # fmt: skip
            begin, k, lost = kernels.pass_gates(
                *self.arrays, key, day, vehicle, self.day_gap_s, self.holes, holes, self.hole_s,
                begin, ring, run, time, revision, gone, np.arange(len(ring)), *out,
            )  # fmt: skip
            self.lost += lost
            rows += list(zip(*(column[:k].tolist() for column in out), strict=True))
            if begin >= len(ring):
                break
        self.holes = holes
        assert [row[-1] for row in rows] == sorted(row[-1] for row in rows), "told in the order of the passings"
        for r, who, at, leader, headway, revision, is_gone, old_time, old_headway, _ in rows:
            identity = (r, self.runs[who])
            before = self.told.pop(identity, None)
            assert revision > self.revisions.get(identity, -1), "a repeat of an identity has a higher revision"
            self.revisions[identity] = revision
            assert math.isnan(old_time) == (before is None)
            if before is not None:
                assert before[0] == old_time
                assert before[2] == old_headway or math.isnan(before[2]) or self.forgetful
            if not is_gone:
                self.told[identity] = (at, self.runs[leader] if leader >= 0 else None, headway)
        return rows

    def headways(self, ring=0):
        """(run, headway) in order of passing."""
        rows = sorted((t, run, h) for (r, run), (t, _, h) in self.told.items() if r == ring)
        return [(run, h) for _, run, h in rows]


def test_the_first_bus_has_no_headway_and_each_other_one_that_to_the_bus_ahead():
    rings = Rings(1)
    rings.feed([(0, "a", 100.0, 0, False), (0, "b", 400.0, 0, False), (0, "c", 460.5, 0, False)])
    assert rings.headways()[1:] == [("b", 300.0), ("c", 60.5)]
    assert math.isnan(rings.headways()[0][1])


def test_a_late_leader_tells_the_follower_anew():
    rings = Rings(1)
    rings.feed([(0, "a", 100.0, 0, False), (0, "c", 500.0, 0, False)])
    assert rings.told[0, "c"] == (500.0, "a", 400.0)
    rows = rings.feed([(0, "b", 300.0, 0, False)])
    assert [rings.runs[row[1]] for row in rows] == ["b", "c"], "the late one first, then the one behind it"
    assert rings.told[0, "c"] == (500.0, "b", 200.0)
    assert rings.revisions[0, "c"] == 1


def test_overtaking_between_two_gates_swaps_leader_and_follower():
    rings = Rings(2)
    rings.feed([(0, "a", 100.0, 0, False), (0, "b", 130.0, 0, False)])
    rings.feed([(1, "b", 200.0, 0, False), (1, "a", 215.0, 0, False)])
    assert rings.told[0, "b"][1] == "a"
    assert rings.told[1, "a"][1:] == ("b", 15.0)


def test_a_moved_passing_that_jumps_the_order_tells_everybody_concerned():
    rings = Rings(1)
    rings.feed([(0, r, t, 0, False) for r, t in (("a", 100.0), ("b", 200.0), ("c", 300.0), ("d", 400.0))])
    rings.feed([(0, "b", 350.0, 1, False)])
    assert rings.headways()[1:] == [("c", 200.0), ("b", 50.0), ("d", 50.0)]


def test_a_withdrawn_leader_gives_the_follower_the_one_before():
    rings = Rings(1)
    rings.feed([(0, "a", 100.0, 0, False), (0, "b", 300.0, 0, False), (0, "c", 500.0, 0, False)])
    rows = rings.feed([(0, "b", 300.0, 1, True)])
    assert [row[6] for row in rows] == [True, False]
    assert rings.headways()[1:] == [("c", 400.0)]


def test_repeats_and_older_revisions_say_nothing():
    rings = Rings(1)
    facts = [(0, "a", 100.0, 0, False), (0, "b", 300.0, 0, False), (0, "b", 310.0, 1, False), (0, "a", 100.0, 2, True)]
    rings.feed(facts)
    assert rings.feed(facts) == []


def test_a_departure_that_follows_changes_nothing():
    rings = Rings(1)
    rings.feed([(0, "a", 100.0, 0, False), (0, "b", 300.0, 0, False)])
    assert rings.feed([(0, "b", 300.0, 1, False)]) == []


def test_a_night_lies_between_yesterdays_last_bus_and_todays_first():
    rings = Rings(1, day_of=lambda run: DAY[int(run[0])], day_gap_s=7200.0)
    rings.feed([(0, "0a", 0.0, 0, False), (0, "0b", 900.0, 0, False), (0, "1a", 18_000.0, 0, False)])
    assert rings.told[0, "1a"][1] is None
    rings = Rings(1, day_of=lambda run: DAY[int(run[0])], day_gap_s=7200.0)
    rings.feed([(0, "0a", 0.0, 0, False), (0, "1a", 1200.0, 0, False)])
    assert rings.told[0, "1a"] == (1200.0, "0a", 1200.0), "service that runs through the night has no gap"


def test_a_ring_keeps_its_last_passings_and_forgets_quietly():
    rings = Rings(1)
    n = kernels.WIDTH + 4
    for i in range(n):
        rings.feed([(0, f"r{i:02}", 100.0 * i, 0, False)])
    assert rings.headways()[1:] == [(f"r{i:02}", 100.0) for i in range(1, n)]
    assert rings.feed([(0, "late", 250.0, 0, False)]) == []
    assert rings.lost == 1


@pytest.mark.parametrize(("name", "lost"), [("q", 1), ("s", 0)])
def test_a_tie_with_the_oldest_of_a_full_ring_is_settled_by_the_runs_id(name, lost):
    rings = Rings(1)
    rings.feed([(0, f"r{i:02}", 100.0 * i, 0, False) for i in range(kernels.WIDTH)])
    rings.feed([(0, name, 0.0, 0, False)])
    assert rings.lost == lost


def test_behind_a_withdrawn_bus_that_was_the_oldest_remembered_the_leader_is_unknown():
    rings = Rings(1)
    rings.feed([(0, f"r{i:02}", 100.0 * i, 0, False) for i in range(kernels.WIDTH + 2)])
    rings.forgetful = True
    rings.feed([(0, "r02", 200.0, 1, True)])
    assert rings.told[0, "r03"][1] is None
    assert math.isnan(rings.told[0, "r03"][2])
    assert rings.told[0, "r04"][1:] == ("r03", 100.0)


def test_a_fact_about_no_gate_is_passed_over():
    rings = Rings(1)
    assert rings.feed([(-1, "a", 100.0, 0, False)]) == []


@st.composite
def histories(draw):
    """Facts of a few runs at a few rings: repeated, revised, withdrawn; every run's facts in their order."""
    n_runs = draw(st.integers(1, 7))
    runs = []
    for i in range(n_runs):
        day = draw(st.integers(0, 1)) if draw(st.booleans()) else 0
        facts = []
        for ring in range(draw(st.integers(1, 3))):
            time = draw(st.integers(0, 40)) * 300.25 + day * 3000.0
            for revision in range(draw(st.integers(1, 3))):
                gone = revision > 0 and draw(st.integers(0, 3)) == 0
                facts.append((ring, f"{day}{chr(97 + i)}", time, revision, gone))
                time += draw(st.sampled_from([0.0, 0.0, 600.5, -600.5]))
        facts += facts[: draw(st.integers(0, len(facts)))]
        runs.append(facts)
    order = draw(st.permutations([i for i, facts in enumerate(runs) for _ in facts]))
    queues = [iter(facts) for facts in runs]
    return [next(queues[i]) for i in order]


def test_no_vehicle_leads_itself():
    rings = Rings(1, vehicle_of=lambda run: run[0])
    rings.feed([(0, "a1", 100.0, 0, False), (0, "b1", 400.0, 0, False), (0, "b2", 420.0, 0, False)])
    assert rings.told[0, "b2"] == (420.0, "a1", 320.0)
    rings.feed([(0, "a1", 100.0, 1, True)])
    assert rings.told[0, "b2"][1] is None


def test_across_a_hole_in_the_data_nobody_leads():
    rings = Rings(1)
    facts = [(0, "a", 0.0, 0, False), (0, "b", 400.0, 0, False), (0, "c", 1000.0, 0, False), (0, "d", 1100.0, 0, False)]
    rings.feed(facts, holes=[(420.0, 780.0)])
    assert [rings.told[0, run][1] for run in "abcd"] == [None, "a", None, "c"]


def test_a_hole_that_turns_out_to_be_none_tells_the_headways_across_it():
    rings = Rings(2)
    facts = [(r, run, t, 0, False) for r in (0, 1) for run, t in (("a", 0.0), ("b", 1000.0), ("c", 1600.0))]
    rings.feed(facts, holes=[(60.0, 900.0)])
    assert rings.told[1, "b"][1] is None
    rows = rings.feed([], holes=[(60.0, 240.0), (600.0, 900.0)], room=1)
    assert rows == [], "two stretches of which one is long enough"
    rows = rings.feed([], holes=[(60.0, 240.0)], room=1)
    assert [rings.runs[row[1]] for row in rows] == ["b", "b"]
    assert rings.told[1, "b"] == (1000.0, "a", 1000.0)
    assert rings.feed([], holes=[]) == []


@given(
    histories(),
    st.integers(1, 5),
    st.sampled_from([None, 1]),
    st.integers(2, 8),
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4)), max_size=2), max_size=3),
)
def test_headways_agree_with_sorting_everything_in_the_end(facts, batch, room, vehicles, silences):
    def day_of(run):
        return DAY[int(run[0])]

    def vehicle_of(run):
        return ord(run[1]) % vehicles

    rings = Rings(3, day_of, 7200.0, vehicle_of)
    holes = []
    for i, start in enumerate(range(0, len(facts), batch)):
        if i < len(silences):
            holes = [(300.0 * begin, 300.0 * (begin + length)) for begin, length in sorted(silences[i])]
        rings.feed(facts[start : start + batch], room, holes)
    expected = naive.final_headways(facts, day_of, 7200.0, vehicle_of, holes)
    assert rings.told.keys() == expected.keys()
    for identity, row in expected.items():
        assert rings.told[identity] == pytest.approx(row, nan_ok=True)


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=4))
def test_rings_agree_with_counting_gates(patterns):
    start = np.cumsum([0] + [len(p) for p in patterns]).astype(np.int32)
    flat = list(itertools.chain(*patterns))
    slot = np.array([s for s, _ in flat], np.int32)
    stop_pos = np.array([0 if is_stop else -1 for _, is_stop in flat], np.int32)
    ring, visit, n = kernels.rings_of_gates(start, slot, stop_pos, 6, 4)
    expected = list(itertools.chain(*naive.rings_of_gates(patterns, 4, kernels.MOST_VISITS)))
    numbered = {key: r for key, r in zip(expected, ring.tolist(), strict=True) if key is not None}
    assert len(set(numbered.values())) == len(numbered) == n
    assert [numbered.get(key, -1) for key in expected] == ring.tolist()
    assert all(v == key[1] for key, v in zip(expected, visit.tolist(), strict=True) if key is not None)


def test_when_a_run_passed_is_infinite_where_it_did_not():
    rings = Rings(2)
    rings.feed([(0, "a", 100.0, 0, False), (0, "b", 160.0, 0, False), (1, "b", 220.0, 0, False)])
    rings.feed([(0, "a", math.nan, 1, True)])
    time, run, _, _, gone, count = rings.arrays
    a, b = rings.runs.index("a"), rings.runs.index("b")
    ring, who = np.array([0, 0, 1, 1]), np.array([a, b, b, a])
    assert kernels.passed_at(ring, who, time, run, gone, count).tolist() == [math.inf, 160.0, 220.0, math.inf]


def planned(time_s, gates, pattern=0):
    """The kernel on one ring that these patterns' gates report to."""
    n = len(gates)
    windows = [w for _, ws, _ in gates for w in ws]
    departures = [d for _, _, ds in gates for d in sorted(ds)]
    headway, pgate = np.empty(1), np.empty(1, np.int64)
    kernels.planned_headways(
        np.zeros(1, np.int64), np.array([time_s]), np.array([pattern]),
        np.array([0, n]), np.arange(n), np.arange(n), np.array([g[0] for g in gates], np.float64),
        np.cumsum([0] + [len(g[1]) for g in gates]),
        np.array([w[0] for w in windows], np.float64), np.array([w[1] for w in windows], np.float64),
        np.array([w[2] for w in windows], np.float64),
        np.cumsum([0] + [len(g[2]) for g in gates]), np.array(departures, np.float64),
        headway, pgate,
    )  # fmt: skip
    return float(headway[0]), int(pgate[0])


def test_frequencies_of_variants_add_up():
    hourly = [(0.0, 36_000.0, 600.0)]
    assert planned(7200.0, [(60.0, hourly, []), (900.0, hourly, [])])[0] == pytest.approx(300.0)


def test_a_timetables_headway_is_the_gap_in_front_of_the_nearest_departure():
    timetable = [(120.0, [], [0.0, 600.0, 1800.0])]
    assert planned(700.0, timetable)[0] == 600.0
    assert planned(1900.0, timetable)[0] == 1200.0
    assert planned(100.0, timetable)[0] == 600.0, "the first one has nobody in front: the gap behind it"


def test_where_nothing_is_planned_there_is_no_headway():
    assert math.isnan(planned(700.0, [(0.0, [], [])])[0])
    assert math.isnan(planned(40_000.0, [(0.0, [(0.0, 36_000.0, 600.0)], [])])[0])
    assert planned(36_500.0, [(0.0, [(0.0, 36_000.0, 600.0)], [])])[0] == 600.0, "a late last bus"


def test_the_gate_of_the_asking_pattern_is_told():
    gates = [(0.0, [], []), (5.0, [], [])]
    assert planned(0.0, gates, pattern=1)[1] == 1
    assert planned(0.0, gates, pattern=7)[1] == -1


@given(st.integers(0, 2**32))
def test_planned_headways_agree_with_sorting_all_departures(seed):
    rng = random.Random(seed)
    gates = []
    for _ in range(rng.randint(1, 3)):
        windows = [
            (b * 900.0, (b + rng.randint(1, 6)) * 900.0, rng.choice([300.0, 450.0, 900.0]))
            for b in rng.sample(range(12), rng.choice([0, 0, 1, 2]))
        ]
        departures = sorted(rng.sample(range(0, 9000, 60), rng.choice([0, 1, 4])))
        gates.append((rng.choice([0.0, 30.0, 300.0]), windows, departures))
    time_s = rng.randint(0, 12_000) + 0.25
    assert planned(time_s, gates)[0] == pytest.approx(naive.planned_headway(time_s, gates), abs=0.006, nan_ok=True)
