"""From a source's send to the receipt by a client of the live stream, at 4,300 vehicles reporting every second.

Broker, worker, API, source and client share this machine. Snapshots are on; a second worker joins after two fifths
of the time and leaves after three fifths, so that two rebalances are in the figures.
"""

import asyncio
import time
from collections import defaultdict

import numpy as np
import orjson

from benchmarks.harness import Benchmark
from benchmarks.processes import api, broker, kafka_settings, worker
from benchmarks.workload import drive
from streams import clients, messages, topics
from streams.messages import PING
from streams.partition import Partitioner


def run(bench: Benchmark) -> None:
    """Send for five minutes (short: 10 s) and look when each vehicle's update arrives."""
    seconds, warm_up = (10, 5) if bench.short else (300, 20)
    vehicles = 100 if bench.short else 4300
    work = drive(vehicles, float(seconds + warm_up), 1.0, made=bench.short)
    with broker() as brokers:
        settings = kafka_settings(brokers, "latency")
        with worker(settings, work.feed) as first, api(settings) as service:
            first.wait_ready()
            port = int(service.wait_ready()[1])
            sent, received = asyncio.run(
                _measure(settings, work.simulation.pings, port, seconds, warm_up, work.feed, bench.short)
            )
            memory = first.peak_rss
    delays = np.array(
        [at - sent[key] for key, at in received.items() if key in sent and sent[key] >= sent["from"]]  # type: ignore[index]
    )
    expected = sum(1 for at in sent.values() if at >= sent["from"])  # type: ignore[index]
    assert len(delays) > 0.5 * expected, f"{len(delays)} of {expected} pings were seen by the client"
    said = f"{work.conditions}; {seconds} s, {len(delays)} updates seen, one worker joined and left"
    for name, q in (("p50", 50), ("p99", 99), ("max", 100)):
        goal = "≤1 s" if name == "p99" else ""
        bench.add(f"source's send to live stream's client, {name}", float(np.percentile(delays, q)), "s", said, goal)
    bench.add("updates seen by the client", len(delays) / expected, "share", said)
    bench.add("worker's memory, both stages", memory / 1e6, "MB", said, "≤600 MB")


async def _measure(settings, pings, port, seconds, warm_up, feed, short):  # type: ignore[no-untyped-def]
    sent: dict[object, float] = {}
    received: dict[object, float] = {}
    client = asyncio.create_task(_listen(port, received))
    extra = None
    start = float(pings["timestamp"].min())
    slices = _by_second(pings, start)
    partitioner = Partitioner(settings.kafka.partitions)
    name = topics.full_name(settings.kafka.prefix, "pings")
    producer = clients.producer(settings.kafka)
    await producer.start()
    try:
        base = int(time.time()) + 1
        total = min(seconds + warm_up, max(slices) + 1)
        for tick in range(total):
            if tick == warm_up:
                sent["from"] = time.time()
            if not short and tick == warm_up + 2 * seconds // 5:
                extra = worker(settings, feed, env={"KORIDOR_WORKER_METRICS_PORT": "0"})
            if not short and tick == warm_up + 3 * seconds // 5 and extra is not None:
                extra.process.terminate()
            rows = slices.get(tick)
            if rows is None:
                continue
            batch = messages.take(pings, rows)
            batch["timestamp"] = np.full(len(rows), float(base + tick))
            for part, at in _by_partition(batch, partitioner):
                due = base + tick + part / settings.kafka.partitions
                await asyncio.sleep(max(0.0, due - time.time()))
                record = messages.take(batch, at)
                value = messages.encode(PING, {k: record[k] for k in PING})
                now = time.time()
                await producer.send(name, value, partition=part)
                for vehicle in record["vehicle_id"].tolist():
                    sent[vehicle, base + tick] = now
        await asyncio.sleep(5)
    finally:
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
        await producer.stop()
        if extra is not None:
            extra.stop()
    return sent, received


async def _listen(port: int, received: dict[object, float]) -> None:
    """A client of /v1/live that notes when it first hears of each ping."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 << 20)
        try:
            writer.write(
                b"GET /v1/live?types=vehicle HTTP/1.1\r\nHost: koridor\r\n"
                b"Accept: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            status = await reader.readline()
            if b" 200 " not in status:  # still loading
                await asyncio.sleep(1)
                continue
            while line := await reader.readline():
                if not line.startswith(b"data: "):
                    continue
                now = time.time()
                record = orjson.loads(line[6:])
                for one in record if isinstance(record, list) else [record]:
                    attributes = one.get("attributes")
                    if one.get("type") == "vehicle" and attributes:
                        received.setdefault((one["id"], int(attributes["timestamp"])), now)
        finally:
            writer.close()


def _by_second(pings, start):  # type: ignore[no-untyped-def]
    """Rows of each second, one per vehicle."""
    second = np.floor(pings["timestamp"] - start).astype(int)
    out: dict[int, dict[str, int]] = defaultdict(dict)
    for row, (tick, vehicle) in enumerate(zip(second.tolist(), pings["vehicle_id"].tolist(), strict=True)):
        out[tick].setdefault(vehicle, row)
    return {tick: np.array(list(rows.values())) for tick, rows in out.items()}


def _by_partition(batch, partitioner):  # type: ignore[no-untyped-def]
    part = np.array(partitioner(batch["vehicle_id"].tolist()))
    for p in np.unique(part):
        yield int(p), np.flatnonzero(part == p)
