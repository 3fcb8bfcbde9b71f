"""Every sample of recorded data is recognised and read; counts worked out independently with the csv module."""

import csv
import gzip
from pathlib import Path

import pytest

from streams.sources.recording import UnusableSource
from streams.sources.registry import FORMATS, detect, open_source

WARSAW = "vehicle_id=VehicleNumber,timestamp=Time,lat=Lat,lon=Lon,route_id=Lines"


def test_kingston_rows_without_a_place_are_rejects_and_the_feed_time_is_record_time(data_dir: Path) -> None:
    path = data_dir / "kingston" / "vehicle_positions.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    recording = open_source(path)
    assert recording.ordered_by == "ingest time"
    assert recording.rows == len(rows)
    assert recording.rejects.height == sum(row["lat"] == "" for row in rows) > 0
    assert set(recording.rejects["reason"]) == {"MISSING_FIELD"}
    by_index = {row["source_index"]: row for row in recording.frame.iter_rows(named=True)}
    for i in (0, 1, 700, 8000):
        if i in by_index:
            assert by_index[i]["vehicle_id"] == rows[i]["vehicle_id"]
            assert by_index[i]["record_time"] == float(rows[i]["feed_timestamp"])
            assert by_index[i]["timestamp"] == float(rows[i]["vehicle_timestamp"])
            assert by_index[i]["lat"] == float(rows[i]["lat"])
    # pandas made floats of dates with gaps
    assert set(recording.frame["start_date"].drop_nulls()) == {"20260115"}


def test_warsaw_lies_sorted_by_vehicle_and_is_put_in_the_order_of_time(data_dir: Path) -> None:
    path = data_dir / "warsaw-2024" / "positions.csv.gz"
    recording = open_source(path, columns=WARSAW, timezone="Europe/Warsaw")
    assert (recording.rows, recording.rejects.height) == (281_225, 0)
    assert recording.ordered_by == "event time"
    assert recording.frame["record_time"].is_sorted()
    first = recording.frame.filter(recording.frame["source_index"] == 0).row(0, named=True)
    assert first["vehicle_id"] == "1000"
    assert first["timestamp"] == 1708353714.0  # 2024-02-19 15:41:54 CET = 14:41:54 UTC
    assert "L49" in set(recording.frame["route_id"])


def test_toronto_parquet(data_dir: Path) -> None:
    path = data_dir / "toronto-2016" / "positions.parquet"
    recording = open_source(path, columns="vehicle_id=vid,timestamp=ts,bearing_deg=hdg,route_id=route")
    assert recording.rows == 2_816_106
    assert recording.frame["record_time"].is_sorted()
    batch = next(recording.batches(1000))
    assert len(batch.record_time) == len(batch.pings["vehicle_id"]) == 1000
    assert isinstance(batch.pings["vehicle_id"][0], str)


def test_brooklyn_traces_with_different_columns_are_one_recording(data_dir: Path) -> None:
    paths = sorted((data_dir / "brooklyn-b63" / "traces").glob("*.csv"))
    recording = open_source(paths, columns="vehicle_id=vid", timezone="America/New_York")
    expected = sum(len(path.read_text().splitlines()) - 1 for path in paths)
    assert recording.rows == expected
    assert set(recording.frame["source"]) == {p.name for p in paths}


@pytest.mark.parametrize(
    ("file", "vehicles"),
    [
        ("mbta-enhanced.json.gz", None),
        ("mbta-vehicle-positions.pb", 48),
        ("nyc-vehicle-positions.pb", 3018),
        ("rapidkl-vehicle-positions.json", 178),
    ],
)
def test_gtfs_realtime_samples(data_dir: Path, file: str, vehicles: int | None) -> None:
    path = data_dir / "formats" / "gtfs-realtime" / file
    assert detect(path) == "gtfs-rt"
    recording = open_source(path)
    assert recording.ordered_by == "ingest time"
    assert vehicles is None or recording.rows == vehicles
    assert recording.frame["lat"].is_between(-90, 90).all()


def test_transjakarta_samples_are_recognised(data_dir: Path) -> None:
    for path in (data_dir / "transjakarta").glob("*.csv"):
        assert detect(path) == "transjakarta"


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.csv", b"vehicle_id,timestamp,lat,lon\n", "csv"),
        ("a", b"vehicle_id;timestamp;lat;lon\n", "csv"),
        ("a.txt", b"bus_code,koridor,gpsdatetime\n", "transjakarta"),
        ("a.json", b'[{"bus_code": "1", "gpsdatetime": "x"}]', "transjakarta"),
        ("a.ndjson", b'{"vehicle_id": "1"}\n{"vehicle_id": "2"}', "json"),
        ("a.json", b'\xef\xbb\xbf { "header": {}}', "gtfs-rt"),
        ("a.pb", b"\n\r\n\x032.0", "gtfs-rt"),
        ("a.zip", b"PK\x03\x04", "gtfs-rt"),
        ("a", b"PAR1", "parquet"),
    ],
)
def test_formats_are_told_by_content_and_name(tmp_path: Path, name: str, content: bytes, format: str) -> None:
    for compress in (lambda b: b, gzip.compress):
        (tmp_path / name).write_bytes(compress(content))
        assert detect(tmp_path / name) == format


def test_what_is_no_recording_is_refused_with_the_repair(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\1\2")
    with pytest.raises(UnusableSource, match="--format"):
        open_source(tmp_path / "a")
    with pytest.raises(UnusableSource, match="no such file"):
        open_source(tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(UnusableSource, match="empty"):
        open_source(tmp_path / "c")
    with pytest.raises(UnusableSource, match="none of csv"):
        open_source(tmp_path / "a", format="xml")
    with pytest.raises(UnusableSource, match="not an IANA name"):
        open_source(tmp_path / "a", timezone="WIB")


def test_every_format_has_an_opener_named_after_it() -> None:
    assert all(opener.__name__ == "open_" + name.replace("-", "_") for name, opener in FORMATS.items())
