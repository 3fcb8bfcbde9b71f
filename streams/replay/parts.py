"""What the engine says, put aside on disk as it comes: a recording of a day does not fit into Python objects."""

from pathlib import Path

import numpy as np
import orjson
import polars as pl

from streams.messages import Columns, Kind, Spec, rows

ROWS_PER_PART = 200_000

_DTYPES: dict[Kind, pl.DataType] = {
    Kind.ID: pl.String(),
    Kind.TIME: pl.Float64(),
    Kind.NUMBER: pl.Float64(),
    Kind.INT: pl.Int64(),
    Kind.BOOL: pl.Boolean(),
    Kind.JSON: pl.String(),
}


def frame_of(spec: Spec, columns: Columns) -> pl.DataFrame:
    """Columns as a data frame; unknown is null, JSON is text."""
    return pl.DataFrame({name: _series(name, kind, columns[name]) for name, kind in spec.items()})


def schema_of(spec: Spec) -> dict[str, pl.DataType]:
    """The types that `frame_of` gives."""
    return {name: _DTYPES[kind] for name, kind in spec.items()}


def _series(name: str, kind: Kind, values: np.ndarray) -> pl.Series:
    if kind is Kind.ID:
        return pl.Series(name, values.tolist(), dtype=pl.String)
    if kind is Kind.JSON:
        return pl.Series(name, [None if v is None else orjson.dumps(v).decode() for v in values], dtype=pl.String)
    if kind is Kind.INT:
        series = pl.Series(name, values, dtype=pl.Int64)
        return series.set(series < 0, None)
    if kind is Kind.BOOL:
        return pl.Series(name, values, dtype=pl.Boolean)
    return pl.Series(name, values, dtype=pl.Float64).fill_nan(None)


class Parts:
    """Rows of one kind, in the order in which they were said."""

    def __init__(self, folder: Path, name: str, schema: dict[str, pl.DataType]) -> None:
        self.schema = schema
        self.rows = 0
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._files = 0

    def add(self, frame: pl.DataFrame) -> None:
        """More rows; every now and then they go to disk."""
        if frame.is_empty():
            return
        self._pending.append(frame)
        self._pending_rows += frame.height
        self.rows += frame.height
        if self._pending_rows >= ROWS_PER_PART:
            self._flush()

    def scan(self) -> pl.LazyFrame:
        """All rows so far."""
        self._flush()
        if not self._files:
            return pl.LazyFrame(schema=self.schema)
        return pl.scan_parquet(self._folder / "*.parquet")

    def _flush(self) -> None:
        if self._pending:
            path = self._folder / f"{self._files:06}.parquet"
            pl.concat(self._pending).write_parquet(path, compression="lz4", statistics=False)
            self._files += 1
            self._pending, self._pending_rows = [], 0


def gathered(spec: Spec, said: list[Columns]) -> pl.DataFrame:
    """Several small results as one frame."""
    some = [c for c in said if rows(c)]
    if not some:
        return pl.DataFrame(schema=schema_of(spec))
    return frame_of(spec, {name: np.concatenate([c[name] for c in some]) for name in spec})
