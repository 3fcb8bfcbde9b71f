"""What follows from the network for the tracker: headings, loose shapes, gains."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.tables import ALONG_S, along_gains, headings, looseness, tables_of
from streams.settings import Track as TrackSettings
from tests.drawing import draw


def test_a_kink_of_a_drawn_line_does_not_turn_the_heading():
    network, _ = draw("A-----B", routes={"R": "AB"}, metres_per_char=100)
    x = np.array([0.0, 5.0, 5.0, 300.0])
    y = np.array([0.0, 0.0, 5.0, 5.0])
    dist = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    bent = replace(
        network, point_x=x, point_y=y, point_dist_m=dist, point_shape_ix=np.zeros(4, np.int32),
        shape_start=np.array([0, 4], np.int32),
    )  # fmt: skip
    east, north = headings(bent)[1]  # of the five metres that lead north
    assert np.degrees(np.arctan2(east, north)) == pytest.approx(90.0, abs=25.0)


def test_headings_are_unit_vectors_along_the_street_and_turn_with_it():
    network, _ = draw(
        """
        A-----B
              |
              C
        """,
        routes={"R": "ABC", "back": "CBA"},
        metres_per_char=100,
    )
    found = headings(network)
    length = np.hypot(*found.T)
    assert np.all((np.abs(length - 1.0) < 1e-9) | (length == 0.0))
    p = network.pattern_ix["R:0:" + next(k for k in network.pattern_ix if k.startswith("R:0")).split(":")[2]]
    a = network.shape_start[network.pattern_shape_ix[p]]
    assert found[a] == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(("shapes", "loose"), [(True, False), (False, True)])
def test_only_lines_that_join_stops_are_loose(shapes, loose):
    network, _ = draw("A-----B-----C--D", routes={"R": "ABCD"}, metres_per_char=100, shapes=shapes)
    assert (looseness(network) > 0.0).any() == loose
    if loose:
        assert np.all(looseness(network)[:-1] == pytest.approx(0.12 * np.diff(network.point_dist_m)))


@given(st.floats(1.0, 50.0), st.floats(10.0, 300.0), st.floats(0.01, 10.0))
@settings(max_examples=15)  # two thirds of a second each
def test_a_worse_odometer_makes_the_fix_count_for_more(sigma_m, tempering_s, odometry):
    base = TrackSettings(sigma_m=sigma_m, offset_tempering_s=tempering_s, odometry_m2_s=odometry)
    good, bad = along_gains(base), along_gains(replace(base, odometry_m2_s=4.0 * odometry))
    assert good.shape == (ALONG_S, 5)
    assert np.all((good >= 0.0) & (good <= 1.0))
    assert np.all(good[:, 1] + good[:, 2] <= 1.0 + 1e-9)
    assert np.all(bad[:, 1] >= good[:, 1] - 1e-9)
    assert np.all(good[:, 3] <= good[:, 1] + 1e-9)  # one that stands is not moved by a drifting fix
    assert np.all(np.diff(good[:, 0]) < 0.0)  # the longer ago, the less is left of the error


def test_the_kernels_see_one_row_of_each_point():
    network, _ = draw("A-----B", routes={"R": "AB"}, metres_per_char=100)
    tables = tables_of(network)
    assert tables.segments.shape == (len(tables.points), 4)
