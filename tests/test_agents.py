import asyncio
import logging
import math
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from aiokafka.errors import KafkaError
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from streams import messages
from streams.agents import RAW_LIMIT, PartitionRunner, StageRunners, engine_error
from streams.engine import state as codec
from streams.engine.stage import Output, Record
from streams.metrics import StageMetrics
from streams.settings import Worker, WrongSetting
from streams.snapshots import Snapshot, compressed


class Summing:
    """A stage whose output says the sum of all values so far; raises where it is told to."""

    name = "track"
    version = 1
    source = "pings"

    def __init__(self, raise_once: Sequence[int] = (), raise_always: Sequence[int] = ()) -> None:
        self.raise_once = set(raise_once)
        self.raise_always = set(raise_always)
        self.stepped: list[int] = []

    def fresh(self, partition: int) -> dict[str, Any]:
        return {"sum": 0}

    def step(self, state: dict[str, Any], records: Sequence[Record]) -> list[Output]:
        outputs = []
        for record in records:
            state["sum"] += int(record.value)
            self.stepped.append(record.offset)
            if record.offset in self.raise_once:
                self.raise_once.remove(record.offset)
                raise RuntimeError("once")
            if record.offset in self.raise_always:
                raise RuntimeError("always")
            outputs.append(Output("positions", b"%d" % state["sum"], record.offset))
        return outputs

    def dump(self, state: dict[str, Any]) -> bytes:
        return codec.pack(state)

    def load(self, data: bytes, partition: int) -> dict[str, Any]:
        return codec.unpack(data)

    def warm_up(self) -> None:
        pass


class FakeWires:
    """A log, outputs that are confirmed when the test says so, snapshots; a crash loses what is not confirmed."""

    def __init__(self, values: Sequence[int], first: int = 0) -> None:
        self.log = [Record(first + i, 1000.0 + i, b"%d" % v) for i, v in enumerate(values)]
        self.sent: list[tuple[str, bytes, int]] = []  # confirmed
        self.unconfirmed: list[tuple[str, bytes, int, asyncio.Future[Any]]] = []
        self.snapshot: Snapshot | None = None
        self.committed: int | None = None
        self.generation = 0
        self.failing = 0  # so many sends fail
        self.confirm_at_once = True
        self.reads: list[tuple[int, int]] = []

    async def read(self, partition: int, start: int, stop: int) -> AsyncIterator[list[Record]]:
        self.reads.append((start, stop))
        for i in range(0, len(self.log), 7):
            batch = [r for r in self.log[i : i + 7] if start <= r.offset < stop]
            if batch:
                yield batch

    async def bounds(self, partition: int) -> tuple[int, int]:
        return (self.log[0].offset, self.log[-1].offset + 1) if self.log else (0, 0)

    async def offset_at(self, partition: int, record_time: float) -> int | None:
        return next((r.offset for r in self.log if r.record_time >= record_time), None)

    async def send(self, topic: str, value: bytes, partition: int, record_time: float) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failing:
            self.failing -= 1
            future.set_exception(KafkaError("lost"))
        else:
            self.unconfirmed.append((topic, value, partition, future))
            if self.confirm_at_once:
                self.confirm()
        return future

    def confirm(self) -> None:
        for topic, value, partition, future in self.unconfirmed:
            self.sent.append((topic, value, partition))
            if not future.done():
                future.set_result(None)
        self.unconfirmed = []

    def crash(self) -> None:
        self.unconfirmed = []

    async def renew(self, generation: int) -> None:
        self.generation += 1

    async def load(self, partition: int) -> Snapshot | None:
        return self.snapshot

    async def save(self, partition: int, snapshot: Snapshot) -> int:
        self.snapshot = Snapshot.decode(snapshot.encode())
        return 1

    async def commit(self, partition: int, next_offset: int) -> None:
        self.committed = next_offset

    def positions(self) -> list[int]:
        return [int(v) for topic, v, _ in self.sent if topic == "positions"]


THREAD = ThreadPoolExecutor(1)
SETTINGS = Worker(snapshot_every_s=1e9, warm_up_s=1e12, batch_records=5)


def runner(stage: Summing, wires: FakeWires, settings: Worker = SETTINGS, network: str = "n") -> PartitionRunner:
    return PartitionRunner(stage, 3, 4, network, THREAD, wires, settings, StageMetrics(CollectorRegistry(), "track"))


def sums(wires: FakeWires, without: Sequence[int] = ()) -> dict[int, int]:
    """What must come out, by offset."""
    out, total = {}, 0
    for record in wires.log:
        if record.offset not in without:
            total += int(record.value)
            out[record.offset] = total
    return out


async def test_records_before_the_first_event_are_read_from_the_log():
    wires = FakeWires(range(1, 21))
    r = runner(Summing(), wires)
    await r.advance(wires.log[12:15])
    assert wires.positions() == list(sums(wires).values())[:15]
    assert wires.reads == [(0, 12)]


async def test_records_done_before_are_skipped_and_missing_ones_read():
    wires = FakeWires(range(1, 21))
    r = runner(Summing(), wires)
    await r.advance(wires.log[:6])
    await r.advance(wires.log[2:8])
    await r.advance([*wires.log[7:9], *wires.log[15:17]])  # what Faust may hand over after a rewind
    assert wires.positions() == list(sums(wires).values())[:17]
    assert r.next_offset == 17


async def test_a_step_that_raises_once_is_repeated_from_the_snapshot():
    wires = FakeWires(range(1, 21))
    stage = Summing(raise_once=[7])
    r = runner(stage, wires)
    await r.advance(wires.log[:3])
    await r.close()
    assert wires.committed == 3
    r = runner(stage, wires)
    await r.advance(wires.log[3:])
    assert wires.positions() == list(sums(wires).values())
    assert not [s for s in wires.sent if s[0] == "rejects"]


async def test_a_record_that_raises_always_goes_to_rejects_with_an_alert(caplog):
    wires = FakeWires(range(1, 21))
    stage = Summing(raise_always=[7, 11])
    r = runner(stage, wires)
    await r.advance(wires.log)
    golden = sums(wires, without=[7, 11])
    assert set(wires.positions()) == set(golden.values())
    assert r.next_offset == 20
    rejects = [(orjson.loads(v), p) for t, v, p in wires.sent if t == "rejects"]
    assert [(x["source_offset"], x["reason"], p) for x, p in rejects] == [
        ([7], ["ENGINE_ERROR"], 3),
        ([11], ["ENGINE_ERROR"], 3),
    ]
    alerts = [orjson.loads(v) for t, v, _ in wires.sent if t == "alerts"]
    assert [a["alert_id"] for a in alerts] == [["engine_error:pings:3:7"], ["engine_error:pings:3:11"]]
    assert stage.stepped.count(7) == 1 + SETTINGS.max_failures  # once in its batch, then alone
    assert "rejected as ENGINE_ERROR" in caplog.text


async def test_a_snapshot_waits_for_the_outputs_it_includes():
    wires = FakeWires(range(1, 21))
    wires.confirm_at_once = False
    r = runner(Summing(), wires)
    await r.advance(wires.log[:5])
    closing = asyncio.create_task(r.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert wires.snapshot is None
    assert wires.committed is None
    wires.confirm()
    await closing
    assert wires.snapshot is not None
    assert (wires.snapshot.next_offset, wires.committed) == (5, 5)


async def test_a_producer_that_fails_costs_a_repeat_and_nothing_else(monkeypatch):
    real_sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda s: real_sleep(0))
    wires = FakeWires(range(1, 21))
    settings = Worker(snapshot_every_s=0.0, warm_up_s=1e12, batch_records=5)
    r = runner(Summing(), wires, settings)
    await r.advance(wires.log[:5])
    wires.failing = 1
    for record in wires.log[5:]:
        await r.advance([record])
        await asyncio.sleep(0)
    assert wires.generation == 1
    await r.close()
    assert set(wires.positions()) == set(sums(wires).values())


async def test_a_snapshot_the_stage_cannot_use_warms_up_and_says_nothing_twice():
    class Newer(Summing):
        version = 2

        def load(self, data: bytes, partition: int) -> dict[str, Any]:
            raise ValueError("a state of version 1")

    wires = FakeWires([1] * 40)
    r = runner(Summing(), wires)
    await r.advance(wires.log[:30])
    await r.close()
    assert len(wires.positions()) == 30
    warm = Worker(snapshot_every_s=1e9, warm_up_s=10.0, batch_records=5)
    r = runner(Newer(), wires, warm, network="new")
    await r.advance(wires.log[30:35])
    # Ten seconds before record 29 is record 19: the new state has seen 19 to 34, and says 30 to 34.
    assert wires.positions()[30:] == [12, 13, 14, 15, 16]
    await r.close()
    assert wires.snapshot is not None
    assert (wires.snapshot.version, wires.snapshot.network, wires.snapshot.quiet_until) == (2, "new", 30)


async def test_a_state_carried_over_to_another_network_goes_on():
    wires = FakeWires([1] * 40)
    r = runner(Summing(), wires, network="old")
    await r.advance(wires.log[:30])
    await r.close()
    await runner(Summing(), wires, network="new").advance(wires.log[30:31])
    assert wires.positions()[-1] == 31


async def test_a_snapshot_that_cannot_be_read_warms_up(caplog):
    wires = FakeWires([1] * 10)
    wires.snapshot = Snapshot(5, 1, "n", 4, 1004.0, 0, b"garbage")
    await runner(Summing(), wires).advance(wires.log[9:])
    assert wires.positions() == [6, 7, 8, 9, 10]  # what the snapshot includes was said when it was made
    assert "the snapshot cannot be used" in caplog.text


async def test_a_topic_made_anew_does_not_wait_for_its_old_length():
    wires = FakeWires([1] * 10)
    wires.snapshot = Snapshot(500, 1, "n", 4, 99.0, 0, compressed(codec.pack({"sum": 7})))
    await runner(Summing(), wires).advance(wires.log[9:])
    assert wires.positions() == list(range(1, 11))


async def test_records_deleted_before_they_were_done_are_left_out(caplog):
    wires = FakeWires([1] * 10, first=100)
    wires.snapshot = Snapshot(50, 1, "n", 4, 99.0, 0, compressed(codec.pack({"sum": 7})))
    await runner(Summing(), wires).advance(wires.log[9:])
    assert wires.positions() == list(range(8, 18))
    assert "50 records were deleted" in caplog.text


async def test_snapshots_of_another_number_of_partitions_are_refused():
    wires = FakeWires([1] * 10)
    wires.snapshot = Snapshot(5, 1, "n", 16, 99.0, 0, b"")
    with pytest.raises(WrongSetting, match="made with 16 partitions, not 4"):
        await runner(Summing(), wires).advance(wires.log)


async def test_a_partition_given_up_stops_between_two_steps():
    wires = FakeWires([1] * 1000)
    r = runner(Summing(), wires)
    task = asyncio.create_task(r.advance(wires.log[999:]))
    while not wires.sent:
        await asyncio.sleep(0)
    await r.close()
    await task
    assert wires.snapshot is not None
    assert 0 < wires.snapshot.next_offset < 1000
    assert len(wires.positions()) == wires.snapshot.next_offset


async def test_a_step_holds_no_more_bytes_than_it_may_unless_one_record_has_more():
    class Measured(Summing):
        def step(self, state: dict[str, Any], records: Sequence[Record]) -> list[Output]:
            sizes.append([len(r.value) for r in records])
            return super().step(state, records)

    sizes: list[list[int]] = []
    wires = FakeWires([1, 10**19, 1, 1, 10**7, 10**7, 1, 1, 1, 1])
    settings = Worker(snapshot_every_s=1e9, warm_up_s=1e12, batch_records=3, batch_bytes=10)
    await runner(Measured(), wires, settings).advance(wires.log)
    assert sizes == [[1], [20], [1, 1, 8], [8, 1, 1], [1, 1]]


async def test_catching_up_says_how_far_behind(caplog):
    caplog.set_level(logging.INFO)
    wires = FakeWires([1] * 30)
    await runner(Summing(), wires).advance(wires.log[29:])
    assert "catching up," in caplog.text
    assert "caught up" in caplog.text


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=60),
    st.lists(
        st.tuples(
            st.sampled_from(["deliver", "skip", "rewind", "confirm", "crash", "move", "raise"]), st.integers(0, 9)
        ),
        max_size=30,
    ),
)
def test_no_row_is_lost_or_said_otherwise_whatever_happens(values, events):
    async def live() -> FakeWires:
        wires = FakeWires(values)
        wires.confirm_at_once = False
        stage = Summing()
        settings = Worker(snapshot_every_s=0.0, warm_up_s=1e12, batch_records=4)
        r = runner(stage, wires, settings)
        at = 0

        async def turn() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        async def advance(records: Sequence[Record]) -> None:
            """Outputs are confirmed only once the runner waits for them: after a step that raised."""
            task = asyncio.create_task(r.advance(records))
            for _ in range(200):
                await asyncio.sleep(0)
            while not task.done():
                wires.confirm()
                await asyncio.sleep(0)
            await task

        for what, n in events:
            if what == "deliver":
                await advance(wires.log[at : at + n])
                at = min(len(wires.log), at + n)
            elif what == "skip":
                at = min(len(wires.log), at + n)
            elif what == "rewind":
                at = max(0, at - n)
            elif what == "confirm":
                wires.confirm()
            elif what == "raise":
                stage.raise_once.add(at + n)
            elif what == "crash":
                wires.crash()
                r._drop()
                r = runner(stage, wires, settings)
            elif what == "move":
                wires.confirm()
                await turn()
                await r.close()
                r = runner(stage, wires, settings)
            await turn()
        wires.confirm_at_once = True
        wires.confirm()
        await r.advance(wires.log[-1:])
        await r.close()
        return wires

    logging.disable(logging.CRITICAL)
    try:
        wires = asyncio.run(live())
    finally:
        logging.disable(logging.NOTSET)
    golden = sums(wires)
    assert set(wires.positions()) == set(golden.values())
    assert wires.snapshot is not None
    assert wires.snapshot.next_offset == len(values)
    assert codec.unpack(wires.snapshot.state) == {"sum": sum(values)}


class Blocking(Summing):
    """A stage whose step waits at an offset until the test lets it go on."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.reached, self.go_on = threading.Event(), threading.Event()

    def step(self, state: dict[str, Any], records: Sequence[Record]) -> list[Output]:
        if any(r.offset == self.at for r in records):
            self.reached.set()
            assert self.go_on.wait(30.0)
        return super().step(state, records)


async def until(event: threading.Event) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, event.wait, 30.0)


async def test_while_a_step_works_the_loop_goes_on_and_sends_what_the_one_before_put_out():
    wires, stage = FakeWires([1] * 10), Blocking(at=5)
    advancing = asyncio.create_task(runner(stage, wires).advance(wires.log))
    await until(stage.reached)
    for _ in range(10):
        await asyncio.sleep(0)
    assert wires.positions() == list(sums(wires).values())[:5]
    stage.go_on.set()
    await advancing
    assert wires.positions() == list(sums(wires).values())


@pytest.mark.parametrize("at", [0, 5])
async def test_a_step_that_is_cancelled_is_neither_saved_nor_lost(at):
    wires, stage = FakeWires([1] * 10), Blocking(at)
    r = runner(stage, wires)
    advancing = asyncio.create_task(r.advance(wires.log))
    await until(stage.reached)
    advancing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await advancing
    stage.go_on.set()
    await r.close()
    assert wires.snapshot is None
    again = runner(stage, wires)
    await again.advance(wires.log)
    assert set(wires.positions()) == set(sums(wires).values())


async def test_only_partitions_that_are_ours_advance():
    wires = FakeWires([1] * 10)
    metrics = StageMetrics(CollectorRegistry(), "track")

    def make(partition: int) -> PartitionRunner:
        return PartitionRunner(Summing(), partition, 4, "n", THREAD, wires, SETTINGS, metrics)

    runners = StageRunners(make, metrics)
    await runners.assigned({3})
    await runners.advance({2: wires.log, 3: wires.log[:4]})
    assert len(wires.positions()) == 4
    await runners.revoked({3})
    assert wires.committed == 4
    await runners.advance({3: wires.log})
    assert len(wires.positions()) == 4


def test_the_raw_bytes_of_a_large_record_are_not_kept():
    small, large = (Record(1, 2.0, b"x" * n) for n in (RAW_LIMIT, RAW_LIMIT + 1))
    assert messages.decode(messages.REJECT, engine_error(Summing(), 0, small)[0].value)["raw_base64"][0] is not None
    reject = messages.decode(messages.REJECT, engine_error(Summing(), 0, large)[0].value)
    assert reject["raw_base64"][0] is None
    assert reject["raw_length"][0] == RAW_LIMIT + 1
    assert math.isnan(reject["event_timestamp"][0])
