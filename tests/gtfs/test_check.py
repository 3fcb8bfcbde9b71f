"""Counts of the feeds are worked out here with csv and zipfile alone, and beside them stand figures of other people."""

import csv
import io
import json
import math
import zipfile
from collections import Counter, defaultdict
from datetime import date
from functools import cache

import numpy as np
import pytest
from click.testing import CliRunner

from fixtures.feed import write_feed
from streams.cli import main
from streams.gtfs.check import ODDITIES, inspect
from tests.gtfs.feeds import TABLES, compiled, tables

DAY = date(2026, 6, 1)


@pytest.fixture(scope="module")
def inspected(data_dir):
    return cache(lambda name: inspect(data_dir / f"{name}.zip", DAY))


def rows_of(path):
    with zipfile.ZipFile(path) as archive:
        return {
            name.removesuffix(".txt"): list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"))))
            for name in archive.namelist()
            if name.endswith(".txt")
        }


def seconds(text):
    h, m, s = text.split(":")
    return int(h) * 3600 + int(m) * 60 + int(s)


def metres(a, b):
    (la, lo), (lb, lp) = a, b
    h = math.sin(math.radians(lb - la) / 2) ** 2
    h += math.cos(math.radians(la)) * math.cos(math.radians(lb)) * math.sin(math.radians(lp - lo) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(h))


def counted(feed):
    """The same counts as `inspect`, the plain way."""
    calls = defaultdict(list)
    for row in feed["stop_times"]:
        calls[row["trip_id"]].append((int(row["stop_sequence"]), row["stop_id"], row["departure_time"]))
    shapes = defaultdict(list)
    for row in feed.get("shapes", []):
        shapes[row["shape_id"]].append(
            (int(row["shape_pt_sequence"]), float(row["shape_pt_lat"]), float(row["shape_pt_lon"]))
        )
    line = {s: tuple((round(a, 5), round(o, 5)) for _, a, o in sorted(points)) for s, points in shapes.items()}
    patterns = {}
    for trip in feed["trips"]:
        stops = tuple(s for _, s, _ in sorted(calls[trip["trip_id"]]))
        key = (trip["route_id"], trip.get("direction_id", ""), stops, line.get(trip["shape_id"]))
        patterns.setdefault(key, trip["shape_id"])
    served = {row["stop_id"] for row in feed["stop_times"]}
    kind = {row["stop_id"]: row.get("location_type") or "0" for row in feed["stops"]}
    length = {
        s: sum(metres(p[1:], q[1:]) for p, q in zip(sorted(v), sorted(v)[1:], strict=False)) for s, v in shapes.items()
    }
    return {
        "routes": len(feed["routes"]),
        "trips": len(feed["trips"]),
        "route_directions": len({(t["route_id"], t.get("direction_id", "")) for t in feed["trips"]}),
        "frequency_windows": len(feed.get("frequencies", [])),
        "frequency_windows_exact": sum(f.get("exact_times") == "1" for f in feed.get("frequencies", [])),
        "frequency_trips": len({f["trip_id"] for f in feed.get("frequencies", [])}),
        "blocks": len({t.get("block_id") for t in feed["trips"]} - {"", None}),
        "stop_times": len(feed["stop_times"]),
        "stops_served": len(served),
        "stations_of_stops": len(
            {r.get("parent_station") for r in feed["stops"] if kind[r["stop_id"]] == "0"} - {"", None}
        ),
        "patterns": len(patterns),
        "shapes": len({line[s] for s in patterns.values()}),
    }, {
        "kinds": Counter(kind.values()),
        "unused": sum(k == "0" and s not in served for s, k in kind.items()),
        "past_midnight": sum(seconds(max(v)[2]) >= 86_400 for v in calls.values()),
        "km": sum(length[s] for s in patterns.values()) / 1000,
        "all_km": sum(length.values()) / 1000,
        "longest_km": max(length.values()) / 1000,
        "most_stops": max(len(v) for v in calls.values()),
    }


@pytest.mark.parametrize("name", ["transjakarta/gtfs-2026-05", "transjakarta/gtfs-2023-12", "kingston/gtfs"])
def test_counts_are_those_of_counting_rows(data_dir, inspected, name):
    feed = rows_of(data_dir / f"{name}.zip")
    found = inspected(name)
    counts, more = counted(feed)
    inferred = found["odd"].get("patterns_direction_inferred", 0)
    assert (inferred > 0) == (name == "kingston/gtfs")  # its feed has no direction_id: tests/gtfs/test_directions.py
    if inferred:
        del counts["route_directions"]
        assert found["counts"]["route_directions"] == 51  # of 31 routes
        assert inferred == 109
    assert {k: found["counts"][k] for k in counts} == counts
    assert found["rows"] == {f"{k}.txt": len(v) for k, v in feed.items() if f"{k}.txt" in found["rows"]}
    types = dict(zip(("stop", "station", "entrance"), (more["kinds"][k] for k in "012"), strict=True))
    assert found["stops_by_type"] == {k: v for k, v in types.items() if v}
    assert found["odd"].get("stops_unused", 0) == more["unused"]
    assert found["odd"].get("trips_past_midnight", 0) == more["past_midnight"]
    assert found["lengths"]["pattern_km"] == pytest.approx(more["km"], abs=0.06)
    assert found["lengths"]["stops_of_a_pattern_most"] == more["most_stops"]


def test_transjakarta_2023_is_the_feed_that_others_described(inspected):
    found = inspected("transjakarta/gtfs-2023-12")
    rows, counts, lengths = found["rows"], found["counts"], found["lengths"]
    assert (rows["routes.txt"], rows["trips.txt"], rows["stops.txt"]) == (245, 492, 7912)
    assert (rows["stop_times.txt"], rows["shapes.txt"], rows["frequencies.txt"]) == (13_538, 107_562, 2195)
    assert (counts["stops_served"], found["stops_by_type"]["station"]) == (6913, 281)
    assert (lengths["pattern_median_km"], lengths["pattern_longest_km"]) == (13.5, 39.7)
    assert (lengths["stops_of_a_pattern_median"], lengths["stops_of_a_pattern_most"]) == (24, 78)
    assert (lengths["headway_least_s"], lengths["headway_median_s"], lengths["headway_most_s"]) == (90, 600, 2400)
    assert lengths["last_frequency_end_s"] == 29 * 3600
    assert found["odd"]["stops_far_from_their_shape"] == 4
    assert found["odd"]["files_with_byte_order_mark"] == 9
    ended = {s["service_id"]: s["last"] for s in found["services"]}
    assert ended["FB_SH"] == "2023-09-03"


def test_transjakarta_2026(inspected):
    found = inspected("transjakarta/gtfs-2026-05")
    rows, lengths = found["rows"], found["lengths"]
    assert (rows["routes.txt"], rows["trips.txt"], rows["stops.txt"]) == (252, 713, 8136)
    assert (rows["stop_times.txt"], rows["shapes.txt"], rows["frequencies.txt"]) == (26_311, 245_326, 766)
    assert (lengths["headway_least_s"], lengths["headway_most_s"]) == (180, 52_700)
    assert found["counts"]["blocks"] == 0
    assert max(s["last"] for s in found["services"] if s["last"]) == "2027-12-31"


def test_offsets_of_stops_are_those_that_others_measured(real):
    n = real("transjakarta/gtfs-2023-12")
    off = []
    x, y = n.project(n.stop_lat, n.stop_lon)
    for p in range(len(n.pattern_ids)):
        shape, stops = n.pattern_shape_ix[p], slice(n.pstop_start[p], n.pstop_start[p + 1])
        points = slice(n.shape_start[shape], n.shape_start[shape + 1])
        at = [np.interp(n.pstop_dist_m[stops], n.point_dist_m[points], v[points]) for v in (n.point_x, n.point_y)]
        stop = n.pstop_stop_ix[stops]
        off.append(np.hypot(at[0] - x[stop], at[1] - y[stop]))
    half, most, nearly, worst = np.percentile(np.concatenate(off), [50, 90, 99, 100])
    assert half == pytest.approx(2.8, abs=0.1)
    assert most == pytest.approx(7.9, abs=0.1)
    assert nearly == pytest.approx(15.0, abs=0.2)
    assert worst == pytest.approx(93, abs=1)


def test_the_command_prints_what_is_odd(tmp_path):
    feed = tables()
    feed["stops"].append({**feed["stops"][0], "stop_id": "Z"})
    feed["calendar"][0]["end_date"] = "20260301"
    run = CliRunner().invoke(
        main, ["feed", "check", str(write_feed(tmp_path / "city.zip", feed)), "--date", "2026-03-02"]
    )
    assert run.exit_code == 0, run.output
    assert "stops that no trip serves" in run.output
    assert "services whose last day has passed" in run.output
    assert "Asia/Jakarta" in run.output


def test_nothing_odd(tmp_path):
    run = CliRunner().invoke(
        main, ["feed", "check", str(write_feed(tmp_path / "city.zip", TABLES)), "--date", "2026-03-02"]
    )
    assert run.output.rstrip().endswith("nothing")


def test_json(tmp_path):
    path = write_feed(tmp_path / "city.zip", TABLES)
    run = CliRunner().invoke(main, ["feed", "check", str(path), "--json", "--date", "2026-03-02"])
    found = json.loads(run.output)
    assert found == inspect(path, date(2026, 3, 2))
    assert found["odd"] == {}
    assert found["services"] == [
        {"service_id": "D", "trips": 1, "days": 365, "first": "2026-01-01", "last": "2026-12-31", "over": False}
    ]


def test_a_feed_that_cannot_be_used(tmp_path):
    feed = tables()
    feed["stops"][1]["stop_lat"] = 95
    run = CliRunner().invoke(main, ["feed", "check", str(write_feed(tmp_path / "city.zip", feed))])
    assert run.exit_code == 1
    assert run.output == "Error: stops.txt, row 3, field stop_lat: '95' is not a number between -90 and 90\n"


def test_every_oddity_has_its_words(tmp_path):
    assert set(compiled(tmp_path).oddities) <= set(ODDITIES)
