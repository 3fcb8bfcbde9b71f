"""Arrival estimates as a passenger saw them: at every full minute the last statement made, and when the bus came.

A statement holds until the next one for the same bus and stop, or until it has lapsed (60 s without being repeated).
When the bus came is what the tracker found (`stop_visits`), or what the generator knows (its `visits` file).
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from streams.replay import tables
from streams.replay.tables import Table

LAPSED_S = 60.0
AHEAD_S = 3600.0  # estimates are owed for the next hour
SAME_VISIT_S = 180.0  # a visit found this near to a true one is of the same run
_TIMES = ("arrival_p10", "arrival_p50", "arrival_p90", "arrival_time")
_ABOUT = ("vehicle_id", "trip_id_scheduled", "stop_id")
STOP = ("trip_id_performed", "scheduled_stop_sequence")


class UnusableRun(ValueError):
    """A folder holds no tables that can be scored; the message says what is missing and how to make it."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What was served.

    rows: made_at (a full minute), trip_id_performed, scheduled_stop_sequence, vehicle_id, trip_id_scheduled, stop_id,
    p10, p50, p90 (null where a feed tells one time only), told, actual (null: not seen to come) and under_way (the
    run was still on its way there when the recording ended). Times are POSIX seconds.
    """

    rows: pl.DataFrame
    visits: pl.DataFrame  # of `visits_of`: what the tracker found
    owed: int  # bus in service x stop ahead x minute
    answered: int  # of those, with an estimate
    known_until: float  # what came after this was not seen: end of the recording, or of what is known of arrivals


def table(run: Path, which: Table) -> pl.LazyFrame:
    """A table of a run: a file or a folder of parts. Raises UnusableRun."""
    file, parts = run / f"{which.name}.parquet", run / which.name
    if file.is_file():
        return pl.scan_parquet(file)
    if parts.is_dir() and any(parts.glob("*.parquet")):
        return pl.scan_parquet(parts / "*.parquet")
    raise UnusableRun(
        f"{run} has no {which.name}.parquet; make it with: koridor replay --gtfs FEED --pings FILE --out {run}"
    )


def seconds(name: str) -> pl.Expr:
    """A time of a table as POSIX seconds."""
    return pl.col(name).dt.epoch("ms").cast(pl.Float64) / 1000.0


def served(run: Path, truth: Path | None = None, skip_s: float = 0.0) -> Samples:
    """The samples of a run's tables.

    truth   the generator's visits file, or the folder it is in
    skip_s  leave out what was stated in so many seconds from the first statement on (a cold start)

    Raises UnusableRun.
    """
    said = table(run, tables.ARRIVAL_ESTIMATES)
    first, last = said.select(low=seconds("made_at").min(), high=seconds("made_at").max()).collect().row(0)
    if first is None:
        raise UnusableRun(f"{run}: arrival_estimates has no rows; was the recording on routes of this feed?")
    since = first + skip_s
    rows = _at_full_minutes(said, since)
    visits = visits_of(run)
    if truth is None:
        actual = visits.select(*STOP, "arrival", ride="trip_id_performed").with_row_index("visit")
    else:
        actual = true_arrivals(visits, truth, rows)
    of_run = "trip_id_performed"
    reached = actual.group_by(of_run).agg(reached=pl.col("scheduled_stop_sequence").max())
    going = pl.col("made_at").max().over(of_run) > last - 2 * LAPSED_S
    rows = (
        rows.join(actual.select(*STOP, "visit", actual="arrival"), on=STOP, how="left")
        .join(reached, on=of_run, how="left")
        .with_columns(under_way=going & (pl.col("scheduled_stop_sequence") > pl.col("reached").fill_null(-1)))
        .drop("reached")
        .sort("made_at", *STOP)
    )
    due = owed(actual, since, last)
    answered = due.join(rows.select("made_at", "visit"), on=["made_at", "visit"], how="semi").height
    # A few pings that come late carry record time on for minutes in which nobody is seen to arrive.
    seen = actual.select(pl.col("arrival").max()).item()
    return Samples(rows.drop("visit"), visits, due.height, answered, last if seen is None else min(seen, last))


def visits_of(run: Path) -> pl.DataFrame:
    """Stops that buses were seen to come to: STOP, vehicle_id, trip_id_scheduled, stop_id, arrival and departure."""
    return (
        table(run, tables.STOP_VISITS)
        .filter(pl.col("actual_arrival_time").is_not_null())
        .select(
            *STOP,
            "vehicle_id",
            "trip_id_scheduled",
            "stop_id",
            arrival=seconds("actual_arrival_time"),
            departure=seconds("actual_departure_time"),
        )
        .collect()
    )


def _at_full_minutes(said: pl.LazyFrame, since: float) -> pl.DataFrame:
    key = list(STOP)
    renamed = {"arrival_p10": "p10", "arrival_p50": "p50", "arrival_p90": "p90", "arrival_time": "told"}
    minute = (pl.col("said_at") / 60.0).ceil() * 60.0
    return (
        said.select(*key, *_ABOUT, said_at=seconds("made_at"), **{n: seconds(n) for n in _TIMES})
        .rename(renamed)
        .sort(*key, "said_at")
        .with_columns(until=pl.min_horizontal(pl.col("said_at").shift(-1).over(key), pl.col("said_at") + LAPSED_S))
        .with_columns(made_at=minute)
        # Repeated at least every LAPSED_S, a statement stands at one full minute at most.
        .filter((pl.col("made_at") < pl.col("until")) & pl.col("p50").is_not_null() & (pl.col("made_at") >= since))
        .select("made_at", *key, *_ABOUT, *renamed.values())
        .collect()
    )


def owed(actual: pl.DataFrame, since: float, last: float) -> pl.DataFrame:
    """Every full minute x stop that a bus in service was to reach within AHEAD_S, and did reach: made_at, visit."""
    run = pl.col("arrival").min().over("ride")
    first = pl.max_horizontal(run, pl.col("arrival") - AHEAD_S, pl.lit(since))
    return (
        actual.unique("visit", keep="first", maintain_order=True)
        .select("visit", "arrival", first=(first / 60.0).floor() * 60.0 + 60.0)
        .filter((pl.col("first") < pl.col("arrival")) & (pl.col("arrival") <= last))
        .with_columns(
            made_at=pl.int_ranges(pl.col("first").cast(pl.Int64), pl.col("arrival").ceil().cast(pl.Int64), 60)
        )
        .explode("made_at")
        .select(pl.col("made_at").cast(pl.Float64), "visit")
    )


def true_arrivals(visits: pl.DataFrame, truth: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """The generator's arrivals under the tracker's ids: trip_id_performed, scheduled_stop_sequence, arrival, and what
    they are of, visit and ride.

    A run is the true run of its vehicle with which it shares most visits. A true run that was not found keeps an id
    of its own, so that it is owed estimates all the same. Raises UnusableRun.
    """
    file = truth / "visits.parquet" if truth.is_dir() else truth
    if not file.is_file():
        raise UnusableRun(f"{file} does not exist; `koridor simulate` writes it beside the pings")
    known = pl.read_parquet(file)
    missing = {"vehicle_id", "run", "stop_sequence", "stop_id", "arrival_time"} - set(known.columns)
    if missing:
        raise UnusableRun(f"{file} is no visits file of `koridor simulate`: {', '.join(sorted(missing))} is missing")
    seq = pl.col("scheduled_stop_sequence")
    known = (
        known.filter(pl.col("arrival_time").is_not_null())
        .select(
            "vehicle_id", "run", "stop_id", scheduled_stop_sequence=pl.col("stop_sequence").cast(pl.Int32),
            arrival="arrival_time", ride=pl.format("{}:{}:true", "vehicle_id", "run"),
        )
        .with_row_index("visit")
    )  # fmt: skip
    shared = (
        visits.join(known, on=["vehicle_id", "stop_id"], suffix="_true")
        .filter((pl.col("arrival") - pl.col("arrival_true")).abs() <= SAME_VISIT_S)
        .group_by("vehicle_id", "trip_id_performed", "run")
        .len()
        .sort("len", "trip_id_performed", "run", descending=[True, False, False])
        .unique("trip_id_performed", keep="first", maintain_order=True)
        .select("vehicle_id", "trip_id_performed", "run")
    )
    found = known.join(shared, on=["vehicle_id", "run"], how="left").with_columns(
        pl.coalesce("trip_id_performed", "ride")
    )
    # Variants of a route number their stops differently: a stop is told by its id, where a run comes there twice by
    # its number too.
    asked = pl.concat([rows.select(*STOP, "stop_id"), visits.select(*STOP, "stop_id")]).unique()
    place = ["trip_id_performed", "stop_id"]
    nth = pl.when(pl.len().over(place) > 1).then(seq)
    return (
        found.with_columns(nth=nth)
        .join(asked.with_columns(nth=nth), on=[*place, "nth"], how="left", nulls_equal=True, suffix="_said")
        .with_columns(scheduled_stop_sequence=pl.coalesce("scheduled_stop_sequence_said", seq))
        .select(*STOP, "arrival", "visit", "ride")
        .unique(list(STOP), keep="first", maintain_order=True)
    )
