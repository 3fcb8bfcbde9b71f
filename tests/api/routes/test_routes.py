from streams import messages
from tests.api.factory import NOW, bus, headway, indicator, positions, record


async def test_a_route_has_its_patterns_and_its_shape(client):
    data = (await client.get("/v1/routes/1")).json()["data"]
    assert data["lane"] == "busway"
    assert [p["headsign"] for p in data["patterns"]] == ["Eboni", "Akasia"]
    assert data["patterns"][0]["stop_ids"] == list("ABCDE")
    lines = data["shape"]["features"]
    assert [len(f["geometry"]["coordinates"]) for f in lines] == [5, 5]
    assert lines[0]["properties"]["direction_id"] == 0


async def test_headways_come_in_the_order_of_driving(client):
    answer = (await client.get("/v1/routes/1/headways")).json()
    assert [(r["vehicle_id"], r["headway_s"], r["age_s"]) for r in answer["data"]] == [
        ("B1", 290.0, 20.0),
        ("B2", 45.0, 10.0),
    ]
    assert [(r["stop_id"], r["vehicle_id"]) for r in answer["stops"]] == [("B", "B2")]
    assert (await client.get("/v1/routes/1/headways?direction_id=1")).json()["data"] == []
    assert (await client.get("/v1/routes/2/headways")).json()["data"] == []


async def test_a_bus_that_left_the_route_is_not_among_its_headways(client, view):
    view.apply("positions", positions(bus("B2", NOW + 1, route_id="2", pattern_id="2:0:cccccc")), NOW + 1)
    view.publish(NOW + 1)
    answer = (await client.get("/v1/routes/1/headways")).json()
    assert [r["vehicle_id"] for r in answer["data"]] == ["B1"]


async def test_the_front_bus_comes_first_in_each_direction(client, view):
    rows = [
        headway("B1", "B0", 200.0, gate_id="D:0", stop_id="D", dist_m=1501.0, event_timestamp=NOW),
        headway("B2", "B1", 200.0, gate_id="C:0", stop_id="C", dist_m=1000.7, event_timestamp=NOW),
    ]
    view.apply("headways", record(messages.HEADWAY, *reversed(rows)), NOW)
    view.publish(NOW + 1)
    answer = (await client.get("/v1/routes/1/headways?direction_id=0")).json()
    assert [r["vehicle_id"] for r in answer["data"]] == ["B1", "B2"]
    assert [r["stop_id"] for r in answer["stops"]] == ["B", "C", "D"]


async def test_indicators_per_direction(client):
    answer = (await client.get("/v1/routes/1/indicators")).json()
    assert [(r["direction_id"], r["headway_cv"], r["age_s"]) for r in answer["data"]] == [(0, 0.4, 5.0), (1, 0.4, 5.0)]
    assert answer["hours"] == []
    assert answer["hours_from"] is None
    assert (await client.get("/v1/routes/2/indicators")).json()["data"] == []


async def test_indicators_say_since_when_their_hours_are_known(client, view):
    hours = [NOW - 7200.0, NOW - 3600.0]
    rows = [indicator(0, window_start=begin, final=True) for begin in hours]
    view.apply("indicators", record(messages.INDICATOR, *rows), NOW)
    view.publish(NOW + 1)
    answer = (await client.get("/v1/routes/1/indicators")).json()
    assert [r["window_start"] for r in answer["hours"]] == hours
    assert answer["hours_from"] == hours[0]
    assert (await client.get("/v1/routes/2/indicators")).json()["hours_from"] == hours[0], "known, but it had no bus"


async def test_groups_know_how_far_apart_the_buses_of_all_their_routes_are(client, view):
    [group] = (await client.get("/v1/groups")).json()["data"]
    assert group == {"route_group_id": "1:0+2:0", "route_ids": ["1"], "n_vehicles": 1}
    [row] = (await client.get("/v1/groups/1%3A0%2B2%3A0/headways")).json()["data"]
    assert (row["vehicle_id"], row["leader_id"], row["headway_s"]) == ("B2", "B9", 30.0)
    view.publish(NOW + 700)
    assert (await client.get("/v1/groups")).json()["data"] == []
