"""`koridor score`: what was served, on tables written by hand."""

import csv
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from fixtures.truth import VISITS, write_table
from streams import messages
from streams.gtfs.network import Network
from streams.replay import tables
from streams.replay.baselines import baselines, told
from streams.replay.rulers import TRANSIT
from streams.replay.run import command as replay_command
from streams.replay.run import replay
from streams.replay.samples import UnusableRun, served
from streams.replay.score import command, score, score_run
from streams.replay.tables import Table
from tests.drawing import draw
from tests.replay.test_run import STREET, drive, recording

MINUTE = 1_773_100_800.0  # a full one
RUN = "2026-03-10:v:1"


def said(made: float, seq: int, ahead: float | None, run: str = RUN, vehicle: str = "v") -> dict[str, object]:
    """A statement at MINUTE + made that the bus comes `ahead` seconds after MINUTE; None withdraws it."""
    times = dict.fromkeys(("arrival_p10", "arrival_p50", "arrival_p90", "arrival_time"), ahead)
    row: dict[str, object] = {k: None if v is None else MINUTE + v for k, v in times.items()}
    if ahead is not None:
        row["arrival_p10"], row["arrival_p90"] = MINUTE + ahead - 20, MINUTE + ahead + 20
        row["arrival_time"] = MINUTE + ahead - 5
    return {
        "made_at": MINUTE + made, "trip_id_performed": run, "scheduled_stop_sequence": seq, "vehicle_id": vehicle,
        "trip_id_scheduled": "T", "route_id": "R", "direction_id": 0, "stop_id": f"S{seq}", **row,
    }  # fmt: skip


def came(seq: int, after: float, run: str = RUN, vehicle: str = "v") -> dict[str, object]:
    """The bus came to the stop `after` seconds after MINUTE."""
    return {
        "trip_id_performed": run, "trip_stop_sequence": seq + 1, "scheduled_stop_sequence": seq, "vehicle_id": vehicle,
        "stop_id": f"S{seq}", "actual_arrival_time": MINUTE + after, "actual_departure_time": MINUTE + after,
    }  # fmt: skip


def write(folder: Path, table: Table, rows: list[dict[str, object]]) -> None:
    times = [name for name, dtype in table.columns.items() if dtype == tables.TIME]
    columns = {name: [row.get(name) for row in rows] for name in table.columns}
    frame = pl.DataFrame(columns, schema_overrides=dict.fromkeys(times, pl.Float64))
    frame = frame.with_columns(tables.time_of(pl.col(name)) for name in times)
    table.fit(frame.lazy()).collect().write_parquet(folder / f"{table.name}.parquet")


def run_of(folder: Path, statements: list[dict[str, object]], visits: list[dict[str, object]]) -> Path:
    write(folder, tables.ARRIVAL_ESTIMATES, statements)
    write(folder, tables.STOP_VISITS, visits)
    return folder


def kept(folder: Path, truth: Path | None = None) -> list[tuple[float, int, float, float | None]]:
    """Minute, stop, median and arrival of every sample, in seconds after MINUTE."""
    rows = served(folder, truth).rows
    return [
        (m - MINUTE, s, p - MINUTE, None if a is None else a - MINUTE)
        for m, s, p, a in rows.select("made_at", "scheduled_stop_sequence", "p50", "actual").iter_rows()
    ]


def test_at_every_full_minute_the_last_statement_counts(tmp_path: Path) -> None:
    statements = [said(-50, 1, 300), said(-20, 1, 310), said(10, 1, 320), said(40, 1, 330), said(60, 1, 340)]
    run_of(tmp_path, [*statements, said(90, 1, 350)], [came(1, 400)])
    assert kept(tmp_path) == [(0, 1, 310, 400), (60, 1, 340, 400), (120, 1, 350, 400)]


def test_what_is_withdrawn_or_lapsed_is_not_served(tmp_path: Path) -> None:
    statements = [said(-5, 1, 300), said(30, 1, 300), said(55, 1, None), said(-5, 2, 500), said(58, 2, 500)]
    run_of(tmp_path, [*statements, said(300, 3, 900)], [came(1, 300), came(2, 500)])
    assert kept(tmp_path) == [(0, 1, 300, 300), (0, 2, 500, 500), (60, 2, 500, 500), (300, 3, 900, None)]


def test_counts_of_what_was_served(tmp_path: Path) -> None:
    """Stop 0 at 10 s, stop 1 at 130 s (asked at 60 and 120, stated at 60 only), stop 2 at 200 s (60, 120, 180), a
    statement after the arrival at 1, and one for a stop that the bus never came to."""
    statements = [said(55, 1, 130), said(178, 1, 190), said(55, 2, 200), said(115, 2, 200), said(175, 2, 205)]
    statements += [said(55, 3, 400)]
    run = "2026-03-10:w:1"
    other = [said(1000, 1, 1100, run, "w")]  # the recording goes on
    run_of(tmp_path, statements + other, [came(0, 10), came(1, 130), came(2, 200), came(0, 990, run, "w")])
    found = score(served(tmp_path), {})
    assert (found.answered, found.owed) == (4, 5)
    assert found.completeness == pytest.approx(80.0)
    assert found.after_arrival == 1
    assert found.unrealised == 1
    assert found.samples == 7
    assert found.by_predictor["p50"].mae_s == pytest.approx((0 + 0 + 0 + 5) / 4)
    assert found.by_predictor["told"].bias_s == pytest.approx((5 + 5 + 5 + 0) / 4)
    assert (
        found.intervals.n[-1] == 4
    )  # what stood after the arrival says nothing; of the other bus nothing is known yet
    assert found.intervals.coverage[-1] == pytest.approx(100.0)
    assert found.intervals.early[-1] == pytest.approx(0.0)


def test_what_would_have_come_after_the_last_arrival_that_was_seen_is_not_late(tmp_path: Path) -> None:
    """Late pings carry record time on to 600 s; nobody was seen to arrive after 130 s."""
    statements = [said(0, 1, 100), said(0, 2, 105), said(0, 3, 400), said(600, 4, 700)]
    run_of(tmp_path, statements, [came(1, 110), came(2, 130)])
    found = score(served(tmp_path), {}).intervals
    assert (found.n[-1], found.coverage[-1], found.late[-1]) == (2, 50.0, 50.0)


def test_figures_by_bin_say_how_many_they_are_of(tmp_path: Path) -> None:
    """Bus comes at 110 s: what stands at 60 s is of the next minutes, what stands at 120 s is after the event."""
    run_of(tmp_path, [said(55, 1, 130), said(115, 1, 140)], [came(1, 110)])
    found = score(served(tmp_path), {})
    n = {(figure, bin_): n for name, figure, bin_, _, _, n in found.rows() if name == "p50"}
    assert n["MBTA", "0-3 min"] == 2
    assert n["MAE", "0-3 min"] == n["bias", "0-3 min"] == n["MAE", "0-30 min"] == 1


def test_a_cold_start_may_be_left_out(tmp_path: Path) -> None:
    run_of(tmp_path, [said(55 + 60 * k, 1, 400) for k in range(5)], [came(1, 400)])
    rows = served(tmp_path, skip_s=130.0).rows
    assert (rows["made_at"] - MINUTE).to_list() == [240.0, 300.0]
    assert served(tmp_path, skip_s=130.0).owed == 0  # a single stop: nothing says that the bus was in service before


def truth_of(folder: Path, visits: list[tuple[str, int, int, str, float]]) -> Path:
    vehicle, run, seq, stop, time = (list(c) for c in zip(*visits, strict=True))
    n = len(visits)
    columns = {
        "vehicle_id": messages.column(messages.Kind.ID, vehicle), "run": np.array(run), "stop_sequence": np.array(seq),
        "pattern_id": messages.column(messages.Kind.ID, ["R:0:abcdef"] * n), "arrival_time": np.array(time) + MINUTE,
        "stop_id": messages.column(messages.Kind.ID, stop), "departure_time": np.array(time) + MINUTE,
    }  # fmt: skip
    write_table(folder / "visits.parquet", VISITS, columns)
    return folder


def test_the_truth_is_found_by_the_visits_that_a_run_shares_with_it(tmp_path: Path) -> None:
    """The tracker begins a new run at stop 2, numbers the stops of another variant (one more), and is 10 s off; of
    bus w it saw nothing."""
    visits = [came(0, 10), came(1, 110), {**came(3, 210, "2026-03-10:v:2"), "stop_id": "S2"}]
    late = {**said(115, 4, 330, "2026-03-10:v:2"), "stop_id": "S3"}
    run_of(tmp_path, [said(55, 2, 230), said(55, 3, 330), late, said(3000, 1, 3100, "z", "z")], visits)
    true = [("v", 7, k, f"S{k}", 100.0 * k) for k in range(4)] + [("w", 1, k, f"S{k}", 100.0 * k) for k in range(3)]
    found = served(tmp_path, truth_of(tmp_path, true))
    rows = found.rows.filter(pl.col("vehicle_id") == "v")
    assert rows.select("made_at", "scheduled_stop_sequence", "actual").rows() == [
        (MINUTE + 60, 2, MINUTE + 200), (MINUTE + 60, 3, MINUTE + 300), (MINUTE + 120, 4, MINUTE + 300),
    ]  # fmt: skip
    # owed from 60 s on: v has stop 1 at 60, 2 at 60, 120, 180, 3 at 60 ... 240; w the same without stop 3
    assert (found.owed, found.answered) == (1 + 3 + 4 + 1 + 3, 3)


def test_refusals_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UnusableRun, match=r"no arrival_estimates.parquet; make it with: koridor replay"):
        served(tmp_path)
    run_of(tmp_path, [], [])
    with pytest.raises(UnusableRun, match="no rows"):
        served(tmp_path)
    run_of(tmp_path, [said(0, 1, 60)], [])
    with pytest.raises(UnusableRun, match=r"visits.parquet does not exist"):
        served(tmp_path, tmp_path)
    with pytest.raises(UnusableRun, match="arrival_time"):
        served(tmp_path, tmp_path / "stop_visits.parquet")


# --- baselines, on a driven street


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    """Three buses on a street of four stops, replayed."""
    network, drawing = draw(STREET, {"R": "ABCD"}, headway_s=300)
    folder = tmp_path_factory.mktemp("driven")
    replay(recording(drive(drawing)), network, folder)
    return folder, network


def test_baselines_on_a_driven_street(driven: tuple[Path, Network]) -> None:
    """Every bus drives alike: the mean of the buses before is right to the ping, and the timetable is as wrong as the
    plan is."""
    folder, network = driven
    samples = served(folder)
    found = baselines(folder, network, samples)
    rows = samples.rows
    after_first = (rows["vehicle_id"] != "v0").to_numpy() & rows["actual"].is_not_null().to_numpy()
    error = rows["actual"].to_numpy() - found["last three buses"]
    # how long a bus has stood at its stop already is not known: 40 s at the first one
    assert np.nanmax(np.abs(error[after_first])) < 40.5
    first, end = network.pstop_start[0], network.pstop_start[1]
    places = pl.read_parquet(folder / "vehicle_locations.parquet").filter(pl.col("dist_m").is_not_null())
    compared = 0
    for k in range(rows.height):
        row = rows.row(k, named=True)
        seen = places.filter(
            (pl.col("trip_id_performed") == row["trip_id_performed"])
            & (pl.col("event_timestamp").dt.epoch("ms") <= row["made_at"] * 1000)
        ).tail(1)
        if seen.is_empty():  # told before the run began: nobody knows where it is
            assert np.isnan(found["timetable"][k])
            continue
        at, dist = seen["event_timestamp"].dt.epoch("ms")[0] / 1000, seen["dist_m"][0]
        planned = np.interp(dist, network.pstop_dist_m[first:end], network.pstop_arrival_s[first:end])
        pos = network.pstop_sequence[first:end].tolist().index(row["scheduled_stop_sequence"])
        expected = max(at + network.pstop_arrival_s[first + pos] - planned, row["made_at"])
        if dist >= network.pstop_dist_m[first + pos]:  # it is there already: no link leads to the stop
            assert np.isnan(found["timetable"][k])
            continue
        assert found["timetable"][k] == pytest.approx(expected, abs=0.01)
        compared += 1
    assert compared > 5
    assert told(np.array([0.0, 0.0]), np.array([500.0, 2000.0])) == pytest.approx([440.0, 1880.0])


def test_a_position_that_was_not_there_yet_is_not_used(driven: tuple[Path, Network]) -> None:
    folder, network = driven
    samples = served(folder)
    now, later = (baselines(folder, network, samples, lag)["last three buses"] for lag in (0.0, 60.0))
    both = np.isfinite(now) & np.isfinite(later)
    assert both.any()
    assert np.count_nonzero(np.isnan(later)) > np.count_nonzero(np.isnan(now))


# --- the command


def test_command(tmp_path: Path) -> None:
    network_feed = Path("fixtures/data/city.zip")
    run = tmp_path / "run"
    small = Path("fixtures/data/small")
    runner = CliRunner()
    done = runner.invoke(
        replay_command,
        ["--gtfs", str(network_feed), "--pings", str(small / "pings.parquet"), "--out", str(run)],
    )
    assert done.exit_code == 0, done.output
    table, drawn = tmp_path / "score.csv", tmp_path / "score.svg"
    done = runner.invoke(
        command,
        [str(run), "--gtfs", str(network_feed), "--truth", str(small), "--csv", str(table), "--svg", str(drawn)],
    )
    assert done.exit_code == 0, done.output
    assert "timetable, told as ours" in done.output
    with table.open() as file:
        rows = list(csv.DictReader(file))
    found = score_run(run, network_feed, small)
    overall = {(r["predictor"], r["figure"]): r["value"] for r in rows if r["bin"] == "all"}
    assert {p for p, f in overall if f == "Transit"} == set(found.by_predictor)
    shown = found.by_predictor["told"].overall(TRANSIT)
    assert overall["told", "Transit"] == ("" if math.isnan(shown) else f"{shown:.2f}")
    assert found.completeness > 60.0
    texts = [t.text for t in ElementTree.parse(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert "told" in texts
    assert any("% of" in (t or "") for t in texts)
    assert not math.isnan(found.intervals.coverage[-1])


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path)])
    assert done.exit_code == 1
    assert "make it with" in done.output
