"""The runs (performed trips) that the city knows: `trip_id_performed` and what does not change during a run."""

from collections.abc import Iterable
from datetime import date
from hashlib import blake2b
from typing import Any

import numpy as np

from streams.engine.names import Names, Numbers, grown

Array = np.ndarray


class Runs:
    """One row per run: vehicle, pattern, scheduled trip, service day and a key that does not depend on arrival order.

    What is known of a run when it is first seen stays; only what was unknown is filled in later.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.vehicle: Array = np.empty(0, dtype=np.int64)  # row of the fleet
        self.pattern: Array = np.empty(0, dtype=np.int64)  # -1 unknown in this network
        self.trip: Array = np.empty(0, dtype=np.int64)  # trip_ix of the network, -1 unknown
        self.day: Array = np.empty(0, dtype=np.int64)  # service date, proleptic ordinal; 0 unknown
        self.key: Array = np.empty(0, dtype=np.uint64)  # of the id's bytes: settles ties by content
        self.lacking: Array = np.zeros(1, dtype=np.bool_)  # of something; the last place, which -1 finds, never is

    def __len__(self) -> int:
        return len(self.names)

    def observe(
        self,
        ids: Any,
        vehicle: Array,
        pattern: Array,
        trip_ids: Array,
        trips: Numbers,
        likely: Array | None = None,
        turn: Array | None = None,
    ) -> Array:
        """The row (i8) of each run id, -1 for None; a new one is noted with what stands beside it.

        vehicle, pattern  numbers;  trip_ids  of the feed, numbered by `trips` where the run's is not known yet
        likely  the run that each row is probably of (`Names.intern`)
        turn    (i8) which row comes before which, where that is not their order here
        """
        before = len(self.names)
        ix = self.names.intern(ids, likely)
        if len(self.names) > before:
            self._note(before)
        lacking = self.lacking[ix].nonzero()[0]
        if len(lacking):
            if turn is not None:
                lacking = lacking[np.argsort(turn[lacking], kind="stable")]
            self._fill(ix[lacking], vehicle[lacking], pattern[lacking], trip_ids[lacking], trips)
        return ix

    def keep(self, used: Array) -> tuple["Runs", Array]:
        """A table of the used runs only, and the new number of each old one (-1: forgotten)."""
        kept = np.flatnonzero(used)
        out = Runs()
        out.names = Names(self.names.of(kept))
        n = len(kept)
        for name in _COLUMNS:
            setattr(out, name, getattr(self, name)[kept][:n].copy())
        out.lacking = np.append(self.lacking[kept], False)
        number = np.full(len(self), -1, dtype=np.int64)
        number[kept] = np.arange(n)
        return out, number

    def dump(self) -> dict[str, Any]:
        """The table as a tree."""
        n = len(self)
        return {
            "ids": self.names.to_list(),
            **{name: getattr(self, name)[:n] for name in ("vehicle", "pattern", "trip")},
        }

    @classmethod
    def load(cls, tree: dict[str, Any]) -> "Runs":
        """The table of `dump`'s tree."""
        out = cls()
        out.names = Names(tree["ids"])
        out._note(0)
        for name in ("vehicle", "pattern", "trip"):
            getattr(out, name)[: len(out)] = tree[name]
        return out

    def carry_over(self, pattern: Array) -> None:
        """Go on in another network: `pattern` has the new number of each old one; trips come with the next facts."""
        self.pattern = pattern[self.pattern]
        self.trip[:] = -1
        self.lacking[: len(self)] = True

    def _fill(self, ix: Array, vehicle: Array, pattern: Array, trip_ids: Array, trips: Numbers) -> None:
        """Note what is not known yet of these runs; the first row wins."""
        for column, values in ((self.vehicle, vehicle), (self.pattern, pattern)):
            unknown = np.flatnonzero(column[ix] < 0)[::-1]
            column[ix[unknown]] = values[unknown]
        unknown = np.flatnonzero(self.trip[ix] < 0)[::-1]
        if len(unknown):
            found = trips.of(trip_ids[unknown])
            self.trip[ix[unknown][found >= 0]] = found[found >= 0]
        self.lacking[ix] = (self.vehicle[ix] < 0) | (self.pattern[ix] < 0) | (self.trip[ix] < 0)

    def _note(self, start: int) -> None:
        n = len(self.names)
        for name in _COLUMNS:
            setattr(self, name, grown(getattr(self, name), n, 0 if name in ("day", "key") else -1))
        self.lacking = grown(self.lacking, n + 1, False)
        self.lacking[start:n] = True
        ids = self.names.of(np.arange(start, n))
        self.day[start:n] = service_days(ids)
        self.key[start:n] = [int.from_bytes(blake2b(v.encode(), digest_size=8).digest(), "little") for v in ids]


_COLUMNS = ("vehicle", "pattern", "trip", "day", "key")


def service_days(ids: Iterable[str]) -> list[int]:
    """Service date (proleptic ordinal) that `<service_date>:<vehicle_id>:<n>` begins with; 0 where it does not."""
    heads = [v[:10] for v in ids]
    memo: dict[str, int] = {}
    for text in set(heads):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            memo[text] = 0
        else:
            memo[text] = day.toordinal() if 1970 <= day.year <= 2100 else 0
    return [memo[text] for text in heads]
