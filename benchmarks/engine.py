"""The whole engine on one core: decoded columns in, output columns out, no JSON and no Kafka.

Pings every 5 s of 4,300 buses, in records of what arrives in one second of record time. Track alone, then both stages;
an estimate for every stop ahead of a bus is made on each grid point of 5 s, so as often as there are pings.
"""

import time

import numpy as np

from benchmarks.harness import Benchmark
from benchmarks.workload import Workload, drive
from streams import messages
from streams.engine.city import City
from streams.engine.track import Track
from streams.kernels import matching, tracking
from streams.messages import PING, Columns
from streams.settings import Kafka, Settings

SETTINGS = Settings(kafka=Kafka(partitions=1))


def run(bench: Benchmark) -> None:
    """Drive both stages once per run; rates of each run, without the first minutes in which buses are new."""
    work = drive(200, 300.0, made=True) if bench.short else drive(4300, 1800.0)
    batches = by_second(work)
    pings = sum(messages.rows(b) for _, b in batches)
    track, city = Track(work.network, SETTINGS), City(work.network, SETTINGS)
    began = time.perf_counter()
    track.warm_up()
    city.warm_up()
    bench.add("kernels ready (compiled, or from the cache)", time.perf_counter() - began, "s", goal="≤90 s cold")

    track_rates, both_rates, counts = [], [], {}
    for _ in range(1 if bench.short else 3):
        track_s, city_s, counts = _once(track, city, batches)
        track_rates.append(pings / track_s)
        both_rates.append(pings / (track_s + city_s))
    assert counts["positions"] + counts["rejects"] >= pings, (counts, pings)
    assert min(counts[t] for t in ("headways", "arrivals", "congestion")) > 0, counts
    beam = _mean_beam(track, batches)
    told = ", ".join(f"{n / pings:.2f} {name}" for name, n in counts.items())
    said = f"{work.conditions}; {pings} pings; a ping gives {told}; {beam:.1f} live hypotheses in the mean"
    bench.add("track stage, one core", track_rates, "pings/s", said, "≥200k")
    bench.add("both stages, one core", both_rates, "pings/s", said, "≥120k")


def by_second(work: Workload) -> list[tuple[float, Columns]]:
    """The pings in records of one second of record time; what arrives after the drive's end is left out."""
    pings = work.simulation.pings
    pings = messages.take(pings, pings["record_time"] <= pings["timestamp"].max())
    second = np.floor(pings["record_time"])
    edges = np.flatnonzero(np.diff(second, prepend=-1.0))
    columns = {k: pings[k] for k in PING}
    ends = [*edges[1:], len(second)]
    return [(float(second[a]) + 1.0, messages.take(columns, slice(a, b))) for a, b in zip(edges, ends, strict=True)]


def _once(track: Track, city: City, batches: list[tuple[float, Columns]]) -> tuple[float, float, dict[str, int]]:
    tracked, seen = track.fresh(0), city.fresh(0)
    track_s = city_s = 0.0
    counts = dict.fromkeys(("positions", "passings", "rejects", "headways", "arrivals", "congestion"), 0)
    for record_time, batch in batches:
        began = time.perf_counter()
        facts, rejects = track.advance(tracked, batch, record_time)
        middle = time.perf_counter()
        said = city.advance(seen, facts, record_time)
        city_s += time.perf_counter() - middle
        track_s += middle - began
        counts["rejects"] += messages.rows(rejects)
        for name in ("positions", "passings"):
            counts[name] += messages.rows(facts[name])
        for name in ("headways", "arrivals", "congestion"):
            counts[name] += messages.rows(said[name]) if name in said else 0
    return track_s, city_s, counts


def _mean_beam(track: Track, batches: list[tuple[float, Columns]]) -> float:
    """Hypotheses a vehicle holds in the mean, half way through the drive."""
    state = track.fresh(0)
    for record_time, batch in batches[: len(batches) // 2]:
        track.advance(state, batch, record_time)
    held = state.fleet.state.fi[tracking.HEAD :: tracking.STATES, matching.N][: len(state.vehicles)]
    return float(held.mean())
