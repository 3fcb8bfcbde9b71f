"""What is known of running times: per link, by hour, and of late; learned from the closed passings of stops.

A passage is arrival to arrival, so that it holds the dwell at its first stop and ends with what a passenger
waits for; on a run's first link it begins with the departure, because the wait at a terminal is not running.
"""

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np

from streams.engine.hours import hour_of_day_type, hour_of_week, hours_of_week
from streams.gtfs.network import Network
from streams.kernels import arrivals as kernel

Array = np.ndarray
HOURS = 48
NEAR_LINKS = 4


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
    fits: Array  # regressions for the recent factor's weight and the hold
    recent_at: float  # moment of the decaying sums
    usual: Array  # seconds, without the recent factor
    factor: Array
    expected: Array  # seconds, what holds now


_BY_LINK = (
    "sum_s", "sum_prior_s", "hour_s", "hour_prior_s", "recent_s", "recent_expected_s", "usual", "factor", "expected",
)  # fmt: skip
_OF_NETWORK = ("net_s", "net_expected_s", "recent_net", "fits")


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
            fits=np.zeros(4),
            recent_at=0.0,
            usual=self.prior_s.copy(),
            factor=np.ones(n),
            expected=self.prior_s.copy(),
        )

    def learn(self, state: RunningState, link: Array, at: Array, seconds: Array, early_s: Array, now: float) -> None:
        """Learn passages that are in order of (time, run, stop), then work out the running times of `now`.

        link  i8; at  POSIX seconds at its end; seconds; early_s  before the planned departure at its start, NaN
        without a plan.
        """
        if now > state.recent_at:
            kept = np.exp((state.recent_at - now) / kernel.RECENT_S)
            state.recent_s *= kept
            state.recent_expected_s *= kept
            state.recent_net *= kept
            state.recent_at = now
        hour = hour_of_day_type(hours_of_week(at, self.timezone)).astype(np.int64)
        kernel.learn(
            link, hour, at, seconds, early_s, now, state.usual, state.factor, self.prior_s, state.sum_s,
            state.sum_prior_s, state.hour_s, state.hour_prior_s, state.net_s, state.net_expected_s, state.recent_s,
            state.recent_expected_s, state.recent_net, state.fits,
        )  # fmt: skip
        weight, _ = kernel.fitted(state.fits)
        state.usual, state.factor, state.expected = kernel.running_times(
            int(hour_of_day_type(hour_of_week(int(now // 3600), self.timezone))), self.prior_s, state.sum_s,
            state.sum_prior_s, state.hour_s, state.hour_prior_s, state.net_s, state.net_expected_s, state.recent_s,
            state.recent_expected_s, state.recent_net, self.near_start, self.near_link, self.near_weight, weight,
        )  # fmt: skip

    def hold(self, state: RunningState) -> float:
        """Share of its earliness that a bus waits off at a stop, as learned."""
        return float(kernel.fitted(state.fits)[1])

    def dump(self, state: RunningState) -> dict[str, Any]:
        """The state as a tree: links that have been driven, by what they are."""
        used = np.flatnonzero(state.sum_prior_s > 0)
        return {
            "link": used,
            "key": self.link_key[used],
            "recent_at": np.array([state.recent_at]),
            "idle": np.stack([state.usual, state.factor, state.expected]),
            **{name: getattr(state, name)[used] for name in _BY_LINK},
            **{name: getattr(state, name) for name in _OF_NETWORK},
        }

    def load(self, tree: dict[str, Any], same_network: bool) -> RunningState:
        """The state of `dump`'s tree; links are found by their stops and length in any network."""
        state = self.fresh()
        if same_network:
            state.usual, state.factor, state.expected = (row.copy() for row in tree["idle"])
            link, found = tree["link"], slice(None)
        else:
            order = np.argsort(self.link_key)
            place = np.searchsorted(self.link_key[order], tree["key"])
            found = place < len(order)
            found[found] = self.link_key[order][place[found]] == tree["key"][found]
            link = order[place[found]]
        for name in _BY_LINK:
            getattr(state, name)[link] = tree[name][found]
        for name in _OF_NETWORK:
            setattr(state, name, tree[name])
        state.recent_at = float(tree["recent_at"][0])
        return state


assert {f.name for f in fields(RunningState)} == {*_BY_LINK, *_OF_NETWORK, "recent_at"}


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
    return np.array(
        [int.from_bytes(blake2b(t.encode(), digest_size=8).digest(), "little") for t in texts], dtype=np.uint64
    )
