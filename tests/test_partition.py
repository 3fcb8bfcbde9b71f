"""Kafka's murmur2: the vectors of Apache Kafka's own UtilsTest, and the laws of a partitioner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.partition import Partitioner, murmur2, partition_of

VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("data", "signed"), VECTORS, ids=[d.decode()[:12] for d, _ in VECTORS])
def test_vectors_of_kafka(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@pytest.mark.parametrize(("data", "signed"), VECTORS, ids=[d.decode()[:12] for d, _ in VECTORS])
def test_a_partition_is_the_positive_hash_modulo_n(data: bytes, signed: int) -> None:
    # org.apache.kafka.clients.producer.internals.BuiltInPartitioner: toPositive(murmur2(key)) % n
    assert partition_of(data.decode(), 16) == (signed & 0x7FFFFFFF) % 16


@given(st.lists(st.text(max_size=12)), st.integers(1, 64))
def test_the_memory_of_a_partitioner_changes_nothing(ids: list[str], partitions: int) -> None:
    partitioner = Partitioner(partitions)
    expected = [partition_of(v, partitions) for v in ids]
    assert partitioner(ids) == expected
    assert partitioner(iter(ids)) == expected
    assert all(0 <= p < partitions for p in expected)


def test_vehicles_spread_over_all_partitions() -> None:
    counts = [0] * 16
    for p in Partitioner(16)(f"TJ{i:04}" for i in range(4300)):
        counts[p] += 1
    assert min(counts) > 4300 / 16 * 0.75
    assert max(counts) < 4300 / 16 * 1.25
