"""Track and city on the real broker, on a drive: workers join, leave and are killed; every byte stays the same."""

import asyncio
import os
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl
from aiokafka import TopicPartition

from fixtures.bundled import CITY, SMALL
from streams import clients, snapshots
from streams.engine.city import City
from streams.engine.stage import Stage
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.messages import HEARTBEAT
from streams.partition import Partitioner
from streams.replay.play import records_of
from streams.settings import Settings
from streams.sources.recording import to_columns
from tests.broker.pipeline import Pipeline, WorkerProcess

SEED = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
COLD_S = 240.0  # a first start on a machine compiles every kernel
WARM_S = 60.0
TICKS = 160
WORKER = ["-c", "from streams.cli import main; main()", "worker", "--gtfs", str(CITY)]


def ticks(partitions: int) -> Iterator[list[tuple[int, bytes]]]:
    """The recording's records, five seconds of it at a time."""
    frame = pl.read_parquet(SMALL / "pings.parquet")
    partitioner = Partitioner(partitions)
    for _, part in frame.group_by((pl.col("record_time") // 5).alias("tick"), maintain_order=True):
        yield [(partition, value) for partition, value, _ in records_of(to_columns(part), partitioner, 1000)]


async def next_offsets(pipeline: Pipeline, stage: str, partitions: int) -> dict[int, int]:
    """Where each partition's last snapshot stands."""
    reader = clients.reader(pipeline.settings.kafka)
    await reader.start()
    try:
        found = {p: await snapshots.load(reader, pipeline.name(f"state-{stage}"), p) for p in range(partitions)}
        return {p: 0 if s is None else s.next_offset for p, s in found.items()}
    finally:
        await reader.stop()


async def check(pipeline: Pipeline, stage: Stage, partitions: int) -> int:
    """What the topics hold is exactly what the stage says in process about the same log; how many records.

    Equal sets of bytes: nothing missing, nothing else, and whatever was sent twice was the same.
    """
    golden: dict[str, set[bytes]] = {}
    done = await next_offsets(pipeline, stage.name, partitions)
    for partition, records in (await pipeline.read(stage.source, partitions)).items():
        state = stage.fresh(partition)
        for out in stage.step(state, [r for r in records if r.offset < done[partition]]):
            golden.setdefault(out.topic, set()).add(out.value)
    for topic, values in golden.items():
        count = pipeline.settings.kafka.partitions if topic in ("pings", "rejects") else 1
        sent = {r.value for p in (await pipeline.read(topic, count)).values() for r in p} - {HEARTBEAT}
        assert sent == values, (
            f"{stage.name}: {len(values - sent)} records of {topic} missing, {len(sent - values)} else"
        )
    return sum(map(len, golden.values()))


async def test_a_drive_while_workers_come_and_go(settings: Settings, tmp_path: Path):
    print(f"KILL_SEED={SEED}")
    rng = random.Random(SEED)
    async with Pipeline.open(settings, tmp_path) as pipeline:

        async def joined(worker: WorkerProcess, timeout_s: float) -> None:
            await pipeline.until(lambda: worker.said("track: owns partitions ["), "a worker joined", timeout_s)

        first = pipeline.start(WORKER)
        await joined(first, COLD_S)
        second: WorkerProcess | None = None
        third: WorkerProcess | None = None
        events = sorted(rng.sample(range(15, TICKS - 5), 3))
        for n, tick in enumerate(islice(ticks(settings.kafka.partitions), TICKS)):
            for partition, value in tick:
                await pipeline.producer.send(pipeline.name("pings"), value, partition=partition)
            await pipeline.producer.flush()
            await asyncio.sleep(0.03)  # the drive in some hundredth of its time
            if n == events[0]:
                second = pipeline.start(WORKER)
                await joined(second, WARM_S)
            elif n == events[1]:
                first.kill()
                third = pipeline.start(WORKER)
            elif n == events[2]:
                assert second is not None
                assert third is not None
                await joined(third, WARM_S)
                assert second.terminate() == 0
        assert third is not None
        ends = await ends_of_pings(pipeline)
        await pipeline.until(lambda: past(pipeline, ends), "every ping was taken", WARM_S)
        assert third.terminate() == 0

        network = load(CITY)
        assert await check(pipeline, Track(network, settings), settings.kafka.partitions) > 400
        assert await check(pipeline, City(network, settings), 1) > 100


async def ends_of_pings(pipeline: Pipeline) -> dict[int, int]:
    """The next offset of each partition, now."""
    reader = clients.reader(pipeline.settings.kafka)
    await reader.start()
    try:
        parts = [TopicPartition(pipeline.name("pings"), p) for p in range(pipeline.settings.kafka.partitions)]
        return {tp.partition: end for tp, end in (await reader.end_offsets(parts)).items()}
    finally:
        await reader.stop()


async def past(pipeline: Pipeline, ends: dict[int, int]) -> bool:
    """Whether the snapshots of track are past these offsets."""
    done = await next_offsets(pipeline, "track", len(ends))
    return all(done[p] >= end for p, end in ends.items())
