"""What is known of running times: per link, by hour, and of late; learned from the closed passings of stops.

A passage is arrival to arrival, so that it holds the dwell at its first stop and ends with what a passenger
waits for; on a run's first link it begins with the departure, because the wait at a terminal is not running.
"""

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from streams.engine.hours import hour_of_day_type, hour_of_week, hours_of_week
from streams.gtfs.network import Network
from streams.kernels import arrivals as kernel

Array = np.ndarray
HOURS = 48
NEAR_LINKS = 4


class Passages(NamedTuple):
    """Links that vehicles have driven, row by row."""

    vehicle: Array
    link: Array
    at: Array  # POSIX seconds at its end
    seconds: Array
    early_s: Array  # before the planned departure at its start; NaN without a plan
    timepoint: Array  # whether buses wait for the time there

    @classmethod
    def room(cls, n: int) -> "Passages":
        """For `n` passages."""
        return cls(*(np.empty(n, dtype) for dtype in (np.int64, np.int64, *[np.float64] * 3, np.bool_)))


class OwnSums(NamedTuple):
    """Decaying sums of each vehicle's passages (see kernels/arrivals.py::learn), by row of the fleet."""

    own_s: Array
    own_expected_s: Array
    own_at: Array


@dataclass(slots=True)
class RunningState:
    """Sums over passages (arrays over the network's links), and the running times that follow from them."""

    sum_s: Array
    sum_prior_s: Array
    hour_s: Array
    hour_prior_s: Array
    net_s: Array
    net_expected_s: Array
    recent_s: Array
    recent_expected_s: Array
    recent_net: Array
    fits: Array  # regressions for the recent factor's weight, the holds, and the weight of own paces
    recent_at: float  # moment of the decaying sums
    usual: Array  # seconds, without the recent factor
    factor: Array
    expected: Array  # seconds, what holds now
    later: Array  # and LATER_S later


class RunningTimes:
    """Tables of one network's links."""

    def __init__(self, network: Network) -> None:
        self.timezone = network.timezone
        self.prior_s = np.maximum(network.link_running_s.astype(np.float64), 1.0)
        self.near_start, self.near_link, self.near_weight = neighbours(
            network.pstop_start, network.pstop_link_ix, len(self.prior_s)
        )
        self.link_key = _link_keys(network)

    def fresh(self) -> RunningState:
        """Nothing seen: every link takes what the timetable says."""
        n = len(self.prior_s)
        return RunningState(
            sum_s=np.zeros(n),
            sum_prior_s=np.zeros(n),
            hour_s=np.zeros((n, HOURS), dtype=np.float32),
            hour_prior_s=np.zeros((n, HOURS), dtype=np.float32),
            net_s=np.zeros(HOURS),
            net_expected_s=np.zeros(HOURS),
            recent_s=np.zeros(n),
            recent_expected_s=np.zeros(n),
            recent_net=np.zeros(2),
            fits=np.zeros(8),
            recent_at=0.0,
            usual=self.prior_s.copy(),
            factor=np.ones(n),
            expected=self.prior_s.copy(),
            later=self.prior_s.copy(),
        )

    def learn(self, state: RunningState, own: OwnSums, p: Passages, now: float) -> None:
        """Learn passages that are in order of (time, run, stop), then work out the running times of `now`."""
        if now > state.recent_at:
            kept = np.exp((state.recent_at - now) / kernel.RECENT_S)
            state.recent_s *= kept
            state.recent_expected_s *= kept
            state.recent_net *= kept
            state.recent_at = now
        hour = hour_of_day_type(hours_of_week(p.at, self.timezone)).astype(np.int64)
        kernel.learn(
            p.vehicle, p.link, hour, p.at, p.seconds, p.early_s, p.timepoint, now, state.usual, state.factor,
            state.expected, self.prior_s, state.sum_s, state.sum_prior_s, state.hour_s, state.hour_prior_s, state.net_s,
            state.net_expected_s, state.recent_s, state.recent_expected_s, state.recent_net, state.fits, *own,
        )  # fmt: skip
        weight = kernel.fitted(state.fits)[0]
        state.usual, state.factor, state.expected = self._at(state, now, weight)
        _, _, state.later = self._at(state, now + kernel.LATER_S, weight * np.exp(-kernel.LATER_S / kernel.RECENT_S))

    def _at(self, state: RunningState, at: float, weight: float) -> tuple[Array, Array, Array]:
        """Usual times, recent factor and times that hold at a moment, between those of the hours whose middles are
        around it: an hour's passages are true of its middle, and rush hours do not begin on the stroke."""
        middle = (at - 1800.0) / 3600.0
        before = int(np.floor(middle))
        found = [
            kernel.running_times(
                int(hour_of_day_type(hour_of_week(hour, self.timezone))), self.prior_s, state.sum_s,
                state.sum_prior_s, state.hour_s, state.hour_prior_s, state.net_s, state.net_expected_s, state.recent_s,
                state.recent_expected_s, state.recent_net, self.near_start, self.near_link, self.near_weight, weight,
            )
            for hour in (before, before + 1)
        ]  # fmt: skip
        usual, factor, expected = (a + (middle - before) * (b - a) for a, b in zip(*found, strict=True))
        return usual, factor, expected

    def hold(self, state: RunningState) -> Array:
        """Share of its earliness that a bus waits off at a stop, and at a timepoint, as learned: (2,)."""
        return np.array(kernel.fitted(state.fits)[1:3])

    def own_paces(self, state: RunningState, own: OwnSums, at: float, vehicle: Array, waiting: Array) -> Array:
        """By how much the running times of vehicles are longer than others', as far as that lasts in this city."""
        weight = kernel.fitted(state.fits)[3]
        found: Array = kernel.own_paces(at, vehicle, waiting, *own, weight)
        return found

    def learned(self, state: RunningState) -> dict[str, Any]:
        """What outlasts the day, as a tree: sums of the links that have been driven, by what the links are."""
        used = np.flatnonzero(state.sum_prior_s > 0)
        return {
            "key": self.link_key[used],
            "prior_s": self.prior_s[used],
            **{name: getattr(state, name)[used] for name in _LEARNED_BY_LINK},
            **{name: getattr(state, name) for name in _LEARNED_OF_NETWORK},
        }

    def begin(self, tree: dict[str, Any]) -> RunningState:
        """A state that knows what `learned` says; links are found by their stops and length in any network."""
        state = self.fresh()
        link, found = self._links(tree["key"])
        for name in _LEARNED_BY_LINK:
            getattr(state, name)[link] = tree[name][found]
        for name in _LEARNED_OF_NETWORK:
            setattr(state, name, tree[name].copy())
        # The sums are worth as many passages of this timetable as they were of that one.
        scale = self.prior_s[link] / tree["prior_s"][found]
        state.sum_prior_s[link] *= scale
        state.hour_prior_s[link] *= scale[:, None].astype(np.float32)
        return state

    def dump(self, state: RunningState) -> dict[str, Any]:
        """The state as a tree."""
        return {
            "learned": self.learned(state),
            "link": np.flatnonzero(state.sum_prior_s > 0),
            "recent_at": np.array([state.recent_at]),
            "recent_net": state.recent_net,
            **{name: getattr(state, name) for name in _OF_TODAY},
        }

    def load(self, tree: dict[str, Any], same_network: bool) -> RunningState:
        """The state of `dump`'s tree; of another network, what it has learned."""
        if not same_network:
            return self.begin(tree["learned"])
        state = self.fresh()
        for name in _LEARNED_BY_LINK:
            getattr(state, name)[tree["link"]] = tree["learned"][name]
        for name in _LEARNED_OF_NETWORK:
            setattr(state, name, tree["learned"][name])
        for name in ("recent_net", *_OF_TODAY):
            setattr(state, name, tree[name])
        state.recent_at = float(tree["recent_at"][0])
        return state

    def _links(self, key: Array) -> tuple[Array, Array]:
        """Links that have one of these keys, and the row of the key of each."""
        order = np.argsort(self.link_key)
        place = np.searchsorted(self.link_key[order], key)
        found = np.flatnonzero(place < len(order))
        found = found[self.link_key[order][place[found]] == key[found]]
        return order[place[found]], found


_LEARNED_BY_LINK = ("sum_s", "sum_prior_s", "hour_s", "hour_prior_s")
_LEARNED_OF_NETWORK = ("net_s", "net_expected_s", "fits")
_OF_TODAY = ("recent_s", "recent_expected_s", "usual", "factor", "expected", "later")
assert {f.name for f in fields(RunningState)} == {
    *_LEARNED_BY_LINK, *_LEARNED_OF_NETWORK, *_OF_TODAY, "recent_net", "recent_at",
}  # fmt: skip


def neighbours(pstop_start: Array, pstop_link: Array, n_links: int) -> tuple[Array, Array, Array]:
    """CSR of the links within NEAR_LINKS before and behind each one on any pattern; weight 1 / (1 + distance)."""
    n = len(pstop_link)
    pattern = np.repeat(np.arange(len(pstop_start) - 1), np.diff(pstop_start))
    pairs = []
    for far in range(1, NEAR_LINKS + 1):
        a = np.arange(max(n - far, 0))
        good = (pattern[a] == pattern[a + far]) & (pstop_link[a] >= 0) & (pstop_link[a + far] >= 0)
        here, there = pstop_link[a[good]].astype(np.int64), pstop_link[a[good] + far].astype(np.int64)
        pairs += [(here, there, far), (there, here, far)]
    link = np.concatenate([p[0] for p in pairs])
    other = np.concatenate([p[1] for p in pairs])
    far_of = np.concatenate([np.full(len(p[0]), p[2]) for p in pairs])
    good = link != other
    link, other, far_of = link[good], other[good], far_of[good]
    order = np.lexsort((far_of, other, link))
    link, other, far_of = link[order], other[order], far_of[order]
    first = np.ones(len(link), dtype=np.bool_)
    first[1:] = (link[1:] != link[:-1]) | (other[1:] != other[:-1])
    start = np.zeros(n_links + 1, dtype=np.int64)
    start[1:] = np.cumsum(np.bincount(link[first], minlength=n_links))
    return start, other[first], 1.0 / (1.0 + far_of[first])


def _link_keys(network: Network) -> Array:
    """A number per link that stays between feeds: of its stops' ids and its length in steps of 50 m."""
    ends = zip(
        network.link_from_stop_ix.tolist(),
        network.link_to_stop_ix.tolist(),
        network.link_length_m.tolist(),
        strict=True,
    )
    texts = (f"{network.stop_ids[a]}\0{network.stop_ids[b]}\0{round(length / 50.0)}" for a, b, length in ends)
    return np.array([key_of(t) for t in texts], dtype=np.uint64)


def key_of(text: str) -> int:
    """A number that stands for a text, in any process: 64 bits of its hash."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
