import hashlib
from dataclasses import fields
from math import asin, cos, radians, sin, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.feed import write_feed
from streams.gtfs import compile as compile_module
from streams.gtfs.compile import VERSION, compile_feed, load
from streams.gtfs.feed import Feed
from tests.drawing import draw
from tests.gtfs.feeds import compiled, tables

FEEDS = ["transjakarta/gtfs-2026-05", "transjakarta/gtfs-2023-12", "kingston/gtfs", "warsaw-2024/gtfs"]


def same(a, b):
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, f.name
            np.testing.assert_array_equal(x, y, f.name)
        else:
            assert x == y, f.name


def check(n, every=1):
    """What is true of every compiled network; pattern by pattern for each `every`-th."""
    n_patterns, n_stops = len(n.pattern_ids), len(n.stop_ids)
    for start, rows in (
        (n.pstop_start, n.pstop_stop_ix), (n.pgate_start, n.pgate_gate_ix), (n.span_start, n.span_cell_ix),
        (n.shape_start, n.point_x), (n.grid_start, n.grid_segment), (n.shape_pattern_start, n.shape_pattern_ix),
        (n.gate_slot_start, n.slot_gate_ix), (n.trip_time_start, n.trip_time_arrival_s),
    ):  # fmt: skip
        assert start[0] == 0
        assert start[-1] == len(rows)
        assert (np.diff(start) >= 0).all()
    assert len(set(n.pattern_ids)) == n_patterns
    assert len(set(n.gate_ids)) == len(n.gate_ids) == len(n.gate_x)
    for p in range(0, n_patterns, every):
        length = n.pattern_length_m[p]
        stops, gates = slice(*n.pstop_start[p : p + 2]), slice(*n.pgate_start[p : p + 2])
        spans, points = slice(*n.span_start[p : p + 2]), slice(*n.shape_start[n.pattern_shape_ix[p] :][:2])
        dist = n.pstop_dist_m[stops]
        assert (np.diff(dist) >= 0).all()
        assert dist[0] >= 0
        assert dist[-1] <= length + 1e-6
        assert n.point_dist_m[points][0] == 0
        assert n.point_dist_m[points][-1] == length
        assert (np.diff(n.point_dist_m[points]) >= 0).all()
        assert (n.pstop_departure_s[stops] >= n.pstop_arrival_s[stops]).all()
        assert (n.pstop_arrival_s[stops][1:] >= n.pstop_departure_s[stops][:-1] - 1e-3).all()
        assert (np.diff(n.pstop_sequence[stops]) > 0).all()
        # gates: from the first stop to the last, monotone, no hole, each stop where it belongs
        at = n.pgate_dist_m[gates]
        assert (np.diff(at) >= 0).all()
        assert np.diff(at).max(initial=0) <= 75.0 + 1e-6
        assert n.pgate_stop_pos[gates][n.pgate_stop_pos[gates] >= 0].tolist() == list(range(len(dist)))
        seq = n.pstop_gate_seq[stops]
        np.testing.assert_array_equal(n.pgate_stop_pos[gates][seq], np.arange(len(dist)))
        np.testing.assert_array_equal(at[seq], dist)
        np.testing.assert_array_equal(n.gate_stop_ix[n.pgate_gate_ix[gates][seq]], n.pstop_stop_ix[stops])
        assert (n.gate_busway[n.pgate_gate_ix[gates]] == n.route_busway[n.pattern_route_ix[p]]).all()
        # spans: gapless from 0
        begin = n.span_dist_m[spans]
        assert begin[0] == 0
        assert (np.diff(begin) > 0).all()
        assert begin[-1] <= length
        assert (np.diff(n.span_cell_ix[spans]) != 0).all()
        # links
        link = n.pstop_link_ix[stops]
        assert link[-1] == -1
        assert (link[:-1] >= 0).all()
        np.testing.assert_array_equal(n.link_from_stop_ix[link[:-1]], n.pstop_stop_ix[stops][:-1])
        np.testing.assert_array_equal(n.link_to_stop_ix[link[:-1]], n.pstop_stop_ix[stops][1:])
        assert (
            np.abs(n.link_length_m[link[:-1]] - np.diff(dist)) <= np.maximum(30.0, 0.1 * np.diff(dist)) + 1e-6
        ).all()
    assert (n.link_running_s >= 1.0).all()
    pattern_of = np.repeat(np.arange(n_patterns), np.diff(n.pgate_start))
    np.testing.assert_array_equal(n.slot_gate_ix[n.pgate_slot_ix], n.pgate_gate_ix)
    np.testing.assert_array_equal(n.slot_route_dir_ix[n.pgate_slot_ix], n.pattern_route_dir_ix[pattern_of])
    np.testing.assert_array_equal(n.route_dir_route_ix[n.pattern_route_dir_ix], n.pattern_route_ix)
    np.testing.assert_array_equal(n.route_dir_direction[n.pattern_route_dir_ix], n.pattern_direction)
    np.testing.assert_array_equal(np.diff(n.trip_time_start), np.diff(n.pstop_start)[n.trip_pattern_ix])
    assert n.stop_parent_ix.max(initial=-1) < n_stops
    # every segment lies in the cells of both its ends
    for g in np.linspace(0, len(n.grid_segment) - 1, 50).astype(int):
        cell = np.searchsorted(n.grid_start, g, side="right") - 1
        segment = n.grid_segment[g]
        x, y = n.point_x[segment : segment + 2], n.point_y[segment : segment + 2]
        low_x, low_y = n.grid_x0 + cell % n.grid_nx * n.grid_size_m, n.grid_y0 + cell // n.grid_nx * n.grid_size_m
        assert x.min() <= low_x + n.grid_size_m + 1e-6
        assert x.max() >= low_x - 1e-6
        assert y.min() <= low_y + n.grid_size_m + 1e-6
        assert y.max() >= low_y - 1e-6


@st.composite
def cities(draw_value):
    """Stops on a lattice and trips that wander over them, with and without shapes, times, direction and blocks."""
    n = draw_value(st.integers(2, 6))
    feed = tables()
    feed["stops"] = [
        {"stop_id": f"S{i}", "stop_name": "", "stop_lat": -6.2 + draw_value(st.integers(0, 20)) * 5e-4,
         "stop_lon": 106.8 + draw_value(st.integers(0, 20)) * 5e-4}
        for i in range(n)
    ]  # fmt: skip
    feed["routes"] = [{"route_id": r, "route_type": 3} for r in "XY"]
    feed["trips"], feed["stop_times"], feed["shapes"], feed["frequencies"] = [], [], [], []
    feed["calendar_dates"] = []
    for t in range(draw_value(st.integers(1, 4))):
        calls = draw_value(st.lists(st.integers(0, n - 1), min_size=2, max_size=7))
        shaped = draw_value(st.booleans())
        feed["trips"].append(
            {"trip_id": f"t{t}", "route_id": draw_value(st.sampled_from("XY")), "service_id": "D",
             "direction_id": draw_value(st.sampled_from(["", 0, 1])), "shape_id": f"s{t}" if shaped else "",
             "block_id": draw_value(st.sampled_from(["", "b"]))}
        )  # fmt: skip
        clock = draw_value(st.integers(0, 26 * 3600))
        for i, stop in enumerate(calls):
            told = i in (0, len(calls) - 1) or draw_value(st.booleans())
            text = f"{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}" if told else ""
            feed["stop_times"].append(
                {
                    "trip_id": f"t{t}",
                    "stop_id": f"S{stop}",
                    "stop_sequence": i * 3,
                    "arrival_time": text,
                    "departure_time": text,
                }
            )
            clock += draw_value(st.integers(0, 300))
        if shaped:
            for i in range(draw_value(st.integers(1, 6))):
                feed["shapes"].append(
                    {"shape_id": f"s{t}", "shape_pt_lat": -6.2 + draw_value(st.integers(0, 20)) * 5e-4,
                     "shape_pt_lon": 106.8 + draw_value(st.integers(0, 20)) * 5e-4, "shape_pt_sequence": i}
                )  # fmt: skip
    return {name: rows for name, rows in feed.items() if rows}


@settings(max_examples=40)
@given(cities())
def test_any_feed_that_is_not_refused_becomes_a_whole_network(tmp_path_factory, feed):
    network = compiled(tmp_path_factory.mktemp("f"), feed)
    check(network)
    same(network, compiled(tmp_path_factory.mktemp("g"), feed))


@pytest.mark.parametrize("name", FEEDS)
def test_real_feeds(real, name):
    check(real(name), every=10)


def test_a_real_feed_read_from_its_cache_is_what_is_compiled(real, data_dir, monkeypatch):
    real("kingston/gtfs")
    with Feed(data_dir / "kingston" / "gtfs.zip") as feed:
        compiled = compile_feed(feed)
    monkeypatch.setattr(
        compile_module, "compile_feed", lambda *_: pytest.fail("it is in the cache, and compiled again")
    )
    found = real("kingston/gtfs")
    same(found, compiled)
    assert not found.point_x.flags.writeable  # mapped, not copied


def test_a_change_of_the_compiler_is_a_new_version(tmp_path):
    # What the compiler makes of one small feed. If this fails, raise VERSION and write the new digest here: snapshots
    # of a running city know their network by the hash that VERSION goes into.
    network = compiled(tmp_path)
    digest = hashlib.sha256()
    for f in fields(network):
        value = getattr(network, f.name)
        if isinstance(value, np.ndarray):
            value = (np.round(value.astype(np.float64), 3) + 0.0).tolist()  # no -0
        digest.update(f"{f.name} {value}".encode())
    assert (VERSION, digest.hexdigest()[:16]) == (4, "f938304cac2e1c2e")


def test_pattern_ids_name_the_way_and_not_the_file(tmp_path):
    feed = tables()
    feed["trips"][0] |= {"trip_id": "other", "shape_id": "other"}
    for row in [*feed["stop_times"], *feed["frequencies"]]:
        row["trip_id"] = "other"
    for row in feed["shapes"]:
        row["shape_id"] = "other"
    moved = tables()
    moved["shapes"][0]["shape_pt_lat"] = -6.201
    before, renamed, redrawn = compiled(tmp_path), compiled(tmp_path, feed, "b"), compiled(tmp_path, moved, "c")
    assert before.pattern_ids == renamed.pattern_ids
    assert before.gate_ids == renamed.gate_ids
    assert before.pattern_ids != redrawn.pattern_ids


def test_distances_are_sums_on_the_sphere():
    network, drawing = draw("A----+----B", {"R": "AB"}, metres_per_char=1000)
    (a, o), (b, p) = drawing.at("A"), drawing.at("B")
    h = sin(radians(b - a) / 2) ** 2 + cos(radians(a)) * cos(radians(b)) * sin(radians(p - o) / 2) ** 2
    assert network.pattern_length_m[0] == pytest.approx(2 * 6_371_008.8 * asin(sqrt(h)), abs=0.01)


def test_out_and_back_and_a_loop():
    picture = """
    A---B---C
    |       |
    E-------D
    """
    network, drawing = draw(picture, {"out": "ABCBA", "loop": "ABCDEA"}, metres_per_char=100)
    out, loop = drawing.pattern_ix("out"), drawing.pattern_ix("loop")
    np.testing.assert_allclose(
        network.pstop_dist_m[network.pstop_start[out] :][:5], [0, 400, 800, 1200, 1600], atol=0.1
    )
    np.testing.assert_allclose(
        network.pstop_dist_m[network.pstop_start[loop] :][:6], [0, 400, 800, 1000, 1800, 2000], atol=0.1
    )
    assert network.pattern_is_loop.tolist() == [True, True]
    assert network.pattern_partner_ix.tolist() == [out, loop]
    check(network)


def test_the_partner_is_the_way_back():
    network, drawing = draw(
        "A--B--C--D", {"R": "ABCD", "R-back": "DCBA", "R/short": "ABC", "S": "DCBA"}, metres_per_char=220
    )
    partner = {k: network.pattern_partner_ix[drawing.pattern_ix(k)] for k in ("R", "R-back", "R/short", "S")}
    assert partner["R"] == drawing.pattern_ix("R-back")
    assert partner["R-back"] in (drawing.pattern_ix("R"), drawing.pattern_ix("R/short"))
    assert partner["R/short"] == -1  # the way back starts 660 m from its end
    assert partner["S"] == -1


def test_blocks_say_what_follows():
    network, drawing = draw(
        "A--B--C--D",
        {"R": "ABCD", "R-back": "DCBA", "S": "DCA"},
        trips={"R": ["07:00:00", "09:00:00", "11:00:00"], "S": ["08:00:00", "10:00:00"], "R-back": ["12:00:00"]},
        blocks={"R": ["b", "b", "b"], "S": ["b", "b"], "R-back": ["b"]},
    )
    assert network.pattern_partner_ix[drawing.pattern_ix("R")] == drawing.pattern_ix("S")
    assert network.pattern_partner_ix[drawing.pattern_ix("S")] == drawing.pattern_ix("R")


def test_without_shapes_stops_are_joined():
    network, _ = draw("A--B--C", {"R": "ABC"}, shapes=False)
    assert network.shape_ids == [f"made:{network.pattern_ids[0]}"]
    np.testing.assert_allclose(network.pstop_dist_m, [0, 150, 300], atol=0.1)
    assert network.oddities["patterns_drawn_stop_to_stop"] == 1


@pytest.mark.parametrize(
    ("change", "oddity"),
    [
        (lambda f: f["trips"][0].update(shape_id="lost"), "shapes_missing"),
        (lambda f: f.update(shapes=f["shapes"][:1]), "shapes_of_one_point"),
        (lambda f: [row.update(shape_pt_lat=-6.5) for row in f["shapes"]], "shapes_elsewhere"),
    ],
)
def test_a_shape_that_cannot_be_used_is_drawn_anew(tmp_path, change, oddity):
    feed = tables()
    change(feed)
    network = compiled(tmp_path, feed)
    assert network.oddities[oddity] == 1
    assert network.oddities["patterns_drawn_stop_to_stop"] == 1
    np.testing.assert_allclose(network.pstop_dist_m, [0, 552.7, 1105.5], atol=0.5)


def test_missing_times_are_interpolated_by_distance(tmp_path):
    feed = tables()
    feed["stops"][1]["stop_lon"] = 106.8025  # a quarter of the way
    feed["stop_times"][1] |= {"arrival_time": "", "departure_time": ""}
    network = compiled(tmp_path, feed)
    np.testing.assert_allclose(network.trip_time_arrival_s, [18_000, 18_060, 18_240], atol=0.5)
    assert network.oddities["stop_times_interpolated"] == 1


@pytest.mark.parametrize(
    ("marks", "want"),
    [
        (("1", "0", None), [True, False, True]),  # empty is exact
        (("0", "0", "1"), [False, False, True]),
        (("1", "1", "1"), [False] * 3),  # all of them say nothing
        ((None, None, None), [False] * 3),
    ],
)
def test_timepoints_are_where_a_feed_tells_them_apart(tmp_path, marks, want):
    feed = tables()
    for row, mark in zip(feed["stop_times"], marks, strict=True):
        row["timepoint"] = mark
    assert compiled(tmp_path, feed).trip_time_timepoint.tolist() == want


def test_times_that_go_back_are_held(tmp_path):
    feed = tables()
    feed["stop_times"][2] |= {"arrival_time": "05:01:00", "departure_time": "05:01:00"}
    network = compiled(tmp_path, feed)
    assert network.trip_time_arrival_s.tolist() == [18_000, 18_120, 18_140]
    assert network.oddities["trips_with_times_going_back"] == 1


def test_a_trip_of_one_stop_is_left_out_and_counted(tmp_path):
    feed = tables()
    feed["trips"].append({**feed["trips"][0], "trip_id": "short"})
    feed["trips"].append({**feed["trips"][0], "trip_id": "empty"})
    feed["stop_times"].append({**feed["stop_times"][0], "trip_id": "short"})
    feed["frequencies"].append({**feed["frequencies"][0], "trip_id": "short"})
    network = compiled(tmp_path, feed)
    assert network.trip_ids == ["t"]
    assert network.freq_trip_ix.tolist() == [0]
    assert network.oddities["trips_under_two_stops"] == 2


def test_two_agencies_of_one_zone(tmp_path):
    feed = tables()
    feed["agency"].append({**feed["agency"][0], "agency_id": "U"})
    feed["routes"].append({**feed["routes"][0], "route_id": "2", "agency_id": "U"})
    feed["trips"].append({**feed["trips"][0], "trip_id": "u", "route_id": "2"})
    feed["stop_times"] += [{**row, "trip_id": "u"} for row in feed["stop_times"]]
    network = compiled(tmp_path, feed)
    assert len(network.pattern_ids) == 2
    assert len(network.shape_ids) == 1
    assert network.trip_is_frequency.tolist() == [True, False]
    check(network)


def test_a_busway_is_a_route_of_stations():
    network, _ = draw("A--B--C", {"R": "ABC"}, stations="AB")
    mixed, _ = draw("A--B--C", {"R": "ABC"}, stations="A")
    assert (network.route_busway.all(), mixed.route_busway.any()) == (True, False)
    assert network.cell_busway.all()
    assert [network.stop_ids[i] for i in network.stop_parent_ix if i >= 0] == ["PA", "PB"]


def test_progress_is_told(tmp_path):
    told = []
    load(write_feed(tmp_path / "feed", tables()), tmp_path, lambda what, share: told.append((what, share)))
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert len(told) > 4


def test_projection_and_its_inverse():
    network, drawing = draw("A--B--C", {"R": "ABC"})
    lat, lon = np.array([-6.21, -6.19]), np.array([106.79, 106.81])
    np.testing.assert_allclose(np.array(network.unproject(*network.project(lat, lon))), [lat, lon], atol=1e-12)
    x, _ = network.project(*map(np.array, zip(drawing.at("A"), drawing.at("C"), strict=True)))
    assert x[1] - x[0] == pytest.approx(300.0, abs=0.1)
