"""The API against the real broker: reading back, silence, a broker that was there all along."""

import asyncio
import time
from dataclasses import replace

from api import consumer
from api.view import View
from streams import clients, messages, topics
from tests.api.factory import arrival, bus, network, positions, record

PATIENCE_S = 60.0


async def send(settings, *records):
    """Send (topic, value, how many seconds ago) in order."""
    await clients.ensure_topics(settings)
    producer = clients.producer(settings.kafka)
    await producer.start()
    try:
        for topic, value, ago_s in records:
            key = b"network" if topic == "network" else None
            at_ms = int((time.time() - ago_s) * 1000)
            name = topics.full_name(settings.kafka.prefix, topic)
            await producer.send_and_wait(name, value, key=key, partition=0, timestamp_ms=at_ms)
    finally:
        await producer.stop()


async def until(view, condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition(view.publish(time.time())):
            await asyncio.sleep(0.05)


async def test_an_api_that_starts_reads_back_what_is_current_and_follows(settings):
    settings = replace(settings, api=replace(settings.api, look_back_s=120.0))
    now = time.time()
    old = arrival("B8", "C", 3, 0.0, made_at=now - 20.0)  # said too long ago, whatever it says
    new = arrival("B1", "C", 3, 0.0, made_at=now, arrival_p50=now + 120.0)
    await send(
        settings,
        ("network", network(), 86_400.0),
        ("arrivals", record(messages.ARRIVAL, old), 900.0),
        ("arrivals", record(messages.ARRIVAL, new), 1.0),
        ("positions", positions(bus("B1", now)), 0.0),
    )
    view = View(settings.api)
    following = asyncio.create_task(consumer.follow(settings, view, time.time))
    try:
        await until(view, lambda snapshot: snapshot.loading is None)
        assert set(view.snapshot.vehicles) == {"B1"}
        assert [trip for trip, _ in view.snapshot.arrivals["C"]] == ["2025-11-28:B1:1"]
        await send(settings, ("positions", positions(bus("B2", time.time())), 0.0))
        await until(view, lambda snapshot: "B2" in snapshot.vehicles)
        await send(settings, ("network", network(hash="new"), 0.0))
        await until(view, lambda snapshot: snapshot.network.hash == "new")
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_an_api_that_is_first_waits_for_a_worker(settings):
    view = View(settings.api)
    said = []
    view.subscribe(lambda snapshot: said.append((snapshot.loading, snapshot.network is not None)))
    following = asyncio.create_task(consumer.follow(settings, view, time.time))
    try:
        await until(view, lambda snapshot: snapshot.loading == "no network yet: is a worker running?")
        await send(
            settings, ("network", network(hash="worker"), 0.0), ("positions", positions(bus("B1", time.time())), 0.0)
        )
        await until(view, lambda snapshot: "B1" in snapshot.vehicles)
        assert view.snapshot.loading is None
        assert view.snapshot.network.hash == "worker"
        assert view.bad_records == {}
        assert ("no network yet: is a worker running?", False) in said
        assert all(known for loading, known in said if loading is None)  # never whole without a network
        assert not following.done()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
