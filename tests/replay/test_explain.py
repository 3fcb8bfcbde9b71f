"""`koridor explain`: the table, the CSV and what is said when there is nothing to explain."""

import csv
from pathlib import Path
from xml.etree import ElementTree

import click
import polars as pl
import pytest
from click.testing import CliRunner

from streams.engine.rejects import Reject
from streams.replay.explain import (
    COLUMNS,
    WIDTH,
    Unexplained,
    add_unreadable,
    command,
    find_vehicle,
    lately,
    lines,
    summary,
    window,
    write_csv,
)
from streams.replay.moments import Moment, explain
from streams.sources.rows import Options, pings_of
from tests.engine.pinging import seven, town
from tests.replay.test_moments import AWAY, explained, there_and_back

SMALL = ["--gtfs", "fixtures/data/city.zip", "--pings", "fixtures/data/small/pings.parquet"]


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    pings = there_and_back()
    pings[30]["lat"] = AWAY[0]
    return explained(pings)


def test_the_table_says_what_was_published(moments: list[Moment]) -> None:
    table = [click.unstyle(line) for line in lines(moments, town()[0])]
    assert max(map(len, table)) <= WIDTH
    at = [k for k, line in enumerate(table) if line.startswith("07:0")]
    assert len(at) == len([m for m in moments if m.ping["timestamp"] < seven(town()[0]) + 600.0])
    for k, moment in zip(at, moments, strict=False):
        said = moment.words
        if said is None:
            reason = " ".join(f"{table[k]} {table[k + 1]}".split())
            assert f"IMPOSSIBLE_SPEED: {Reject.IMPOSSIBLE_SPEED.sentence}" in reason
            continue
        words = table[k].split()
        ping = moment.ping
        reported = ["R", f"{3.6 * ping['speed_mps']:.0f}"]
        if ping["bearing_deg"] is not None:
            reported.append(f"{ping['bearing_deg']:.0f}")
        assert words[1 : 1 + len(reported)] == reported
        words = words[1 + len(reported) :]
        assert words[0] == moment.what
        if said["dist_m"] is not None:
            assert words[1:6] == [
                f"R:{said['direction_id']}", f"{said['dist_m']:.0f}", f"{said['offset_m']:.0f}",
                f"{100 * said['match_probability']:.0f}", said["trip_id_performed"][-1],
            ]  # fmt: skip
        likeliest = moment.hypotheses[0]
        assert {"service": "svc", "off route": "off"}.get(likeliest.phase, likeliest.phase) in table[k][55:]


def test_every_nth_ping_and_every_change(moments: list[Moment]) -> None:
    network, _ = town()
    few = list(lines(moments, network, every=1000))
    assert len(few) < 0.3 * len(list(lines(moments, network)))
    assert sum("IMPOSSIBLE_SPEED" in line for line in few) == 1
    assert any("layover" in line for line in few)


def test_the_summary_counts(moments: list[Moment]) -> None:
    first, said, *runs = summary(moments, town()[0])
    assert first.startswith(f"vehicle bus: {len(moments)} pings from 2026-03-10 07:00:00 to 07:")
    assert first.endswith(f"{len(moments) - 1} used, 1 IMPOSSIBLE_SPEED")
    assert "% service" in said
    assert len(runs) == 2
    assert "run   1: R:0" in runs[0]
    assert "run   2: R:1" in runs[1]


def test_csv_has_every_hypothesis(moments: list[Moment], tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", moments, town()[0])
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(m.hypotheses) if m.words else 1 for m in moments)
    (bad,) = [r for r in rows if r["reason"]]
    assert (bad["reason"], bad["rank"], bad["route_id"]) == ("IMPOSSIBLE_SPEED", "", "")
    best = [r for r in rows if r["rank"] == "1"]
    assert [r["hypothesis_phase"] for r in best] == [m.hypotheses[0].phase for m in moments if m.words]
    assert best[0]["time"] == "2026-03-10T07:00:00+07:00"
    assert best[5]["reported_route_id"] == "R"


def test_a_row_that_could_not_be_read_is_shown_in_its_place() -> None:
    table = pl.DataFrame(there_and_back()).with_columns(pl.col("lat").cast(pl.String))
    lat = table["lat"].to_list()
    lat[12] = "north"
    found = pings_of(table.with_columns(lat=pl.Series(lat)), "pings", Options())
    moments = explain(find_vehicle(found, "bus"), town()[0])
    add_unreadable(moments, found.rejects, "bus")
    assert [k for k, m in enumerate(moments) if m.reason] == [12]
    assert sum("WRONG_TYPE" in line for line in lines(moments, town()[0])) == 1


def test_ids_that_look_alike() -> None:
    rows = [p | {"vehicle_id": i} for i in ("BK0017", "BK0071", "zz", "A-17-b") for p in there_and_back()[:3]]
    found = pings_of(pl.DataFrame(rows), "pings", Options())
    assert find_vehicle(found, "zz").height == 3
    with pytest.raises(Unexplained, match=r"'17' is not among the 4 of the recording; those alike: A-17-b, BK0017"):
        find_vehicle(found, "17")
    with pytest.raises(Unexplained, match="alike: BK0017, BK0071"):
        find_vehicle(found, "bk0017")
    with pytest.raises(Unexplained, match="there are A-17-b, BK0017, BK0071, zz"):
        find_vehicle(found, "?????")


def test_live_shows_the_last_minutes_only(moments: list[Moment]) -> None:
    last = moments[-1].ping["timestamp"]
    shown = lately(moments, "B1", last, 1)
    assert shown == moments[-len(shown) :]
    assert min(m.ping["timestamp"] for m in shown) >= last - 60.0 > moments[-len(shown) - 1].ping["timestamp"]
    with pytest.raises(Unexplained, match="'B1' has sent no ping in the last 5 minutes"):
        lately(moments, "B1", last + 301.0, 5)


def test_a_window_is_of_the_citys_clock(moments: list[Moment]) -> None:
    network, _ = town()
    some = window(moments, network, "07:01", "07:02:30")
    assert [m.ping["timestamp"] - seven(network) for m in some] == [float(s) for s in range(60, 150, 10)]
    assert window(moments, network, None, None) == moments
    with pytest.raises(Unexplained, match=r"pings from 2026-03-10 07:00:00 to .*, none of them from 25:00 to the end"):
        window(moments, network, "25:00", None)


def test_command(tmp_path: Path) -> None:
    svg, table = tmp_path / "x.svg", tmp_path / "x.csv"
    done = CliRunner().invoke(command, [*SMALL, "--vehicle", "BK0017", "--svg", str(svg), "--csv", str(table)])
    assert done.exit_code == 0, done.output
    said = done.stdout.splitlines()
    assert "believed" in said[0]
    assert max(map(len, said)) <= WIDTH
    assert any(line.startswith("vehicle BK0017: ") for line in said)
    assert any(line.startswith("run ") for line in said)
    assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert pl.read_csv(table).height > 200


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gtfs", "fixtures/data/city.zip", "--vehicle", "x"], "--pings FILE is missing"),
        ([*SMALL, "--vehicle", "x", "--live"], "--live and --pings exclude each other"),
        ([*SMALL, "--vehicle", "BK17"], "those alike: BK0017"),
        ([*SMALL, "--vehicle", "BK0017", "--from", "7"], "'7' is no HH:MM"),
        ([*SMALL, "--vehicle", "BK0017", "--from", "03:00", "--to", "03:10"], "none of them from 03:00 to 03:10"),
    ],
)
def test_command_says_what_is_wrong(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code != 0
    assert says in " ".join(done.output.split())
