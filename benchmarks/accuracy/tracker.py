"""What the tracker says of generated buses, against the truth.

Drives on those routes of Transjakarta's feed (where it is) whose buses have most other routes beside them, all patterns
of the day as candidates. The routes are reported; or 15 % of the vehicles report another one and 15 % that of the run
before; or none does. Beside it the naive answer: the nearest shape (of the reported route where there is one) that
agrees with the heading.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.judge import Judgement, follow, judge
from benchmarks.harness import Benchmark
from benchmarks.workload import feed
from fixtures.drives import Simulation, parse_start, simulate
from fixtures.motion import Habits
from fixtures.noise import Noise
from fixtures.plan import Wish
from fixtures.reporting import Reporting
from streams.engine.tables import tables_of
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.gtfs.network import Network
from streams.gtfs.service import PlannedService
from streams.kernels.candidates import MAX_CANDIDATES, nearest_shapes
from streams.settings import Kafka, Settings

Array = np.ndarray
SETTINGS = Settings(kafka=Kafka(partitions=1))
SEED = 21
ROUTES = 24
DETOURS = 0.1  # of all runs: enough to tell how well they are seen
NAIVE_EVERY = 23  # the naive answer is a Python call: a part of the pings gives its share


@dataclass(frozen=True, slots=True)
class Case:
    """Conditions of one drive, and the goals for the right way and for one that is not to be told apart from it."""

    name: str
    interval_s: float
    sigma_m: float
    stale: float
    hidden: float
    way: str = ""
    same: str = ""


CASES = (
    Case("given, 5 s, 12 m", 5.0, 12.0, 0.0, 0.0, "≥99.3", "≥99.7"),
    Case("stale, 5 s, 12 m", 5.0, 12.0, 0.15, 0.0, "≥98", "≥99"),
    Case("hidden, 5 s, 12 m", 5.0, 12.0, 0.0, 1.0, "≥88", "≥95.5"),
    Case("stale, 30 s, 25 m", 30.0, 25.0, 0.15, 0.0, "≥96.5"),
    Case("hidden, 30 s, 25 m", 30.0, 25.0, 0.0, 1.0, "≥81"),
    *(
        Case(f"{name}, {interval:g} s, {sigma:g} m", interval, sigma, stale, hidden)
        for interval, sigma in ((1.0, 5.0), (15.0, 10.0), (60.0, 25.0))
        for name, stale, hidden in (("stale", 0.15, 0.0), ("hidden", 0.0, 1.0))
    ),
)


def drive(case: Case, vehicles: int, duration_s: float, seed: int = SEED) -> tuple[Network, Simulation]:
    """The drive of a case."""
    network = load(feed())
    return network, simulate(
        network,
        seed=seed,
        duration_s=duration_s,
        wish=Wish(vehicles=vehicles, routes=tuple(sharing(network, ROUTES))),
        habits=Habits(ping_s=case.interval_s, detour=DETOURS),
        noise=Noise(sigma_m=case.sigma_m, tau_s=60.0),
        reporting=Reporting(stale=2.0 * case.stale, hidden=case.hidden),
    )


def sharing(network: Network, n: int) -> list[str]:
    """The n routes whose buses, in the morning, have most other routes beside them on their streets."""
    route = np.repeat(network.pattern_route_ix, np.diff(network.pgate_start))
    pairs = np.unique(np.column_stack([network.pgate_gate_ix, route]), axis=0)
    others = np.bincount(pairs[:, 0])[network.pgate_gate_ix] - 1
    gates = np.maximum(1, np.bincount(route, minlength=len(network.route_ids)))
    mean = np.bincount(route, weights=others, minlength=len(gates)) / gates
    vehicles = PlannedService(network).at(parse_start(network, None)).vehicles
    buses = np.bincount(network.pattern_route_ix, weights=vehicles, minlength=len(gates))
    return [network.route_ids[r] for r in np.argsort(-mean * buses, kind="stable")[:n].tolist()]


def run(bench: Benchmark) -> None:
    """Every case; in a short run the first three, small."""
    vehicles, duration = (40, 600.0) if bench.short else (300, 10_800.0)
    for case in CASES[:3] if bench.short else CASES:
        # At 1 Hz a part of the time gives as many pings.
        network, simulation = drive(case, vehicles, max(600.0, duration * min(1.0, case.interval_s / 5.0)))
        track = Track(network, SETTINGS)
        positions, rejects = follow(track, simulation.pings)
        judgement = judge(network, simulation, positions)
        answered = len(judgement.truth) + sum(rejects.values())
        assert answered >= 0.98 * len(simulation.truth["timestamp"]), "pings got lost"
        _print(bench, case, network, simulation, judgement)


def _print(bench: Benchmark, case: Case, network: Network, simulation: Simulation, j: Judgement) -> None:
    def add(name: str, value: float, unit: str = "%", goal: str = "") -> None:
        bench.add(f"{case.name}: {name}", value, unit, f"{feed().stem}, {len(j.truth)} pings", goal)

    service = j.phase == "in_service"
    add("right way", share(j.way_likely == j.way, service), goal=case.way)
    add("… as published", share(j.way_said == j.way, service))
    add("… or not to be told apart", share(j.same, service), goal=case.same)
    add("… by nearest shape and heading", naive(network, simulation, j))
    for phase, goal in (("in_service", "≥99.3"), ("layover", "≥96"), ("deadhead", "≥90"), ("off_route", "≥95")):
        if (j.phase == phase).any():
            name, so = f"phase {phase.replace('_', ' ')}", j.phase == phase
            add(name, share(j.in_the_end == phase, so), goal=goal)
            add(f"{name}, as first said", share(j.said == phase, so))
    add("slow mid-route called layover", share(j.said == "layover", service & j.slow & ~j.terminal), goal="≤0.02")
    off = np.abs(j.along_m[service & ~np.isnan(j.along_m)])
    add("along the route, median", float(np.median(off)), "m", "≤5.8")
    add("along the route, 95 %", float(np.percentile(off, 95)), "m", "≤19")
    add("more than 100 m wrong", 100.0 * float(np.mean(off > 100.0)), goal="≤0.2")
    decided = service & (j.way_said >= 0)
    for low, high in ((0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.99), (0.99, 1.01)):
        inside = decided & (j.probability >= low) & (j.probability < high)
        if inside.sum() >= 200:
            add(f"right where match_probability is {low:g}–{min(high, 1.0):g}", share(j.way_said == j.way, inside))


def share(what: Array, of: Array) -> float:
    """Per cent of the rows `of` that are `what`."""
    return 100.0 * float(np.mean(what[of])) if of.any() else float("nan")


def naive(network: Network, simulation: Simulation, j: Judgement) -> float:
    """The nearest shape within 45° of the heading, of the reported route where it has one near: per cent right."""
    tables, near = tables_of(network), np.zeros((MAX_CANDIDATES, 4))
    truth, pings = simulation.truth, simulation.pings
    place = {
        key: i for i, key in enumerate(zip(pings["vehicle_id"].tolist(), pings["timestamp"].tolist(), strict=True))
    }
    x, y = network.project(pings["lat"], pings["lon"])
    first_pattern = network.shape_pattern_start
    right = total = 0
    for i in np.flatnonzero(j.phase == "in_service")[::NAIVE_EVERY].tolist():
        row = int(j.truth[i])
        ping = place.get((truth["vehicle_id"][row], truth["timestamp"][row]))
        if ping is None:
            continue
        total += 1
        found = nearest_shapes(tables, x[ping], y[ping], near)
        turn = np.radians(pings["bearing_deg"][ping])
        route = network.route_ix.get(pings["route_id"][ping], -1)
        best, way = (True, np.inf), -1
        for k in range(found):
            shape = int(near[k, 0])
            ahead = tables.segments[int(near[k, 3]), :2] @ np.array([np.sin(turn), np.cos(turn)])
            if ahead < np.cos(np.pi / 4):
                continue
            for p in network.shape_pattern_ix[first_pattern[shape] : first_pattern[shape + 1]].tolist():
                rank = (route >= 0 and network.pattern_route_ix[p] != route, float(near[k, 2]))
                if rank < best:
                    best, way = rank, int(network.pattern_route_dir_ix[p])
        right += way == j.way[i]
    return 100.0 * right / max(1, total)
