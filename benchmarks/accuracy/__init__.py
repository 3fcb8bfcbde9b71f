"""How right the answers are, against the truth of generated drives: one file per part, each with `run(bench)`."""

import importlib

from benchmarks.harness import Benchmark

PARTS = ("headways",)


def run(bench: Benchmark) -> None:
    """Every part, one after the other."""
    for part in PARTS:
        importlib.import_module(f"benchmarks.accuracy.{part}").run(bench)
