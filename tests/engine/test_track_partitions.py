"""One tracker serves several partitions: what it remembers of one must not show in another."""

from dataclasses import replace

import polars as pl

from fixtures.bundled import CITY, SMALL
from streams.engine.stage import Output, Record
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.partition import Partitioner
from streams.replay.play import records_of
from streams.settings import Settings
from streams.sources.recording import to_columns

PARTITIONS = 4
RECORDS = 400


def recorded() -> list[tuple[int, Record]]:
    """Partition and record of the first minutes of the small recording, in the order of arrival."""
    frame = pl.read_parquet(SMALL / "pings.parquet")
    partitioner = Partitioner(PARTITIONS)
    out: list[tuple[int, Record]] = []
    for (second,), part in frame.group_by(pl.col("record_time").floor(), maintain_order=True):
        for partition, value, _ in records_of(to_columns(part), partitioner, 1000):
            out.append((partition, Record(len(out), float(second), value)))
    return out[:RECORDS]


def test_partitions_do_not_meet_in_the_tracker():
    settings = replace(Settings(), kafka=replace(Settings().kafka, partitions=PARTITIONS))
    network = load(CITY)
    alone: list[Output] = []
    for partition in range(PARTITIONS):
        track = Track(network, settings)
        alone += track.step(track.fresh(partition), [r for p, r in recorded() if p == partition])
    track = Track(network, settings)
    states = [track.fresh(partition) for partition in range(PARTITIONS)]
    together: list[Output] = []
    for partition, record in recorded():
        together += track.step(states[partition], [record])
    # Not compared with `==` in the assertion: a diff of a thousand records takes minutes to draw.
    missing = set(alone) - set(together)
    assert (len(together), len(missing)) == (len(alone), 0)
