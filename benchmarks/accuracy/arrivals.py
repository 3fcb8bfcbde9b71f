"""How good arrival estimates are, by the published rulers (streams/replay/rulers.py), and how many a second.

Jakarta    generated days of one city till past noon, judged by the generator's truth; profile learned on two others
Toronto    five recorded days of bus routes; feed from the stop lists, one pace everywhere, no timetable
Warsaw     fifty recorded minutes by timetable: the first twenty are learned from, the others scored
Kingston   one recorded noon by timetable, on the rows that the official TripUpdates have an estimate for too

Recordings are where `../shared/data` is; without it only Jakarta runs, on the made city. A bus that waits at its
terminal is told for its next run. Baselines know where a bus is on its run, so the figures beside them lack those rows;
"all rows" has them, and "under way" leaves out every run that has not begun, as agencies do that do not tell them.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.accuracy.toronto import prepare
from benchmarks.harness import Benchmark
from benchmarks.workload import MADE_FEED, ROOT, feed
from fixtures.drives import Drive
from fixtures.motion import Habits
from fixtures.noise import Noise
from fixtures.plan import Wish
from fixtures.reporting import Reporting
from fixtures.truth import PINGS, VISITS, frame
from streams.engine import profile
from streams.engine.arrivals import Arrivals
from streams.engine.city import City
from streams.engine.congestion import Congestion
from streams.engine.track import Track
from streams.gtfs.compile import load
from streams.gtfs.network import Network
from streams.replay import tables
from streams.replay.baselines import LAST_THREE, TIMETABLE, TIMETABLE_TOLD, baselines
from streams.replay.learn import learn
from streams.replay.rulers import BINS_S, MBTA, TRANSIT
from streams.replay.run import groups, replay
from streams.replay.samples import LAPSED_S, Samples, served
from streams.replay.score import P50, TOLD, Score, minutes, score
from streams.replay.updates import statements
from streams.settings import Settings
from streams.sources.files import members
from streams.sources.recording import Recording
from streams.sources.registry import open_source

Array = np.ndarray

DATA = ROOT.parent / "shared" / "data"
WANTED = (tables.ARRIVAL_ESTIMATES, tables.STOP_VISITS, tables.VEHICLE_LOCATIONS)
CITY = 11
RAW = {TIMETABLE: "≤60", LAST_THREE: "≤80"}  # what makes drives hard enough
TORONTO_ROUTES = 5
WARSAW_FROM = "2024-02-19 15:40"
WARSAW = "vehicle_id=VehicleNumber,timestamp=Time,lat=Lat,lon=Lon,route_id=Lines"


def run(bench: Benchmark) -> None:
    """Every recording there is; the short form is half an hour of the made city."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        jakarta(bench, out / "jakarta")
        if not bench.short and DATA.is_dir():
            kingston(bench, out / "kingston")
            warsaw(bench, out / "warsaw")
            toronto(bench, out / "toronto")


def jakarta(bench: Benchmark, out: Path) -> None:
    """Days of the generator as it is, which fixtures.variability holds to recordings.

    `RAW` says what would make them hard enough: the mean of the last three buses is worse than on Warsaw's recording,
    and so is the timetable, which tells neither the hours nor the streets apart.
    """
    path = MADE_FEED if bench.short else feed()
    network = load(path)
    hours, buses = (0.5, 20) if bench.short else (8.0, 300)
    days = (
        ("2026-03-10", "2026-03-11", "2026-03-12") if path == MADE_FEED else ("2023-12-05", "2023-12-06", "2023-12-07")
    )
    recordings = []
    for seed, day in enumerate(days, 1):
        here = out / day
        here.mkdir(parents=True)
        drive = Drive(
            network, seed, f"{day}T05:15", hours * 3600.0, Wish(vehicles=buses, spread=False), Habits(ping_s=10.0),
            Noise(sigma_m=10.0, tau_s=30.0), Reporting(stale=0.05), city_seed=CITY,
        )  # fmt: skip
        parts = list(drive.slices())
        pl.concat([frame(PINGS, p.pings) for p in parts]).write_parquet(here / "pings.parquet")
        pl.concat([frame(VISITS, p.visits) for p in parts]).write_parquet(here / "visits.parquet")
        recordings.append(open_source([here / "pings.parquet"]))
    known: dict[str, Any] | None = None
    data: bytes | None = None
    for recording in recordings[:-1]:
        _, data = learn(recording, network, begin_with=data)
    assert data is not None
    known = profile.unpack(data)[1]
    replay(recordings[-1], network, out / "run", wanted=WANTED, learned=known)
    samples = served(out / "run", out / days[-1], skip_s=120.0 if bench.short else 600.0)
    said = (
        f"{path.stem}, {buses} buses on as many routes as they can serve, {hours:g} h from 05:15, every 10 s; profile"
        " of two other days; by the truth"
    )
    found = tell(bench, "Jakarta", score(samples, baselines(out / "run", network, samples)), said, raw=RAW)
    raw = {name: found.by_predictor[name].overall(TRANSIT) for name in (TIMETABLE, LAST_THREE)}
    gain = found.by_predictor[TOLD].overall(TRANSIT) - max(raw.values())
    bench.add("Jakarta told: Transit above the better raw baseline", gain, "points", said, "≥10")
    coverage(bench, "Jakarta", found, said)
    tell(bench, "Jakarta, all rows", score(samples, {}), said)
    assert found.by_predictor[P50].n > (300 if bench.short else 10_000)
    rate(bench, recordings[-1], network, known, said)


def toronto(bench: Benchmark, out: Path) -> None:
    """Days of buses that keep to a timetable which nobody gave us."""
    path, pings = prepare(DATA / "toronto-2016", out, TORONTO_ROUTES)
    network = load(path)
    replay(open_source([pings]), network, out / "run", wanted=WANTED)
    samples = served(out / "run", skip_s=2 * 86_400.0)
    said = (
        f"{TORONTO_ROUTES} routes, 2016-12-13 14:25 to 12-16 04:00, every 20 s, pace of 18 km/h instead of a timetable"
    )
    found = tell(
        bench, "Toronto", score(samples, baselines(out / "run", network, samples)), said, "≥88", "≥88.5", "≥87"
    )
    coverage(bench, "Toronto", found, said)
    for name, rows in (("Toronto, all rows", samples), ("Toronto, under way", under_way(samples))):
        tell(bench, name, score(rows, {}), said, "≥88", "≥88.5", "≥87")


def warsaw(bench: Benchmark, out: Path) -> None:
    """Twenty minutes to learn from are little."""
    out.mkdir()
    raw = pl.read_csv(DATA / "warsaw-2024" / "positions.csv.gz", infer_schema=False)
    # vehicles that were parked all day are in it too, with the time at which they were heard of last
    raw.filter(pl.col("Time") >= WARSAW_FROM).write_parquet(out / "pings.parquet")
    network = load(DATA / "warsaw-2024" / "gtfs.zip")
    recording = open_source([out / "pings.parquet"], columns=WARSAW, timezone="Europe/Warsaw")
    replay(recording, network, out / "run", wanted=WANTED)
    samples = served(out / "run", skip_s=1200.0)
    said = "1,602 buses, 2024-02-19 16:00 to 16:30, every 12 s, the twenty minutes before learned from"
    for name, rows in (("Warsaw", samples), ("Warsaw, under way", under_way(samples))):
        found = tell(bench, name, score(rows, baselines(out / "run", network, rows)), said, "≥84", "≥87")
        gain = found.by_predictor[TOLD].overall(TRANSIT) - found.by_predictor[TIMETABLE_TOLD].overall(TRANSIT)
        bench.add(f"{name} told: Transit above the timetable told as ours", gain, "points", said, "≥4")
    tell(bench, "Warsaw, all rows", score(samples, {}), said, "≥84", "≥87")


def kingston(bench: Benchmark, out: Path) -> None:
    """Beside what the agency itself told at the same minutes."""
    network = load(DATA / "kingston" / "gtfs.zip")
    replay(open_source([DATA / "kingston" / "vehicle_positions.csv.gz"]), network, out, wanted=WANTED)
    samples = served(out)
    said = "2026-01-15, 137 vehicles, every 31 s in bursts, nothing learned before; rows that the official feed has too"
    found = score(samples, {"official": official(samples, DATA / "kingston" / "trip_updates.zip")})
    tell(bench, "Kingston", found, said)
    ours, theirs = found.by_predictor[TOLD], found.by_predictor["official"]
    bench.add(
        "Kingston told: Transit above the official",
        ours.overall(TRANSIT) - theirs.overall(TRANSIT),
        "points",
        said,
        "≥8",
    )
    ours = found.by_predictor[P50]
    bench.add("Kingston p50: MBTA above the official", ours.overall(MBTA) - theirs.overall(MBTA), "points", said, "≥0")
    bench.add("Kingston p50: MAE above the official", ours.mae_s - theirs.mae_s, "s", said, "≤0")


def official(samples: Samples, archive: Path) -> Array:
    """What archived TripUpdates told for every sample, NaN where nothing: the last message, at most a minute old."""
    told = statements(members(archive)).select(
        "told", at="said_at", trip_id_scheduled="trip_id", scheduled_stop_sequence="stop_sequence"
    )
    at = told.select("at").unique().sort("at").with_columns(last=pl.col("at"))
    asked = samples.rows.select("made_at", "trip_id_scheduled", "scheduled_stop_sequence").join_asof(
        at, left_on="made_at", right_on="at", strategy="backward"
    )
    asked = asked.with_columns(at=pl.when(pl.col("made_at") - pl.col("last") < LAPSED_S).then("last"))
    key = ["at", "trip_id_scheduled", "scheduled_stop_sequence"]
    found = asked.join(told.unique(key, keep="first"), on=key, how="left", maintain_order="left")
    return found["told"].fill_null(float("nan")).to_numpy()


def under_way(samples: Samples) -> Samples:
    """The samples of runs that have begun."""
    begun = pl.col("made_at") >= pl.col("arrival").min().over("trip_id_performed")
    first = samples.visits.group_by("trip_id_performed").agg(arrival=pl.col("arrival").min())
    rows = samples.rows.join(first, on="trip_id_performed", how="inner", maintain_order="left").filter(begun)
    return replace(samples, rows=rows.drop("arrival"))


def tell(
    bench: Benchmark, name: str, found: Score, said: str, transit: str = "", mbta: str = "", p50_mbta: str = "",
    raw: dict[str, str] | None = None,
) -> Score:  # fmt: skip
    """The figures of every predictor; `raw` are what baselines are to score by Transit's ruler."""
    goals = {baseline: (goal, "", "") for baseline, goal in (raw or {}).items()} | {
        TOLD: (transit, mbta, ""),
        P50: ("", p50_mbta, "≤70" if p50_mbta else ""),
    }
    for predictor, e in found.by_predictor.items():
        goal = goals.get(predictor, ("", "", ""))
        conditions = f"{said}; {e.n:,} estimates"
        bench.add(f"{name} {predictor}: Transit", e.overall(TRANSIT), "%", conditions, goal[0])
        bench.add(f"{name} {predictor}: MBTA", e.overall(MBTA), "%", conditions, goal[1])
        bench.add(f"{name} {predictor}: MAE, next half hour", e.mae_s, "s", conditions, goal[2])
        quarter = e.counts[TRANSIT.name]
        assert min(quarter) > 0, f"{name}: a window of {predictor} is empty"
    bench.add(f"{name}: completeness", found.completeness, "%", said, "≥99")
    return found


def coverage(bench: Benchmark, name: str, found: Score, said: str) -> None:
    """Of the 80 % interval, by predicted time left."""
    for (low, high), share in zip(BINS_S, found.intervals.coverage, strict=False):
        bench.add(f"{name}: 80 % interval holds, {minutes(low, high)}", share, "%", said, "76 to 84")


def rate(bench: Benchmark, recording: Recording, network: Network, known: dict[str, Any], said: str) -> None:
    """Stop estimates a second of one core, CPU time: of all vehicles at one moment, gathered and worked out."""
    settings = Settings()
    settings = replace(settings, kafka=replace(settings.kafka, partitions=1))
    part = Arrivals(network, settings)
    track, city = Track(network, settings), City(network, settings, (Congestion(network, settings), part), known)
    tracked, state = track.fresh(0), city.fresh(0)
    for k, group in enumerate(groups(recording)):
        facts, _ = track.advance(tracked, group.pings, group.record_time, group.first_row)
        city.advance(state, facts, group.record_time)
        if k == (200 if bench.short else 900):
            break
    mine = state.parts["arrivals"]
    estimates = len(part.estimates(state, mine, state.record_time).p50)
    assert estimates > 100
    rates = []
    for _ in range(3 if bench.short else 15):
        begun = time.process_time()
        for _ in range(20):
            part.estimates(state, mine, state.record_time)
        rates.append(20 * estimates / (time.process_time() - begun))
    bench.add("stop estimates, one core", rates, "1/s", f"{said}; {estimates:,} at a moment", "≥2e6")
