import ssl
from dataclasses import replace

import pytest
from aiokafka.codec import zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams import clients
from streams.settings import Kafka, WrongSetting

PLAIN = Kafka(brokers="a.example:9092,b.example:9092")


def test_plain():
    assert clients.connection(PLAIN) == {
        "bootstrap_servers": "a.example:9092,b.example:9092",
        "security_protocol": "PLAINTEXT",
    }
    assert clients.faust_credentials(PLAIN) is None


def test_tls():
    arguments = clients.connection(replace(PLAIN, security_protocol="SSL"))
    assert isinstance(arguments["ssl_context"], ssl.SSLContext)
    assert arguments["ssl_context"].verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_sasl_reaches_aiokafka_and_faust_alike(protocol):
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

    kafka = replace(
        PLAIN,
        security_protocol=protocol,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="koridor",
        sasl_password="secret",
    )
    ours = clients.connection(kafka)
    assert ours["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (ours["sasl_plain_username"], ours["sasl_plain_password"]) == ("koridor", "secret")
    assert ("ssl_context" in ours) == (protocol == "SASL_SSL")
    theirs = {k: v for k, v in credentials_to_aiokafka_auth(clients.faust_credentials(kafka)).items() if v is not None}
    assert set(theirs) == set(ours) - {"bootstrap_servers"}
    for name in ("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"):
        assert theirs[name] == ours[name]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"brokers": ""}, "KORIDOR_BROKERS is not set: start `koridor broker`"),
        ({"brokers": "a:9092,b"}, "KORIDOR_BROKERS='a:9092,b': 'b' is no host:port, for example"),
        ({"security_protocol": "TLS"}, "KORIDOR_SECURITY_PROTOCOL='TLS': one of PLAINTEXT, SSL"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"},
            "KORIDOR_SASL_MECHANISM='GSSAPI': one of PLAIN",
        ),
        ({"security_protocol": "SSL", "ssl_cafile": "/no/such/file"}, "KORIDOR_SSL_CAFILE.*PEM"),
        ({"security_protocol": "SSL", "ssl_certfile": "/no/such/file"}, "KORIDOR_SSL_CERTFILE.*PEM"),
    ],
)
def test_settings_that_cannot_be_used_are_named(changes, said):
    with pytest.raises(WrongSetting, match=said):
        clients.connection(replace(PLAIN, **changes))


async def test_a_producer_compresses_at_our_level():
    value = b"".join(b"%d," % (n * n * 7919 % 100_003) for n in range(20_000))
    await clients.producer(PLAIN).stop()
    batch = DefaultRecordBatchBuilder(2, 4, 0, -1, -1, -1, 1 << 20)
    batch.append(0, 0, None, value, [])
    uncompressed = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    uncompressed.append(0, 0, None, value, [])
    header, records = 61, bytes(uncompressed.build()[61:])
    size = {level: header + len(zstd_encode(records, level=level)) for level in (clients.ZSTD_LEVEL, 3)}
    assert len(batch.build()) == size[clients.ZSTD_LEVEL] != size[3]
