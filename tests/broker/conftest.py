"""One embedded Apache Kafka for all tests of this folder; every test has topics and groups of its own."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from streams.broker import Broker
from streams.settings import Settings

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/tests/broker/" in item.path.as_posix():
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="session")
def brokers() -> Iterator[str]:
    """`host:port` of a broker for the session; KORIDOR_BROKERS names another one to test against."""
    if given := os.environ.get("KORIDOR_BROKERS"):
        yield given
        return
    with Broker(progress=True) as broker:
        yield broker.brokers


@pytest.fixture
def settings(brokers: str) -> Settings:
    """Settings for this broker, with a prefix that no other test uses."""
    kafka = replace(Settings().kafka, brokers=brokers, prefix=f"t{os.getpid()}-{next(_numbers)}", partitions=4)
    return replace(Settings(), kafka=kafka)
