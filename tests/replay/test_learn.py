"""`koridor learn`, and a replay that begins with what it found."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from streams.engine import profile
from streams.replay.learn import command, learn
from streams.replay.run import command as replay_command
from streams.replay.run import replay
from streams.sources.recording import UnusableSource
from tests.drawing import draw
from tests.replay.test_run import STREET, drive, recording

CITY, SMALL = Path("fixtures/data/city.zip"), Path("fixtures/data/small")


def test_learning_a_street() -> None:
    """Three buses that drive the first two of three links: counted, and added to."""
    network, drawing = draw(STREET, {"R": "ABCD"}, headway_s=300)
    pings = recording(drive(drawing))
    about, data = learn(pings, network)
    assert about.network == network.hash
    assert about.pings == pings.frame.height
    assert about.links == 2
    assert about.passages == 6
    assert about.seen_to - about.seen_from == pytest.approx(
        pings.frame["timestamp"].max() - pings.frame["timestamp"].min()
    )
    more, twice = learn(pings, network, begin_with=data)
    assert more.pings == 2 * about.pings
    assert more.passages == 12
    running = profile.unpack(twice)[1]["arrivals"]["running"]
    assert running["sum_s"].sum() == pytest.approx(2 * profile.unpack(data)[1]["arrivals"]["running"]["sum_s"].sum())


def test_learning_twice_gives_the_same_bytes() -> None:
    network, drawing = draw(STREET, {"R": "ABCD"}, headway_s=300)
    assert learn(recording(drive(drawing)), network) == learn(recording(drive(drawing)), network)


def test_nothing_is_learned_from_rows_that_nobody_can_use(tmp_path: Path) -> None:
    """No profile is written, and the one that was to be gone on from stays as it is."""
    network, _ = draw(STREET, {"R": "ABCD"}, headway_s=300)
    nowhere = pl.DataFrame({"vehicle_id": ["v", "v"], "timestamp": [None, None], "lat": 0.0, "lon": 0.0})
    nowhere = nowhere.cast({"timestamp": pl.Float64})
    with pytest.raises(UnusableSource, match="none of the 2 rows is usable"):
        learn(recording(nowhere), network)
    pings, out = tmp_path / "pings.csv", tmp_path / "city.profile"
    pings.write_text("vehicle_id,timestamp,lat,lon\nv,,-6.2,106.8\n")
    done = CliRunner().invoke(command, [str(pings), "--gtfs", str(CITY), "--out", str(out)])
    assert done.exit_code == 1
    assert "none of the 1 rows is usable" in done.output
    assert not out.exists()


def test_a_replay_begins_with_the_profile(tmp_path: Path) -> None:
    network, drawing = draw(STREET, {"R": "ABCD"}, headway_s=300)
    pings = recording(drive(drawing, vehicles=6))
    learned = profile.unpack(learn(pings, network)[1])[1]
    first = []
    for name, known in (("cold", None), ("warm", learned)):
        replay(pings, network, tmp_path / name, learned=known)
        said = pl.read_parquet(tmp_path / name / "arrival_estimates.parquet")
        visits = pl.read_parquet(tmp_path / name / "stop_visits.parquet")
        key = ["trip_id_performed", "scheduled_stop_sequence"]
        judged = said.filter(pl.col("vehicle_id") == "v0").join(visits, on=key)
        error = (judged["actual_arrival_time"] - judged["arrival_p50"]).dt.total_milliseconds() / 1000
        first.append(float(error.abs().mean()))
    assert first[1] < first[0] - 5.0


def test_commands(tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "city.profile"
    done = runner.invoke(command, [str(SMALL / "pings.parquet"), "--gtfs", str(CITY), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "links with" in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["city.profile"]
    done = runner.invoke(
        replay_command,
        ["--gtfs", str(CITY), "--pings", str(SMALL / "pings.parquet"), "--out", str(tmp_path / "run"),
         "--profile", str(out), "--tables", "arrival_estimates"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "passages of" in done.output
    done = runner.invoke(
        replay_command,
        ["--gtfs", str(CITY), "--pings", str(SMALL / "pings.parquet"), "--out", str(tmp_path / "run"),
         "--profile", str(CITY)],
    )  # fmt: skip
    assert done.exit_code == 1
    assert "city.zip: this is no profile" in done.output
