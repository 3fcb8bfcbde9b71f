"""What the feed plans at every ring: the headway of its frequencies or of its timetable, on the day in question."""

from datetime import date
from typing import Any, NamedTuple

import numpy as np

from streams.gtfs.calendar import day_start, local_date, zone_of
from streams.gtfs.network import Network
from streams.kernels import headways as kernels

Array = np.ndarray

DAYS_KEPT = 4
HOUR_S = 3600.0
LAST_S = 4e9  # far in the future, and still a date
NIGHT_S = 3.5 * 3600  # a run whose service day is unknown: before half past three it belongs to the day before


class Rings(NamedTuple):
    """The rings of a network (see kernels/headways.py) and the gates of patterns that report to them."""

    of_pgate: Array  # i4 (n_pgates,), -1
    start: Array  # i8 (n_rings + 1,)
    pgate: Array  # i8, CSR
    gate_ix: Array  # i8 (n_rings,)
    route_dir: Array  # i8 (n_rings,); where routes share rings, their owner
    visit: Array  # i8 (n_rings,): 0, or 1 where patterns pass this gate for the second time

    def __len__(self) -> int:
        return len(self.gate_ix)


def rings_of(network: Network, every: int, owner: Array | None = None) -> Rings:
    """Rings at every stop and, between stops, at every `every`-th gate of a pattern.

    owner  whose rings they are, by route direction: several may share them, -1 has none; None: each its own
    """
    start, slot, stop_pos = network.pgate_start, network.pgate_slot_ix, network.pgate_stop_pos
    slot_gate, slot_owner, at = network.slot_gate_ix, network.slot_route_dir_ix, None
    if owner is not None:
        of_pattern = owner[network.pattern_route_dir_ix]
        count = np.diff(start)
        of_pgate = np.repeat(of_pattern, count)
        at = np.flatnonzero(of_pgate >= 0)
        width = int(owner.max(initial=-1)) + 1
        slots, slot = np.unique(
            network.pgate_gate_ix[at].astype(np.int64) * max(width, 1) + of_pgate[at], return_inverse=True
        )
        slot = slot.astype(np.int32)
        slot_gate, slot_owner = slots // max(width, 1), slots % max(width, 1)
        start = np.concatenate([[0], np.cumsum(np.where(of_pattern >= 0, count, 0))]).astype(np.int32)
        stop_pos = stop_pos[at]
    ring, visit, n = kernels.rings_of_gates(start, slot, stop_pos, len(slot_gate), every)
    if at is not None:
        some_ring, some_visit = ring, visit
        ring, visit = (np.full(len(network.pgate_slot_ix), fill, dtype=np.int32) for fill in (-1, 0))
        ring[at], visit[at] = some_ring, some_visit
        slot_of = np.zeros(len(ring), dtype=np.int64)
        slot_of[at] = slot
    else:
        slot_of = slot
    reporting = np.flatnonzero(ring >= 0)
    order = reporting[np.argsort(ring[reporting], kind="stable")]
    begin = np.searchsorted(ring[order], np.arange(n + 1))
    first = order[begin[:-1]]
    return Rings(
        ring,
        begin.astype(np.int64),
        order.astype(np.int64),
        slot_gate[slot_of[first]].astype(np.int64),
        slot_owner[slot_of[first]].astype(np.int64),
        visit[first].astype(np.int64),
    )


class Day(NamedTuple):
    """Frequencies and departures of one service day, CSR by pattern."""

    starts_at: float  # POSIX second of the day's "noon minus 12 hours"
    freq_start: Array
    freq_begin_s: Array
    freq_end_s: Array
    freq_headway_s: Array
    dep_start: Array
    dep_s: Array


class Planned:
    """The plan of a network, a service day at a time."""

    def __init__(self, network: Network, rings: Rings) -> None:
        self.network = network
        self.rings = rings
        self.zone = zone_of(network.timezone)
        self.pgate_pattern = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pgate_start))
        self.pgate_offset_s = offsets(network)
        self._days: dict[int, Day] = {}

    def headways(self, ring: Array, time: Array, pattern: Array, day: Array) -> tuple[Array, Array]:
        """Planned headway (s, NaN where nothing is planned) and the pattern's gate at the ring (-1: it has none).

        ring, pattern  numbers;  time  POSIX seconds;  day  service day (ordinal), 0 unknown
        """
        n = len(ring)
        headway, pgate = np.empty(n), np.empty(n, dtype=np.int64)
        if not n:
            return headway, pgate
        day = np.where(day > 0, day, 0)
        for i in np.flatnonzero(day == 0):
            day[i] = local_date(min(max(float(time[i]), 0.0), LAST_S) - NIGHT_S, self.zone).toordinal()
        ordinals = sorted(set(day.tolist()))
        for ordinal in ordinals:
            plan = self.day(ordinal)
            rows = np.flatnonzero(day == ordinal) if len(ordinals) > 1 else slice(None)
            some_headway, some_pgate = headway[rows], pgate[rows]
            kernels.planned_headways(
                ring[rows], time[rows] - plan.starts_at, pattern[rows],
                self.rings.start, self.rings.pgate, self.pgate_pattern, self.pgate_offset_s,
                *plan[1:], some_headway, some_pgate,
            )  # fmt: skip
            headway[rows], pgate[rows] = some_headway, some_pgate
        return headway, pgate

    def running(self, at: float, settled_s: float) -> Array:
        """Planned headway (s) of each route direction at POSIX second `at`; NaN without service.

        Service counts once it has been planned for `settled_s` and two headways. Frequencies add up; of a timetable
        it is the mean of the last hour, while more departures follow.
        """
        network = self.network
        rate = np.zeros(len(network.route_dir_route_ix))
        today = local_date(at, self.zone).toordinal()
        for ordinal in (today - 1, today):
            plan = self.day(ordinal)
            t = at - plan.starts_at
            pattern = np.repeat(np.arange(len(network.pattern_ids)), np.diff(plan.freq_start))
            begin, end = plan.freq_begin_s, plan.freq_end_s
            new = (np.diff(pattern, prepend=-1) != 0) | (begin > np.append(-np.inf, end[:-1]))
            begin = begin[np.maximum.accumulate(np.where(new, np.arange(len(begin)), 0))]  # windows that follow are one
            on = (begin + np.maximum(settled_s, 2.0 * plan.freq_headway_s) <= t) & (t < end)
            np.add.at(rate, network.pattern_route_dir_ix[pattern[on]], 1.0 / plan.freq_headway_s[on])
            pattern = np.repeat(np.arange(len(network.pattern_ids)), np.diff(plan.dep_start))
            route_dir = network.pattern_route_dir_ix[pattern]
            hour = np.bincount(route_dir[(plan.dep_s > t - HOUR_S) & (plan.dep_s <= t)], minlength=len(rate))
            more = np.bincount(route_dir[(plan.dep_s > t) & (plan.dep_s <= t + HOUR_S)], minlength=len(rate))
            rate += np.where((hour >= 2) & (more > 0), hour / HOUR_S, 0.0)
        return np.where(rate > 0, 1.0 / np.where(rate > 0, rate, 1.0), np.nan)

    def calls(self, begin: float, end: float) -> Array:
        """How many calls at stops are planned in [begin, end] (POSIX seconds), by route direction.

        First stops are left out. A run's calls are taken to fall where half of them are made.
        """
        network = self.network
        n = len(network.pattern_ids)
        counted = network.pgate_stop_pos > 0
        stops = np.bincount(self.pgate_pattern[counted], minlength=n)
        middle = np.bincount(self.pgate_pattern[counted], self.pgate_offset_s[counted], n) / np.maximum(stops, 1)
        trips = np.zeros(n)
        first, last = (local_date(t, self.zone).toordinal() for t in (begin, end))
        for ordinal in range(first - 1, last + 1):
            plan = self.day(ordinal)
            pattern = np.repeat(np.arange(n), np.diff(plan.freq_start))
            since, until = (t - plan.starts_at - middle[pattern] for t in (begin, end))
            overlap = np.minimum(until, plan.freq_end_s) - np.maximum(since, plan.freq_begin_s)
            np.add.at(trips, pattern, np.maximum(overlap, 0.0) / plan.freq_headway_s)
            pattern = np.repeat(np.arange(n), np.diff(plan.dep_start))
            at = plan.starts_at + plan.dep_s + middle[pattern]
            trips += np.bincount(pattern[(at >= begin) & (at <= end)], minlength=n)
        found: Array = np.bincount(network.pattern_route_dir_ix, trips * stops, len(network.route_dir_route_ix))
        return found

    def day(self, ordinal: int) -> Day:
        """The plan of a service day; a few days are remembered."""
        if ordinal not in self._days:
            while len(self._days) >= DAYS_KEPT:
                del self._days[next(iter(self._days))]
            self._days[ordinal] = _day(self.network, ordinal, day_start(date.fromordinal(ordinal), self.zone))
        return self._days[ordinal]


def offsets(network: Network) -> Array:
    """Planned seconds from a pattern's first departure to each of its gates: linear between stops, arrival at stops."""
    out = np.empty(len(network.pgate_dist_m))
    for p in range(len(network.pattern_ids)):
        gates = slice(network.pgate_start[p], network.pgate_start[p + 1])
        stops = slice(network.pstop_start[p], network.pstop_start[p + 1])
        distance, arrival = network.pstop_dist_m[stops], network.pstop_arrival_s[stops]
        departure = network.pstop_departure_s[stops]
        at = network.pgate_dist_m[gates]
        segment = np.clip(np.searchsorted(distance, at, side="right") - 1, 0, max(len(distance) - 2, 0))
        if len(distance) < 2:
            out[gates] = 0.0
            continue
        length = np.maximum(distance[segment + 1] - distance[segment], 1e-6)
        share = np.clip((at - distance[segment]) / length, 0.0, 1.0)
        out[gates] = departure[segment] + share * (arrival[segment + 1] - departure[segment])
        pos = network.pgate_stop_pos[gates]
        out[gates] = np.where(pos >= 0, arrival[np.maximum(pos, 0)], out[gates])
    return out


def active_services(network: Network, ordinal: int) -> Array:
    """Services that run on this day (bool); outside the calendar those of its nearest day of the same weekday."""
    n_days = network.service_active.shape[1]
    column = ordinal - network.first_day
    if column < 0:
        column %= 7
    elif column >= n_days:
        column = n_days - 7 + (column - n_days) % 7
    return network.service_active[:, min(max(column, 0), n_days - 1)]


def _day(network: Network, ordinal: int, starts_at: float) -> Day:
    runs = active_services(network, ordinal)
    n = len(network.pattern_ids)
    trip = network.freq_trip_ix
    rows = np.flatnonzero(runs[network.trip_service_ix[trip]] & (network.freq_headway_s > 0)) if len(trip) else trip
    pattern = network.trip_pattern_ix[network.freq_trip_ix[rows]]
    order = np.lexsort((network.freq_start_s[rows], pattern))
    rows, pattern = rows[order], pattern[order]
    timed = np.flatnonzero(runs[network.trip_service_ix] & ~network.trip_is_frequency)
    timed_pattern, start_s = network.trip_pattern_ix[timed], network.trip_start_s[timed]
    order = np.lexsort((start_s, timed_pattern))
    return Day(
        starts_at,
        _starts(pattern, n),
        network.freq_start_s[rows].astype(np.float64),
        network.freq_end_s[rows].astype(np.float64),
        network.freq_headway_s[rows].astype(np.float64),
        _starts(timed_pattern[order], n),
        start_s[order].astype(np.float64),
    )


def _starts(owner: Any, n: int) -> Array:
    found: Array = np.searchsorted(owner, np.arange(n + 1)).astype(np.int64)
    return found
