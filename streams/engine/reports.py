"""What vehicles say of themselves: route, direction, trip, occupancy, label. Each distinct saying has a number."""

from hashlib import blake2b
from typing import Any

import numpy as np
import orjson

from streams.engine.names import grown
from streams.gtfs.network import Network
from streams.messages import PING, Columns, Kind

Array = np.ndarray

FIELDS = ("route_id", "direction_id", "trip_id", "start_date", "start_time", "occupancy_status", "label")
Saying = tuple[Any, ...]


class Reports:
    """Sayings in the order in which they were first heard; `rank` orders them by content alone."""

    def __init__(self, said: list[list[Any]] | None = None) -> None:
        self._number: dict[Saying, int] = {}
        self._said: list[Saying] = []
        self._waiting: list[Saying] = [tuple(s) for s in said or []]  # known once there is a network
        self.said: dict[str, Array] = {name: np.empty(0, dtype=_dtype(name)) for name in FIELDS}  # column by column
        self._numbers: Array = np.empty((0, 5), dtype=np.int64)

    def __len__(self) -> int:
        return len(self._said)

    def intern(self, pings: Columns, network: Network, likely: Array) -> Array:
        """The number (i8) of what each ping says.

        likely  what its vehicle said last, -1 unknown: most say the same again, and to compare is quicker
        """
        for saying in self._waiting:
            self._add(saying, network)
        self._waiting = []
        numbers = likely.astype(np.int64)
        same = numbers >= 0
        if self._said:
            for name in FIELDS:
                same &= self.said[name][numbers] == pings[name]
        others = np.flatnonzero(~same)
        if len(others):
            rows = list(zip(*(pings[name][others].tolist() for name in FIELDS), strict=True))
            for saying in rows:
                if saying not in self._number:
                    self._add(saying, network)
            numbers[others] = list(map(self._number.__getitem__, rows))
        return numbers

    def numbers(self) -> Array:
        """The sayings as numbers of the network (i8, n x 5; columns: tracking.ROUTE and so on)."""
        return self._numbers

    def names_trip(self, number: Array, trip: Array) -> Array:
        """Whether each of these sayings names this trip (as a position in the network, -1 none): bool."""
        named: Array = (self._numbers[number, 3] == trip) & (trip >= 0)
        return named

    def of(self, number: int) -> dict[str, Any]:
        """One saying by field; unknown is None."""
        out = dict(zip(FIELDS, self._said[number], strict=True))
        if out["direction_id"] < 0:
            out["direction_id"] = None
        return out

    def keep(self, used: Array, network: Network) -> Array:
        """Forget all but the used ones; the new number of each old one (-1: forgotten)."""
        number = np.full(len(self), -1, dtype=np.int64)
        kept = [self._said[i] for i in used.tolist()]
        number[used] = np.arange(len(kept))
        self._number.clear()
        self._said.clear()
        for saying in kept:
            self._add(saying, network)
        return number

    def dump(self) -> list[list[Any]]:
        """All of them, in order."""
        return [list(s) for s in self._said or self._waiting]

    def _add(self, saying: Saying, network: Network) -> None:
        k = len(self._said)
        self._said.append(saying)
        self._number[saying] = k
        if k >= len(self._numbers):
            for name, column in self.said.items():
                self.said[name] = grown(column, k + 1, -1 if PING[name] is Kind.INT else None)
            self._numbers = grown(self._numbers, k + 1, -1)
        for name, value in zip(FIELDS, saying, strict=True):
            self.said[name][k] = value
        route_id, direction, trip_id = saying[:3]
        route = network.route_ix.get(route_id, -1)
        trip = network.trip_ix.get(trip_id, -1)
        pattern = int(network.trip_pattern_ix[trip]) if trip >= 0 else -1
        if pattern >= 0 and route < 0:
            route = int(network.pattern_route_ix[pattern])
        elif pattern >= 0 and network.pattern_route_ix[pattern] != route:
            trip = pattern = -1  # they contradict each other: the route is the coarser, and rarer wrong
        if route >= 0 and network.route_direction_inferred[route]:
            direction = -1  # 0 and 1 are ours there, not the vehicle's
        rank = int.from_bytes(blake2b(orjson.dumps(saying), digest_size=8).digest(), "little") >> 1
        self._numbers[k] = (route, direction, pattern, trip, rank)


def _dtype(name: str) -> type:
    return np.int64 if PING[name] is Kind.INT else object
