from streams import messages
from tests.api.factory import CELL, LAT, LON, NOW, alert, record


async def test_congestion_is_geojson_with_closed_polygons(client):
    answer = await client.get("/v1/congestion")
    assert answer.headers["content-type"] == "application/geo+json"
    features = answer.json()["features"]
    assert [(f["id"], f["properties"]["congestion_level"]) for f in features] == [
        (f"{CELL}:0:busway", "CONGESTION"),
        (f"{CELL}:4:busway", "STOP_AND_GO"),
    ]
    [ring] = features[0]["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert len(ring) == 7
    assert min(x for x, _ in ring) < LON < max(x for x, _ in ring)
    assert features[0]["properties"]["age_s"] == 0.0


async def test_congestion_by_box_level_and_lane(client):
    async def n(query):
        return len((await client.get(f"/v1/congestion?{query}")).json()["features"])

    assert await n("level=CONGESTION") == 1
    assert await n("level=CONGESTION&level=STOP_AND_GO") == 2
    assert await n("lane=mixed") == 0
    assert await n(f"bbox={LON - 0.01},{LAT},{LON + 0.01},{LAT + 0.01}") == 2
    assert await n("bbox=0,0,1,1") == 0


async def test_alerts_by_severity_then_newest(client, view):
    rows = [
        alert("old", active_from=NOW - 500.0),
        alert("severe", severity="SEVERE", active_from=NOW - 900.0, route_id="2"),
        alert("over", active_to=NOW - 10.0),
    ]
    view.apply("alerts", record(messages.ALERT, *rows), NOW)
    view.publish(NOW + 1)

    async def ids(query=""):
        return [a["alert_id"] for a in (await client.get(f"/v1/alerts{query}")).json()["data"]]

    assert await ids() == ["severe", "bunching:1:0:B2", "old"]
    assert await ids("?ended=true") == ["severe", "bunching:1:0:B2", "old", "over"]
    assert await ids("?route_id=2") == ["severe"]


async def test_an_alert_stands_where_its_vehicle_or_stop_is(client, view):
    rows = [alert("stop"), alert("nowhere", stop_id=None)]
    view.apply("alerts", record(messages.ALERT, *rows), NOW)
    view.publish(NOW + 1)
    data = {a["alert_id"]: a for a in (await client.get("/v1/alerts")).json()["data"]}
    b2 = (await client.get("/v1/vehicles/B2")).json()["data"]
    assert data["bunching:1:0:B2"]["lat"] == b2["lat"]
    assert data["stop"]["lat"] == LAT + 0.0045
    assert data["nowhere"]["lat"] is None
