import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import departures
from tests.kernels.naive_departures import Clock

pytestmark = pytest.mark.kernel
TERMINALS = 2
DAY = 20_000


class Learned:
    """What the kernel keeps."""

    def __init__(self):
        self.counts = np.zeros((TERMINALS, 2, departures.SLOTS), np.float32)
        self.today = np.zeros((TERMINALS, departures.SLOTS), np.float32)
        self.kind, self.day = 0, 0
        self.fit = np.zeros(2)

    def learn(self, rows):
        columns = [np.array(c, np.int64) for c in zip(*rows, strict=True)] or [np.empty(0, np.int64)] * 4
        self.kind, self.day = departures.learn(
            *columns, self.counts, self.today, self.kind, self.day, self.fit
        )  # fmt: skip

    def odds(self, terminal, kind, slot):
        one = (np.array([x], np.int64) for x in (terminal, kind, slot))
        return departures.odds(*one, self.counts, self.fit)[0]


seen = st.lists(
    st.tuples(st.integers(0, TERMINALS - 1), st.integers(0, 9), st.integers(0, departures.SLOTS - 1)), max_size=60
).map(lambda rows: [(t, int(d % 7 > 4), DAY + d, s) for t, d, s in sorted(rows, key=lambda r: r[1])])


@given(seen, st.integers(0, 1), st.integers(0, departures.SLOTS - 1), st.data())
def test_agrees_with_a_list_of_departures(rows, kind, slot, data):
    cut = data.draw(st.integers(0, len(rows)))
    got, want = Learned(), Clock()
    got.learn(rows[:cut])
    got.learn(rows[cut:])
    for row in rows:
        want.left(*row)
    for terminal in range(TERMINALS):
        assert got.odds(terminal, kind, slot) == pytest.approx(want.odds(terminal, kind, slot), rel=1e-4, abs=1e-5)
    assert departures.weight(got.fit) == pytest.approx(want.weight(), rel=1e-4)


def week(slots_of_day, days=10):
    found = Learned()
    for d in range(days):
        found.learn([(0, 0, DAY + d, s) for s in sorted(slots_of_day(d))])
    found.learn([(1, 0, DAY + days, 0)])  # the last one is over
    return found


def test_buses_that_keep_a_plan_are_believed_to():
    found = week(lambda d: range(200, 600, 7))
    assert departures.weight(found.fit) > 0.8
    odds = found.odds(0, 0, 300)
    planned = [j for j in range(60) if (300 + j - 200) % 7 == 0]
    assert min(odds[planned]) > 2.5
    assert max(odds[j] for j in range(60) if (300 + j - 200) % 7 in (2, 3, 4, 5)) < 0.25


def test_where_the_clock_does_not_matter_it_is_left_aside():
    random = np.random.default_rng(3)
    found = week(lambda d: random.integers(200, 600, 57).tolist(), days=20)
    assert departures.weight(found.fit) < 0.4
    odds = found.odds(0, 0, 300)
    assert 0.5 < odds.min() <= odds.max() < 2.0


def test_where_nothing_was_seen_nothing_is_said():
    assert (Learned().odds(0, 0, 700) == 1.0).all()
    assert (week(lambda d: [300]).odds(1, 1, 300) == 1.0).all()


def test_a_weekend_is_another_day():
    found = Learned()
    found.learn([(0, 0, DAY, 100), (0, 1, DAY + 1, 400), (0, 0, DAY + 2, 100), (0, 1, DAY + 3, 0)])
    assert found.counts[0, 0, 100] == pytest.approx(1.0 + departures.DAY_KEPT)
    assert found.counts[0, 1].sum() == 1.0
