import logging
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams import app
from streams.settings import Settings, WrongSetting

CITY = Path(__file__).parent.parent / "fixtures" / "data" / "city.zip"


def test_a_line_of_a_library_is_written_once_in_a_while():
    now = [0.0]
    seldom = app.Seldom(10.0, lambda: now[0])

    def passes(name: str, text: str) -> bool:
        return seldom.filter(logging.LogRecord(name, logging.ERROR, "", 0, text, None, None))

    assert passes("aiokafka", "no broker")
    assert not passes("aiokafka", "no broker")
    assert passes("aiokafka", "another thing")
    assert passes("streams.agents", "ours")
    assert passes("streams.agents", "ours")
    now[0] = 11.0
    assert passes("aiokafka", "no broker")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stages", "track,cities"], "one or both of track, city"),
        (["--stages", ""], "one or both of track, city"),
        ([], "KORIDOR_BROKERS is not set"),
    ],
)
def test_a_wrong_start_is_refused_before_the_feed_is_read(tmp_path, monkeypatch, arguments, said):
    monkeypatch.delenv("KORIDOR_BROKERS", raising=False)
    feed = tmp_path / "feed.zip"
    feed.touch()
    result = CliRunner().invoke(app.command, ["--gtfs", str(feed), *arguments])
    assert result.exit_code != 0
    assert said in result.output


def test_a_feed_that_cannot_be_used_is_said_without_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("KORIDOR_BROKERS", "127.0.0.1:9")
    feed = tmp_path / "feed.zip"
    feed.write_bytes(b"not a zip")
    result = CliRunner().invoke(app.command, ["--gtfs", str(feed)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "feed.zip" in result.output


@pytest.mark.parametrize(
    ("name", "said"), [("city.zip", "city.zip: this is no profile"), ("none", "none: No such file")]
)
def test_a_wrong_profile_is_refused_before_any_traffic(monkeypatch, name, said):
    monkeypatch.setenv("KORIDOR_BROKERS", "127.0.0.1:9")
    monkeypatch.setenv("KORIDOR_CITY_PROFILE", str(CITY.with_name(name)))
    result = CliRunner().invoke(app.command, ["--gtfs", str(CITY)])
    assert result.exit_code == 1
    assert said in result.output


async def test_a_taken_metrics_port_is_named(monkeypatch):
    async def none(settings: Settings) -> list[str]:
        return []

    monkeypatch.setattr("streams.clients.ensure_topics", none)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = replace(Settings(), worker=replace(Settings().worker, metrics_port=port))
        with pytest.raises(WrongSetting, match=f"KORIDOR_WORKER_METRICS_PORT={port}"):
            await app.work(settings, [], "n")
