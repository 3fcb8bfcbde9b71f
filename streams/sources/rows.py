"""Rows of any table → pings: foreign names, text that should be numbers, and the rows that cannot be used.

A row is rejected when one of the four required fields is missing or unreadable. An optional field that cannot be read
is unknown, and counted. Whether a place or a time is believable is the engine's to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
import polars as pl

from streams.engine.rejects import RAW_BYTES, Reject
from streams.messages import PING, PING_REQUIRED, Kind
from streams.sources.recording import REJECTS, Recording, UnusableSource, in_order
from streams.sources.times import posix

# What a table may call a column when nothing is said: the names of GTFS-Realtime, of TIDES and of the tables that
# `koridor replay` writes. Only names whose unit is beyond doubt.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("event_timestamp", "vehicle_timestamp"),
    "lat": ("latitude",),
    "lon": ("longitude", "lng"),
    "trip_id": ("trip_id_scheduled",),
    "start_date": ("trip_start_date",),
    "start_time": ("trip_start_time",),
    "bearing_deg": ("bearing", "heading"),
    "odometer_m": ("odometer",),
    "record_time": ("ingest_time", "feed_timestamp", "received_at"),
}
# Names that may stand on the left of --columns: a ping's own, the ingest time, and other units.
NAMES = (*PING, "record_time", "speed_kmh", "odometer_km")


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a recording."""

    columns: Mapping[str, str] = field(default_factory=dict)  # our name -> the file's
    timezone: str | None = None  # of times without a zone
    time_format: str | None = None  # strptime form of text times


def parse_columns(text: str | None) -> dict[str, str]:
    """`vehicle_id=VehicleNumber,timestamp=Time` as a mapping. Raises UnusableSource."""
    out: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        ours, separator, theirs = (p.strip() for p in part.partition("="))
        if not separator or not theirs:
            raise UnusableSource(f"--columns {part!r}: needs OURS=THEIRS, for example vehicle_id=VehicleNumber")
        if ours not in NAMES:
            raise UnusableSource(f"--columns {part!r}: {ours!r} is none of {', '.join(NAMES)}")
        out[ours] = theirs
    return out


def pings_of(
    table: pl.DataFrame,
    source: str | pl.Series,
    options: Options,
    *,
    index: pl.Series | None = None,
    rejects: pl.DataFrame | None = None,
) -> Recording:
    """The pings of a table in file order. Raises UnusableSource when a required column is missing.

    source   name of the file, or of each row's file
    index    of each row in its file; 0, 1, 2, … if not given
    rejects  rows of the file that never made it into the table
    """
    label = source if isinstance(source, str) else (source[0] if len(source) else "recording")
    chosen = _choose(table.columns, label, options)
    n = table.height
    notes: dict[str, int] = {}
    present: dict[str, pl.Series] = {}  # was there a value at all
    strange: dict[str, pl.Series] = {}  # was it NaN or infinite
    cells = {ours: _blank_is_null(table[theirs].alias(ours)) for ours, theirs in chosen.items()}

    def numbers(name: str) -> pl.Series:
        values = cells[name]
        if values.dtype == pl.String:
            values = values.str.strip_chars().cast(pl.Float64, strict=False)
        elif not values.dtype.is_numeric() or values.dtype == pl.Boolean:
            values = values.cast(pl.String, strict=False).cast(pl.Float64, strict=False)
        values = values.cast(pl.Float64)
        strange[name] = values.is_not_null() & ~values.is_finite().fill_null(True)
        return values.set(strange[name], None)

    def ids(name: str) -> pl.Series:
        return _text(cells[name])

    out: dict[str, pl.Series] = {}
    for name, kind in PING.items():
        if kind is Kind.TIME or name not in cells:
            continue
        if kind is Kind.ID:
            out[name] = ids(name)
        elif kind is Kind.INT:
            whole = numbers(name)
            out[name] = whole.set(whole.is_not_null() & ~whole.is_in([0.0, 1.0]), None).cast(pl.Int64)
        else:
            out[name] = numbers(name)
        present[name] = cells[name].is_not_null()
    for name, factor, ours in (("speed_kmh", 1 / 3.6, "speed_mps"), ("odometer_km", 1000.0, "odometer_m")):
        if name in cells:
            out[ours] = numbers(name) * factor
            present[ours] = cells[name].is_not_null()
    if "start_date" in out:
        # 20260115, 2026-01-15: GTFS-Realtime writes the first.
        out["start_date"] = out["start_date"].str.replace_all("-", "", literal=True)
    received = None
    if "record_time" in cells:
        received = posix(cells["record_time"], options.timezone, options.time_format)
    out["timestamp"] = posix(
        cells["timestamp"],
        options.timezone,
        options.time_format,
        vehicle_id=out["vehicle_id"],
        record_time=received,
    )
    present["timestamp"] = cells["timestamp"].is_not_null()

    frame = pl.DataFrame(
        {
            **{name: out.get(name, pl.Series([None], dtype=pl.Null).new_from_index(0, n)) for name in PING},
            "record_time": received if received is not None else pl.Series([None]).new_from_index(0, n),
        }
    ).with_columns(
        *(pl.col(name).cast(pl.String if kind is Kind.ID else pl.Int64 if kind is Kind.INT else pl.Float64)
          for name, kind in PING.items()),
        pl.col("record_time").cast(pl.Float64),
        source=pl.lit(source) if isinstance(source, str) else source,
        source_index=pl.int_range(0, n, dtype=pl.Int64) if index is None else index.cast(pl.Int64),
    )  # fmt: skip
    for name in PING:
        if name not in PING_REQUIRED and name in present:
            unreadable = int((present[name] & frame[name].is_null()).sum())
            if unreadable:
                notes[f"{name} cannot be read"] = unreadable
    reason = pl.Series([None], dtype=pl.String).new_from_index(0, n)
    for name in reversed(PING_REQUIRED):
        lost = frame[name].is_null()
        reason = reason.set(lost & present[name], Reject.WRONG_TYPE.name)
        if name in strange:
            reason = reason.set(lost & strange[name], Reject.NOT_A_NUMBER.name)
        reason = reason.set(lost & ~present[name], Reject.MISSING_FIELD.name)
    usable = reason.is_null()
    before = pl.DataFrame(schema=REJECTS) if rejects is None else rejects
    if usable.all():
        return in_order(frame, before, notes)
    bad = (~usable).arg_true()
    lost_rows = frame[bad].select(
        "source", "source_index", pl.col("timestamp").alias("event_timestamp"), "vehicle_id",
        reason=reason[bad], raw=pl.Series(_raw(table[bad]), dtype=pl.String),
    )  # fmt: skip
    return in_order(frame.filter(usable), pl.concat([before, lost_rows]), notes)


def _choose(names: list[str], source: str, options: Options) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for ours, theirs in options.columns.items():
        if theirs not in names:
            raise UnusableSource(f"{source}: there is no column {theirs!r}; it has {', '.join(names)}")
        chosen[ours] = theirs
    for ours in NAMES:
        if ours not in chosen:
            for candidate in (ours, *ALIASES.get(ours, ())):
                if candidate in names and candidate not in chosen.values():
                    chosen[ours] = candidate
                    break
    missing = [name for name in PING_REQUIRED if name not in chosen]
    if missing:
        raise UnusableSource(
            f"{source}: no column for {', '.join(missing)}; it has {', '.join(names)}."
            f" Say which it is: --columns {missing[0]}=NAME"
        )
    return chosen


def _blank_is_null(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.set(column.str.strip_chars() == "", None)
    if column.dtype.is_float():
        return column.fill_nan(None)
    return column


def _text(column: pl.Series) -> pl.Series:
    """Ids as text. A column of whole numbers with a decimal point is what some writers make of integers with gaps."""
    if column.dtype.is_float():
        whole = column.drop_nulls()
        if (whole == whole.round()).all():
            return column.cast(pl.Int64).cast(pl.String)
        return column.cast(pl.String)
    text = column.cast(pl.String, strict=False).str.strip_chars()
    known = text.drop_nulls()
    if len(known) and known.str.contains(r"^\d+\.0$").all():
        return text.str.strip_suffix(".0")
    return text


def reject(source: str, index: int, reason: Reject, raw: bytes) -> dict[str, object]:
    """A row of REJECTS for something of which no field could be read."""
    return {
        "source": source,
        "source_index": index,
        "event_timestamp": None,
        "vehicle_id": None,
        "reason": reason.name,
        "raw": raw[:RAW_BYTES].decode("utf-8", errors="replace"),
    }


def _raw(table: pl.DataFrame) -> list[str]:
    return [orjson.dumps(row, default=str).decode() for row in table.iter_rows(named=True)]
