"""The feeds as they are served: readable by the official bindings, valid, made once, told apart by their headers."""

import asyncio
from email.utils import formatdate
from pathlib import Path

import httpx
import orjson
import pytest
from google.protobuf import json_format
from google.transit import gtfs_realtime_pb2 as pb

from api.app import create_app
from api.gtfs_rt import feeds
from api.gtfs_rt.feeds import NAMES, Feeds, Kind
from streams import messages
from streams.gtfs.check_rt import Checked, check
from streams.gtfs.compile import load
from streams.settings import Settings
from streams.sources.registry import open_source
from tests.api.driving import drive
from tests.api.factory import LAT, NOW, alert, arrival, bus, positions, record

DATA = Path(__file__).resolve().parents[3] / "fixtures" / "data"
EVERY_S = 5.0
FLAVORS = pytest.mark.parametrize("flavor", [None, "otp"])


def read(body: bytes) -> pb.FeedMessage:
    message = pb.FeedMessage()
    message.ParseFromString(bytes(body))
    assert message.IsInitialized()
    return message


def parsed(made: Feeds, snapshot, name, flavor=None) -> pb.FeedMessage:
    return read(made.answer(snapshot, Kind(name, "pb", flavor)).body)


@FLAVORS
@pytest.mark.parametrize("name", NAMES)
async def test_the_json_says_what_the_bytes_say(client, view, name, flavor):
    view.apply("alerts", record(messages.ALERT, alert("gap:1", effect="SIGNIFICANT_DELAYS")), NOW)
    view.publish(NOW + 1)
    query = f"?flavor={flavor}" if flavor else ""
    answer = await client.get(f"/gtfs-rt/{name}.pb{query}")
    assert answer.headers["content-type"] == "application/x-protobuf"
    binary = read(answer.content)
    assert binary.entity
    assert binary.header.gtfs_realtime_version == "2.0"
    assert binary.header.feed_version == "test"
    assert binary.header.timestamp == int(NOW) + 1
    answer = await client.get(f"/gtfs-rt/{name}.json{query}")
    assert answer.headers["content-type"] == "application/json"
    assert json_format.Parse(answer.content, pb.FeedMessage()) == binary
    assert orjson.loads(answer.content)["header"]["timestamp"] == int(NOW) + 1


async def test_a_consumer_that_has_it_is_told_so_and_head_is_enough_to_know(client, view):
    first = await client.get("/gtfs-rt/trip-updates.pb")
    assert first.headers["cache-control"] == "public, max-age=5"
    assert first.headers["last-modified"] == formatdate(NOW, usegmt=True)
    for name, value, status in (
        ("if-none-match", first.headers["etag"], 304),
        ("if-modified-since", first.headers["last-modified"], 304),
        ("if-modified-since", formatdate(NOW - 1, usegmt=True), 200),
        ("if-modified-since", "yesterday", 200),
        ("if-none-match", 'W/"other"', 200),
    ):
        assert (await client.get("/gtfs-rt/trip-updates.pb", headers={name: value})).status_code == status, (
            name,
            value,
        )
    head = await client.head("/gtfs-rt/trip-updates.pb")
    assert (head.status_code, head.content, head.headers) == (200, b"", first.headers)
    view.apply("positions", positions(bus("B7", NOW + 20, dist_m=400.0)), NOW + 20)
    view.apply("arrivals", record(messages.ARRIVAL, arrival("B7", "C", 3, 2.0)), NOW + 20)
    view.publish(NOW + 20)
    newer = await client.get("/gtfs-rt/trip-updates.pb", headers={"if-modified-since": first.headers["last-modified"]})
    assert newer.status_code == 200
    assert newer.headers["etag"] != first.headers["etag"]


async def test_until_the_view_is_whole_there_is_no_feed(client, view):
    view.loading("reading back arrivals")
    view.publish(NOW + 1)
    answer = await client.get("/gtfs-rt/alerts.json")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:koridor:problem:loading")


async def test_another_flavour_is_a_problem(client):
    answer = await client.get("/gtfs-rt/alerts.pb?flavor=sweet")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "flavor")


def test_requests_share_one_making(view, monkeypatch):
    made = Feeds(EVERY_S)
    calls = []
    message = feeds._message
    monkeypatch.setattr(feeds, "_message", lambda *a: calls.append(a) or message(*a))
    kind = Kind("vehicle-positions")
    first = made.answer(view.snapshot, kind)
    view.apply("positions", positions(bus("B7", NOW + 1)), NOW + 1)
    assert made.answer(view.publish(NOW + 1), kind) is first  # at most every EVERY_S
    assert made.answer(view.publish(NOW + 2 * EVERY_S), kind) is not first
    assert len(calls) == 2


def test_a_feed_without_news_keeps_its_bytes_and_renews_its_header_in_time(view):
    view.apply("alerts", record(messages.ALERT, alert("gap:1", effect="SIGNIFICANT_DELAYS")), NOW)
    made = Feeds(EVERY_S)
    kind = Kind("alerts")
    bodies = {}
    for i in range(7):
        now = NOW + i * 2 * EVERY_S
        message = parsed(made, view.publish(now), "alerts")
        bodies.setdefault(bytes(made.answer(view.snapshot, kind).body), []).append(i)
        assert now - message.header.timestamp <= feeds.HEADER_S
    assert list(bodies.values()) == [[0, 1], [2, 3], [4, 5], [6]]


def test_an_entity_is_encoded_again_only_when_it_says_something_else(view, monkeypatch):
    made = Feeds(EVERY_S)
    calls = []
    entity = feeds._entity
    monkeypatch.setattr(feeds, "_entity", lambda fields: calls.append(fields["id"]) or entity(fields))
    parsed(made, view.publish(NOW + 1), "vehicle-positions")
    assert sorted(calls) == ["B1", "B2", "B9"]  # B3 is 91 s old
    calls.clear()
    view.apply("positions", positions(bus("B1", NOW + 9)), NOW + 9)
    found = parsed(made, view.publish(NOW + 12), "vehicle-positions")
    assert (calls, {e.id for e in found.entity}) == (["B1"], {"B1", "B2", "B9"})


def test_positions_that_are_old_or_far_off_the_map_are_not_told(view):
    rows = [bus("far", NOW, lat=LAT - 3.0), bus("old", NOW - 91.0), bus("new", NOW)]
    view.apply("positions", positions(*rows), NOW)
    found = {e.id for e in parsed(Feeds(EVERY_S), view.publish(NOW), "vehicle-positions").entity}
    assert found & {"far", "old", "new"} == {"new"}


def test_a_bus_on_a_detour_keeps_its_trip_and_an_alert_says_why(view):
    view.apply("positions", positions(bus("B1", NOW + 1, off_route=True, dist_m=None, offset_m=None)), NOW + 1)
    made, snapshot = Feeds(EVERY_S), view.publish(NOW + 1)
    at = {e.id: e for e in parsed(made, snapshot, "vehicle-positions").entity}
    told = {e.id: e.alert for e in parsed(made, snapshot, "alerts").entity}
    detour = told["detour:2025-11-28:B1:1"]
    assert detour.effect == pb.Alert.DETOUR
    assert detour.informed_entity[0].trip == at["B1"].vehicle.trip


def test_a_bus_that_waits_away_from_its_shape_is_on_no_trip_yet(view):
    rows = [
        bus("near", trip_type="Layover", offset_m=20.0),
        bus("away", trip_type="Layover", offset_m=230.0),
        bus("home", trip_type="Deadhead"),
        bus("edge", offset_m=199.96),  # for a consumer with another Earth it is 200.04
    ]
    view.apply("positions", positions(*rows), NOW)
    found = {e.id: e.vehicle for e in parsed(Feeds(EVERY_S), view.publish(NOW), "vehicle-positions").entity}
    assert [found[v].HasField("trip") for v in ("near", "away", "home", "edge")] == [True, False, False, False]


@pytest.mark.parametrize(
    ("wrong", "lost"),
    [
        ({"current_status": "SOMEWHERE"}, {"vehicle-positions"}),
        ({"congestion_level": "BAD"}, set()),  # the view's own word, not the record's
        ({"bearing_deg": "north"}, {"vehicle-positions"}),
        ({"start_time": "soon"}, {"vehicle-positions", "trip-updates"}),
        ({"start_time": "soon", "off_route": True}, {"vehicle-positions", "trip-updates", "alerts"}),
    ],
)
def test_one_bad_record_takes_no_other_with_it(view, wrong, lost):
    record_of = positions(bus("B1", NOW + 1))
    row = orjson.loads(record_of)
    for name, value in wrong.items():
        if name in row["positions"]:
            row["positions"][name] = [value]
    view.apply("positions", orjson.dumps(row), NOW + 1)
    view.apply("alerts", record(messages.ALERT, alert("gap:1", effect="SIGNIFICANT_DELAYS")), NOW)
    made, snapshot = Feeds(EVERY_S), view.publish(NOW + 1)
    for name in NAMES:
        before = made.bad_entities
        ids = {e.id for e in parsed(made, snapshot, name).entity}
        assert (made.bad_entities > before) == (name in lost)
        assert ids & {"B2", "2025-11-28:B2:1", "gap:1"}
        assert not (name in lost and ids & {"B1", "2025-11-28:B1:1"})


@FLAVORS
def test_a_run_that_a_waiting_bus_has_yet_to_begin_is_told_by_its_estimates(view, flavor):
    waiting = bus("B4", NOW, trip_id_performed=None, trip_id_scheduled=None, start_time=None, trip_type="Layover")
    rows = [
        arrival("B4", "C", 3, 9.0, trip_id_performed="2025-11-28:B4:2", trip_id_scheduled=None),
        arrival("B4", "D", 4, 11.0, trip_id_performed="2025-11-28:B4:2", trip_id_scheduled=None),
        arrival("B5", "C2", 2, 9.0, route_id="2", trip_id_performed="2025-11-28:B5:2", trip_id_scheduled="2-b"),
    ]
    view.apply("positions", positions(waiting), NOW)
    view.apply("arrivals", record(messages.ARRIVAL, *rows), NOW)
    made, snapshot = Feeds(EVERY_S), view.publish(NOW)
    found = {e.id: e.trip_update for e in parsed(made, snapshot, "trip-updates", flavor).entity}
    relationship = pb.TripDescriptor.ScheduleRelationship.Name
    trips = {k.split(":", 1)[1]: (u.trip.trip_id, relationship(u.trip.schedule_relationship)) for k, u in found.items()}
    assert trips["B4:2"] == ("2025-11-28:B4:2", "ADDED")
    assert trips["B5:2"] == ("2-b", "SCHEDULED")
    begun = {**waiting, "trip_id_performed": "2025-11-28:B4:2", "trip_id_scheduled": "1-a", "start_time": "07:08:00"}
    view.apply("positions", positions({**begun, "timestamp": NOW + 12.0, "trip_type": "In service"}), NOW + 12)
    found = {e.id: e.trip_update for e in parsed(made, view.publish(NOW + 12), "trip-updates", flavor).entity}
    assert found["2025-11-28:B4:2"].trip.trip_id == ("1-a" if flavor is None else "2025-11-28:B4:2")


@FLAVORS
def test_stops_of_a_detour_are_skipped_until_it_is_over(view, flavor):
    detour = alert("detour:1:0:1", kind="detour", effect="DETOUR", stop_ids=["D"])
    view.apply("alerts", record(messages.ALERT, detour), NOW)
    made, skipped = Feeds(EVERY_S), pb.TripUpdate.StopTimeUpdate.SKIPPED

    def stops(now):
        found = parsed(made, view.publish(now), "trip-updates", flavor).entity
        return {
            (e.trip_update.trip.route_id, u.stop_id)
            for e in found
            for u in e.trip_update.stop_time_update
            if u.schedule_relationship == skipped
        }

    assert stops(NOW) == {("1", "D")}
    view.apply("alerts", record(messages.ALERT, detour | {"active_to": NOW + 9, "revision": 1}), NOW + 9)
    assert stops(NOW + 12) == set()


def test_a_bus_that_leaves_its_terminal_early_is_told_at_once(view):
    run = {"route_id": "2", "trip_id_performed": "2025-11-28:B4:1", "trip_id_scheduled": "2-b"}
    place = {"pattern_id": "2:0:cccccc", "stop_id": "C2", "stop_sequence": 2, **run}
    view.apply("arrivals", record(messages.ARRIVAL, arrival("B4", "C2", 2, 32.0, **run)), NOW)
    made, first = Feeds(EVERY_S), []
    for now, dist_m in ((NOW, 40.0), (NOW + 12, 600.0)):  # the trip begins at 07:30
        view.apply("positions", positions(bus("B4", now, dist_m=dist_m, **place)), now)
        [update] = [e for e in parsed(made, view.publish(now), "trip-updates").entity if "B4" in e.id]
        first.append(update.trip_update.stop_time_update[0])
    assert [u.stop_id for u in first] == ["W", "W"]
    assert (first[0].departure.time, first[0].HasField("arrival")) == (NOW + 1800, False)
    assert (first[1].arrival.time, first[1].HasField("departure")) == (NOW + 12, False)


def test_a_new_feed_is_told_at_once(view):
    made = Feeds(EVERY_S)
    parsed(made, view.snapshot, "trip-updates")
    from tests.api.factory import network

    view.apply("network", network(hash="new", feed_version="next"), NOW + 1)
    assert parsed(made, view.publish(NOW + 1), "trip-updates").header.feed_version == "next"


async def test_what_is_asked_for_is_made_anew_in_the_background_and_no_longer_when_nobody_does(view):
    made = Feeds(0.001)
    kind = Kind("vehicle-positions")
    first = made.answer(view.snapshot, kind)
    task = asyncio.create_task(made.refresh(lambda: view.snapshot))
    view.apply("positions", positions(bus("B7", NOW + 1)), NOW + 1)
    view.publish(NOW + 1)
    while made._feeds[kind].answer is first:
        await asyncio.sleep(0.001)
    view.publish(NOW + feeds.WANTED_S + 2)
    while kind in made._feeds:
        await asyncio.sleep(0.001)
    assert not made._made
    assert not task.done()
    task.cancel()


def broken_rules(network, recording, seconds, every_s, *alerts):
    """What the rules find in the feeds of a recording, both flavours, and how many trip updates there were."""
    made, feed = Feeds(EVERY_S), Checked(network)
    before: dict[str | None, tuple[pb.FeedMessage, ...]] = {}
    found, updates, begun, last = [], 0, None, -1e9
    for view, now in drive(network, recording):
        if begun is None:
            begun = now
            view.apply("alerts", record(messages.ALERT, *alerts), now)
        if now - begun > seconds:
            break
        if now - last < every_s:
            continue
        last = now
        for flavor in (None, "otp"):
            now_told = tuple(parsed(made, view.snapshot, name, flavor) for name in NAMES)
            updates += len(now_told[1].entity)
            found += check(feed, *now_told, before=before.get(flavor, ()), now=now)
            before[flavor] = now_told
    return [p for p in found if p.is_error], {p.rule for p in found}, updates


def test_feeds_of_the_generated_city_break_no_rule(tmp_path):
    network = load(DATA / "city.zip", tmp_path)
    stops = network.pstop_stop_ix[network.pstop_start[0] + 3 : network.pstop_start[0] + 5]
    way = network.pattern_route_dir_ix[0]
    detour = {
        "route_id": network.route_ids[network.route_dir_route_ix[way]],
        "direction_id": int(network.route_dir_direction[way]),
        "stop_ids": [network.stop_ids[s] for s in stops],
    }
    errors, rules, updates = broken_rules(
        network, open_source(DATA / "small" / "pings.parquet"), 400, 10.0,
        alert("detour:1", kind="detour", effect="DETOUR", **detour),
    )  # fmt: skip
    assert errors == []
    assert rules <= {"W003"}  # a bus without a position for 90 s keeps its estimates, one that waits has none yet
    assert updates > 600


def test_feeds_of_a_real_city_break_no_rule(tmp_path, data_dir):
    network = load(data_dir / "kingston" / "gtfs.zip", tmp_path)
    recording = open_source(
        data_dir / "kingston" / "vehicle_positions.csv.gz",
        columns="timestamp=vehicle_timestamp,record_time=feed_timestamp,start_date=trip_start_date,"
        "start_time=trip_start_time,bearing_deg=bearing,odometer_m=odometer",
    )
    errors, rules, updates = broken_rules(network, recording, 600, 20.0)
    assert errors == []
    assert rules <= {"W003", "W007"}  # the recording itself is silent for minutes
    assert updates > 1000


async def test_the_whole_service_serves_them(view):
    """By an app of its own: the routes stand in OpenAPI, and a consumer that asks for gzip gets it."""
    transport = httpx.ASGITransport(app=create_app(Settings(), view))
    async with httpx.AsyncClient(transport=transport, base_url="http://koridor") as client:
        document = (await client.get("/openapi.json")).json()
        paths = {f"/gtfs-rt/{name}.{format}" for name in NAMES for format in ("pb", "json")}
        assert paths <= document["paths"].keys()
        responses = document["paths"]["/gtfs-rt/alerts.pb"]["get"]["responses"]
        assert "application/x-protobuf" in responses["200"]["content"]
        for path in paths:
            assert (await client.get(path)).status_code == 200
        text = (await client.get("/metrics")).text
        assert 'koridor_api_requests_total{resource="gtfs-rt",status="200"} 6.0' in text
