"""The newest position of every vehicle: one row per vehicle, arrays to read without a loop."""

from typing import Any

import numpy as np

from streams.engine.names import Names, Numbers, grown
from streams.kernels.fleet import newest_yet, raise_to
from streams.messages import Columns

Array = np.ndarray

# trip_type as a small number; TIDES's words, in this order; -1 undecided
TRIP_TYPES = ("In service", "Layover", "Deadhead", "Pullout", "Pullin", "Other not in service")
IN_SERVICE, LAYOVER = 0, 1
_TRIP_TYPE = Numbers({name: i for i, name in enumerate(TRIP_TYPES)})

_COLUMNS: dict[str, tuple[Any, Any]] = {
    # name: (dtype, what "no news yet" looks like)
    "timestamp": (np.float64, np.nan),  # event time of the newest position
    "revision": (np.int64, -1),  # of that position
    "news": (np.float64, np.nan),  # record time of the last row of this vehicle
    "pattern": (np.int64, -1),
    "run": (np.int64, -1),
    "last_run": (np.int64, -1),  # the last one that any position was of; `run` is of the newest
    "last_time": (np.float64, np.nan),  # event time of that position
    "dist_m": (np.float64, np.nan),  # along the pattern's shape; NaN unless on route
    "trip_type": (np.int8, -1),  # place in TRIP_TYPES
    "off_route": (np.bool_, False),
    "gate_seq": (np.int64, -1),  # last gate passed on `gate_run`
    "gate_run": (np.int64, -1),
    "gate_time": (np.float64, np.nan),  # event time of that passing
}


class Fleet:
    """Vehicles of one network. A row is a vehicle; `names` numbers them; arrays may be longer than `len(fleet)`."""

    timestamp: Array
    revision: Array
    news: Array
    pattern: Array
    run: Array
    last_run: Array
    last_time: Array
    dist_m: Array
    trip_type: Array
    off_route: Array
    gate_seq: Array
    gate_run: Array
    gate_time: Array

    def __init__(self) -> None:
        self.names = Names()
        for name, (dtype, _) in _COLUMNS.items():
            setattr(self, name, np.empty(0, dtype=dtype))

    def __len__(self) -> int:
        return len(self.names)

    def intern(self, vehicle_ids: Any) -> Array:
        """The row (i8) of each vehicle; new ones get the next rows."""
        before = len(self.names)
        ix = self.names.intern(vehicle_ids)
        if len(self.names) > before:
            for name, (_, fill) in _COLUMNS.items():
                setattr(self, name, grown(getattr(self, name), len(self.names), fill))
        return ix

    def observe(self, record_time: Array, positions: Columns, vehicle: Array, run: Array, pattern: Array) -> Array:
        """Keep the newest position of each vehicle: the greatest (timestamp, revision), whatever the order.

        record_time, vehicle, run, pattern  beside the rows

        Returns which rows (bool) were the newest of their vehicle when they came.
        """
        # Where a vehicle has several rows the last one stays: numpy assigns in order.
        self.news[vehicle] = record_time
        newest: Array = newest_yet(
            vehicle, positions["timestamp"], positions["revision"], self.timestamp, self.revision
        )
        row = np.flatnonzero(newest)
        v = vehicle[row]
        self.dist_m[v] = positions["dist_m"][row]
        self.off_route[v] = positions["off_route"][row]
        self.run[v] = run[row]
        self.pattern[v] = pattern[row]
        self.trip_type[v] = _TRIP_TYPE.of(positions["trip_type"][row], self.trip_type[v])
        on = np.flatnonzero(run >= 0)
        row = on[raise_to(self.last_time, vehicle[on], positions["timestamp"][on])]
        self.last_run[vehicle[row]] = run[row]
        return newest

    def passed(self, passings: Columns, vehicle: Array, run: Array) -> None:
        """Remember the last gate that each vehicle passed on the run it is on."""
        seen = np.isfinite(passings["arrival_time"]) & ~passings["withdrawn"]
        at = np.flatnonzero(seen)
        if not len(at):
            return
        row = at[raise_to(self.gate_time, vehicle[at], passings["arrival_time"][at])]
        v = vehicle[row]
        self.gate_seq[v] = passings["gate_seq"][row]
        self.gate_run[v] = run[row]

    def in_service(self, at: float, silent_s: float) -> Array:
        """Rows of the vehicles in service that were heard of within `silent_s` of record time `at`."""
        n = len(self)
        return np.flatnonzero(
            (self.trip_type[:n] == IN_SERVICE) & (self.pattern[:n] >= 0) & (at - self.news[:n] < silent_s)
        )

    def keep(self, used: Array) -> tuple["Fleet", Array]:
        """A fleet of the used rows only, and the new row of each old one (-1: forgotten)."""
        kept = np.flatnonzero(used)
        out = Fleet()
        out.names = Names(self.names.of(kept))
        for name in _COLUMNS:
            setattr(out, name, getattr(self, name)[kept].copy())
        number = np.full(len(self), -1, dtype=np.int64)
        number[kept] = np.arange(len(kept))
        return out, number

    def renumber_runs(self, run: Array) -> None:
        """Runs get new numbers: `run[old]`."""
        n = len(self)
        for column in (self.run, self.last_run, self.gate_run):
            known = column[:n] >= 0
            column[:n][known] = run[column[:n][known]]

    def dump(self) -> dict[str, Any]:
        """The fleet as a tree."""
        n = len(self)
        return {"ids": self.names.to_list(), **{name: getattr(self, name)[:n] for name in _COLUMNS}}

    @classmethod
    def load(cls, tree: dict[str, Any]) -> "Fleet":
        """The fleet of `dump`'s tree."""
        out = cls()
        out.intern(tree["ids"])
        for name in _COLUMNS:
            getattr(out, name)[: len(out)] = tree[name]
        return out
