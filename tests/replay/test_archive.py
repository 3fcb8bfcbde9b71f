"""`koridor score --live`: a served feed as files, and its score beside that of the replay that it comes from."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from google.transit import gtfs_realtime_pb2 as pb

from api.gtfs_rt.feeds import Feeds, Kind
from streams.gtfs.compile import load
from streams.replay import archive as archive_module
from streams.replay import tables
from streams.replay.archive import POSITIONS, UPDATES, Collector, UnusableArchive, addresses, is_archive
from streams.replay.run import replay
from streams.replay.samples import UnusableRun, served
from streams.replay.score import command, score_archive
from streams.replay.updates import served_feed, standing, statements
from streams.sources.poll import Answer
from streams.sources.recording import UnusableSource
from streams.sources.registry import open_source
from tests.api.driving import drive
from tests.sources.test_poll import Server

GTFS = Path("fixtures/data/city.zip")
PINGS = Path("fixtures/data/small/pings.parquet")
API = "http://127.0.0.1:8080"
START = 1_773_100_800.0


class World:
    """Our API serving a played recording, in the recording's own time: a request a clock and no network."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at = 0.0
        self.feeds = Feeds(5.0)
        self.driven = drive(load(GTFS), open_source([PINGS]))
        self.view, self.at = next(self.driven)
        self.over = False
        patch.setattr(archive_module.Url, "ask", lambda url, now: self.ask(url))

    def ask(self, url: archive_module.Url) -> Answer:
        name = url.url.removeprefix(f"{API}/gtfs-rt/").removesuffix(".pb")
        body = bytes(self.feeds.answer(self.view.snapshot, Kind(name)).body)  # type: ignore[arg-type]
        return Answer(None) if body == url._digest else Answer(body, digest=body)

    def sleep(self, seconds: float) -> None:
        until = self.at + seconds
        while self.at < until and not self.over:
            found = next(self.driven, None)
            if found is None:
                self.over = True
            else:
                self.view, self.at = found

    def clock(self) -> float:
        return float("inf") if self.over else self.at


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "archive"
    with pytest.MonkeyPatch.context() as patch:
        world = World(patch)
        Collector(folder, *addresses(API, None)).collect(3600.0, clock=world.clock, sleep=world.sleep)
    return folder


def test_what_was_served_is_scored_like_the_replay_that_it_comes_from(gathered: Path, tmp_path: Path) -> None:
    """The feed tells whole seconds and is up to 20 s old, and one that is at hand twice as long: else the same."""
    assert is_archive(gathered)
    network = load(GTFS)
    replay(open_source([PINGS]), network, tmp_path / "run")
    replay(open_source([gathered / POSITIONS]), network, gathered / "tables")
    theirs, ours = served_feed(gathered, gathered / "tables"), served(tmp_path / "run")
    key = ["made_at", "vehicle_id", "stop_id", "scheduled_stop_sequence"]
    both = ours.rows.join(theirs.rows, on=key, suffix="_served")
    assert both.height > 0.85 * ours.rows.height
    off = (both["told"] - both["told_served"]).abs()
    assert off.median() <= 5.0
    assert off.quantile(0.9) < 60.0
    seen = both.filter(pl.col("actual").is_not_null() & pl.col("actual_served").is_not_null())
    assert seen.height > 0.9 * both["actual"].is_not_null().sum() > 100
    assert (seen["actual"] - seen["actual_served"]).abs().quantile(0.95) < 15.0  # seen every 20 s instead of 5
    assert theirs.owed > 0.8 * ours.owed
    assert theirs.answered > 0.8 * theirs.owed


def test_the_command_scores_an_archive_again(gathered: Path, tmp_path: Path) -> None:
    table = tmp_path / "score.csv"
    done = CliRunner().invoke(command, [str(gathered), "--gtfs", str(GTFS), "--csv", str(table)])
    assert done.exit_code == 0, done.output
    assert "the feed tells no intervals" in done.output
    found = score_archive(gathered, GTFS)
    assert list(found.by_predictor) == ["told", "timetable", "last three buses", "timetable, told as ours"]
    rows = pl.read_csv(table)
    told = rows.filter((pl.col("predictor") == "told") & (pl.col("figure") == "MAE") & (pl.col("bin") == "0-30 min"))
    assert told["value"][0] == pytest.approx(found.by_predictor["told"].mae_s, abs=0.01)
    assert 0.0 < found.by_predictor["told"].mae_s < 200.0


# --- statements, by hand


def update(trip: str, *stops: tuple[int, str, float | None], vehicle: str | None = "v", **more: object) -> dict:
    times = [
        {
            "stop_sequence": n,
            "stop_id": s,
            **({"arrival": {"time": int(t)}} if t else {"schedule_relationship": "NO_DATA"}),
        }
        for n, s, t in stops
    ]
    body: dict = {"trip": {"trip_id": trip, **more}, "stop_time_update": times}
    if vehicle:
        body["vehicle"] = {"id": vehicle}
    return {"id": trip, "trip_update": body}


def feed(made: float, *entities: dict) -> bytes:
    whole = {"header": {"gtfs_realtime_version": "2.0", "timestamp": int(made)}, "entity": list(entities)}
    return json_format.ParseDict(whole, pb.FeedMessage()).SerializeToString()


def message(at: float, *entities: dict) -> tuple[str, bytes]:
    return f"{int(at)}.pb", feed(at - 7, *entities)


def test_only_told_times_count_and_the_file_says_when() -> None:
    found = statements(
        [
            message(START, update("T", (1, "A", START + 60), (2, "B", None))),
            ("junk.pb", b"\x00junk"),
            ("named.pb", feed(START - 50, update("U", (1, "A", START + 90), vehicle=None))),
        ]
    )
    assert found.select("said_at", "trip_id", "vehicle_id", "stop_sequence", "stop_id", "told").rows() == [
        (START - 50, "U", None, 1, "A", START + 90),
        (START, "T", "v", 1, "A", START + 60),
    ]


def test_at_a_full_minute_the_newest_message_stands_for_a_minute_at_most() -> None:
    said = [message(START + at, update("T", (1, "A", START + at + 300))) for at in (-30, 10, 50, 300)]
    found = standing(statements(said))
    assert [(m - START, s - START) for m, s in found.select("made_at", "said_at").rows()] == [
        (0, -30), (60, 50), (300, 300),
    ]  # fmt: skip
    assert standing(statements([])).is_empty()


def visit(run: str, seq: int, stop: str, at: float, vehicle: str = "v", trip: str = "T") -> dict[str, object]:
    return {
        "trip_id_performed": run, "scheduled_stop_sequence": seq, "vehicle_id": vehicle, "trip_id_scheduled": trip,
        "stop_id": stop, "actual_arrival_time": START + at, "actual_departure_time": START + at,
    }  # fmt: skip


@pytest.mark.parametrize("vehicle", ["v", None])
def test_an_update_is_of_the_run_at_whose_stops_it_falls_silent(tmp_path: Path, vehicle: str | None) -> None:
    """The bus comes much later than it was said to, and drives the same trip an hour later again."""
    rows = [visit(f"run{k}", s, "AB"[s], 3600 * k + 600 * (s + 1)) for k in range(2) for s in range(2)]
    columns = {name: [r.get(name) for r in rows] for name in tables.STOP_VISITS.columns}
    times = [n for n, t in tables.STOP_VISITS.columns.items() if t == tables.TIME]
    frame = pl.DataFrame(columns, schema_overrides=dict.fromkeys(times, pl.Float64))
    frame = frame.with_columns(tables.time_of(pl.col(n)) for n in times)
    tables.STOP_VISITS.fit(frame.lazy()).collect().write_parquet(tmp_path / "stop_visits.parquet")
    folder = tmp_path / UPDATES
    folder.mkdir()
    for k in range(2):
        for at in range(0, 1200, 30):
            stops = [(s, "AB"[s], START + 3600 * k + at + 31) for s in range(2) if at < 600 * (s + 1)]
            start = f"0{7 + k}:00:00"
            name, data = message(START + 3600 * k + at, update("T", *stops, vehicle=vehicle, start_time=start))
            (folder / name).write_bytes(data)
    samples = served_feed(tmp_path, tmp_path)
    found = (
        samples.rows.group_by("trip_id_performed", "stop_id")
        .agg(pl.col("actual").unique())
        .sort("trip_id_performed", "stop_id")
    )
    assert [(r, s, [a - START for a in actual]) for r, s, actual in found.rows()] == [
        ("run0", "A", [600.0]), ("run0", "B", [1200.0]), ("run1", "A", [4200.0]), ("run1", "B", [4800.0]),
    ]  # fmt: skip
    assert samples.answered > 0.9 * samples.owed - 20
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(UnusableRun, match="tells no arrival"):
        served_feed(tmp_path, tmp_path)


# --- gathering


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def test_messages_become_files_the_same_one_again_a_link_and_nonsense_none(server: Server, tmp_path: Path) -> None:
    now = [START]
    bodies = iter([feed(1), feed(1), b"<html>", feed(2)])
    failures = []

    def sleep(_: float) -> None:
        now[0] += 10.0
        server.body = next(bodies, server.body)

    sleep(0.0)
    begun = now[0]
    collector = Collector(tmp_path, server.url, server.url, every_s=10.0, headers={"X-Api-Key": "k"})
    collector.collect(60.0, lambda _: failures.append(collector.feeds[0].failure), lambda: now[0], sleep)
    files = sorted(p for p in (tmp_path / UPDATES).iterdir())
    # nonsense at 20 s: asked again 20 s later
    assert [int(p.stem) - begun for p in files] == [0, 10, 40, 50]
    assert os.stat(files[0]).st_ino == os.stat(files[1]).st_ino
    assert [p.read_bytes() for p in files] == [feed(1)] * 2 + [feed(2)] * 2
    assert "not a GTFS-Realtime message" in failures[2]
    assert failures[-1] == ""
    assert server.asked[0]["x-api-key"] == "k"


def test_where_the_feeds_are() -> None:
    own = ("http://h:8080/gtfs-rt/trip-updates.pb", "http://h:8080/gtfs-rt/vehicle-positions.pb")
    assert addresses("http://h:8080", None) == own
    assert addresses("http://h:8080/", None) == own
    assert addresses(own[0], None) == own
    assert addresses("https://a/b.pb", "https://a/c.pb") == ("https://a/b.pb", "https://a/c.pb")
    for url in ("https://a/b.pb", "https://a/realtime/tripupdates"):
        with pytest.raises(UnusableArchive, match="--positions"):
            addresses(url, None)
    with pytest.raises(UnusableSource):
        Collector(Path(), "ftp://a", "ftp://b")


def test_ctrl_c_scores_what_was_gathered(gathered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    begun = world.at

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        if world.at > begun + 400.0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Collector.collect, "__defaults__", (lambda _: None, world.clock, sleep))
    done = CliRunner().invoke(command, [str(tmp_path / "a"), "--live", API, "--for", "2h", "--gtfs", str(GTFS)])
    assert done.exit_code == 0, done.output
    assert "scoring what was gathered" in done.output
    assert "completeness" in done.output
    times = sorted(int(p.stem) for p in (tmp_path / "a" / UPDATES).iterdir())
    assert 15 <= len(times) <= 21
    assert np.diff(times).min() >= 19


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["nowhere"], "makes it"),
        (["x", "--live", "http://127.0.0.1:9"], "--gtfs FEED is needed"),
        (["x", "--live", "http://127.0.0.1:9/feed.pb", "--gtfs", str(GTFS)], "--positions"),
        (["x", "--live", API, "--for", "soon", "--gtfs", str(GTFS)], "say 90s, 30m or 2h"),
        (["x", "--live", API, "--truth", ".", "--gtfs", str(GTFS)], "--truth and --lag"),
        (["x", "--live", API, "--header", "Key", "--gtfs", str(GTFS)], "NAME: VALUE"),
        (["x", "--live", "http://127.0.0.1:9", "--for", "1s", "--gtfs", str(GTFS)], "nothing was gathered"),
    ],
)
def test_refusals(arguments: list[str], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = [str(tmp_path / arguments[0]), *arguments[1:]]
    done = CliRunner().invoke(command, where)
    assert done.exit_code != 0
    assert wrong in " ".join(done.output.split())
