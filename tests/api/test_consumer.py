"""The order of reading back, against a broker of a few lists; the real one is in tests/broker/test_api.py."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from api import consumer
from api.view import View
from streams import clients, messages
from streams.settings import Api, Kafka, Settings
from tests.api.factory import NOW, arrival, bus, network, positions, record

SETTINGS = Settings(kafka=Kafka(brokers="127.0.0.1:1", prefix="t"))


class Broker:
    """Topics as lists of (timestamp in seconds, value); polls give one record each."""

    def __init__(self, **topics):
        self.topics = {f"t-{name}": topics.get(name, []) for name in consumer.FOLLOWED}
        self.at = {}
        self.paused = set()
        self.order = []
        self.idle = asyncio.Event()

    def assign(self, partitions):
        self.partitions = list(partitions)

    async def end_offsets(self, partitions):
        return {tp: len(self.topics[tp.topic]) for tp in partitions}

    async def offsets_for_times(self, times):
        found = {}
        for tp, ms in times.items():
            later = [i for i, (t, _) in enumerate(self.topics[tp.topic]) if t * 1000 >= ms]
            found[tp] = SimpleNamespace(offset=later[0]) if later else None
        return found

    async def seek_to_beginning(self, tp):
        self.at[tp] = 0

    def seek(self, tp, offset):
        self.at[tp] = offset

    def pause(self, *partitions):
        self.paused |= set(partitions)

    def resume(self, *partitions):
        self.paused -= set(partitions)

    async def position(self, tp):
        return self.at[tp]

    async def getmany(self, timeout_ms, max_records):
        await asyncio.sleep(0)
        for tp in self.partitions:
            if tp not in self.paused and self.at[tp] < len(self.topics[tp.topic]):
                time_s, value = self.topics[tp.topic][self.at[tp]]
                self.at[tp] += 1
                self.order.append((tp.topic, self.at[tp] - 1))
                return {tp: [SimpleNamespace(value=value, timestamp=int(time_s * 1000))]}
        self.idle.set()
        return {}


async def read_until_idle(broker, view):
    reading = asyncio.create_task(consumer.read(broker, SETTINGS, view, lambda: NOW))
    waiting = asyncio.create_task(broker.idle.wait())
    await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
    reading.cancel()
    waiting.cancel()
    results = await asyncio.gather(reading, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError), results[0]


async def test_the_network_from_the_start_the_rest_from_minutes_back():
    broker = Broker(
        network=[(NOW - 90_000, network("old")), (NOW - 80_000, network())],
        positions=[
            (NOW - 4000, positions(bus("B8", NOW - 4000))),
            (NOW - 200, positions(bus("B1", NOW - 200))),
            (NOW - 1, positions(bus("B1", NOW - 1))),
            (NOW, messages.HEARTBEAT),
        ],
        arrivals=[(NOW - 5, record(messages.ARRIVAL, arrival("B1", "C", 3, 2.0)))],
    )
    view = View(Api())
    await read_until_idle(broker, view)
    assert broker.order[:2] == [("t-network", 0), ("t-network", 1)]
    assert ("t-positions", 0) not in broker.order
    snapshot = view.publish(NOW)
    assert snapshot.loading is None
    assert snapshot.network.hash == "0123456789ab"
    assert set(snapshot.vehicles) == {"B1"}
    assert list(snapshot.arrivals) == ["C"]


async def test_without_a_network_it_waits_for_one():
    broker = Broker(positions=[(NOW, positions(bus("B1")))])
    view = View(Api())
    await read_until_idle(broker, view)
    assert view.publish(NOW).loading == "no network yet: is a worker running?"
    view.apply("network", network(), NOW)
    assert view.publish(NOW).loading is None


async def test_a_topic_not_yet_read_back_keeps_it_loading():
    broker = Broker(network=[(NOW, network())], alerts=[(NOW, b"{}"), (NOW, b"{}")])
    view = View(Api())
    said = []
    view.loading = said.append
    await read_until_idle(broker, view)
    assert said[-1] is None
    assert "reading back alerts" in said


async def test_a_broker_that_is_away_is_tried_again(monkeypatch):
    view = View(Api())
    tried = asyncio.Event()
    calls = []

    async def away(settings):
        calls.append(view.why_loading())
        if len(calls) == 3:
            tried.set()
        raise KafkaConnectionError("nobody there")

    monkeypatch.setattr(clients, "ensure_topics", away)
    monkeypatch.setattr(consumer, "RETRY_S", 0.0)
    following = asyncio.create_task(consumer.follow(SETTINGS, view, lambda: NOW))
    await asyncio.wait_for(tried.wait(), 10)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert "nobody there" in calls[-1]
