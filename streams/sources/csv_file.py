"""CSV with a header: comma, semicolon or tab; compressed or not."""

import io
from pathlib import Path

import polars as pl

from streams.sources.files import read
from streams.sources.recording import Recording, UnusableSource
from streams.sources.rows import Options, pings_of


def open_csv(path: Path, options: Options) -> Recording:
    """The pings of a CSV file. Raises UnusableSource."""
    return pings_of(table(read(path), path.name), path.name, options)


def table(data: bytes, name: str) -> pl.DataFrame:
    """All columns as text, as they stand: an id such as 0079 keeps its zeros. Raises UnusableSource."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    header = data[: data.find(b"\n") if b"\n" in data else len(data)]
    separator = max((",", ";", "\t"), key=lambda s: header.count(s.encode()))
    try:
        found = pl.read_csv(
            io.BytesIO(data),
            separator=separator,
            infer_schema=False,
            truncate_ragged_lines=True,
            encoding="utf8-lossy",
        )
    except pl.exceptions.PolarsError as error:
        raise UnusableSource(f"{name}: not a CSV file with a header ({error})") from None
    return found.rename({c: c.strip() for c in found.columns})
