"""Headways: how long after the vehicle ahead a bus passed each stop and every fourth gate.

Same route, same direction, same place; the variants of a route are merged. A passing puts itself into its ring
(kernels/headways.py) and tells its own headway; one that comes late, moves or is withdrawn also tells the bus behind
it anew, under the same identity with a higher revision. Across a night, or a hole in the data (silence.py), a headway
is unknown, and no vehicle leads itself. The words are TIDES's and the operators'.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from streams.engine.fleet import Fleet
from streams.engine.names import grown
from streams.engine.part import CityOutput, CityState, Facts, Observed
from streams.engine.planned import Planned, rings_of
from streams.engine.runs import Runs
from streams.engine.silence import Heard, crossed
from streams.engine.targets import Targets
from streams.gtfs.network import Network
from streams.kernels import headways as kernels
from streams.kernels.fleet import raise_to
from streams.messages import Columns
from streams.settings import Settings, WrongSetting

Array = np.ndarray

BANDS = ("bunched", "close", "even", "wide", "gap")
BUNCHED, CLOSE, EVEN, WIDE, GAP = range(5)
RECENT_S = 7200.0  # an older newest headway of a vehicle need not be remembered
PRESETS = {
    # ratios of headway to target: at or below the first bunched, the second close; from the third wide, the fourth gap
    "skate": (0.33, 0.5, 1.5, 2.0),  # mbta/skate's former route ladder
    "swiftly": (0.75, 0.75, 1.25, 1.25),  # Swiftly's two limits: no close, no wide
}


def band_limits(text: str) -> tuple[float, float, float, float]:
    """The four ratios of a setting; raises WrongSetting."""
    if text in PRESETS:
        return PRESETS[text]
    try:
        limits = tuple(float(v) for v in text.split(","))
    except ValueError:
        limits = ()
    if len(limits) != 4 or not 0 < limits[0] <= limits[1] < 1 < limits[2] <= limits[3]:
        raise WrongSetting(
            f"KORIDOR_CITY_HEADWAY_BANDS={text!r}: must be one of {', '.join(PRESETS)} or four ratios "
            "around 1 in ascending order, for example 0.33,0.5,1.5,2"
        )
    return limits


def bands_of(ratio: Array, limits: tuple[float, float, float, float]) -> Array:
    """Place in BANDS (i8) of each ratio; -1 where it is NaN."""
    bunched, close, wide, gap = limits
    band = np.full(len(ratio), EVEN, dtype=np.int64)
    band[ratio <= close] = CLOSE
    band[ratio <= bunched] = BUNCHED
    band[ratio >= wide] = WIDE
    band[ratio >= gap] = GAP
    band[np.isnan(ratio)] = -1
    return band


@dataclass(slots=True)
class Changes:
    """What some records changed, row by row as published: for the parts that observe after this one."""

    record: Array  # ascending
    ring: Array
    run: Array
    leader: Array  # run, -1
    time: Array
    headway_s: Array
    planned_s: Array
    target_s: Array
    ratio: Array  # headway / target
    band: Array  # place in BANDS, -1
    pgate: Array  # -1
    revision: Array
    gone: Array
    old_time: Array  # NaN: had not been told
    old_headway_s: Array


@dataclass(slots=True)
class State:
    """The rings, and the newest headway of every vehicle."""

    time: Array  # f8 (n_rings, WIDTH)
    run: Array  # i4
    revision: Array  # i4
    said: Array  # i4
    gone: Array  # bool
    count: Array  # i4 (n_rings,)
    latest: dict[str, Array]  # by vehicle, see _LATEST
    heard: Heard
    holes: Array  # f8 (m, 2) stretches in which the source was silent, as the rings were told last
    changes: Changes | None = None  # of the records being observed, if there are any; not kept
    spans: list[tuple[int, Array]] = field(default_factory=list)  # holes as they find them, from which on; not kept


_LATEST: dict[str, tuple[Any, Any]] = {
    "time": (np.float64, np.nan),
    "run": (np.int64, -1),
    "leader": (np.int64, -1),  # run
    "headway_s": (np.float64, np.nan),
    "target_s": (np.float64, np.nan),
    "band": (np.int64, -1),
    "pgate": (np.int64, -1),
}


class Headways:
    """The part of the city that knows who passed where before whom."""

    name = "headways"

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.limits = band_limits(settings.city.headway_bands)
        self.overnight_s = settings.city.overnight_s
        self.hole_s = settings.city.hole_s
        self.rings = rings_of(network, settings.city.gate_every, self._owner())
        # with the network, the ring of every pattern's gate says all of what a number of a ring means
        self._rings_hash = blake2b(self.rings.of_pgate.tobytes(), digest_size=16).hexdigest()
        self.planned = Planned(network, self.rings)
        self.targets = Targets(network, settings)
        names = [network.gate_ids[g] for g in self.rings.gate_ix.tolist()]
        again = self.rings.visit.tolist()
        self._gate_id = _ids([f"{name}#{k + 1}" if k else name for name, k in zip(names, again, strict=True)])
        self._stop_id = _ids([*network.stop_ids, None])
        self._route_id = _ids([network.route_ids[r] for r in network.route_dir_route_ix.tolist()])
        self._pattern_id = _ids([*network.pattern_ids, None])
        self._band = _ids([*BANDS, None])
        self._dist_m = np.append(np.round(network.pgate_dist_m, 1), np.nan)
        stop_pos = network.pgate_stop_pos
        stop = network.pstop_stop_ix[network.pstop_start[self.planned.pgate_pattern] + np.maximum(stop_pos, 0)]
        self._next_ring = next_rings(self.rings.of_pgate, network.pgate_start)
        self.pgate_stop_ix = np.append(np.where(stop_pos >= 0, stop, -1), -1)

    # --- the part

    def fresh(self) -> State:
        """Empty rings."""
        n, width = len(self.rings), kernels.WIDTH
        return State(
            np.full((n, width), np.nan),
            np.full((n, width), -1, dtype=np.int32),
            np.zeros((n, width), dtype=np.int32),
            np.zeros((n, width), dtype=np.int32),
            np.zeros((n, width), dtype=np.bool_),
            np.zeros(n, dtype=np.int32),
            {name: np.empty(0, dtype=dtype) for name, (dtype, _) in _LATEST.items()},
            Heard(),
            np.empty((0, 2)),
        )

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Headway rows of the records' passings."""
        state: State = city.parts[self.name]
        state.changes = changes = self._changes(state, city, facts)
        if changes is None:
            return {}
        self._remember(state, city, changes)
        return {"headways": (self._columns(city, changes), changes.record)}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """Headways are facts; there is nothing to state. Holes that are long over are forgotten, here on the grid."""
        state: State = city.parts[self.name]
        state.holes = self._heard(city).recent(state.holes, at)
        return {}

    def dump(self, state: State) -> Any:
        """Only what is in use: rings with passings, and of those only the passings."""
        used = np.flatnonzero(state.count)
        count = state.count[used]
        held = np.arange(kernels.WIDTH) < count[:, None]
        time = state.time[used][held]
        base = float(time.min()) if len(time) else 0.0
        return {
            "rings": self._rings_hash,
            "ring": used.astype(np.int32),
            "count": count.astype(np.int8),
            "base": np.array([base]),
            "time_cs": np.rint((time - base) * 100.0).astype(
                np.int64 if len(time) and np.ptp(time) > 2e7 else np.int32
            ),
            "run": state.run[used][held],
            "revision": state.revision[used][held],
            "said": state.said[used][held].astype(np.int32),
            "gone": state.gone[used][held],
            "latest": state.latest,
            "heard": state.heard.dump(),
            "holes": state.holes,
        }

    def load(self, tree: Any, same_network: bool) -> State:
        """The same rings; under another network, or settings that draw others, they fill again within a headway."""
        state = self.fresh()
        state.heard, state.holes = Heard.load(tree["heard"]), tree["holes"]
        if not same_network or tree.get("rings") != self._rings_hash:
            return state
        used = tree["ring"]
        state.count[used] = tree["count"]
        held = np.zeros(state.time.shape, dtype=np.bool_)
        held[used] = np.arange(kernels.WIDTH) < tree["count"][:, None]
        state.time[held] = np.round(float(tree["base"][0]) + tree["time_cs"] / 100.0, 2)
        state.run[held] = tree["run"]
        state.revision[held] = tree["revision"]
        state.said[held] = tree["said"]
        state.gone[held] = tree["gone"]
        state.latest = tree["latest"]
        return state

    def runs_in_use(self, state: State) -> Array:
        """Runs in rings, and those of the vehicles' newest headways unless they are old."""
        latest = state.latest
        recent = latest["time"] > np.max(latest["time"], initial=-np.inf, where=~np.isnan(latest["time"])) - RECENT_S
        return np.concatenate([np.unique(state.run), latest["run"][recent], latest["leader"][recent]])

    def renumber(self, state: State, run: Array, vehicle: Array) -> None:
        """Follow the new numbers; what belonged to a forgotten vehicle goes."""
        number = np.append(run, -1)  # -1 stays -1
        state.run[:] = number[state.run]
        kept = np.flatnonzero(vehicle >= 0)
        kept = kept[kept < len(state.latest["time"])]
        size = int(vehicle.max(initial=-1)) + 1
        for name, (dtype, fill) in _LATEST.items():
            column = np.full(size, fill, dtype=dtype)
            column[vehicle[kept]] = state.latest[name][kept]
            state.latest[name] = number[column] if name in ("run", "leader") else column
        state.heard.renumber(vehicle)
        state.changes = None

    def warm_up(self) -> None:
        """Compile the kernels on the shapes of the real arrays."""
        state = self.fresh()
        none = np.empty(0, dtype=np.int64)
        city = CityState(Fleet(), Runs(), {})
        passings = (none, none, np.empty(0), none, np.empty(0, bool), none)
        _pass(state, city, self.overnight_s, state.holes, self.hole_s, passings)
        one, nothing = np.zeros(1, dtype=np.int64), np.zeros(1)
        list(Heard().observe(one, nothing, one, 1))
        kernels.passed_at(none, none, state.time, state.run, state.gone, state.count)
        if len(self.rings):
            self.planned.headways(one, np.zeros(1), one, one + self.network.first_day)

    # --- what other parts ask

    def current_s(self, city: CityState) -> Array:
        """Headway of every vehicle as of its newest position (s, NaN without one), by row of the fleet.

        The newest one measured, or more: where the vehicle ahead has passed the next gate and this one, by its newest
        position, has not, the headway there will be at least the time since. A bus that stands drops back.
        """
        state: State = city.parts[self.name]
        latest = state.latest
        n = min(len(city.fleet), len(latest["time"]))
        current = latest["headway_s"][:n].copy()
        pgate, leader = latest["pgate"][:n], latest["leader"][:n]
        v = np.flatnonzero((pgate >= 0) & (leader >= 0) & (latest["run"][:n] == city.fleet.run[:n]))
        ring = self._next_ring[pgate[v]]
        v, ring = v[ring >= 0], ring[ring >= 0]
        leader_time = kernels.passed_at(ring, leader[v], state.time, state.run, state.gone, state.count)
        now = city.fleet.timestamp[v]
        since = np.where(crossed(state.holes, leader_time, now, self.hole_s), np.nan, now - leader_time)
        current[v] = np.fmax(current[v], np.round(since, 2))
        return current

    # --- inside

    def _owner(self) -> Array | None:
        """Whose rings these are, by route direction; None: each its own."""
        return None

    def _route_dir(self, city: CityState, ring: Array, run: Array) -> Array:
        """The route direction (i8) of each run that passed a ring."""
        found: Array = self.rings.route_dir[ring]
        return found

    def _heard(self, city: CityState) -> Heard:
        """When vehicles were heard of."""
        state: State = city.parts[self.name]
        return state.heard

    def _spans(self, city: CityState, state: State, facts: Facts) -> list[tuple[int, Array]]:
        """The stretches in which the source was silent: from which record on, and as this record leaves them."""
        state.spans = spans = [(0, state.holes)]
        vehicle, timestamp = facts.position_vehicle, facts.positions["timestamp"]
        for record in state.heard.observe(vehicle, timestamp, facts.position_record, len(city.fleet)):
            holes = state.heard.holes(self.hole_s, spans[-1][1])
            if not np.array_equal(holes, spans[-1][1]):
                spans.append((record, holes))
        return spans

    def _changes(self, state: State, city: CityState, facts: Facts) -> Changes | None:
        runs = city.runs
        known = (facts.passing_gate >= 0) & (facts.passing_run >= 0)
        time = np.round(facts.passings["arrival_time"], 2)
        passings = (
            np.where(known, self.rings.of_pgate[facts.passing_gate], -1).astype(np.int64),
            facts.passing_run,
            time,
            facts.passings["revision"],
            facts.passings["withdrawn"] | np.isnan(time),
            facts.passing_record,
        )
        spans = self._spans(city, state, facts)
        begins = np.searchsorted(facts.passing_record, [record for record, _ in spans]).tolist()
        changed = []
        for (since, holes), begin, end in zip(spans, begins, [*begins[1:], len(time)], strict=True):
            part = tuple(column[begin:end] for column in passings)
            if not np.array_equal(holes, state.holes):  # look at every ring again, before what is new
                part = tuple(np.concatenate(both) for both in zip(_again(state, since), part, strict=True))
            found, lost = _pass(state, city, self.overnight_s, holes, self.hole_s, part)
            changed.append(found)
            city.count("passings_too_late_for_a_headway", lost)
            state.holes = holes
        city.count("passings_of_unknown_gates", int(np.count_nonzero(~known)))
        ring, run, time, leader, headway, revision, gone, old_time, old_headway, record = _together(changed)
        if not len(ring):
            return None
        planned, pgate = self.planned.headways(ring, time, runs.pattern[run], runs.day[run])
        target = self.targets.of(city, self._route_dir(city, ring, run), time, planned)
        ratio = ratio_of(headway, target)
        return Changes(
            record, ring, run, leader, time, headway, planned, target, ratio, bands_of(ratio, self.limits), pgate,
            revision, gone, old_time, old_headway,
        )  # fmt: skip

    def _columns(self, city: CityState, c: Changes) -> Columns:
        route_dir = self._route_dir(city, c.ring, c.run)
        runs = city.runs
        vehicle = runs.vehicle[c.run]
        leader = np.where(c.leader >= 0, runs.vehicle[c.leader], -1)
        return {
            "trip_id_performed": runs.names.of(c.run),
            "gate_id": self._gate_id[c.ring],
            "event_timestamp": c.time,
            "route_id": self._route_id[route_dir],
            "direction_id": self.network.route_dir_direction[route_dir].astype(np.int64),
            "pattern_id": self._pattern_id[runs.pattern[c.run]],
            "stop_id": self._stop_id[self.pgate_stop_ix[c.pgate]],
            "vehicle_id": city.fleet.names.of(vehicle),
            "leader_id": city.fleet.names.of(leader),
            "dist_m": self._dist_m[c.pgate],
            "headway_s": c.headway_s,
            "scheduled_headway_s": c.planned_s,
            "target_headway_s": c.target_s,
            "headway_ratio": c.ratio,
            "band": self._band[c.band],
            "revision": c.revision,
            "withdrawn": c.gone,
        }

    def _remember(self, state: State, city: CityState, c: Changes) -> None:
        """Keep the newest headway of each vehicle; a withdrawn newest leaves it without one until the next gate."""
        for name, (_, fill) in _LATEST.items():
            state.latest[name] = grown(state.latest[name], len(city.fleet), fill)
        latest = state.latest
        vehicle = city.runs.vehicle[c.run]
        row = np.flatnonzero(raise_to(latest["time"], vehicle, c.time))
        v, gone = vehicle[row], c.gone[row]
        latest["run"][v] = np.where(gone, -1, c.run[row])
        latest["leader"][v] = np.where(gone, -1, c.leader[row])
        latest["headway_s"][v] = np.where(gone, np.nan, c.headway_s[row])
        latest["target_s"][v] = np.where(gone, np.nan, c.target_s[row])
        latest["band"][v] = np.where(gone, -1, c.band[row])
        latest["pgate"][v] = np.where(gone, -1, c.pgate[row])


def next_rings(of_pgate: Array, pgate_start: Array) -> Array:
    """For each gate of a pattern the ring that the pattern passes next; -1 behind the last."""
    n = len(of_pgate)
    at = np.where(of_pgate >= 0, np.arange(n), n)
    ahead = np.append(np.minimum.accumulate(at[::-1])[::-1], n)[1:]  # next reporting gate behind this one
    end = np.repeat(pgate_start[1:], np.diff(pgate_start))
    found: Array = np.where(ahead < end, of_pgate[np.minimum(ahead, n - 1)], -1).astype(np.int64)
    return found


def ratio_of(headway_s: Array, target_s: Array) -> Array:
    """Headway as a share of its target, 4 digits; NaN where either is unknown."""
    ratio: Array = (headway_s / np.where(target_s > 0, target_s, np.nan)).round(4)
    return ratio


def _pass(
    state: State,
    city: CityState,
    overnight_s: float,
    holes: Array,
    hole_s: float,
    passings: tuple[Array, ...],
) -> tuple[tuple[Array, ...], int]:
    """Passings, in the kernel's columns, through the kernel: the changed rows, and how many found no place."""
    parts: list[tuple[Array, ...]] = []
    begin, lost = 0, 0
    runs = city.runs
    n = len(runs)
    many = len(passings[0])
    size = 2 * many + kernels.ROOM
    while True:
        out = (
            np.empty(size, dtype=np.int64),
            np.empty(size, dtype=np.int64),
            np.empty(size, dtype=np.float64),
            np.empty(size, dtype=np.int64),
            np.empty(size, dtype=np.float64),
            np.empty(size, dtype=np.int64),
            np.empty(size, dtype=np.bool_),
            np.empty(size, dtype=np.float64),
            np.empty(size, dtype=np.float64),
            np.empty(size, dtype=np.int64),
        )
        begin, k, missed = kernels.pass_gates(
            state.time, state.run, state.revision, state.said, state.gone, state.count,
            runs.key[:n], runs.day[:n], runs.vehicle[:n], overnight_s, state.holes, holes, hole_s,
            begin, *passings, *out,
        )  # fmt: skip
        lost += missed
        parts.append(tuple(column[:k] for column in out))
        if begin >= many:
            return _together(parts), lost


def _again(state: State, record: int) -> tuple[Array, ...]:
    """Passings that are none: every ring is told again where the holes make a difference."""
    ring = np.flatnonzero(state.count > 1)
    n = len(ring)
    none = np.full(n, -1, dtype=np.int64)
    return ring, none, np.full(n, np.nan), none, np.zeros(n, dtype=np.bool_), np.full(n, record)


def _together(parts: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _ids(names: list[Any]) -> Array:
    """An object array of ids; where the last is None, -1 finds it."""
    out = np.empty(len(names), dtype=object)
    out[:] = names
    return out
