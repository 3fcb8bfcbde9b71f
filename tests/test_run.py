import socket
import sys
from pathlib import Path

import click
import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from streams import run
from streams.guard import Child


@pytest.fixture
def children(tmp_path: Path):
    made = run.Children(tmp_path, Console(quiet=True))
    yield made
    made.stop()


def test_a_child_that_ends_is_named_with_the_end_of_its_log(children, tmp_path: Path):
    ended = Child("worker-1", [sys.executable, "-c", "print('what went wrong'); exit(2)"], tmp_path / "worker-1.log")
    children._running.append(ended)
    ended.wait()
    with pytest.raises(click.ClickException, match=r"worker-1 ended by itself[\s\S]*worker-1\.log:\nwhat went wrong"):
        children.until("Waiting", lambda: False)


def test_a_command_that_may_end_and_one_that_fails(children):
    done = children.start("settings", "settings", finite=True)
    children.until("Waiting", lambda: done.poll() is not None)
    children.check()
    children.start("feed", "feed", "no-such-command", finite=True)
    with pytest.raises(click.ClickException, match=r"feed ended by itself[\s\S]*No such command"):
        children.until("Waiting", lambda: False)


def test_the_demonstration_is_made_once(children, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("KORIDOR_HOME", str(tmp_path))
    monkeypatch.setattr(run, "_DRIVE", (*run._DRIVE[:2], "--hours", "0.02", "--seed", "4"))
    first = run._Demonstration(children)
    first.finish()
    assert pl.read_parquet(first.pings)["vehicle_id"].n_unique() > 100
    second = run._Demonstration(children)
    assert second._making is None
    assert (second.feed, second.pings) == (first.feed, first.pings)
    monkeypatch.setattr(run, "_DRIVE", (*run._DRIVE[:2], "--hours", "0.03", "--seed", "4"))
    assert run._Demonstration(children)._making is not None


def test_wait_ends_when_the_condition_holds(children, tmp_path: Path):
    """Not before, at once then, and meanwhile it looks whether all are alive."""
    code = "import time; print('warming up', flush=True); time.sleep(600)"
    child = Child("worker-1", [sys.executable, "-c", code], tmp_path / "worker-1.log")
    children._running.append(child)
    asked = []

    def condition() -> bool:
        asked.append(child.tail(1))
        return asked[-1] == "warming up" and asked.count("warming up") == 2

    children.until("Waiting", condition, child)
    assert asked.count("warming up") == 2
    assert child.poll() is None
    child.stop()
    with pytest.raises(click.ClickException, match="worker-1 ended by itself"):
        children.until("Waiting", lambda: False, child)


def test_a_wait_that_takes_too_long_ends_with_what_was_said_last(children, tmp_path: Path, monkeypatch):
    child = Child("broker", [sys.executable, "-c", "print('no disk left')"], tmp_path / "broker.log")
    child.wait()
    monkeypatch.setattr(run, "_START_S", -1.0)
    with pytest.raises(click.ClickException, match=r"Waiting: not done after -1 s\nno disk left"):
        children.until("Waiting", lambda: False, child)


def test_feed_and_pings_go_together(tmp_path: Path):
    (tmp_path / "feed.zip").touch()
    said = CliRunner().invoke(run.command, ["--gtfs", str(tmp_path / "feed.zip")])
    assert said.exit_code == 2
    assert "--gtfs and --pings go together" in said.output


def test_nobody_answers():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
        assert run._ask(url) == 0
        assert run._vehicles(url) == 0
