"""`koridor replay`: a recording through both stages to the tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.feed import write_feed
from streams import messages
from streams.engine.city import OUT, City
from streams.engine.track import Track
from streams.gtfs.network import Network
from streams.replay import parts as parts_module
from streams.replay import run as run_module
from streams.replay import tables
from streams.replay.run import command, groups, parse_tables, replay
from streams.settings import Settings
from streams.sources.recording import Recording
from streams.sources.registry import open_source
from streams.sources.rows import Options, pings_of
from tests.drawing import Drawing, draw

STREET = """
  A---------------B---------------C---------------D
"""
T0 = 1_773_100_800.0  # 2026-03-10 07:00 in Jakarta
STEP_S = 10.0
SPEED = 8.0


@pytest.fixture(scope="module")
def street() -> tuple[Network, Drawing]:
    return draw(STREET, {"R": "ABCD"}, headway_s=300)


def drive(drawing: Drawing, vehicles: int = 3) -> pl.DataFrame:
    """Buses that drive the street one behind the other, 200 s apart, and stand 20 s at every stop."""
    network = drawing.network
    p = drawing.pattern_ix("R")
    stops = network.pstop_dist_m[network.pstop_start[p] : network.pstop_start[p + 1]]
    rows = []
    for v in range(vehicles):
        dist, t, stop = 0.0, T0 + 200.0 * v, 0
        stands = 40.0
        while t < T0 + 200.0 * v + 1200.0 and dist < network.pattern_length_m[p]:
            lat, lon = drawing.along("R", dist)
            rows.append({"vehicle_id": f"v{v}", "timestamp": t, "lat": lat, "lon": lon, "route_id": "R"})
            t += STEP_S
            if stop < len(stops) and dist >= stops[stop] - 1e-6 and stands > 0:
                stands -= STEP_S
                continue
            if stands <= 0:
                stop, stands = stop + 1, 20.0
            ahead = stops[stop] if stop < len(stops) else np.inf
            dist = min(dist + SPEED * STEP_S, max(ahead, dist))
    return pl.DataFrame(rows).sort("timestamp", "vehicle_id")


def recording(table: pl.DataFrame) -> Recording:
    return pings_of(table, "pings", Options())


def read(folder: Path) -> dict[str, pl.DataFrame]:
    return {table.name: pl.read_parquet(folder / f"{table.name}.parquet") for table in tables.ALL}


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.integers(1, 9))
def test_a_record_is_a_second_of_record_time(times: list[float], step: int) -> None:
    times = sorted(round(t, 2) for t in times)
    table = pl.DataFrame(
        {"vehicle_id": [str(i) for i in range(len(times))], "timestamp": times, "lat": 0.0, "lon": 0.0}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "STEP_ROWS", step)
        found = list(groups(recording(table)))
    assert [v for g in found for v in g.pings["vehicle_id"]] == [str(i) for i in range(len(times))]
    assert [g.first_row for g in found] == np.cumsum([0, *(len(g.pings["lat"]) for g in found)]).tolist()[:-1]
    seconds = [int(g.record_time) for g in found]
    assert seconds == sorted(set(seconds))
    for g in found:
        assert {int(t) for t in g.pings["timestamp"]} == {int(g.record_time)}
        assert g.record_time == max(g.pings["timestamp"])


def test_every_table_is_written_to_the_contract(street: tuple[Network, Drawing], tmp_path: Path) -> None:
    network, drawing = street
    pings = drive(drawing)
    counts = replay(recording(pings), network, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{t.name}.parquet" for t in tables.ALL)
    found = read(tmp_path)
    for table in tables.ALL:
        frame = found[table.name]
        assert dict(frame.schema) == table.columns, table.name
        assert frame.select(table.key).is_duplicated().sum() == 0, table.name
        assert frame.equals(frame.sort(table.key)), table.name
    assert counts.pings == pings.height == counts.accepted + sum(counts.rejects.values())
    assert counts.accepted == found["vehicle_locations"].height
    assert counts.trips == found["trips_performed"].height == 3
    assert counts.visits == found["stop_visits"].height


def test_the_tables_say_what_was_driven(street: tuple[Network, Drawing], tmp_path: Path) -> None:
    network, drawing = street
    replay(recording(drive(drawing)), network, tmp_path)
    found = read(tmp_path)
    locations = found["vehicle_locations"].filter(pl.col("route_id").is_not_null())
    assert locations["route_id"].unique().to_list() == ["R"]
    assert locations["offset_m"].drop_nulls().max() < 5.0
    between = found["stop_visits"].filter(pl.col("stop_id").is_in(["B", "C"]) & (pl.col("vehicle_id") != "v0"))
    assert between.height == 4
    assert between["headway_s"].to_list() == pytest.approx([200.0] * 4, abs=15.0)
    assert set(between["leader_id"]) == {"v0", "v1"}
    assert (between["dwell"] >= 0).all()
    headways = found["headways"].filter(pl.col("headway_s").is_not_null())
    assert headways["headway_s"].median() == pytest.approx(200.0, abs=15.0)
    assert headways["headway_ratio"].median() == pytest.approx(200 / 300, abs=0.06)
    speeds = found["congestion"].filter(pl.col("n_samples") > 0)["speed_mps"]
    assert 4.0 < speeds.median() < 12.0


def test_a_recording_without_pings_gives_tables_without_rows(street: tuple[Network, Drawing], tmp_path: Path) -> None:
    table = pl.DataFrame(
        schema={"vehicle_id": pl.String, "timestamp": pl.Float64, "lat": pl.Float64, "lon": pl.Float64}
    )
    counts = replay(recording(table), street[0], tmp_path)
    assert counts.pings == counts.accepted == 0
    for table_, frame in read(tmp_path).items():
        assert frame.height == 0
        assert dict(frame.schema) == tables.BY_NAME[table_].columns


def test_how_the_work_is_cut_does_not_matter(
    street: tuple[Network, Drawing], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, drawing = street
    pings = recording(drive(drawing))
    replay(pings, network, tmp_path / "a")
    monkeypatch.setattr(run_module, "STEP_ROWS", 7)
    monkeypatch.setattr(parts_module, "ROWS_PER_PART", 5)
    replay(pings, network, tmp_path / "b")
    for table in tables.ALL:
        assert (tmp_path / "a" / f"{table.name}.parquet").read_bytes() == (
            tmp_path / "b" / f"{table.name}.parquet"
        ).read_bytes(), table.name


def test_a_reject_is_known_by_its_row_in_its_file(street: tuple[Network, Drawing], tmp_path: Path) -> None:
    network, drawing = street
    table = drive(drawing, 1)
    bad = table.height // 2
    lat = table["lat"].to_list()
    lat[bad], lat[bad + 1] = 95.0, None
    counts = replay(recording(table.with_columns(lat=pl.Series(lat))), network, tmp_path)
    assert counts.accepted + sum(counts.rejects.values()) == table.height
    rejects = pl.read_parquet(tmp_path / "rejects.parquet")
    assert rejects["index"].to_list() == [bad, bad + 1]
    assert rejects["source"].unique().to_list() == ["pings"]
    assert rejects["reason"].to_list()[1] == "MISSING_FIELD"
    assert '"lat":95' in rejects["raw"][0]


def test_only_the_wanted_tables(street: tuple[Network, Drawing], tmp_path: Path) -> None:
    network, drawing = street
    replay(recording(drive(drawing, 1)), network, tmp_path, wanted=parse_tables("headways, rejects"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["headways.parquet", "rejects.parquet"]


def test_the_command_ends_with_its_counts(street: tuple[Network, Drawing], tmp_path: Path) -> None:
    _, drawing = street
    feed = write_feed(tmp_path / "feed.zip", drawing.tables)
    pings = drive(drawing)
    for i in range(2):
        pings[i::2].write_parquet(tmp_path / f"{i}.parquet")
    result = CliRunner().invoke(
        command,
        [
            "--gtfs",
            str(feed),
            "--out",
            str(tmp_path / "out"),
            "--pings",
            str(tmp_path / "0.parquet"),
            str(tmp_path / "1.parquet"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert f"{pings.height:,} pings in " in result.output
    assert "3 trips" in result.output
    assert pl.read_parquet(tmp_path / "out" / "trips_performed.parquet").height == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--pings FILE is missing"),
        (["--pings", "p.csv"], "--gtfs FEED and --out DIR"),
        (["--pings", "p.csv", "--speed", "-1"], "above 0"),
        (["--pings", "p.csv", "--gtfs", ".", "--out", "o", "--tables", "visits"], "the tables are vehicle_locations"),
        (["--pings", "p.csv", "--gtfs", ".", "--out", "o"], "p.csv: there is no such file"),
    ],
)
def test_wrong_use_is_refused_with_the_repair(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code != 0
    assert says in result.output


@pytest.mark.slow
def test_kingston_gives_sensible_tables(data_dir: Path, tmp_path: Path) -> None:
    from streams.gtfs.compile import load

    source = open_source(data_dir / "kingston" / "vehicle_positions.csv.gz")
    counts = replay(source, load(data_dir / "kingston" / "gtfs.zip", cache_dir=tmp_path), tmp_path / "out")
    found = read(tmp_path / "out")
    assert counts.pings == 8539 == counts.accepted + sum(counts.rejects.values())
    locations = found["vehicle_locations"]
    served = locations.filter(pl.col("trip_type") == "In service")
    assert served.height > 0.3 * locations.height
    assert served["offset_m"].median() < 15.0
    visits = found["stop_visits"].filter(pl.col("actual_arrival_time").is_not_null())
    assert visits.height > 1000
    assert (visits["dwell"].drop_nulls() >= 0).all()
    assert found["headways"]["headway_s"].drop_nulls().min() >= 0.0


@settings(max_examples=4)
@given(st.data())
def test_statements_do_not_know_what_comes_after_them(street: tuple[Network, Drawing], data: st.DataObject) -> None:
    """Cut the recording anywhere: what was stated up to there is the same to the byte."""
    network, drawing = street
    pings = drive(drawing, vehicles=4)
    lag = data.draw(st.lists(st.integers(0, 40), min_size=pings.height, max_size=pings.height))
    late = pings.with_columns(record_time=pl.col("timestamp") + pl.Series(lag, dtype=pl.Float64)).sort("record_time")
    cut = data.draw(st.integers(1, late.height - 1))

    def stated(frame: pl.DataFrame) -> tuple[list[tuple[str, bytes]], float]:
        alone = replace(Settings(), kafka=replace(Settings().kafka, partitions=1))
        track, city = Track(network, alone), City(network, alone)
        tracked, state, out, now = track.fresh(0), city.fresh(0), [], 0.0
        for group in groups(recording(frame)):
            now = group.record_time
            facts, _ = track.advance(tracked, group.pings, now, group.first_row)
            said = city.advance(state, facts, now)
            for topic in sorted({"arrivals", "indicators"} & said.keys()):
                made = said[topic]["made_at"]
                for at in np.unique(made):
                    out.append((topic, messages.encode(OUT[topic], messages.take(said[topic], made == at))))
        return out, now

    short, until = stated(late[:cut])
    whole, _ = stated(late)
    assert short == whole[: len(short)]
    if len(whole) > len(short):  # and nothing was held back that could have been said
        kind, following = whole[len(short)]
        assert messages.decode(OUT[kind], following)["made_at"][0] > until
