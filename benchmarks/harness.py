"""One benchmark: named figures, asserted inputs, a table on the screen and a row per figure in results/.

Every rate is the median of several runs in one process, with its minimum and maximum beside it; a peer is measured in
turn with ours (A B A B …), because the machine's speed drifts by 10–30 % within minutes. Trust ratios of one run.
"""

import csv
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
_COLUMNS = (
    "measured_at",
    "revision",
    "machine",
    "benchmark",
    "figure",
    "median",
    "low",
    "high",
    "unit",
    "runs",
    "conditions",
)


@dataclass(slots=True)
class Figure:
    """One measured number: its runs, unit, and the conditions it holds under."""

    name: str
    runs: list[float]
    unit: str
    conditions: str = ""
    goal: str = ""

    @property
    def median(self) -> float:
        """The middle of the runs."""
        return median(self.runs)


@dataclass(slots=True)
class Benchmark:
    """Collects figures of one benchmark, prints and saves them."""

    name: str
    short: bool = False
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, runs: list[float] | float, unit: str, conditions: str = "", goal: str = "") -> Figure:
        """Note a figure and print it at once."""
        figure = Figure(name, runs if isinstance(runs, list) else [runs], unit, conditions, goal)
        self.figures.append(figure)
        spread = f"  ({min(figure.runs):,.4g} … {max(figure.runs):,.4g})" if len(figure.runs) > 1 else ""
        wanted = f"  goal {goal}" if goal else ""
        print(f"{self.name:16} {name:56} {figure.median:>14,.4g} {unit:12}{spread}{wanted}", flush=True)
        return figure

    def save(self) -> None:
        """Append the figures to results/<name>.csv; a short run proves that the benchmark works and is not kept."""
        if self.short:
            return
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            if new:
                out.writerow(_COLUMNS)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            for f in self.figures:
                low, mid, high = (f"{v:.5g}" for v in (min(f.runs), f.median, max(f.runs)))
                out.writerow(
                    (now, revision(), machine(), self.name, f.name, mid, low, high, f.unit, len(f.runs), f.conditions)
                )


def alternate(runs: int, *workloads: Callable[[], int]) -> list[list[float]]:
    """Rates (items per second) of each workload, measured in turn; a workload returns how many items it did."""
    rates: list[list[float]] = [[] for _ in workloads]
    for _ in range(runs):
        for out, work in zip(rates, workloads, strict=True):
            start = time.perf_counter()
            items = work()
            out.append(items / (time.perf_counter() - start))
    return rates


def revision() -> str:
    """Short hash of the commit measured, with + where the tree differs from it."""
    run = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def machine() -> str:
    """Processor, cores and Python of this machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
