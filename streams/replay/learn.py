"""`koridor learn`: recordings through the engine for what they teach about the city; the answer is a profile."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from rich.console import Console

from streams.engine import profile
from streams.engine.profile import About, UnusableProfile, read_profile
from streams.gtfs.network import Network
from streams.replay.run import Tell, groups, progress, quiet, source_options
from streams.settings import Settings, WrongSetting
from streams.sources.recording import Recording, UnusableSource
from streams.sources.registry import open_source

STATEMENT_S = 30.0  # estimates are only made to be judged: once a minute would do


def learn(
    recording: Recording,
    network: Network,
    settings: Settings | None = None,
    begin_with: bytes | None = None,
    tell: Tell = lambda _what, _done, _all: None,
) -> tuple[About, bytes]:
    """What a recording teaches, on top of the profile `begin_with`: a summary, and the profile's bytes.

    Raises UnusableProfile, and UnusableSource where no row of the recording is usable.
    """
    from streams.engine.arrivals import Arrivals  # kernels behind them: --help does without
    from streams.engine.city import City
    from streams.engine.congestion import Congestion
    from streams.engine.track import Track

    height = recording.frame.height
    if not height:
        raise UnusableSource(
            f"none of the {recording.rows:,} rows is usable; `koridor replay` writes why into rejects.parquet"
        )
    before, known = profile.unpack(begin_with) if begin_with is not None else (None, None)
    settings = settings or Settings()
    settings = replace(
        settings,
        kafka=replace(settings.kafka, partitions=1),
        city=replace(settings.city, statement_s=max(STATEMENT_S, settings.city.statement_s)),
    )
    track = Track(network, settings)
    city = City(network, settings, (Congestion(network, settings), Arrivals(network, settings)), known)
    tell("compiling the kernels", 0, 1)
    track.warm_up()
    city.warm_up()
    tracked, state = track.fresh(0), city.fresh(0)
    shown = time.monotonic()
    for group in groups(recording):
        facts, _ = track.advance(tracked, group.pings, group.record_time, group.first_row)
        city.advance(state, facts, group.record_time)
        if time.monotonic() - shown > 0.2:
            shown = time.monotonic()
            tell("learning", group.first_row, height)
    for group in quiet(recording, settings):
        facts, _ = track.advance(tracked, group.pings, group.record_time, group.first_row)
        city.advance(state, facts, group.record_time)
    learned = city.learned(state)
    times = recording.frame["record_time"]
    first, last = float(times[0]), float(times[-1])
    about = About(
        network=network.hash,
        feed_version=network.feed_version,
        timezone=network.timezone,
        seen_from=min(first, before.seen_from) if before else first,
        seen_to=max(last, before.seen_to) if before else last,
        pings=height + (before.pings if before else 0),
        **profile.counts(learned),
    )
    return about, profile.pack(about, learned)


def lines(about: About) -> list[str]:
    """What is said of a profile."""
    zone = ZoneInfo(about.timezone)
    times = [f"{datetime.fromtimestamp(t, zone):%Y-%m-%d %H:%M}" for t in (about.seen_from, about.seen_to)]
    return [
        f"{about.pings:,} pings from {times[0]} to {times[1]} ({about.timezone}), feed {about.feed_version}",
        f"{about.links:,} links with {about.passages:,} passages, {about.cells:,} cells, {about.terminals:,} terminals,"
        f" {about.residuals:,} estimates judged",
    ]


@click.command()
@click.argument("recordings", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--gtfs", required=True, type=click.Path(exists=True, path_type=Path), help="The feed: zip or folder.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The profile's file.")
@click.option("--profile", "begin_with", type=click.Path(exists=True, path_type=Path), help="Go on from this one.")
@source_options
def command(
    recordings: Sequence[Path],
    gtfs: Path,
    out: Path,
    begin_with: Path | None,
    format_: str | None,
    columns: str | None,
    timezone: str | None,
    time_format: str | None,
) -> None:
    """Learn a city from RECORDINGS: running times, pace, waits at terminals, how wrong estimates are.

    What comes out is a file that `koridor replay --profile` and a worker (KORIDOR_CITY_PROFILE) begin with. It fits
    other versions of the feed as far as stops and routes keep their ids.

    \b
    Two weeks of days:
      koridor learn days/*.parquet --gtfs gtfs.zip --out city.profile
    And another day on top:
      koridor learn today.parquet --gtfs gtfs.zip --profile city.profile --out city.profile
    """
    console = Console(stderr=True)
    try:
        settings = Settings.from_env()
        before = begin_with.read_bytes() if begin_with is not None else None
        if begin_with is not None:
            read_profile(begin_with)
        with console.status("Reading the recordings"):
            recording = open_source(list(recordings), format_, columns, timezone, time_format)
        with progress(gtfs, console) as (network, tell):
            about, data = learn(recording, network, settings, before, tell)
        unfinished = out.with_name(f".{out.name}.unfinished")
        unfinished.write_bytes(data)
        unfinished.replace(out)
    except (UnusableSource, UnusableProfile, WrongSetting, OSError) as error:
        raise click.ClickException(str(error)) from None
    for line in lines(about):
        click.echo(line)
    click.echo(f"{out}: {len(data) / 1e6:.1f} MB; next: koridor replay --profile {out} ...")
