"""Requests per second of the API's main routes while it serves a running city."""

import asyncio
import time
from collections.abc import Awaitable

import numpy as np
import orjson

from benchmarks.harness import Benchmark
from benchmarks.processes import api, broker, kafka_settings, worker
from benchmarks.workload import drive
from streams import clients, messages, topics
from streams.messages import PING
from streams.partition import Partitioner
from streams.replay.play import records_of

CONNECTIONS = 32


def run(bench: Benchmark) -> None:
    """Fill a city, then ask with 32 kept-alive connections for a few seconds a route."""
    work = drive(200, 240.0, made=True) if bench.short else drive(1500, 900.0)
    seconds = 0.5 if bench.short else 5.0
    with broker() as brokers:
        settings = kafka_settings(brokers, "api")
        with worker(settings, work.feed) as running, api(settings) as service:
            running.wait_ready()
            port = int(service.wait_ready()[1])
            asyncio.run(_measure(bench, settings, work, port, seconds))


async def _measure(bench, settings, work, port, seconds):  # type: ignore[no-untyped-def]
    pings = {k: v.copy() for k, v in work.simulation.pings.items()}
    pings["timestamp"] += np.floor(time.time() - pings["timestamp"].max())
    await clients.ensure_topics(settings)
    producer = clients.producer(settings.kafka)
    await producer.start()
    partitioner = Partitioner(settings.kafka.partitions)
    name = topics.full_name(settings.kafka.prefix, "pings")
    for at in range(0, messages.rows(pings), 20_000):
        some = {k: pings[k][at : at + 20_000] for k in PING}
        for partition, value, _ in records_of(some, partitioner, 1000):
            await producer.send(name, value, partition=partition)
    await producer.stop()
    stop_id = await _until(port, seconds=120)
    vehicle = (await _get(port, "/v1/vehicles"))["data"][0]["vehicle_id"]
    routes = (
        "/v1/vehicles",
        f"/v1/vehicles/{vehicle}",
        f"/v1/stops/{stop_id}/arrivals",
        "/v1/alerts",
        "/gtfs-rt/trip-updates.pb",
        "/health",
    )
    for path in routes:
        rate, delays, size = await _load(port, path, seconds)
        p99_ms = np.percentile(delays, 99) * 1e3
        said = f"{work.conditions}; {CONNECTIONS} connections, {size} bytes an answer; p99 {p99_ms:.0f} ms"
        bench.add(f"GET {path.replace(vehicle, '…').replace(stop_id, '…')}", rate, "requests/s", said)


async def _until(port: int, seconds: float) -> str:
    """Wait until some stop has arrivals; its id."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        vehicles = (await _get(port, "/v1/vehicles")).get("data", [])
        for stop_id in {v["stop_id"] for v in vehicles if v.get("stop_id")}:
            if (await _get(port, f"/v1/stops/{stop_id}/arrivals")).get("data"):
                return str(stop_id)
        await asyncio.sleep(1)
    raise RuntimeError("no stop got arrivals")


async def _get(port: int, path: str):  # type: ignore[no-untyped-def]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 << 20)
    try:
        body, _ = await _ask(reader, writer, path)
        return orjson.loads(body)
    finally:
        writer.close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> tuple[bytes, int]:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: koridor\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    return await reader.readexactly(int(fields[b"content-length"])), int(head.split(b" ", 2)[1])


async def _load(port: int, path: str, seconds: float) -> tuple[float, list[float], int]:
    """Answers a second, how long each took, and the size of one; every connection gets one at the least."""
    started = time.monotonic()
    deadline = started + seconds
    delays: list[float] = []
    size = 0

    async def one() -> None:
        nonlocal size
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 << 20)
        while True:
            begun = time.perf_counter()
            body, status = await _ask(reader, writer, path)
            assert status == 200, (path, status, body[:200])
            delays.append(time.perf_counter() - begun)
            size = len(body)
            if time.monotonic() >= deadline:
                break
        writer.close()

    tasks: list[Awaitable[None]] = [one() for _ in range(CONNECTIONS)]
    await asyncio.gather(*tasks)
    return len(delays) / (time.monotonic() - started), delays, size
