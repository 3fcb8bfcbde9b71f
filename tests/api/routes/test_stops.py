import pytest

from streams import messages
from tests.api.factory import LAT, LON, NOW, STEP_DEG, arrival, bus, positions, record


async def found(client, query):
    return [s["stop_id"] for s in (await client.get(f"/v1/stops?{query}")).json()["data"]]


@pytest.mark.parametrize(
    ("query", "stops"),
    [
        ("q=cafe", ["C"]),
        ("q=CENDANA%20caf", ["C"]),
        ("q=cendana", ["C2", "C", "T"]),
        ("q=blok&limit=1", ["A"]),
        ("q=nothing", []),
        ("route_id=2", ["W", "C2", "X", "T"]),
        (f"near={LAT},{LON}", ["A"]),
        (f"near={LAT},{LON}&radius_m=600", ["A", "B"]),
        (f"near={LAT},{LON}&radius_m=600&q=beringin", ["B"]),
    ],
)
async def test_stops_by_name_place_and_route(client, query, stops):
    assert sorted(await found(client, query)) == sorted(stops)


async def test_a_name_that_begins_so_comes_first(client):
    assert (await found(client, "q=cendana"))[0] == "C2"


async def test_the_nearest_comes_first_with_its_distance(client):
    data = (await client.get(f"/v1/stops?near={LAT + STEP_DEG},{LON}&radius_m=600")).json()["data"]
    assert data[0]["stop_id"] == "B"
    assert data[0]["distance_m"] == 0.0
    assert data[1]["distance_m"] == pytest.approx(500.4, abs=1.0)


async def test_arrivals_soonest_first_with_their_interval(client):
    data = (await client.get("/v1/stops/C/arrivals")).json()["data"]
    assert [(r["vehicle_id"], r["arrival_p50"] - NOW) for r in data] == [("B1", 120.0), ("B2", 210.0)]
    assert all(r["arrival_p10"] < r["arrival_time"] < r["arrival_p50"] < r["arrival_p90"] for r in data)
    assert (data[0]["headsign"], data[0]["vehicle_stale"], data[0]["vehicle_age_s"]) == ("Eboni", False, 0.0)
    assert len((await client.get("/v1/stops/C/arrivals?limit=1")).json()["data"]) == 1
    assert (await client.get("/v1/stops/C/arrivals?route_id=2")).json()["data"] == []


async def test_a_station_has_the_arrivals_of_its_stops(client, view):
    row = arrival("B9", "C2", 2, 1.0, route_id="2")
    view.apply("arrivals", record(messages.ARRIVAL, row), NOW)
    view.publish(NOW + 1)
    data = (await client.get("/v1/stops/T/arrivals")).json()["data"]
    assert [r["vehicle_id"] for r in data if r["quality"] != "scheduled"] == ["B9", "B1", "B2"]


async def test_an_estimate_from_an_old_position_says_so(client, view):
    view.apply("arrivals", record(messages.ARRIVAL, arrival("B3", "C", 3, 9.0), arrival("B0", "C", 3, 10.0)), NOW)
    view.publish(NOW + 1)
    data = {r["vehicle_id"]: r for r in (await client.get("/v1/stops/C/arrivals")).json()["data"]}
    assert data["B3"]["vehicle_stale"] is True
    assert data["B0"]["vehicle_stale"] is None  # not seen at all
    assert data["B0"]["vehicle_age_s"] is None


async def test_an_estimate_of_the_next_run_has_its_own_headsign(client, view):
    view.apply("positions", positions(bus("B1", NOW + 1, route_id="2", pattern_id="2:0:cccccc")), NOW + 1)
    view.publish(NOW + 1)
    data = (await client.get("/v1/stops/C/arrivals")).json()["data"]
    assert data[0]["headsign"] == "Eboni"
    view.apply("arrivals", record(messages.ARRIVAL, arrival("B1", "C", 3, 2.0, trip_id_scheduled=None)), NOW + 2)
    view.publish(NOW + 2)
    data = (await client.get("/v1/stops/C/arrivals")).json()["data"]
    assert data[0]["headsign"] is None  # of what the vehicle drives now nothing may be said here


async def test_an_id_may_hold_a_slash(client):
    answer = await client.get("/v1/stops/a%2Fb/arrivals")
    assert answer.status_code == 404
    assert "'a/b'" in answer.json()["detail"]
