"""Worker processes, a feed of numbers, and what must hold of the outputs, for the failure tests."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition

from streams import clients, topics
from streams.engine.stage import Record
from streams.guard import _end_with_guard
from streams.partition import partition_of
from streams.settings import Settings

MOVES_AGAIN_S = 15.0
VEHICLES = [f"bus-{i}" for i in range(12)]


class WorkerProcess:
    """A worker in a process of its own; `log` is what it printed."""

    def __init__(self, argv: list[str], settings: Settings, log: Path, **variables: str) -> None:
        self.log = log
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KORIDOR_")} | {
            "KORIDOR_BROKERS": settings.kafka.brokers,
            "KORIDOR_PREFIX": settings.kafka.prefix,
            "KORIDOR_PARTITIONS": str(settings.kafka.partitions),
            "KORIDOR_HOME": str(log.parent),
            "KORIDOR_WORKER_SNAPSHOT_EVERY_S": "0.5",
            "KORIDOR_WORKER_SESSION_TIMEOUT_S": "2",
            **variables,
        }
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *argv], env=environment, stdout=out, stderr=out, preexec_fn=_end_with_guard
            )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


class Pipeline:
    """One prefix on the broker, with clients to look at its topics."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.orders = folder / "orders"
        self.orders.mkdir()
        self.folder = folder
        self.workers: list[WorkerProcess] = []
        self.sent = 0
        self._feeding = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, folder: Path) -> AsyncIterator["Pipeline"]:
        self = cls(settings, folder)
        await clients.ensure_topics(settings)
        self.producer = clients.producer(settings.kafka)
        await self.producer.start()
        try:
            yield self
        finally:
            for worker in self.workers:
                if worker.process.poll() is None:
                    worker.kill()
            await self.producer.stop()

    def start_worker(self, **variables: str) -> WorkerProcess:
        """A worker with the counting stage."""
        return self.start([str(Path(__file__).with_name("worker.py")), str(self.orders)], **variables)

    def start(self, argv: list[str], **variables: str) -> WorkerProcess:
        """A worker of this command line."""
        worker = WorkerProcess(argv, self.settings, self.folder / f"worker-{len(self.workers)}.log", **variables)
        self.workers.append(worker)
        return worker

    def name(self, topic: str) -> str:
        return topics.full_name(self.settings.kafka.prefix, topic)

    @asynccontextmanager
    async def feed(self, seed: int, every_s: float = 0.02) -> AsyncIterator[None]:
        """Numbered records all the while, each of some vehicles of one partition."""
        rng = random.Random(seed)
        stop = asyncio.Event()

        async def send() -> None:
            while not stop.is_set():
                await self.send([rng.choice(VEHICLES) for _ in range(rng.randint(1, 5))])
                await asyncio.sleep(every_s)

        task = asyncio.create_task(send())
        try:
            yield
        finally:
            stop.set()
            await task

    async def send(self, vehicles: list[str]) -> None:
        """The next numbers, one for each vehicle, as one record for each partition concerned."""
        rows: dict[int, list[list[Any]]] = defaultdict(list)
        for vehicle in vehicles:
            rows[partition_of(vehicle, self.settings.kafka.partitions)].append([vehicle, self.sent])
            self.sent += 1
        for partition, numbers in rows.items():
            await self.producer.send_and_wait(self.name("pings"), orjson.dumps(numbers), partition=partition)

    async def read(self, topic: str, partitions: int) -> dict[int, list[Record]]:
        """All records of a topic, by partition."""
        reader = clients.reader(self.settings.kafka)
        await reader.start()
        try:
            out = {}
            for p in range(partitions):
                tp = TopicPartition(self.name(topic), p)
                reader.assign([tp])
                end = (await reader.end_offsets([tp]))[tp]
                reader.seek(tp, 0)
                out[p] = []
                while await reader.position(tp) < end:
                    for r in (await reader.getmany(tp, timeout_ms=500)).get(tp, ()):
                        out[p].append(Record(r.offset, r.timestamp / 1000.0, r.value))
            return out
        finally:
            await reader.stop()

    async def rows(self) -> list[list[Any]]:
        """Every output row of the counting stage, in the order of the log."""
        records = (await self.read("positions", 1))[0]
        return [row for r in records if not r.value.startswith(b"{") for row in orjson.loads(r.value)]

    async def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        """Wait for a condition (a function or one that returns an awaitable)."""
        deadline = time.monotonic() + timeout_s
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return
            for worker in self.workers:
                code = worker.process.poll()
                assert code in (None, 0, -signal.SIGKILL), f"a worker died ({code}):\n{worker.log.read_text()[-6000:]}"
            if time.monotonic() > deadline:
                logs = "\n\n".join(f"{w.log.name}:\n{w.log.read_text()[-3000:]}" for w in self.workers)
                raise AssertionError(f"{what}: not within {timeout_s} s\n{logs}")
            await asyncio.sleep(0.05)

    async def all_move(self, timeout_s: float = MOVES_AGAIN_S) -> None:
        """Wait until a number sent from now on has come out for every partition."""
        first = self.sent
        await self.send(VEHICLES)
        wanted = {vehicle: first + i for i, vehicle in enumerate(VEHICLES)}
        done: set[str] = set()
        reader = clients.reader(self.settings.kafka)
        await reader.start()
        try:
            tp = TopicPartition(self.name("positions"), 0)
            reader.assign([tp])
            reader.seek(tp, 0)
            totals = await self.sums_to(wanted)

            async def look() -> bool:
                for r in (await reader.getmany(tp, timeout_ms=100)).get(tp, ()):
                    if not r.value.startswith(b"{"):
                        done.update(v for v, _, total in orjson.loads(r.value) if total >= totals[v])
                return done >= set(VEHICLES)

            await self.until(look, f"outputs of every partition move; only {sorted(done)} did", timeout_s)
        finally:
            await reader.stop()

    async def sums_to(self, wanted: dict[str, int]) -> dict[str, int]:
        """Per vehicle the sum of its numbers up to the wanted one (orders to skip a number aside)."""
        totals: dict[str, int] = defaultdict(int)
        skip = self.skipped()
        for records in (await self.read("pings", self.settings.kafka.partitions)).values():
            for record in records:
                if not record.value.startswith(b"{"):
                    numbers = orjson.loads(record.value)
                    if not any(n in skip for _, n in numbers):
                        for v, n in numbers:
                            totals[v] += n if n <= wanted[v] else 0
        return totals

    def skipped(self) -> set[int]:
        """Numbers whose records the stage was told never to take."""
        order = self.orders / "raise-always"
        return {int(order.read_text())} if order.exists() else set()

    async def check(self, stage: Any) -> dict[str, int]:
        """Outputs, overwritten by identity, are those of the stage run in process; repeats are equal.

        `stage` is a counting stage without orders. Returns how many rows there were and how many were repeats.
        """
        skip = self.skipped()
        golden: dict[tuple[str, int], int] = {}
        for partition, records in (await self.read("pings", self.settings.kafka.partitions)).items():
            state = stage.fresh(partition)
            taken = [
                r for r in records if r.value.startswith(b"{") or not any(n in skip for _, n in orjson.loads(r.value))
            ]
            for out in stage.step(state, taken):
                golden |= {(vehicle, count): total for vehicle, count, total in orjson.loads(out.value)}

        async def complete() -> bool:
            return {(v, c) for v, c, _ in await self.rows()} >= set(golden)

        await self.until(complete, "everything sent has come out")
        seen: dict[tuple[str, int], int] = {}
        repeats = 0
        for vehicle, count, total in await self.rows():
            key = (vehicle, count)
            repeats += key in seen
            assert seen.setdefault(key, total) == total, f"{key} was said again with another value"
        assert seen == golden
        return {"rows": len(golden), "repeats": repeats}
