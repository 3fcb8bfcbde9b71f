"""Ids and their numbers: strings are turned into array positions once, on their way into the city."""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np

Array = np.ndarray


class Names:
    """Numbers ids in the order in which they are first seen. -1 is None.

    The numbers depend on what was seen first, so nothing that is published may be ordered by them.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ix: dict[str | None, int] = {None: -1}
        self._ids: Array = np.full(64, None, dtype=object)
        self._count = 0
        for name in ids:
            self._add(name)

    def __len__(self) -> int:
        return self._count

    def intern(self, ids: Any, likely: Array | None = None) -> Array:
        """The number (i8) of each id; new ids get the next ones.

        likely  numbers that most of the ids probably have: to compare is quicker than to look up
        """
        if likely is not None:
            return _corrected(likely, self._ids, ids, self.intern)
        try:
            return _looked_up(self._ix, ids)
        except KeyError:
            for name in ids:
                if name not in self._ix:
                    self._add(name)
            return _looked_up(self._ix, ids)

    def find(self, name: str | None) -> int:
        """The number of an id, -1 when it has none."""
        return self._ix.get(name, -1)

    def of(self, ix: Array) -> Array:
        """The ids of these numbers as an object array; None for -1."""
        found: Array = self._ids[ix]  # the last place is never taken, so that -1 finds None
        return found

    def name(self, ix: int) -> str | None:
        """The id of one number; None for -1."""
        found: str | None = self._ids[ix]
        return found

    def to_list(self) -> list[str]:
        """All ids in the order of their numbers."""
        ids: list[str] = self._ids[: self._count].tolist()
        return ids

    def _add(self, name: str) -> None:
        if self._count + 1 >= len(self._ids):
            self._ids = np.concatenate([self._ids, np.full(len(self._ids), None, dtype=object)])
        self._ids[self._count] = name
        self._ix[name] = self._count
        self._count += 1


class Numbers(dict[Any, int]):
    """A table of ids that finds -1 for what is not in it."""

    def __init__(self, table: Mapping[str, int]) -> None:
        super().__init__(table)
        self._ids: Array = np.full(max(table.values(), default=-1) + 2, None, dtype=object)  # -1 finds None
        self._ids[list(table.values())] = list(table)
        self[None] = -1  # the commonest of them, found without `__missing__`

    def __missing__(self, name: Any) -> int:
        return -1

    def of(self, ids: Any, likely: Array | None = None) -> Array:
        """The number (i8) of each id, -1 for unknown ones and None; `likely` as in `Names.intern`."""
        if likely is not None:
            return _corrected(likely, self._ids, ids, self.of)
        return _looked_up(self, ids)


def _looked_up(table: Mapping[Any, int], ids: Any) -> Array:
    names = ids.tolist() if isinstance(ids, np.ndarray) else ids
    if len(names) < 2:  # `itemgetter` of a single key gives no tuple
        return np.array([table[name] for name in names], dtype=np.int64)
    # by far the quickest way through a dictionary
    return np.fromiter(itemgetter(*names)(table), dtype=np.int64, count=len(names))


def _corrected(likely: Array, names: Array, ids: Array, look_up: Callable[[Array], Array]) -> Array:
    numbers = likely.astype(np.int64)
    wrong = (names[numbers] != ids).nonzero()[0]
    if len(wrong):
        numbers[wrong] = look_up(ids[wrong])
    return numbers


def grown(array: Array, size: int, fill: Any) -> Array:
    """The array with room for `size` rows at least; new rows hold `fill`. Grows by doubling."""
    have = len(array)
    if size <= have:
        return array
    more = np.full((max(size, 2 * have, 64) - have, *array.shape[1:]), fill, dtype=array.dtype)
    return np.concatenate([array, more])
