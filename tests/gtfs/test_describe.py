import json
from datetime import date

import numpy as np
import pytest
from shapely import LineString, Point

from streams.gtfs.describe import TOLERANCE_M, describe
from streams.polyline import decode
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


def test_frequencies_and_their_templates(told):
    _, record = told
    out, back = record["patterns"]
    for pattern, headway_s in ((out, 600), (back, 900)):
        assert len(pattern["trips"]["trip_id"]) == 1
        f = pattern["frequencies"]
        assert (f["trip"], f["start_s"], f["end_s"], f["headway_s"]) == ([0], [18_000], [86_400], [headway_s])
        assert f["exact"] == [0]


@pytest.mark.parametrize("feed", ["kingston/gtfs", "transjakarta/gtfs-2023-12"])
def test_every_trip_is_told_with_its_times_and_days(real, feed):
    network = real(feed)
    record = json.loads(describe(network))
    services = record["calendar"]["services"]
    assert record["calendar"]["first_day"] == date.fromordinal(network.first_day).isoformat()
    for s, service in enumerate(services):
        days = np.unpackbits(np.frombuffer(bytes.fromhex(service["days"]), np.uint8))
        assert (days[: network.service_active.shape[1]] == network.service_active[s]).all()
        assert not days[network.service_active.shape[1] :].any()
    told = 0
    for pattern in record["patterns"]:
        trips = pattern["trips"]
        for i, trip_id in enumerate(trips["trip_id"]):
            told += 1
            t = network.trip_ix[trip_id]
            assert network.pattern_ids[network.trip_pattern_ix[t]] == pattern["pattern_id"]
            assert services[trips["service"][i]]["service_id"] == network.service_ids[network.trip_service_ix[t]]
            times = network.trip_time_arrival_s[network.trip_time_start[t] : network.trip_time_start[t + 1]]
            offsets = np.cumsum([0, *pattern["running_s"][trips["running"][i]]])
            assert np.abs(trips["start_s"][i] + offsets - times)[1:] == pytest.approx(0, abs=0.51)
    assert told == len(network.trip_ids)
    assert sum(len(p["frequencies"]["trip"]) for p in record["patterns"]) == len(network.freq_trip_ix)


def check_lines(network, record):
    for p, pattern in enumerate(record["patterns"]):
        assert len(decode(pattern["polyline"])) == len(pattern["dist_m"]) >= 2
        assert (np.diff(pattern["dist_m"]) >= 0).all()
        lat, lon = np.array(decode(pattern["polyline"])).T
        line = LineString(np.column_stack(network.project(lat, lon)))
        shape = network.pattern_shape_ix[p]
        rows = slice(network.shape_start[shape], network.shape_start[shape + 1])
        assert pattern["dist_m"][-1] == pytest.approx(network.pattern_length_m[p], abs=0.51)
        for x, y in zip(network.point_x[rows][::7], network.point_y[rows][::7], strict=True):
            assert line.distance(Point(x, y)) <= TOLERANCE_M + 1.0  # and a metre of rounding


def test_lines_lie_on_the_shapes(told):
    check_lines(*told)


def test_a_direction_that_the_feed_does_not_give_is_marked_or_null(real):
    network = real("kingston/gtfs")
    record = json.loads(describe(network))
    assert {p["direction_id"] for p in record["patterns"]} == {0, 1, None}
    assert all(p["direction_inferred"] == (p["direction_id"] is not None) for p in record["patterns"])
    check_lines(network, record)


def test_the_record_of_a_large_city_stays_small(real):
    assert len(describe(real("transjakarta/gtfs-2026-05"))) < 2_600_000
