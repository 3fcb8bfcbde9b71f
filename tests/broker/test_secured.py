"""TLS and SASL: our producer, the worker's consumer and the API's reach a broker that lets nobody else in."""

import asyncio
import time
from dataclasses import replace

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from api import consumer
from api.view import View
from streams import clients
from streams.settings import Settings
from tests.api.factory import bus, network, positions
from tests.broker.conftest import SECURED
from tests.broker.counting import Counting
from tests.broker.pipeline import VEHICLES, Pipeline
from tests.broker.test_api import send, until


@pytest.fixture(params=SECURED)
def closed(request: pytest.FixtureRequest, settings: Settings, secured) -> Settings:
    """The settings of a secured listener of this broker."""
    if not secured:
        pytest.skip("KORIDOR_BROKERS names a broker whose listeners are not ours")
    mine = {"prefix": settings.kafka.prefix, "partitions": settings.kafka.partitions}
    return replace(settings, kafka=replace(secured[request.param], **mine))


async def test_the_api_follows_what_a_producer_sends(closed):
    await send(closed, ("network", network(), 60.0), ("positions", positions(bus("B1", time.time())), 0.0))
    view = View(closed.api)
    following = asyncio.create_task(consumer.follow(closed, view, time.time))
    try:
        await until(view, lambda snapshot: snapshot.loading is None)
        assert set(view.snapshot.vehicles) == {"B1"}
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_a_worker_takes_what_is_sent_and_answers(closed, tmp_path):
    kafka = closed.kafka
    async with Pipeline.open(closed, tmp_path) as pipeline:
        pipeline.start_worker(
            KORIDOR_SECURITY_PROTOCOL=kafka.security_protocol,
            KORIDOR_SSL_CAFILE=kafka.ssl_cafile,
            KORIDOR_SASL_MECHANISM=kafka.sasl_mechanism,
            KORIDOR_SASL_USERNAME=kafka.sasl_username,
            KORIDOR_SASL_PASSWORD=kafka.sasl_password,
        )
        await pipeline.send(VEHICLES)
        found = await pipeline.check(Counting(pipeline.orders))
        assert found["rows"] == len(VEHICLES)


async def test_a_stranger_is_not_let_in(closed, tmp_path):
    kafka = closed.kafka
    wrong = replace(kafka, sasl_password="guessed", ssl_cafile="")  # nor is the broker believed without its certificate
    producer = clients.producer(wrong)
    with pytest.raises(KafkaError) as refused:
        await producer.start()
    await producer.stop()
    if kafka.security_protocol != "SASL_PLAINTEXT":
        assert isinstance(refused.value, KafkaConnectionError)
