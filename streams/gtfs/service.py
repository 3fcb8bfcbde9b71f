"""What should be on the road at a given minute: buses of every pattern, and the headway they should keep."""

from collections import OrderedDict
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from streams.gtfs.calendar import day_start, local_date, zone_of
from streams.gtfs.network import Network

GRACE_S = 1800.0  # buses are on the road before and after what the timetable says
KEPT = 64  # minutes and days remembered

Array = np.ndarray


class Plan(NamedTuple):
    """One minute, per pattern."""

    minute: int  # POSIX seconds // 60
    headway_s: Array  # between departures from the first stop; NaN where none is planned
    vehicles: Array  # buses on the road; fades to 0 over GRACE_S before and after service


class Windows(NamedTuple):
    """One service date: departures from the first stop, as spans of time with one headway."""

    pattern_ix: Array
    begin: Array  # POSIX seconds
    end: Array
    headway_s: Array  # NaN for a departure without a neighbour
    departures: Array  # in the span: (end - begin) / headway, or 1


class PlannedService:
    """The plan of a network, a minute at a time; asking again costs a look-up. Never write to what it returns."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.zone = zone_of(network.timezone)
        n = len(network.pattern_ids)
        self.run_s = np.zeros(n)
        if len(network.pstop_arrival_s):
            self.run_s[:] = np.maximum(60.0, network.pstop_arrival_s[network.pstop_start[1:] - 1])
        self._earliest_s, self._latest_s = _hours(network)
        self._plans: OrderedDict[int, Plan] = OrderedDict()
        self._windows: OrderedDict[date, Windows] = OrderedDict()

    def at(self, posix: float) -> Plan:
        """The plan of the minute that holds this moment."""
        minute = int(posix // 60)
        if minute not in self._plans:
            self._plans[minute] = self._plan(minute)
            if len(self._plans) > KEPT:
                self._plans.popitem(last=False)
        return self._plans[minute]

    def dates_of(self, posix: float) -> list[date]:
        """Service dates that may be running at this moment, the latest first; GRACE_S around its hours counts."""
        today = local_date(posix, self.zone)
        first = today - timedelta(days=int(self._latest_s // 86_400) + 1)
        found = []
        day = today + timedelta(days=1)
        while day >= first:
            column = day.toordinal() - self.network.first_day
            if 0 <= column < self.network.service_active.shape[1] and self.network.service_active[:, column].any():
                start = day_start(day, self.zone)
                if self._earliest_s - GRACE_S <= posix - start <= self._latest_s + GRACE_S:
                    found.append(day)
            day -= timedelta(days=1)
        return found

    def windows(self, day: date) -> Windows:
        """The departures of a service date, of all patterns."""
        if day not in self._windows:
            self._windows[day] = _windows_of(self.network, day.toordinal(), day_start(day, self.zone))
            if len(self._windows) > KEPT:
                self._windows.popitem(last=False)
        return self._windows[day]

    def _plan(self, minute: int) -> Plan:
        n = len(self.run_s)
        now = minute * 60.0
        rate, vehicles = np.zeros(n), np.zeros(n)
        for day in self.dates_of(now):
            w = self.windows(day)
            covers = (w.begin <= now) & (now < w.end) & ~np.isnan(w.headway_s)
            rate += np.bincount(w.pattern_ix[covers], 1.0 / w.headway_s[covers], n)
            # departures that would be under way now, counted over a grace longer and spread back over the run time
            run = self.run_s[w.pattern_ix]
            span = np.maximum(w.end - w.begin, 1.0)
            seen = np.minimum(w.end, now + GRACE_S) - np.maximum(w.begin, now - run - GRACE_S)
            share = np.clip(seen / span, 0.0, 1.0)
            vehicles += np.bincount(w.pattern_ix, w.departures * share * run / (run + 2 * GRACE_S), n)
        with np.errstate(divide="ignore"):
            return Plan(minute, np.where(rate > 0, 1.0 / rate, np.nan), vehicles)


def service_dates_of(network: Network, posix: float) -> list[date]:
    """Service dates that may be running at this moment, the latest first."""
    return PlannedService(network).dates_of(posix)


def _hours(network: Network) -> tuple[float, float]:
    """Seconds of the service day at which the first bus departs and the last one arrives, of all services."""
    timed = ~network.trip_is_frequency
    earliest = network.trip_start_s[timed].min(initial=np.inf)
    latest = network.trip_time_arrival_s[network.trip_time_start[1:] - 1][timed].max(initial=0.0)
    if len(network.freq_trip_ix):
        trip = network.freq_trip_ix
        run = network.trip_time_arrival_s[network.trip_time_start[trip + 1] - 1] - network.trip_start_s[trip]
        earliest = min(earliest, network.freq_start_s.min())
        latest = max(latest, (network.freq_end_s + run).max())
    return float(earliest), float(latest)


def _windows_of(network: Network, ordinal: int, start: float) -> Windows:
    column = ordinal - network.first_day
    inside = 0 <= column < network.service_active.shape[1]
    runs = network.service_active[:, column] if inside else np.zeros(len(network.service_ids), dtype=np.bool_)
    row = np.flatnonzero(runs[network.trip_service_ix[network.freq_trip_ix]])
    headway = network.freq_headway_s[row]
    begin, end = network.freq_start_s[row] + start, network.freq_end_s[row] + start
    timed = np.flatnonzero(runs[network.trip_service_ix] & ~network.trip_is_frequency)
    pattern, at = network.trip_pattern_ix[timed], network.trip_start_s[timed] + start
    order = np.lexsort((at, pattern))
    pattern, at = pattern[order], at[order]
    # a departure's span reaches half-way to its neighbours, and its headway is that to the one before
    gap = np.full(len(at), np.nan)
    gap[1:] = np.where(pattern[1:] == pattern[:-1], at[1:] - at[:-1], np.nan)
    gap[gap <= 0] = np.nan
    after = np.append(gap[1:], np.nan)
    before = np.where(np.isnan(gap), after, gap)
    after = np.where(np.isnan(after), before, after)
    alone = np.isnan(before)
    return Windows(
        pattern_ix=np.concatenate([network.trip_pattern_ix[network.freq_trip_ix[row]], pattern]),
        begin=np.concatenate([begin, at - np.where(alone, 0.0, before / 2)]),
        end=np.concatenate([end, at + np.where(alone, 0.0, after / 2)]),
        headway_s=np.concatenate([headway, gap]),
        departures=np.concatenate([(end - begin) / headway, np.ones(len(at))]),
    )
