"""Which format a file is: by its content first, by its name where content leaves it open."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from streams.sources.csv_file import open_csv
from streams.sources.files import head
from streams.sources.gtfs_rt import open_gtfs_rt
from streams.sources.json_file import open_json
from streams.sources.parquet_file import open_parquet
from streams.sources.recording import Recording, UnusableSource, merge
from streams.sources.rows import Options, parse_columns
from streams.sources.times import check_zone
from streams.sources.transjakarta import open_transjakarta

FORMATS: dict[str, Callable[[Path, Options], Recording]] = {
    "csv": open_csv,
    "json": open_json,
    "parquet": open_parquet,
    "gtfs-rt": open_gtfs_rt,
    "transjakarta": open_transjakarta,
}

_GTFS_RT_SUFFIXES = {".pb", ".pbf", ".bin", ".proto"}


def open_source(
    paths: str | Path | Sequence[str | Path],
    format: str | None = None,
    columns: str | None = None,
    timezone: str | None = None,
    time_format: str | None = None,
) -> Recording:
    """The pings of one or more files (or folders) in record time order. Raises UnusableSource.

    format       one of FORMATS; found out by itself if not given
    columns      `vehicle_id=VehicleNumber,timestamp=Time`: names that differ from ours
    timezone     IANA name, of times without a zone
    time_format  strptime form of text times that are not ISO 8601
    """
    if timezone is not None:
        check_zone(timezone)
    options = Options(parse_columns(columns), timezone, time_format)
    chosen = [paths] if isinstance(paths, str | Path) else list(paths)
    if not chosen:
        raise UnusableSource("no recording given")
    return merge([_open(Path(path), format, options) for path in chosen])


def detect(path: Path) -> str:
    """The format of a file or folder. Raises UnusableSource."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        if not files:
            raise UnusableSource(f"{path}: the folder is empty")
        return detect(files[0])
    start = head(path)
    suffixes = {s.lower() for s in path.suffixes}
    if start[:4] == b"PAR1":
        return "parquet"
    if start[:4] == b"PK\x03\x04" or suffixes & _GTFS_RT_SUFFIXES:
        return "gtfs-rt"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"["):
        if b'"bus_code"' in start and b'"gpsdatetime"' in start:
            return "transjakarta"
        if re.search(rb'^\{\s*"(header|entity)"\s*:', text):
            return "gtfs-rt"
        return "json"
    if b"\0" in start or (not suffixes & {".csv", ".tsv", ".txt"} and not re.match(rb"[^\r\n]*[,;\t]", text)):
        raise UnusableSource(f"{path}: of no known format; say which with --format ({', '.join(FORMATS)})")
    header = text.split(b"\n", 1)[0]
    return "transjakarta" if b"bus_code" in header and b"gpsdatetime" in header else "csv"


def _open(path: Path, format: str | None, options: Options) -> Recording:
    if not path.exists():
        raise UnusableSource(f"{path}: there is no such file")
    name = format or detect(path)
    if name not in FORMATS:
        raise UnusableSource(f"format {name!r} is none of {', '.join(FORMATS)}")
    return FORMATS[name](path, options)
