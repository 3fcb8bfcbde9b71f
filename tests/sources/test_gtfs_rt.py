"""GTFS-Realtime VehiclePositions: bytes and JSON, single, in folders and zips."""

import zipfile
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.transit import gtfs_realtime_pb2 as pb

from streams.gtfs_rt import decode
from streams.sources.gtfs_rt import open_gtfs_rt, parse
from streams.sources.recording import UnusableSource
from streams.sources.rows import Options


def feed(made: int, *vehicles: dict) -> pb.FeedMessage:
    message = pb.FeedMessage()
    message.header.gtfs_realtime_version = "2.0"
    if made:
        message.header.timestamp = made
    for i, fields in enumerate(vehicles):
        json_format.ParseDict({"id": str(i), "vehicle": fields}, message.entity.add())
    return message


FULL = {
    "vehicle": {"id": "b1", "label": "12"},
    "trip": {"trip_id": "t", "route_id": "r", "direction_id": 0, "start_date": "20260115", "start_time": "25:10:00"},
    "position": {"latitude": 1.5, "longitude": 2.5, "bearing": 0.0, "speed": 5.0, "odometer": 1000.0},
    "timestamp": 995,
    "occupancy_status": "FULL",
}
BARE = {"vehicle": {"label": "13"}, "position": {"latitude": 1.0, "longitude": 2.0}}


def test_every_field_is_taken_over() -> None:
    recording = parse([("m", feed(1000, FULL).SerializeToString())], Options(), "m")
    assert recording.frame.row(0, named=True) == {
        "vehicle_id": "b1", "timestamp": 995.0, "lat": 1.5, "lon": 2.5, "route_id": "r", "direction_id": 0,
        "trip_id": "t", "start_date": "20260115", "start_time": "25:10:00", "bearing_deg": 0.0, "speed_mps": 5.0,
        "odometer_m": 1000.0, "occupancy_status": "FULL", "label": "12", "record_time": 1000.0, "source": "m",
        "source_index": 0,
    }  # fmt: skip


def test_what_the_sender_left_out_is_unknown() -> None:
    row = parse([("m", feed(1000, BARE).SerializeToString())], Options(), "m").frame.row(0, named=True)
    assert row["vehicle_id"] == "13"
    assert row["timestamp"] == 1000.0
    for name in ("route_id", "direction_id", "trip_id", "bearing_deg", "speed_mps", "odometer_m", "occupancy_status"):
        assert row[name] is None


def test_json_says_the_same_as_bytes() -> None:
    message = feed(1000, FULL, BARE)
    for text in (
        json_format.MessageToJson(message),
        json_format.MessageToJson(message, preserving_proto_field_name=True),
    ):
        assert decode(text.encode()) == message


def test_a_vehicle_without_a_place_or_id_is_a_reject() -> None:
    recording = parse(
        [
            (
                "m",
                feed(
                    1000, {"vehicle": {"id": "b"}}, {"position": {"latitude": 1, "longitude": 2}}, FULL
                ).SerializeToString(),
            )
        ],
        Options(),
        "m",
    )
    assert recording.frame["vehicle_id"].to_list() == ["b1"]
    assert recording.rejects["source_index"].to_list() == [0, 1]
    assert set(recording.rejects["reason"]) == {"MISSING_FIELD"}


def test_a_sender_of_kilometres_per_hour() -> None:
    recording = parse([("m", feed(1000, FULL).SerializeToString())], Options({"speed_kmh": "speed"}), "m")
    assert recording.frame["speed_mps"].to_list() == [pytest.approx(5 / 3.6)]


def test_an_archive_is_read_in_the_order_of_its_headers_and_a_broken_message_is_one_reject(tmp_path: Path) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    (folder / "b.pb").write_bytes(feed(1000, FULL).SerializeToString())
    (folder / "a.pb").write_bytes(feed(1030, {**FULL, "timestamp": 1020}).SerializeToString())
    (folder / "c.pb").write_bytes(b"<html>502</html>")
    with zipfile.ZipFile(tmp_path / "day.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    for path in (folder, tmp_path / "day.zip"):
        recording = open_gtfs_rt(path, Options())
        assert recording.frame["record_time"].to_list() == [1000.0, 1030.0]
        assert recording.frame["timestamp"].to_list() == [995.0, 1020.0]
        (reject,) = recording.rejects.to_dicts()
        assert reject["reason"] == "NOT_A_FEED"
        assert reject["source"].endswith("c.pb")


def test_without_a_header_time_event_time_orders() -> None:
    recording = parse([("m", feed(0, FULL).SerializeToString())], Options(), "m")
    assert recording.ordered_by == "file order"
    assert recording.frame["record_time"].to_list() == [995.0]


def test_deleted_entities_and_other_kinds_are_no_pings() -> None:
    message = feed(1000, FULL)
    message.entity[0].is_deleted = True
    message.entity.add(id="t").trip_update.trip.trip_id = "x"
    assert parse([("m", message.SerializeToString())], Options(), "m").rows == 0


@pytest.mark.parametrize("data", [b"", b"{}", b"{", b"\xff\xff", b"vehicle_id,timestamp\n"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a GTFS-Realtime message"):
        decode(data)
    with pytest.raises(UnusableSource, match="no GTFS-Realtime message"):
        parse([("m", data)], Options(), "m")
