"""Episodes of one kind of alert: told once they have lasted and been measured twice, told anew, resolved.

A sighting is *firm* beyond the limit that raises the alert, or *soft* within a margin that only keeps it up; so a
figure that hovers around its limit does not flap. A single measurement raises nothing however long it stands: one bad
passing is no alert. An episode that another vehicle takes over (buses behind a gap overtake each other) goes on.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

UPDATE_EVERY_S = 60.0  # a change is told at the most this often
NEWS = 0.25  # a headway that differs by so much from the one told is a change

_COLUMNS: dict[str, tuple[Any, Any]] = {
    "key": (np.int64, -1),  # of the subject; ascending
    "since": (np.float64, np.nan),  # record time of the first firm sighting
    "clear_since": (np.float64, np.nan),  # NaN while it is sighted
    "revision": (np.int64, -1),  # -1: not told yet
    "told_at": (np.float64, np.nan),
    "evidence": (np.float64, np.nan),  # when what was sighted first was measured
    "value": (np.float64, np.nan),  # as told last
    "stop": (np.int64, -1),
    "vehicle": (np.int64, -1),
    "other": (np.int64, -1),  # as sighted last
}
_VEHICLES = ("vehicle", "other")


@dataclass(slots=True)
class Sightings:
    """Conditions that hold at this moment, one row each.

    key        i8 numbers that make it the same condition from one moment to the next
    firm       bool
    pattern, stop  i8 place (pattern and stop of the network), -1 none
    vehicle, other  i8 rows of the fleet: who it is about, and the vehicle ahead; -1 none
    value      f8 headway_s, or the record time of what it was seen by
    target     f8 what headway_s should be
    measured   f8 event time of the newest measurement behind it
    """

    key: Array
    firm: Array
    pattern: Array
    stop: Array
    vehicle: Array
    other: Array
    value: Array
    target: Array
    measured: Array

    @classmethod
    def of(cls, key: Array, firm: Array | None = None, **columns: Array) -> "Sightings":
        """Sightings of which only some columns say something."""
        n = len(key)
        numbers = {"pattern": -1, "stop": -1, "vehicle": -1, "other": -1}
        given: dict[str, Array] = {name: np.full(n, fill, dtype=np.int64) for name, fill in numbers.items()}
        given |= {name: np.full(n, np.nan) for name in ("value", "target", "measured")}
        return cls(key.astype(np.int64), np.ones(n, dtype=np.bool_) if firm is None else firm, **(given | columns))

    def __len__(self) -> int:
        return len(self.key)

    def take(self, rows: Array) -> "Sightings":
        """The chosen rows."""
        return Sightings(*(getattr(self, name)[rows] for name in self.__slots__))

    def last_of(self, owner: Array) -> "Sightings":
        """Of the rows of one owner only the last, by key."""
        _, back = np.unique(owner[::-1], return_index=True)
        rows = len(owner) - 1 - back
        return self.take(rows[np.argsort(self.key[rows], kind="stable")])


class Verdict(NamedTuple):
    """What is to be told: rows of the episodes, and of the sightings behind them."""

    tell: Array  # raised or changed
    seen: Array  # the sighting of each of these
    resolved: Array
    standing: Array  # told before, unchanged


class Episodes:
    """One row per episode, in order of keys."""

    key: Array
    since: Array
    clear_since: Array
    revision: Array
    told_at: Array
    evidence: Array
    value: Array
    stop: Array
    vehicle: Array
    other: Array

    def __init__(self) -> None:
        for name, (dtype, _) in _COLUMNS.items():
            setattr(self, name, np.empty(0, dtype=dtype))
        self.row: Array = np.empty(0, dtype=object)  # as told last; None: not yet

    def __len__(self) -> int:
        return len(self.key)

    def judge(self, s: Sightings, at: float, after_s: float, confirm: bool, hand_over: bool) -> Verdict:
        """Take in the sightings of a moment (one per key, ascending) and say what is to be told.

        after_s    how long a condition must last to be told, and must be gone to be resolved
        confirm    it must be measured again before it is told
        hand_over  a told episode that is not sighted goes on as the sighting of the same `other` that is not told
        """
        if hand_over:
            self._hand_over(s)
        self._begin(s, at)
        seen = self._sighting_of(s)
        told, sighted = self.revision >= 0, seen >= 0
        firm = sighted & s.firm[seen] if len(s) else sighted
        self._keep(told | firm)
        if len(self) != len(told):
            seen = self._sighting_of(s)
            told, sighted = self.revision >= 0, seen >= 0
        if sighted.any():
            self.other[sighted] = s.other[seen[sighted]]
        self.clear_since[sighted] = np.nan
        lost = told & ~sighted
        self.clear_since[lost & np.isnan(self.clear_since)] = at
        resolved = lost & (at - self.clear_since >= after_s)
        tell = ~told & (at - self.since >= after_s)
        changed = np.zeros(len(self), dtype=np.bool_)
        if len(s):
            if confirm:
                tell &= s.measured[seen] > self.evidence
            changed = told & sighted & (at - self.told_at >= UPDATE_EVERY_S)
            other = np.abs(s.value[seen] - self.value) >= NEWS * self.value  # never of times
            changed &= other | (self.stop != s.stop[seen]) | (self.vehicle != s.vehicle[seen])
        tell |= changed
        rows = np.flatnonzero(tell)
        self.revision[rows] += 1
        self.told_at[rows] = at
        if len(rows):
            self.stop[rows], self.vehicle[rows] = s.stop[seen[rows]], s.vehicle[seen[rows]]
            self.value[rows] = s.value[seen[rows]]
        return Verdict(rows, seen[rows], np.flatnonzero(resolved), np.flatnonzero(told & ~resolved & ~tell))

    def end(self, rows: Array) -> None:
        """These episodes are over."""
        kept = np.ones(len(self), dtype=np.bool_)
        kept[rows] = False
        self._keep(kept)

    def renumber(self, keys: Array, vehicle: Array) -> None:
        """Subjects and vehicles get new numbers; -1: forgotten."""
        number = np.append(vehicle, -1)
        self.key = keys
        for name in _VEHICLES:
            setattr(self, name, number[getattr(self, name)])
        self._keep(keys >= 0)
        self._sort()

    def dump(self) -> dict[str, Any]:
        """As a tree."""
        return {**{name: getattr(self, name) for name in _COLUMNS}, "row": self.row.tolist()}

    @classmethod
    def load(cls, tree: dict[str, Any]) -> "Episodes":
        """The episodes of `dump`'s tree."""
        out = cls()
        for name in _COLUMNS:
            setattr(out, name, tree[name])
        out.row = np.empty(len(out), dtype=object)
        out.row[:] = [None if row is None else dict(row) for row in tree["row"]]
        return out

    # --- inside

    def _sighting_of(self, s: Sightings) -> Array:
        """The sighting (i8) of each episode, -1 where there is none."""
        at = np.searchsorted(s.key, self.key)
        found = at < len(s)
        found[found] = s.key[at[found]] == self.key[found]
        return np.where(found, at, -1)

    def _begin(self, s: Sightings, at: float) -> None:
        """Firm sightings of new subjects are episodes from now on."""
        place = np.searchsorted(self.key, s.key)
        known = place < len(self)
        known[known] = self.key[place[known]] == s.key[known]
        new = np.flatnonzero(s.firm & ~known)
        if not len(new):
            return
        for name, (dtype, fill) in _COLUMNS.items():
            setattr(self, name, np.append(getattr(self, name), np.full(len(new), fill, dtype=dtype)))
        self.row = np.append(self.row, np.full(len(new), None, dtype=object))
        self.key[-len(new) :] = s.key[new]
        self.since[-len(new) :] = at
        self.evidence[-len(new) :] = s.measured[new]
        self._sort()

    def _hand_over(self, s: Sightings) -> None:
        seen = self._sighting_of(s)
        lone = np.flatnonzero((self.revision >= 0) & (seen < 0) & (self.other >= 0))
        if not len(lone) or not len(s):
            return
        told = np.isin(s.key, self.key[self.revision >= 0])
        free = np.flatnonzero(s.firm & ~told)
        _, first = np.unique(self.other[lone], return_index=True)
        lone = lone[first]
        place = np.searchsorted(self.other[lone], s.other[free])
        fits = place < len(lone)
        fits[fits] = self.other[lone[place[fits]]] == s.other[free[fits]]
        free, place = free[fits], place[fits]
        _, first = np.unique(place, return_index=True)
        free, lone = free[first], lone[place[first]]
        if not len(lone):
            return
        kept = ~((self.revision < 0) & np.isin(self.key, s.key[free]))  # what had begun for the successor on its own
        self.key[lone] = s.key[free]
        self._keep(kept)
        self._sort()

    def _keep(self, kept: Array) -> None:
        if kept.all():
            return
        for name in (*_COLUMNS, "row"):
            setattr(self, name, getattr(self, name)[kept])

    def _sort(self) -> None:
        order = np.argsort(self.key, kind="stable")
        for name in (*_COLUMNS, "row"):
            setattr(self, name, getattr(self, name)[order])
