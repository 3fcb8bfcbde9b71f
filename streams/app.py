"""The worker: one Faust app per stage, and the wires between Kafka and the stages.

Each stage is a consumer group of its own (`<prefix>-track`, `<prefix>-city`), so workers may run either or both, and
any number of them share the partitions. What makes it exact is in agents.py; here is only what talks to the outside.
"""

import asyncio
import contextlib
import logging
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiokafka
import click
import faust
from aiokafka import TopicPartition
from faust.types import TP
from mode.utils.queues import ThrowableQueue
from prometheus_client import CollectorRegistry

from streams import clients, heap, metrics, snapshots, topics
from streams.agents import PartitionRunner, StageRunners, by_partition
from streams.broker import home
from streams.engine.stage import Record, Stage
from streams.messages import HEARTBEAT
from streams.settings import Settings, WrongSetting

log = logging.getLogger(__name__)

_BUFFERED_EVENTS = 32  # between Faust's consumer and the agent: a record of a thousand positions has half a megabyte
_SWITCH_S = 0.001  # a kernel that is done waits so long for the interpreter; the default, 5 ms, is as long as its work
_NEVER = 0.5  # pressure begins at size / this: where the buffer would be twice as full as it can be
_GIVE_UP_STOPPING_S = 15.0


class Outbox:
    """The worker's one producer, replaced when it fails for good."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._lock = asyncio.Lock()
        self._producer: aiokafka.AIOKafkaProducer | None = None
        self.generation = 0

    @property
    def producer(self) -> aiokafka.AIOKafkaProducer:
        """The producer in use."""
        if self._producer is None:
            raise aiokafka.errors.ProducerClosed
        return self._producer

    async def start(self) -> None:
        """Connect."""
        producer = clients.producer(self._kafka)
        await producer.start()
        self._producer = producer

    async def stop(self) -> None:
        """Send what is left and disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            with contextlib.suppress(TimeoutError, aiokafka.errors.KafkaError):
                await asyncio.wait_for(producer.stop(), 5.0)

    async def renew(self, generation: int) -> None:
        """Replace the producer unless that has been done since `generation`."""
        async with self._lock:
            if self.generation == generation:
                self.generation += 1
                await self.stop()
                await self.start()

    async def send(
        self, topic: str, value: bytes, partition: int, key: bytes | None = None, record_time: float | None = None
    ) -> "asyncio.Future[Any]":
        """Send; the future is done when the broker has it. Stamped with `record_time`, else the present."""
        stamp = None if record_time is None else int(record_time * 1000)
        future: asyncio.Future[Any] = await self.producer.send(
            topic, value, key=key, partition=partition, timestamp_ms=stamp
        )
        return future


class KafkaWires:
    """One stage's wires (see agents.Wires)."""

    def __init__(self, settings: Settings, stage: Stage, outbox: Outbox, app: faust.App) -> None:
        prefix = settings.kafka.prefix
        self._names = {topic.name: topics.full_name(prefix, topic.name) for topic in topics.ALL}
        self._input = self._names[stage.source]
        self._state_topic = self._names[f"state-{stage.name}"]
        self._outbox = outbox
        self._app = app
        self._reader = clients.reader(settings.kafka)
        self._state_reader = clients.reader(settings.kafka)
        # Each reader is assigned to one partition at a time.
        self._reading, self._loading = asyncio.Lock(), asyncio.Lock()

    async def start(self) -> None:
        """Connect the readers."""
        for reader, topic in ((self._reader, self._input), (self._state_reader, self._state_topic)):
            await reader.start()
            clients.assign_paused(reader, TopicPartition(topic, 0))

    async def stop(self) -> None:
        """Disconnect the readers."""
        await self._reader.stop()
        await self._state_reader.stop()

    @property
    def generation(self) -> int:
        """Of the producer."""
        return self._outbox.generation

    async def renew(self, generation: int) -> None:
        """Replace the producer of this generation."""
        await self._outbox.renew(generation)

    async def send(self, topic: str, value: bytes, partition: int, record_time: float) -> "asyncio.Future[Any]":
        """Send to a topic of topics.py."""
        return await self._outbox.send(self._names[topic], value, partition, record_time=record_time)

    async def read(self, partition: int, start: int, stop: int) -> AsyncIterator[list[Record]]:
        """Records of the input partition, start <= offset < stop."""
        tp = TopicPartition(self._input, partition)
        async with self._reading:
            clients.assign_paused(self._reader, tp)
            self._reader.seek(tp, start)
            self._reader.resume(tp)
            try:
                while await self._reader.position(tp) < stop:
                    got = await self._reader.getmany(tp, timeout_ms=1000, max_records=1000)
                    batch = [
                        Record(r.offset, r.timestamp / 1000.0, r.value or b"")
                        for r in got.get(tp, ())
                        if r.offset < stop
                    ]
                    if batch:
                        yield batch
            finally:
                self._reader.pause(tp)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """First offset of the input partition, and the next to be written."""
        tp = TopicPartition(self._input, partition)
        begin = await self._reader.beginning_offsets([tp])
        end = await self._reader.end_offsets([tp])
        return begin[tp], end[tp]

    async def offset_at(self, partition: int, record_time: float) -> int | None:
        """Offset of the first record at or after this record time."""
        tp = TopicPartition(self._input, partition)
        found = (await self._reader.offsets_for_times({tp: max(0, int(record_time * 1000))}))[tp]
        return None if found is None else int(found.offset)

    async def load(self, partition: int) -> snapshots.Snapshot | None:
        """The newest snapshot."""
        async with self._loading:
            return await snapshots.load(self._state_reader, self._state_topic, partition)

    async def save(self, partition: int, snapshot: snapshots.Snapshot) -> int:
        """Write a snapshot and wait for the broker."""
        return await snapshots.save(self._outbox.producer, self._state_topic, partition, snapshot)

    async def commit(self, partition: int, next_offset: int) -> None:
        """Commit the group's offset. Faust's own bookkeeping of acks is not used: it commits past gaps."""
        await self._app.consumer._commit({TP(self._input, partition): next_offset})


class StageApp:
    """A stage with its Faust app, in this process's event loop."""

    def __init__(
        self, settings: Settings, stage: Stage, network: str, outbox: Outbox, registry: CollectorRegistry
    ) -> None:
        self.stage = stage
        self.metrics = metrics.StageMetrics(registry, stage.name)
        self._settings = settings
        self._outbox = outbox
        self._input = topics.full_name(settings.kafka.prefix, stage.source)
        self.faust = _faust_app(settings, stage)
        self._wires = KafkaWires(settings, stage, outbox, self.faust)
        partitions = topics.BY_NAME[stage.source].partitions or settings.kafka.partitions
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=stage.name)

        def make(partition: int) -> PartitionRunner:
            return PartitionRunner(
                stage, partition, partitions, network, self._thread, self._wires, settings.worker, self.metrics
            )

        self.runners = StageRunners(make, self.metrics)
        self._connect()

    async def start(self) -> None:
        """Join the group."""
        await self._wires.start()
        await self.faust.start()

    async def stop(self) -> None:
        """Snapshot, leave the group."""
        await self.faust.stop()
        await self._wires.stop()
        self._thread.shutdown(wait=False)

    def _connect(self) -> None:
        app, worker, runners = self.faust, self._settings.worker, self.runners
        channel = app.topic(self._input, value_type=bytes, value_serializer="raw", allow_empty=True)

        async def agent(stream: Any) -> None:
            stream.enable_acks = False  # what is done is known by the runners
            async for first in stream.events():
                try:
                    await runners.advance(by_partition([first, *_buffered(stream.channel.queue)]))
                except WrongSetting as error:
                    await app.crash(error)

        async def heartbeat() -> None:
            runners.observe(lambda p: app.consumer.highwater(TP(self._input, p)))
            if worker.heartbeat_s:
                await self._beat(runners.owned)
            else:  # where senders stamp the records, none of ours may bring the present into a recording
                await self._beat(runners.waiting, record_time=0.0)

        async def assigned(sender: Any, partitions: set[TP], **kwargs: Any) -> None:
            await runners.assigned({tp.partition for tp in partitions if tp.topic == self._input})
            log.info("%s: owns partitions %s", self.stage.name, runners.owned)
            await heartbeat()  # the first event of each partition, and with it the restore, need not be awaited

        async def revoked(sender: Any, partitions: set[TP], **kwargs: Any) -> None:
            await runners.revoked({tp.partition for tp in partitions if tp.topic == self._input})

        async def leaving(sender: Any, **kwargs: Any) -> None:
            await runners.revoked(set(runners.owned))

        app.agent(channel, name=self.stage.name)(agent)
        app.timer(worker.heartbeat_s or 1.0)(heartbeat)
        app.on_partitions_assigned.connect(assigned, weak=False)
        app.on_partitions_revoked.connect(revoked, weak=False)
        app.on_before_shutdown.connect(leaving, weak=False)

    async def _beat(self, partitions: Sequence[int], record_time: float | None = None) -> None:
        """Silence moves time too: a small record into these partitions."""
        with contextlib.suppress(aiokafka.errors.KafkaError):  # the runners notice a broker that fails
            for partition in partitions:
                future = await self._outbox.send(self._input, HEARTBEAT, partition, record_time=record_time)
                future.add_done_callback(lambda f: f.cancelled() or f.exception())


def _buffered(queue: ThrowableQueue[Any]) -> Iterator[Any]:
    """What has come meanwhile, all at once: Faust's `take` goes through the event loop for each event, and while it
    does so the stage has nothing to do.
    """
    while not queue.empty():
        yield queue.get_nowait()


class _App(faust.App):  # type: ignore[misc]  # faust is untyped
    """Holds up its consumer while the agent's buffer is full, instead of taking the partition away from it.

    Faust does the latter at four fifths of the buffer, and a consumer left without a partition sleeps for a second,
    however soon there is room again: a worker with a backlog did a hundred records a second.
    """

    def FlowControlQueue(self, maxsize: int | None = None, **options: Any) -> ThrowableQueue[Any]:
        """A buffer that is under no pressure until it is full."""
        queue = super().FlowControlQueue(maxsize, **options)
        queue.pressure_high_ratio = _NEVER
        return queue


def _faust_app(settings: Settings, stage: Stage) -> faust.App:
    kafka, worker = settings.kafka, settings.worker
    folder = home() / "worker"
    folder.mkdir(parents=True, exist_ok=True)
    app = _App(
        f"{kafka.prefix}-{stage.name}",
        broker=";".join(f"kafka://{b.strip()}" for b in kafka.brokers.split(",")),
        broker_credentials=clients.faust_credentials(kafka),
        broker_session_timeout=worker.session_timeout_s,
        broker_heartbeat_interval=worker.session_timeout_s / 5,
        # What a rewind would lead to is decided by the snapshot; without one, by the warm-up: not by old commits.
        consumer_auto_offset_reset="latest",
        consumer_max_fetch_size=1 << 20,
        broker_max_poll_records=1000,
        stream_buffer_maxsize=_BUFFERED_EVENTS,
        stream_wait_empty=False,  # with late acknowledgements the default waits for ever in a rebalance
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        datadir=str(folder),
        worker_redirect_stdouts=False,
    )
    app.finalize()
    return app


async def work(
    settings: Settings,
    stages: Sequence[Stage],
    network: str,
    network_record: bytes | None = None,
    say: Callable[[str], None] = click.echo,
) -> None:
    """Run the stages until SIGTERM or Ctrl-C, then snapshot and leave the groups.

    network         hash of the network the stages work with
    network_record  what the API shows of it (topic `network`); None: not published

    Raises WrongSetting, or what made a Faust app crash.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    made = await clients.ensure_topics(settings)
    if made:
        say(f"created {len(made)} topics: {', '.join(made)}")
    registry = CollectorRegistry()
    try:
        port, stop_metrics = metrics.serve(registry, settings.worker.metrics_port)
    except OSError as error:
        raise WrongSetting(
            f"KORIDOR_WORKER_METRICS_PORT={settings.worker.metrics_port}: {error.strerror}; 0 takes any free port"
        ) from None
    outbox = Outbox(settings)
    await outbox.start()
    running = [StageApp(settings, stage, network, outbox, registry) for stage in stages]
    try:
        if network_record is not None:
            name = topics.full_name(settings.kafka.prefix, "network")
            await (await outbox.send(name, network_record, 0, key=b"network"))
        for app in running:
            await app.start()
        say(f"working on {', '.join(s.name for s in stages)}; metrics at http://127.0.0.1:{port}/metrics")
        crashed = None
        while not stop.is_set() and crashed is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)
            crashed = next((app.faust for app in running if app.faust.crashed), None)
        if crashed is not None and crashed.crash_reason is not None:
            raise crashed.crash_reason
        say("stopping: a last snapshot, then leaving the group")
    finally:
        for app in reversed(running):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(app.stop(), _GIVE_UP_STOPPING_S)
        await outbox.stop()
        stop_metrics()


def warm_up(stages: Sequence[Stage], say: Callable[[str], None] = click.echo) -> None:
    """Compile every kernel: once the group is joined nothing may keep a partition waiting."""
    started = time.perf_counter()
    say("kernels: those not in the cache are compiled, all of them on a first start: about a minute")
    for stage in stages:
        stage.warm_up()
    say(f"kernels ready after {time.perf_counter() - started:.1f} s")


class Seldom(logging.Filter):
    """Lets a line of a library through once in a while: while a broker is away there are a hundred a second."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be written."""
        if record.name.startswith("streams"):
            return True
        key = (record.name, str(record.msg)[:60])
        now = self._clock()
        if now - self._said.get(key, -math.inf) < self._every_s:
            return False
        self._said[key] = now
        return True


def configure_logging() -> None:
    """Our own lines in full, of the libraries only what went wrong, and that not too often."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom(10.0))
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        handlers=[handler],
        force=True,
    )
    logging.getLogger("streams").setLevel(logging.INFO)


def run(settings: Settings, stages: Sequence[Stage], network: str, network_record: bytes | None = None) -> None:
    """`work` in an event loop of its own, until a signal."""
    configure_logging()
    heap.keep_blocks()
    sys.setswitchinterval(_SWITCH_S)
    warm_up(stages)
    heap.leave_alone()
    asyncio.run(work(settings, stages, network, network_record))


@click.command()
@click.option(
    "--gtfs", required=True, type=click.Path(exists=True, path_type=Path), help="The feed: a zip or a folder."
)
@click.option("--stages", default="track,city", show_default=True, help="Stages to run, separated by commas.")
def command(gtfs: Path, stages: str) -> None:
    """Start a worker: pings in, positions, headways, estimates, cells and alerts out.

    Any number of workers share the load, up to one for each partition of `pings`.
    """
    from streams.engine.city import City
    from streams.engine.profile import UnusableProfile, learned_of
    from streams.engine.track import Track
    from streams.gtfs.compile import load
    from streams.gtfs.describe import describe
    from streams.gtfs.feed import FeedError

    known = ("track", "city")
    names = [name.strip() for name in stages.split(",") if name.strip()]
    if not names or set(names) - set(known):
        raise click.BadParameter(f"{stages!r}: one or both of {', '.join(known)}", param_hint="--stages")
    try:
        settings = Settings.from_env()
        clients.connection(settings.kafka)
        network = load(gtfs)
        make: dict[str, Callable[[], Stage]] = {
            "track": lambda: Track(network, settings),
            "city": lambda: City(network, settings, learned=learned_of(settings)),
        }
        run(settings, [make[name]() for name in names], network.hash, describe(network))
    except (WrongSetting, FeedError, UnusableProfile) as error:
        raise click.ClickException(str(error)) from None
