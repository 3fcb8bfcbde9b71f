"""When the source was silent: stretches of event time in which nearly no vehicle was heard of.

A recording that comes in bursts, or a feed that was down for an hour, says nothing of who passed in between: across
such a hole nobody knows a headway. A minute is quiet when fewer than one in twenty vehicles of the last hour's busiest
minute were heard in it; a bus that sends through the hole does not fill it, nor does the end of service make one. Where
only a few buses run, that all of them are silent says nothing. The answer depends on what was heard and not on the
order in which it came.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from streams.engine.names import grown
from streams.kernels import fleet as kernels

Array = np.ndarray

MINUTES = 1536  # remembered: a day and an hour
BUSY_MINUTES = 60  # a minute is quiet beside the busiest one of so many before it
QUIET_SHARE = 0.05
KEPT_S = 172_800.0  # of holes that ended; longer than the minutes are remembered, or they would be found again
FEW = 5  # vehicles in the busiest minute, of which silence is no wonder


class Heard:
    """How many vehicles were heard of in each minute, and the holes that this leaves."""

    def __init__(self) -> None:
        self.newest: Array = np.empty(0, dtype=np.int64)  # by vehicle, see kernels.hear
        self.mask: Array = np.empty(0, dtype=np.uint64)
        self.minute: Array = np.full(MINUTES, -1, dtype=np.int64)
        self.count: Array = np.zeros(MINUTES, dtype=np.int64)

    def observe(self, vehicle: Array, timestamp: Array, record: Array, vehicles: int) -> Iterator[int]:
        """Note positions (event times) of vehicles; each record (ascending) after which the holes may be others."""
        self.newest = grown(self.newest, vehicles, -1)
        self.mask = grown(self.mask, vehicles, 0)
        minute = np.floor(timestamp / 60.0).astype(np.int64)
        row = 0
        while row < len(vehicle):
            row, changed = kernels.hear(row, vehicle, minute, record, self.newest, self.mask, self.minute, self.count)
            if changed:
                yield int(record[row - 1])

    def holes(self, hole_s: float, known: Array) -> Array:
        """Begin and end (POSIX seconds) of every quiet stretch of `hole_s` or longer: (m, 2) f8, in order.

        The newest minute is not judged yet; of those no longer remembered the holes already `known` stay.
        """
        held = np.flatnonzero(self.minute >= 0)
        if not len(held):
            return known
        first, last = int(self.minute[held].min()), int(self.minute[held].max())
        first = max(first, last - MINUTES + 1)
        known = known[known[:, 0] < 60.0 * first]
        count = np.zeros(last - first + 1, dtype=np.int64)
        kept = held[self.minute[held] >= first]
        count[self.minute[kept] - first] = self.count[kept]
        before = np.concatenate([np.zeros(BUSY_MINUTES - 1, dtype=np.int64), count])
        busiest = np.lib.stride_tricks.sliding_window_view(before, BUSY_MINUTES).max(axis=1)
        quiet = (count < QUIET_SHARE * busiest) & (busiest >= FEW)
        decided = (count > 0) | (
            busiest >= FEW
        )  # nothing for an hour goes on as it began; the first minute has something
        quiet = quiet[np.maximum.accumulate(np.where(decided, np.arange(len(count)), 0))]
        quiet[-1] = False
        edge = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
        holes = 60.0 * (first + edge.reshape(-1, 2))
        new = (holes[:, 1] - holes[:, 0] >= hole_s) & (holes[:, 0] >= known[:, 1].max(initial=0.0))
        return np.concatenate([known, holes[new]])

    def recent(self, holes: Array, at: float) -> Array:
        """Of `holes` those that ended less than two days before record time `at` and before the newest minute heard."""
        if not len(holes):
            return holes
        return holes[holes[:, 1] >= min(at, 60.0 * int(self.minute.max())) - KEPT_S]

    def renumber(self, vehicle: Array) -> None:
        """Vehicles get new numbers: `vehicle[old]`; -1: forgotten."""
        old = np.flatnonzero(vehicle[: len(self.newest)] >= 0)
        size = int(vehicle.max(initial=-1)) + 1
        newest, mask = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.uint64)
        newest[vehicle[old]], mask[vehicle[old]] = self.newest[old], self.mask[old]
        self.newest, self.mask = newest, mask

    def dump(self) -> dict[str, Any]:
        """As a tree: only the minutes that hold something."""
        held = np.flatnonzero(self.minute >= 0)
        return {
            "newest": self.newest,
            "mask": self.mask,
            "minute": self.minute[held],
            "count": self.count[held].astype(np.int32),
        }

    @classmethod
    def load(cls, tree: dict[str, Any]) -> "Heard":
        """What `dump` made a tree of."""
        out = cls()
        out.newest, out.mask = tree["newest"], tree["mask"]
        place = tree["minute"] % MINUTES
        out.minute[place], out.count[place] = tree["minute"], tree["count"]
        return out


def crossed(holes: Array, since: Array, until: Array, hole_s: float) -> Array:
    """Whether `hole_s` or more of a hole lies between `since` and `until` (bool)."""
    out = np.zeros(len(since), dtype=np.bool_)
    for begin, end in holes:
        out |= np.minimum(until, end) - np.maximum(since, begin) >= hole_s
    return out
