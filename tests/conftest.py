"""What every test may use: the profiles of hypothesis and the folder of recorded data."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Compiling a kernel or waiting for a loaded machine is not slowness of the code: no deadlines.
_RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=100, **_RELAXED)
settings.register_profile("ci", max_examples=40, derandomize=True, print_blob=True, **_RELAXED)
settings.register_profile("nightly", max_examples=2000, **_RELAXED)  # pytest --hypothesis-profile=nightly
settings.load_profile("ci" if os.environ.get("CI") else "dev")

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--regolden`: accept what the golden replays come to now."""
    parser.addoption("--regolden", action="store_true", help="write fixtures/golden anew instead of comparing with it")


# Groups that wait for other processes more than they compute: they begin first, beside those that compute.
_WAITING = ("broker", "benchmarks with a broker", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process of pytest-xdist, and all of the broker's in the same one.

    Fixtures of a file are then made once, and a Kafka for all. A test may name another group for itself.
    """
    group = {item: _group(item) for item in items}
    for item, name in group.items():
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: _WAITING.index(group[item]) if group[item] in _WAITING else len(_WAITING))


def _group(item: pytest.Item) -> str:
    if marker := item.get_closest_marker("xdist_group"):
        return str(marker.args[0])
    folder = item.path.relative_to(ROOT / "tests").parts[0] if item.path.is_relative_to(ROOT / "tests") else ""
    return folder if folder in _WAITING else str(item.path)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded data beside the checkout; a test that needs it skips where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder.parent.name}/{folder.name} beside the checkout")
    return folder
