"""Samples from a served feed: TripUpdates as passengers saw them, and when the buses came.

When they came is what our tracker finds in the feed's own VehiclePositions (`stop_visits` of a replay of them). Which
of its runs an update speaks of is told by where and when the update *stops* speaking of a stop (the bus has come), not
by how near the predicted time was: a wrong prediction is to stay one.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from streams.gtfs_rt import decode
from streams.replay.archive import POSITIONS, UPDATES, fetched_at
from streams.replay.samples import LAPSED_S, STOP, Samples, UnusableRun, owed, visits_of
from streams.sources.files import members

SAME_VISIT_S = 900.0  # an update that ends this near to a visit may be of its run
AFTER_S = 30.0  # a time that is further past is of a stop that was passed
UPDATE = ("trip_id", "start_date", "start_time", "vehicle_id")  # what makes an update one of its kind
_SCHEMA = {
    "said_at": pl.Float64,
    **dict.fromkeys(UPDATE, pl.String),
    "stop_sequence": pl.Int32,
    "stop_id": pl.String,
    "told": pl.Float64,
}


def statements(messages: Iterable[tuple[str, bytes]]) -> pl.DataFrame:
    """Every time told in named messages: said_at, UPDATE's columns, stop_sequence, stop_id, told (POSIX seconds).

    An arrival where there is one, else a departure. What is no GTFS-Realtime message, and stops without a time, are
    left out; a text that the sender left out is null.
    """
    rows: list[tuple[object, ...]] = []
    for name, data in messages:
        try:
            message = decode(data)
        except ValueError:
            continue
        at = fetched_at(name, float(message.header.timestamp))
        for entity in message.entity:
            if entity.is_deleted or not entity.HasField("trip_update"):
                continue
            update = entity.trip_update
            trip, vehicle = update.trip, update.vehicle
            which = (
                trip.trip_id or None,
                trip.start_date or None,
                trip.start_time or None,
                vehicle.id or vehicle.label or vehicle.license_plate or None,
            )
            for stop in update.stop_time_update:
                event = stop.arrival if stop.arrival.time else stop.departure
                if event.time and stop.schedule_relationship in (stop.SCHEDULED, stop.UNSCHEDULED):
                    sequence = stop.stop_sequence if stop.HasField("stop_sequence") else None
                    rows.append((at, *which, sequence, stop.stop_id or None, float(event.time)))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("said_at", maintain_order=True)


def standing(said: pl.DataFrame) -> pl.DataFrame:
    """What stood at every full minute, as made_at: the newest message, at most LAPSED_S old."""
    fetched = said.select("said_at").unique().sort("said_at")
    if fetched.is_empty():
        return said.with_columns(made_at=pl.col("said_at")).clear()
    first, last = fetched["said_at"][0], fetched["said_at"][-1]
    full = pl.int_range(int(-(-first // 60)), int((last + LAPSED_S) // 60) + 1, eager=True)
    minutes = pl.DataFrame({"made_at": full.cast(pl.Float64) * 60.0}).join_asof(
        fetched.with_columns(newest="said_at"), left_on="made_at", right_on="said_at", strategy="backward"
    )
    minutes = minutes.filter(pl.col("made_at") - pl.col("newest") < LAPSED_S).select("made_at", said_at="newest")
    return minutes.join(said, on="said_at", how="inner", maintain_order="left")


def served_feed(archive: Path, run: Path, skip_s: float = 0.0) -> Samples:
    """The samples of an archive whose positions were replayed into the folder `run`; p10, p50 and p90 are null.

    Raises UnusableRun.
    """
    said = statements(members(archive / UPDATES))
    if said.is_empty():
        raise UnusableRun(f"{archive / UPDATES} tells no arrival: are these TripUpdates with times?")
    visits = visits_of(run)
    if visits.is_empty():
        raise UnusableRun(f"{archive / POSITIONS}: no bus was seen to come to a stop; is --gtfs the feed they drive?")
    first, last = float(said["said_at"][0]), float(said["said_at"][-1])
    since = first + skip_s
    runs = runs_of(said, visits)
    rows = (
        standing(said)
        .filter(pl.col("made_at") >= since)
        .unique(["made_at", *UPDATE, "stop_sequence", "stop_id"], keep="first", maintain_order=True)
        .join(runs, on=list(UPDATE), how="left", nulls_equal=True)
    )
    actual = visits.select(*STOP, "vehicle_id", "stop_id", "arrival", ride="trip_id_performed").with_row_index("visit")
    place = ["trip_id_performed", "stop_id"]
    several = pl.len().over(place) > 1  # a run that comes to a stop twice: its number tells which
    told = rows.join(
        actual.select(*place, nth=pl.when(several).then("scheduled_stop_sequence"), actual="arrival", visit="visit",
                      scheduled_stop_sequence="scheduled_stop_sequence"),
        on="trip_id_performed", how="inner", suffix="_seen",
    )  # fmt: skip
    told = told.filter(
        pl.col("stop_id").fill_null(pl.col("stop_id_seen")) == pl.col("stop_id_seen"),
        pl.col("stop_sequence").fill_null(-1)
        == pl.when(pl.col("nth").is_not_null() | pl.col("stop_id").is_null())
        .then("scheduled_stop_sequence")
        .otherwise(pl.col("stop_sequence").fill_null(-1)),
    )
    key = ["made_at", *UPDATE, "stop_sequence", "stop_id"]
    rows = rows.join(
        told.select(*key, "actual", "visit", "scheduled_stop_sequence").unique(key, keep="first", maintain_order=True),
        on=key, how="left", nulls_equal=True,
    )  # fmt: skip
    reached = actual.group_by("trip_id_performed").agg(reached=pl.col("scheduled_stop_sequence").max())
    going = pl.col("made_at").max().over(*UPDATE) > last - 2 * LAPSED_S
    unknown = pl.lit(None, dtype=pl.Float64)
    rows = (
        rows.join(reached, on="trip_id_performed", how="left")
        .with_columns(
            # what no run was found for keeps a name of its own
            trip_id_performed=pl.coalesce(
                "trip_id_performed", pl.concat_str(*UPDATE, separator=":", ignore_nulls=True)
            ),
            scheduled_stop_sequence=pl.coalesce("scheduled_stop_sequence", "stop_sequence").fill_null(-1),
            under_way=going & (pl.col("stop_sequence").fill_null(-1) > pl.col("reached").fill_null(-1)),
            trip_id_scheduled="trip_id",
            p10=unknown, p50=unknown, p90=unknown,
        )
        .filter(pl.col("actual").is_not_null() | (pl.col("told") >= pl.col("made_at") - AFTER_S))
        .sort("made_at", *STOP)
    )  # fmt: skip
    due = owed(actual, since, last)
    answered = due.join(rows.select("made_at", "visit"), on=["made_at", "visit"], how="semi").height
    columns = ("made_at", *STOP, "vehicle_id", "trip_id_scheduled", "stop_id", "p10", "p50", "p90", "told", "actual")
    return Samples(rows.select(*columns, "under_way"), visits, due.height, answered, last)


def runs_of(said: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """The tracker's run that each update speaks of: UPDATE's columns and trip_id_performed.

    Votes: every stop that an update stopped speaking of within SAME_VISIT_S of a visit of that stop by its vehicle (of
    an update that names none, by a vehicle on its trip) speaks for the visit's run.
    """
    ends = (
        said.filter(pl.col("told") >= pl.col("said_at") - AFTER_S)
        .group_by(*UPDATE, "stop_sequence", "stop_id")
        .agg(ends=pl.col("said_at").max())
        .with_row_index("place")
    )
    seen = visits.select(
        "trip_id_performed", "vehicle_id", "arrival", stop_id="stop_id", trip_id="trip_id_scheduled",
        stop_sequence="scheduled_stop_sequence",
    )  # fmt: skip
    found = []
    for owner, mine in (
        ("vehicle_id", ends.filter(pl.col("vehicle_id").is_not_null())),
        ("trip_id", ends.filter(pl.col("vehicle_id").is_null())),
    ):
        for at, some in (
            ("stop_id", mine.filter(pl.col("stop_id").is_not_null())),
            ("stop_sequence", mine.filter(pl.col("stop_id").is_null())),
        ):
            found.append(
                some.join(seen.select(owner, at, "arrival", "trip_id_performed"), on=[owner, at]).select(
                    *UPDATE, "place", "trip_id_performed", off=(pl.col("arrival") - pl.col("ends")).abs()
                )
            )
    return (
        pl.concat(found)
        .filter(pl.col("off") <= SAME_VISIT_S)
        .group_by(*UPDATE, "trip_id_performed")
        .agg(votes=pl.col("place").n_unique(), off=pl.col("off").mean())
        .sort("votes", "off", "trip_id_performed", descending=[True, False, False])
        .unique(list(UPDATE), keep="first", maintain_order=True)
        .select(*UPDATE, "trip_id_performed")
    )
