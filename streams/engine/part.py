"""What the city asks of its parts (headways, congestion, arrivals, indicators, alerts), and what it hands them.

The city takes `positions` records in order. It turns the ids of some of them into numbers at once (`Facts`), lets every
part observe them, and on a grid of record time, between two records, asks every part for its statements. A part object
is immutable (network, settings, tables made of them); what it remembers is its state, which stands in `CityState.parts`
under the part's name, so that parts may read each other's. The order in which parts observe and speak is
`city.parts_of`. Numbers are rounded to wire precision before they leave. Nothing published may depend on the numbers
that vehicles and runs happen to have, nor on how many records are observed at once: what a part does with a row
depends on the rows before it, and where it asks for the record of a row, on whole records before that one.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from streams.engine.fleet import Fleet
from streams.engine.runs import Runs
from streams.messages import Columns

Array = np.ndarray
CityOutput = dict[str, Columns]  # by name of the topic
Observed = dict[str, tuple[Columns, Array]]  # by name of the topic: rows, and the record of each (ascending)


@dataclass(slots=True)
class Facts:
    """Some `positions` records: their columns one behind the other, beside them the numbers of their ids, row by row.

    Vehicles are rows of `CityState.fleet`, runs rows of `CityState.runs`. Patterns are resolved by `pattern_id`, so
    they are right under another network's records too, and so is `passing_gate`; `gate_ix` and `cell_ix` in the columns
    are only right when `same_network`.
    """

    record_times: Array  # f8, of every record, ascending; a `_record` is a place in it
    same_network: bool
    positions: Columns
    passings: Columns
    traversals: Columns
    closed: Columns
    position_record: Array  # i8, ascending
    position_vehicle: Array  # i8
    position_run: Array  # i8, -1 none
    position_pattern: Array  # i8, -1 none
    position_newest: Array  # bool, the newest one of its vehicle when it came
    passing_record: Array
    passing_vehicle: Array
    passing_run: Array
    passing_pattern: Array
    passing_gate: Array  # i8, row of the network's pgate_ arrays; -1 unknown here: leave the row out
    traversal_vehicle: Array
    traversal_run: Array
    closed_vehicle: Array


@dataclass(slots=True)
class CityState:
    """Everything the city remembers of one network."""

    fleet: Fleet
    runs: Runs
    parts: dict[str, Any]
    record_time: float = float("nan")  # newest seen
    started_at: float = float("nan")  # record time of the first record
    next_grid: float = float("nan")  # record time of the next statements
    counts: dict[str, int] = field(default_factory=dict)  # for metrics: rows used, rows skipped and why

    def count(self, name: str, rows: int = 1) -> None:
        """Add to a counter."""
        if rows:
            self.counts[name] = self.counts.get(name, 0) + rows


class Part(Protocol):
    """One noun of the city. Implementations: headways, congestion, arrivals, indicators, alerts."""

    name: str

    def fresh(self) -> Any:
        """An empty state."""

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Take in some records (fleet and runs already know them all); returns the facts to publish at once."""

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """What is to be said at grid time `at` (record time, before any record of `at` or later is observed).

        `restate`: say everything current, also what has not changed.
        """

    def dump(self, state: Any) -> Any:
        """The state as a tree for `state.pack`."""

    def load(self, tree: Any, same_network: bool) -> Any:
        """The state of `dump`'s tree. `same_network` false: keep what can be told by ids, start the rest afresh."""

    def runs_in_use(self, state: Any) -> Array:
        """Numbers of the runs that the state refers to (any order, repeats allowed)."""

    def renumber(self, state: Any, run: Array, vehicle: Array) -> None:
        """Runs and vehicles get new numbers: `run[old]`, `vehicle[old]`; -1: forgotten. Change the state in place."""

    def warm_up(self) -> None:
        """Compile the part's kernels."""


@runtime_checkable
class Learner(Part, Protocol):
    """A part that knows the city better from day to day. Implementations: congestion, arrivals."""

    def learned(self, state: Any) -> Any:
        """What outlasts the day, as a tree for `state.pack`; things of the network by ids that other feeds share."""

    def begin(self, tree: Any) -> Any:
        """A state that knows what `learned`'s tree says, of this network or another one of the city."""
