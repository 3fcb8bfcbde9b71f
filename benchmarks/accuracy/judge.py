"""What the tracker said of every ping, beside what was so."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl

from fixtures.drives import Simulation
from streams import messages
from streams.engine.track import Track
from streams.gtfs.network import Network
from streams.messages import PING, POSITION, Columns
from streams.replay.hindsight import in_hindsight

Array = np.ndarray
BATCH_S = 5.0
QUIET_S = 400.0  # record time after the last ping: everything closes


def follow(track: Track, pings: Columns) -> tuple[Columns, Counter[str]]:
    """The last word on every ping of a recording (in order of `record_time`), and the rejects by reason."""
    grid = np.floor(pings["record_time"] / BATCH_S)
    edges = np.flatnonzero(np.diff(grid, prepend=-1.0))
    columns = {name: pings[name] for name in PING}
    state = track.fresh(0)
    told: list[Columns] = []
    rejects: Counter[str] = Counter()

    def advance(batch: Columns, at: float) -> None:
        facts, refused = track.advance(state, batch, at)
        told.append(facts["positions"])
        rejects.update(refused["reason"].tolist())

    last = 0.0
    for a, b in zip(edges.tolist(), [*edges[1:].tolist(), len(grid)], strict=True):
        last = (float(grid[a]) + 1.0) * BATCH_S
        advance(messages.take(columns, slice(a, b)), last)
    for _ in range(int(QUIET_S / BATCH_S)):
        last += BATCH_S
        advance(messages.empty(PING), last)
    positions = messages.concat(POSITION, told)
    final: dict[tuple[str, float], int] = {}
    keys = zip(positions["vehicle_id"].tolist(), positions["timestamp"].tolist(), strict=True)
    for i, (key, withdrawn) in enumerate(zip(keys, positions["withdrawn"].tolist(), strict=True)):
        if withdrawn:
            final.pop(key, None)
        else:
            final[key] = i
    return messages.take(positions, np.array(sorted(final.values()), dtype=np.int64)), rejects


@dataclass(frozen=True, slots=True)
class Judgement:
    """One row per ping that was answered and has a truth, in the order of the truth.

    phase       as it was: in_service, layover, deadhead, off_route, at_base
    said        the same of the tracker: None while undecided; in_the_end, as the tables of a run have it (hindsight.py)
    way         route_dir as it was, -1 none; way_said as published (-1 undecided); way_likely the likeliest candidate
    pattern, pattern_said  -1 none
    same        the likeliest way drives along every gate that the run has passed up to here
    along_m     place said minus place, NaN where either has none or the pattern is not the right one
    probability as published
    slow, terminal  reported less than 1 m/s; within 300 m of either end of its pattern
    """

    truth: Array
    phase: Array
    said: Array
    in_the_end: Array
    way: Array
    way_said: Array
    way_likely: Array
    pattern: Array
    pattern_said: Array
    same: Array
    along_m: Array
    probability: Array
    slow: Array
    terminal: Array


def judge(network: Network, simulation: Simulation, positions: Columns) -> Judgement:
    """Put the answers beside the truth."""
    truth = simulation.truth
    at = {
        key: i
        for i, key in enumerate(zip(positions["vehicle_id"].tolist(), positions["timestamp"].tolist(), strict=True))
    }
    keys = zip(truth["vehicle_id"].tolist(), np.round(truth["timestamp"], 2).tolist(), strict=True)
    found = np.array([at.get(key, -1) for key in keys], dtype=np.int64)
    kept = np.flatnonzero(found >= 0)
    truth, said = messages.take(truth, kept), messages.take(positions, found[kept])
    in_the_end = messages.take(positions, whose_words(positions))

    ways = {
        (network.route_ids[r], int(d)): w
        for w, (r, d) in enumerate(
            zip(network.route_dir_route_ix.tolist(), network.route_dir_direction.tolist(), strict=True)
        )
    }
    pattern = np.array([network.pattern_ix.get(p, -1) for p in truth["pattern_id"].tolist()])
    pattern_said = np.array([network.pattern_ix.get(p, -1) for p in said["pattern_id"].tolist()])
    way = np.where(pattern >= 0, network.pattern_route_dir_ix[pattern], -1)
    way_said = np.array(
        [ways.get(key, -1) for key in zip(said["route_id"].tolist(), said["direction_id"].tolist(), strict=True)]
    )
    likely = way_said.copy()
    for i in np.flatnonzero(way_said < 0).tolist():
        candidates = said["route_candidates"][i]
        if candidates:
            first = candidates[0]
            direction = first.get("direction_id")
            likely[i] = ways.get((first["route_id"], -1 if direction is None else direction), -1)
    right = pattern_said == pattern
    first_stop = network.pstop_dist_m[network.pstop_start[:-1]]
    last_stop = network.pstop_dist_m[network.pstop_start[1:] - 1]
    dist = truth["dist_m"]
    with np.errstate(invalid="ignore"):
        terminal = (dist - first_stop[pattern] < 300.0) | (last_stop[pattern] - dist < 300.0)
    return Judgement(
        truth=kept,
        phase=truth["phase"],
        said=phases(said),
        in_the_end=phases(in_the_end)[found[kept]],
        way=way,
        way_said=way_said,
        way_likely=likely,
        pattern=pattern,
        pattern_said=pattern_said,
        same=_same_road(network, truth, pattern, way, likely),
        along_m=np.where(right, said["dist_m"] - dist, np.nan),
        probability=said["match_probability"],
        slow=truth["speed_mps"] < 1.0,
        terminal=terminal,
    )


def phases(positions: Columns) -> Array:
    """What each position is said to be."""
    words = {
        "In service": "in_service",
        "Layover": "layover",
        "Deadhead": "deadhead",
        "Other not in service": "at_base",
    }
    said = zip(positions["trip_type"].tolist(), positions["off_route"].tolist(), strict=True)
    return np.array(["off_route" if off else words.get(kind) for kind, off in said], dtype=object)


def whose_words(positions: Columns) -> Array:
    """The row whose words hold of each position in the end."""
    names = ("vehicle_id", "timestamp", "trip_type", "off_route", "phase_since")
    frame = pl.DataFrame({name: pl.Series(positions[name].tolist()) for name in names}).with_row_index()
    frame = frame.with_columns(pl.col("phase_since").fill_nan(None), whose="index")
    return in_hindsight(frame.lazy(), ["whose"]).collect().sort("index")["whose"].to_numpy()


def _same_road(network: Network, truth: Columns, pattern: Array, way: Array, likely: Array) -> Array:
    """Whether the gates passed by the run since it was first seen are, in a row, gates of the likeliest way too."""
    out = likely == way
    vehicle, run = truth["vehicle_id"].tolist(), truth["run"].tolist()
    gates = [
        network.pgate_gate_ix[network.pgate_start[p] : network.pgate_start[p + 1]]
        for p in range(len(network.pattern_ids))
    ]
    gate_m = [
        network.pgate_dist_m[network.pgate_start[p] : network.pgate_start[p + 1]]
        for p in range(len(network.pattern_ids))
    ]
    of_way: dict[int, list[int]] = {}
    for p, w in enumerate(network.pattern_route_dir_ix.tolist()):
        of_way.setdefault(w, []).append(p)
    began: dict[tuple[str, int], float] = {}
    shared: dict[tuple[int, int, int], int] = {}
    for i in range(len(pattern)):
        if pattern[i] < 0 or run[i] < 0 or np.isnan(truth["dist_m"][i]):
            continue
        d0 = began.setdefault((vehicle[i], run[i]), float(truth["dist_m"][i]))
        if out[i] or likely[i] < 0:
            continue
        p = int(pattern[i])
        start = int(np.searchsorted(gate_m[p], d0))
        key = (p, start, int(likely[i]))
        if key not in shared:
            shared[key] = max(_in_a_row(gates[p][start:], gates[q]) for q in of_way[int(likely[i])])
        out[i] = int(np.searchsorted(gate_m[p], truth["dist_m"][i], side="right")) - start <= shared[key]
    return out


def _in_a_row(gates: Array, other: Array) -> int:
    """How many of the first `gates` stand in a row in `other`."""
    best = 0
    for at in np.flatnonzero(other == gates[0]).tolist() if len(gates) else []:
        n = min(len(gates), len(other) - at)
        differ = np.flatnonzero(gates[:n] != other[at : at + n])
        best = max(best, int(differ[0]) if len(differ) else n)
    return best
