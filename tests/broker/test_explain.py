"""A live vehicle explained: its pings are read back from Kafka, and come out as from a recording."""

import os
import time

import httpx
import orjson
import polars as pl
import pytest
from pydantic import TypeAdapter

from api import schema
from api.app import create_app
from api.explain import Explainer
from api.view import View
from fixtures.bundled import CITY, SMALL
from streams import clients, topics
from streams.gtfs.compile import load
from streams.gtfs.describe import describe
from streams.partition import Partitioner, partition_of
from streams.replay.explanation import explanation
from streams.replay.moments import explain
from streams.replay.play import records_of
from streams.replay.recent import recent
from streams.settings import NOT_SETTINGS
from streams.sources.recording import to_columns
from tests.api.factory import bus, positions


@pytest.fixture
async def sent(settings):
    """The last twenty minutes of the small recording, moved to now, on Kafka; and the bus that says most in it."""
    frame = pl.read_parquet(SMALL / "pings.parquet").filter(pl.col("record_time") > pl.col("record_time").max() - 1200)
    shift = time.time() - frame["record_time"].max()
    frame = frame.with_columns(pl.col("timestamp") + shift, pl.col("record_time") + shift)
    vehicle = frame["vehicle_id"].value_counts().sort("count", "vehicle_id")["vehicle_id"][-1]
    await clients.ensure_topics(settings)
    producer = clients.producer(settings.kafka)
    await producer.start()
    try:
        name = topics.full_name(settings.kafka.prefix, "pings")
        split = Partitioner(settings.kafka.partitions)
        for _, part in frame.group_by((pl.col("record_time") // 5).alias("tick"), maintain_order=True):
            for partition, value, _ in records_of(to_columns(part), split, 1000):
                await producer.send(name, value, partition=partition)
        bad = b'[{"vehicle_id":"%b","timestamp":%d,"lat":95,"lon":0},{"vehicle_id":"%b","lat":1,"lon":1}]'
        here = partition_of(vehicle, settings.kafka.partitions)
        known = vehicle.encode()
        await producer.send_and_wait(name, bad % (known, int(time.time()), known), partition=here)
        yield vehicle, frame.filter(pl.col("vehicle_id") == vehicle)
    finally:
        await producer.stop()


async def test_what_is_read_back_is_what_the_vehicle_sent(settings, sent):
    vehicle, frame = sent
    found = await recent(settings, vehicle, time.time() - 3600.0)
    same = ["vehicle_id", "timestamp", "lat", "lon", "route_id", "direction_id", "bearing_deg", "speed_mps"]
    assert found.frame.height == frame.height + 1  # and the one at latitude 95, which only the engine refuses
    assert found.frame.head(-1).select(same).equals(frame.select(same))
    assert found.frame["record_time"].is_sorted()
    assert found.rejects["reason"].to_list() == ["MISSING_FIELD"]
    assert (await recent(settings, vehicle, time.time() + 60.0)).rows == 0
    assert (await recent(settings, "nobody", 0.0)).rows == 0


async def test_the_api_explains_a_live_vehicle(settings, sent, monkeypatch):
    vehicle, _ = sent
    network = load(CITY)
    for name in [n for n in os.environ if n.startswith("KORIDOR_") and n not in NOT_SETTINGS]:
        monkeypatch.delenv(name)
    kafka = settings.kafka
    for name, value in (("BROKERS", kafka.brokers), ("PREFIX", kafka.prefix), ("PARTITIONS", str(kafka.partitions))):
        monkeypatch.setenv(f"KORIDOR_{name}", value)
    view = View(settings.api)
    view.apply("network", describe(network), time.time())
    for name in (vehicle, "silent one"):
        view.apply("positions", positions(bus(name, time.time())), time.time())
    view.loading(None)
    view.publish(time.time())
    explainer = Explainer(CITY, 240.0)
    transport = httpx.ASGITransport(app=create_app(settings, view, explainer=explainer))
    async with httpx.AsyncClient(transport=transport, base_url="http://koridor", timeout=300.0) as client:
        answer = await client.get(f"/v1/vehicles/{vehicle}/explain?minutes=10")
        assert answer.status_code == 200, answer.text
        TypeAdapter(schema.ExplanationAnswer).validate_json(answer.content, strict=True)
        told = answer.json()["data"]
        assert (told["vehicle_id"], told["network"]) == (vehicle, network.hash)
        everything = await recent(settings, vehicle, 0.0)
        golden = explanation(explain(everything.frame, network, settings), network)["pings"]
        shown = [p for p in told["pings"] if p["reason"] != "MISSING_FIELD"]
        assert shown == golden[-len(shown) :]
        assert 0 < len(shown) < len(golden)
        assert shown[-1]["reason"] == "OUT_OF_RANGE"
        assert all(abs(sum(h["probability"] for h in p["hypotheses"]) - 1.0) < 0.01 for p in shown)
        picture = await client.get(f"/v1/vehicles/{vehicle}/explain.svg?minutes=10")
        assert picture.headers["content-type"] == "image/svg+xml"
        assert vehicle in picture.text
        assert (await client.get("/v1/vehicles/nobody/explain")).status_code == 404
        nothing = await client.get("/v1/vehicles/silent%20one/explain")
        assert (nothing.status_code, nothing.json()["type"]) == (404, "urn:koridor:problem:not-explained")
        assert (await client.get(f"/v1/vehicles/{vehicle}/explain?minutes=0")).status_code == 422
        other = {**orjson.loads(describe(network)), "hash": "another"}
        view.apply("network", orjson.dumps(other), time.time())
        view.publish(time.time())
        refused = await client.get(f"/v1/vehicles/{vehicle}/explain?minutes=10")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:koridor:problem:another-feed")
    await explainer.close()
