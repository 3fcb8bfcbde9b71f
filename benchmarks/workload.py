"""The pings that every benchmark uses: buses of the generator on Transjakarta's feed where it is, else on a made city.

Conditions: a report every 5 s (1 s for the latency benchmark), GPS error sigma 12 m with a correlation time of 60 s,
route hidden for 15 % of the vehicles, 5 % stale.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fixtures.drives import Simulation, simulate
from fixtures.motion import Habits
from fixtures.noise import Noise
from fixtures.plan import Wish
from fixtures.reporting import Reporting
from streams.gtfs.compile import load
from streams.gtfs.network import Network

ROOT = Path(__file__).resolve().parent.parent
REAL_FEED = ROOT.parent / "shared" / "data" / "transjakarta" / "gtfs-2023-12.zip"
MADE_FEED = ROOT / "fixtures" / "data" / "city.zip"
MADE_START = "2026-03-10T07:00"  # of its calendar's days most lie ahead, and pings of the future are refused


@dataclass(frozen=True, slots=True)
class Workload:
    """A compiled feed and a simulation of it."""

    feed: Path
    network: Network
    simulation: Simulation
    duration_s: float
    conditions: str


def feed() -> Path:
    """Transjakarta's feed of December 2023 where the recorded data is, else the made city."""
    return REAL_FEED if REAL_FEED.exists() else MADE_FEED


@lru_cache(maxsize=4)
def drive(vehicles: int, duration_s: float, interval_s: float = 5.0, *, made: bool = False) -> Workload:
    """Simulate `vehicles` buses for `duration_s`, on the made city where that is wished: it loads in no time."""
    path = MADE_FEED if made else feed()
    network = load(path)
    habits = Habits(ping_s=interval_s)
    noise = Noise(sigma_m=12.0, tau_s=60.0)
    simulation = simulate(
        network,
        seed=7,
        start=MADE_START if path == MADE_FEED else None,
        duration_s=duration_s,
        wish=Wish(vehicles=vehicles),
        habits=habits,
        noise=noise,
        reporting=Reporting(stale=0.05, hidden=0.15),
    )
    said = f"{path.stem}, {vehicles} buses, every {interval_s:g} s, sigma 12 m, 15 % hidden, 5 % stale"
    return Workload(path, network, simulation, duration_s, said)


def pattern_of_truth(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Row of the truth and pattern of every ping that is in service, in order of arrival; -1 elsewhere."""
    truth, pings = work.simulation.truth, work.simulation.pings
    key = {}
    for i, (v, t) in enumerate(zip(truth["vehicle_id"].tolist(), truth["timestamp"].tolist(), strict=True)):
        key[v, t] = i
    row = np.array(
        [key.get(k, -1) for k in zip(pings["vehicle_id"].tolist(), pings["timestamp"].tolist(), strict=True)]
    )
    patterns = np.array([work.network.pattern_ix.get(p, -1) for p in truth["pattern_id"].tolist()])
    found = np.where(row >= 0, patterns[row], -1)
    return row, found
