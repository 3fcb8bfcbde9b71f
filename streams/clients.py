"""How every client reaches the broker, and the topics it must find there.

One place turns `settings.kafka` (brokers, TLS, SASL) into keyword arguments, so that producers, consumers and the
administration client of every process are secured alike.
"""

import asyncio
import re
import ssl
import sys
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.codec import zstd_encode
from aiokafka.errors import KafkaConnectionError, for_code
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams import topics
from streams.settings import Kafka, Settings, WrongSetting

MAX_RECORD_BYTES = 64 << 20  # a snapshot is one record
ZSTD_LEVEL = 1
_TOPIC_EXISTS = 36
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    """The TLS context of these settings, None without TLS. Raises WrongSetting."""
    if not kafka.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile or None)
        if kafka.ssl_certfile:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile or None)
    except (OSError, ssl.SSLError) as error:
        raise WrongSetting(
            f"KORIDOR_SSL_CAFILE, KORIDOR_SSL_CERTFILE, KORIDOR_SSL_KEYFILE: files in PEM format are needed ({error})"
        ) from None
    return context


def connection(kafka: Kafka) -> dict[str, Any]:
    """aiokafka's keyword arguments for reaching the broker. Raises WrongSetting."""
    if not kafka.brokers:
        raise WrongSetting(
            "KORIDOR_BROKERS is not set: start `koridor broker` and set it to what that prints, or use `koridor run`"
        )
    for broker in kafka.brokers.split(","):
        if not re.fullmatch(r"\s*\S+:\d{1,5}\s*", broker):
            raise WrongSetting(f"KORIDOR_BROKERS={kafka.brokers!r}: {broker!r} is no host:port, for example kafka:9092")
    if kafka.security_protocol not in _PROTOCOLS:
        raise WrongSetting(f"KORIDOR_SECURITY_PROTOCOL={kafka.security_protocol!r}: one of {', '.join(_PROTOCOLS)}")
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.brokers,
        "security_protocol": kafka.security_protocol,
    }
    if context := ssl_context(kafka):
        arguments["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        if kafka.sasl_mechanism not in _MECHANISMS:
            raise WrongSetting(f"KORIDOR_SASL_MECHANISM={kafka.sasl_mechanism!r}: one of {', '.join(_MECHANISMS)}")
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password,
        }
    return arguments


def producer(kafka: Kafka) -> AIOKafkaProducer:
    """An idempotent producer (acks=all, zstd); start and stop it."""
    _compress_at(ZSTD_LEVEL)
    return AIOKafkaProducer(
        **connection(kafka),
        enable_idempotence=True,
        acks="all",
        compression_type="zstd",
        max_batch_size=1 << 20,
        max_request_size=MAX_RECORD_BYTES,
    )


def _compress_at(level: int) -> None:
    """Set the level of zstd for all producers of this process.

    aiokafka has no setting for it and takes 3: estimates become no smaller than at level 1, in twice the time.
    """
    sys.modules[DefaultRecordBatchBuilder.__module__].__dict__["zstd_encode"] = partial(zstd_encode, level=level)


def reader(kafka: Kafka) -> AIOKafkaConsumer:
    """A consumer without a group, for `assign` and `seek`; start and stop it.

    Keep one for each topic: going over to another one costs 0.1 s for each look-up.
    """
    return AIOKafkaConsumer(
        **connection(kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=50,
        retry_backoff_ms=20,
    )


def assign_paused(reader: AIOKafkaConsumer, partition: TopicPartition) -> None:
    """Assign a reader to one partition, without fetching yet: `seek` and `resume` begin that, `pause` ends it.

    A fetch that waits for news holds up every other request on its connection, the look-up of offsets among them.
    """
    reader.assign([partition])
    reader.pause(partition)


def faust_credentials(kafka: Kafka) -> Any:
    """The same security as Faust wants it: a credentials object or None."""
    from faust import SASLCredentials, SSLCredentials

    arguments = connection(kafka)
    if kafka.security_protocol.startswith("SASL"):
        credentials = SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            ssl_context=arguments.get("ssl_context"),
        )
        if kafka.security_protocol == "SASL_PLAINTEXT":
            credentials.protocol = type(credentials.protocol).SASL_PLAINTEXT
        return credentials
    return SSLCredentials(context=arguments["ssl_context"]) if "ssl_context" in arguments else None


async def ensure_topics(settings: Settings, wait_s: float = 30.0) -> list[str]:
    """Create what is missing of the topics; the names of those created.

    Waits for a broker that is still starting. Raises WrongSetting where an existing topic has another number of
    partitions than the settings say: vehicles would change their partition and their state would be elsewhere.
    """
    admin = await _started_admin(settings.kafka, wait_s)
    try:
        wanted = {topics.full_name(settings.kafka.prefix, t.name): t for t in topics.ALL}
        existing = {d["topic"]: len(d["partitions"]) for d in await _described(admin, list(wanted))}
        for name, topic in wanted.items():
            partitions = topic.partitions or settings.kafka.partitions
            if existing.get(name, partitions) != partitions:
                raise WrongSetting(_migration(name, existing[name], partitions, settings.kafka.prefix))
        missing = [name for name in wanted if name not in existing]
        if missing:
            new = [_new_topic(name, wanted[name], settings.kafka) for name in missing]
            response = await admin.create_topics(new)
            for name, code, *rest in response.topic_errors:
                if code not in (0, _TOPIC_EXISTS):  # another process may be creating them just now
                    raise for_code(code)(f"{name}: {rest[0] if rest else ''}")
            await _until_led(admin, missing)
        return missing
    finally:
        await admin.close()


async def _started_admin(kafka: Kafka, wait_s: float) -> AIOKafkaAdminClient:
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        admin = AIOKafkaAdminClient(**connection(kafka))
        try:
            await admin.start()
        except KafkaConnectionError:
            await admin.close()
            if asyncio.get_running_loop().time() > deadline:
                raise WrongSetting(
                    f"KORIDOR_BROKERS={kafka.brokers!r}: no broker answered there for {wait_s:.0f} s"
                ) from None
            await asyncio.sleep(0.5)
        else:
            return admin


async def _described(admin: AIOKafkaAdminClient, names: list[str]) -> list[dict[str, Any]]:
    return [d for d in await admin.describe_topics(names) if d["error_code"] == 0]


async def _until_led(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """A topic just created has no leaders for a moment, and clients that meet it then wait for seconds."""
    while True:
        described = await _described(admin, names)
        if len(described) == len(names) and all(
            p["error_code"] == 0 and p["leader"] >= 0 for d in described for p in d["partitions"]
        ):
            return
        await asyncio.sleep(0.05)


def _new_topic(name: str, topic: topics.Topic, kafka: Kafka) -> NewTopic:
    new = NewTopic(name, topic.partitions or kafka.partitions, 1, topic_configs=topic.config())
    new.replication_factor = -1  # the cluster's default.replication.factor; the constructor refuses it
    return new


def _migration(name: str, found: int, wanted: int, prefix: str) -> str:
    return (
        f"KORIDOR_PARTITIONS={wanted}, but topic {name} has {found} partitions. Set KORIDOR_PARTITIONS={found}; or, to "
        f"change it: stop the sources, let the workers drain {prefix}-pings, and start everything anew with another "
        f"KORIDOR_PREFIX"
    )
