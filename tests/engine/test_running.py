import numpy as np
import pytest

from streams.engine.running import OwnSums, Passages, RunningTimes, neighbours
from streams.engine.state import pack, unpack
from tests.engine import riding

NOW = riding.MIDNIGHT + 9 * 3600.0


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    return RunningTimes(riding.street(tmp_path_factory.mktemp("street"), stops=8))


def learn(times, state, passages, now=NOW):
    """(link, at, seconds, early)."""
    link, at, seconds, early = zip(*passages, strict=True) if passages else ((),) * 4
    passages = Passages(
        np.zeros(len(link), np.int64),
        np.array(link, np.int64),
        np.array(at, float),
        np.array(seconds, float),
        np.array(early, float),
        np.zeros(len(link), np.bool_),
    )
    times.learn(state, OwnSums(np.zeros(1), np.zeros(1), np.zeros(1)), passages, now)


NAN = float("nan")


def test_at_first_the_timetable(times):
    state = times.fresh()
    assert state.expected == pytest.approx(np.full(7, 120.0))
    learn(times, state, [])
    assert state.expected == pytest.approx(times.prior_s)


def test_hours_of_the_day_are_learned_apart(times):
    state = times.fresh()
    rush = [(2, NOW + 10 * i, 240.0, NAN) for i in range(30)]
    noon = [(2, NOW + 4 * 3600 + 10 * i, 120.0, NAN) for i in range(30)]
    learn(times, state, rush, NOW + 600)
    assert state.expected[2] == pytest.approx(240, rel=0.1)
    learn(times, state, noon, NOW + 4 * 3600 + 600)
    assert state.expected[2] == pytest.approx(120, rel=0.15)
    learn(times, state, [], NOW + 24 * 3600)  # tomorrow at nine
    assert state.expected[2] == pytest.approx(240, rel=0.1)
    assert state.expected[5] == pytest.approx(120, rel=0.05)


def test_between_the_middles_of_two_hours_times_lie_between_theirs_and_an_hour_later_is_known(times):
    state = times.fresh()
    for hour, seconds in ((9, 240.0), (10, 120.0)):
        learn(times, state, [(2, NOW + 3600 * (hour - 9) + 10 * i, seconds, NAN) for i in range(60)], NOW + 5400)
    tomorrow = NOW + 24 * 3600
    found = {}
    for minutes in (30, 60, 90):
        learn(times, state, [], tomorrow + 60 * minutes)
        found[minutes] = (state.usual[2], state.later[2])
    assert found[30][0] > 200
    assert found[90][0] < 160
    assert found[60][0] == pytest.approx((found[30][0] + found[90][0]) / 2, rel=1e-6)
    assert found[30][1] == pytest.approx(found[90][0], rel=0.02)


def test_the_recent_factor_forgets(times):
    state = times.fresh()
    state.fits[:2] = (1000.0, 1000.0)  # it has proved itself
    learn(times, state, [(i, NOW - 10, 300.0, NAN) for i in range(7)] * 3)
    now = state.factor.copy()
    assert (now > 1.2).all()
    learn(times, state, [], NOW + 7200)
    assert (state.factor < now).all()
    assert state.factor == pytest.approx(np.ones(7), abs=0.05)


def test_neighbours_are_within_four_links_and_nearer_ones_count_more(times):
    start, link, weight = times.near_start, times.near_link, times.near_weight
    around = {int(o): float(w) for o, w in zip(link[start[0] : start[1]], weight[start[0] : start[1]], strict=True)}
    assert around == {1: 1 / 2, 2: 1 / 3, 3: 1 / 4, 4: 1 / 5}
    assert sorted(link[start[3] : start[4]].tolist()) == [0, 1, 2, 4, 5, 6]


def test_patterns_that_share_links_share_neighbours():
    """Two patterns 0-1-2 and 3-1-4: link 1 has all of them, the ends of different patterns do not know each other."""
    start, link, weight = neighbours(np.array([0, 4, 8]), np.array([0, 1, 2, -1, 3, 1, 4, -1]), 5)
    near = [sorted(link[start[i] : start[i + 1]].tolist()) for i in range(5)]
    assert near == [[1, 2], [0, 2, 3, 4], [0, 1], [1, 4], [1, 3]]
    assert weight.min() == 1 / 3


def test_the_state_comes_back_from_its_bytes(times):
    state = times.fresh()
    learn(times, state, [(2, NOW, 240.0, 30.0), (3, NOW + 5, 100.0, NAN)], NOW + 60)
    tree = times.dump(state)
    again = times.load(unpack(pack(tree)), same_network=True)
    assert pack(times.dump(again)) == pack(tree)
    for one in (state, again):
        learn(times, one, [(2, NOW + 100, 200.0, NAN)], NOW + 120)
    assert pack(times.dump(again)) == pack(times.dump(state))
