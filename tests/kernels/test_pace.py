import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import pace
from tests.kernels import naive_pace as naive

pytestmark = pytest.mark.kernel

PARTS = np.repeat(np.arange(8), 21)  # 168 hours in 8 parts


class Cells:
    """The kernels' arrays for a few cells."""

    def __init__(self, prior=(0.2,)):
        n = len(prior)
        self.prior = np.array(prior, float)
        self.lane = np.zeros(n, np.int64)
        self.filter = (np.zeros(n), np.zeros(n), np.full(n, np.nan))
        self.sums = (
            np.zeros(n), np.zeros(n), np.zeros((n, 8), np.float32), np.zeros((n, 8), np.float32), np.zeros((2, 168)),
            np.zeros((2, 168)),
        )  # fmt: skip
        self.free, self.free_sums = self.prior.copy(), (np.zeros(n), np.zeros(n), np.zeros(n))

    def observe(self, rows, usual=None):
        cell, at, metres, seconds = (np.array(c) for c in zip(*rows, strict=True))
        usual = self.prior if usual is None else usual
        pace.observe(
            cell.astype(np.int64), at.astype(float), metres.astype(float), seconds.astype(float), usual, *self.filter
        )

    def now(self, at):
        deviation, _, seen_at = self.filter
        return pace.pace_now(float(at), self.prior, deviation, seen_at)

    def learn(self, paces, hour=10, metres=100.0, cell=0):
        n = len(paces)
        pace.learn(
            np.full(n, cell, np.int64), np.full(n, hour, np.int64), np.full(n, metres), np.asarray(paces) * metres,
            self.lane, PARTS, self.prior, *self.sums, self.free, *self.free_sums,
        )  # fmt: skip

    def usual(self, hour=10):
        return pace.usual_pace(hour, self.lane, PARTS, self.prior, *self.sums)


@given(
    st.lists(
        st.tuples(st.floats(0, 7200), st.floats(1, 400), st.floats(0.5, 3000)), min_size=1, max_size=12
    ),
    st.floats(0, 3600),
)  # fmt: skip
def test_the_filter_is_a_precision_weighted_mean(rows, later):
    rows = sorted(rows)
    cells, twin = Cells(), naive.Cell(0.2)
    cells.observe([(0, *row) for row in rows])
    for row in rows:
        twin.observe(*row)
    at = rows[-1][0] + later
    assert cells.now(at)[0] == pytest.approx(twin.pace(at), rel=1e-9)


def test_one_traversal_worked_by_hand():
    # 100 m in 80 s where 20 s are usual: log 4. Gain 0.25 / (0.25 + 0.2025) = 0.5525 of it.
    cells = Cells()
    cells.observe([(0, 0, 100.0, 80.0)])
    assert cells.now(0)[0] == pytest.approx(0.2 * 4**0.55249, rel=1e-4)


def test_a_jam_is_forgotten_with_age():
    cells = Cells()
    cells.observe([(0, 0, 100.0, 200.0)] * 5)
    paces = [cells.now(t)[0] for t in (0, 300, 900, 3600, 86_400)]
    assert paces == sorted(paces, reverse=True)
    assert paces[0] > 4 * 0.2
    assert paces[-1] == pytest.approx(0.2)


def test_a_corner_of_a_cell_says_nothing():
    cells = Cells()
    cells.observe([(0, 0, 5.0, 60.0)])
    assert cells.now(0)[0] == 0.2


def test_before_any_bus_the_timetable_speaks():
    cells = Cells((0.2, 0.4))
    assert cells.usual().tolist() == [0.2, 0.4]
    assert cells.now(0).tolist() == [0.2, 0.4]


def test_usual_pace_worked_by_hand():
    # one traversal of 100 m at 0.4 s/m: cell's mean (40 + 500 * 0.2) / 600; the network's hour hardly moves
    cells = Cells()
    cells.learn([0.4])
    mean = 140 / 600
    network = (40 + 12_500) / (20 + 12_500)
    assert cells.usual()[0] == pytest.approx((40 + 1500 * mean * network) / 1600, rel=1e-6)


def test_each_part_of_the_week_learns_its_own_pace():
    cells = Cells()
    cells.learn([0.2] * 500, hour=10)
    cells.learn([0.6] * 500, hour=100)
    assert cells.usual(10)[0] == pytest.approx(0.2, rel=0.1)
    assert cells.usual(100)[0] == pytest.approx(0.6, rel=0.1)


def test_free_flow_is_the_low_quantile_of_pace():
    cells = Cells((0.5,))
    rng = np.random.default_rng(7)
    paces = rng.lognormal(np.log(0.25), 0.4, 3000)
    cells.learn(paces)
    below = np.mean(paces <= cells.free[0])
    assert 0.08 < below < 0.24


def test_free_flow_leaves_the_timetable_by_degrees():
    cells = Cells()
    cells.learn([0.19])
    assert 0.19 < cells.free[0] < 0.2
    cells.learn([0.19] * 50)
    assert cells.free[0] == pytest.approx(0.19, rel=0.04)


def test_free_flow_is_known_after_a_dozen_traversals_where_the_timetable_is_far_off():
    cells = Cells((0.1,))
    cells.learn([0.2, 0.25, 0.22, 0.3, 0.21, 0.27, 0.24, 0.2, 0.26, 0.23, 0.29, 0.22])
    assert cells.free[0] == pytest.approx(0.2, rel=0.15)


def test_a_jam_that_lasts_hardly_moves_free_flow():
    cells, rng = Cells(), np.random.default_rng(7)
    cells.learn(rng.lognormal(np.log(0.2), 0.15, 100))
    before = cells.free[0]
    cells.learn(rng.lognormal(np.log(0.8), 0.2, 30))
    assert cells.free[0] == pytest.approx(before, rel=0.2)


@given(st.lists(st.floats(0.05, 2.0), max_size=30), st.floats(0.05, 2.0))
def test_free_flow_is_that_of_the_twin(paces, prior):
    cells = Cells((prior,))
    cells.learn(paces)
    assert cells.free[0] == pytest.approx(naive.free_flow(prior, paces), rel=1e-6)


@given(st.lists(st.floats(0.01, 20), max_size=30))
def test_learning_in_pieces_is_learning_at_once(paces):
    whole, cut = Cells(), Cells()
    whole.learn(paces)
    for p in paces:
        cut.learn([p])
    assert whole.usual().tobytes() == cut.usual().tobytes()
    assert whole.free.tobytes() == cut.free.tobytes()
