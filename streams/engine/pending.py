"""Open facts on their way to be closed: upserted by identity, withdrawn, taken when their vehicle's watermark passes.

Rows are only collected while records come in, and sorted out once per grid point, on whole arrays. What is taken
does not depend on how often that happens: a fact is final from the moment `closed.until` reaches its
`determined_at`, and one that comes again after that is a repeat.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.engine.names import grown
from streams.kernels.fleet import raise_to

Array = np.ndarray
Rows = dict[str, Array]

# Every other column is i8, `withdrawn` bool: also where there are no rows, for kernels are compiled for types.
_REAL = ("determined_at", "entered_at", "arrival", "departure", "metres", "seconds")


class Pending:
    """Facts of one kind. `identity` names the integer columns that tell one fact from another.

    Every column is i8 or f8 (`withdrawn` bool); "vehicle", "determined_at", "revision" and "withdrawn" are always
    there.
    """

    def __init__(self, identity: Sequence[str], columns: Sequence[str]) -> None:
        self.identity = tuple(identity)
        self.columns = tuple(columns)
        self._rows: list[Rows] = []
        self._until = np.empty(0)  # per vehicle: everything determined up to here has been taken
        self._reached = np.empty(0)  # per vehicle: newest `closed.until`

    def __len__(self) -> int:
        return sum(len(part["vehicle"]) for part in self._rows)

    def observe(self, rows: Rows) -> None:
        """Note facts, in the order in which they came."""
        if len(rows["vehicle"]):
            self._rows.append({name: rows[name] for name in self.columns})

    def close(self, vehicle: Array, until: Array) -> None:
        """Note watermarks: everything of the vehicle that was determined at or before `until` is final."""
        if len(vehicle):
            self._grow(int(vehicle.max()) + 1)
            raise_to(self._reached, vehicle, until)

    def take(self) -> Rows:
        """Remove and return the facts that have become final, withdrawn ones left out; in order of identity."""
        rows = self._joined()
        vehicle = rows["vehicle"]
        if len(vehicle):
            self._grow(int(vehicle.max()) + 1)
            order = np.lexsort((rows["revision"], *(rows[name] for name in reversed(self.identity))))
            same = np.ones(len(order) - 1, dtype=np.bool_)
            for name in self.identity:
                same &= rows[name][order][1:] == rows[name][order][:-1]
            last = order[np.append(~same, True)]
            rows = {name: values[last] for name, values in rows.items()}
            vehicle = rows["vehicle"]
        final = rows["determined_at"] <= self._reached[vehicle]
        # Only now: what was taken and is told again also takes back what was told of it in between.
        fresh = rows["determined_at"] > self._until[vehicle]
        self._rows = [{name: values[~final] for name, values in rows.items()}]
        self._until = self._reached.copy()
        taken = final & fresh & ~rows["withdrawn"]
        return {name: values[taken] for name, values in rows.items()}

    def column(self, name: str) -> Array:
        """One column of the open facts, repeats and all."""
        return self._joined()[name]

    def renumber(self, vehicle: Array, run: Array) -> None:
        """Vehicles and runs got new numbers; facts and watermarks of forgotten vehicles go."""
        rows = self._joined()
        kept = vehicle[rows["vehicle"]] >= 0
        rows = {name: values[kept] for name, values in rows.items()}
        rows["vehicle"] = vehicle[rows["vehicle"]]
        if "run" in rows:
            known = rows["run"] >= 0
            rows["run"][known] = run[rows["run"][known]]
        self._rows = [rows]
        n = min(len(vehicle), len(self._until))
        used = vehicle[:n] >= 0
        size = int(vehicle.max(initial=-1)) + 1
        for name in ("_until", "_reached"):
            new = np.full(size, -np.inf)
            new[vehicle[:n][used]] = getattr(self, name)[:n][used]
            setattr(self, name, new)

    def dump(self) -> dict[str, Any]:
        """The facts and watermarks as a tree."""
        return {"rows": self._joined(), "until": self._until, "reached": self._reached}

    def restore(self, tree: dict[str, Any]) -> None:
        """Take on the facts and watermarks of `dump`'s tree."""
        self._rows = [tree["rows"]]
        self._until, self._reached = tree["until"], tree["reached"]

    def drop(self) -> None:
        """Forget the facts, keep the watermarks: they belong to another network."""
        self._rows = []

    def _grow(self, size: int) -> None:
        self._until = grown(self._until, size, -np.inf)
        self._reached = grown(self._reached, size, -np.inf)

    def _joined(self) -> Rows:
        if not self._rows:
            return {
                name: np.empty(0, np.bool_ if name == "withdrawn" else np.float64 if name in _REAL else np.int64)
                for name in self.columns
            }
        if len(self._rows) == 1:
            return dict(self._rows[0])
        return {name: np.concatenate([part[name] for part in self._rows]) for name in self.columns}
