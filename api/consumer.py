"""From Kafka into the view: no group, every API process reads everything itself.

`network` is read from its beginning, the output topics from a few minutes back: the city says everything current
again every minute, so that much makes the view whole. Until then it says what it waits for.
"""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from api.view import View
from streams import clients, topics
from streams.settings import Settings, WrongSetting

log = logging.getLogger("koridor.api")

FOLLOWED = (
    "network",
    "positions",
    "headways",
    "group_headways",
    "arrivals",
    "congestion",
    "segments",
    "indicators",
    "alerts",
)
RETRY_S = 2.0
POLL_MS = 250
POLL_RECORDS = 500  # a poll is applied without a pause between two records of it only as long as this


async def follow(settings: Settings, view: View, clock: Callable[[], float]) -> None:
    """Read until cancelled. A broker that goes away is tried again; what is known stays and grows old visibly."""
    while True:
        try:
            await clients.ensure_topics(settings)
            consumer = clients.reader(settings.kafka)
            await consumer.start()
            try:
                await read(consumer, settings, view, clock)
            finally:
                await consumer.stop()
        except (KafkaError, OSError, WrongSetting) as error:
            log.warning("broker: %s; trying again in %.0f s", error, RETRY_S)
            if view.why_loading() is not None:
                view.loading(f"broker: {error}")
            await asyncio.sleep(RETRY_S)


async def read(consumer: AIOKafkaConsumer, settings: Settings, view: View, clock: Callable[[], float]) -> None:
    """Read back what makes the view whole, say so, and go on reading."""
    names = {topics.full_name(settings.kafka.prefix, name): name for name in FOLLOWED}
    partitions = [TopicPartition(topic, 0) for topic in names]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    since_ms = max(int((clock() - settings.api.look_back_s) * 1000), 0)
    back = [tp for tp in partitions if names[tp.topic] != "network"]
    found = await consumer.offsets_for_times(dict.fromkeys(back, since_ms))
    for tp in partitions:
        if names[tp.topic] == "network":
            await consumer.seek_to_beginning(tp)
        else:
            consumer.seek(tp, found[tp].offset if found.get(tp) else ends[tp])
    behind = set(partitions)
    # The network first: a vehicle's heading and lane are looked up in it when its position comes.
    consumer.pause(*back)
    while True:
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        for tp, records in batches.items():
            for record in records:
                if record.value is not None:
                    view.apply(names[tp.topic], record.value, record.timestamp / 1000.0)
            await asyncio.sleep(0)  # requests go first
        if not behind:
            continue
        behind = {tp for tp in behind if await consumer.position(tp) < ends[tp]}
        if back and all(names[tp.topic] != "network" for tp in behind):
            consumer.resume(*back)
            back = []
        if behind:
            view.loading(f"reading back {', '.join(sorted(names[tp.topic] for tp in behind))}")
        else:
            view.loading(None)
            log.info("the view is whole")
