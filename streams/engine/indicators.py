"""How regular each route and direction runs: rolling figures of the last hour.

Headways at stops, the first stop of a pattern left out (a bus that waits there for its turn has arrived early).
They are summed per minute of event time in whole hundredths of a second: sums of integers do not depend on the
order in which passings came, so a headway that is told anew is taken out and put in again exactly. Definitions:
`figures`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.engine.headways import BUNCHED, GAP, Changes, Headways, bands_of, ratio_of
from streams.engine.headways import State as HeadwayState
from streams.engine.part import CityOutput, CityState, Facts
from streams.gtfs.network import Network
from streams.kernels import indicators as kernels

# what is summed: over all headways, and again over those with a plan beside them
from streams.kernels.indicators import BUNCH, GAPPED, H_PLAN, HH, HH_PLAN, N_PLAN, PP, SUMS, H, N, P
from streams.settings import Settings

Array = np.ndarray

SPARE_MINUTES = 4  # event time may be ahead of record time, and a window ends inside a minute


@dataclass(slots=True)
class State:
    """Sums per route direction and minute, and what was told last."""

    minute: Array  # i8 (route_dirs, minutes): POSIX minute that the place holds, -1 none
    sums: Array  # i8 (route_dirs, minutes, SUMS), hundredths of a second
    told: Array  # f8 (route_dirs, FIGURES), NaN: not told


FIGURES = (
    "n_vehicles",
    "n_headways",
    "headway_mean_s",
    "headway_cv",
    "scheduled_headway_s",
    "excess_wait_s",
    "share_bunched",
    "share_gapped",
)


class Indicators:
    """The part of the city that counts and averages headways."""

    name = "indicators"

    def __init__(self, network: Network, settings: Settings, headways: Headways) -> None:
        self.network = network
        self.headways = headways
        self.window_minutes = max(1, round(settings.city.indicator_window_s / 60.0))
        self.silent_s = settings.city.lost_after_s
        self._counted = np.append(network.pgate_stop_pos > 0, False)  # a stop of its pattern, but not the first
        self._places = self.window_minutes + SPARE_MINUTES
        self._route_id = np.array([*(network.route_ids[r] for r in network.route_dir_route_ix), None], dtype=object)

    # --- the part

    def fresh(self) -> State:
        """No headways yet."""
        n = len(self.network.route_dir_route_ix)
        return State(
            np.full((n, self._places), -1, dtype=np.int64),
            np.zeros((n, self._places, SUMS), dtype=np.int64),
            np.full((n, len(FIGURES)), np.nan),
        )

    def observe(self, city: CityState, facts: Facts) -> CityOutput:
        """Take in the headways that the record changed."""
        headways: HeadwayState = city.parts["headways"]
        changes = headways.changes
        if changes is not None and len(changes.ring):
            self._take(city.parts[self.name], city, changes)
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """The figures of every route direction that changed since they were told; all that are known at `restate`."""
        state: State = city.parts[self.name]
        now = int(at // 60)
        sums = kernels.window(state.minute, state.sums, now - self.window_minutes, now + 2)
        pattern = city.fleet.pattern[city.fleet.in_service(at, self.silent_s)]
        vehicles = np.bincount(self.network.pattern_route_dir_ix[pattern], minlength=len(sums))
        row = figures(sums, vehicles)
        something = (vehicles > 0) | (sums[:, N] > 0)
        changed = ~((row == state.told) | (np.isnan(row) & np.isnan(state.told))).all(axis=1)
        known = ~np.isnan(state.told[:, 0])
        tell = np.flatnonzero((something & restate) | (changed & (something | known)))
        state.told[tell] = np.where(something[tell, None], row[tell], np.nan)
        if not len(tell):
            return {}
        columns = {name: row[tell, i] for i, name in enumerate(FIGURES)}
        columns |= {name: columns[name].astype(np.int64) for name in ("n_vehicles", "n_headways")}
        return {
            "indicators": {
                "made_at": np.full(len(tell), at),
                "route_id": self._route_id[tell],
                "direction_id": self.network.route_dir_direction[tell].astype(np.int64),
                **columns,
            }
        }

    def dump(self, state: State) -> Any:
        """Only the minutes that hold something."""
        route_dir, place = np.nonzero(state.minute >= 0)
        return {
            "route_dir": route_dir.astype(np.int32),
            "place": place.astype(np.int16),
            "minute": state.minute[route_dir, place],
            "sums": state.sums[route_dir, place],
            "told": state.told,
        }

    def load(self, tree: Any, same_network: bool) -> State:
        """The sums of the same network and window; otherwise the hour starts anew."""
        state = self.fresh()
        if same_network and (not len(tree["place"]) or int(tree["place"].max()) < self._places):
            fits = tree["minute"] % self._places == tree["place"]
            if fits.all():
                state.minute[tree["route_dir"], tree["place"]] = tree["minute"]
                state.sums[tree["route_dir"], tree["place"]] = tree["sums"]
                state.told = tree["told"]
        return state

    def runs_in_use(self, state: State) -> Array:
        """None."""
        return np.empty(0, dtype=np.int64)

    def renumber(self, state: State, run: Array, vehicle: Array) -> None:
        """Nothing here has the number of a run or a vehicle."""

    def warm_up(self) -> None:
        """Compile the kernels of the sums."""
        state, none, nothing = self.fresh(), np.empty(0, dtype=np.int64), np.empty(0)
        self._sum(state, none, nothing, nothing, nothing, 1)
        kernels.window(state.minute, state.sums, 0, 0)

    # --- inside

    def _take(self, state: State, city: CityState, c: Changes) -> None:
        counted = self._counted[c.pgate]
        route_dir = self.headways.rings.route_dir[c.ring]
        # in before out: what one record both tells and takes back must find its minute
        new = np.flatnonzero(counted & ~c.gone & ~np.isnan(c.headway_s))
        self._sum(state, route_dir[new], c.time[new], c.headway_s[new], c.planned_s[new], 1)
        old = counted & ~np.isnan(c.old_time) & ~np.isnan(c.old_headway_s)
        if old.any():
            at = np.flatnonzero(old)
            run = c.run[at]
            planned, _ = self.headways.planned.headways(
                c.ring[at], c.old_time[at], city.runs.pattern[run], city.runs.day[run]
            )
            self._sum(state, route_dir[at], c.old_time[at], c.old_headway_s[at], planned, -1)

    def _sum(self, state: State, route_dir: Array, time: Array, headway_s: Array, planned_s: Array, sign: int) -> None:
        h = np.rint(headway_s * 100.0).astype(np.int64)
        p = np.where(np.isnan(planned_s), -1.0, np.rint(planned_s * 100.0)).astype(np.int64)
        band = bands_of(ratio_of(headway_s, planned_s), self.headways.limits)
        kernels.put(
            state.minute, state.sums, route_dir, (time // 60).astype(np.int64), h, p, band == BUNCHED, band == GAP, sign
        )


def figures(sums: Array, vehicles: Array) -> Array:
    """The FIGURES (columns) of each row of sums; NaN where there is nothing to divide by.

    headway_mean_s       mean headway of the passings in the window, over all stops
    headway_cv           its coefficient of variation, standard deviation / mean, of two headways or more
                         (Transit Capacity and Quality of Service Manual, headway adherence)
    scheduled_headway_s  mean planned headway of the same passings
    excess_wait_s        EWT = sum(H^2) / (2 sum(H)) - sum(P^2) / (2 sum(P)): the wait of passengers who come at random,
                         over what the plan would make them wait (Transport for London). Over the passings with a
                         plan; negative where service is better than planned
    share_bunched        share of passings with a plan whose headway is in the band `bunched`
    share_gapped         the same for the band `gap`
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
                np.round(s[:, BUNCH] / s[:, N_PLAN], 4),
                np.round(s[:, GAPPED] / s[:, N_PLAN], 4),
            ],
            axis=1,
        )
    row[~np.isfinite(row)] = np.nan
    return row
