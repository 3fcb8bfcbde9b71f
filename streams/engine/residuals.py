"""How wrong estimates are: remembered when made, resolved by the closed arrival, tracked as quantiles by horizon.

Estimates are judged in the order in which they were *made*, each a fixed time after it was made: by then either
the bus has come, or the estimate counts as "at least this late". Judged in the order of arrivals, early buses
would count first and often, and the quantiles would promise too much.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.engine.runs import Runs
from streams.kernels import arrivals as kernel

Array = np.ndarray
Rows = dict[str, Array]

EDGES_S: Array = np.array([0, 30, 60, 90, 120, 180, 240, 300, 420, 540, 720, 900, 1200, 1800], dtype=np.float64)
CENTRES_S: Array = (EDGES_S[1:] + EDGES_S[:-1]) / 2
RELEASE_S: Array = 1.25 * EDGES_S[1:] + 480.0  # after being made; arrivals are learned of minutes after they happen
SAMPLES_A_MINUTE = 2000
MOST_SAMPLES = 65_536
_DTYPES = {
    "run": np.int64,
    "pos": np.int64,
    "bin": np.int64,
    "klass": np.int64,
    "made_at": np.float64,
    "base": np.float64,
    "actual": np.float64,
}


def built_in() -> Array:
    """Residual p10, p50, p90 (s) by class and bin before a city has shown its own: (3, bins, 3).

    Of the first hours of five cities (Kingston, Warsaw, Toronto and two generated ones) taken together: a timetable is
    wrong everywhere, in each city in its own way, and a new one is as far from the others as they are from each other.
    Source: pooling of groups, Dunn, Wasserman & Ramdas 2022 (Distribution-free prediction sets for two-layer
    hierarchical models).
    """
    h = CENTRES_S
    under_way = np.stack([-8.0 - 0.14 * h, 2.0 + 0.0 * h, 22.0 + 0.25 * h])
    waiting = np.stack([-40.0 - 0.25 * h, 15.0 + 0.0 * h, 300.0 + 0.1 * h])
    stuck = np.stack([-20.0 - 0.25 * h, 10.0 + 0.0 * h, 250.0 + 0.1 * h])
    return np.stack([under_way.T, waiting.T, stuck.T])


@dataclass(slots=True)
class ResidualState:
    """Estimates not yet judged, and the tracked quantiles by class (under way, waiting, stuck) and bin."""

    samples: Rows
    tracked: Array  # f8 (3, bins, 3)
    spread_s: Array  # f8 (3, bins)
    count: Array  # f8 (3, bins) estimates judged; where many were alike, as many as they weigh


def fresh() -> ResidualState:
    """Nothing seen: the built-in table."""
    table = built_in()
    return ResidualState(_no_samples(), table.copy(), (table[:, :, 2] - table[:, :, 0]) / 3.2, np.zeros((3, 13)))


def quantiles(state: ResidualState) -> Array:
    """Residual p10, p50, p90 by class and bin, as tracked from the built-in ones on.

    The median stays the estimate itself. What running times have learned is right in the middle; a median tracked from
    stops that buses share their lateness at chases the last hour's traffic: on Toronto's days it cost 1.5 points of
    MBTA's ruler, on Warsaw's hour 2.4, and the mean error grew.
    """
    out = state.tracked.copy()
    out[:, :, 1] = 0.0
    return out


def remember(state: ResidualState, runs: Runs, at: float, run: Array, pos: Array, base: Array, klass: Array) -> int:
    """Note estimates made at `at`, or in a large city a share of them by turns; returns how many found no room."""
    horizon = base - at
    near = np.flatnonzero(horizon < EDGES_S[-1])  # False for NaN
    stride = -(-len(near) // SAMPLES_A_MINUTE)
    if stride > 1:
        turn = runs.key[run[near]] // np.uint64(7) + (pos[near] + int(at // 60)).astype(np.uint64)
        near = near[turn % np.uint64(stride) == 0]
    room = MOST_SAMPLES - len(state.samples["run"])
    lost = max(len(near) - room, 0)
    near = near[:room]
    new: Rows = {
        "run": run[near],
        "pos": pos[near],
        "bin": np.searchsorted(EDGES_S, horizon[near], side="right") - 1,
        "klass": klass[near],
        "made_at": np.full(len(near), at),
        "base": base[near],
        "actual": np.full(len(near), np.nan),
    }
    state.samples = {name: np.concatenate([values, new[name]]) for name, values in state.samples.items()}
    return lost


def resolve(state: ResidualState, run: Array, pos: Array, arrival: Array) -> None:
    """Buses have come: the estimates for these stops know how wrong they were."""
    samples = state.samples
    if not len(run) or not len(samples["run"]):
        return
    came = _key(run, pos)
    order = np.argsort(came, kind="stable")
    came = came[order]
    asked = _key(samples["run"], samples["pos"])
    place = np.minimum(np.searchsorted(came, asked), len(came) - 1)
    hit = (came[place] == asked) & np.isnan(samples["actual"])
    samples["actual"][hit] = arrival[order][place[hit]]


def judge(state: ResidualState, runs: Runs, at: float, next_pos_of_run: Array) -> None:
    """Track the residuals of the estimates whose time to be judged has come, in the order in which they were made.

    next_pos_of_run  i8 by number of the run: its first stop ahead; one that is no longer under way has a number
    larger than any stop's, and its unresolved estimates are dropped (a stop cut out by a detour was not late).
    """
    samples = state.samples
    due = samples["made_at"] + RELEASE_S[samples["bin"]] <= at
    if not due.any():
        return
    known = ~np.isnan(samples["actual"])
    ahead = next_pos_of_run[samples["run"]] <= samples["pos"]
    rows = np.flatnonzero(due & (known | ahead))
    rows = rows[np.lexsort((samples["pos"][rows], runs.key[samples["run"][rows]], samples["made_at"][rows]))]
    residual = np.where(known, samples["actual"], at) - samples["base"]
    kernel.calibrate(
        samples["klass"][rows], samples["bin"][rows], residual[rows], known[rows], state.tracked, state.spread_s,
        state.count,
    )  # fmt: skip
    state.samples = {name: values[~due] for name, values in samples.items()}


def learned(state: ResidualState) -> dict[str, Any]:
    """What outlasts the day, as a tree."""
    return {"tracked": state.tracked, "spread_s": state.spread_s, "count": state.count}


def begin(tree: dict[str, Any]) -> ResidualState:
    """A state that knows what `learned` says, without open estimates."""
    return ResidualState(_no_samples(), tree["tracked"].copy(), tree["spread_s"].copy(), tree["count"].copy())


def dump(state: ResidualState) -> dict[str, Any]:
    """The state as a tree."""
    return {"samples": state.samples, **learned(state)}


def load(tree: dict[str, Any], same_network: bool) -> ResidualState:
    """The state of `dump`'s tree; stops have other positions in another network, so its open estimates are dropped."""
    state = begin(tree)
    if same_network:
        state.samples = tree["samples"]
    return state


def renumber(state: ResidualState, run: Array) -> None:
    """Runs got new numbers."""
    state.samples["run"] = run[state.samples["run"]]


def _key(run: Array, pos: Array) -> Array:
    key: Array = run * np.int64(4096) + pos
    return key


def _no_samples() -> Rows:
    return {name: np.empty(0, dtype) for name, dtype in _DTYPES.items()}
