"""`koridor run` as a person meets it: one command, a map with buses, Ctrl-C and nothing is left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from fixtures.bundled import CITY, SMALL
from streams.cli import main
from streams.replay.archive import Collector, addresses, failures

START_S = 300.0  # a first start compiles the kernels
PARTS = ("broker", "worker-1", "api", "player")


def running(text: str) -> list[str]:
    """Command lines of processes that mention the text in their command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
                if text.encode() in line + (entry / "environ").read_bytes():
                    found.append(line.replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_map_with_buses_and_nothing_left_after_ctrl_c(tmp_path: Path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KORIDOR_")} | {
        "KORIDOR_HOME": str(tmp_path),
        "KORIDOR_PARTITIONS": "2",
        "PYTHONUNBUFFERED": "1",
    }
    words = ["run", "--gtfs", str(CITY), "--pings", str(SMALL / "pings.parquet"), "--port", "0"]
    said = tmp_path / "said"
    with said.open("wb") as out:
        run = subprocess.Popen(
            [sys.executable, "-c", "from streams.cli import main; main()", *words],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while not (found := re.search(r"The map: (http://127\.0\.0\.1:\d+)/", said.read_text())):
            assert run.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        with urllib.request.urlopen(f"{found[1]}/ready") as answer:
            ready = json.load(answer)
        assert ready["n_vehicles"] > 0
        with urllib.request.urlopen(f"{found[1]}/") as answer:
            assert b"<html" in answer.read().lower()
        feeds = [f"{found[1]}/gtfs-rt/{name}.pb" for name in ("vehicle-positions", "trip-updates", "alerts")]
        checked = CliRunner().invoke(main, ["feed", "check-rt", str(CITY), *feeds])
        assert (checked.exit_code, "no errors" in checked.output) == (0, True), checked.output
        assert int(checked.output.splitlines()[-1].split()[0]) > 0
        collector = Collector(tmp_path / "archive", *addresses(found[1], None), every_s=1.0)
        collector.collect(2.5)
        assert failures(collector.feeds) == []
        for feed in collector.feeds:
            assert len(list((tmp_path / "archive" / feed.name).glob("*.pb"))) >= 2
        assert collector.feeds[1].told > 0  # vehicles
        assert len(running(str(tmp_path))) >= len(PARTS)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 0
        assert said.read_text().rstrip().endswith("stopped")
        assert running(str(tmp_path)) == []
    finally:
        run.kill()
        run.wait()
