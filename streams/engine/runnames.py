"""Text that rows repeat: `trip_id_performed`, service date, start time, cells; most of it from memory."""

from collections.abc import Callable
from datetime import date

import numpy as np

from streams.engine.names import Names, grown

Array = np.ndarray

MOST_CELLS = 500_000  # before they are forgotten
LONGEST_S = 200_000  # seconds of a service day that a run may begin at: past two midnights


class RunNames:
    """Ids of the run that each vehicle was on last: most rows ask for the same one again."""

    def __init__(self) -> None:
        self._key: Array = np.empty(0, dtype=np.int64)
        self._name: Array = np.empty(0, dtype=object)

    def of(self, vehicles: Names, vehicle: Array, day: Array, number: Array) -> Array:
        """`<service_date>:<vehicle_id>:<number>` of each row; None where `number` is negative."""
        self._key = grown(self._key, len(vehicles), -1)
        self._name = grown(self._name, len(vehicles), None)
        key = day << 20 | number
        out: Array = self._name[vehicle]
        for row in np.flatnonzero((key != self._key[vehicle]) & (number >= 0)).tolist():
            v = int(vehicle[row])
            if self._key[v] != key[row]:
                self._key[v] = key[row]
                self._name[v] = f"{iso_date(int(day[row]))}:{vehicles.name(v)}:{number[row]}"
            out[row] = self._name[v]
        out[number < 0] = None
        return out


class Words:
    """Text for small whole numbers, made once each; None for negative ones."""

    def __init__(self, word: Callable[[int], str], first: int, last: int) -> None:
        self._word = word
        self._first = first
        self._known: Array = np.full(last - first + 2, None, dtype=object)  # the last place stays None
        self._made: Array = np.zeros(last - first + 2, dtype=np.bool_)
        self._made[-1] = True

    def of(self, numbers: Array) -> Array:
        """The text for each number."""
        place = np.where(numbers >= 0, np.clip(numbers - self._first, 0, len(self._known) - 2), -1)
        unknown = ~self._made[place]
        if unknown.any():
            for at in np.unique(place[unknown]).tolist():
                self._known[at] = self._word(at + self._first)
                self._made[at] = True
        found: Array = self._known[place]
        return found


class CellNames(dict[int, str]):
    """H3 cells as text, remembered."""

    def __missing__(self, cell: int) -> str:
        """The text of a cell that was not asked for before."""
        if len(self) > MOST_CELLS:
            self.clear()
        name = self[cell] = format(cell, "x")
        return name


def iso_date(ordinal: int) -> str:
    """YYYY-MM-DD of a proleptic ordinal."""
    return date.fromordinal(ordinal).isoformat()


def clock(second: int) -> str:
    """HH:MM:SS of a second of the service day; past 24:00:00 it goes on counting."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def dates() -> Words:
    """Service dates from the year 2000 on."""
    return Words(iso_date, date(2000, 1, 1).toordinal(), date(2200, 1, 1).toordinal())


def clocks() -> Words:
    """Times of a service day."""
    return Words(clock, 0, LONGEST_S)
