"""Stop times, headways, bunching and gap alerts, and cell speeds against what truly happened.

Buses of the generator, every route as dense as its timetable wants, GPS error sigma 10 m with a correlation time of
30 s, route and trip reported rightly: the matching has a benchmark of its own. Beside the whole chain the city stage
alone, fed with the truth: what it gets wrong is its own.

stop times    first standstill within 30 m of the stop, or abeam where the bus does not stop; first stops left out
headways      time since the vehicle ahead of the same route and direction was there; it was at the first gate of its
              pattern when it left there. Who leads is also judged where the buses in question passed
              CLEAR_S or more apart: GPS error alone turns round pairs that are closer
alerts        the same rules on the true drive; episodes that were told, matched by kind, vehicles and overlap
cell speeds   metres over seconds without dwell, of cells and windows with five true traversals or more
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from benchmarks.accuracy.trajectories import Truth
from benchmarks.engine import SETTINGS, by_second
from benchmarks.harness import Benchmark
from benchmarks.workload import MADE_FEED, Workload, feed
from fixtures.drives import Simulation, simulate
from fixtures.motion import Habits
from fixtures.noise import Noise
from fixtures.plan import Wish
from fixtures.reporting import Reporting
from streams import messages
from streams.engine.alerts import Alerts
from streams.engine.city import City
from streams.engine.congestion import SETTLE_S, Congestion
from streams.engine.headways import Headways
from streams.engine.part import Part
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.gtfs.network import Network
from streams.kernels import cells
from streams.messages import Columns

INTERVALS_S = (5.0, 15.0, 30.0)
STOP_GOALS = {5.0: "≤3 and ≤10", 15.0: "≤5 and ≤18", 30.0: "≤8 and ≤30"}
SAME_PASSING_S = 300.0  # a passing told farther from the true one than this is another one
CLEAR_S = 10.0
SAMPLES = 5  # traversals that a cell and window needs
FREE_QUANTILE = 0.85  # of true speeds over the whole drive: free flow


@dataclass(slots=True)
class Said:
    """What a city told: last words on passings, headways and windows, and the episodes of its alerts."""

    passings: pl.DataFrame
    headways: pl.DataFrame
    windows: pl.DataFrame
    alerts: pl.DataFrame


def run(bench: Benchmark) -> None:
    """One drive, heard at several intervals."""
    path = MADE_FEED if bench.short else feed()
    network = load(path)
    duration, wish = (600.0, Wish()) if bench.short else (5400.0, Wish(vehicles=400, spread=False))
    intervals = INTERVALS_S[:1] if bench.short else INTERVALS_S

    def drive(ping_s: float, noise: Noise) -> Simulation:
        return simulate(
            network, seed=5, duration_s=duration, wish=wish, habits=Habits(ping_s=ping_s), noise=noise,
            reporting=Reporting(stale=0.0),
        )  # fmt: skip

    truth = Truth.of(network, drive(1.0, Noise.none()))
    true = _true_headways(network, truth)
    ideal = _told_by_truth(network, truth)
    said = f"{path.stem}, {len(set(truth.positions['vehicle_id']))} buses, {duration / 3600:g} h"
    _score_headways(bench, "city alone", ideal, true, said)
    _score_cells(bench, "city alone", ideal, truth, network, said)
    for interval in intervals:
        work = Workload(path, network, drive(interval, Noise(sigma_m=10.0, tau_s=30.0)), duration, said)
        told = _told(network, work)
        what = f"every {interval:g} s"
        conditions = f"{said}, sigma 10 m, tau 30 s"
        _score_stops(bench, what, told, true, conditions, STOP_GOALS[interval])
        _score_headways(bench, what, told, true, conditions)
        _score_alerts(bench, what, told, ideal, conditions, duration, network)
        _score_cells(bench, what, told, truth, network, conditions)


# --- what is told


def _parts(network: Network) -> tuple[Part, ...]:
    headways = Headways(network, SETTINGS)
    return headways, Congestion(network, SETTINGS), Alerts(network, SETTINGS, headways)


def _told_by_truth(network: Network, truth: Truth) -> Said:
    city = City(network, SETTINGS, _parts(network))
    state, heard = city.fresh(0), _Heard()
    now = 0.0
    for now, facts in truth.records(network):
        heard.take(facts["passings"], city.advance(state, facts, now), now)
    return heard.finish(city, state, now)


def _told(network: Network, work: Workload) -> Said:
    track, city = Track(network, SETTINGS), City(network, SETTINGS, _parts(network))
    tracked, state, heard = track.fresh(0), city.fresh(0), _Heard()
    now = 0.0
    for now, batch in by_second(work):
        facts, _ = track.advance(tracked, batch, now)
        heard.take(facts["passings"], city.advance(state, facts, now), now)
    end = now
    for now in np.arange(end + 5.0, end + SETTLE_S, 5.0).tolist():
        facts, _ = track.advance(tracked, messages.empty(messages.PING), now)
        heard.take(facts["passings"], {k: v for k, v in city.advance(state, facts, now).items() if k != "alerts"}, now)
    return heard.finish(city, state, now)


class _Heard:
    """Collects what a city says, with the record time at which it said it."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Columns]] = {"passings": [], "headways": [], "congestion": [], "alerts": []}

    def take(self, passings: Columns, said: dict[str, Columns], now: float) -> None:
        for name, columns in {"passings": passings, **said}.items():
            n = messages.rows(columns)
            if n and name in self.parts:
                self.parts[name].append({**columns, "told_at": np.full(n, now)})

    def finish(self, city: City, state: Any, now: float) -> Said:
        for at in np.arange(now + 5.0, now + SETTLE_S + 2 * SETTINGS.city.window_s, 5.0).tolist():
            said = city.advance(state, None, at)
            self.take({}, {"congestion": said["congestion"]} if "congestion" in said else {}, at)
        frames = {}
        for name, parts in self.parts.items():
            columns = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]} if parts else {}
            frames[name] = pl.DataFrame(
                {
                    k: pl.Series(v.tolist(), dtype=pl.String) if v.dtype == object else v
                    for k, v in columns.items()
                    if k != "stop_ids"
                }
            )

        def last(name: str, *key: str) -> pl.DataFrame:
            return frames[name].unique(list(key), keep="last", maintain_order=True).filter(~pl.col("withdrawn"))

        # a passing tells the pattern and gate; a headway row its gate's name
        passings = last("passings", "trip_id_performed", "gate_seq").filter(pl.col("arrival_time").is_not_nan())
        windows = frames["congestion"].filter(pl.col("final"))
        return Said(passings, last("headways", "trip_id_performed", "gate_id"), windows, frames["alerts"])


# --- what is true


def _true_headways(network: Network, truth: Truth) -> pl.DataFrame:
    """Headway and leader at every gate that was passed, by definition and without rings."""
    p = truth.passings
    pattern = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pgate_start))
    gates = pl.DataFrame(
        {
            "pattern": pattern,
            "gate_seq": np.arange(len(pattern)) - network.pgate_start[pattern],
            "slot": network.pgate_slot_ix,
        }
    ).with_columns(visit=pl.int_range(pl.len()).over("pattern", "slot"))
    gates = gates.with_columns(
        gate_id=pl.Series([network.gate_ids[g] for g in network.pgate_gate_ix.tolist()])
        + pl.when(pl.col("visit") > 0).then(pl.lit("#") + (pl.col("visit") + 1).cast(pl.String)).otherwise(pl.lit(""))
    )
    rows = pl.DataFrame({k: (pl.Series(v.tolist()) if v.dtype == object else v) for k, v in p.items()})
    rows = rows.with_columns(pattern_id=pl.Series([network.pattern_ids[i] for i in p["pattern"].tolist()]))
    rows = rows.with_columns(time=pl.when(pl.col("gate_seq") == 0).then("departure").otherwise("time"))
    place = ["slot", "visit"]
    headway = (pl.col("time") - pl.col("time").shift(1)).over(place)
    return (
        rows.join(gates, on=["pattern", "gate_seq"])
        .sort("time", "vehicle_id")
        .with_columns(true_leader=pl.col("vehicle_id").shift(1).over(place), true_headway=headway)
        .with_columns(
            apart=pl.min_horizontal(
                "true_headway",
                pl.col("true_headway").shift(1).over(place),
                pl.col("true_headway").shift(-1).over(place),
            )
        )
    )


# --- scores


def _score_stops(bench: Benchmark, what: str, told: Said, true: pl.DataFrame, said: str, goal: str) -> None:
    stops = true.filter(pl.col("stop")).sort("time")
    mine = told.passings.select("vehicle_id", "pattern_id", "gate_seq", time="arrival_time", told="arrival_time")
    found = stops.join_asof(
        mine.sort("time"), on="time", by=["vehicle_id", "pattern_id", "gate_seq"], strategy="nearest",
        tolerance=SAME_PASSING_S, check_sortedness=False,
    )  # fmt: skip
    error = (found["told"] - found["time"]).drop_nulls().to_numpy()
    assert len(error) > 0.5 * len(stops), "most stops were not told"
    bench.add(f"{what}: stop time, median error", float(np.median(np.abs(error))), "s", said, goal)
    bench.add(f"{what}: stop time, 95 % within", float(np.quantile(np.abs(error), 0.95)), "s", said, goal)
    bench.add(f"{what}: stop time, mean (late is positive)", float(error.mean()), "s", said)
    bench.add(f"{what}: stops told", 100.0 * len(error) / len(stops), "%", f"{said}; {len(stops)} stops")


def _score_headways(bench: Benchmark, what: str, told: Said, true: pl.DataFrame, said: str) -> None:
    mine = told.headways.select(
        "vehicle_id", "gate_id", "route_id", "direction_id", "leader_id", "headway_s", time="event_timestamp"
    ).sort("time")
    found = mine.join_asof(
        true.select("vehicle_id", "gate_id", "true_leader", "true_headway", "apart", "time").sort("time"),
        on="time", by=["vehicle_id", "gate_id"], strategy="nearest", check_sortedness=False, tolerance=SAME_PASSING_S,
    ).filter(pl.col("true_leader").is_not_null())  # fmt: skip
    both = found.filter(pl.col("leader_id").is_not_null())
    error = (both["headway_s"] - both["true_headway"]).abs().to_numpy()
    right = float((both["leader_id"] == both["true_leader"]).mean() or 0.0)
    clear = both.filter(pl.col("apart") >= CLEAR_S)
    right_clear = float((clear["leader_id"] == clear["true_leader"]).mean() or 0.0)
    same = both.filter(pl.col("leader_id") == pl.col("true_leader"))
    alike = (same["headway_s"] - same["true_headway"]).abs().to_numpy()
    note = f"{said}; {len(found)} headways"
    bench.add(f"{what}: headway, median error", float(np.median(error)), "s", note, "≤4 (5 s)")
    bench.add(f"{what}: headway, 95 % within (same leader)", float(np.quantile(alike, 0.95)), "s", note)
    bench.add(f"{what}: leader right", 100.0 * right, "%", note, "≥99.5 (5 s)")
    apart = f"{note}, {len(clear)} of them"
    bench.add(f"{what}: leader right, buses {CLEAR_S:g} s apart or more", 100.0 * right_clear, "%", apart)
    bench.add(f"{what}: headway known", 100.0 * len(both) / max(len(found), 1), "%", note)


def _score_alerts(
    bench: Benchmark, what: str, told: Said, ideal: Said, said: str, duration_s: float, network: Network
) -> None:
    for kind in ("bunching", "gap"):
        mine, true = _episodes(told, kind), _episodes(ideal, kind)
        hits, delays = 0, []
        for episode in true:
            match = [e for e in mine if e.same_as(episode)]
            hits += bool(match)
            if match:
                delays.append(min(e.raised for e in match) - episode.raised)
        founded = sum(any(e.same_as(t) for t in true) for e in mine)
        n_mine, n_true = len(mine), len(true)
        note = f"{said}; {n_true} true episodes, {n_mine} told"
        routes = len(set(told.headways["route_id"].to_list()))
        if not n_true or not n_mine:
            bench.add(f"{what}: {kind}, episodes", float(n_mine), "", note)
            continue
        bench.add(f"{what}: {kind}, precision", 100.0 * founded / n_mine, "%", note, "≥93")
        bench.add(f"{what}: {kind}, recall", 100.0 * hits / n_true, "%", note, "≥93")
        within = float(np.mean(np.array(delays) <= 60.0)) if delays else 0.0
        bench.add(f"{what}: {kind}, raised within 60 s", 100.0 * within, "%", note, "all")
        rate = n_mine / max(routes, 1) / (duration_s / 3600.0)
        bench.add(f"{what}: {kind}, alerts per route and hour", rate, "", note)


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its first word on. A bunch is a pair; a gap may pass from one follower to another."""

    pairs: bool
    followers: frozenset[str]
    leaders: frozenset[str]
    since: float
    until: float
    raised: float  # record time of the first word

    def same_as(self, other: "Episode") -> bool:
        """Whether both are about the same vehicles at the same time."""
        if not (self.since < other.until and other.since < self.until):
            return False
        if self.pairs:
            return self.followers | self.leaders == other.followers | other.leaders
        return bool(self.followers & other.followers or self.leaders & other.leaders)


def _episodes(said: Said, kind: str) -> list[Episode]:
    if said.alerts.is_empty():
        return []
    rows = said.alerts.filter(pl.col("kind") == kind).group_by("alert_id", maintain_order=True).agg(
        pl.col("active_from").first(), pl.col("active_to").last(), pl.col("told_at").first(),
        pl.col("vehicle_id"), pl.col("leader_id"),
    )  # fmt: skip
    return [
        Episode(
            kind == "bunching",
            frozenset(followers),
            frozenset(leaders),
            since,
            until if until == until else np.inf,
            told,
        )
        for _, since, until, told, followers, leaders in rows.iter_rows()
    ]


def _score_cells(bench: Benchmark, what: str, told: Said, truth: Truth, network: Network, said: str) -> None:
    c = truth.traversals
    width = float(SETTINGS.city.window_s)
    true = pl.DataFrame(
        {
            "cell": c["cell"],
            "window_start": np.floor(c["left"] / width) * width,
            "metres": c["metres"],
            "seconds": c["seconds"],
        }
    ).filter(pl.col("metres") >= 15.0)
    free = true.group_by("cell").agg(free=(pl.col("metres") / pl.col("seconds")).quantile(FREE_QUANTILE))
    sums = true.group_by("cell", "window_start").agg(pl.col("metres").sum(), pl.col("seconds").sum(), n=pl.len())
    sums = sums.filter(pl.col("n") >= SAMPLES).with_columns(true=pl.col("metres") / pl.col("seconds"))
    sums = sums.join(free, on="cell")
    keys = pl.DataFrame(
        {
            "cell": np.arange(len(network.cell_h3)),
            "h3_cell": [format(int(h), "x") for h in network.cell_h3],
            "heading_octant": network.cell_octant.astype(np.int64),
            "lane": np.where(network.cell_busway, "busway", "mixed").tolist(),
        }
    )
    mine = told.windows.join(keys, on=["h3_cell", "heading_octant", "lane"])
    both = sums.join(mine, on=["cell", "window_start"])
    note = f"{said}; {len(both)} of {len(sums)} cells and windows"
    if both.is_empty():
        bench.add(f"{what}: cell speed, cells and windows", 0.0, "", note)
        return
    error = ((both["speed_mps"] - both["true"]).abs() / both["true"]).to_numpy()
    speed, free_mps = both["speed_mps"].to_numpy(), both["free_flow_mps"].to_numpy()
    level = cells.levels(speed, free_mps)
    alike = level == cells.levels(both["true"].to_numpy(), free_mps)
    whole = level == cells.levels(both["true"].to_numpy(), both["free"].to_numpy())
    bench.add(f"{what}: cell speed, median relative error", 100.0 * float(np.median(error)), "%", note, "≤10 (5 s)")
    bench.add(f"{what}: level right, with our free flow", 100.0 * float(alike.mean()), "%", note, "≥88 (5 s)")
    bench.add(f"{what}: level right, with the true free flow", 100.0 * float(whole.mean()), "%", note, "≥88 (5 s)")
