"""Advice to hold a bunched bus: where, for how long, and what it does for those who wait.

The rule is Turnquist's *prefol* (Strategies for improving reliability of bus transit service, Transportation Research
Record 818, 1981): hold for half the difference of the headway behind and the headway ahead, which makes the two even.
Of the next stops the one where the fewest routes call is told, for a bus that waits is in the way of others; never one
where more than `hold_routes` call, never the last. Where the feed marks stops at which buses wait for their time
(`timepoint`) and one of them is among those, it is one of them. It is advice: nobody is held by it.
"""

from typing import NamedTuple

import numpy as np

from streams.gtfs.network import Network

Array = np.ndarray

NEXT_STOPS = 4  # later it is another situation
LEAST_S = 20.0  # a shorter hold is a long dwell
NOTICE_M = 250.0  # a stop nearer than this is passed before the driver has been told


class Hold(NamedTuple):
    """Hold at a stop for so long; change of the mean wait of those who come in the two headways, negative is less."""

    stop: int  # stop_ix
    seconds: float
    wait_change_s: float


class Holding:
    """The stops of a network where a bus may be held."""

    def __init__(self, network: Network, most_s: float, routes: int) -> None:
        self.network = network
        self.most_s = most_s
        self.routes = routes
        pattern = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pstop_start))
        calls = np.unique(np.stack([network.pstop_stop_ix, network.pattern_route_dir_ix[pattern]]), axis=1)
        self.calling = np.bincount(calls[0], minlength=len(network.stop_ids))  # route directions at each stop
        trip = np.repeat(np.arange(len(network.trip_pattern_ix)), np.diff(network.trip_time_start))
        place = (
            network.pstop_start[network.trip_pattern_ix[trip]] + np.arange(len(trip)) - network.trip_time_start[trip]
        )
        self.control = np.zeros(len(network.pstop_stop_ix), dtype=np.bool_)  # by stop of a pattern: buses wait there
        self.control[place[network.trip_time_timepoint]] = True

    def advise(self, pattern: int, dist_m: float, ahead_s: float, behind_s: float) -> Hold | None:
        """What to tell a bus at `dist_m` of `pattern` between two headways; None: nothing that would help."""
        seconds = round(hold_s(ahead_s, behind_s, self.most_s))
        if not seconds >= LEAST_S:
            return None
        network = self.network
        stops = slice(int(network.pstop_start[pattern]), int(network.pstop_start[pattern + 1]) - 1)  # not the last
        ahead = np.flatnonzero(network.pstop_dist_m[stops] > dist_m + NOTICE_M)[:NEXT_STOPS]
        stop = network.pstop_stop_ix[stops][ahead]
        free = np.flatnonzero(self.calling[stop] <= self.routes)
        if not len(free):
            return None
        control = free[self.control[stops][ahead][free]]
        free = control if len(control) else free
        best = free[np.argmin(self.calling[stop[free]])]  # of equal ones the next
        return Hold(int(stop[best]), float(seconds), round(wait_change_s(ahead_s, behind_s, seconds), 1))


def hold_s(ahead_s: float, behind_s: float, most_s: float) -> float:
    """Half of what the headway behind is longer than the one ahead, at most `most_s`; 0 where it is shorter."""
    return float(min(max((behind_s - ahead_s) / 2.0, 0.0), most_s))


def wait_change_s(ahead_s: float, behind_s: float, held_s: float) -> float:
    """Change of the mean wait, sum(H^2) / (2 sum(H)), of passengers who come at random in the two headways.

    The planned wait stays, so this is the change of excess wait too.
    """
    after = (ahead_s + held_s) ** 2 + (behind_s - held_s) ** 2
    return (after - ahead_s**2 - behind_s**2) / (2.0 * (ahead_s + behind_s))
