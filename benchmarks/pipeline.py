"""Pings per second through Kafka and one worker, or one for each stage, beside an idiomatic agent on the same topic.

The pings lie in the topic before the worker starts, stamped with the recording's record time (CreateTime), so that
the city makes its statements as often as it does live: an estimate per ping and stop ahead. They lie in one partition:
of several that are caught up with, one would run ahead of the others' time. The clock runs from the last look
without a position to the last output. Snapshots are on, heartbeats off: they would carry the wall clock's time.
"""

import asyncio
import time
from collections.abc import Callable

import numpy as np
import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from benchmarks.harness import Benchmark
from benchmarks.processes import Process, broker, kafka_settings, worker
from benchmarks.workload import Workload, drive
from streams import clients, messages, topics
from streams.messages import PING
from streams.partition import Partitioner
from streams.settings import Settings

QUIET_S = 8.0  # no output for this long: done
GIVE_UP_S = 420.0
CHAIN = ("positions", "headways", "arrivals", "congestion", "indicators", "alerts")
IN_RECORDED_TIME = {"KORIDOR_WORKER_HEARTBEAT_S": "0", "KORIDOR_WORKER_WARM_UP_S": "1e10"}


def run(bench: Benchmark) -> None:
    """Track alone and the whole chain for records of 1,000, 100 and 1 ping; then the peer on single pings."""
    work = drive(200, 420.0, made=True) if bench.short else drive(4300, 1200.0)
    sizes = ((1000, 1.0), (100, 0.6), (1, 0.05))
    rates: dict[tuple[str, int], float] = {}
    with broker() as brokers:
        for stages, watched in (("track", ("positions",)), ("track,city", CHAIN)):
            for size, share in sizes if not bench.short else sizes[1:2]:
                settings = kafka_settings(brokers, f"{stages.replace(',', '-')}-{size}", partitions=1)
                pings, records = asyncio.run(_fill(settings, work, size, share))
                with worker(settings, work.feed, stages, IN_RECORDED_TIME) as process:
                    rate, outputs = _watch(settings, watched, pings, records)
                    memory = process.peak_rss
                what = "track alone" if stages == "track" else "whole chain"
                assert outputs["positions"] >= 0.99 * records, (outputs, records)
                assert stages == "track" or min(outputs[t] for t in ("headways", "arrivals", "congestion")) > 0, outputs
                goal = {("track", 1000): "≥100k", ("track", 100): "≥100k"}.get((stages, size), "")
                goal = {("track,city", 1000): "≥60k", ("track,city", 100): "≥50k"}.get((stages, size), goal)
                rates[stages, size] = rate
                said = f"{work.conditions}; {pings} pings in {records} records"
                bench.add(f"{what}, records of {size:,}", rate, "pings/s", said, goal)
                bench.add(f"{what}, records of {size:,}: worker's memory", memory / 1e6, "MB", said, "≤600 MB")
        if not bench.short:
            _stage_by_stage(bench, brokers, work)
        settings = kafka_settings(brokers, "peer", partitions=1)
        pings, records = asyncio.run(_fill(settings, work, 1, 0.005 if not bench.short else 0.1))
        names = [topics.full_name("peer", name) for name in ("pings", "positions")]
        with Process(["-m", "benchmarks.idiomatic", brokers, *names, str(work.feed)], {}):
            rate, _ = _watch(settings, ("positions",), pings, records)
        bench.add("idiomatic Faust agent (Record, shapely, h3)", rate, "pings/s", f"{pings} pings, one a record")
    chain = rates.get(("track,city", 1000), rates.get(("track,city", 100), 0.0))
    bench.add("whole chain / idiomatic Faust agent", chain / rate, "x", "same run, same machine", "≥20")


def _stage_by_stage(bench: Benchmark, brokers: str, work: Workload) -> None:
    """The whole chain for records of 100, each stage in a worker, and so with an interpreter, of its own."""
    settings = kafka_settings(brokers, "stage-by-stage", partitions=1)
    pings, records = asyncio.run(_fill(settings, work, 100, 0.6))
    with worker(settings, work.feed, "city", IN_RECORDED_TIME) as city:
        city.wait_ready()  # the clock starts with the first position
        with worker(settings, work.feed, "track", IN_RECORDED_TIME) as track:
            rate, outputs = _watch(settings, CHAIN, pings, records)
            memory = city.peak_rss + track.peak_rss
    assert outputs["positions"] >= 0.99 * records, (outputs, records)
    assert min(outputs[t] for t in ("headways", "arrivals", "congestion")) > 0, outputs
    said = f"{work.conditions}; {pings} pings in {records} records"
    bench.add("whole chain, a worker for each stage, records of 100", rate, "pings/s", said)
    bench.add("whole chain, a worker for each stage, records of 100: memory of both", memory / 1e6, "MB", said)


async def _fill(settings: Settings, work: Workload, size: int, share: float) -> tuple[int, int]:
    """Put the first `share` of the pings into the topic, `size` to a record; how many pings and records."""
    await clients.ensure_topics(settings)
    prefix = settings.kafka.prefix
    admin = AIOKafkaAdminClient(**clients.connection(settings.kafka))
    await admin.start()
    stamped = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}  # a recording is older than that
    for topic in topics.ALL:
        if not topic.compacted:
            name = topics.full_name(prefix, topic.name)
            resource = ConfigResource(ConfigResourceType.TOPIC, name, configs={**topic.config(), **stamped})
            await admin.alter_configs([resource])
    await admin.close()
    pings = work.simulation.pings
    # Late pings that come when no bus reports any more would make a hole in record time, and statements in it.
    while_driven = np.searchsorted(pings["record_time"], pings["record_time"][0] + work.duration_s)
    n = int(while_driven * share)
    partition = np.array(Partitioner(settings.kafka.partitions)(pings["vehicle_id"][:n].tolist()))
    record_time = pings["record_time"][:n]
    producer = clients.producer(settings.kafka)
    await producer.start()
    source = topics.full_name(prefix, "pings")
    records = []
    for p in range(settings.kafka.partitions):
        rows = np.flatnonzero(partition == p)
        for at in range(0, len(rows), size):
            some = rows[at : at + size]
            batch = {k: pings[k][some] for k in PING}
            if size == 1:
                one = {k: v[0] for k, v in messages.to_wire(PING, batch).items()}
                value = orjson.dumps(
                    {k: v for k, v in one.items() if v is not None and v == v}, option=orjson.OPT_SERIALIZE_NUMPY
                )
            else:
                value = messages.encode(PING, batch)
            records.append((float(record_time[some[-1]]), p, value))
    records.sort(key=lambda r: r[0])
    for stamp, p, value in records:
        await producer.send(source, value, partition=p, timestamp_ms=int(stamp * 1000))
    await producer.stop()
    return n, len(records)


def _watch(settings: Settings, names: tuple[str, ...], pings: int, records: int) -> tuple[float, dict[str, int]]:
    """Pings per second from the last look without a position to the last output; outputs by topic."""
    return asyncio.run(_watching(settings, names, pings, records, time.perf_counter))


async def _watching(
    settings: Settings, names: tuple[str, ...], pings: int, records: int, clock: Callable[[], float]
) -> tuple[float, dict[str, int]]:
    reader = clients.reader(settings.kafka)
    await reader.start()
    tps = {name: TopicPartition(topics.full_name(settings.kafka.prefix, name), 0) for name in names}
    start = clock()
    begun, changed_at, seen = start, start, dict.fromkeys(names, 0)
    try:
        while clock() - start < GIVE_UP_S:
            ends = await reader.end_offsets(list(tps.values()))
            now, counts = clock(), {name: ends[tp] for name, tp in tps.items()}
            if counts != seen:
                seen, changed_at = counts, now
            if not counts["positions"]:
                begun = now
            elif now - changed_at > QUIET_S and counts["positions"] >= 0.99 * records:
                return pings / (changed_at - begun), counts
            await asyncio.sleep(0.05)
    finally:
        await reader.stop()
    raise RuntimeError(f"not done after {GIVE_UP_S:.0f} s: {seen} of {records} records")
