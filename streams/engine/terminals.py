"""When buses that wait at terminals will leave: by how long others waited there, by the clock, and by their turn.

A terminal is the first stop of a route and direction. What is learned comes from closed departures, in their order;
only who has left at all is known from open facts, at once: whoever is still there is next.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from streams.engine.hours import PART_OF_HOUR, PARTS, hour_of_week, hours_of_week
from streams.engine.names import grown
from streams.engine.part import CityState
from streams.engine.running import key_of
from streams.gtfs.network import Network
from streams.kernels import departures, turns, waits
from streams.kernels.fleet import raise_to

Array = np.ndarray

WAITED_S = 7200.0  # a longer gap between two runs is no layover
PARKED_S = 3600.0  # who stands at a terminal for longer, without a plan, is not waiting

_BY_TERMINAL = ("waits", "departures", "departures_today", "gaps")
_BY_VEHICLE: dict[str, Any] = {"wait_run": -1, "wait_since": np.nan, "forecasts": 0.0}  # and "nothing yet"


@dataclass(slots=True)
class TerminalState:
    """What is remembered of terminals, and of the vehicles that wait there."""

    waits: Array  # f4 (terminals, PARTS, bins): see kernels/waits.py
    departures: Array  # f4 (terminals, 2, slots): see kernels/departures.py
    departures_today: Array  # f4 (terminals, slots)
    today: tuple[int, int]  # kind and number of the day of those
    clock: Array  # f8 (2,): fit of the departures' weight
    gaps: Array  # f8 (terminals, 2): see kernels/turns.py
    gap_from: Array  # f8 (terminals,) last departure that was learned from, -inf none
    left_at: Array  # f8 (terminals,) last departure that was heard of: no bus ahead in the queue after that
    turns: Array  # f8 (2, 2): fit of the turns' weights
    wait_run: Array  # i8 (vehicles,) the run it waits for, -1 none,
    wait_since: Array  # f8 (vehicles,) since when,
    forecasts: Array  # f8 (vehicles, 2, 3) and what was forecast of that wait


class Forecasts(NamedTuple):
    """When buses that wait without a plan will leave, in the order of their turns: row by row of kernels/turns.py."""

    vehicle: Array
    place: Array
    alone: Array  # by their own wait
    turn: Array
    leaves: Array  # both in one

    @classmethod
    def none(cls) -> "Forecasts":
        """No vehicle."""
        i, f = np.empty(0, np.int64), np.empty(0)
        return cls(i, i, f, f, f)


class Terminals:
    """The terminals of one network: `of` the one of each pattern."""

    def __init__(self, network: Network) -> None:
        self.timezone = network.timezone
        self.keys, self.of = np.unique(terminal_keys(network), return_inverse=True)

    def fresh(self) -> TerminalState:
        """Nobody has been seen to wait."""
        n = len(self.keys)
        return TerminalState(
            waits=np.zeros((n, PARTS, waits.BINS), dtype=np.float32),
            departures=np.zeros((n, 2, departures.SLOTS), dtype=np.float32),
            departures_today=np.zeros((n, departures.SLOTS), dtype=np.float32),
            today=(0, 0),
            clock=np.zeros(2),
            gaps=np.zeros((n, 2)),
            gap_from=np.full(n, -np.inf),
            left_at=np.full(n, -np.inf),
            turns=np.zeros((2, 2)),
            wait_run=np.empty(0, dtype=np.int64),
            wait_since=np.empty(0),
            forecasts=np.zeros((0, 2, 3)),
        )

    def hear(self, state: TerminalState, pattern: Array, departure: Array) -> None:
        """Buses have left with these patterns: open facts, in any order."""
        raise_to(state.left_at, self.of[pattern], departure)

    def learn(
        self, state: TerminalState, vehicle: Array, run: Array, pattern: Array, departure: Array, wait: Array
    ) -> None:
        """Learn departures from first stops, in their order; `wait` (s) before them, NaN where it is not known."""
        terminal = self.of[pattern]
        waited = np.flatnonzero(wait < WAITED_S)  # False for NaN
        part = PART_OF_HOUR[hours_of_week(departure[waited], self.timezone)]
        waits.learn(terminal[waited], part, wait[waited], state.waits)
        kind, day, slot = self._clock(departure)
        state.today = departures.learn(
            terminal, kind, day, slot, state.departures, state.departures_today, *state.today, state.clock
        )
        turns.learn_gaps(terminal, departure, state.gap_from, state.gaps)
        stood = departure - state.wait_since[vehicle]
        seen = (state.wait_run[vehicle] == run) & (stood < PARKED_S)
        turns.judge(vehicle[seen], stood[seen], state.forecasts, state.turns)

    def forecast(self, state: TerminalState, city: CityState, v: Array, run: Array, at: float) -> Forecasts:
        """When vehicles that wait for these runs, without a plan, will leave; those that are parked left out."""
        fleet = city.fleet
        new = state.wait_run[v] != run
        came = fleet.gate_time[v]
        from_run = (fleet.gate_run[v] >= 0) & (fleet.gate_run[v] != run) & (at - came < WAITED_S)
        since = np.where(from_run, came, fleet.timestamp[v])
        state.wait_since[v[new]] = since[new]
        state.wait_run[v] = run
        state.forecasts[v[new]] = 0.0
        v, run = (of[at - state.wait_since[v] < PARKED_S] for of in (v, run))
        order = np.lexsort((city.runs.key[run], state.wait_since[v], self.of[fleet.pattern[v]]))
        v = v[order]
        terminal = self.of[fleet.pattern[v]]
        waited = np.maximum(at - state.wait_since[v], 0.0)
        part = np.full(len(v), PART_OF_HOUR[hour_of_week(int(at // 3600), self.timezone)])
        alone = at + np.maximum(self._left(state, terminal, part, waited, at), turns.SOON_S)
        place, turn = turns.in_turn(at, terminal, state.left_at, state.gaps, WAITED_S)
        return Forecasts(v, place, alone, turn, turns.combined(alone, turn, place, state.turns))

    def note(self, state: TerminalState, f: Forecasts) -> None:
        """Remember forecasts, to judge them when the buses have left."""
        since = state.wait_since[f.vehicle]
        turns.note(f.vehicle, f.alone - since, f.turn - since, f.place, state.forecasts)

    def learned(self, state: TerminalState) -> dict[str, Any]:
        """What outlasts the day, as a tree."""
        known = state.waits.any(axis=(1, 2)) | state.departures_today.any(axis=1) | state.departures.any(axis=(1, 2))
        return {
            "terminal": self.keys[known],
            **{name: getattr(state, name)[known] for name in _BY_TERMINAL},
            "today": np.array(state.today),
            "clock": state.clock,
            "turns": state.turns,
        }

    def begin(self, tree: dict[str, Any]) -> TerminalState:
        """A state that knows what `learned` says, of this or another feed of the city."""
        state = self.fresh()
        here = {key: row for row, key in enumerate(self.keys.tolist())}
        row = np.array([here.get(key, -1) for key in tree["terminal"].tolist()], dtype=np.int64)
        known, row = row >= 0, row[row >= 0]
        for name in _BY_TERMINAL:
            getattr(state, name)[row] = tree[name][known]
        state.today = (int(tree["today"][0]), int(tree["today"][1]))
        state.clock, state.turns = tree["clock"].copy(), tree["turns"].copy()
        return state

    def dump(self, state: TerminalState) -> dict[str, Any]:
        """The state as a tree."""
        now = {name: getattr(state, name) for name in (*_BY_VEHICLE, "gap_from", "left_at")}
        return {"learned": self.learned(state), **now}

    def load(self, tree: dict[str, Any], same_network: bool) -> TerminalState:
        """The state of `dump`'s tree; of another network, what it has learned."""
        state = self.begin(tree["learned"])
        if same_network:
            for name in (*_BY_VEHICLE, "gap_from", "left_at"):
                setattr(state, name, tree[name])
        return state

    def grow(self, state: TerminalState, n: int) -> None:
        """Make room for `n` vehicles."""
        for name, fill in _BY_VEHICLE.items():
            setattr(state, name, grown(getattr(state, name), n, fill))

    def renumber(self, state: TerminalState, run: Array, old: Array) -> None:
        """Runs got new numbers; vehicles too: `old` the former number of each."""
        for name in _BY_VEHICLE:
            setattr(state, name, getattr(state, name)[old])
        named = state.wait_run >= 0
        state.wait_run[named] = run[state.wait_run[named]]

    def warm_up(self) -> None:
        """Compile the kernels of waits, departures and turns."""
        state, none, nothing = self.fresh(), np.empty(0, dtype=np.int64), np.empty(0)
        self.hear(state, none, nothing)
        self.learn(state, none, none, none, nothing, nothing)
        self._left(state, none, none, nothing, 0.0)
        place, turn = turns.in_turn(0.0, none, state.left_at, state.gaps, WAITED_S)
        turns.combined(nothing, turn, place, state.turns)
        self.note(state, Forecasts.none())

    def _clock(self, at: Array) -> tuple[Array, Array, Array]:
        """Kind of day (0 weekday, 1 weekend), number of the day and slot of the day of POSIX times, local."""
        hour = hours_of_week(at, self.timezone)
        into = at - 3600.0 * np.floor(at / 3600.0) + 3600.0 * (hour % 24)
        # the number of the day is that of its noon, whatever the zone
        day = np.floor((at - into + 43_200.0) / 86_400.0).astype(np.int64)
        slot = np.minimum(into // departures.SLOT_S, departures.SLOTS - 1).astype(np.int64)
        return (hour >= 120).astype(np.int64), day, slot

    def _left(self, state: TerminalState, terminal: Array, part: Array, waited: Array, at: float) -> Array:
        """How much longer buses wait that have waited for so long: by waits seen there, and by the clock."""
        n = len(terminal)
        kind, _, slot = self._clock(np.full(n, at))
        odds = departures.odds(terminal, kind, slot, state.departures, state.clock)
        found: Array = waits.left(
            terminal, part, waited, state.waits, waits.network_waits(state.waits), at % departures.SLOT_S,
            departures.SLOT_S, odds,
        )  # fmt: skip
        return found


def terminal_keys(network: Network) -> Array:
    """A number per pattern that stays between feeds: of its route, direction and first stop."""
    ends = zip(
        network.pattern_route_ix.tolist(),
        network.pattern_direction.tolist(),
        network.pstop_stop_ix[network.pstop_start[:-1]].tolist(),
        strict=True,
    )
    texts = (f"{network.route_ids[r]}\0{d}\0{network.stop_ids[s]}" for r, d, s in ends)
    return np.array([key_of(t) for t in texts], dtype=np.uint64)
