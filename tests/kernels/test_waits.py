import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kernels import waits
from tests.kernels import naive_waits

pytestmark = pytest.mark.kernel
SLOT_S = 120.0


def counted(seconds, terminal=0, part=0, terminals=2, parts=3):
    counts = np.zeros((terminals, parts, waits.BINS), np.float32)
    n = len(seconds)
    waits.learn(np.full(n, terminal), np.full(n, part), np.array(seconds, float), counts)
    return counts


def left(counts, waited, terminal=0, part=0, into_s=0.0, odds=(1.0,)):
    waited = np.atleast_1d(np.array(waited, float))
    n = len(waited)
    network = waits.network_waits(counts)
    weights = np.tile(np.array(odds, float), (n, 1))
    return waits.left(np.full(n, terminal), np.full(n, part), waited, counts, network, into_s, SLOT_S, weights)


def test_nothing_seen_yet_is_five_minutes_in_the_median():
    counts = counted([])
    network = waits.network_waits(counts)
    assert network.sum() == pytest.approx(1.0)
    assert left(counts, 0.0) == pytest.approx([waits.PRIOR_MEDIAN_S], abs=30)


def test_every_wait_is_counted_once_also_a_very_long_one():
    counts = counted([0.0, 29.9, 30.0, 7199.0, 90_000.0, -1.0])
    assert counts.sum() == 6
    assert counts[0, 0, 0] == 3
    assert counts[0, 0, 1] == 1
    assert counts[0, 0, -1] == 2


def test_what_is_usual_at_a_terminal_in_a_part_of_the_week():
    counts = counted([600.0] * 60) + counted([130.0] * 60, part=1)
    assert left(counts, 0.0) == pytest.approx([620.0], abs=60)
    assert left(counts, 0.0, part=1) == pytest.approx([150.0], abs=40)
    assert 150.0 < left(counts, 0.0, terminal=1)[0] < 620.0  # nobody was seen there


def test_who_has_waited_longer_than_usual_goes_on_waiting():
    counts = counted([200.0] * 40)
    soon, late = left(counts, [190.0, 900.0])
    assert soon < 60.0
    assert late > 120.0


@given(
    st.lists(st.floats(0, 7200), max_size=60),
    st.lists(st.floats(0, 7200), max_size=60),
    st.floats(0, 7000),
    st.integers(0, 2),
    st.floats(0, 119.0),
    st.lists(st.floats(0.1, 5.0), min_size=1, max_size=8),
)
def test_agrees_with_a_crowd_of_waits(here, there, waited, part, into_s, odds):
    counts = counted(here) + counted(there, part=1) + counted(there, terminal=1)
    network = waits.network_waits(counts)
    got = left(counts, waited, part=part, into_s=into_s, odds=odds)[0]
    want = naive_waits.left(part, waited, counts[0].astype(float), network, into_s, SLOT_S, odds)
    assert got == pytest.approx(want, abs=15.0)
    assert got >= 0.0


def test_the_clock_moves_the_median_to_when_buses_leave():
    counts = counted([60.0 * k for k in range(1, 20)] * 3)
    assert left(counts, 0.0, odds=[0.1] * 3 + [9.0] + [0.1] * 60)[0] == pytest.approx(420.0, abs=40)
    # half a slot later that slot is nearer
    assert left(counts, 60.0, into_s=60.0, odds=[0.1] * 3 + [9.0] + [0.1] * 60)[0] == pytest.approx(360.0, abs=40)


@given(st.lists(st.floats(0, 7200), min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_the_order_of_waits_does_not_matter(seconds, random):
    shuffled = seconds[:]
    random.shuffle(shuffled)
    assert (counted(seconds) == counted(shuffled)).all()


def test_old_waits_are_forgotten():
    counts = counted([100.0] * 1000 + [1000.0] * 400)
    assert counts.sum() <= waits.FULL_WAITS
    assert left(counts, 0.0)[0] > 800.0
