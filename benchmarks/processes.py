"""Koridor's own processes for a benchmark: broker, workers, API; started as a user starts them, stopped for sure."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from streams.broker import Broker
from streams.settings import Kafka, Settings

START_S = 180.0


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """An embedded Kafka of this benchmark's own; its address."""
    with tempfile.TemporaryDirectory() as folder, Broker(data=Path(folder) / "kafka") as running:
        yield running.brokers


def kafka_settings(brokers: str, prefix: str, partitions: int = 16) -> Settings:
    """Settings that reach this broker under a prefix of the case's own."""
    return Settings(kafka=Kafka(brokers=brokers, prefix=prefix, partitions=partitions))


class Process:
    """A `python` of ours that is ready once a line matching `ready` was printed."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], ready: str | None = None) -> None:
        self.lines: list[str] = []
        self._wanted = re.compile(ready) if ready else None
        self.found: re.Match[str] | None = None
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.peak_rss = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def wait_ready(self) -> re.Match[str]:
        """Wait for the line; what it matched."""
        deadline = time.monotonic() + START_S
        while not self._ready.wait(0.2):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("did not get ready:\n" + "".join(self.lines[-30:]))
        assert self.found is not None
        return self.found

    def stop(self) -> None:
        """SIGTERM, and a kill if that is not enough."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)
                if self._wanted and self.found is None and (match := self._wanted.search(line)):
                    self.found = match
                    self._ready.set()

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                self.peak_rss = max(self.peak_rss, process.memory_info().rss)
                time.sleep(0.5)


def worker(settings: Settings, feed: Path, stages: str = "track,city", env: Mapping[str, str] | None = None) -> Process:
    """`koridor worker`."""
    return Process(
        ["-m", "streams", "worker", "--gtfs", str(feed), "--stages", stages],
        {**_env(settings), **(env or {})},
        r"working on ",
    )


def api(settings: Settings) -> Process:
    """`koridor api`; `wait_ready()[1]` is its port."""
    return Process(["-m", "streams", "api", "--port", "0"], _env(settings), r"API and map: http://127\.0\.0\.1:(\d+)/")


def _env(settings: Settings) -> dict[str, str]:
    kafka = settings.kafka
    return {
        "KORIDOR_BROKERS": kafka.brokers,
        "KORIDOR_PREFIX": kafka.prefix,
        "KORIDOR_PARTITIONS": str(kafka.partitions),
    }
