import json

import numpy as np
import pytest
from shapely import LineString, Point

from streams.gtfs.describe import TOLERANCE_M, describe
from tests.drawing import draw

PICTURE = r"""
    A----B----+
               \
                C
"""


@pytest.fixture(scope="module")
def told():
    network, _ = draw(PICTURE, {"R": "ABC", "R-back": "CBA"}, stations="AB", headway_s={"R": 600, "R-back": 900})
    return network, json.loads(describe(network))


def test_routes_and_stops(told):
    network, record = told
    assert (record["hash"], record["timezone"]) == (network.hash, "Asia/Jakarta")
    assert record["routes"] == [{"route_id": "R", "short_name": "R", "long_name": "", "color": "", "lane": "busway"}]
    parents = {s["stop_id"]: s["parent_id"] for s in record["stops"]}
    assert parents == {"A": "PA", "B": "PB", "C": None, "PA": None, "PB": None}


def test_patterns(told):
    network, record = told
    out, back = record["patterns"]
    assert out["stop_ids"] == ["A", "B", "C"]
    assert back["stop_ids"] == ["C", "B", "A"]
    assert (out["direction_id"], back["direction_id"], out["headsign"]) == (0, 1, "to C")
    assert out["stop_sequences"] == [1, 2, 3]
    assert out["length_m"] == pytest.approx(network.pattern_length_m[0], abs=0.1)
    assert out["stop_dist_m"][-1] == pytest.approx(out["length_m"], abs=0.2)


def test_headways(told):
    _, record = told
    assert [(h["start_s"], h["end_s"], h["headway_s"]) for h in record["headways"]] == [
        (18_000.0, 86_400.0, 600.0),
        (18_000.0, 86_400.0, 900.0),
    ]


def check_lines(network, record):
    for p, pattern in enumerate(record["patterns"]):
        assert len(pattern["polyline"]) == len(pattern["dist_m"]) >= 2
        assert (np.diff(pattern["dist_m"]) >= 0).all()
        lon, lat = np.array(pattern["polyline"]).T
        line = LineString(np.column_stack(network.project(lat, lon)))
        shape = network.pattern_shape_ix[p]
        rows = slice(network.shape_start[shape], network.shape_start[shape + 1])
        assert pattern["dist_m"][-1] == pytest.approx(network.pattern_length_m[p], abs=0.51)
        for x, y in zip(network.point_x[rows][::7], network.point_y[rows][::7], strict=True):
            assert line.distance(Point(x, y)) <= TOLERANCE_M + 1.0  # and a metre of rounding


def test_lines_lie_on_the_shapes(told):
    check_lines(*told)


def test_a_direction_that_the_feed_does_not_give_is_null(real):
    network = real("kingston/gtfs")
    record = json.loads(describe(network))
    assert {p["direction_id"] for p in record["patterns"]} == {None}
    check_lines(network, record)


def test_the_record_of_a_large_city_stays_small(real):
    assert len(describe(real("transjakarta/gtfs-2026-05"))) < 4_000_000
