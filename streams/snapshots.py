"""A stage's state <-> one Kafka record.

The topic `<prefix>-state-<stage>` is compacted, its key the number of the input partition, and the record stands in
the partition of the same number: the newest snapshot of an input partition is the last record there. Its
`next_offset` is the truth about what has been done; the group's committed offset is only a hint.
"""

from dataclasses import dataclass

import cramjam
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams import clients
from streams.engine.state import pack, unpack

_LAYOUT = 2
_ZSTD_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one input partition after all records below `next_offset`."""

    next_offset: int
    version: int  # of the stage's state
    network: str  # hash of the network it was made with
    partitions: int  # of the input topic
    record_time: float  # of the newest record in it, NaN before the first
    quiet_until: int  # outputs of records below this offset are not sent: an earlier version has said them
    compressed: bytes  # the state: a tenth of its size on its way, and compressed where nothing waits for it

    @property
    def state(self) -> bytes:
        """What the stage dumped. Raises ValueError where that cannot be told."""
        try:
            return bytes(cramjam.zstd.decompress(self.compressed))
        except cramjam.DecompressionError as error:
            raise ValueError(f"a state that is not compressed as it should be: {error}") from None

    def encode(self) -> bytearray:
        """The record's value."""
        return pack(
            {
                "layout": _LAYOUT,
                "next_offset": self.next_offset,
                "version": self.version,
                "network": self.network,
                "partitions": self.partitions,
                "record_time": np.array([self.record_time]),  # an array keeps NaN, JSON does not
                "quiet_until": self.quiet_until,
                "compressed": np.frombuffer(self.compressed, dtype=np.uint8),
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> "Snapshot":
        """The snapshot of a record's value; raises ValueError when it is none."""
        try:
            tree = unpack(value)
            layout = tree.pop("layout")
            if layout == 1:  # had the state as it was dumped
                tree["compressed"] = compressed(tree.pop("state").tobytes())
            elif layout == _LAYOUT:
                tree["compressed"] = tree["compressed"].tobytes()
            else:
                raise ValueError("a snapshot of another layout")
            tree["record_time"] = float(tree["record_time"][0])
            return cls(**tree)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a snapshot: {error}") from None


def compressed(state: bytes | bytearray) -> bytes:
    """A stage's dump, as a snapshot carries it."""
    return bytes(cramjam.zstd.compress(state, _ZSTD_LEVEL))


async def save(producer: AIOKafkaProducer, topic: str, partition: int, snapshot: Snapshot) -> int:
    """Write a snapshot and wait until the broker has it; its size in bytes."""
    value = snapshot.encode()
    await producer.send_and_wait(topic, value, key=str(partition).encode(), partition=partition)
    return len(value)


async def load(consumer: AIOKafkaConsumer, topic: str, partition: int) -> Snapshot | None:
    """The newest snapshot of a partition; None if there is none or it cannot be read any more.

    consumer  one without a group; it is assigned to the state topic's partition and nothing else
    """
    tp = TopicPartition(topic, partition)
    clients.assign_paused(consumer, tp)
    begin = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    # The last offset is nearly always the snapshot; otherwise (a record removed, a marker) walk back by doubling.
    back = 1
    while begin < end:
        start = max(begin, end - back)
        consumer.seek(tp, start)
        consumer.resume(tp)
        value = None
        while await consumer.position(tp) < end:
            got = await consumer.getmany(tp, timeout_ms=1000)
            for record in got.get(tp, ()):
                if record.offset < end:
                    value = record.value
        consumer.pause(tp)
        if value is not None:
            try:
                return Snapshot.decode(value)
            except ValueError:
                return None
        if start == begin:
            return None
        back *= 8
    return None
