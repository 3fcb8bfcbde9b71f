"""Which partition of `pings` a vehicle belongs to: Kafka's own murmur2 over the UTF-8 vehicle id.

Every client of Apache Kafka's Java library agrees with this for a record keyed by the vehicle id; librdkafka's
default partitioner does not. Test vectors: tests/test_partition.py.
"""

from collections.abc import Iterable

_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 (seed 0x9747b28c) as an unsigned 32-bit number."""
    m, length = 0x5BD1E995, len(data)
    h = (0x9747B28C ^ length) & _MASK
    for i in range(0, length - 3, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & _MASK
        k = (k ^ (k >> 24)) * m & _MASK
        h = (h * m & _MASK) ^ k
    tail = data[length & ~3 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & _MASK
    h = (h ^ (h >> 13)) * m & _MASK
    return h ^ (h >> 15)


def partition_of(vehicle_id: str, partitions: int) -> int:
    """The partition of a vehicle, as Kafka's default partitioner would choose for that key."""
    return (murmur2(vehicle_id.encode()) & 0x7FFFFFFF) % partitions


class Partitioner:
    """`partition_of` with a memory: a fleet's ids repeat every few seconds."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._known: dict[str, int] = {}

    def __call__(self, vehicle_ids: Iterable[str]) -> list[int]:
        """The partition of each vehicle id, in order."""
        ids = list(vehicle_ids)
        known = self._known
        for new in set(ids).difference(known):
            known[new] = partition_of(new, self.partitions)
        return [known[v] for v in ids]
