"""One embedded Apache Kafka for all tests of this folder; every test has topics and groups of its own."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from streams import broker as broker_module
from streams.broker import Broker, find_java, free_port
from streams.settings import Kafka, Settings

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/tests/broker/" in item.path.as_posix():
            item.add_marker(pytest.mark.broker)


USER, PASSWORD = "koridor", "quite secret"
SECURED = ("SSL", "SASL_PLAINTEXT", "SASL_SSL")


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kafka]:
    """Settings by security protocol: listeners that the session's broker has beside the open one."""
    if "KORIDOR_BROKERS" in os.environ:
        return {}
    folder = tmp_path_factory.mktemp("tls")
    certificate = _certificate(folder)
    return {
        protocol: Kafka(
            brokers=f"127.0.0.1:{free_port()}",
            security_protocol=protocol,
            ssl_cafile=str(certificate),
            sasl_mechanism="PLAIN",
            sasl_username=USER,
            sasl_password=PASSWORD,
        )
        for protocol in SECURED
    }


@pytest.fixture(scope="session")
def brokers(secured: dict[str, Kafka]) -> Iterator[str]:
    """`host:port` of a broker for the session; KORIDOR_BROKERS names another one to test against."""
    if given := os.environ.get("KORIDOR_BROKERS"):
        yield given
        return
    open_only = broker_module._properties

    def with_secured(port: int, controller_port: int, logs: Path) -> str:
        plain = open_only(port, controller_port, logs)
        known = dict(line.split("=", 1) for line in plain.splitlines())
        places = "".join(f",{protocol}://{kafka.brokers}" for protocol, kafka in secured.items())
        names = "".join(f",{protocol}:{protocol}" for protocol in secured)
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        more = {
            "listeners": known["listeners"] + places,
            "advertised.listeners": known["advertised.listeners"] + places,
            "listener.security.protocol.map": known["listener.security.protocol.map"] + names,
            "sasl.enabled.mechanisms": "PLAIN",
            "ssl.keystore.location": Path(secured["SSL"].ssl_cafile).with_name("key.p12"),
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.password": PASSWORD.replace(" ", "-"),
        }
        for protocol in ("sasl_plaintext", "sasl_ssl"):
            more[f"listener.name.{protocol}.plain.sasl.jaas.config"] = f'{login} user_{USER}="{PASSWORD}";'
        return plain + "".join(f"{key}={value}\n" for key, value in more.items())  # what stands last holds

    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # this broker only: another one could not have the same ports
            patch.setattr(broker_module, "_properties", with_secured)
            broker = stack.enter_context(Broker(progress=True))
        yield broker.brokers


def _certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, its key beside it in key.p12."""
    keytool = str(Path(find_java()).with_name("keytool"))
    store = ["-keystore", str(folder / "key.p12"), "-storepass", PASSWORD.replace(" ", "-"), "-alias", "broker"]
    made = ["-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", "-validity", "2", "-dname", "CN=broker"]
    said = subprocess.run([keytool, *made, "-ext", "san=ip:127.0.0.1", *store], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    file = folder / "ca.pem"
    subprocess.run([keytool, "-exportcert", "-rfc", "-file", str(file), *store], check=True, capture_output=True)
    return file


@pytest.fixture
def settings(brokers: str) -> Settings:
    """Settings for this broker, with a prefix that no other test uses."""
    kafka = replace(Settings().kafka, brokers=brokers, prefix=f"t{os.getpid()}-{next(_numbers)}", partitions=4)
    return replace(Settings(), kafka=kafka)
