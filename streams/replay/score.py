"""`koridor score`: how good the arrival estimates of a run or a served feed were, beside what simple means would say.

Estimates are judged as served: at every full minute the last statement made, against when the bus came. The told time
and the median are judged apart, for one is chosen so that nobody misses the bus and the other is to be right.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from streams.replay import tables
from streams.replay.archive import POSITIONS, Collector, UnusableArchive, addresses, failures, is_archive
from streams.replay.picture import picture
from streams.replay.rulers import BINS_S, FAR_S, MBTA, RULERS, TRANSIT, Errors, Intervals, errors, intervals
from streams.replay.samples import Samples, UnusableRun, served
from streams.sources.poll import header_pairs
from streams.sources.recording import UnusableSource

Array = np.ndarray

TOLD, P50 = "told", "p50"
COLUMNS = ("predictor", "figure", "bin", "value", "unit", "n")


@dataclass(frozen=True, slots=True)
class Score:
    """What a run's estimates came to. All predictors are measured on the same rows."""

    by_predictor: dict[str, Errors]  # TOLD and P50 first, then the baselines
    intervals: Intervals
    owed: int  # bus in service x stop ahead within an hour x minute
    answered: int
    after_arrival: int  # samples that stood when the bus had come already
    unrealised: int  # samples for a stop at which the bus never was seen to come
    samples: int  # all of them, for the next hour and beyond

    @property
    def completeness(self) -> float:
        """Answered, of what was owed, in per cent."""
        return 100.0 * self.answered / self.owed if self.owed else float("nan")

    def rows(self) -> Iterator[tuple[str, str, str, float, str, int]]:
        """Every figure, as COLUMNS."""
        for name, found in self.by_predictor.items():
            for ruler in RULERS:
                counts = found.counts[ruler.name]
                yield name, ruler.name, "all", found.overall(ruler), "%", sum(counts)
                for window, share, n in zip(ruler.windows, found.shares[ruler.name], counts, strict=True):
                    yield name, ruler.name, window.name, share, "%", n
            yield name, "MAE", "0-30 min", found.mae_s, "s", found.n
            yield name, "bias", "0-30 min", found.bias_s, "s", found.n
            yield name, "wobble", "0-30 min", found.wobble_s, "s", found.n
            for k, (low, high) in enumerate(BINS_S):
                n = found.n_by_bin[k]
                yield name, "MAE", minutes(low, high), found.mae_by_bin_s[k], "s", n
                yield name, "bias", minutes(low, high), found.bias_by_bin_s[k], "s", n
        i = self.intervals
        for k, name in enumerate([*(minutes(*b) for b in BINS_S), "0-30 min"]):
            yield "interval", "coverage of 80 %", name, i.coverage[k], "%", i.n[k]
            yield "interval", "before p10", name, i.early[k], "%", i.n[k]
            yield "interval", "after p90", name, i.late[k], "%", i.n[k]
            yield "interval", "width", name, i.width_s[k], "s", i.n[k]
        yield "served", "completeness", "0-60 min", self.completeness, "%", self.owed
        yield "served", "after the arrival", "all", _percent(self.after_arrival, self.samples), "%", self.samples
        yield "served", "unrealised", "all", _percent(self.unrealised, self.samples), "%", self.samples


def score(samples: Samples, others: dict[str, Array]) -> Score:
    """Measure samples, and other predictors (POSIX seconds, NaN unknown, one per sample) on the same rows.

    Rows are those that every predictor has an estimate for and whose bus came.
    """
    rows = samples.rows
    columns = {
        name: rows[name].cast(float).fill_null(float("nan")).to_numpy()
        for name in ("made_at", "p10", "p50", "p90", "told", "actual")
    }
    actual = columns["actual"]
    made_at = columns["made_at"]
    median = {P50: columns["p50"]} if rows["p50"].is_not_null().any() else {}  # a served feed tells none
    predictors = {TOLD: columns["told"], **median, **others}
    common = np.isfinite(actual) & (actual - made_at >= MBTA.windows[0].from_s)
    for predicted in predictors.values():
        common &= np.isfinite(predicted)
    identity = rows.select(i=_identity()).to_series().to_numpy()[common]
    never = np.isnan(actual) & ~rows["under_way"].to_numpy()
    near = ~never
    return Score(
        {n: errors(made_at[common], actual[common], p[common], identity) for n, p in predictors.items()},
        intervals(
            made_at[near], actual[near], columns["p10"][near], columns["p50"][near], columns["p90"][near],
            samples.known_until,
        ),
        owed=samples.owed,
        answered=samples.answered,
        after_arrival=int(np.count_nonzero(actual < made_at)),
        unrealised=int(np.count_nonzero(never)),
        samples=rows.height,
    )  # fmt: skip


def score_run(
    run: Path, gtfs: Path | None = None, truth: Path | None = None, skip_s: float = 0.0, lag_s: float = 0.0
) -> Score:
    """Score a run's tables; baselines need the feed that it was run with. Raises UnusableRun, FeedError."""
    samples = served(run, truth, skip_s)
    others: dict[str, Array] = {}
    if gtfs is not None:
        from streams.gtfs.compile import load  # kernels behind both
        from streams.replay.baselines import baselines

        others = baselines(run, load(gtfs), samples, lag_s)
    return score(samples, others)


def score_archive(archive: Path, gtfs: Path, skip_s: float = 0.0, console: Console | None = None) -> Score:
    """Score a served feed (archive.py); its positions go through our tracker into ARCHIVE/tables first.

    Raises UnusableRun, UnusableSource and click.ClickException (a feed that cannot be read).
    """
    from streams.replay.baselines import baselines  # kernels behind all of them
    from streams.replay.run import progress, replay
    from streams.replay.updates import served_feed
    from streams.sources.registry import open_source

    run = archive / "tables"
    recording = open_source([archive / POSITIONS], "gtfs-rt")
    with progress(gtfs, console or Console(stderr=True)) as (network, tell):
        replay(recording, network, run, wanted=(tables.STOP_VISITS, tables.VEHICLE_LOCATIONS), tell=tell)
    samples = served_feed(archive, run, skip_s)
    return score(samples, baselines(run, network, samples))


def collect(archive: Path, urls: tuple[str, str], seconds: float, every_s: float, headers: Mapping[str, str]) -> None:
    """Archive a live feed for so long, or until Ctrl-C; says how it goes. Raises UnusableSource, OSError."""
    console = Console(stderr=True)
    collector = Collector(archive, *urls, every_s=every_s, headers=headers)
    with console.status("") as status:

        def tell(gone_s: float) -> None:
            updates, positions = collector.feeds
            text = (
                f"{clock(gone_s)} of {clock(seconds)}: {updates.fetched:,} messages, {updates.told:,} trips told,"
                f" {positions.told:,} vehicles; Ctrl-C ends and scores"
            )
            status.update("\n".join([text, *failures(collector.feeds)]))

        try:
            collector.collect(seconds, tell)
        except KeyboardInterrupt:
            console.print("ended; scoring what was gathered")
    if not all(feed.fetched for feed in collector.feeds):
        wrong = "\n".join(failures(collector.feeds)) or "no time to ask"
        raise UnusableArchive(f"nothing was gathered:\n{wrong}")


def clock(seconds: float) -> str:
    """h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def minutes(low_s: float, high_s: float) -> str:
    """A bin in minutes."""
    return f"{low_s / 60:g}-{high_s / 60:g} min"


def write_csv(path: Path, found: Score) -> None:
    """Every figure, one a row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for *names, value, unit, n in found.rows():
            out.writerow([*names, "" if np.isnan(value) else f"{value:.2f}", unit, n])


def show(console: Console, found: Score) -> None:
    """The figures as tables for a terminal."""
    errors_table = Table(title="Told time, median and baselines, on the same rows", title_justify="left")
    errors_table.add_column("predictor")
    for heading in ("Transit", *(w.name for w in TRANSIT.windows), "MBTA", "MAE s", "bias s", "wobble s", "n"):
        errors_table.add_column(heading, justify="right")
    for name, e in found.by_predictor.items():
        shares = [e.overall(TRANSIT), *e.shares[TRANSIT.name], e.overall(MBTA)]
        figures = [f"{v:.1f}" for v in shares] + [f"{e.mae_s:.0f}", f"{e.bias_s:+.0f}", f"{e.wobble_s:.1f}"]
        errors_table.add_row(name, *figures, f"{e.n:,}")
    console.print(errors_table)
    i = found.intervals
    if not sum(i.n):
        console.print("the feed tells no intervals")
        _show_served(console, found)
        return
    interval_table = Table(title="80 % interval, by predicted time left", title_justify="left")
    for heading in ("", "inside %", "before p10 %", "after p90 %", "width s", "n"):
        interval_table.add_column(heading, justify="right" if heading else "left")
    for k, name in enumerate([*(minutes(*b) for b in BINS_S), minutes(0, FAR_S)]):
        interval_table.add_row(
            name, f"{i.coverage[k]:.1f}", f"{i.early[k]:.1f}", f"{i.late[k]:.1f}", f"{i.width_s[k]:.0f}", f"{i.n[k]:,}"
        )
    console.print(interval_table)
    _show_served(console, found)


def _show_served(console: Console, found: Score) -> None:
    console.print(
        f"completeness {found.completeness:.2f} % of {found.owed:,} (bus in service × stop within an hour × minute);"
        f" {found.samples:,} estimates served, {_percent(found.after_arrival, found.samples):.2f} % after the bus had"
        f" come, {_percent(found.unrealised, found.samples):.2f} % for a stop it never came to",
        highlight=False,
    )


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else float("nan")


def _identity() -> pl.Expr:
    return pl.struct("trip_id_performed", "scheduled_stop_sequence").rank("dense").cast(pl.Int64)


class Duration(click.ParamType):
    """`90s`, `30m`, `2h`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds. Fails with an example."""
        if isinstance(value, float):
            return value
        number, unit = str(value)[:-1], str(value)[-1:]
        if unit not in _UNITS or not number.replace(".", "", 1).isdigit() or not float(number) > 0:
            self.fail(f"{value!r} is no duration; say 90s, 30m or 2h", param, ctx)
        return float(number) * _UNITS[unit]


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--gtfs", type=click.Path(exists=True, path_type=Path), help="The run's feed: adds the baselines.")
@click.option(
    "--truth", type=click.Path(exists=True, path_type=Path),
    help="visits.parquet of `koridor simulate` (or its folder): judge by when the buses really came.",
)  # fmt: skip
@click.option("--skip", "skip_min", default=0.0, show_default=True, help="Leave out the first so many minutes.")
@click.option("--lag", "lag_s", default=0.0, show_default=True, help="Age (s) of the feed's positions when they came.")
@click.option("--live", metavar="URL", help="Archive this TripUpdates feed, or a Koridor API's, into RUN first.")
@click.option("--positions", metavar="URL", help="VehiclePositions of the same feed; a Koridor API's are known.")
@click.option("--for", "seconds", type=Duration(), default="1h", show_default=True, help="How long, with --live.")
@click.option(
    "--every", "every_s", type=click.FloatRange(1.0, 30.0), default=20.0, show_default=True,
    help="Seconds between two requests, with --live.",
)  # fmt: skip
@click.option("--header", "headers", multiple=True, help="With --live, e.g. 'X-Api-Key: ...'; may be repeated.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every figure here.")
@click.option("--svg", "svg_path", type=click.Path(dir_okay=False, path_type=Path), help="Draw the figures here.")
def command(
    run: Path,
    gtfs: Path | None,
    truth: Path | None,
    skip_min: float,
    lag_s: float,
    live: str | None,
    positions: str | None,
    seconds: float,
    every_s: float,
    headers: Sequence[str],
    csv_path: Path | None,
    svg_path: Path | None,
) -> None:
    """Score the arrival estimates of RUN: a folder that `koridor replay` wrote, or an archive of a served feed.

    \b
    Rulers (github.com/TransitApp/Transit-ETA-Accuracy-Benchmark, github.com/mbta/prediction_analyzer):
      Transit   0-3 min -30/+90 s, 3-6 -60/+150, 6-10 -60/+210, 10-15 -90/+270; mean of the four
      MBTA      0-3 min ±60 s, 3-6 -90/+120, 6-12 -150/+210, 12-30 -240/+360; mean of the four
      early side: the bus came before it was said to. Windows go by the actual time left.
      MAE, bias (positive: buses come later than said) and wobble (change from minute to minute): next half hour
      80 % interval by predicted time left, among estimates whose p90 lies before the last arrival that was seen
    \b
    Baselines, from where the bus is: the timetable's running times; the mean of the last three buses on each
    link; the timetable, told early by the same rule as ours.

    \b
    A recorded day, leaving out the first two hours:
      koridor score run --gtfs gtfs.zip --skip 120 --csv score.csv --svg score.svg
    A simulated one, by the truth:
      koridor score demo/tables --gtfs demo/city.zip --truth demo
    \b
    What is served now, by this API or by anybody: its messages are kept in RUN, and can be scored again. When the
    buses came is what our tracker finds in the feed's own VehiclePositions. Ctrl-C scores what there is.
      koridor score archive --live http://127.0.0.1:8080 --for 2h --gtfs gtfs.zip
      koridor score archive --live https://example.org/TripUpdates.pb --positions https://example.org/Vehicles.pb \\
        --for 30m --gtfs gtfs.zip
      koridor score archive --gtfs gtfs.zip
    """
    from streams.gtfs.feed import FeedError

    console = Console(stderr=True)
    try:
        if live is None and not run.is_dir():
            raise UnusableArchive(f"{run} does not exist; `koridor replay --out {run}` makes it, or --live URL")
        if live is not None or is_archive(run):
            if gtfs is None:
                raise click.UsageError("--gtfs FEED is needed: the feed that the vehicles drive")
            if truth is not None or lag_s:
                raise click.UsageError("--truth and --lag are for a folder that `koridor replay` wrote")
            if live is not None:
                collect(run, addresses(live, positions), seconds, every_s, header_pairs(headers))
            found = score_archive(run, gtfs, 60.0 * skip_min, console)
        else:
            with console.status("Scoring"):
                found = score_run(run, gtfs, truth, 60.0 * skip_min, lag_s)
        if csv_path is not None:
            write_csv(csv_path, found)
        if svg_path is not None:
            svg_path.write_text(picture(found.by_predictor, found.intervals), encoding="utf-8")
    except (UnusableRun, UnusableArchive, UnusableSource, FeedError, OSError) as error:
        raise click.ClickException(str(error)) from None
    show(Console(width=None if Console().is_terminal else 140), found)
    if gtfs is None:
        click.echo("baselines: give the run's feed with --gtfs")
