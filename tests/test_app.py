import asyncio
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


async def test_a_full_buffer_holds_up_the_consumer_and_takes_no_partition_from_it():
    """A consumer whose partitions are all taken away sleeps for a second."""
    queue = app._App("test").FlowControlQueue(maxsize=8, clear_on_resume=True)
    queue._flow_control.resume()
    taken: list[str] = []
    for event in range(8):
        assert not queue.full()
        queue.put_nowait_enhanced(
            event, on_pressure_high=lambda: taken.append("away"), on_pressure_drop=lambda: taken.append("back")
        )
    assert queue.full()
    waiting = asyncio.create_task(queue.put(8))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert [await queue.get() for _ in range(9)] == list(range(9))
    assert waiting.done()
    assert not taken


async def test_a_taken_metrics_port_is_named(monkeypatch):
    async def none(settings: Settings) -> list[str]:
        return []

    monkeypatch.setattr("streams.clients.ensure_topics", none)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = replace(Settings(), worker=replace(Settings().worker, metrics_port=port))
        with pytest.raises(WrongSetting, match=f"KORIDOR_WORKER_METRICS_PORT={port}"):
            await app.work(settings, [], "n")
