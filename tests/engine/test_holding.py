from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.holding import LEAST_S, NOTICE_M, Holding, hold_s, wait_change_s
from tests.drawing import draw

STREET = """
A----B----C----D----E
     |    |
     F    G
"""
seconds = st.floats(1.0, 3600.0)


@given(seconds, seconds, st.floats(0.0, 600.0))
def test_a_hold_never_makes_the_mean_wait_longer(ahead, behind, most):
    hold = hold_s(ahead, behind, most)
    assert 0.0 <= hold <= most
    assert wait_change_s(ahead, behind, hold) <= 1e-9
    if hold < most:
        assert ahead + hold == pytest.approx(max(ahead, (ahead + behind) / 2))


@given(seconds, seconds, st.floats(0.0, 1.0))
def test_no_other_hold_saves_more(ahead, behind, share):
    best = wait_change_s(ahead, behind, hold_s(ahead, behind, 1e9))
    assert best <= wait_change_s(ahead, behind, share * behind) + 1e-6


def test_the_change_of_the_mean_wait_worked_by_hand():
    # 2 and 10 minutes: who comes at random waits (4 + 100) / 24 = 4 min 20 s; 6 and 6: 3 min
    assert wait_change_s(120.0, 600.0, 240.0) == pytest.approx(-80.0)


def test_the_stop_with_the_fewest_routes_among_the_next_is_told():
    network, drawing = draw(STREET, {"R": "ABCDE", "S": "FBCG", "T": "GCBF"})
    holding = Holding(network, most_s=120.0, routes=8)
    pattern = drawing.pattern_ix("R")
    hold = holding.advise(pattern, 10.0, 60.0, 240.0)
    assert network.stop_ids[hold.stop] == "D", "at B and C other routes call, E is the last"
    assert (hold.seconds, hold.wait_change_s) == (90.0, -27.0)
    assert holding.advise(pattern, 10.0, 60.0, 600.0).seconds == 120.0, "the cap"
    assert holding.advise(pattern, 10.0, 60.0, 60.0 + 2 * LEAST_S - 2.0) is None, "too short to tell"
    assert holding.advise(pattern, 10.0, 240.0, 60.0) is None, "it is behind that the buses are close"
    assert network.stop_ids[Holding(network, 120.0, 3).advise(pattern, 10.0, 60.0, 240.0).stop] == "D"


def test_where_the_feed_says_that_buses_wait_for_their_time_they_are_held():
    network, drawing = draw(STREET, {"R": "ABCDE", "S": "FBCG", "T": "GCBF"})
    pattern = drawing.pattern_ix("R")
    trip = network.trip_pattern_ix.tolist().index(pattern)
    marked = np.zeros(len(network.trip_time_timepoint), dtype=bool)
    marked[network.trip_time_start[trip] + np.array([0, 2])] = True
    network = replace(network, trip_time_timepoint=marked)
    assert network.stop_ids[Holding(network, 120.0, 8).advise(pattern, 10.0, 60.0, 240.0).stop] == "C"
    assert network.stop_ids[Holding(network, 120.0, 2).advise(pattern, 10.0, 60.0, 240.0).stop] == "D", "too busy"


def test_no_hold_where_too_many_routes_call_or_at_the_end():
    network, drawing = draw("A-------B----C", {"R": "ABC", "S": "ABC"})
    pattern = drawing.pattern_ix("R")
    assert Holding(network, 120.0, 2).advise(pattern, 10.0, 60.0, 240.0) is not None
    assert Holding(network, 120.0, 1).advise(pattern, 10.0, 60.0, 240.0) is None
    assert Holding(network, 120.0, 2).advise(pattern, 450.0, 60.0, 240.0) is None


def test_no_hold_at_a_stop_that_is_passed_before_the_driver_has_been_told():
    network, drawing = draw("A-------B-------C-------D", {"R": "ABCD"})
    pattern, holding = drawing.pattern_ix("R"), Holding(network, 120.0, 2)
    b_m = float(network.pstop_dist_m[network.pstop_start[pattern] + 1])
    for before_m, stop in ((NOTICE_M + 1.0, "B"), (NOTICE_M - 1.0, "C")):
        assert network.stop_ids[holding.advise(pattern, b_m - before_m, 60.0, 240.0).stop] == stop
