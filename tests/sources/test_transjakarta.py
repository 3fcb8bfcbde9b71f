"""Transjakarta's format."""

import math
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from streams.sources.recording import UnusableSource
from streams.sources.rows import Options
from streams.sources.transjakarta import open_transjakarta, parse

ROW = {
    "bus_code": "TJ1",
    "koridor": "4B",
    "gpsdatetime": "2023-09-03 20:06:14",
    "latitude": "-6.2",
    "longitude": "106.8",
    "color": "",
    "gpsheading": "117",
    "gpsspeed": "18",
    "is_new": "0",
    "trip_id": "D21.003",
}
UTC_TIME = datetime(2023, 9, 3, 13, 6, 14, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "data",
    [
        orjson.dumps([ROW]),
        orjson.dumps({"data": [ROW]}),
        orjson.dumps(ROW),
        (",".join(ROW) + "\n" + ",".join(ROW.values())).encode(),
        (",".join(ROW) + "\n" + ",".join({**ROW, "gpsdatetime": "3/9/2023 20:06:14"}.values())).encode(),
    ],
    ids=["array", "wrapped", "one", "csv", "csv with d/m/Y"],
)
def test_local_time_kilometres_per_hour_and_no_foreign_trip(data: bytes) -> None:
    row = parse(data, "f", Options()).frame.row(0, named=True)
    assert row["vehicle_id"] == "TJ1"
    assert row["timestamp"] == UTC_TIME
    assert row["route_id"] == "4B"
    assert row["speed_mps"] == pytest.approx(5.0)
    assert row["bearing_deg"] == 117.0
    assert row["trip_id"] is None


def test_the_trip_is_kept_on_request() -> None:
    assert parse(orjson.dumps([ROW]), "f", Options({"trip_id": "trip_id"})).frame["trip_id"].to_list() == ["D21.003"]


def test_a_row_without_a_bus_is_a_reject() -> None:
    recording = parse(orjson.dumps([{**ROW, "bus_code": None}, ROW]), "f", Options())
    assert recording.frame["source_index"].to_list() == [1]
    assert recording.rejects["reason"].to_list() == ["MISSING_FIELD"]


def test_another_format_is_refused() -> None:
    with pytest.raises(UnusableSource, match="gpsdatetime"):
        parse(b"a,b\n1,2\n", "f", Options())


def test_the_samples_speeds_are_kilometres_per_hour(data_dir: Path) -> None:
    frame = open_transjakarta(data_dir / "transjakarta" / "eta_sample_input.csv", Options()).frame
    drives = (
        frame.unique(["vehicle_id", "timestamp"])
        .sort("vehicle_id", "timestamp")
        .filter(pl.len().over("vehicle_id") > 5)
    )
    ratios = []
    for (_,), drive in drives.group_by("vehicle_id"):
        for a, b in zip(drive.iter_rows(named=True), drive[1:].iter_rows(named=True), strict=False):
            north = (b["lat"] - a["lat"]) * 111_195
            east = (b["lon"] - a["lon"]) * 111_195 * math.cos(math.radians(a["lat"]))
            if b["timestamp"] - a["timestamp"] <= 5 and a["speed_mps"] > 3:
                ratios.append(math.hypot(north, east) / (b["timestamp"] - a["timestamp"]) / a["speed_mps"])
    assert len(ratios) > 10
    assert 0.7 < sorted(ratios)[len(ratios) // 2] < 1.4  # it would be 0.28 for metres per second
