"""What is known of a position in the end.

A vehicle is seen to leave its route, or to drive to the depot, some positions after it began to: the rows say since
when (`phase_since`). Those in between take over what the first row that knew says.
"""

from collections.abc import Sequence

import polars as pl


def in_hindsight(positions: pl.LazyFrame, words: Sequence[str]) -> pl.LazyFrame:
    """The last words on positions (columns of messages.POSITION), those of each vehicle in the order of their time.

    words  columns that say what a vehicle does; no others change
    """
    does = pl.when("off_route").then(pl.lit("off")).otherwise("trip_type")  # null: undecided, which ends nothing
    vehicle = "vehicle_id"
    begins = does.is_not_null() & does.ne_missing(does.forward_fill().shift().over(vehicle))
    since = pl.col("phase_since").drop_nulls().first().over(vehicle, "_stretch")
    told = pl.when("_begins").then(since.fill_null(float("inf")))
    late = pl.col("timestamp") >= told.shift(-1).backward_fill().over(vehicle)
    knew = pl.when("_begins").then("_row").shift(-1).backward_fill()  # of this vehicle wherever `late` is
    return (
        positions.sort(vehicle, "timestamp")
        .with_row_index("_row")
        .with_columns(_begins=begins)
        .with_columns(_stretch=pl.col("_begins").cum_sum().over(vehicle))
        .with_columns(_knew=pl.when(late).then(knew).otherwise("_row"))
        .with_columns(pl.col(*words).gather(pl.col("_knew")))
        .drop("_row", "_begins", "_stretch", "_knew")
    )
