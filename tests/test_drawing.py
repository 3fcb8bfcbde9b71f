import numpy as np
import pytest

from tests.drawing import draw

PICTURE = r"""
      1
A-----2---B
          |\
          3 \
          C  D
"""


def test_stops_pings_and_lengths():
    network, drawing = draw(PICTURE, {"R": "ABC", "R-back": "CBA", "R/d": "ABD"}, metres_per_char=100)
    assert network.stop_ids == ["A", "B", "C", "D"]
    np.testing.assert_allclose(network.pattern_length_m, [1300, 1300, 1000 + 300 * 2**0.5], rtol=1e-4)
    assert [int(network.pattern_direction[drawing.pattern_ix(k)]) for k in ("R", "R-back", "R/d")] == [0, 1, 0]
    assert drawing.at("2") == pytest.approx(drawing.along("R", 600.0), abs=1e-6)
    lat, lon = (np.array(v) for v in zip(drawing.at("1"), drawing.at("2"), strict=True))
    x, y = network.project(lat, lon)
    assert (x[0] - x[1], y[0] - y[1]) == pytest.approx((0.0, 100.0), abs=0.01)


def test_the_same_picture_is_compiled_once():
    assert draw(PICTURE, {"R": "ABC"})[0] is draw(PICTURE, {"R": "ABC"})[0]


def test_timetables_and_frequencies():
    network, _ = draw("A--B", {"R": "AB", "S": "BA"}, trips={"R": ["07:00:00", "25:10:00"]}, headway_s={"S": 300.0})
    assert network.trip_ids == ["R.0", "R.1", "S"]
    assert network.trip_start_s.tolist() == [25_200, 90_600, 18_000]
    assert network.trip_is_frequency.tolist() == [False, False, True]
    assert network.freq_headway_s.tolist() == [300]


def test_a_place_between_streets_may_lead_the_way():
    network, _ = draw("A-----B\n|     |\n+--x--+", {"R": "AxB"}, metres_per_char=100)
    assert network.pattern_length_m[0] == pytest.approx(1000, rel=1e-3)
    assert network.stop_ids == ["A", "B"]


@pytest.mark.parametrize(
    ("picture", "way", "message"),
    [
        ("A--B", "ABC", "'C' is on a route's way"),
        ("A--A", "AB", "drawn exactly once"),
        ("A--  B", "AB", "no street leads"),
    ],
)
def test_a_picture_that_cannot_be_driven(picture, way, message):
    with pytest.raises(ValueError, match=message):
        draw(picture, {"R": way})
