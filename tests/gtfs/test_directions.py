import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.feed import write_feed
from streams.gtfs.compile import compile_feed
from streams.gtfs.directions import infer
from streams.gtfs.feed import Feed
from tests.drawing import draw


def ways(picture, routes, tmp_path, *, said=None, **options):
    """Direction by key, of a drawn feed whose direction_id is taken out where `said` does not give it."""
    _, drawing = draw(picture, routes, **options)
    tables = {**drawing.tables, "trips": [dict(row) for row in drawing.tables["trips"]]}
    for row in tables["trips"]:
        row["direction_id"] = (said or {}).get(row["trip_id"], "")
    with Feed(write_feed(tmp_path / "feed", tables)) as feed:
        network = compile_feed(feed)
    of = {key: int(network.pattern_direction[network.trip_pattern_ix[network.trip_ix[key]]]) for key in routes}
    return of, network


LINE = "A--B--C--D--E--F"


def test_a01_out_and_back_are_two_ways(tmp_path):
    of, network = ways(LINE, {"R": "ABCDEF", "R/back": "FEDCBA"}, tmp_path, metres_per_char=200)
    assert of == {"R": 0, "R/back": 1}
    assert len(network.route_dir_route_ix) == 2
    assert network.pattern_direction_inferred.all()
    assert all(name.startswith("R:-:") for name in network.pattern_ids)  # ids are those of the feed


def test_a02_short_turns_and_expresses_go_with_the_line_they_run_on(tmp_path):
    routes = {"R": "ABCDEF", "R/back": "FEDCBA", "R/short": "BCD", "R/short back": "DCB", "R/express": "AF"}
    of, _ = ways(LINE, routes, tmp_path, metres_per_char=200)
    assert of == {"R": 0, "R/back": 1, "R/short": 0, "R/short back": 1, "R/express": 0}


def test_a03_stops_on_either_side_of_the_street_are_one_place(tmp_path):
    picture = """
    U--V--W--X
    A--B--C--D
    """
    of, _ = ways(picture, {"R": "ABCD", "R/back": "XWVU"}, tmp_path, metres_per_char=90)
    assert of == {"R": 0, "R/back": 1}


def test_a04_ways_on_streets_of_their_own_are_told_by_where_they_lead(tmp_path):
    picture = """
      U--V--W--X
      A--B--C--D
    """
    of, _ = ways(picture, {"R": "ABCD", "R/back": "XWVU", "R/other": "UVWX"}, tmp_path, metres_per_char=600)
    assert of == {"R": 0, "R/back": 1, "R/other": 0}


def test_b01_a_loop_alone_has_one_way_and_no_number(tmp_path):
    picture = """
    A---B---C
    |       |
    E-------D
    """
    of, network = ways(picture, {"R": "ABCDEA"}, tmp_path, metres_per_char=200)
    assert of == {"R": -1}
    assert not network.pattern_direction_inferred.any()


def test_b02_a_loop_and_the_loop_against_it(tmp_path):
    picture = """
    A---B---C
    |       |
    E-------D
    """
    of, _ = ways(picture, {"R": "ABCDEA", "R/against": "AEDCBA"}, tmp_path, metres_per_char=200)
    assert sorted(of.values()) == [0, 1]


def test_b03_out_and_back_in_one_trip_does_not_blur_the_two_ways(tmp_path):
    routes = {"R/both": "ABCDEFEDCBA", "R": "ABCDEF", "R/back": "FEDCBA"}
    of, _ = ways(LINE, routes, tmp_path, metres_per_char=200)
    assert (of["R"], of["R/back"]) == (0, 1)


def test_c01_what_the_feed_says_is_never_overruled(tmp_path):
    routes = {"R": "ABCDEF", "R/back": "FEDCBA", "R/short": "BCD", "R/short back": "DCB"}
    of, network = ways(LINE, routes, tmp_path, said={"R": 1}, metres_per_char=200)
    assert of == {"R": 1, "R/back": 0, "R/short": 1, "R/short back": 0}
    assert network.pattern_direction_inferred.sum() == 3
    of, network = ways(LINE, routes, tmp_path, said=dict.fromkeys(routes, 0), metres_per_char=200)
    assert set(of.values()) == {0}
    assert not network.pattern_direction_inferred.any()


def test_c02_a_route_of_one_way_keeps_none(tmp_path):
    of, network = ways(LINE, {"R": "ABCDEF", "R/short": "BCD"}, tmp_path, metres_per_char=200)
    assert of == {"R": -1, "R/short": -1}
    assert len(network.route_dir_route_ix) == 1


@st.composite
def lines(draw_value):
    """A route along a wandering line of places: each pattern calls at some of them, out or back."""
    n = draw_value(st.integers(4, 12))
    steps = draw_value(st.lists(st.sampled_from([(400, 0), (0, 400), (300, 300)]), min_size=n, max_size=n))
    x, y = np.cumsum(np.array(steps, dtype=float), axis=0).T
    chosen = st.lists(st.integers(0, n - 1), min_size=3, max_size=n, unique=True).map(sorted)
    patterns = draw_value(st.lists(st.tuples(chosen, st.booleans()), min_size=1, max_size=5))
    all_along = [(list(range(n)), False), (list(range(n)), True)]
    return x, y, [*all_along, *patterns]


def inferred(x, y, patterns, given=None, order=None):
    """`infer` on patterns (places, back): the way out calls at stops 0, 1, …, the way back across the street."""
    order = range(len(patterns)) if order is None else order
    n = len(x)
    calls = [[p + n for p in reversed(at)] if back else at for at, back in (patterns[i] for i in order)]
    start = np.cumsum([0, *map(len, calls)])
    return infer(
        np.zeros(len(calls), dtype=np.int32),
        np.full(len(calls), -1, dtype=np.int8) if given is None else np.array(given, dtype=np.int8),
        start,
        np.concatenate(calls),
        np.concatenate([x, x + 20.0]),
        np.concatenate([y, y - 20.0]),
        np.full(2 * n, -1),
        [f"S{i:03}" for i in range(2 * n)],
        np.ones(len(calls)),
    )


@settings(max_examples=60)
@given(lines(), st.randoms())
def test_both_ways_of_any_line_are_told_apart_in_whatever_order_it_is_listed(line, random):
    x, y, patterns = line
    truth = [int(back) for _, back in patterns]
    found = inferred(x, y, patterns)
    assert found.tolist() in (truth, [1 - t for t in truth])
    order = list(range(len(patterns)))
    random.shuffle(order)
    again = inferred(x, y, patterns, order=order)
    assert len({(int(found[i]) ^ int(again[k])) for k, i in enumerate(order)}) == 1


@settings(max_examples=60)
@given(lines(), st.lists(st.sampled_from([-1, -1, 0, 1]), min_size=7, max_size=7))
def test_given_directions_stand_and_the_others_follow_them(line, given):
    x, y, patterns = line
    given = given[: len(patterns)]
    found = inferred(x, y, patterns, given)
    told = np.array(given) >= 0
    np.testing.assert_array_equal(found[told], np.array(given)[told])
    truth = np.array([int(back) for _, back in patterns])
    consistent = len({int(g) ^ int(t) for g, t in zip(given, truth, strict=True) if g >= 0}) == 1
    if consistent:
        flip = int(given[int(np.argmax(told))]) ^ int(truth[int(np.argmax(told))])
        np.testing.assert_array_equal(found, truth ^ flip)


def test_warsaw(real):
    network = real("warsaw-2024/gtfs")
    direction = network.pattern_direction
    assert len(network.pattern_ids) == 1813
    assert [int((direction == d).sum()) for d in (-1, 0, 1)] == [13, 938, 862]
    assert len(network.route_dir_route_ix) == 497  # of 250 routes; 3 have one way only
    # A sound division is even: buses that go out come back.
    out, back = (np.bincount(network.pattern_route_ix[p := network.trip_pattern_ix], direction[p] == d) for d in (0, 1))
    both = (out > 0) & (back > 0)
    assert np.median(np.minimum(out, back)[both] / (out + back)[both]) > 0.48


@pytest.mark.parametrize(("name", "agree"), [("transjakarta/gtfs-2023-12", 1.0), ("transjakarta/gtfs-2026-05", 0.96)])
def test_what_a_feed_says_is_found_again_without_it(real, name, agree):
    """Patterns that do not end where they begin, of routes that the feed gives two ways; which is 0 is not asked."""
    n = real(name)
    x, y = n.project(n.stop_lat, n.stop_lon)
    place = np.where(n.stop_parent_ix >= 0, n.stop_parent_ix, -1)
    found = infer(
        n.pattern_route_ix, np.full(len(n.pattern_ids), -1), n.pstop_start, n.pstop_stop_ix, x, y, place, n.stop_ids,
        np.bincount(n.trip_pattern_ix, minlength=len(n.pattern_ids)),
    )  # fmt: skip
    right = asked = 0
    for route in range(len(n.route_ids)):
        lines = np.flatnonzero((n.pattern_route_ix == route) & ~n.pattern_is_loop)
        if len(set(n.pattern_direction[lines].tolist())) == 2:
            same = int((found[lines] == n.pattern_direction[lines]).sum())
            other = int((found[lines] == 1 - n.pattern_direction[lines]).sum())
            right, asked = right + max(same, other), asked + len(lines)
    assert asked > 300
    assert right >= agree * asked  # in the feed of 2026 both ways of route 7 say 0, and others
