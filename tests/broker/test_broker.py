import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams import broker
from streams.broker import Broker, BrokerError, command


def processes_with(text: str) -> list[int]:
    """Ids of running processes whose command line holds the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_until(condition, timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.02)


def test_a_folder_keeps_its_topics_and_is_used_by_one_broker_only(tmp_path):
    data = tmp_path / "data"
    with Broker(data) as first:
        assert broker._answers(first.port)
        with pytest.raises(BrokerError, match="in use by another embedded broker"):
            Broker(data).start()
        cluster = (data / "log" / "meta.properties").read_text()
        with pytest.raises(BrokerError, match=f"port {first.port} is taken"):
            Broker(tmp_path / "other", port=first.port).start()
    assert not broker._answers(first.port)
    with Broker(data) as again:
        assert broker._answers(again.port)
        assert (data / "log" / "meta.properties").read_text() == cluster
    assert not processes_with(str(data))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_orphan_when_the_parent_is_killed(tmp_path):
    data = tmp_path / "data"
    program = f"""
from pathlib import Path
from streams.broker import Broker
with Broker(Path({str(data)!r})) as b:
    print(b.port, flush=True)
    input()
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    assert broker._answers(port)
    assert processes_with(str(data))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not processes_with(str(data)), 30, "the broker ended after its parent")
    for pipe in (parent.stdin, parent.stdout):
        assert pipe is not None
        pipe.close()


def test_offline_and_not_downloaded_yet_says_what_to_do(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("jgo.config.GlobalSettings.load", lambda: Config(tmp_path))
    monkeypatch.setattr("jgo.util.http.request", unreachable)
    with pytest.raises(BrokerError, match="Connect to the internet for the first start, or set KORIDOR_BROKERS"):
        Broker(tmp_path / "data").start()
    assert not list(tmp_path.rglob("*.jar"))


class Config:
    repositories: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        self.repo_cache = folder / "repository"


def test_the_lock_file_names_the_version_in_use():
    coordinates = [jar.coordinate for jar in broker._locked()]
    assert f"org.apache.kafka:kafka_{broker.SCALA_VERSION}:{broker.KAFKA_VERSION}" in coordinates


def test_command_starts_none_when_one_is_configured(monkeypatch):
    monkeypatch.setenv("KORIDOR_BROKERS", "kafka.example:9092")
    said = CliRunner().invoke(command, [])
    assert said.exit_code == 0
    assert "KORIDOR_BROKERS is set to kafka.example:9092" in said.output
