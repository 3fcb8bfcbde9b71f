"""Where a vehicle came from: the thinned trail, and how far back it leads along a pattern."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.tables import params_of, place_of, tables_of
from streams.kernels import recall
from streams.kernels.tables import PGATE_DIST_M, PGATE_START
from streams.settings import Track as TrackSettings
from tests.engine.pinging import fork
from tests.kernels import naive_track as naive

pytestmark = pytest.mark.kernel

NETWORK, DRAWING = fork()
TABLES, PARAMS, PLACE = tables_of(NETWORK), params_of(TrackSettings()), place_of(NETWORK)
T0 = 1.7731e9
Fix = tuple[float, float, float]  # POSIX time, metres east and north


def kept(trail: np.ndarray, n: int, fixes: Sequence[Fix]) -> int:
    """Put fixes behind what is in the trail already."""
    for t, east, north in fixes:
        lat, lon = int(PLACE.lat + north / PLACE.north_m), int(PLACE.lon + east / PLACE.east_m)
        n = recall.keep(trail, n, t, lat, lon, PLACE)
    return n


steps = st.lists(
    st.tuples(st.floats(1.0, 100.0), st.floats(-80.0, 80.0), st.floats(-80.0, 80.0)), min_size=1, max_size=150
)


def walk(moves: Sequence[Fix]) -> list[Fix]:
    return [tuple(place) for place in np.cumsum([(T0, 0.0, 0.0), *moves], axis=0).tolist()]


@given(steps, st.integers(0, 150))
def test_it_makes_no_difference_which_fixes_have_left_the_ring(moves: Sequence[Fix], cut: int):
    fixes = walk(moves)
    whole, split = recall.trails(1)[0], recall.trails(1)[0]
    n = kept(whole, 0, fixes)
    assert kept(split, kept(split, 0, fixes[:cut]), fixes[cut:]) == n
    assert np.array_equal(whole[:n], split[:n])


@given(steps)
def test_neighbours_in_a_trail_are_a_step_apart(moves: Sequence[Fix]):
    trail = recall.trails(1)[0]
    n = kept(trail, 0, walk(moves))
    for a, b in zip(trail[: n - 1].tolist(), trail[1:n].tolist(), strict=True):
        east, north = (b[2] - a[2]) * PLACE.east_m, (b[1] - a[1]) * PLACE.north_m
        assert np.hypot(east, north) >= recall.STEP_M or (b[0] - a[0]) % recall.WRAP >= 10 * recall.STEP_S


def came_along(way: list[Fix], p: int, dist_m: float, t: float, since: float) -> list[float]:
    """The slow twin: metres along the pattern of the places that led there, oldest first."""
    shape = NETWORK.pattern_shape_ix[p]
    lo, hi = int(NETWORK.shape_start[shape]), int(NETWORK.shape_start[shape + 1])
    points = list(zip(NETWORK.point_x[lo:hi], NETWORK.point_y[lo:hi], NETWORK.point_dist_m[lo:hi], strict=True))
    first_m = float(NETWORK.pgate_dist_m[NETWORK.pgate_start[p]])
    found: list[float] = []
    for then, east, north in reversed(way):
        if dist_m <= first_m or then <= since or t - then > PARAMS.gap_s:
            break
        low = dist_m - PARAMS.max_speed_mps * (t - then) - recall.BACK_M
        high = dist_m + recall.BACK_M
        dist, offset = naive.snap_window(points, 0, len(points) - 1, low, high, east, north)
        stood = dist_m <= first_m + recall.START_M and dist <= first_m + recall.BACK_M
        if not offset <= recall.OFFSET_M or stood:
            break
        dist_m, t = min(dist_m, dist), then
        found.append(dist_m)
    return found[::-1]


@given(
    st.lists(
        st.tuples(st.floats(2.0, 220.0), st.floats(-20.0, 250.0), st.floats(-60.0, 60.0)), min_size=1, max_size=30
    ),
    st.sampled_from([0, 1]),
    st.floats(0.0, 400.0),
)
def test_following_a_way_back_agrees_with_looking_at_every_place(
    moves: Sequence[tuple[float, float, float]], p: int, idle_s: float
):
    length = float(NETWORK.pattern_length_m[p])
    t, dist, fixes = T0, 0.0, list[Fix]()
    for seconds, metres, aside in moves:
        t, dist = t + seconds, min(max(dist + metres, 0.0), length)
        lat, lon = DRAWING.along("RS"[p], dist)
        x, y = NETWORK.project(np.array([lat]), np.array([lon]))
        fixes.append((t, float(x[0]), float(y[0]) + aside))
    way = recall.way()
    way[: len(fixes), :3] = fixes
    first = recall.came_along(way, len(fixes), p, dist, t + 5.0, T0 + idle_s, TABLES, PARAMS)
    expected = came_along(fixes, p, dist, t + 5.0, T0 + idle_s)
    assert len(fixes) - first == len(expected)
    np.testing.assert_allclose(way[first : len(fixes), recall.ALONG_M], expected, atol=1e-6)
    assert np.all(np.diff(way[first : len(fixes), recall.ALONG_M]) >= 0)
    start = TABLES.f[TABLES.at[PGATE_DIST_M] + TABLES.i[TABLES.at[PGATE_START] + p]]
    assert np.all(way[first + 1 : len(fixes), recall.ALONG_M] > start)
