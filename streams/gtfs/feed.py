"""A GTFS feed as tables of strings, and the one way a feed is refused.

A feed is a zip or a folder. Only the columns that the compiler uses are read; a value is stripped text, null where
it is empty, and its row is the line of the file (the header is row 1).
"""

import io
import zipfile
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl

BOM = b"\xef\xbb\xbf"
ROW = "row"  # the column every table carries

# file: (required columns, optional columns)
COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "agency.txt": (("agency_timezone",), ("agency_id", "agency_name")),
    "feed_info.txt": ((), ("feed_version",)),
    "routes.txt": (("route_id",), ("route_short_name", "route_long_name", "route_color", "agency_id")),
    "stops.txt": (("stop_id",), ("stop_name", "stop_lat", "stop_lon", "location_type", "parent_station")),
    "trips.txt": (
        ("route_id", "service_id", "trip_id"),
        ("direction_id", "shape_id", "block_id", "trip_headsign"),
    ),
    "stop_times.txt": (("trip_id", "stop_id", "stop_sequence"), ("arrival_time", "departure_time", "timepoint")),
    "shapes.txt": (("shape_id", "shape_pt_lat", "shape_pt_lon", "shape_pt_sequence"), ()),
    "frequencies.txt": (("trip_id", "start_time", "end_time", "headway_secs"), ("exact_times",)),
    "calendar.txt": (
        (
            "service_id",
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
            "sunday",
            "start_date",
            "end_date",
        ),
        (),
    ),
    "calendar_dates.txt": (("service_id", "date", "exception_type"), ()),
}
REQUIRED = ("agency.txt", "routes.txt", "stops.txt", "trips.txt", "stop_times.txt")


class FeedError(ValueError):
    """A feed cannot be used: which file, which row (the header is row 1), which field, and the repair."""

    def __init__(self, file: str, row: int | None, field: str | None, repair: str) -> None:
        self.file, self.row, self.field, self.repair = file, row, field, repair
        where = ", ".join(
            [file, *([f"row {row}"] if row is not None else []), *([f"field {field}"] if field is not None else [])]
        )
        super().__init__(f"{where}: {repair}")


class Feed:
    """The tables of a feed, read when they are asked for."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FeedError(str(path), None, None, "there is no such file or folder; give a GTFS zip or folder")
        self._archive: zipfile.ZipFile | None = None
        if self.path.is_dir():
            self._members = {name: name for name in COLUMNS if (self.path / name).is_file()}
        else:
            try:
                self._archive = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError) as broken:
                raise FeedError(
                    self.path.name, None, None, f"is not a readable zip ({broken}); fetch it again"
                ) from None
            self._members = _members(self._archive)

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the zip."""
        if self._archive is not None:
            self._archive.close()

    def has(self, file: str) -> bool:
        """Whether the feed holds this file."""
        return file in self._members

    def content_hash(self) -> str:
        """SHA-256 over the files that the compiler reads; the same for a zip and its unpacked folder."""
        digest = sha256()
        for file in sorted(self._members):
            data = self._bytes(file)
            digest.update(f"{file}\0{len(data)}\0".encode())
            digest.update(data)
        return digest.hexdigest()

    def marked(self) -> list[str]:
        """Files that begin with a byte order mark."""
        return [file for file in self._members if self._bytes(file).startswith(BOM)]

    def table(self, file: str) -> pl.DataFrame:
        """The used columns of a file as stripped strings, and `row`. A file that may be missing has no rows then."""
        required, optional = COLUMNS[file]
        wanted = [*required, *optional]
        if file not in self._members:
            if file in REQUIRED:
                raise FeedError(file, None, None, "is missing; a feed needs " + ", ".join(REQUIRED))
            return pl.DataFrame(schema={ROW: pl.Int64, **dict.fromkeys(wanted, pl.String)})
        data = self._bytes(file)
        data = data.removeprefix(BOM)
        header = data[: (data.find(b"\n") + 1 or len(data))]
        if not header.strip():
            raise FeedError(file, None, None, "is empty; write at least the header")
        try:
            data.decode()
        except UnicodeDecodeError as wrong:
            row = data.count(b"\n", 0, wrong.start) + 1
            raise FeedError(file, row, None, "is not UTF-8; save the file as UTF-8") from None
        try:
            frame = pl.read_csv(
                io.BytesIO(data),
                infer_schema=False,
                has_header=True,
                truncate_ragged_lines=True,
            )
        except pl.exceptions.NoDataError:
            frame = pl.DataFrame()
        except pl.exceptions.PolarsError as broken:
            raise FeedError(file, None, None, f"is not CSV ({str(broken).splitlines()[0]}); mend the quoting") from None
        names = {c.strip().strip('"').strip(): c for c in reversed(frame.columns)}
        for name in required:
            if name not in names:
                raise FeedError(file, 1, name, f"the column is missing; the header has {', '.join(frame.columns)}")
        present = [c for c in wanted if c in names]
        out = frame.select(pl.col(names[c]).str.strip_chars().replace("", None).alias(c) for c in present)
        out = out.with_columns(pl.lit(None, dtype=pl.String).alias(c) for c in wanted if c not in names)
        out = out.with_columns(pl.int_range(2, out.height + 2, dtype=pl.Int64).alias(ROW))
        # a blank line at the end of a file is no row
        return out.filter(pl.any_horizontal(pl.col(present).is_not_null()))

    def _bytes(self, file: str) -> bytes:
        if self._archive is None:
            return (self.path / file).read_bytes()
        try:
            return self._archive.read(self._members[file])
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as broken:
            raise FeedError(file, None, None, f"cannot be unpacked ({broken}); fetch the zip again") from None


def _members(archive: zipfile.ZipFile) -> dict[str, str]:
    """Where the files stand in the zip: at its root, or all in one folder as some publishers do."""
    names = set(archive.namelist())
    found = {file: file for file in COLUMNS if file in names}
    if not found:
        folders = sorted({n.rpartition("/")[0] for n in names if n.endswith("/stops.txt")})
        if folders:
            found = {file: f"{folders[0]}/{file}" for file in COLUMNS if f"{folders[0]}/{file}" in names}
    return found


# --- values of a column -------------------------------------------------------------------------------------------


def refuse_where(bad: pl.Series | np.ndarray, frame: pl.DataFrame, file: str, field: str, repair: str) -> None:
    """Raise for the first row marked in `bad`; `{value}` in the repair becomes what stands there."""
    mask = bad.to_numpy() if isinstance(bad, pl.Series) else bad
    if mask.any():
        at = int(np.argmax(mask))
        value = frame[field][at] if field in frame.columns else ""
        raise FeedError(file, int(frame[ROW][at]), field, repair.replace("{value}", repr(value)))


def required(frame: pl.DataFrame, file: str, field: str) -> list[str]:
    """A column that must not be empty, as a list of strings."""
    refuse_where(frame[field].is_null(), frame, file, field, "is empty; fill it in")
    return frame[field].to_list()


def unique_ids(frame: pl.DataFrame, file: str, field: str) -> list[str]:
    """An id column: filled, no id twice."""
    ids = required(frame, file, field)
    twice = frame[field].is_first_distinct().not_()
    refuse_where(twice, frame, file, field, "{value} stands in an earlier row too; ids must be unique")
    return ids


def texts(frame: pl.DataFrame, field: str) -> list[str]:
    """A text column, "" where it is empty."""
    return frame[field].fill_null("").to_list()


def numbers(
    frame: pl.DataFrame, file: str, field: str, low: float, high: float, *, missing: float | None = None
) -> np.ndarray:
    """A column of numbers (f8); an empty field is `missing`, or refused when that is None."""
    if missing is None:
        refuse_where(frame[field].is_null(), frame, file, field, "is empty; fill it in")
    values = frame[field].cast(pl.Float64, strict=False)
    out = values.to_numpy(writable=True).astype(np.float64)
    given = frame[field].is_not_null().to_numpy()
    bad = given & ~((out >= low) & (out <= high))
    refuse_where(bad, frame, file, field, f"{{value}} is not a number between {low:g} and {high:g}")
    if missing is not None:
        out[~given] = missing
    return out


def whole(frame: pl.DataFrame, file: str, field: str, low: int, high: int, *, missing: int | None = None) -> np.ndarray:
    """A column of whole numbers (i8)."""
    out = numbers(frame, file, field, low, high, missing=missing)
    refuse_where(out != np.floor(out), frame, file, field, "{value} is not a whole number")
    return out.astype(np.int64)


def times(frame: pl.DataFrame, file: str, field: str, *, optional: bool) -> np.ndarray:
    """A column of GTFS times (`25:03:00`) as seconds of the service day (f8); NaN where it is empty."""
    text = frame[field]
    parts = text.str.extract_groups(r"^(\d{1,3}):([0-5]\d):([0-5]\d)$").struct.unnest()
    hours, minutes, seconds = (parts[c].cast(pl.Float64) for c in parts.columns)
    out = (hours * 3600 + minutes * 60 + seconds).to_numpy(writable=True).astype(np.float64)
    empty = text.is_null().to_numpy()
    if not optional:
        refuse_where(empty, frame, file, field, "is empty; write a time as HH:MM:SS")
    refuse_where(np.isnan(out) & ~empty, frame, file, field, "{value} is not a time; write HH:MM:SS")
    return out


def positions(
    frame: pl.DataFrame, file: str, field: str, known: Iterable[str], other: str, *, optional: bool = False
) -> np.ndarray:
    """A column of ids as positions (i4) in `known`, the ids of file `other`; -1 where an optional one is empty."""
    known = list(known)
    index = pl.DataFrame(
        {"_id": known, "_ix": np.arange(len(known), dtype=np.int32)}, schema={"_id": pl.String, "_ix": pl.Int32}
    )
    joined = frame.select(pl.col(field)).join(index, left_on=field, right_on="_id", how="left", maintain_order="left")
    empty = frame[field].is_null()
    if not optional:
        refuse_where(empty, frame, file, field, "is empty; fill it in")
    refuse_where(
        joined["_ix"].is_null() & ~empty,
        frame,
        file,
        field,
        f"{{value}} is not in {other}; add it there or mend the id",
    )
    return joined["_ix"].fill_null(-1).to_numpy().astype(np.int32)


def dates(frame: pl.DataFrame, file: str, field: str) -> np.ndarray:
    """A column of dates (YYYYMMDD) as proleptic ordinals (i8, `date.toordinal`)."""
    refuse_where(frame[field].is_null(), frame, file, field, "is empty; write a date as YYYYMMDD")
    days = frame[field].str.to_date("%Y%m%d", strict=False)
    wrong = days.is_null() | (frame[field].str.len_chars() != 8)
    refuse_where(wrong, frame, file, field, "{value} is not a date; write YYYYMMDD")
    return days.cast(pl.Int32).to_numpy().astype(np.int64) + 719_163  # ordinal of 1970-01-01


def refuse(file: str, frame: pl.DataFrame, at: int, field: str, repair: str) -> NoReturn:
    """Raise for the frame's row at position `at`."""
    raise FeedError(file, int(frame[ROW][at]), field, repair)
