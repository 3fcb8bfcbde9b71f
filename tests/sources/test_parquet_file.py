"""Parquet: types as they come, single files and folders of parts."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from streams.sources.parquet_file import open_parquet
from streams.sources.recording import UnusableSource
from streams.sources.rows import Options

WHEN = datetime(2026, 1, 15, 12, tzinfo=UTC)


def test_types_as_they_come(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "vehicle_id": [79],
            "event_timestamp": [WHEN],
            "latitude": pl.Series([1.5], dtype=pl.Float32),
            "longitude": [2],
            "heading": pl.Series([7], dtype=pl.Int16),
            "direction_id": pl.Series([1], dtype=pl.UInt8),
        }
    )
    table.write_parquet(tmp_path / "p.parquet")
    row = open_parquet(tmp_path / "p.parquet", Options()).frame.row(0, named=True)
    assert (row["vehicle_id"], row["timestamp"], row["lat"], row["lon"]) == ("79", WHEN.timestamp(), 1.5, 2.0)
    assert (row["bearing_deg"], row["direction_id"]) == (7.0, 1)


def test_a_folder_of_parts_is_one_recording(tmp_path: Path) -> None:
    for i in range(3):
        pl.DataFrame({"vehicle_id": [str(i)], "timestamp": [float(i)], "lat": [0.0], "lon": [0.0]}).write_parquet(
            tmp_path / f"{i}.parquet"
        )
    assert open_parquet(tmp_path, Options()).frame["vehicle_id"].to_list() == ["0", "1", "2"]


def test_a_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnusableSource, match=r"p\.parquet: not a Parquet file"):
        open_parquet(tmp_path / "p.parquet", Options())
