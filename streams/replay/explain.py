"""`koridor explain`: why the tracker said what it said of one vehicle, ping by ping."""

import asyncio
import csv
import difflib
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import polars as pl
from aiokafka.errors import KafkaError
from rich.console import Console

from streams.gtfs.network import Network
from streams.messages import PING
from streams.replay.explanation import explanation
from streams.replay.moments import (
    AT_BASE,
    DEADHEAD,
    LAYOVER,
    REJECTED,
    SERVICE,
    Hypothesis,
    Moment,
    explain,
    run_number,
    way,
)
from streams.replay.path_picture import picture
from streams.replay.recent import recent
from streams.replay.run import progress, source_options
from streams.service_day import day_start, local_date, zone_of
from streams.settings import Settings, WrongSetting
from streams.sources.recording import Recording, UnusableSource
from streams.sources.registry import open_source

COLORS = {SERVICE: "green", LAYOVER: "yellow", DEADHEAD: "bright_black", AT_BASE: "bright_black"}
WIDTH = 120  # columns of a terminal
SHOWN = 4  # hypotheses in the table
A_LINE = 2  # of them on a line
LIKELY = 0.005  # less likely ones are not in the table
ALIKE = 8
LEAD_S = 1200.0  # live: pings from before what is shown, so that the tracker has settled by then

COLUMNS = (
    "timestamp", "time", "vehicle_id", "lat", "lon", "reported_route_id", "reported_direction_id", "reported_trip_id",
    "bearing_deg", "reported_speed_mps", "reason", "trip_type", "off_route", "route_id", "direction_id", "pattern_id",
    "trip_id_performed", "dist_m", "offset_m", "match_probability", "rank", "hypothesis_phase", "hypothesis_route_id",
    "hypothesis_direction_id", "hypothesis_pattern_id", "hypothesis_dist_m", "hypothesis_probability",
)  # fmt: skip


class Unexplained(ValueError):
    """There is nothing to explain; the message says what there is instead."""


def find_vehicle(recording: Recording, vehicle_id: str) -> pl.DataFrame:
    """The vehicle's rows of the recording. Raises Unexplained, saying which ids are alike."""
    found = recording.frame.filter(pl.col("vehicle_id") == vehicle_id)
    if found.height or (recording.rejects["vehicle_id"] == vehicle_id).any():
        return found
    ids = sorted(recording.frame["vehicle_id"].unique().to_list())
    by_fold = {i.casefold(): i for i in reversed(ids)}
    wanted = vehicle_id.casefold()
    alike = [i for i in ids if wanted in i.casefold()] if wanted else []
    alike += [by_fold[i] for i in difflib.get_close_matches(wanted, by_fold, ALIKE)]
    alike = list(dict.fromkeys(alike))[:ALIKE]
    there = f"those alike: {', '.join(alike)}" if alike else f"there are {', '.join(ids[:ALIKE])}, …"
    raise Unexplained(f"vehicle {vehicle_id!r} is not among the {len(ids):,} of the recording; {there}")


def add_unreadable(moments: list[Moment], rejects: pl.DataFrame, vehicle_id: str) -> None:
    """Put the vehicle's rows that could not be read at all (Recording.rejects) into their places in time."""
    for row in rejects.filter(pl.col("vehicle_id") == vehicle_id).iter_rows(named=True):
        t = row["event_timestamp"]
        ping = dict.fromkeys(PING) | {"vehicle_id": vehicle_id, "timestamp": t}
        later = (k for k, m in enumerate(moments) if t is not None and (m.ping["timestamp"] or -np.inf) > t)
        moments.insert(next(later, len(moments)), Moment(ping, reason=row["reason"]))


def window(moments: Sequence[Moment], network: Network, start: str | None, end: str | None) -> list[Moment]:
    """The moments from `start` on and before `end`, both times of the day on which the vehicle's pings begin.

    Raises Unexplained when there is none, click.BadParameter when a time is none.
    """
    zone = zone_of(network.timezone)
    times = [m.ping["timestamp"] for m in moments if m.ping["timestamp"] is not None]
    if not times:
        return list(moments)
    midnight = day_start(local_date(min(times), zone), zone)
    low = midnight + _clock_s(start, "--from") if start else -np.inf
    high = midnight + _clock_s(end, "--to") if end else np.inf
    found = [m for m in moments if m.ping["timestamp"] is not None and low <= m.ping["timestamp"] < high]
    if not found:
        first, last = (f"{datetime.fromtimestamp(t, zone):%Y-%m-%d %H:%M:%S}" for t in (min(times), max(times)))
        raise Unexplained(
            f"vehicle {moments[0].ping['vehicle_id']!r} has {len(times):,} pings from {first} to {last}"
            f" ({network.timezone}), none of them from {start or 'the beginning'} to {end or 'the end'}"
        )
    return found if start or end else list(moments)


def lately(moments: Sequence[Moment], vehicle_id: str, now: float, minutes: int) -> list[Moment]:
    """The moments of the last minutes. Raises Unexplained when there is none."""
    found = [m for m in moments if (m.ping["timestamp"] or -np.inf) >= now - 60.0 * minutes]
    if not found:
        raise Unexplained(f"vehicle {vehicle_id!r} has sent no ping in the last {minutes} minutes")
    return found


def _clock_s(text: str, option: str) -> float:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(p.isdigit() for p in parts) or any(int(p) > 59 for p in parts[1:]):
        raise click.BadParameter(f"{text!r} is no HH:MM or HH:MM:SS (past midnight: 24:30)", param_hint=option)
    return float(sum(int(p) * s for p, s in zip(parts, (3600, 60, 1), strict=False)))


def lines(moments: Sequence[Moment], network: Network, every: int = 1) -> Iterator[str]:
    """The table, 120 columns wide: every n-th ping, and all at which something changes."""
    zone = zone_of(network.timezone)
    reported = [way(m.ping["route_id"], m.ping["direction_id"]) for m in moments]
    believed = [way(h.route_id, h.direction_id) for m in moments for h in m.hypotheses[:SHOWN]]
    a = min(8, max([5, *map(len, reported)]))
    b = min(10, 3 + max([4, *map(len, believed)]))
    yield f"{'':8}  {'reported':{a + 9}}  {'said':{b + 30}}  believed"
    yield (
        f"{'time':8}  {'route':{a}} {'km/h':>4} {'°':>3}  {'what':9} {'way':{b}} {'m':>6} {'off':>3} {'%':>3} run"
        "  way, phase and metres along, per cent"
    )
    before: tuple[Any, ...] = ()
    for n, (moment, route) in enumerate(zip(moments, reported, strict=True)):
        said = moment.words or {}
        key = (moment.what, said.get("route_id"), said.get("direction_id"), said.get("trip_id_performed"))
        if n % every and key == before:
            continue
        before = key
        ping = moment.ping
        t = "" if ping["timestamp"] is None else f"{datetime.fromtimestamp(ping['timestamp'], zone):%H:%M:%S}"
        kmh = None if ping["speed_mps"] is None else 3.6 * ping["speed_mps"]
        left = f"{t:8}  {_cut(route, a):{a}} {_number(kmh, 4)} {_number(ping['bearing_deg'], 3)}  "
        if moment.what == REJECTED:
            for k, text in enumerate(textwrap.wrap(_why(moment), WIDTH - len(left))):
                yield (" " * len(left) if k else left) + click.style(text, fg="red")
            continue
        probability = 100.0 * said["match_probability"]
        middle = (
            f"{_cut(way(said['route_id'], said['direction_id']), b):{b}} {_number(said['dist_m'], 6)}"
            f" {_number(said['offset_m'], 3)} {_number(probability, 3)} {run_number(said['trip_id_performed']):>3}  "
        )
        shown = _shown(moment.hypotheses, b)
        yield left + click.style(f"{moment.what:9}", fg=COLORS.get(moment.what, "red")) + f" {middle}{shown[0]}"
        for more in shown[1:]:
            yield " " * (len(left) + 10 + len(middle)) + more
        if moment.said is not None and moment.later is not None and moment.later is said:
            first = moment.said
            yield (
                f"{'':8}  said at first: {first['trip_type'] or '?'}"
                f" {way(first['route_id'], first['direction_id'])}; a late ping changed it"
            )


def _why(moment: Moment) -> str:
    from streams.engine.rejects import Reject

    if moment.reason is None:
        return "WITHDRAWN: a ping that came late shows that it cannot be."
    return f"{moment.reason}: {Reject[moment.reason].sentence}"


def _shown(hypotheses: Sequence[Hypothesis], width: int) -> list[str]:
    """The likeliest hypotheses, A_LINE to a line. Patterns of one way are told apart by their hash."""
    likely = [h for h in hypotheses[:SHOWN] if h.probability >= LIKELY]
    patterns: dict[str, set[str | None]] = {}
    for h in likely:
        patterns.setdefault(way(h.route_id, h.direction_id), set()).add(h.pattern_id)
    items = []
    for h in likely:
        name = way(h.route_id, h.direction_id)
        if len(patterns[name]) > 1:
            name = f"{_cut(name, width - 3)}/{(h.pattern_id or '').rpartition(':')[2][:2]}"
        name = _cut(name, width)
        place = h.phase if h.dist_m is None else f"{'svc' if h.phase == SERVICE else 'off'} {h.dist_m:5.0f}"
        items.append(f"{name:{width}} {place:9} {_number(100.0 * h.probability, 3)}")
    return ["  ".join(items[k : k + A_LINE]).rstrip() for k in range(0, len(items), A_LINE)] or [""]


def _number(value: float | None, width: int) -> str:
    return " " * width if value is None else f"{value:{width}.0f}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def summary(moments: Sequence[Moment], network: Network) -> Iterator[str]:
    """What it came to: pings, rejects, what was said how often, and the runs."""
    zone = zone_of(network.timezone)
    rejects = Counter(m.reason or "WITHDRAWN" for m in moments if m.words is None)
    used = len(moments) - sum(rejects.values())
    reasons = "".join(f", {count:,} {reason}" for reason, count in rejects.most_common())
    times = [m.ping["timestamp"] for m in moments if m.ping["timestamp"] is not None]
    span = ""
    if times:
        first, last = datetime.fromtimestamp(min(times), zone), datetime.fromtimestamp(max(times), zone)
        span = f" from {first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} ({network.timezone})"
    yield f"vehicle {moments[0].ping['vehicle_id']}: {len(moments):,} pings{span}; {used:,} used{reasons}"
    what = Counter(m.what for m in moments if m.words is not None)
    if what:
        yield "said: " + ", ".join(f"{100.0 * n / used:.1f} % {name}" for name, n in what.most_common())
    runs: dict[str, list[dict[str, Any]]] = {}
    for said in (m.words for m in moments):
        if said is not None and said["trip_id_performed"] is not None:
            runs.setdefault(said["trip_id_performed"], []).append(said)
    for run, rows in runs.items():
        a, b = (f"{datetime.fromtimestamp(r['timestamp'], zone):%H:%M:%S}" for r in (rows[0], rows[-1]))
        ways = " ".join(dict.fromkeys(way(r["route_id"], r["direction_id"]) for r in rows))
        along = [r["dist_m"] for r in rows if r["dist_m"] is not None]
        length = float(network.pattern_length_m[network.pattern_ix[rows[-1]["pattern_id"]]])
        far = f"{along[0]:,.0f} to {along[-1]:,.0f} of {length:,.0f} m" if along else "nowhere on the route"
        trip = rows[-1]["trip_id_scheduled"] or "unknown"
        yield f"run {run_number(run):>3}: {ways:12} {a} to {b}, {far}, trip {trip}"


def write_csv(path: Path, moments: Iterable[Moment], network: Network) -> None:
    """COLUMNS: a row for every hypothesis of every ping, rank 1 the likeliest; a rejected ping has one row."""
    zone = zone_of(network.timezone)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for m in moments:
            ping, said = m.ping, m.words or {}
            t = ping["timestamp"]
            fixed = [
                t, "" if t is None else datetime.fromtimestamp(t, zone).isoformat(),
                *(ping[c] for c in ("vehicle_id", "lat", "lon", "route_id", "direction_id", "trip_id", "bearing_deg")),
                ping["speed_mps"], m.reason or ("WITHDRAWN" if m.words is None else ""),
                *(said.get(c) for c in COLUMNS[COLUMNS.index("trip_type") : COLUMNS.index("rank")]),
            ]  # fmt: skip
            if m.words is None or not m.hypotheses:
                out.writerow([*fixed, *[""] * (len(COLUMNS) - len(fixed))])
                continue
            for rank, h in enumerate(m.hypotheses, 1):
                dist = "" if h.dist_m is None else f"{h.dist_m:.1f}"
                out.writerow(
                    [*fixed, rank, h.phase, h.route_id, h.direction_id, h.pattern_id, dist, f"{h.probability:.4f}"]
                )


@click.command()
@click.option("--gtfs", required=True, type=click.Path(exists=True, path_type=Path), help="The feed: zip or folder.")
@click.option(
    "--pings", "paths", multiple=True, type=click.Path(path_type=Path), help="The recording; several are merged."
)
@click.option("--live", is_flag=True, help="Instead of a recording: what the vehicle sent to the broker lately.")
@click.option(
    "--minutes", default=30, show_default=True, type=click.IntRange(1, 1440), help="How far back --live goes."
)
@click.option("--vehicle", "vehicle_id", required=True, help="Its vehicle_id.")
@click.option("--from", "start", metavar="HH:MM", help="Show from here on, in the feed's time zone.")
@click.option("--to", "end", metavar="HH:MM", help="Show until here; past midnight 24:30 and so on.")
@click.option(
    "--every", default=1, show_default=True, type=click.IntRange(1), help="Show every n-th ping, and every change."
)
@click.option("--svg", "svg_path", type=click.Path(dir_okay=False, path_type=Path), help="Draw the path here.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all hypotheses here.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="The same as JSON.")
@source_options
@click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="[MORE PINGS]...")
def command(
    gtfs: Path,
    paths: Sequence[Path],
    more: Sequence[Path],
    live: bool,
    minutes: int,
    vehicle_id: str,
    start: str | None,
    end: str | None,
    every: int,
    svg_path: Path | None,
    csv_path: Path | None,
    json_path: Path | None,
    format_: str | None,
    columns: str | None,
    timezone: str | None,
    time_format: str | None,
) -> None:
    """Show, ping by ping, what the tracker believed of one vehicle and what it said.

    \b
    reported  what the ping says: route, speed, heading (degrees from north)
    said      what was published: service, layover, deadhead, off route, at base or ? (undecided); route:direction,
              metres along, metres off the shape, probability of what is said, number of the run
    believed  the likeliest hypotheses: svc in service, off route; /3f tells patterns of one way apart

    A ping that was not used shows the reason. The tracker always begins with the vehicle's first ping: --from only
    chooses what is shown.

    \b
    Why was bus 1015 said to be on route 190 at half past four?
      koridor explain --gtfs gtfs.zip --pings day.parquet --vehicle 1015 --from 16:20 --to 16:40 --svg 1015.svg
    A whole day at a glance: every hundredth ping, and all at which something changes
      koridor explain --gtfs gtfs.zip --pings day.parquet --vehicle 1015 --every 100
    The last half hour of a bus that is on its way (KORIDOR_BROKERS and the other settings as for the workers)
      koridor explain --gtfs gtfs.zip --live --vehicle 1015
    """
    from streams.gtfs.feed import FeedError

    paths = (*paths, *more)
    if live and paths:
        raise click.UsageError("--live and --pings exclude each other")
    if not live and not paths:
        raise click.UsageError("--pings FILE is missing, or --live")
    console = Console(stderr=True)
    try:
        settings = Settings.from_env()
        now = time.time()
        with console.status("Reading the pings"):
            if live:
                recording = asyncio.run(recent(settings, vehicle_id, now - 60.0 * minutes - LEAD_S))
                pings = recording.frame
            else:
                recording = open_source(list(paths), format_, columns, timezone, time_format)
                pings = find_vehicle(recording, vehicle_id)
        with progress(gtfs, console) as (network, tell):
            moments = explain(pings, network, settings, tell)
        add_unreadable(moments, recording.rejects, vehicle_id)
        if live:
            moments = lately(moments, vehicle_id, now, minutes)
        moments = window(moments, network, start, end)
        if csv_path is not None:
            write_csv(csv_path, moments, network)
        if json_path is not None:
            json_path.write_bytes(orjson.dumps(explanation(moments, network)))
        if svg_path is not None:
            svg_path.write_text(picture(moments, network), encoding="utf-8")
    except (UnusableSource, Unexplained, WrongSetting, FeedError, KafkaError, OSError) as error:
        raise click.ClickException(str(error)) from None
    for line in lines(moments, network, every):
        click.echo(line)
    click.echo()
    for line in summary(moments, network):
        click.echo(line)
