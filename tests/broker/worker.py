"""A worker process with the counting stage: `python tests/broker/worker.py ORDERS`, settings from the environment."""

import importlib.util
import sys
from pathlib import Path

from streams.app import run
from streams.settings import Settings

if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("counting", Path(__file__).with_name("counting.py"))
    assert spec is not None
    assert spec.loader is not None
    counting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(counting)
    run(Settings.from_env(), [counting.Counting(Path(sys.argv[1]))], "no-network")
