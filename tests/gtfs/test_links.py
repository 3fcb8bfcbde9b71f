import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gtfs import links
from tests.drawing import draw

hops = st.lists(st.tuples(st.floats(50, 1000), st.integers(0, 5)), min_size=1, max_size=8)


def joined(*patterns, runs=None):
    """Patterns as [(stop, metres, minutes since the stop before)]."""
    start = np.cumsum([0, *map(len, patterns)]).astype(np.int32)
    stop = np.array([s for p in patterns for s, _, _ in p], np.int32)
    dist = np.concatenate([np.cumsum([m for _, m, _ in p]) for p in patterns]).astype(float)
    time = np.concatenate([np.cumsum([60.0 * t for _, _, t in p]) for p in patterns])
    weight = np.ones(len(patterns)) if runs is None else np.array(runs, float)
    return links.join(start, stop, dist, time, time, weight)


@given(hops)
def test_smoothing_keeps_the_total(pattern):
    rows = [(0, 0.0, 0), *((i + 1, m, t) for i, (m, t) in enumerate(pattern))]
    found = joined(rows)
    total = sum(60.0 * t for _, t in pattern)
    if total:
        # a link takes a second at the least
        assert found.running_s.sum() == pytest.approx(total, abs=len(pattern))
    else:
        np.testing.assert_allclose(found.running_s, np.maximum(1.0, 0.3 * found.length_m))


def test_whole_minutes_are_spread_by_length():
    found = joined([(0, 0, 0), (1, 300, 1), (2, 300, 0), (3, 300, 1), (4, 300, 1), (5, 300, 2)])
    assert found.running_s.sum() == pytest.approx(300)
    assert found.running_s.min() > 40
    assert found.running_s.max() < 85


def test_the_same_stops_share_a_link_when_lengths_agree():
    found = joined(
        [(0, 0, 0), (1, 500, 1)], [(0, 0, 0), (1, 520, 1)], [(0, 0, 0), (1, 900, 1)], [(1, 0, 0), (0, 500, 1)]
    )
    assert found.pstop_link_ix.tolist() == [0, -1, 0, -1, 1, -1, 2, -1]
    assert found.length_m.tolist() == [510, 900, 500]


def test_patterns_weigh_by_their_runs():
    found = joined([(0, 0, 0), (1, 500, 1)], [(0, 0, 0), (1, 500, 3)], runs=[3, 1])
    assert found.running_s.tolist() == [90.0]


def test_a_timetable_in_seconds_stays_as_it_is():
    network, _ = draw("A---B---C---D", {"R": "ABCD"}, speed_mps=5.0, dwell_s=0.0)
    np.testing.assert_allclose(network.link_running_s, network.link_length_m / 5.0, rtol=0.02)
