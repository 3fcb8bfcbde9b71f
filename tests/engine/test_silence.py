import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import silence
from streams.engine.silence import Heard, crossed

NONE = np.empty((0, 2))
START = 60 * 1_000_000  # a whole minute


def heard(pings, heard=None):
    """`pings`: (vehicle, minute after START)."""
    out = heard or Heard()
    vehicle = np.array([v for v, _ in pings], dtype=np.int64)
    at = np.array([START + 60.0 * m for _, m in pings])
    list(out.observe(vehicle, at, np.zeros(len(pings), dtype=np.int64), 64))
    return out


def everybody(minutes, vehicles=20):
    return [(v, m + v / 100) for m in minutes for v in range(vehicles)]


def holes(h, hole_s=300.0, known=NONE):
    """Begin and end in minutes after START."""
    return [tuple(((row - START) / 60).tolist()) for row in h.holes(hole_s, known)]


def test_a_silence_of_all_vehicles_is_a_hole_from_the_first_quiet_minute_to_the_next_news():
    assert holes(heard(everybody([*range(10), *range(16, 20)]))) == [(10.0, 16.0)]
    assert holes(heard(everybody([*range(10), *range(14, 20)]))) == [], "too short"
    assert holes(heard(everybody([*range(10), *range(400, 405)]))) == [(10.0, 400.0)], "longer than an hour"


def test_the_newest_minute_is_not_judged_yet():
    pings = [*everybody(range(10)), (0, 20)]
    assert holes(heard(pings)) == [(10.0, 20.0)]
    assert holes(heard(everybody([20]), heard(pings))) == [(10.0, 20.0)]


def test_a_vehicle_that_sends_through_the_hole_does_not_fill_it_but_two_of_twenty_do():
    pings = everybody([*range(10), *range(20, 25)], vehicles=25)
    assert holes(heard(pings + [(0, m) for m in range(10, 20)])) == [(10.0, 20.0)]
    assert holes(heard(pings + [(v, m) for m in range(10, 20) for v in (0, 1)])) == []


def test_service_that_ends_leaves_no_hole_nor_do_a_few_buses():
    assert holes(heard(everybody(range(10)) + everybody(range(10, 100), vehicles=2))) == []
    assert holes(heard(everybody([*range(10), *range(200, 205)], vehicles=silence.FEW - 1))) == []


def test_a_hole_is_remembered_when_its_minutes_no_longer_are():
    h = heard(everybody([*range(10), *range(20, 25)]))
    known = h.holes(300.0, NONE)
    later = everybody(range(25, 25 + silence.MINUTES), vehicles=6)
    assert holes(heard(later, h), known=known) == [(10.0, 20.0)]


@given(st.floats(0.0, 5e5), st.integers(0, 8000))
def test_a_hole_is_forgotten_only_when_record_time_and_what_was_heard_are_two_days_past_it(at, minute):
    h = heard(everybody([*range(10), *range(20, 25)]))
    known = h.holes(300.0, NONE)
    h = heard([(0, minute)], h)
    kept = h.recent(known, START + at)
    newest = 60.0 * max(minute, 24)
    assert len(kept) == (min(at, newest) - silence.KEPT_S <= 20 * 60.0)
    assert np.array_equal(h.holes(300.0, kept), h.holes(300.0, known) if len(kept) else NONE), "nor is it found again"


def test_a_pair_is_across_a_hole_when_enough_of_it_lies_between():
    some = np.array([[600.0, 1200.0], [5000.0, 5200.0]])
    since, until = np.array([0.0, 0.0, 1000.0, 850.0]), np.array([700.0, 1300.0, 6000.0, np.inf])
    assert crossed(some, since, until, 300.0).tolist() == [False, True, False, True]


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 40)), min_size=1, max_size=200),
    st.randoms(use_true_random=False),
    st.integers(1, 40),
)
def test_holes_depend_on_what_was_heard_and_not_on_order_repeats_or_batches(pings, random, size):
    plain = heard(pings)
    shuffled = pings + pings[: len(pings) // 3]
    random.shuffle(shuffled)
    other, changes = Heard(), 0
    before = NONE
    for at in range(0, len(shuffled), size):
        some = shuffled[at : at + size]
        vehicle, time = np.array([v for v, _ in some]), np.array([START + 60.0 * m for _, m in some])
        changed = bool(list(other.observe(vehicle, time, np.zeros(len(some), dtype=np.int64), 8)))
        now = other.holes(120.0, NONE)
        assert changed or np.array_equal(now, before), "what may have changed is said"
        before, changes = now, changes + changed
        if at % 2:
            other = Heard.load(other.dump())
    assert holes(other, 120.0) == holes(plain, 120.0)
    assert changes


def test_vehicles_keep_their_minutes_under_new_numbers():
    h = heard([(3, 5), (7, 6)])
    number = np.full(64, -1)
    number[[3, 7]] = [1, 0]
    h.renumber(number)
    heard_again = heard([(1, 5), (0, 6)], h)
    assert heard_again.count.sum() == 2
