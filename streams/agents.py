"""What keeps a stage exact on Kafka: restore, step, send, snapshot, and only then commit.

Faust hands over events and owns the group; nothing else of it is trusted. An agent of Faust that raises goes on with
the *next* event, acknowledged or not, and a rebalance rewinds to whatever was committed. So a `PartitionRunner` knows
itself which record comes next: records below it are done and skipped, records missing before an event are read from
the log by a reader of our own. Its state is dropped when a step raises or the partition moves, and comes back from
the newest snapshot. A snapshot is written after every output it includes is confirmed, and the group's offset is
committed after the snapshot. What is sent twice after a crash is the same bytes, because a stage is deterministic.

A stage works in a thread of its own: kernels run without the interpreter's lock, so the other stage and the network go
on meanwhile, and a long step holds up no heartbeat. One thread for each stage, because its buffers are shared by its
partitions.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol, TypeVar

import numpy as np
from aiokafka.errors import KafkaError

from streams import messages
from streams.engine.stage import Output, Record, Stage
from streams.metrics import StageMetrics
from streams.settings import Worker, WrongSetting
from streams.snapshots import Snapshot, compressed

_T = TypeVar("_T")

log = logging.getLogger(__name__)

RAW_LIMIT = 64 << 10
_MOST_UNCONFIRMED = 4000  # outputs on their way; beyond this a step waits: back-pressure, never dropping
_ENGINE_ERROR_ALERT_S = 3600.0
_SAY_EVERY_S = 10.0


class Wires(Protocol):
    """What a runner needs of the outside: its input log, its outputs, its snapshots."""

    @property
    def generation(self) -> int:
        """Of the producer; `renew` makes the next one."""

    def read(self, partition: int, start: int, stop: int) -> AsyncIterator[list[Record]]:
        """The records of the input partition with start <= offset < stop, in batches."""

    async def bounds(self, partition: int) -> tuple[int, int]:
        """First offset of the input partition that is still there, and the next one to be written."""

    async def offset_at(self, partition: int, record_time: float) -> int | None:
        """Offset of the first record at or after this record time, None if there is none."""

    async def send(self, topic: str, value: bytes, partition: int, record_time: float) -> "asyncio.Future[Any]":
        """Send to a topic of topics.py; the future is done when the broker has it.

        record_time  of the input: where a topic keeps the sender's stamp, outputs carry the time of what they came from
        """

    async def renew(self, generation: int) -> None:
        """Replace the producer of this generation, after it failed."""

    async def load(self, partition: int) -> Snapshot | None:
        """The newest snapshot."""

    async def save(self, partition: int, snapshot: Snapshot) -> int:
        """Write a snapshot, wait for the broker, return its size in bytes."""

    async def commit(self, partition: int, next_offset: int) -> None:
        """Tell the group; a hint for people and tools that watch the lag."""


class _StepFailed(Exception):
    """The step raised; the state is lost."""


class _Closing(Exception):
    """The partition is being given up; stop where you are."""


class PartitionRunner:
    """One input partition of one stage, between the moment it is assigned and the moment it moves away.

    partitions  of the input topic
    network     hash of the network the stage works with
    thread      where the stage works: one thread, shared by all partitions of the stage
    """

    def __init__(
        self,
        stage: Stage,
        partition: int,
        partitions: int,
        network: str,
        thread: Executor,
        wires: Wires,
        settings: Worker,
        metrics: StageMetrics,
    ) -> None:
        self.stage = stage
        self.partition = partition
        self.partitions = partitions
        self.network = network
        self.next_offset = 0
        self.record_time = math.nan
        self._thread = thread
        self._wires = wires
        self._settings = settings
        self._metrics = metrics
        self._state: Any = None
        self.counts: dict[str, int] = {}  # what the state has counted, rejects by reason among it
        self._generation = 0
        self._quiet_until = 0
        self._sending: asyncio.Task[None] | None = None  # what the last step put out
        self._pending: list[asyncio.Future[Any]] = []
        self._saving: asyncio.Task[None] | None = None
        self._saved = -1
        # Partitions assigned together would all dump their states in the same instant.
        self._snapshot_at = time.monotonic() + settings.snapshot_every_s * (1 + partition / max(1, partitions)) / 2
        self._snapshot_made = math.nan
        self._failures: dict[int, int] = {}
        self._alone: set[int] = set()  # offsets to be stepped one by one: one of them made a step raise
        self._closing = False
        self._said_at = -math.inf
        self._lock = asyncio.Lock()

    async def advance(self, records: Sequence[Record]) -> None:
        """Take the records of one delivery, whatever was delivered before.

        Returns when all of them are done, or the partition is being closed. Raises WrongSetting where the snapshots
        belong to another number of partitions.
        """
        async with self._lock:
            while records and not self._closing:
                try:
                    await self._advance(records)
                    return
                except _Closing:
                    return
                except asyncio.CancelledError:
                    self._drop()  # the thread goes on with this state, and nobody tells what comes of it
                    raise
                except _StepFailed:
                    await self._settle()
                    self._drop()
                except (KafkaError, OSError) as error:
                    log.warning("%s: the broker failed us (%r); restoring", self._name, error)
                    self._drop()
                    await self._wires.renew(self._generation)
                    await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Give the partition up: finish the record at hand, write a last snapshot, drop the state."""
        self._closing = True
        async with self._lock:
            await self._settle()
            try:
                if self._state is not None and self.next_offset != self._saved:
                    await self._save(await self._snapshot(), self._take_pending())
            except (KafkaError, OSError) as error:
                log.warning("%s: no last snapshot (%r); the next owner repeats some work", self._name, error)
            finally:
                self._drop()
                self._metrics.forget(self.partition)

    @property
    def restored(self) -> bool:
        """Whether the state is there; the next event brings it back otherwise."""
        return self._state is not None

    def observe(self, end: int | None, now: float) -> None:
        """Set the gauges: `end` is the next offset to be written to the partition, `now` POSIX seconds."""
        label = str(self.partition)
        if self._state is None:
            return
        if end is not None:
            self._metrics.lag.labels(label).set(max(0, end - self.next_offset))
        if not math.isnan(self.record_time):
            self._metrics.age.labels(label).set(now - self.record_time)
        if not math.isnan(self._snapshot_made):
            self._metrics.snapshot_age.labels(label).set(now - self._snapshot_made)

    @property
    def _name(self) -> str:
        return f"{self.stage.source}[{self.partition}]"

    async def _settle(self) -> None:
        """Let a snapshot that is on its way arrive."""
        if self._saving is not None:
            saving, self._saving = self._saving, None
            with contextlib.suppress(KafkaError, OSError):
                await saving

    def _drop(self) -> None:
        self._state = None
        self._pending = []
        for task in (self._sending, self._saving):
            if task is not None:
                task.cancel()
        self._sending = self._saving = None

    async def _advance(self, records: Sequence[Record]) -> None:
        if self._state is None:
            await self._restore()
        for run in _contiguous(records):
            if run[-1].offset < self.next_offset:
                continue
            if run[0].offset > self.next_offset:
                await self._catch_up(run[0].offset)
            await self._steps(run[max(0, self.next_offset - run[0].offset) :])

    async def _catch_up(self, stop: int) -> None:
        """Do the records that were not delivered: after a restore, and where Faust skipped some."""
        caught_up_from = time.time() - self.record_time
        async for batch in self._wires.read(self.partition, self.next_offset, stop):
            await self._steps(batch)
            self._say_how_far_behind()
        self.next_offset = max(self.next_offset, stop)
        if self._said_at > -math.inf:
            self._said_at = -math.inf
            log.info("%s: caught up%s", self._name, f" ({caught_up_from / 60:.0f} min)" if caught_up_from > 60 else "")

    def _say_how_far_behind(self) -> None:
        behind_s = time.time() - self.record_time
        if behind_s > 60.0 and time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            log.info("%s: catching up, %.0f min behind", self._name, behind_s / 60)

    async def _steps(self, records: Sequence[Record]) -> None:
        """Step through records. While one step works, what the one before it put out is being sent."""
        at = 0
        try:
            while at < len(records):
                if self._closing:
                    raise _Closing
                if self._failures.get(records[at].offset, 0) >= self._settings.max_failures:
                    await self._give_up(records[at])
                    at += 1
                else:
                    n = self._chunk(records[at : at + self._settings.batch_records])
                    await self._step(records[at : at + n])
                    at += n
                await self._maybe_snapshot()
        finally:
            await self._sent()

    def _chunk(self, records: Sequence[Record]) -> int:
        """How many of these the next step takes: one where a step raised, else what is not too much to hold at once."""
        size = 0
        for n, record in enumerate(records):
            size += len(record.value)
            if n and (size > self._settings.batch_bytes or record.offset in self._alone):
                return n
            if record.offset in self._alone:
                return 1
        return len(records)

    async def _step(self, records: Sequence[Record]) -> None:
        try:
            outputs, took_s = await self._in_thread(self._timed_step, self._state, records)
        except Exception:
            first, last = records[0].offset, records[-1].offset
            self._metrics.failures.inc()
            if len(records) == 1:
                self._failures[first] = self._failures.get(first, 0) + 1
            self._alone.update(r.offset for r in records)
            log.exception("%s: the step raised at offsets %d to %d", self._name, first, last)
            raise _StepFailed from None
        self._metrics.step(took_s)
        self._metrics.records_in.labels(str(self.partition)).inc(len(records))
        self._note_counts()
        self._done(records[-1])
        await self._sent()
        self._sending = asyncio.create_task(self._send(outputs, {r.offset: r.record_time for r in records}))
        self._sending.add_done_callback(_retrieve)

    def _timed_step(self, state: Any, records: Sequence[Record]) -> tuple[list[Output], float]:
        started = time.perf_counter()
        outputs = self.stage.step(state, records)
        return outputs, time.perf_counter() - started

    async def _in_thread(self, call: Callable[..., _T], *args: Any) -> _T:
        """Have the stage's thread do this, while the loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _note_counts(self) -> None:
        """A copy, because the thread may be counting when somebody looks."""
        self.counts = dict(getattr(self._state, "counts", {}))

    def _done(self, record: Record) -> None:
        self.next_offset = record.offset + 1
        self.record_time = record.record_time

    async def _send(self, outputs: Sequence[Output], record_times: Mapping[int, float]) -> None:
        for out in outputs:
            if out.offset < self._quiet_until:
                continue
            partition = out.partition
            if partition is None:
                partition = self.partition if out.topic == "rejects" else 0
            future = await self._wires.send(out.topic, out.value, partition, record_times[out.offset])
            future.add_done_callback(_retrieve)
            self._pending.append(future)
            self._metrics.records_out.labels(out.topic).inc()
            self._metrics.bytes_out.labels(out.topic).inc(len(out.value))
        if len(self._pending) > _MOST_UNCONFIRMED:
            half = len(self._pending) // 2
            await asyncio.gather(*self._pending[:half])
            del self._pending[:half]

    async def _sent(self) -> None:
        """Wait until the producer has what the last step put out."""
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await sending

    async def _give_up(self, record: Record) -> None:
        """A record that makes every step raise must not hold up the others."""
        await self._sent()
        log.error("%s: offset %d is rejected as ENGINE_ERROR", self._name, record.offset)
        self._metrics.engine_errors.inc()
        await self._send(engine_error(self.stage, self.partition, record), {record.offset: record.record_time})
        self._done(record)
        self._snapshot_at = 0.0  # so that a crash now does not go through the failures again

    async def _maybe_snapshot(self) -> None:
        if self._saving is not None and self._saving.done():
            saving, self._saving = self._saving, None
            saving.result()
        if self._saving is None and time.monotonic() >= self._snapshot_at and self.next_offset != self._saved:
            self._snapshot_at = time.monotonic() + self._settings.snapshot_every_s
            await self._sent()
            self._saving = asyncio.create_task(self._save(await self._snapshot(), self._take_pending()))
            self._saving.add_done_callback(_retrieve)

    async def _snapshot(self) -> Snapshot:
        return Snapshot(
            next_offset=self.next_offset,
            version=self.stage.version,
            network=self.network,
            partitions=self.partitions,
            record_time=self.record_time,
            quiet_until=self._quiet_until,
            compressed=await self._in_thread(self._dump, self._state),
        )

    def _dump(self, state: Any) -> bytes:
        return compressed(self.stage.dump(state))

    def _take_pending(self) -> "list[asyncio.Future[Any]]":
        pending, self._pending = self._pending, []
        return pending

    async def _save(self, snapshot: Snapshot, outputs: "list[asyncio.Future[Any]]") -> None:
        await asyncio.gather(*outputs)
        size = await self._wires.save(self.partition, snapshot)
        self._saved = snapshot.next_offset
        self._snapshot_made = time.time()
        # Whatever failed below has been done, and is not done again.
        self._failures = {o: n for o, n in self._failures.items() if o >= snapshot.next_offset}
        self._alone = {o for o in self._alone if o >= snapshot.next_offset}
        self._metrics.snapshots.inc()
        self._metrics.snapshot_bytes.labels(str(self.partition)).set(size)
        await self._wires.commit(self.partition, snapshot.next_offset)

    async def _restore(self) -> None:
        started = time.perf_counter()
        self._generation = self._wires.generation
        self._metrics.restores.inc()
        snapshot = await self._wires.load(self.partition)
        begin, end = await self._wires.bounds(self.partition)
        if snapshot is not None and snapshot.partitions != self.partitions:
            raise WrongSetting(
                f"the snapshots of {self.stage.name} were made with {snapshot.partitions} partitions, not "
                f"{self.partitions}: drain the topic with the old number, then start anew with another KORIDOR_PREFIX"
            )
        if snapshot is not None and snapshot.next_offset > end:
            log.warning("%s: was made anew since the last snapshot, which is not used", self._name)
            snapshot = None
        state = None if snapshot is None else await self._in_thread(self._state_of, snapshot)
        if snapshot is not None and state is not None:
            self._state = state
            self.next_offset = self._saved = snapshot.next_offset
            self.record_time = snapshot.record_time
            self._quiet_until = snapshot.quiet_until
            log.info(
                "%s: restored at offset %d in %.0f ms, %d records to do",
                *(self._name, self.next_offset, 1e3 * (time.perf_counter() - started), end - self.next_offset),
            )
        else:
            await self._warm_up(snapshot, end)
        if self.next_offset < begin:
            log.warning("%s: %d records were deleted before they were done", self._name, begin - self.next_offset)
            self.next_offset = begin
        self._note_counts()

    def _state_of(self, snapshot: Snapshot) -> Any:
        """The state of a snapshot, None where this version of the stage cannot go on with it."""
        try:
            return self.stage.load(snapshot.state, self.partition)
        except Exception as error:  # whatever is wrong with old bytes, it must not stop a deployment
            log.warning("%s: the snapshot cannot be used (%r)", self._name, error)
            return None

    async def _warm_up(self, outdated: Snapshot | None, end: int) -> None:
        """Start with an empty state, a while back in record time.

        With an outdated snapshot what it includes has been said before: those records only warm up the state.
        """
        self._state = self.stage.fresh(self.partition)
        self._saved = -1
        since = time.time()
        self._quiet_until = 0
        if outdated is not None:
            self._quiet_until = max(outdated.next_offset, outdated.quiet_until)
            if not math.isnan(outdated.record_time):
                since = outdated.record_time
        start = await self._wires.offset_at(self.partition, since - self._settings.warm_up_s)
        self.next_offset = end if start is None else start
        if outdated is not None:
            self.next_offset = min(self.next_offset, self._quiet_until)
        self.record_time = math.nan
        if end > self.next_offset:
            log.info(
                "%s: no usable snapshot; warming up from up to %.0f min back, %d records to do",
                *(self._name, self._settings.warm_up_s / 60, end - self.next_offset),
            )


def _contiguous(records: Sequence[Record]) -> list[Sequence[Record]]:
    """Runs of consecutive offsets."""
    if records[-1].offset - records[0].offset == len(records) - 1:
        return [records]
    runs = []
    start = 0
    for i in range(1, len(records) + 1):
        if i == len(records) or records[i].offset != records[i - 1].offset + 1:
            runs.append(records[start:i])
            start = i
    return runs


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """A failure is noticed by whoever waits for the outputs; nobody may after a restore."""
    if not future.cancelled():
        future.exception()


def engine_error(stage: Stage, partition: int, record: Record) -> list[Output]:
    """The reject and the alert of a record that the engine cannot take."""
    raw = record.value
    reject = {name: messages.column(kind, [None]) for name, kind in messages.REJECT.items()}
    reject |= {
        "reason": messages.column(messages.Kind.ID, ["ENGINE_ERROR"]),
        "source_topic": messages.column(messages.Kind.ID, [stage.source]),
        "source_partition": np.array([partition]),
        "source_offset": np.array([record.offset]),
        "source_index": np.array([0]),
        "record_time": np.array([record.record_time]),
        "raw_length": np.array([len(raw)]),
        "raw_sha256": messages.column(messages.Kind.ID, [hashlib.sha256(raw).hexdigest()]),
    }
    if len(raw) <= RAW_LIMIT:
        reject["raw_base64"] = messages.column(messages.Kind.ID, [base64.b64encode(raw).decode()])
    alert = {name: messages.column(kind, [None]) for name, kind in messages.ALERT.items()}
    alert |= {
        name: messages.column(messages.ALERT[name], [value])
        for name, value in {
            "alert_id": f"engine_error:{stage.source}:{partition}:{record.offset}",
            "revision": 0,
            "kind": "engine_error",
            "severity": "WARNING",
            "active_from": record.record_time,
            "active_to": record.record_time + _ENGINE_ERROR_ALERT_S,
            "cause": "TECHNICAL_PROBLEM",
            "effect": "UNKNOWN_EFFECT",
            "header": f"A record of {stage.source} could not be processed",
            "description": f"Partition {partition}, offset {record.offset}: the {stage.name} stage failed on it "
            "repeatedly. The record is kept in `rejects`; others go on.",
        }.items()
    }
    return [
        Output("rejects", messages.encode(messages.REJECT, reject), record.offset, partition),
        Output("alerts", messages.encode(messages.ALERT, alert), record.offset),
    ]


class StageRunners:
    """All partitions of one stage that this worker owns."""

    def __init__(self, make: Callable[[int], PartitionRunner], metrics: StageMetrics) -> None:
        self._make = make
        self._metrics = metrics
        self._runners: dict[int, PartitionRunner] = {}

    @property
    def owned(self) -> list[int]:
        """The input partitions of this worker."""
        return sorted(self._runners)

    @property
    def waiting(self) -> list[int]:
        """Those of them that have not been restored yet: the first event does that."""
        return sorted(p for p, runner in self._runners.items() if not runner.restored)

    async def assigned(self, partitions: set[int]) -> None:
        """A rebalance is over: these are ours now, each to be restored anew, and no others."""
        await self.revoked(set(self._runners))
        self._runners = {p: self._make(p) for p in partitions}
        self._metrics.owned.set(len(self._runners))

    async def revoked(self, partitions: set[int]) -> None:
        """These are being given up: snapshot and drop."""
        leaving = [runner for p in partitions if (runner := self._runners.pop(p, None)) is not None]
        self._metrics.owned.set(len(self._runners))
        await asyncio.gather(*(runner.close() for runner in leaving))

    async def advance(self, deliveries: dict[int, list[Record]]) -> None:
        """Hand records to their partitions; those of a partition that is not ours any more are left alone."""
        for partition, records in deliveries.items():
            if runner := self._runners.get(partition):
                await runner.advance(records)

    def observe(self, end_of: Callable[[int], int | None]) -> None:
        """Set the gauges of every partition."""
        now = time.time()
        counted: Counter[str] = Counter()
        for partition, runner in self._runners.items():
            counted.update(runner.counts)
            end: int | None = None
            with contextlib.suppress(Exception):  # between two assignments the consumer knows no end
                end = end_of(partition)
            runner.observe(end, now)
        for kind, count in counted.items():
            self._metrics.counted.labels(kind).set(count)


def by_partition(events: Sequence[Any]) -> dict[int, list[Record]]:
    """The records of Faust events, by input partition, in order."""
    out: dict[int, list[Record]] = {}
    for event in events:
        message = event.message
        out.setdefault(message.partition, []).append(Record(message.offset, message.timestamp, message.value or b""))
    return out
