"""Detours: where several buses of a route leave it and come back to it, and which way they drive meanwhile.

A bus that leaves its pattern and rejoins it on the same run has driven round a stretch; one that leaves for the depot
never comes back on that run. Two vehicles that drive round the same stretch soon after each other make a detour; it is
over when two vehicles have driven the stretch as planned since, or when nobody has driven round it for long. Stretches
of a route's variants are compared by the places (slots) that these share.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from streams import polyline
from streams.engine.names import grown
from streams.engine.part import CityOutput, CityState, Facts, Observed
from streams.gtfs.network import Network

Array = np.ndarray

TOGETHER_S = 1200.0  # two vehicles that drive round a stretch within this make a detour
NORMAL_VEHICLES = 2  # that drive the stretch as planned end it
FORGOTTEN_S = 3600.0  # so does nobody's driving round it for so long; a bus is not off its route for longer
STEP_M = 25.0  # between the points of a path
EDGE_M = 25.0  # the tracker sees a bus leave and come back a little early or late
_ON: dict[str, tuple[Any, Any]] = {  # where on which run each vehicle was on its route last
    "run": (np.int64, -1),
    "at_m": (np.float64, np.nan),
    "at": (np.float64, np.nan),
    "lat": (np.float64, np.nan),
    "lon": (np.float64, np.nan),
}


@dataclass(slots=True)
class Excursion:
    """One bus off its route: from where and when on, and the way it has driven (lat, lon) since."""

    vehicle: int
    run: int
    pattern: int
    from_m: float
    left_at: float  # event time
    path: list[float]  # lat, lon, lat, lon, ...
    back_at: float = float("nan")
    slots: list[int] = field(default_factory=list)  # places of its pattern that it drove round


@dataclass(slots=True)
class Detour:
    """A stretch of a route that its buses drive round."""

    number: int
    pattern: int
    slots: list[int]  # places that all of them drove round
    path: list[float]  # the newest way
    vehicle: int  # the newest one
    first_at: float
    last_at: float
    drives: int
    normal: dict[str, list[int]] = field(default_factory=dict)  # by vehicle, places of it that were passed since


@dataclass(slots=True)
class State:
    """Where vehicles were on their routes last, who is off it, who came back lately, and the detours."""

    on: dict[str, Array]
    out: dict[int, Excursion]
    back: list[Excursion]
    detours: list[Detour]
    made: int = 0


class Detours:
    """The part of the city that learns detours; `Alerts` tells them."""

    name = "detours"

    def __init__(self, network: Network) -> None:
        self.network = network

    # --- the part

    def fresh(self) -> State:
        """Nobody is off its route."""
        return State({name: np.empty(0, dtype=dtype) for name, (dtype, _) in _ON.items()}, {}, [], [])

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Follow those who leave their routes, and see who drives where others do not."""
        state: State = city.parts[self.name]
        p, vehicle = facts.positions, facts.position_vehicle
        for name, (_, fill) in _ON.items():
            state.on[name] = grown(state.on[name], len(city.fleet), fill)
        new = facts.position_newest & ~p["withdrawn"]
        off = p["off_route"] & (facts.position_run >= 0)
        marked = np.zeros(len(city.fleet), dtype=np.bool_)
        marked[vehicle[off]] = True
        marked[list(state.out)] = True
        slow = marked[vehicle] & new
        self._note(state, facts, np.flatnonzero(new & ~slow))
        followed = np.flatnonzero(slow)
        if not (len(followed) or state.detours):
            return {}
        records = np.arange(len(facts.record_times) + 1)
        passed = np.searchsorted(facts.passing_record, records).tolist()
        upto = np.searchsorted(facts.position_record[followed], records).tolist()
        for k in range(len(facts.record_times)):
            if state.detours:
                self._see_normal(state, facts, slice(passed[k], passed[k + 1]))
            for row in followed[upto[k] : upto[k + 1]].tolist():
                self._follow(state, facts, row, bool(off[row]))
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """What is long over is forgotten; the alerts say the rest."""
        state: State = city.parts[self.name]
        if state.out:
            state.out = {v: e for v, e in state.out.items() if at - e.left_at < FORGOTTEN_S}
        if state.back:
            state.back = [e for e in state.back if at - e.back_at < TOGETHER_S]
        if state.detours:
            state.detours = [d for d in state.detours if at - d.last_at < FORGOTTEN_S]
        return {}

    def dump(self, state: State) -> Any:
        """As it is."""
        return {
            "on": state.on,
            "out": [asdict(e) for e in state.out.values()],
            "back": [asdict(e) for e in state.back],
            "detours": [asdict(d) for d in state.detours],
            "made": state.made,
        }

    def load(self, tree: Any, same_network: bool) -> State:
        """Places of another network say nothing here."""
        if not same_network:
            return self.fresh()
        out = [Excursion(**(e | {"back_at": float("nan")})) for e in tree["out"]]
        return State(
            tree["on"],
            {e.vehicle: e for e in out},
            [Excursion(**e) for e in tree["back"]],
            [Detour(**d) for d in tree["detours"]],
            int(tree["made"]),
        )

    def runs_in_use(self, state: State) -> Array:
        """Runs that vehicles were on last, and those of the ones off their routes."""
        return np.append(state.on["run"], [e.run for e in state.out.values()]).astype(np.int64)

    def renumber(self, state: State, run: Array, vehicle: Array) -> None:
        """Follow the new numbers; what a forgotten vehicle drove alone goes."""
        old = np.flatnonzero(vehicle[: len(state.on["run"])] >= 0)
        size = int(vehicle.max(initial=-1)) + 1
        for name, (dtype, fill) in _ON.items():
            column = np.full(size, fill, dtype=dtype)
            column[vehicle[old]] = state.on[name][old]
            state.on[name] = column
        state.on["run"] = np.append(run, -1)[state.on["run"]]
        number = [*vehicle.tolist(), -1]
        for e in (*state.out.values(), *state.back):
            e.vehicle = number[e.vehicle]
        for e in state.out.values():
            e.run = int(run[e.run])
        state.out = {e.vehicle: e for e in state.out.values() if e.vehicle >= 0}
        state.back = [e for e in state.back if e.vehicle >= 0]
        for d in state.detours:
            d.vehicle = number[d.vehicle]
            d.normal = {str(number[int(v)]): slots for v, slots in d.normal.items() if number[int(v)] >= 0}

    def warm_up(self) -> None:
        """No kernels."""

    # --- what the alerts ask

    def skipped_stops(self, detour: Detour) -> list[int]:
        """Stops of its pattern that it leaves out, in order."""
        network = self.network
        gates = slice(int(network.pgate_start[detour.pattern]), int(network.pgate_start[detour.pattern + 1]))
        pos = network.pgate_stop_pos[gates][np.isin(network.pgate_slot_ix[gates], detour.slots)]
        stops: list[int] = network.pstop_stop_ix[network.pstop_start[detour.pattern] + pos[pos >= 0]].tolist()
        return stops

    def ends(self, detour: Detour) -> tuple[int, int]:
        """The last stop of its pattern in front of it and the first one behind it; the first and last there are."""
        network, p = self.network, detour.pattern
        gates = slice(int(network.pgate_start[p]), int(network.pgate_start[p + 1]))
        inside = np.flatnonzero(np.isin(network.pgate_slot_ix[gates], detour.slots))
        stops = np.flatnonzero(network.pgate_stop_pos[gates] >= 0)
        before = max(int(np.searchsorted(stops, inside[0])) - 1, 0)
        behind = min(int(np.searchsorted(stops, inside[-1], side="right")), len(stops) - 1)
        at = network.pstop_stop_ix[network.pstop_start[p] : network.pstop_start[p + 1]]
        return int(at[before]), int(at[behind])

    def path(self, detour: Detour) -> str:
        """The newest way round, as an encoded polyline."""
        return polyline.encode(zip(detour.path[::2], detour.path[1::2], strict=True))

    # --- inside

    def _note(self, state: State, facts: Facts, rows: Array) -> None:
        """Where vehicles are on their routes; of several positions of one the last counts."""
        p, on = facts.positions, state.on
        rows = rows[(facts.position_run[rows] >= 0) & ~np.isnan(p["dist_m"][rows])]
        v = facts.position_vehicle[rows]
        on["run"][v], on["at_m"][v], on["at"][v] = facts.position_run[rows], p["dist_m"][rows], p["timestamp"][rows]
        on["lat"][v], on["lon"][v] = p["lat"][rows], p["lon"][rows]

    def _follow(self, state: State, facts: Facts, row: int, off: bool) -> None:
        """One position of a vehicle that is, was or is about to be off its route."""
        p = facts.positions
        v, run, pattern = int(facts.position_vehicle[row]), int(facts.position_run[row]), facts.position_pattern[row]
        here = [float(p["lat"][row]), float(p["lon"][row])]
        e = state.out.get(v)
        if off:
            on = state.on
            if (e is None or e.run != run) and on["run"][v] == run and pattern >= 0:
                state.out[v] = e = Excursion(
                    v, run, int(pattern), float(on["at_m"][v]), float(on["at"][v]),
                    [float(on["lat"][v]), float(on["lon"][v])],
                )  # fmt: skip
            if e is not None and e.run == run and self._apart_m(e.path[-2:], here) >= STEP_M:
                e.path += here
            return
        if e is not None:
            if run == e.run and not np.isnan(p["dist_m"][row]):
                del state.out[v]
                e.path += here
                self._came_back(state, e, float(p["dist_m"][row]), float(p["timestamp"][row]))
            elif run >= 0 or p["trip_type"][row] not in ("In service", None):
                del state.out[v]  # to the depot, or on to another run
        self._note(state, facts, np.array([row]))

    def _came_back(self, state: State, e: Excursion, to_m: float, at: float) -> None:
        """A stretch has been driven round: another time, together with a bus shortly before, or for the first time."""
        network = self.network
        gates = slice(int(network.pgate_start[e.pattern]), int(network.pgate_start[e.pattern + 1]))
        dist = network.pgate_dist_m[gates]
        e.back_at = at
        e.slots = np.unique(network.pgate_slot_ix[gates][(dist > e.from_m + EDGE_M) & (dist < to_m - EDGE_M)]).tolist()
        if not e.slots:
            return
        for d in state.detours:
            shared = _overlap(d.slots, e.slots)
            if shared:
                d.slots, d.path, d.vehicle, d.last_at = shared, e.path, e.vehicle, at
                d.drives += 1
                d.normal = {}
                return
        for other in state.back:
            shared = _overlap(other.slots, e.slots)
            if shared and other.vehicle != e.vehicle and abs(at - other.back_at) <= TOGETHER_S:
                first_at = min(other.left_at, e.left_at)
                state.made += 1
                state.detours.append(
                    Detour(state.made, e.pattern, shared, e.path, e.vehicle, first_at, at, 2)
                )  # fmt: skip
                state.back.remove(other)
                return
        state.back.append(e)

    def _see_normal(self, state: State, facts: Facts, of: slice) -> None:
        """Passings of one record within stretches that others drive round."""
        network, p = self.network, facts.passings
        detour_of = {slot: d for d in state.detours for slot in d.slots}
        seen = (facts.passing_gate[of] >= 0) & ~p["withdrawn"][of] & ~np.isnan(p["arrival_time"][of])
        rows = of.start + np.flatnonzero(seen)
        slot = network.pgate_slot_ix[facts.passing_gate[rows]]
        hit = np.flatnonzero(np.isin(slot, list(detour_of)))
        for row, place in zip(rows[hit].tolist(), slot[hit].tolist(), strict=True):
            d = detour_of[place]
            if p["arrival_time"][row] > d.last_at:
                passed = d.normal.setdefault(str(facts.passing_vehicle[row]), [])
                if place not in passed:
                    passed.append(place)
        state.detours = [
            d
            for d in state.detours
            if sum(2 * len(passed) >= len(d.slots) for passed in d.normal.values()) < NORMAL_VEHICLES
        ]

    def _apart_m(self, a: list[float], b: list[float]) -> float:
        x, y = self.network.project(np.array([a[0], b[0]]), np.array([a[1], b[1]]))
        return float(np.hypot(x[1] - x[0], y[1] - y[0]))


def _overlap(a: list[int], b: list[int]) -> list[int]:
    """What two stretches share, if that is half of the shorter one or more; else nothing."""
    shared = sorted(set(a) & set(b))
    return shared if 2 * len(shared) >= min(len(a), len(b)) else []
