"""`koridor play`: a recording, or a live feed behind a URL, into the topic `pings`.

Pings go out as a source that reports all the time would send them: every tick one record of columns for each
partition that has any, null key, explicit partition (streams/partition.py). A recording moves on by elapsed time at
`speed`, in the order and at the distances of its record time.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from streams import messages, topics
from streams.messages import PING, Columns
from streams.partition import Partitioner
from streams.settings import Settings, WrongSetting
from streams.sources.poll import Poller, Status, header_pairs
from streams.sources.recording import Recording, UnusableSource, to_columns
from streams.sources.registry import FORMATS, open_source
from streams.sources.rows import Options, parse_columns

TICK_S = 0.2
ROUND_GAP_S = 10.0  # between the last ping of a round and the first of the next

Send = Callable[[int, bytes], Awaitable[None]]


def records_of(pings: Columns, partitioner: Partitioner, max_batch: int) -> Iterator[tuple[int, bytes, int]]:
    """Partition, bytes and rows of the records that carry these pings; a partition's pings keep their order."""
    partition = np.asarray(partitioner(pings["vehicle_id"].tolist()), dtype=np.int64)
    order = np.argsort(partition, kind="stable")
    bounds = np.flatnonzero(np.diff(partition[order], prepend=-1, append=-1))
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        for at in range(start, end, max_batch):
            rows = order[at : min(at + max_batch, end)]
            yield int(partition[rows[0]]), messages.encode(PING, messages.take(pings, rows)), len(rows)


@dataclass(slots=True)
class Shown:
    """How far the player is, for the progress line."""

    rows: int = 0
    records: int = 0
    rounds: int = 0
    event_time: float = float("nan")
    behind_s: float = 0.0  # wall seconds by which sending lags the schedule


@dataclass(slots=True)
class Player:
    """Sends a recording in its own rhythm. Clock and sleep are given, so that a test needs no time.

    speed  seconds of the recording per second
    now    event times are moved to the present: at speed 1 the first ping is now, at a higher one the last
    past   seconds of the recording that lie behind at the beginning: sent at once, and with `now` at speed 1 the ping
           after them is now
    loop   begin again at the end, event times going on
    """

    recording: Recording
    send: Send
    partitioner: Partitioner
    speed: float = 1.0
    now: bool = False
    past: float = 0.0
    loop: bool = False
    max_batch: int = 1000
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    shown: Shown = field(default_factory=Shown)

    async def play(self, stop: asyncio.Event | None = None) -> None:
        """Until the end of the recording, or `stop`."""
        frame = self.recording.frame
        if frame.is_empty():
            return
        record_time = frame["record_time"].to_numpy()
        first, last = float(record_time[0]), float(record_time[-1])
        begun = self.clock() - self.past / self.speed
        shift = self._shift(first, last)
        if self.now:
            # Dates and times of the plan would belong to the day of the recording.
            frame = frame.with_columns(pl.lit(None, pl.String).alias(n) for n in ("start_date", "start_time"))
        while True:
            await self._round(frame, record_time, begun, shift, stop)
            self.shown.rounds += 1
            if not self.loop or (stop is not None and stop.is_set()):
                return
            begun += (last - first + ROUND_GAP_S) / self.speed
            shift += last - first + ROUND_GAP_S

    def _shift(self, first: float, last: float) -> float:
        if not self.now:
            return 0.0
        if self.speed <= 1.0:
            return self.clock() - self.past - first
        return self.clock() + (last - first - self.past) / self.speed - last

    async def _round(
        self, frame: pl.DataFrame, record_time: np.ndarray, begun: float, shift: float, stop: asyncio.Event | None
    ) -> None:
        first = float(record_time[0])
        at = 0
        while at < len(record_time):
            if stop is not None and stop.is_set():
                return
            elapsed = self.clock() - begun
            due = int(np.searchsorted(record_time, first + elapsed * self.speed, side="right"))
            if due <= at:
                wait = (float(record_time[at]) - first) / self.speed - elapsed
                await self.sleep(min(max(wait, TICK_S), 1.0))
                continue
            # Of a long delay only a slice at a time: memory, and Ctrl-C.
            due = min(due, at + self.max_batch * self.partitioner.partitions)
            pings = to_columns(frame[at:due])
            pings["timestamp"] = np.round(pings["timestamp"] + shift, 2)
            for partition, value, rows in records_of(pings, self.partitioner, self.max_batch):
                await self.send(partition, value)
                self.shown.records += 1
                self.shown.rows += rows
            at = due
            self.shown.event_time = float(record_time[at - 1]) + shift
            self.shown.behind_s = max(0.0, self.clock() - begun - (float(record_time[at - 1]) - first) / self.speed)
            await self.sleep(TICK_S)


async def follow(
    poller: Poller,
    send: Send,
    partitioner: Partitioner,
    max_batch: int,
    stop: asyncio.Event,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.time,
) -> Shown:
    """Ask a live feed until `stop`; `tell` hears when its status changes."""
    shown = Shown()
    status: Status | None = None
    while not stop.is_set():
        poll = await asyncio.to_thread(poller.fetch, clock())
        if poll.recording is not None:
            for frame in poll.recording.frame.iter_slices(max_batch * partitioner.partitions):
                for partition, value, rows in records_of(to_columns(frame), partitioner, max_batch):
                    await send(partition, value)
                    shown.records += 1
                    shown.rows += rows
            if poll.recording.rejects.height:
                tell(f"{poll.recording.rejects.height} vehicles cannot be used")
        if poll.status is not status and {poll.status, status} != {Status.NEW, Status.UNCHANGED}:
            tell(f"{poller.url}: {poll.status}{f' ({poll.detail})' if poll.detail else ''}")
        status = poll.status
        try:
            await asyncio.wait_for(stop.wait(), poll.wait_s)
        except TimeoutError:
            continue
    return shown


async def feed(settings: Settings, work: Callable[[Send, asyncio.Event], Awaitable[None]]) -> None:
    """Give `work` a way to send into `pings`, and an event that Ctrl-C or SIGTERM sets; flush at the end."""
    from streams import clients

    await clients.ensure_topics(settings)
    name = topics.full_name(settings.kafka.prefix, topics.PINGS.name)
    producer = clients.producer(settings.kafka)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    waiting: set[asyncio.Future[Any]] = set()

    async def send(partition: int, value: bytes) -> None:
        future = await producer.send(name, value=value, key=None, partition=partition)
        waiting.add(future)
        done = {f for f in waiting if f.done()}
        waiting.difference_update(done)
        for one in done:
            one.result()  # raises what the broker said

    await producer.start()
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)
        try:
            await work(send, stop)
            if waiting:
                await asyncio.gather(*waiting)
        finally:
            await producer.stop()


def run_player(
    settings: Settings,
    recording: Recording,
    *,
    speed: float = 1.0,
    now: bool = False,
    past: float = 0.0,
    loop: bool = False,
    max_batch: int = 1000,
    console: Console | None = None,
) -> Shown:
    """Play a recording until its end or Ctrl-C, with a progress line on `console`."""
    console = console or Console(stderr=True)
    shown = Shown()

    async def work(send: Send, stop: asyncio.Event) -> None:
        player = Player(
            recording, send, Partitioner(settings.kafka.partitions), speed, now, past, loop, max_batch, shown=shown
        )
        playing = asyncio.create_task(player.play(stop))
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), console=console
        ) as bar:
            task = bar.add_task("playing", total=recording.frame.height or 1, said="")
            begun = time.monotonic()
            while not playing.done():
                await asyncio.wait({playing}, timeout=0.5)
                done = shown.rows - shown.rounds * recording.frame.height
                bar.update(task, completed=max(done, 0), said=_said(shown, time.monotonic() - begun))
        await playing

    asyncio.run(feed(settings, work))
    return shown


def _said(shown: Shown, seconds: float) -> str:
    clock = "" if np.isnan(shown.event_time) else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(shown.event_time))
    rate = shown.rows / seconds if seconds > 0 else 0.0
    late = f", {shown.behind_s:.0f} s behind" if shown.behind_s > 2.0 else ""
    return f"{clock}  {shown.rows:,} pings ({rate:,.0f}/s){late}"


def with_brokers(settings: Settings, brokers: str | None) -> Settings:
    """The settings with other brokers, if any are given."""
    return settings if brokers is None else replace(settings, kafka=replace(settings.kafka, brokers=brokers))


@click.command()
@click.option(
    "--pings", "paths", multiple=True, type=click.Path(path_type=Path), help="A recording; several are merged."
)
@click.option("--url", help="... or a live feed: GTFS-Realtime VehiclePositions.")
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), help="Of the recording; found out if left out.")
@click.option("--columns", help="Names that differ: vehicle_id=VehicleNumber,timestamp=Time.")
@click.option("--timezone", help="IANA zone of times that carry none, e.g. Europe/Warsaw.")
@click.option("--time-format", help="strptime form of times that are not ISO 8601, e.g. %d/%m/%Y %H:%M:%S.")
@click.option("--speed", default=1.0, show_default=True, help="Seconds of the recording per second.")
@click.option("--now", is_flag=True, help="Move event times to the present, so that a map shows current ones.")
@click.option(
    "--past",
    default=0.0,
    show_default=True,
    help="Seconds of the recording that are sent at once, as if they had passed.",
)
@click.option("--loop", is_flag=True, help="Begin again at the end; event times go on.")
@click.option("--max-batch", default=1000, show_default=True, help="Most pings in one record.")
@click.option("--every", default=10.0, show_default=True, help="Seconds between two requests to --url.")
@click.option("--header", "headers", multiple=True, help="For --url, e.g. 'X-Api-Key: ...'; may be repeated.")
@click.option("--brokers", help="host:port of Kafka.  [default: KORIDOR_BROKERS]")
@click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="[MORE PINGS]...")
def command(
    paths: Sequence[Path],
    more: Sequence[Path],
    url: str | None,
    format_: str | None,
    columns: str | None,
    timezone: str | None,
    time_format: str | None,
    speed: float,
    now: bool,
    past: float,
    loop: bool,
    max_batch: int,
    every: float,
    headers: Sequence[str],
    brokers: str | None,
) -> None:
    """Feed a recording (or a live feed) into the topic `pings`.

    \b
    A recording on the live map, again and again; its first half hour at once, so that headways are known:
      koridor play --pings day.parquet --now --past 1800 --loop
    Ten times as fast:
      koridor play --pings day.csv.gz --columns vehicle_id=bus,timestamp=time --timezone Asia/Jakarta --speed 10
    A city's live feed:
      koridor play --url https://example.org/vehicle-positions.pb
    """
    paths = (*paths, *more)  # `--pings day/*.pb` as the shell writes it
    if bool(paths) == bool(url):
        raise click.UsageError("either --pings FILE or --url URL")
    if not speed > 0:
        raise click.BadParameter("must be above 0", param_hint="--speed")
    if not past >= 0:
        raise click.BadParameter("must not be below 0", param_hint="--past")
    if not max_batch >= 1:
        raise click.BadParameter("must be at least 1", param_hint="--max-batch")
    if now and loop and speed > 1:
        raise click.UsageError(
            "--now with --loop needs --speed 1: faster than time, a second round would lie in the future"
        )
    console = Console(stderr=True)
    try:
        settings = with_brokers(Settings.from_env(), brokers)
        if url:
            shown = _follow(settings, url, format_, columns, timezone, time_format, every, headers, max_batch, console)
        else:
            with console.status("Reading the recording"):
                recording = open_source(list(paths), format_, columns, timezone, time_format)
            if recording.rejects.height:
                console.print(f"{recording.rejects.height:,} rows cannot be used")
            shown = run_player(
                settings, recording, speed=speed, now=now, past=past, loop=loop, max_batch=max_batch, console=console
            )
    except (UnusableSource, WrongSetting) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{shown.rows:,} pings in {shown.records:,} records")


def _follow(
    settings: Settings,
    url: str,
    format_: str | None,
    columns: str | None,
    timezone: str | None,
    time_format: str | None,
    every: float,
    headers: Sequence[str],
    max_batch: int,
    console: Console,
) -> Shown:
    poller = Poller(
        url,
        format_ or "gtfs-rt",
        Options(parse_columns(columns), timezone, time_format),
        every_s=every,
        headers=header_pairs(headers),
    )
    out: list[Shown] = []

    async def work(send: Send, stop: asyncio.Event) -> None:
        partitioner = Partitioner(settings.kafka.partitions)
        out.append(await follow(poller, send, partitioner, max_batch, stop, console.print))

    asyncio.run(feed(settings, work))
    return out[0]
