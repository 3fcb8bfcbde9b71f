import numpy as np
import pytest

from streams.engine import residuals
from streams.engine.runs import Runs
from streams.engine.state import pack, unpack

NOW = 1_700_000_040.0


def runs(n=4):
    out = Runs()
    for i in range(n):
        row = np.array([i])
        out.names.intern([f"2023-11-14:V{i}:1"])
        out._note(i)
        out.vehicle[row] = i
    return out


def remember(state, known, at=NOW, run=(0,), pos=(3,), horizon=(200.0,), klass=(0,)):
    return residuals.remember(
        state, known, at, np.array(run), np.array(pos), at + np.array(horizon, float), np.array(klass)
    )


def ahead(known, pos=0):
    return np.full(len(known), pos, dtype=np.int64)


def test_a_bin_goes_from_the_built_in_quantiles_to_its_own():
    """Every bus comes a minute late: p90 comes down to that and p10 up to it, the first few moving them little."""
    state, known = residuals.fresh(), runs()
    before = residuals.quantiles(state).copy()
    for i in range(400):
        at = NOW + 60.0 * i
        remember(state, known, at, pos=(i,))
        residuals.resolve(state, np.array([0]), np.array([i]), np.array([at + 260.0]))
        residuals.judge(state, known, at + 779.0, ahead(known))
        if i == 3:
            after = residuals.quantiles(state)
            assert 0 < after[0, 5, 0] - before[0, 5, 0] < 0.3 * (60.0 - before[0, 5, 0])
    residuals.judge(state, known, at + 7200, ahead(known))
    after = residuals.quantiles(state)
    assert state.count[0, 5] == 400
    assert before[0, 5, 0] + 20.0 < after[0, 5, 0] < 60.0
    assert abs(after[0, 5, 2] - 60.0) < 5.0
    assert after[0, 5, 1] == before[0, 5, 1] == 0.0  # running times learn that, not the median
    assert (np.delete(after[0], 5, axis=0) == np.delete(before[0], 5, axis=0)).all()


def test_estimates_are_judged_only_when_their_time_has_come():
    state, known = residuals.fresh(), runs()
    remember(state, known)  # 200 s: judged 1.25 * 240 + 480 s after it was made
    residuals.resolve(state, np.array([0]), np.array([3]), np.array([NOW + 210]))
    residuals.judge(state, known, NOW + 779, ahead(known))
    assert state.count.sum() == 0
    residuals.judge(state, known, NOW + 780, ahead(known))
    assert state.count[0, 5] == 1
    assert len(state.samples["run"]) == 0


def test_one_that_never_came_counts_as_late_if_its_bus_is_still_coming():
    for pos_ahead, judged in ((3, 1), (4, 0)):
        state, known = residuals.fresh(), runs()
        remember(state, known)
        low = state.tracked[0, 5].copy()
        residuals.judge(state, known, NOW + 2000, ahead(known, pos_ahead))
        assert state.count.sum() == judged
        assert (state.tracked[0, 5] > low).all() == bool(judged)


def test_the_first_arrival_at_a_stop_resolves_and_only_that_run_and_stop():
    state, known = residuals.fresh(), runs()
    remember(state, known, run=(0, 1, 0), pos=(3, 3, 4), horizon=(200.0, 200.0, 300.0), klass=(0, 0, 0))
    residuals.resolve(state, np.array([0]), np.array([3]), np.array([NOW + 190]))
    residuals.resolve(state, np.array([0]), np.array([3]), np.array([NOW + 999]))
    actual = state.samples["actual"]
    assert actual[0] == NOW + 190
    assert np.isnan(actual[1:]).all()


def test_far_ones_are_left_out_and_a_large_city_takes_turns():
    state, known = residuals.fresh(), runs(500)
    assert remember(state, known, horizon=(1800.0,)) == 0
    assert len(state.samples["run"]) == 0
    run, pos = np.repeat(np.arange(500), 20), np.tile(np.arange(20), 500)
    seen = np.zeros(10_000, dtype=bool)
    for minute in range(5):
        before = len(state.samples["run"])
        remember(state, known, NOW + 60 * minute, run, pos, np.full(10_000, 100.0), np.zeros(10_000, np.int64))
        new = slice(before, None)
        assert 1500 < len(state.samples["run"]) - before < 2500
        seen[state.samples["run"][new] * 20 + state.samples["pos"][new]] = True
    assert seen.all()


def test_there_is_room_for_so_many_and_no_more(monkeypatch):
    monkeypatch.setattr(residuals, "MOST_SAMPLES", 5)
    state, known = residuals.fresh(), runs()
    assert remember(state, known, run=(0, 1, 2), pos=(1, 1, 1), horizon=(100.0,) * 3, klass=(0,) * 3) == 0
    assert remember(state, known, run=(0, 1, 2), pos=(2, 2, 2), horizon=(100.0,) * 3, klass=(0,) * 3) == 1
    assert len(state.samples["run"]) == 5


@pytest.mark.parametrize("late_s", [0.0, 40.0])
def test_intervals_come_to_cover_eighty_percent(late_s):
    """An hour and a half of buses whose errors grow with the horizon, judged with the censoring of real life."""
    rng = np.random.default_rng(5)
    state, known = residuals.fresh(), runs()
    rows = []
    for minute in range(240):
        at = NOW + 60.0 * minute
        n = 30
        horizon = rng.uniform(5, 1700, n)
        error = late_s + (rng.gamma(2.0, 0.08, n) - 0.12) * (horizon + 60)
        pos = np.arange(n) + 30 * (minute % 130)
        run = np.full(n, minute // 130)
        quantiles = residuals.quantiles(state)[0]
        residuals.remember(state, known, at, run, pos, at + horizon, np.zeros(n, np.int64))
        residuals.resolve(state, run, pos, at + horizon + error)
        residuals.judge(state, known, at, ahead(known))
        if minute >= 150:
            bins = np.searchsorted(residuals.EDGES_S, horizon, side="right") - 1
            rows += list(zip(bins, error, quantiles[bins, 0], quantiles[bins, 2], strict=True))
    bins, error, low, high = (np.array(c) for c in zip(*rows, strict=True))
    assert 0.76 < np.mean((error >= low) & (error <= high)) < 0.84
    assert 0.05 < np.mean(error < low) < 0.15


def test_the_state_comes_back_from_its_bytes():
    state, known = residuals.fresh(), runs()
    remember(state, known)
    tree = residuals.dump(state)
    again = residuals.load(unpack(pack(tree)), same_network=True)
    assert pack(residuals.dump(again)) == pack(tree)
    other = residuals.load(unpack(pack(tree)), same_network=False)
    assert len(other.samples["run"]) == 0
    assert (other.tracked == state.tracked).all()


def test_renumbered_runs_are_found_again():
    state, known = residuals.fresh(), runs()
    remember(state, known, run=(2,))
    residuals.renumber(state, np.array([-1, -1, 0, 1]))
    residuals.resolve(state, np.array([0]), np.array([3]), np.array([NOW + 5]))
    assert state.samples["actual"].tolist() == [NOW + 5]


def test_built_in_quantiles_are_in_order_and_widen_with_the_horizon():
    table = residuals.built_in()
    assert (np.diff(table, axis=2) > 0).all()
    assert (np.diff(table[:, :, 2] - table[:, :, 0], axis=1) > 0).all()
