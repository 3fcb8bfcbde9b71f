from pathlib import Path

import pytest

from streams.gtfs.compile import load
from streams.gtfs.network import Network


@pytest.fixture(scope="session")
def real(data_dir: Path, tmp_path_factory: pytest.TempPathFactory):
    """Network of a recorded city, `real("kingston/gtfs")`: compiled once, never written beside the data."""
    cache = tmp_path_factory.mktemp("networks")

    def network(name: str) -> Network:
        return load(data_dir / f"{name}.zip", cache)

    return network
