import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.feed import write_feed
from streams.gtfs.compile import compile_feed, load
from streams.gtfs.feed import COLUMNS, Feed, FeedError, times
from tests.gtfs.feeds import TABLES, compiled, tables


def put(table, row, field, value):
    def change(feed):
        feed[table][row][field] = value

    return change


def without(table):
    return lambda feed: feed.pop(table)


def column_away(table, field):
    def change(feed):
        for row in feed[table]:
            row.pop(field)

    return change


def again(table, row=0, **changed):
    return lambda feed: feed[table].append({**feed[table][row], **changed})


# change, file, row, field, a word of the repair
BROKEN = {
    "no agency": (without("agency"), "agency.txt", None, None, "missing"),
    "no stops": (without("stops"), "stops.txt", None, None, "missing"),
    "no stop_times": (without("stop_times"), "stop_times.txt", None, None, "missing"),
    "no calendar at all": (without("calendar"), "calendar.txt", None, None, "calendar_dates.txt"),
    "column away": (column_away("trips", "service_id"), "trips.txt", 1, "service_id", "column is missing"),
    "no zone": (put("agency", 0, "agency_timezone", ""), "agency.txt", 2, "agency_timezone", "fill it in"),
    "wrong zone": (put("agency", 0, "agency_timezone", "Jakarta"), "agency.txt", 2, "agency_timezone", "IANA"),
    "two zones": (again("agency", agency_timezone="Asia/Makassar"), "agency.txt", 3, "agency_timezone", "time zone"),
    "route twice": (again("routes"), "routes.txt", 3, "route_id", "unique"),
    "stop twice": (again("stops", 1), "stops.txt", 5, "stop_id", "unique"),
    "trip twice": (again("trips"), "trips.txt", 3, "trip_id", "unique"),
    "latitude 95": (put("stops", 1, "stop_lat", 95), "stops.txt", 3, "stop_lat", "between -90 and 90"),
    "latitude in words": (put("stops", 1, "stop_lat", "north"), "stops.txt", 3, "stop_lat", "'north'"),
    "latitude nan": (put("stops", 1, "stop_lat", "nan"), "stops.txt", 3, "stop_lat", "not a number"),
    "longitude missing": (put("stops", 2, "stop_lon", ""), "stops.txt", 4, "stop_lon", "fill it in"),
    "null island": (
        lambda feed: feed["stops"][0].update(stop_lat=0, stop_lon=0), "stops.txt", 2, "stop_lat", "place it",
    ),
    "parent unknown": (put("stops", 0, "parent_station", "P"), "stops.txt", 2, "parent_station", "'P' is not in"),
    "location_type 9": (put("stops", 0, "location_type", 9), "stops.txt", 2, "location_type", "between 0 and 4"),
    "route unknown": (put("trips", 0, "route_id", "2"), "trips.txt", 2, "route_id", "routes.txt"),
    "direction 2": (put("trips", 0, "direction_id", 2), "trips.txt", 2, "direction_id", "between 0 and 1"),
    "direction 0.5": (put("trips", 0, "direction_id", 0.5), "trips.txt", 2, "direction_id", "whole"),
    "trip unknown": (put("stop_times", 1, "trip_id", "u"), "stop_times.txt", 3, "trip_id", "trips.txt"),
    "stop unknown": (put("stop_times", 2, "stop_id", "Z"), "stop_times.txt", 4, "stop_id", "'Z' is not in stops.txt"),
    "sequence twice": (put("stop_times", 2, "stop_sequence", 2), "stop_times.txt", 4, "stop_sequence", "twice"),
    "sequence in words": (put("stop_times", 2, "stop_sequence", "two"), "stop_times.txt", 4, "stop_sequence", "two"),
    "time in words": (put("stop_times", 1, "arrival_time", "noon"), "stop_times.txt", 3, "arrival_time", "HH:MM:SS"),
    "minute 61": (put("stop_times", 1, "departure_time", "05:61:00"), "stop_times.txt", 3, "departure_time", "HH"),
    "last stop untimed": (
        lambda feed: feed["stop_times"][2].update(arrival_time="", departure_time=""),
        "stop_times.txt", 4, "arrival_time", "last stop of trip 't'",
    ),
    "first stop untimed": (
        lambda feed: feed["stop_times"][0].update(arrival_time="", departure_time=""),
        "stop_times.txt", 2, "arrival_time", "first stop of trip 't'",
    ),
    "one stop only": (
        lambda feed: feed.update(stop_times=feed["stop_times"][:1]), "stop_times.txt", None, None, "two stops",
    ),
    "shape point at 200": (put("shapes", 1, "shape_pt_lon", 200), "shapes.txt", 3, "shape_pt_lon", "180"),
    "shape point twice": (put("shapes", 1, "shape_pt_sequence", 0), "shapes.txt", 3, "shape_pt_sequence", "twice"),
    "frequency of no trip": (put("frequencies", 0, "trip_id", "u"), "frequencies.txt", 2, "trip_id", "trips.txt"),
    "headway 0": (put("frequencies", 0, "headway_secs", 0), "frequencies.txt", 2, "headway_secs", "'0'"),
    "window backwards": (put("frequencies", 0, "end_time", "04:00:00"), "frequencies.txt", 2, "end_time", "25:00:00"),
    "exact 7": (put("frequencies", 0, "exact_times", 7), "frequencies.txt", 2, "exact_times", "between 0 and 1"),
    "monday 2": (put("calendar", 0, "monday", 2), "calendar.txt", 2, "monday", "between 0 and 1"),
    "30 February": (put("calendar", 0, "start_date", "20260230"), "calendar.txt", 2, "start_date", "YYYYMMDD"),
    "date with dashes": (put("calendar", 0, "end_date", "2026-12-31"), "calendar.txt", 2, "end_date", "YYYYMMDD"),
    "ends before it starts": (put("calendar", 0, "end_date", "20251231"), "calendar.txt", 2, "end_date", "swap"),
    "year 2999": (put("calendar", 0, "end_date", "29991231"), "calendar.txt", None, "end_date", "years"),
    "exception 3": (
        lambda feed: feed.update(calendar_dates=[{"service_id": "D", "date": "20260101", "exception_type": 3}]),
        "calendar_dates.txt", 2, "exception_type", "between 1 and 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_feed_is_refused_with_file_row_field_and_repair(tmp_path, name):
    change, file, row, field, word = BROKEN[name]
    feed = tables()
    change(feed)
    with pytest.raises(FeedError) as refused:
        compiled(tmp_path, feed)
    error = refused.value
    assert (error.file, error.row, error.field) == (file, row, field)
    assert word in error.repair
    assert all(str(part) in str(error) for part in (file, row, field) if part is not None)


def test_the_feed_that_is_spoilt_above_is_a_good_one(tmp_path):
    assert compiled(tmp_path).pattern_ids[0].startswith("1:0:")


def test_no_such_feed(tmp_path):
    with pytest.raises(FeedError, match="no such file"):
        load(tmp_path / "none.zip")


def test_a_zip_that_is_none(tmp_path):
    (tmp_path / "gtfs.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(FeedError, match="not a readable zip"):
        load(tmp_path / "gtfs.zip")


def test_a_zip_with_damage_inside(tmp_path):
    path = write_feed(tmp_path / "gtfs.zip", TABLES)
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("stops.txt").header_offset + 60
    data = bytearray(path.read_bytes())
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(FeedError, match=r"stops\.txt: cannot be unpacked"):
        load(path)


def test_text_that_is_not_utf8(tmp_path):
    folder = write_feed(tmp_path / "feed", TABLES)
    stops = (folder / "stops.txt").read_bytes()
    (folder / "stops.txt").write_bytes(stops.replace(b"Balai", b"Bal\xe9i"))
    with pytest.raises(FeedError, match=r"stops\.txt, row 3: is not UTF-8"):
        load(folder)


def test_an_empty_file(tmp_path):
    folder = write_feed(tmp_path / "feed", TABLES)
    (folder / "routes.txt").write_bytes(b"")
    with pytest.raises(FeedError, match=r"routes\.txt: is empty"):
        load(folder)


@pytest.mark.parametrize("file", ["agency", "routes", "trips"])
def test_a_table_without_rows(tmp_path, file):
    folder = write_feed(tmp_path / "feed", TABLES)
    header = (folder / f"{file}.txt").read_bytes().split(b"\r\n")[0]
    (folder / f"{file}.txt").write_bytes(header + b"\r\n")
    with pytest.raises(FeedError) as refused:
        load(folder)
    assert refused.value.file in (f"{file}.txt", "trips.txt")


def test_byte_order_marks_blanks_quotes_and_line_ends_do_not_matter(tmp_path):
    plain = compiled(tmp_path, name="plain")
    folder = write_feed(tmp_path / "ugly", TABLES)
    for file in folder.iterdir():
        lines = file.read_text().splitlines()
        ugly = [
            ", ".join(f'"{cell}"' if i % 2 and cell else f" {cell} " for cell in line.split(","))
            for i, line in enumerate(lines)
        ]
        file.write_bytes(b"\xef\xbb\xbf" + "\n".join([*ugly, "", ""]).replace(', "', ',"').encode())
    with Feed(folder) as feed:
        assert sorted(feed.marked()) == sorted(f"{t}.txt" for t in TABLES)
        ugly = compile_feed(feed)
    assert ugly.pattern_ids == plain.pattern_ids
    assert ugly.stop_name == plain.stop_name
    assert ugly.pstop_dist_m.tolist() == plain.pstop_dist_m.tolist()


def test_a_zip_its_folder_and_a_zip_of_the_folder_have_one_hash(tmp_path):
    folder = write_feed(tmp_path / "feed", TABLES)
    flat = write_feed(tmp_path / "flat.zip", TABLES)
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as deep:
        for file in folder.iterdir():
            deep.write(file, f"city-gtfs/{file.name}")
    hashes = set()
    for path in (folder, flat, tmp_path / "deep.zip"):
        with Feed(path) as feed:
            hashes.add(feed.content_hash())
            assert feed.table("stops.txt").height == 3
    assert len(hashes) == 1


def test_the_hash_follows_what_the_compiler_reads(tmp_path):
    changed = tables()
    changed["stops"][0]["stop_name"] = "Alun-alun"
    extra = {**tables(), "fare_rules": [{"fare_id": "F", "route_id": "1"}]}
    paths = [write_feed(tmp_path / f"{i}.zip", t) for i, t in enumerate((TABLES, changed, extra))]
    same, other, fares = (Feed(p).content_hash() for p in paths)
    assert same != other
    assert same == fares


def test_unknown_columns_and_their_order_do_not_matter(tmp_path):
    feed = tables()
    feed["stops"] = [{"zone": "z", **dict(reversed(row.items()))} for row in feed["stops"]]
    assert compiled(tmp_path, feed).stop_ids == ["A", "B", "C"]


@given(st.integers(0, 99 * 3600 + 3599))
def test_times_past_midnight_are_seconds_of_the_service_day(second):
    import polars as pl

    text = f"{second // 3600}:{second // 60 % 60:02}:{second % 60:02}"
    frame = pl.DataFrame(
        {"arrival_time": [text, None], "row": [2, 3]}, schema={"arrival_time": pl.String, "row": pl.Int64}
    )
    parsed = times(frame, "stop_times.txt", "arrival_time", optional=True)
    assert parsed[0] == second
    assert parsed[1] != parsed[1]


def test_every_file_is_read_with_columns_that_gtfs_knows():
    assert all(len(set(a + b)) == len(a + b) for a, b in COLUMNS.values())
