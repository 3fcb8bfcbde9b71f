import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import turns
from tests.kernels.naive_turns import Queues, garrote

pytestmark = pytest.mark.kernel
TERMINALS, VEHICLES = 3, 4
MOST_S = 7200.0
seconds = st.floats(0.0, 20_000.0)


class Learned:
    """What the kernels keep."""

    def __init__(self):
        self.before, self.gaps = np.full(TERMINALS, -np.inf), np.zeros((TERMINALS, 2))
        self.open, self.fits = np.zeros((VEHICLES, 2, 3)), np.zeros((2, 2))

    def leave(self, rows):
        terminal, at = np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], float)
        turns.learn_gaps(terminal, at, self.before, self.gaps)

    def in_turn(self, now, terminals):
        return turns.in_turn(now, np.array(terminals, np.int64), self.before, self.gaps, MOST_S)

    def forecast(self, vehicle, alone_s, turn_s, place):
        one = (np.array([x], dtype) for x, dtype in ((vehicle, int), (alone_s, float), (turn_s, float), (place, int)))
        turns.note(*one, self.open)

    def judge(self, vehicle, waited_s):
        turns.judge(np.array([vehicle]), np.array([waited_s], float), self.open, self.fits)


@given(
    st.lists(st.tuples(st.integers(0, TERMINALS - 1), seconds), max_size=40),
    st.data(),
    st.lists(st.integers(0, TERMINALS - 1), max_size=8).map(sorted),
    seconds,
)
def test_agrees_with_a_list_of_departures(rows, data, queue, now):
    cut = data.draw(st.integers(0, len(rows)))
    got, want = Learned(), Queues()
    got.leave(rows[:cut])
    got.leave(rows[cut:])
    for row in rows:
        want.leaves(*row)
    place, at = got.in_turn(now, queue)
    for k, terminal in enumerate(queue):
        assert place[k] == queue[:k].count(terminal)
        said = want.turn(now, terminal, place[k], MOST_S)
        assert at[k] == pytest.approx(np.nan if said is None else said, nan_ok=True)
        assert np.isnan(at[k]) or at[k] > now


@given(
    st.lists(
        st.tuples(
            st.integers(0, VEHICLES - 1), st.floats(0, 3600), st.floats(0, 3600), st.integers(0, 3), st.booleans()
        ),
        max_size=40,
    )
)
def test_weights_are_those_of_a_regression_on_every_forecast_of_buses_that_have_left(rows):
    got, want = Learned(), Queues()
    for vehicle, one_s, other_s, place, leaves in rows:
        if leaves:
            got.judge(vehicle, one_s)
            want.left_after(vehicle, one_s)
        else:
            got.forecast(vehicle, one_s, other_s, place)
            want.forecast(vehicle, one_s, other_s, place)
    assert turns.weights(got.fits) == pytest.approx([want.weight(0), want.weight(1)], abs=1e-9)


@given(st.floats(0.0, 1.0), st.integers(0, 1))
def test_the_weight_becomes_what_it_is(truth, place):
    random = np.random.default_rng(5)
    found = Learned()
    for _ in range(4000):
        alone, turn = random.uniform(0, 2000, 2)
        found.forecast(0, alone, turn, place)
        found.judge(0, alone + truth * (turn - alone) + random.normal(0, 60.0))
    share = turns.weights(found.fits)
    assert share[place] == pytest.approx(garrote(truth), abs=0.08)
    assert share[1 - place] == garrote(turns.START)


def test_a_forecast_that_is_worth_little_does_not_blur_the_other_one():
    little = np.array([[0.1 * 1e6, 1e6], [-1e6, 1e6]])
    assert (turns.weights(little) == 0.0).all()


def test_who_stands_behind_others_leaves_a_gap_later():
    found = Learned()
    found.leave([(0, 480.0 * k) for k in range(40)])
    last = 480.0 * 39
    place, at = found.in_turn(last + 60.0, [0, 0, 0, 1])
    assert place.tolist() == [0, 1, 2, 0]
    assert at[:3] - last == pytest.approx([480.0, 960.0, 1440.0], rel=0.05)
    assert np.isnan(at[3])  # nobody has left there yet


def test_who_is_late_leaves_soon_and_the_next_ones_a_gap_after():
    found = Learned()
    found.leave([(0, 480.0 * k) for k in range(40)])
    now = 480.0 * 39 + 2000.0
    assert found.in_turn(now, [0, 0])[1] - now == pytest.approx([turns.SOON_S, turns.SOON_S + 480.0], rel=0.05)


def test_a_night_is_no_gap():
    found = Learned()
    found.leave([(0, 0.0), (0, 6 * 3600.0)])
    assert (found.gaps == 0.0).all()


def test_where_there_is_no_turn_the_own_wait_is_all():
    place = np.array([0, 1])
    turn = np.array([np.nan, 500.0])
    assert turns.combined(np.array([100.0, 100.0]), turn, place, np.zeros((2, 2))) == pytest.approx(
        [100.0, 100.0 + 400.0 * garrote(turns.START)]
    )
    found = Learned()
    found.forecast(0, 100.0, np.nan, 0)
    assert (found.open == 0.0).all()
