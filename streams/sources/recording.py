"""A recording: pings in the order of record time, and the rows that could not be read.

Record time is when the recording says that it received a row (its ingest time). Where it does not say, it is the
running maximum of event time in file order; and where the file is not in the order of time at all (sorted by vehicle,
say), the rows are first put in the order of event time. `ordered_by` tells which it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from streams.messages import PING, Columns, Kind

BATCH_ROWS = 8192

# A file whose rows lie more than this behind the newest before them, for more than this share, is not in time order.
_BEHIND_S = 600.0
_SHARE_BEHIND = 0.01
# Without an ingest time a clock in the future would drag record time along: event times this far beyond nearly
# all others of the file do not move it, and the engine rejects them by name.
_FUTURE_S = 3600.0
_NEARLY_ALL = 0.999

DTYPES: dict[Kind, pl.DataType] = {
    Kind.ID: pl.String(),
    Kind.TIME: pl.Float64(),
    Kind.NUMBER: pl.Float64(),
    Kind.INT: pl.Int64(),
}
SCHEMA: dict[str, pl.DataType] = {
    **{name: DTYPES[kind] for name, kind in PING.items()},
    "record_time": pl.Float64(),
    "source": pl.String(),
    "source_index": pl.Int64(),
}
REJECTS: dict[str, pl.DataType] = {
    "source": pl.String(),
    "source_index": pl.Int64(),
    "event_timestamp": pl.Float64(),
    "vehicle_id": pl.String(),
    "reason": pl.String(),
    "raw": pl.String(),
}


class UnusableSource(ValueError):
    """A recording cannot be read at all; the message names the file and what would be right."""


class Batch(NamedTuple):
    """Pings that follow one another in record time."""

    pings: Columns  # PING
    record_time: np.ndarray  # float64, POSIX seconds, never decreasing
    source: np.ndarray  # object: name of the file
    source_index: np.ndarray  # int64: row of the file, from 0


@dataclass(frozen=True, slots=True)
class Recording:
    """Pings of one or more files. `frame` has the columns of SCHEMA, `rejects` those of REJECTS."""

    frame: pl.DataFrame
    rejects: pl.DataFrame
    ordered_by: str  # "ingest time", "file order" or "event time"
    notes: dict[str, int] = field(default_factory=dict)  # what was odd but usable, counted

    @property
    def rows(self) -> int:
        """Pings and rejects together: every row that was read."""
        return self.frame.height + self.rejects.height

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The pings, `rows` at a time, in record time order."""
        for part in self.frame.iter_slices(rows):
            yield Batch(
                to_columns(part),
                part["record_time"].to_numpy(),
                _objects(part["source"]),
                part["source_index"].to_numpy(),
            )


def to_columns(frame: pl.DataFrame) -> Columns:
    """The PING columns of a frame as they look in memory."""
    columns: Columns = {}
    for name, kind in PING.items():
        series = frame[name]
        if kind is Kind.ID:
            columns[name] = _objects(series)
        elif kind is Kind.INT:
            columns[name] = series.fill_null(-1).to_numpy()
        else:
            columns[name] = series.fill_null(float("nan")).to_numpy()
    return columns


def from_columns(columns: Columns) -> pl.DataFrame:
    """The PING columns of a frame from those in memory; the inverse of `to_columns`."""
    series = []
    for name, kind in PING.items():
        values = columns[name]
        if kind is Kind.ID:
            series.append(pl.Series(name, values.tolist(), dtype=pl.String))
        elif kind is Kind.INT:
            series.append(pl.Series(name, [None if v < 0 else v for v in values.tolist()], dtype=pl.Int64))
        else:
            series.append(pl.Series(name, values, dtype=pl.Float64).fill_nan(None))
    return pl.DataFrame(series)


def in_order(frame: pl.DataFrame, rejects: pl.DataFrame, notes: dict[str, int] | None = None) -> Recording:
    """A recording of rows in file order; `record_time` is null (or no column) where there is no ingest time."""
    if "record_time" in frame.columns and frame.height and frame["record_time"].null_count() == 0:
        ordered = frame.sort("record_time", maintain_order=True)
        return Recording(ordered.select(*SCHEMA), rejects, "ingest time", notes or {})
    if frame.is_empty():
        return Recording(pl.DataFrame(schema=SCHEMA), rejects, "file order", notes or {})
    ordered_by = "file order"
    behind = frame["timestamp"].cum_max() - frame["timestamp"]
    if (behind > _BEHIND_S).mean() > _SHARE_BEHIND:  # type: ignore[operator]
        frame = frame.sort("timestamp", maintain_order=True)
        ordered_by = "event time"
    usual = frame["timestamp"].quantile(_NEARLY_ALL, interpolation="nearest")
    assert usual is not None
    record_time = pl.when(pl.col("timestamp") <= usual + _FUTURE_S).then(pl.col("timestamp"))
    frame = frame.with_columns(record_time=record_time.cum_max().forward_fill().backward_fill())
    return Recording(frame.select(*SCHEMA), rejects, ordered_by, notes or {})


def merge(recordings: Sequence[Recording]) -> Recording:
    """Several recordings as one, in record time order; of equal times the earlier one's rows come first."""
    if len(recordings) == 1:
        return recordings[0]
    notes: dict[str, int] = {}
    for recording in recordings:
        for name, count in recording.notes.items():
            notes[name] = notes.get(name, 0) + count
    frame = pl.concat([r.frame for r in recordings]) if recordings else pl.DataFrame(schema=SCHEMA)
    rejects = pl.concat([r.rejects for r in recordings]) if recordings else pl.DataFrame(schema=REJECTS)
    ways = sorted({r.ordered_by for r in recordings})
    return Recording(frame.sort("record_time", maintain_order=True), rejects, " and ".join(ways), notes)


def _objects(series: pl.Series) -> np.ndarray:
    out = np.empty(len(series), dtype=object)
    if series.null_count() < len(series):
        out[:] = series.to_list()
    return out
