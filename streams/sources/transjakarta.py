"""Transjakarta's own format, as CSV or JSON: bus_code, koridor, gpsdatetime, latitude, longitude, …

Local time without a zone (WIB), `d/m/Y H:M:S` in files and ISO 8601 from the live service; speed in km/h (checked
against the distance between pings of its samples). Its trip_id belongs to another namespace than the feed's
and goes stale, so it is left out; `koridor`, the feed's route_id, is stale now and then too: evidence, no more.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from streams.sources import csv_file, json_file
from streams.sources.files import read
from streams.sources.recording import REJECTS, Recording, UnusableSource
from streams.sources.rows import Options, pings_of

TIMEZONE = "Asia/Jakarta"
TIME_FORMAT = "%d/%m/%Y %H:%M:%S"
COLUMNS = {
    "vehicle_id": "bus_code",
    "timestamp": "gpsdatetime",
    "lat": "latitude",
    "lon": "longitude",
    "route_id": "koridor",
    "bearing_deg": "gpsheading",
    "speed_kmh": "gpsspeed",
}


def open_transjakarta(path: Path, options: Options) -> Recording:
    """The pings of a file in Transjakarta's format. Raises UnusableSource."""
    return parse(read(path), path.name, options)


def parse(data: bytes, name: str, options: Options) -> Recording:
    """The pings of Transjakarta's CSV or JSON. Raises UnusableSource."""
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    index = rejects = None
    if start in (b"{", b"["):
        rows, at, lost = json_file.read_rows(data, name)
        table = json_file.table(rows)
        index = pl.Series(at, dtype=pl.Int64)
        rejects = pl.DataFrame(lost, schema=REJECTS, orient="row")
    else:
        table = csv_file.table(data, name)
    if "trip_id" in table.columns and "trip_id" not in options.columns:
        table = table.drop("trip_id")
    wanted = {ours: theirs for ours, theirs in COLUMNS.items() if theirs in table.columns}
    time = options.columns.get("timestamp", COLUMNS["timestamp"])
    if time not in table.columns:
        raise UnusableSource(
            f"{name}: Transjakarta's format has a column {time!r}; this has {', '.join(table.columns)}"
        )
    time_format = options.time_format
    if time_format is None and table[time].dtype == pl.String and table[time].str.contains("/", literal=True).any():
        time_format = TIME_FORMAT
    full = replace(
        options,
        columns={**wanted, **options.columns},
        timezone=options.timezone or TIMEZONE,
        time_format=time_format,
    )
    return pings_of(table, name, full, index=index, rejects=rejects)
