"""`koridor play` against the real broker: every ping arrives once, in its vehicle's partition and order."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl

from streams import clients, messages, topics
from streams.partition import partition_of
from streams.replay.play import run_player
from streams.settings import Settings
from streams.sources.registry import open_source

ROWS = 5000


def write(path: Path, rows: int = ROWS, step_s: float = 0.001) -> Path:
    pl.DataFrame(
        {
            "vehicle_id": [f"TJ{i % 97:04}" for i in range(rows)],
            "timestamp": [1_700_000_000 + round(i * step_s, 2) for i in range(rows)],
            "lat": [-6.2] * rows,
            "lon": [106.8 + i / rows for i in range(rows)],
        }
    ).write_parquet(path)
    return path


async def read_pings(settings: Settings, expected: int) -> dict[int, list[tuple[str, float]]]:
    """Vehicle and longitude of the pings of each partition, in order."""
    from aiokafka import TopicPartition

    consumer = clients.reader(settings.kafka)
    await consumer.start()
    try:
        name = topics.full_name(settings.kafka.prefix, "pings")
        consumer.assign([TopicPartition(name, p) for p in range(settings.kafka.partitions)])
        await consumer.seek_to_beginning()
        found: dict[int, list[tuple[str, float]]] = {}
        while sum(map(len, found.values())) < expected:
            got = await consumer.getmany(timeout_ms=10_000)
            assert got, f"only {sum(map(len, found.values()))} pings arrived"
            for partition, records in got.items():
                for record in records:
                    assert record.key is None
                    columns = messages.decode(messages.PING, record.value)
                    found.setdefault(partition.partition, []).extend(
                        zip(columns["vehicle_id"], columns["lon"], strict=True)
                    )
        return found
    finally:
        await consumer.stop()


def test_every_ping_arrives_once_in_its_partition_and_order(settings: Settings, tmp_path: Path) -> None:
    recording = open_source(write(tmp_path / "p.parquet"))
    shown = run_player(settings, recording, speed=10.0, max_batch=100)
    assert shown.rows == ROWS
    found = asyncio.run(read_pings(settings, ROWS))
    expected: dict[int, list[tuple[str, float]]] = {}
    for vehicle, lon in zip(recording.frame["vehicle_id"], recording.frame["lon"], strict=True):
        expected.setdefault(partition_of(vehicle, settings.kafka.partitions), []).append((vehicle, lon))
    assert found == expected


def test_ctrl_c_ends_the_command_and_says_what_was_sent(settings: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", 2000, 1.0)  # would take half an hour
    env = {
        **os.environ,
        "KORIDOR_BROKERS": settings.kafka.brokers,
        "KORIDOR_PREFIX": settings.kafka.prefix,
        "KORIDOR_PARTITIONS": str(settings.kafka.partitions),
    }
    with subprocess.Popen(
        [sys.executable, "-c", "from streams.cli import main; main()", "play", "--pings", str(path), "--now"],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        asyncio.run(read_pings(settings, 1))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert " pings in " in out
    assert "Traceback" not in err
