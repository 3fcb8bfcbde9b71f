from tests.api.factory import LAT, LON, NOW


async def ids(client, query):
    answer = (await client.get(f"/v1/vehicles?{query}")).json()
    return sorted(v["vehicle_id"] for v in answer["data"])


async def test_vehicles_by_route_age_and_box(client):
    assert await ids(client, "") == ["B1", "B2", "B3", "B9"]
    assert await ids(client, "route_id=2") == ["B9"]
    assert await ids(client, "route_id=none") == []
    assert await ids(client, "max_age=60") == ["B1", "B2", "B9"]
    assert await ids(client, f"bbox={LON - 0.001},{LAT + 0.0076},{LON + 0.001},{LAT + 0.02}") == ["B1", "B2"]
    assert await ids(client, f"route_id=1&max_age=60&bbox={LON},{LAT + 0.01},{LON},{LAT + 0.02}") == ["B1"]


async def test_a_vehicle_tells_headway_age_and_whether_it_is_stale(client):
    b2 = (await client.get("/v1/vehicles/B2")).json()["data"]
    assert (b2["headway_s"], b2["headway_band"], b2["leader_id"]) == (45.0, "bunched", "B1")
    assert (b2["age_s"], b2["stale"], b2["timestamp"]) == (0.0, False, NOW)
    b3 = (await client.get("/v1/vehicles/B3")).json()["data"]
    assert (b3["age_s"], b3["stale"], b3["headway_s"]) == (90.0, True, None)
