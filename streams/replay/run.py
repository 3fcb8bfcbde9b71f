"""`koridor replay`: a recording through both stages in one process, no broker, as fast as the machine allows.

Rows of one second of record time are one record, as a source that reports every second would send them. The track
stage takes it, and what it says goes to the city stage at once. What both say is put aside on disk (parts.py) and
becomes the tables of a run at the end (finish.py).
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import orjson
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streams import messages
from streams.engine.profile import UnusableProfile, read_profile
from streams.gtfs.network import Network
from streams.messages import PING, Columns, Spec
from streams.replay import tables
from streams.replay.finish import Finish
from streams.replay.parts import Parts, frame_of, schema_of
from streams.replay.play import run_player, with_brokers
from streams.replay.reference import Cells
from streams.replay.tables import Table
from streams.settings import Settings, WrongSetting
from streams.sources.recording import REJECTS, Recording, UnusableSource, to_columns
from streams.sources.registry import FORMATS, open_source

Array = np.ndarray
Tell = Callable[[str, int, int], None]  # what is being done, how much of it is done, how much there is

STEP_ROWS = 16_384  # rows that are turned into arrays at a time
QUIET_S = 5.0  # grid of record time after the last record, until all is closed

_SAID: dict[str, Spec] = {
    "positions": messages.POSITION,
    "passings": messages.PASSING,
    "headways": messages.HEADWAY,
    "group_headways": messages.GROUP_HEADWAY,
    "arrivals": messages.ARRIVAL,
    "congestion": messages.CONGESTION,
    "segments": messages.SEGMENT,
    "indicators": messages.INDICATOR,
    "alerts": messages.ALERT,
}


@dataclass(slots=True)
class Counts:
    """What a run came to."""

    pings: int = 0
    accepted: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    trips: int = 0
    visits: int = 0
    engine_s: float = 0.0
    tables_s: float = 0.0
    ordered_by: str = ""
    notes: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What the command prints at the end."""
        rate = self.pings / self.engine_s if self.engine_s else 0.0
        total = sum(self.rejects.values())
        reasons = sorted(self.rejects.items(), key=lambda r: (-r[1], r[0]))
        return [
            f"{self.pings:,} pings in {self.engine_s:.1f} s ({rate:,.0f} pings/s), in the order of {self.ordered_by};"
            f" tables in {self.tables_s:.1f} s",
            f"{self.accepted:,} accepted, {total:,} rejected",
            *(f"  {count:>10,} {reason}" for reason, count in reasons),
            *(f"  {count:>10,} {note}" for note, count in sorted(self.notes.items())),
            f"{self.trips:,} trips, {self.visits:,} stop visits",
        ]


class Group(NamedTuple):
    """Rows of one second of record time: what a record of `pings` would have been."""

    first_row: int  # of the recording
    pings: Columns
    record_time: float


def groups(recording: Recording) -> Iterator[Group]:
    """The recording as records, in record time order."""
    frame = recording.frame
    record_time = frame["record_time"].to_numpy()
    starts = np.flatnonzero(np.diff(np.floor(record_time), prepend=-np.inf))
    ends = np.append(starts[1:], len(record_time))
    at = 0
    while at < len(starts):
        until = max(at + 1, int(np.searchsorted(ends, starts[at] + STEP_ROWS, side="right")))
        base = int(starts[at])
        columns = to_columns(frame[base : int(ends[until - 1])])
        for start, end in zip(starts[at:until].tolist(), ends[at:until].tolist(), strict=True):
            yield Group(start, messages.take(columns, slice(start - base, end - base)), float(record_time[end - 1]))
        at = until


def quiet(recording: Recording, settings: Settings) -> Iterator[Group]:
    """Silence after a recording (that has rows), until everything is closed."""
    height = recording.frame.height
    last = float(recording.frame["record_time"][-1])
    windows = 2 * settings.city.window_s + settings.track.lateness_s
    for step in range(1, round((settings.track.silent_s + windows) / QUIET_S) + 2):
        yield Group(height, messages.empty(PING), last + step * QUIET_S)


def replay(
    recording: Recording,
    network: Network,
    out: Path,
    settings: Settings | None = None,
    wanted: Sequence[Table] = tables.ALL,
    tell: Tell = lambda _what, _done, _all: None,
    learned: Mapping[str, Any] | None = None,
) -> Counts:
    """Run a recording through the engine and write the wanted tables into the folder `out`.

    `learned` is what a profile has taught (engine/profile.py). The same recording, network, settings and profile give
    the same tables. Raises OSError when `out` cannot be written to.
    """
    settings = settings or Settings()
    counts = Counts(recording.rows, ordered_by=recording.ordered_by, notes=recording.notes)
    with _scratch(out) as folder:
        parts = {name: Parts(folder, name, schema_of(spec)) for name, spec in _SAID.items()}
        parts["positions"].schema["cell_ix"] = pl.Int64()
        parts["rejects"] = Parts(folder, "rejects", dict(REJECTS))
        parts["rejects"].add(recording.rejects)
        engine = _Engine(recording, network, settings, parts, learned)
        tell("compiling the kernels", 0, 1)
        engine.track.warm_up()
        engine.city.warm_up()
        begun = time.perf_counter()
        engine.run(tell)
        counts.engine_s = time.perf_counter() - begun
        begun = time.perf_counter()
        finish = Finish(network, parts, settings.city.window_s)
        for done, table in enumerate(tables.ALL):
            tell(f"writing {table.name}", done, len(tables.ALL))
            if table in wanted:
                _write(finish.table(table), out / f"{table.name}.parquet", folder)
        tell("tables written", 1, 1)
        counts.tables_s = time.perf_counter() - begun
        _count(counts, finish, parts)
    return counts


class _Engine:
    """Both stages, and where what they say is put."""

    def __init__(
        self,
        recording: Recording,
        network: Network,
        settings: Settings,
        parts: dict[str, Parts],
        learned: Mapping[str, Any] | None,
    ) -> None:
        from streams.engine.city import City  # kernels behind it: --help does without
        from streams.engine.track import Track

        # All vehicles are in one partition: nothing is misrouted.
        alone = replace(settings, kafka=replace(settings.kafka, partitions=1))
        self.recording = recording
        self.settings = settings
        self.parts = parts
        self.cells = Cells(network)
        self.track, self.city = Track(network, alone), City(network, alone, learned=learned)
        self.track_state, self.city_state = self.track.fresh(0), self.city.fresh(0)
        self.pending: dict[str, list[Columns]] = {name: [] for name in _SAID}
        self.pending_rows = 0
        self.refused: list[tuple[Array, Array]] = []  # rows of the recording, and why

    def run(self, tell: Tell) -> None:
        """The whole recording, and then silence until everything is closed."""
        height = self.recording.frame.height
        shown = time.monotonic()
        for group in groups(self.recording):
            self.take(group, statements=True)
            if time.monotonic() - shown > 0.2:
                shown = time.monotonic()
                tell("replaying", group.first_row, height)
        for group in quiet(self.recording, self.settings) if height else ():
            self.take(group, statements=False)
        self.put_aside()

    def take(self, group: Group, statements: bool) -> None:
        """One record through both stages."""
        facts, rejects = self.track.advance(self.track_state, group.pings, group.record_time, group.first_row)
        said = self.city.advance(self.city_state, facts, group.record_time)
        for name, columns in (("positions", facts["positions"]), ("passings", facts["passings"]), *said.items()):
            # Silence after the end of a recording is not the city's: nothing is stated about it.
            if name in self.pending and (statements or name not in ("arrivals", "alerts")):
                self.pending[name].append(columns)
                self.pending_rows += messages.rows(columns)
        if messages.rows(rejects):
            self.refused.append((rejects["source_offset"] + rejects["source_index"], rejects["reason"]))
            self.pending_rows += messages.rows(rejects)
        if self.pending_rows >= STEP_ROWS:
            self.put_aside()

    def put_aside(self) -> None:
        """What was said goes to the part files."""
        for name, said in self.pending.items():
            some = [c for c in said if messages.rows(c)]
            if not some:
                continue
            columns = messages.concat(_SAID[name], some)
            frame = frame_of(_SAID[name], columns)
            if name == "positions":
                cell = pl.Series("cell_ix", self.cells.of(columns))
                frame = frame.with_columns(cell.set(cell < 0, None))
            self.parts[name].add(frame)
        if self.refused:
            self.refuse(*(np.concatenate(both) for both in zip(*self.refused, strict=True)))
        self.refused = []
        self.pending = {name: [] for name in _SAID}
        self.pending_rows = 0

    def refuse(self, row: Array, reason: Array) -> None:
        """Rejects of the engine, with their place in the recording's files."""
        original = self.recording.frame[row]
        raw = [
            orjson.dumps({k: r[k] for k in PING if r[k] is not None}).decode() for r in original.iter_rows(named=True)
        ]
        self.parts["rejects"].add(
            original.select(
                "source",
                "source_index",
                pl.col("timestamp").alias("event_timestamp"),
                "vehicle_id",
                reason=pl.Series(reason.tolist(), dtype=pl.String),
                raw=pl.Series(raw, dtype=pl.String),
            )
        )


def _write(rows: pl.LazyFrame, path: Path, scratch: Path) -> None:
    """All of the file or nothing."""
    unfinished = scratch / path.name
    rows.sink_parquet(unfinished, compression="zstd")
    unfinished.replace(path)


def _count(counts: Counts, finish: Finish, parts: dict[str, Parts]) -> None:
    rejects = parts["rejects"].scan().group_by("reason").len().collect()
    counts.rejects = {reason: int(n) for reason, n in rejects.iter_rows()}
    counts.accepted = finish.accepted()
    counts.trips = finish.trips()
    counts.visits = finish.visits()


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".replay-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse_tables(text: str | None) -> list[Table]:
    """`a,b` as tables; all of them for None. Raises click.BadParameter."""
    names = [n.strip() for n in (text or ",".join(tables.BY_NAME)).split(",") if n.strip()]
    unknown = [n for n in names if n not in tables.BY_NAME]
    if unknown or not names:
        raise click.BadParameter(f"{', '.join(unknown)}: the tables are {', '.join(tables.BY_NAME)}")
    return [tables.BY_NAME[n] for n in names]


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to read recordings, for every command that does."""
    for option in reversed(
        (
            click.option(
                "--format", "format_", type=click.Choice(list(FORMATS)), help="Of the recording; found out if left out."
            ),
            click.option("--columns", help="Names that differ: vehicle_id=VehicleNumber,timestamp=Time."),
            click.option("--timezone", help="IANA zone of times that carry none, e.g. Europe/Warsaw."),
            click.option("--time-format", help="strptime form of times that are not ISO 8601, e.g. %d/%m/%Y %H:%M:%S."),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.option("--gtfs", type=click.Path(exists=True, path_type=Path), help="The feed: zip or folder.")
@click.option(
    "--pings", "paths", multiple=True, type=click.Path(path_type=Path), help="The recording; several are merged."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the tables.")
@click.option("--tables", "wanted", help="Only these, separated by commas.")
@click.option(
    "--profile", "profile_path", type=click.Path(exists=True, path_type=Path), help="Begin with what was learned."
)
@source_options
@click.option("--speed", type=float, help="Feed a live pipeline instead, at this many seconds per second.")
@click.option("--brokers", help="host:port of Kafka, with --speed.  [default: KORIDOR_BROKERS]")
@click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="[MORE PINGS]...")
def command(
    gtfs: Path | None,
    paths: Sequence[Path],
    more: Sequence[Path],
    out: Path | None,
    wanted: str | None,
    profile_path: Path | None,
    format_: str | None,
    columns: str | None,
    timezone: str | None,
    time_format: str | None,
    speed: float | None,
    brokers: str | None,
) -> None:
    """Run a recording through the engine without a broker and write its tables.

    \b
    A recorded day:
      koridor replay --gtfs gtfs.zip --pings day.parquet --out run
    Foreign names, local time:
      koridor replay --gtfs gtfs.zip --pings day.csv.gz --out run \\
        --columns vehicle_id=VehicleNumber,timestamp=Time,lat=Lat,lon=Lon --timezone Europe/Warsaw
    An archive of GTFS-Realtime messages (folder or zip of .pb):
      koridor replay --gtfs gtfs.zip --pings archive/ --out run

    \b
    Tables (Parquet, in DIR): vehicle_locations, stop_visits, trips_performed, headways,
    group_headways, congestion, segments, indicators, arrival_estimates, alerts, rejects.
    """
    paths = (*paths, *more)  # `--pings day/*.pb` as the shell writes it
    if not paths:
        raise click.UsageError("--pings FILE is missing")
    console = Console(stderr=True)
    try:
        settings = Settings.from_env()
        if speed is None:
            if gtfs is None or out is None:
                raise click.UsageError("--gtfs FEED and --out DIR are needed (or --speed N to feed a live pipeline)")
            chosen = parse_tables(wanted)
        elif not speed > 0:
            raise click.BadParameter("must be above 0", param_hint="--speed")
        with console.status("Reading the recording"):
            recording = open_source(list(paths), format_, columns, timezone, time_format)
        if speed is not None:
            shown = run_player(with_brokers(settings, brokers), recording, speed=speed, console=console)
            click.echo(f"{shown.rows:,} pings in {shown.records:,} records")
            return
        assert gtfs is not None
        assert out is not None
        learned = None
        if profile_path is not None:
            about, learned = read_profile(profile_path)
            click.echo(f"profile of {about.pings:,} pings, {about.passages:,} passages of {about.links:,} links")
        with progress(gtfs, console) as (network, tell):
            counts = replay(recording, network, out, settings, chosen, tell, learned)
    except (UnusableSource, UnusableProfile, WrongSetting, OSError) as error:
        raise click.ClickException(str(error)) from None
    for line in counts.lines():
        click.echo(line)


@contextmanager
def progress(gtfs: Path, console: Console) -> Iterator[tuple[Network, Tell]]:
    """The compiled feed, and a bar that shows how far things are. Raises click.ClickException."""
    from streams.gtfs.compile import load
    from streams.gtfs.feed import FeedError

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("compiling the feed", total=None)
        try:
            network = load(gtfs)
        except FeedError as error:
            raise click.ClickException(str(error)) from None

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=max(total, 1))

        yield network, tell
