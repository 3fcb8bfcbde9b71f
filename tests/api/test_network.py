"""The network record as the worker makes it, seen through the API."""

from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter

from api import schema
from api.app import create_app
from api.network import NetworkView, fold
from api.view import View
from streams.gtfs.compile import load
from streams.gtfs.describe import describe
from streams.settings import Api, Settings
from tests.api.factory import LAT, LON, NOW, STEP_DEG, network

CITY = Path(__file__).resolve().parents[2] / "fixtures" / "data" / "city.zip"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return describe(load(CITY, tmp_path_factory.mktemp("cache")))


async def test_a_described_feed_is_answered_as_documented(described):
    view = View(Api())
    view.apply("network", described, NOW)
    view.loading(None)
    snapshot = view.publish(NOW)
    assert view.bad_records == {}
    assert snapshot.network.routes
    transport = httpx.ASGITransport(app=create_app(Settings(), view))
    async with httpx.AsyncClient(transport=transport, base_url="http://koridor") as client:
        answer = await client.get("/v1/routes")
        TypeAdapter(schema.RouteList).validate_json(answer.content, strict=True)
        for route in answer.json()["data"]:
            detail = await client.get(f"/v1/routes/{route['route_id']}")
            TypeAdapter(schema.RouteAnswer).validate_json(detail.content, strict=True)
            assert detail.json()["data"]["patterns"]
            assert detail.json()["data"]["shape"]["features"]
        stops = await client.get("/v1/stops?limit=10000")
        TypeAdapter(schema.StopList).validate_json(stops.content, strict=True)
        assert len(stops.json()["data"]) == len(snapshot.network.stops)


def test_a_place_on_a_described_line_has_a_heading(described):
    view = NetworkView.parse(described)
    for pattern_id, shape in view.shapes.items():
        assert len(shape.heading_deg) == len(shape.lon) - 1
        assert len(shape.dist_m) == len(shape.lon)
        assert shape.dist_m == sorted(shape.dist_m)
        assert shape.dist_m[-1] == pytest.approx(view.patterns[pattern_id]["length_m"], abs=1.0)
        assert all(0.0 <= h < 360.0 for h in shape.heading_deg)


def test_headings_along_a_line():
    shapes = NetworkView.parse(network()).shapes
    north, south, east = shapes["1:0:aaaaaa"], shapes["1:1:bbbbbb"], shapes["2:0:cccccc"]
    assert (north.heading_at(-5.0), north.heading_at(900.0), north.heading_at(1e6)) == (0.0, 0.0, 0.0)
    assert south.heading_at(900.0) == 180.0
    assert east.heading_at(300.0) == pytest.approx(90.0, abs=0.1)


def test_stops_near_are_measured_in_metres():
    view = NetworkView.parse(network())
    [(first, d0), (second, d1)] = view.stops_near(LAT + 0.5 * STEP_DEG, LON, 260.0, 5)
    assert {first, second} == {"A", "B"}
    assert d0 == pytest.approx(250.2, abs=0.1)
    assert d1 == pytest.approx(250.2, abs=0.1)
    assert view.stops_near(0.0, 0.0, 1000.0, 5) == []


@pytest.mark.parametrize(("text", "folded"), [("Café", "cafe"), ("  A   B ", "a b"), ("ŁÓDŹ", "łodz"), ("İ", "i")])
def test_folding_finds_names_without_their_accents(text, folded):
    assert fold(text) == folded


def test_a_station_serves_what_its_stops_serve():
    view = NetworkView.parse(network())
    assert view.routes_at["T"] == ["1", "2"]
    assert view.places("T") == ["T", "C", "C2"]
    assert view.places("C") == ["C"]


def test_answers_kept_for_long_stay_bounded(monkeypatch):
    monkeypatch.setattr("api.network.MAX_ANSWERS", 2)
    view = NetworkView.parse(network())
    for i in range(5):
        view.keep(("/", str(i).encode()), None)
    assert len(view.answers) == 2
