import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.entity import Entity
from api.live import Hub, Mailbox, Query, apply, diff, select
from streams import messages
from tests.api.factory import LAT, LON, NOW, alert, bus, cell, filled, positions, record


def parse(chunk: bytes):
    """The events of a chunk as (name, data)."""
    found = []
    for block in chunk.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            found.append(("comment", block))
        else:
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


def states():
    entity = st.builds(lambda id, n: Entity("vehicle", id, {"n": n}), st.sampled_from("abcdefgh"), st.integers(0, 3))
    return st.lists(entity, max_size=8).map(lambda es: {e.key: e for e in es})


@given(states(), states())
def test_applying_the_difference_gives_the_new_state(a, b):
    assert apply(diff(a, b), a) == b


@given(states(), states())
def test_the_difference_never_says_more_than_everything(a, b):
    events = diff(a, b)
    assert len(events) <= max(len(b), 1)
    if events and events[0].name == "reset":
        assert len(events) == 1


@given(states())
def test_no_change_is_no_event(a):
    copies = {k: Entity(e.kind, e.id, dict(e.data)) for k, e in a.items()}
    assert diff(a, copies) == []


def test_a_box_sees_what_lies_in_it_and_what_has_no_place():
    view = filled()
    view.apply("alerts", record(messages.ALERT, alert("silent", kind="source_silent", stop_id=None)), NOW)
    snapshot = view.publish(NOW + 1)
    box = (LON - 0.001, LAT + 0.0076, LON + 0.001, LAT + 0.02)  # B1 and B2 are 900 and 1200 m north
    seen = select(snapshot, Query(bbox=box))
    assert {k for k in seen if k[0] == "vehicle"} == {("vehicle", "B1"), ("vehicle", "B2")}
    assert ("alert", "silent") in seen
    assert ("status", "koridor") in seen


def test_a_route_sees_its_vehicles_and_every_cell():
    seen = select(filled().snapshot, Query(route_id="2"))
    assert [k for k in seen if k[0] == "vehicle"] == [("vehicle", "B9")]
    assert sum(k[0] == "congestion" for k in seen) == 2


async def take(stream, n=1):
    return [event for _ in range(n) for event in parse(await anext(stream))]


async def test_a_client_gets_everything_then_what_changes():
    view = filled()
    hub = Hub(1 << 20, 5.0)
    view.subscribe(hub.publish)
    stream = hub.stream(Query(("vehicle",)), view.snapshot)
    [(name, entities)] = await take(stream)
    assert name == "reset"
    assert {e["id"] for e in entities if e["type"] == "vehicle"} == {"B1", "B2", "B3", "B9"}
    view.apply("positions", positions(bus("B1", NOW + 1, dist_m=1210.0), bus("B4", NOW + 1)), NOW + 1)
    view.publish(NOW + 1)
    events = dict(await take(stream))
    assert events["add"]["id"] == "B4"
    assert events["update"]["attributes"]["dist_m"] == 1210.0
    for second in range(2, 620):  # B1 drives on, the others fall silent
        view.apply("positions", positions(bus("B1", NOW + second)), NOW + second)
    view.publish(NOW + 620)
    events = await take(stream)
    assert ("remove", {"type": "vehicle", "id": "B9"}) in events or events[0][0] == "reset"
    await stream.aclose()
    assert not hub.channels


async def test_a_cell_brings_its_polygon():
    view = filled()
    stream = Hub(1 << 20, 5.0).stream(Query(("congestion",)), view.snapshot)
    [(_, entities)] = await take(stream)
    cells = [e for e in entities if e["type"] == "congestion"]
    assert {c["geometry"]["type"] for c in cells} == {"Polygon"}
    assert cells[0]["attributes"]["lane"] == "busway"
    await stream.aclose()


async def test_clients_of_one_query_share_one_difference():
    view = filled()
    hub = Hub(1 << 20, 5.0)
    view.subscribe(hub.publish)
    streams = [hub.stream(Query(), view.snapshot) for _ in range(3)]
    firsts = [await anext(s) for s in streams]
    assert len(hub.channels) == 1
    assert hub.n_clients == 3
    view.apply("congestion", record(messages.CONGESTION, cell(2, "CONGESTION")), NOW + 1)
    view.publish(NOW + 1)
    seconds = [await anext(s) for s in streams]
    for chunks in (firsts, seconds):
        assert len(set(chunks)) == 1
    assert all(c is seconds[0] for c in seconds) or seconds[0] == seconds[1]
    for s in streams:
        await s.aclose()


async def test_a_client_that_does_not_keep_up_starts_anew_with_little_waiting():
    view = filled()
    hub = Hub(4096, 5.0)
    view.subscribe(hub.publish)
    stream = hub.stream(Query(("vehicle",)), view.snapshot)
    await anext(stream)
    [mailbox] = hub.channels[Query(("vehicle",))].clients
    for i in range(1, 50):
        view.apply("positions", positions(bus("B1", NOW + i), bus("B2", NOW + i)), NOW + i)
        view.publish(NOW + i)
        assert mailbox.waiting_bytes <= 4096
    [(name, entities)] = await take(stream)
    assert name == "reset"
    told = {e["id"]: e["attributes"] for e in entities}
    assert told["B1"]["timestamp"] == NOW + 49
    assert hub.resets == 1
    await stream.aclose()


async def test_silence_is_kept_alive():
    view = filled()
    stream = Hub(1 << 20, 0.001).stream(Query(), view.snapshot)
    await anext(stream)
    assert await take(stream) == [("comment", ": keep-alive")]
    await stream.aclose()


async def test_closing_ends_every_stream():
    view = filled()
    hub = Hub(1 << 20, 60.0)
    stream = hub.stream(Query(), view.snapshot)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0)
    hub.close()
    assert await waiting is None


async def test_a_new_client_meets_the_present_not_the_past():
    view = filled()
    hub = Hub(1 << 20, 5.0)
    view.subscribe(hub.publish)
    early = hub.stream(Query(("vehicle",)), view.snapshot)
    await anext(early)
    view.apply("positions", positions(bus("B7", NOW + 1)), NOW + 1)
    view.publish(NOW + 1)
    late = hub.stream(Query(("vehicle",)), view.snapshot)
    [(_, entities)] = await take(late)
    assert "B7" in {e["id"] for e in entities}
    await early.aclose()
    await late.aclose()


@given(st.lists(st.tuples(st.sampled_from(["B1", "B2", "B5"]), st.integers(0, 900)), min_size=1, max_size=12))
def test_a_client_that_follows_knows_what_the_view_knows(steps):
    """Whatever happens, applying the stream's events in order gives the view's vehicles."""

    async def follow():
        view = filled()
        hub = Hub(1 << 20, 5.0)
        view.subscribe(hub.publish)
        query = Query(("vehicle",))
        stream = hub.stream(query, view.snapshot)
        known = {}
        now = NOW
        update(known, await anext(stream))
        for vehicle_id, later in steps:
            now += later
            view.apply("positions", positions(bus(vehicle_id, now)), now)
            view.publish(now)
            [mailbox] = hub.channels[query].clients
            if mailbox.waiting_bytes:
                update(known, await anext(stream))
            assert known == {k: dict(e.data) for k, e in view.snapshot.vehicles.items()}
        await stream.aclose()

    asyncio.run(follow())


def update(known, chunk):
    for name, data in parse(chunk):
        if name == "reset":
            known.clear()
            known.update((e["id"], e["attributes"]) for e in data if e["type"] == "vehicle")
        elif data["type"] == "vehicle":
            if name == "remove":
                del known[data["id"]]
            else:
                assert (data["id"] in known) == (name == "update")
                known[data["id"]] = data["attributes"]


async def test_a_mailbox_wakes_only_for_news():
    mailbox = Mailbox(10)
    mailbox.lost = False
    assert not await mailbox.wait(0.0)
    mailbox.put(b"news")
    assert await mailbox.wait(1.0)
    assert mailbox.take() == b"news"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(mailbox.wait(60.0), 0.01)
