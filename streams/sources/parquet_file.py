"""Parquet: a file, or a folder of parts."""

from pathlib import Path

import polars as pl

from streams.sources.recording import Recording, UnusableSource
from streams.sources.rows import Options, pings_of


def open_parquet(path: Path, options: Options) -> Recording:
    """The pings of a Parquet file or of a folder of them, parts in the order of their names. Raises UnusableSource."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        parts = [pl.read_parquet(file, hive_partitioning=False) for file in files]
        found = pl.concat(parts, how="diagonal_relaxed")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnusableSource(f"{path}: not a Parquet file ({error})") from None
    return pings_of(found, path.name, options)
