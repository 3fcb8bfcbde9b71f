import h3

from streams import messages
from tests.api.factory import CELL, LAT, LON, NOW, alert, cell, record, segment


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
    assert await n("heading=4") == 1
    assert await n("heading=4&heading=0") == 2
    assert await n("resolution=8") == 2, "headings stay apart"


async def test_what_lies_in_the_box_with_a_part_of_it_is_in_it(client):
    """A box as small as a street corner: the middle of a coarse cell, or of a long segment, is elsewhere."""

    async def ids(path, lon, lat):
        box = f"bbox={lon - 1e-5},{lat - 1e-5},{lon + 1e-5},{lat + 1e-5}"
        return {f["id"] for f in (await client.get(f"/v1/{path}{box}")).json()["features"]}

    [way] = (await client.get("/v1/segments")).json()["features"]
    for lon, lat in way["geometry"]["coordinates"]:
        assert await ids("segments?", lon, lat) == {"A>B"}
    assert await ids("segments?", lon + 0.1, lat) == set()
    coarse = (await client.get("/v1/congestion?resolution=7")).json()["features"]
    lon, lat = min(coarse[0]["geometry"]["coordinates"][0])
    assert await ids("congestion?resolution=7&", lon, lat) == {f["id"] for f in coarse}
    assert await ids("congestion?resolution=7&", lon - 0.1, lat) == set()


async def test_coarser_cells_weigh_by_what_was_driven(client, view):
    near = h3.cell_to_children(h3.cell_to_parent(CELL, 9), 10)
    other = next(c for c in near if c != CELL)
    rows = [
        cell(0, "CONGESTION", speed_mps=2.0, distance_m=100.0, n_samples=1, n_vehicles=1),
        cell(0, "CONGESTION", h3_cell=other, speed_mps=8.0, distance_m=800.0, n_samples=6, n_vehicles=4),
        cell(4, "CONGESTION", speed_mps=3.0, distance_m=0.0, n_samples=0, n_vehicles=0, delay_s=0.0),
        cell(4, "CONGESTION", h3_cell=other, speed_mps=6.0, distance_m=0.0, n_samples=0, n_vehicles=0, delay_s=0.0),
    ]
    view.apply("congestion", record(messages.CONGESTION, *rows), NOW)
    view.publish(NOW + 1)
    features = (await client.get("/v1/congestion?resolution=9")).json()["features"]
    found = {f["properties"]["heading_octant"]: f["properties"] for f in features}
    assert {f["properties"]["h3_cell"] for f in features} == {h3.cell_to_parent(CELL, 9)}
    assert found[0]["speed_mps"] == 6.0, "900 m in 50 s and 100 s"
    assert found[0]["congestion_level"] == "STOP_AND_GO"
    assert (found[0]["n_samples"], found[0]["n_vehicles"]) == (7, 4)
    assert (found[0]["delay_s"], found[0]["delay_hour_s"]) == (180.0, 800.0)
    assert found[4]["speed_mps"] == 4.0, "nobody drove: both cells alike"


async def test_segments_are_lines_with_the_routes_that_drive_them(client, view):
    [way] = (await client.get("/v1/segments?route_id=1&level=CONGESTION")).json()["features"]
    assert way["id"] == "A>B"
    assert way["geometry"]["type"] == "LineString"
    assert len(way["geometry"]["coordinates"]) >= 2
    assert way["properties"]["route_ids"] == ["1"]
    assert (await client.get("/v1/segments?route_id=2")).json()["features"] == []
    assert (await client.get("/v1/segments?bbox=0,0,1,1")).json()["features"] == []
    final = segment("SEVERE_CONGESTION", final=True, window_start=NOW - NOW % 300.0 - 300.0)
    view.apply("segments", record(messages.SEGMENT, final), NOW)
    view.publish(NOW + 1)
    [way] = (await client.get("/v1/segments")).json()["features"]
    assert way["properties"]["congestion_level"] == "CONGESTION", "a window that is over brings nothing back"
    view.publish(NOW + 1000)
    assert (await client.get("/v1/segments")).json()["features"] == []


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
