"""What is known of a position in the end.

A vehicle is seen to leave its route, or to drive to the depot, some positions after it began to: the rows say since
when (`phase_since`). Those in between take over what the first row that knew says; of several, the last one that did.
"""

from collections.abc import Sequence

import polars as pl


def in_hindsight(positions: pl.LazyFrame, words: Sequence[str]) -> pl.LazyFrame:
    """The last words on positions (columns of messages.POSITION), those of each vehicle in the order of their time.

    words  columns that say what a vehicle does; no others change
    """
    does = pl.when("off_route").then(pl.lit("off")).otherwise("trip_type")  # null: undecided, which ends nothing
    begins = does.is_not_null() & does.ne_missing(does.forward_fill().shift().over("vehicle_id"))
    since = pl.col("phase_since").drop_nulls().first().over("vehicle_id", "_stretch")
    rows = (
        positions.sort("vehicle_id", "timestamp")
        .with_row_index("_row")
        .with_columns(_begins=begins)
        .with_columns(_stretch=pl.col("_begins").cum_sum().over("vehicle_id"))
    )
    # The last stretch that had begun by a position holds there. With `_since` made to rise, an as-of join finds it.
    knew = (
        rows.with_columns(_since=since)
        .filter("_begins", pl.col("_since").is_not_null())
        .select("vehicle_id", _knew="_row", _since=pl.col("_since").reverse().cum_min().reverse().over("vehicle_id"))
        .sort("_since", maintain_order=True)
    )
    return (
        rows.sort("timestamp", maintain_order=True)
        .join_asof(
            knew, left_on="timestamp", right_on="_since", by="vehicle_id", strategy="backward", check_sortedness=False
        )
        .sort("_row")
        .with_columns(pl.col(*words).gather(pl.max_horizontal("_row", "_knew")))
        .drop("_row", "_begins", "_stretch", "_knew")
    )
