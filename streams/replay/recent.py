"""The recent pings of one vehicle as they lie on Kafka: in its partition of `pings`, for as long as that keeps them."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import orjson
import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams import clients, topics
from streams.engine import batch
from streams.engine.stage import Record
from streams.partition import partition_of
from streams.settings import Settings
from streams.sources.recording import REJECTS, SCHEMA, Recording, from_columns

POLL_MS = 250
MOST_PINGS = 20_000  # the newest ones: two hours of a vehicle that reports more than twice a second


async def recent(settings: Settings, vehicle_id: str, since: float) -> Recording:
    """What the vehicle sent from `since` (record time, POSIX seconds) until now, in the order of the log.

    Reads the partition once and keeps the records that name the vehicle. Raises WrongSetting or KafkaError where the
    broker cannot be asked.
    """
    name = topics.full_name(settings.kafka.prefix, "pings")
    place = TopicPartition(name, partition_of(vehicle_id, settings.kafka.partitions))
    reader = clients.reader(settings.kafka)
    await reader.start()
    try:
        reader.assign([place])
        records = [record async for record in _since(reader, place, since) if _names(record.value, vehicle_id)]
    finally:
        await reader.stop()
    return await asyncio.to_thread(_recording, records, vehicle_id, name)


async def _since(reader: AIOKafkaConsumer, place: TopicPartition, since: float) -> AsyncIterator[Record]:
    """The records of a partition up to its present end, as Record."""
    end = (await reader.end_offsets([place]))[place]
    found = (await reader.offsets_for_times({place: max(int(since * 1000), 0)}))[place]
    reader.seek(place, found.offset if found else end)
    while await reader.position(place) < end:
        for r in (await reader.getmany(place, timeout_ms=POLL_MS)).get(place, ()):
            if r.offset < end and r.value is not None:
                yield Record(r.offset, r.timestamp / 1000.0, r.value)


def _names(value: bytes, vehicle_id: str) -> bool:
    # Cheap, and right for all but ids that a sender escapes in a way of its own: those are looked into.
    return orjson.dumps(vehicle_id) in value or b"\\u" in value


def _recording(records: list[Record], vehicle_id: str, name: str) -> Recording:
    read = batch.decode(records)
    mine = np.flatnonzero(read.pings["vehicle_id"] == vehicle_id)[-MOST_PINGS:]
    at = [records[k] for k in read.record[mine].tolist()]
    frame = from_columns({column: values[mine] for column, values in read.pings.items()}).with_columns(
        record_time=pl.Series([r.record_time for r in at], dtype=pl.Float64),
        source=pl.lit(name),
        source_index=pl.Series([r.offset for r in at], dtype=pl.Int64),
    )
    refused = [
        (name, records[r.record].offset, None if r.timestamp != r.timestamp else r.timestamp, vehicle_id, r.reason.name)
        for r in read.refused
        if r.vehicle_id == vehicle_id
    ]
    rejects = pl.DataFrame([(*row, "") for row in refused], schema=REJECTS, orient="row")
    return Recording(frame.select(*SCHEMA), rejects, "ingest time")
