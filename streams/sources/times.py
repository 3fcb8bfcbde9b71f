"""Times as sources write them: POSIX numbers, ISO 8601, or a city's local clock."""

import zoneinfo

import polars as pl

from streams.sources.recording import UnusableSource

_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f UTC")
_LOCAL = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S")
_JUMP_S = 1800.0


def check_zone(timezone: str) -> str:
    """The zone's name if the zone database has it. Raises UnusableSource."""
    if timezone not in zoneinfo.available_timezones():
        raise UnusableSource(f"time zone {timezone!r} is not an IANA name such as Europe/Warsaw or Asia/Jakarta")
    return timezone


def posix(
    column: pl.Series,
    timezone: str | None = None,
    time_format: str | None = None,
    *,
    vehicle_id: pl.Series | None = None,
    record_time: pl.Series | None = None,
) -> pl.Series:
    """POSIX seconds of a column of times; null where there is none or it cannot be read.

    column       numbers (s, or ms and µs by their size), datetimes, or text
    timezone     of times that carry no zone; UnusableSource if such times occur without it
    time_format  strptime format of text, for forms other than ISO 8601 (`%d/%m/%Y %H:%M:%S`)
    vehicle_id, record_time
                 tell the two passes of the hour that occurs twice when clocks are set back: by the ingest time where
                 there is one, else a vehicle's clock that jumped back is in the second pass. A local time that never
                 was is null.
    """
    dtype = column.dtype
    if dtype.is_numeric():
        return _seconds(column.cast(pl.Float64))
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            return column.dt.timestamp("us").cast(pl.Float64) / 1e6
        return _from_local(column, timezone, vehicle_id, record_time)
    text = column.cast(pl.String).str.strip_chars()
    if time_format is not None:
        try:
            parsed = text.str.to_datetime(time_format, time_unit="us", strict=False)
        except pl.exceptions.PolarsError as error:
            raise UnusableSource(f"time format {time_format!r} cannot be used: {error}") from None
        if parsed.null_count() == len(parsed) > text.null_count():
            example = text.drop_nulls()[0]
            raise UnusableSource(f"time format {time_format!r} does not fit times such as {example!r}")
        if isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is not None:
            return parsed.dt.timestamp("us").cast(pl.Float64) / 1e6
        return _from_local(parsed, timezone, vehicle_id, record_time)
    out = _seconds(text.cast(pl.Float64, strict=False))
    for form in _ZONED:
        if out.null_count() == text.null_count():
            return out
        rest = text.set(out.is_not_null(), None)
        parsed = _try(rest, form)
        out = out.fill_null(parsed.dt.timestamp("us").cast(pl.Float64) / 1e6)
    if out.null_count() == text.null_count():
        return out
    rest = text.set(out.is_not_null(), None)
    local: pl.Series | None = None
    for form in _LOCAL:
        parsed = _try(rest, form)
        local = parsed if local is None else local.fill_null(parsed)
        if local.null_count() == rest.null_count():
            break
    assert local is not None
    if local.null_count() == len(local):
        return out
    return out.fill_null(_from_local(local, timezone, vehicle_id, record_time))


def _try(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, time_unit="us", strict=False)


def _seconds(values: pl.Series) -> pl.Series:
    """Numbers are seconds, milliseconds or microseconds: their sizes do not overlap within 5,000 years."""
    frame = values.to_frame("t").select(
        pl.when(pl.col("t").abs() >= 1e14)
        .then(pl.col("t") / 1e6)
        .when(pl.col("t").abs() >= 1e11)
        .then(pl.col("t") / 1e3)
        .otherwise(pl.col("t"))
    )
    return frame["t"].fill_nan(None)


def _from_local(
    local: pl.Series, timezone: str | None, vehicle_id: pl.Series | None, record_time: pl.Series | None
) -> pl.Series:
    if timezone is None:
        if local.null_count() == len(local):
            return pl.Series(local.name, [None] * len(local), dtype=pl.Float64)
        example = local.drop_nulls()[0]
        raise UnusableSource(f"times such as {example} carry no zone: say which with --timezone Europe/Warsaw")
    zone = check_zone(timezone)

    def as_posix(ambiguous: str) -> pl.Series:
        zoned = local.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
        return zoned.dt.timestamp("us").cast(pl.Float64) / 1e6

    first, second = as_posix("earliest"), as_posix("latest")
    if (first == second).all():
        return first
    frame = pl.DataFrame({"first": first, "second": second, "clock": local.dt.timestamp("us").cast(pl.Float64) / 1e6})
    twice = pl.col("first") != pl.col("second")
    if record_time is not None and record_time.null_count() == 0:
        frame = frame.with_columns(received=record_time)
        later = (pl.col("received") - pl.col("second")).abs() < (pl.col("received") - pl.col("first")).abs()
    else:
        frame = frame.with_columns(vehicle=vehicle_id if vehicle_id is not None else pl.lit(""))
        jumped = (pl.col("clock").diff() < -_JUMP_S) & twice
        later = jumped.fill_null(False).cum_max().over("vehicle")
    return frame.select(pl.when(twice & later).then(pl.col("second")).otherwise(pl.col("first")))["second"].rename(
        local.name
    )
