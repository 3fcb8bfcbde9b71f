"""How regular each route and direction runs: figures of the last hour, rolling, and of every hour of the clock.

Headways at stops, the first stop of a pattern left out (a bus that waits there for its turn has arrived early).
They are summed per minute of event time in whole hundredths of a second: sums of integers do not depend on the
order in which passings came, so a headway that is told anew is taken out and put in again exactly. Definitions:
`figures`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams import messages
from streams.engine.headways import BUNCHED, EVEN, GAP, Changes, Headways, bands_of, ratio_of
from streams.engine.headways import State as HeadwayState
from streams.engine.hours import falls_due
from streams.engine.part import CityOutput, CityState, Facts, Observed
from streams.gtfs.network import Network
from streams.kernels import indicators as kernels

# what is summed: over all headways, and again over those with a plan beside them
from streams.kernels.indicators import (
    BUNCH,
    GAPPED,
    H_PLAN,
    HAS_LIMIT,
    HAS_TARGET,
    HH,
    HH_PLAN,
    IS_BUNCHED,
    IS_GAPPED,
    IS_REGULAR,
    IS_WITHIN,
    JUDGED,
    LIMITED,
    N_PLAN,
    PP,
    REGULAR,
    SEEN,
    SUMS,
    WITHIN,
    H,
    N,
    P,
)
from streams.messages import Columns
from streams.settings import Settings

Array = np.ndarray

SPARE_MINUTES = 40  # event time may be ahead of record time, and what is asked of may have ended a while ago
HOUR_S = 3600.0
SETTLE_S = 300.0  # after the end of an hour everything in it has closed
FEWEST_CALLS = 1.0  # planned, below which nothing is said of coverage


@dataclass(slots=True)
class State:
    """Sums per route direction and minute, and what was told last."""

    minute: Array  # i8 (route_dirs, minutes): POSIX minute that the place holds, -1 none
    sums: Array  # i8 (route_dirs, minutes, SUMS), hundredths of a second
    told: Array  # f8 (route_dirs, FIGURES), NaN: not told
    bus_minute: Array  # i8 (minutes,): POSIX minute that a place of `buses` holds, -1 none
    buses: Array  # i8 (route_dirs, minutes): in service at the beginning of the minute
    hour: Columns | None  # the rows of the last whole hour


FIGURES = (
    "n_vehicles",
    "n_headways",
    "headway_mean_s",
    "headway_cv",
    "scheduled_headway_s",
    "excess_wait_s",
    "share_bunched",
    "share_gapped",
    "share_regular",
    "share_within_limit",
    "coverage",
)
COVERAGE = FIGURES.index("coverage")  # grows with time alone: that it does is no news


class Indicators:
    """The part of the city that counts and averages headways."""

    name = "indicators"

    def __init__(self, network: Network, settings: Settings, headways: Headways) -> None:
        self.network = network
        self.headways = headways
        self.window_minutes = max(1, round(settings.city.indicator_window_s / 60.0))
        self.silent_s = settings.city.lost_after_s
        self._every_s = settings.city.statement_s
        self._counted = np.append(network.pgate_stop_pos > 0, False)  # a stop of its pattern, but not the first
        self._calls: tuple[tuple[float, float], Array] = ((math.nan, math.nan), np.empty(0))  # looked up last
        self._places = max(self.window_minutes, 60) + SPARE_MINUTES
        self._route_id = np.array([*(network.route_ids[r] for r in network.route_dir_route_ix), None], dtype=object)

    # --- the part

    def fresh(self) -> State:
        """No headways yet."""
        n = len(self.network.route_dir_route_ix)
        return State(
            np.full((n, self._places), -1, dtype=np.int64),
            np.zeros((n, self._places, SUMS), dtype=np.int64),
            np.full((n, len(FIGURES)), np.nan),
            np.full(self._places, -1, dtype=np.int64),
            np.zeros((n, self._places), dtype=np.int64),
            None,
        )

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Take in the headways that the records changed."""
        headways: HeadwayState = city.parts["headways"]
        changes = headways.changes
        if changes is not None:
            self._take(city.parts[self.name], city, changes)
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """The last hour of every route direction of which that is news; all that are known at `restate`.

        And the hour of the clock once everything in it has closed; again at `restate` until the next.
        """
        state: State = city.parts[self.name]
        pattern = city.fleet.pattern[city.fleet.in_service(at, self.silent_s)]
        vehicles = np.bincount(self.network.pattern_route_dir_ix[pattern], minlength=len(state.told))
        now = int(at // 60)
        if state.bus_minute[now % self._places] != now:
            state.bus_minute[now % self._places] = now
            state.buses[:, now % self._places] = vehicles
        said = []
        if falls_due(at - SETTLE_S, self._every_s, HOUR_S):
            state.hour = self._hour(city, state, at)
            said.append(state.hour)
        elif restate and state.hour is not None:
            said.append(state.hour)
        begin = 60.0 * (now - self.window_minutes + 1)
        known = ~np.isnan(state.told[:, 0])
        if not (vehicles.any() or known.any() or (state.minute >= int(begin // 60) - 1).any()):
            return _spoken(said)  # nothing drives, nothing was told: so it is in most hours of a long recording
        row = self._figures(city, state, begin, 60.0 * (now + 2), at, vehicles)
        something = (vehicles > 0) | ~np.isnan(row[:, COVERAGE]) & (row[:, COVERAGE] > 0) | (row[:, 1] > 0)
        same = (row == state.told) | (np.isnan(row) & np.isnan(state.told))
        same[:, COVERAGE] = True
        tell = np.flatnonzero((something & restate) | (~same.all(axis=1) & (something | known)))
        state.told[tell] = np.where(something[tell, None], row[tell], np.nan)
        said.append(self._columns(row, tell, at, begin, 60.0 * self.window_minutes, final=False))
        return _spoken(said)

    def dump(self, state: State) -> Any:
        """Only the minutes that hold something."""
        route_dir, place = np.nonzero(state.minute >= 0)
        return {
            "route_dir": route_dir.astype(np.int32),
            "place": place.astype(np.int16),
            "minute": state.minute[route_dir, place],
            "sums": state.sums[route_dir, place],
            "told": state.told,
            "bus_minute": state.bus_minute,
            "buses": state.buses.astype(np.int32),
            "hour": None if state.hour is None else messages.to_wire(messages.INDICATOR, state.hour),
        }

    def load(self, tree: Any, same_network: bool) -> State:
        """The sums of the same network and window; otherwise the hour starts anew."""
        state = self.fresh()
        if same_network and len(tree["bus_minute"]) == self._places:
            state.minute[tree["route_dir"], tree["place"]] = tree["minute"]
            state.sums[tree["route_dir"], tree["place"]] = tree["sums"]
            state.told = tree["told"]
            state.bus_minute, state.buses = tree["bus_minute"], tree["buses"].astype(np.int64)
            if tree["hour"] is not None:
                state.hour = messages.from_wire(messages.INDICATOR, tree["hour"])
        return state

    def runs_in_use(self, state: State) -> Array:
        """None."""
        return np.empty(0, dtype=np.int64)

    def renumber(self, state: State, run: Array, vehicle: Array) -> None:
        """Nothing here has the number of a run or a vehicle."""

    def warm_up(self) -> None:
        """Compile the kernels of the sums."""
        state, none, nothing = self.fresh(), np.empty(0, dtype=np.int64), np.empty(0)
        self._sum(state, none, nothing, nothing, nothing, nothing, 1)
        kernels.window(state.minute, state.sums, 0, 0)
        kernels.means(state.minute, state.sums, none, none, none, 1)

    # --- inside

    def _hour(self, city: CityState, state: State, at: float) -> Columns:
        """The hour of the clock that has closed."""
        end = (at - SETTLE_S) // HOUR_S * HOUR_S
        inside = (state.bus_minute >= (end - HOUR_S) // 60) & (state.bus_minute < end // 60)
        vehicles = np.rint(state.buses[:, inside].mean(axis=1)) if inside.any() else np.zeros(len(state.buses))
        row = self._figures(city, state, end - HOUR_S, end, end, vehicles)
        tell = np.flatnonzero((vehicles > 0) | (row[:, 1] > 0) | (row[:, COVERAGE] >= 0))
        return self._columns(row, tell, at, end - HOUR_S, HOUR_S, final=True)

    def _figures(
        self, city: CityState, state: State, begin: float, end: float, planned_until: float, vehicles: Array
    ) -> Array:
        """The FIGURES of every route direction over [begin, end)."""
        sums = kernels.window(state.minute, state.sums, int(begin // 60) - 1, int(end // 60) - 1)
        since, until = max(begin, city.started_at // 60 * 60), planned_until // 60 * 60
        if self._calls[0] != (since, until):
            self._calls = ((since, until), self.headways.planned.calls(since, max(since, until)))
        return figures(sums, vehicles, self._calls[1])

    def _columns(
        self, row: Array, tell: Array, at: float, window_start: float, window_s: float, final: bool
    ) -> Columns:
        n = len(tell)
        columns = {name: row[tell, i] for i, name in enumerate(FIGURES)}
        columns |= {name: columns[name].astype(np.int64) for name in ("n_vehicles", "n_headways")}
        return {
            "made_at": np.full(n, at),
            "window_start": np.full(n, window_start),
            "window_s": np.full(n, int(window_s), dtype=np.int64),
            "final": np.full(n, final),
            "route_id": self._route_id[tell],
            "direction_id": self.network.route_dir_direction[tell].astype(np.int64),
            **columns,
        }

    def _take(self, state: State, city: CityState, c: Changes) -> None:
        counted = self._counted[c.pgate]
        route_dir = self.headways.rings.route_dir[c.ring]
        # in before out: what one record both tells and takes back must find its minute
        new = np.flatnonzero(counted & ~c.gone)
        self._sum(state, route_dir[new], c.time[new], c.headway_s[new], c.planned_s[new], c.band[new], 1)
        at = np.flatnonzero(counted & ~np.isnan(c.old_time))
        if len(at):
            run, ring, time = c.run[at], c.ring[at], c.old_time[at]
            planned, _ = self.headways.planned.headways(ring, time, city.runs.pattern[run], city.runs.day[run])
            target = self.headways.targets.of(city, route_dir[at], time, planned)
            band = bands_of(ratio_of(c.old_headway_s[at], target), self.headways.limits)
            self._sum(state, route_dir[at], time, c.old_headway_s[at], planned, band, -1)

    def _sum(
        self, state: State, route_dir: Array, time: Array, headway_s: Array, planned_s: Array, band: Array, sign: int
    ) -> None:
        h = np.where(np.isnan(headway_s), -1.0, np.rint(headway_s * 100.0)).astype(np.int64)
        p = np.where(np.isnan(planned_s), -1.0, np.rint(planned_s * 100.0)).astype(np.int64)
        limit_s = self.headways.targets.limit_s(route_dir, time)
        said = HAS_TARGET * (band >= 0) + IS_BUNCHED * (band == BUNCHED) + IS_GAPPED * (band == GAP)
        said += IS_REGULAR * (band == EVEN) + HAS_LIMIT * ~np.isnan(limit_s) + IS_WITHIN * (headway_s <= limit_s)
        kernels.put(state.minute, state.sums, route_dir, (time // 60).astype(np.int64), h, p, said, sign)


def _spoken(said: list[Columns]) -> CityOutput:
    if not said:
        return {}
    columns = messages.concat(messages.INDICATOR, said)
    return {"indicators": columns} if messages.rows(columns) else {}


def figures(sums: Array, vehicles: Array, calls: Array) -> Array:
    """The FIGURES (columns) of each row of sums; NaN where there is nothing to divide by.

    headway_mean_s       mean headway of the passings in the window, over all stops
    headway_cv           its coefficient of variation, standard deviation / mean, of two headways or more
                         (Transit Capacity and Quality of Service Manual, headway adherence)
    scheduled_headway_s  mean planned headway of the same passings
    excess_wait_s        EWT = sum(H^2) / (2 sum(H)) - sum(P^2) / (2 sum(P)): the wait of passengers who come at random,
                         over what the plan would make them wait (Transport for London). Over the passings with a
                         plan; negative where service is better than planned
    share_bunched        share of headways with a target that are in the band `bunched`
    share_gapped         the same for the band `gap`
    share_regular        the same for the band `even`: as near to the target as the bands ask for (headway regularity as
                         in TCRP Report 113, there within half of the scheduled headway)
    share_within_limit   share of headways that are not longer than the legal limit (Jakarta: Pergub 2/2024)
    coverage             calls at stops that were seen over `calls`, those that were planned: how much of the service
                         these figures know of. More than 1 where more buses run than planned
    """
    s = sums.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = s[:, H] / s[:, N]
        variance = np.maximum(s[:, HH] / s[:, N] - mean * mean, 0.0)
        cv = np.where(s[:, N] >= 2, np.sqrt(variance) / mean, np.nan)
        wait = s[:, HH_PLAN] / (2.0 * s[:, H_PLAN]) - s[:, PP] / (2.0 * s[:, P])
        row = np.stack(
            [
                vehicles.astype(np.float64),
                s[:, N],
                np.round(mean / 100.0, 1),
                np.round(cv, 4),
                np.round(s[:, P] / s[:, N_PLAN] / 100.0, 1),
                np.round(wait / 100.0, 1),
                np.round(s[:, BUNCH] / s[:, JUDGED], 4),
                np.round(s[:, GAPPED] / s[:, JUDGED], 4),
                np.round(s[:, REGULAR] / s[:, JUDGED], 4),
                np.round(s[:, WITHIN] / s[:, LIMITED], 4),
                np.round(s[:, SEEN] / np.where(calls >= FEWEST_CALLS, calls, np.nan), 4),
            ],
            axis=1,
        )
    row[~np.isfinite(row)] = np.nan
    return row
