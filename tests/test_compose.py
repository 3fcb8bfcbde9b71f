"""docker-compose.yml and the Dockerfile: no container engine is needed to see that they fit the code."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from streams.cli import COMMANDS, main
from streams.settings import Settings

ROOT = Path(__file__).parent.parent


def read() -> dict[str, Any]:
    """The file with its variables at their defaults."""
    text = (ROOT / "docker-compose.yml").read_text()
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


COMPOSE = read()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("koridor")]


def test_the_parts_of_the_system_are_there() -> None:
    assert set(SERVICES) >= {"kafka", "worker", "api", "player"}
    assert set(OURS) >= {"worker", "api", "player"}


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_koridor_has(name: str) -> None:
    words = SERVICES[name]["command"]
    assert words[0] in COMMANDS
    command = main.get_command(click.Context(main), words[0])
    assert command is not None
    # Parses as it would in the container, but for the files, which are there only.
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type = click.Path()
    with command.make_context(words[0], list(words[1:])) as ctx:
        assert ctx.params


@pytest.mark.parametrize("name", OURS)
def test_settings_are_ones_that_koridor_has(name: str) -> None:
    environment = SERVICES[name]["environment"]
    settings = Settings.from_env({k: str(v) for k, v in environment.items()})
    assert settings.kafka.brokers == "kafka:9092"


def test_services_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, (name, other)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
    assert "kafka" in SERVICES["worker"]["depends_on"]
    assert "kafka" in SERVICES["api"]["depends_on"]


def test_volumes_are_declared() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith((".", "/")) or source in COMPOSE["volumes"], (name, volume)


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_workers_can_be_many() -> None:
    assert "container_name" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


def test_the_broker_is_the_one_that_is_embedded() -> None:
    locked = re.search(r"Apache Kafka (\d+\.\d+\.\d+)", (ROOT / "streams" / "kafka.lock").read_text())
    assert locked is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{locked[1]}"


def test_the_image_enters_through_the_same_command() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["koridor"]' in lines
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert all((ROOT / path).exists() for path in copied)
    assert {"streams", "api", "fixtures", "requirements.lock"} <= set(copied)
