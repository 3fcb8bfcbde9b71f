"""Alerts: what a dispatcher should know now, raised once it has lasted, told again when it changes, resolved.

A rule looks at the city on the grid of record time and sights conditions (sightings.py); how long they last and when
they are told is the same for all rules (episodes.py), and so are the words of a place and a time.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from streams import messages
from streams.engine import sightings
from streams.engine.detours import Detours
from streams.engine.episodes import Episodes, Sightings
from streams.engine.headways import Headways
from streams.engine.headways import State as HeadwayState
from streams.engine.holding import Hold, Holding
from streams.engine.names import grown
from streams.engine.part import CityOutput, CityState, Facts, Observed
from streams.engine.sightings import MOVED_M, View
from streams.engine.targets import KINDS
from streams.gtfs.calendar import zone_of
from streams.gtfs.network import Network
from streams.kernels import headways as kernels
from streams.kernels.fleet import move
from streams.messages import Columns
from streams.settings import Settings

Array = np.ndarray

STOPS_TOLD = 3  # by name, of those that wait
STANDS_S = 120.0  # a bus that has not moved for so long comes nobody knows when


class Sighting(NamedTuple):
    """One row of sightings, to put into words."""

    key: int
    pattern: int
    stop: int
    vehicle: int
    other: int
    value: float
    target: float
    route_dir: int


class Told(NamedTuple):
    """The words of an alert, and the columns that only its kind has."""

    header: str
    description: str
    more: dict[str, Any]


class Rule(NamedTuple):
    """One kind of alert: how it is sighted, for how long before it is told, and in which words."""

    kind: str
    sight: Callable[[View], Sightings]
    words: Callable[[View, Sighting, float], Told]  # the float: since when
    after_s: Callable[["Alerts"], float]
    severity: str
    cause: str
    effect: str
    confirm: bool = False  # measured twice before it is told
    hand_over: bool = False  # another vehicle may take it over
    key: str = "vehicle"  # what the key numbers: vehicle, pair, route_dir, detour or feed


@dataclass(slots=True)
class State:
    """Episodes by kind, when the source was heard, and what is known of standing buses and served routes."""

    episodes: dict[str, Episodes]
    heard: float  # record time of the last positions of any vehicle; NaN never
    alive_since: float  # record time since which the source has not been silent
    moved_at: Array  # by vehicle: event time and place of its last move, and the run it was on
    moved_m: Array
    moved_run: Array
    served_at: Array  # by route direction: record time when it last had a bus in service; NaN never


# --- the words


def _bunching_words(view: View, s: Sighting, since: float) -> Told:
    a = view.alerts
    follower, leader = a.vehicles(view, s)
    hold = a.hold(view, s)
    advice = ""
    if hold is not None:
        advice = (
            f" Advice: hold {follower} at {a.stop_name(hold.stop)} for {_span(hold.seconds)}; who waits for it or for "
            f"the one behind it then waits {_span(-hold.wait_change_s)} less in the mean."
        )
    return Told(
        f"Route {a.route(s)}: {follower} runs right behind {leader}",
        f"{follower} is {_span(s.value)} behind {leader} after {a.stop_name(s.stop)}; {a.every} "
        f"{_span(s.target)} ({s.value / s.target:.0%}). Towards {a.destination(s)}, since {a.clock(since)}.{advice}",
        {
            **_headway(s),
            "hold_stop_id": None if hold is None else a.network.stop_ids[hold.stop],
            "hold_s": None if hold is None else hold.seconds,
            "hold_wait_change_s": None if hold is None else hold.wait_change_s,
        },
    )


def _gap_words(view: View, s: Sighting, since: float) -> Told:
    a = view.alerts
    follower, leader = a.vehicles(view, s)
    waiting, next_s = a.waiting(view, s)
    wait = ""
    if waiting:
        names = ", ".join(a.stop_name(stop) for stop in waiting[:STOPS_TOLD])
        more = f" and {len(waiting) - STOPS_TOLD} more" if len(waiting) > STOPS_TOLD else ""
        when = "" if next_s is None else "any moment" if next_s < 10.0 else f"in {_span(next_s)}"
        soon = f"; the next bus is there {when}" if when else ""
        wait = f" Waiting: {names}{more}{soon}."
    return Told(
        f"Route {a.route(s)}: gap of {_span(s.value)} in front of {follower}",
        f"{follower} is {_span(s.value)} behind {leader} after {a.stop_name(s.stop)}; {a.every} "
        f"{_span(s.target)} ({s.value / s.target:.0%}). Towards {a.destination(s)}, since {a.clock(since)}.{wait}",
        {**_headway(s), "stop_ids": [a.network.stop_ids[stop] for stop in waiting], "next_bus_s": next_s},
    )


def _lost_words(view: View, s: Sighting, since: float) -> Told:
    a = view.alerts
    vehicle, _ = a.vehicles(view, s)
    return Told(
        f"Route {a.route(s)}: {vehicle} is no longer heard of",
        f"Last heard of at {a.clock(s.value)} near {a.stop_name(s.stop)}, in service towards {a.destination(s)}.",
        {},
    )


def _stopped_words(view: View, s: Sighting, since: float) -> Told:
    a = view.alerts
    vehicle, _ = a.vehicles(view, s)
    return Told(
        f"Route {a.route(s)}: {vehicle} has not moved since {a.clock(s.value)}",
        f"It stands after {a.stop_name(s.stop)}, in service towards {a.destination(s)}.",
        {},
    )


def _no_service_words(view: View, s: Sighting, since: float) -> Told:
    a = view.alerts
    return Told(
        f"Route {a.route(s)}: no bus in service{a.towards(s)}",
        f"The last one was seen at {a.clock(s.value)}; planned every {_span(s.target)}.",
        {"target_headway_s": round(s.target, 1)},
    )


def _detour_words(view: View, s: Sighting, since: float) -> Told:
    a = view.alerts
    detour = view.detour(s.key)
    before, behind = (a.stop_name(stop) for stop in a.detours.ends(detour))
    skipped = a.detours.skipped_stops(detour)
    names = ", ".join(a.stop_name(stop) for stop in skipped[:STOPS_TOLD])
    more = f" and {len(skipped) - STOPS_TOLD} more" if len(skipped) > STOPS_TOLD else ""
    left_out = f" Not served: {names}{more}." if skipped else ""
    return Told(
        f"Route {a.route(s)}: detour between {before} and {behind}",
        f"{detour.drives} buses have driven round it since {a.clock(detour.first_at)}, the last one at "
        f"{a.clock(detour.last_at)}, towards {a.destination(s)}.{left_out}",
        {
            "stop_ids": [a.network.stop_ids[stop] for stop in skipped],
            "path": a.detours.path(detour),
            "first_seen_at": round(detour.first_at, 1),
            "last_seen_at": round(detour.last_at, 1),
        },
    )


def _silent_words(view: View, s: Sighting, since: float) -> Told:
    return Told(
        f"No pings from this feed since {view.alerts.clock(s.value)}",
        "Everything shown is older. Look at the source of pings.",
        {},
    )


def _headway(s: Sighting) -> dict[str, Any]:
    return {"headway_s": round(s.value, 1), "target_headway_s": round(s.target, 1)}


# In the order in which they are sighted and told.
RULES: tuple[Rule, ...] = (
    Rule(
        "bunching", sightings.bunching, _bunching_words, lambda a: a.after_s, "WARNING", "OTHER_CAUSE", "OTHER_EFFECT",
        confirm=True, key="pair",
    ),
    Rule(
        "gap", sightings.gap, _gap_words, lambda a: a.after_s, "WARNING", "OTHER_CAUSE", "SIGNIFICANT_DELAYS",
        confirm=True, hand_over=True,
    ),
    Rule(
        "vehicle_stopped", sightings.vehicle_stopped, _stopped_words, lambda a: 0.0, "WARNING", "UNKNOWN_CAUSE",
        "SIGNIFICANT_DELAYS",
    ),
    Rule(
        "no_service", sightings.no_service, _no_service_words, lambda a: a.after_s, "SEVERE", "UNKNOWN_CAUSE",
        "NO_SERVICE", key="route_dir",
    ),
    Rule(
        "detour", sightings.detour, _detour_words, lambda a: 0.0, "WARNING", "UNKNOWN_CAUSE", "DETOUR", key="detour",
    ),
    Rule(
        "vehicle_lost", sightings.vehicle_lost, _lost_words, lambda a: 0.0, "INFO", "TECHNICAL_PROBLEM",
        "UNKNOWN_EFFECT",
    ),
    Rule(
        "source_silent", sightings.source_silent, _silent_words, lambda a: 0.0, "SEVERE", "TECHNICAL_PROBLEM",
        "UNKNOWN_EFFECT", key="feed",
    ),
)  # fmt: skip


class Alerts:
    """The part of the city that raises, updates and resolves alerts."""

    name = "alerts"
    after_s: float

    def __init__(self, network: Network, settings: Settings, headways: Headways) -> None:
        city = settings.city
        self.network = network
        self.headways = headways
        self.detours = Detours(network)
        self.every = KINDS[headways.targets.kind]
        self.after_s = city.alert_after_s
        self.lost_after_s = city.lost_after_s
        self.stopped_after_s = city.stopped_after_s
        self.no_service_s = city.no_service_s
        self.source_silent_s = city.source_silent_s
        self.holding = Holding(network, city.hold_most_s, city.hold_routes)
        self._zone = zone_of(network.timezone)
        pattern = headways.planned.pgate_pattern
        first = network.pgate_start[pattern]
        gate = np.arange(len(pattern))
        # nobody waits behind the last gate, and before the first is none; -1, no gate, is none to judge at either
        self.is_end = np.append((gate == first) | (gate == network.pgate_start[pattern + 1] - 1), True)
        pos = network.pgate_stop_pos
        last = np.where(pos >= 0, np.arange(len(pos)), first)
        pos = np.maximum(pos[np.maximum.accumulate(last)], 0)
        self.pgate_last_stop = network.pstop_stop_ix[network.pstop_start[pattern] + pos]
        self._planned: tuple[float, Array] = (float("nan"), np.empty(0))
        # The stops of all patterns on one axis, one pattern behind the other.
        self._axis_m = float(network.pattern_length_m.max(initial=0.0)) + 1000.0
        owner = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pstop_start))
        self._stop_axis = owner * self._axis_m + network.pstop_dist_m

    # --- the part

    def fresh(self) -> State:
        """Nothing seen, nothing heard."""
        nan = float("nan")
        return State(
            {rule.kind: Episodes() for rule in RULES}, nan, nan, np.empty(0), np.empty(0), np.empty(0, dtype=np.int64),
            np.full(len(self.network.route_dir_route_ix), nan),
        )  # fmt: skip

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Note that the source is alive, and which vehicles have moved."""
        state: State = city.parts[self.name]
        for at in facts.record_times[np.unique(facts.position_record)].tolist():
            if not at - state.heard < self.source_silent_s:
                state.alive_since = at
            state.heard = at
        n = len(city.fleet)
        state.moved_at, state.moved_m = grown(state.moved_at, n, np.nan), grown(state.moved_m, n, np.nan)
        state.moved_run = grown(state.moved_run, n, -1)
        row, p = np.flatnonzero(facts.position_newest), facts.positions
        move(
            facts.position_vehicle[row], p["timestamp"][row], p["dist_m"][row], facts.position_run[row], MOVED_M,
            state.moved_at, state.moved_m, state.moved_run,
        )  # fmt: skip
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """Alerts raised, changed or resolved; every active one at `restate`."""
        state: State = city.parts[self.name]
        serving = np.zeros(len(city.fleet), dtype=np.bool_)
        serving[city.fleet.in_service(at, self.lost_after_s)] = True
        state.served_at[self.network.pattern_route_dir_ix[city.fleet.pattern[: len(serving)][serving]]] = at
        current_s = self.headways.current_s(city) if serving.any() else np.full(len(serving), np.nan)
        view = View(city, self, state, at, current_s, serving)
        told: list[dict[str, Any]] = []
        for rule in RULES:
            told += self._judge(view, rule, restate)
        return {"alerts": _columns(told)} if told else {}

    def dump(self, state: State) -> Any:
        """Episodes as they are."""
        return {
            "episodes": {kind: episodes.dump() for kind, episodes in state.episodes.items()},
            "source": np.array([state.heard, state.alive_since]),
            "moved": [state.moved_at, state.moved_m, state.moved_run],
            "served_at": state.served_at,
        }

    def load(self, tree: Any, same_network: bool) -> State:
        """Alerts of vehicles outlive a change of the network; those of routes begin anew."""
        state = self.fresh()
        for rule in RULES:
            if rule.kind in tree["episodes"] and (same_network or rule.key not in ("route_dir", "detour")):
                state.episodes[rule.kind] = Episodes.load(tree["episodes"][rule.kind])
        state.heard, state.alive_since = (float(t) for t in tree["source"])
        if same_network:
            state.moved_at, state.moved_m, state.moved_run = tree["moved"]
            state.served_at = tree["served_at"]
        return state

    def runs_in_use(self, state: State) -> Array:
        """Runs of the vehicles whose moves are known."""
        return state.moved_run

    def renumber(self, state: State, run: Array, vehicle: Array) -> None:
        """Follow the new numbers; what belonged to a forgotten vehicle goes."""
        number = np.append(vehicle, -1)
        for rule in RULES:
            episodes = state.episodes[rule.kind]
            keys = episodes.key
            if rule.key == "vehicle":
                keys = number[keys]
            elif rule.key == "pair":
                a, b = number[keys >> 32], number[keys & 0xFFFFFFFF]
                keys = np.where((a >= 0) & (b >= 0), np.minimum(a, b) << 32 | np.maximum(a, b), -1)
            episodes.renumber(keys, vehicle)
        old = np.flatnonzero(vehicle[: len(state.moved_at)] >= 0)
        size = int(vehicle.max(initial=-1)) + 1
        for name, fill in (("moved_at", np.nan), ("moved_m", np.nan), ("moved_run", -1)):
            column = getattr(state, name)
            new = np.full(size, fill, dtype=column.dtype)
            new[vehicle[old]] = column[old]
            setattr(state, name, new)
        state.moved_run = np.append(run, -1)[state.moved_run]

    def warm_up(self) -> None:
        """Compile the kernel."""
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
        move(none, nothing, nothing, none, MOVED_M, nothing, nothing, none)

    # --- what the rules ask

    def planned_now(self, at: float) -> Array:
        """Planned headway of each route direction whose service is under way; looked up once a minute."""
        minute = at // 60
        if self._planned[0] != minute:
            self._planned = (minute, self.headways.planned.running(60.0 * minute, self.no_service_s))
        return self._planned[1]

    def last_stops(self, pattern: Array, dist_m: Array) -> Array:
        """The pattern's last stop at or before each distance; its first one when the distance is unknown."""
        start, end = self.network.pstop_start[pattern], self.network.pstop_start[pattern + 1]
        known = dist_m >= 0.0
        passed = np.searchsorted(self._stop_axis, pattern * self._axis_m + np.where(known, dist_m, 0.0) + 1.0)
        at = np.where(known, np.clip(passed - 1, start, end - 1), start)
        stops: Array = self.network.pstop_stop_ix[at]
        return stops

    # --- what the words ask

    def waiting(self, view: View, s: Sighting) -> tuple[list[int], float | None]:
        """Stops that the bus ahead has served and this one has not; seconds until this one is at the first of them.

        It is taken to need as long as the bus ahead did, where that is known, else as long as planned; for what
        is left of the way its share of that at the least. Nobody knows when one that stands will be there.
        """
        network, city = self.network, view.city
        headways: HeadwayState = city.parts["headways"]
        fleet, v = city.fleet, s.vehicle
        start, end = int(network.pgate_start[s.pattern]), int(network.pgate_start[s.pattern + 1])
        dist = fleet.dist_m[v]
        stops = start + np.flatnonzero(
            (network.pgate_stop_pos[start:end] >= 0) & (network.pgate_dist_m[start:end] > dist)
        )
        if not len(stops):
            return [], None
        ring = self.headways.rings.of_pgate[stops].astype(np.int64)
        leader = np.full(len(ring), headways.latest["leader"][v])
        passed = kernels.passed_at(ring, leader, headways.time, headways.run, headways.gone, headways.count)
        served = np.flatnonzero(np.isfinite(passed))
        if not len(served):
            return [], None
        waiting = self.headways.pgate_stop_ix[stops[: served[-1] + 1]].tolist()
        here = int(headways.latest["pgate"][v])
        measured = headways.latest["time"][v]
        took = passed[0] - (
            measured - headways.latest["headway_s"][v]
        )  # by the bus ahead, from the gate it was measured at
        if not np.isfinite(took):
            offset = self.headways.planned.pgate_offset_s
            took = offset[stops[0]] - offset[here]
        if fleet.timestamp[v] - view.state.moved_at[v] >= STANDS_S:
            return waiting, None
        left = measured + took - fleet.timestamp[v]
        gate_m, stop_m = network.pgate_dist_m[here], network.pgate_dist_m[stops[0]]
        share = (stop_m - max(dist, gate_m)) / max(stop_m - gate_m, 1.0)
        left = max(left, took * share)  # it is slow: the rest is still to drive
        return waiting, round(max(float(left), 0.0), 1)

    def hold(self, view: View, s: Sighting) -> Hold | None:
        """Advice for a bunched bus; where no bus is known behind it, the plan's headway stands in."""
        headways: HeadwayState = view.city.parts["headways"]
        latest, fleet = headways.latest, view.city.fleet
        behind = np.flatnonzero(
            (latest["leader"][: len(view.current_s)] == fleet.run[s.vehicle]) & view.serving[: len(view.current_s)]
        )
        behind_s = float(view.current_s[behind].max(initial=0.0)) if len(behind) else s.target
        return self.holding.advise(s.pattern, float(fleet.dist_m[s.vehicle]), s.value, behind_s)

    def vehicles(self, view: View, s: Sighting) -> tuple[str | None, str | None]:
        """Ids of the sighting's vehicle and of the one ahead."""
        names = view.city.fleet.names
        return names.name(s.vehicle), names.name(s.other)

    def route(self, s: Sighting) -> str:
        """Short name of the sighting's route, else its id."""
        network = self.network
        route = int(network.route_dir_route_ix[s.route_dir])
        return network.route_short_name[route] or network.route_ids[route]

    def stop_name(self, stop: int) -> str:
        """Name of a stop, else its id."""
        return self.network.stop_name[stop] or self.network.stop_ids[stop]

    def destination(self, s: Sighting) -> str:
        """Name of the last stop of the sighting's pattern."""
        return self.stop_name(int(self.network.pstop_stop_ix[self.network.pstop_start[s.pattern + 1] - 1]))

    def towards(self, s: Sighting) -> str:
        """ " towards …" where the patterns of a route direction end, if at one stop."""
        patterns = np.flatnonzero(self.network.pattern_route_dir_ix == s.route_dir)
        ends = {self.stop_name(int(self.network.pstop_stop_ix[self.network.pstop_start[p + 1] - 1])) for p in patterns}
        return f" towards {ends.pop()}" if len(ends) == 1 else ""

    def clock(self, posix: float) -> str:
        """HH:MM:SS on the city's wall."""
        return datetime.fromtimestamp(posix, self._zone).strftime("%H:%M:%S")

    # --- inside

    def _judge(self, view: View, rule: Rule, restate: bool) -> list[dict[str, Any]]:
        """One rule's sightings against its episodes; returns the rows to tell, ordered by identity."""
        episodes = view.state.episodes[rule.kind]
        s = rule.sight(view)
        if not len(s) and not len(episodes):
            return []
        verdict = episodes.judge(s, view.at, rule.after_s(self), rule.confirm, rule.hand_over)
        for at, seen in zip(verdict.tell.tolist(), verdict.seen.tolist(), strict=True):
            self._tell(view, rule, episodes, at, s, seen)
        over = [
            {
                **episodes.row[at],
                "revision": int(episodes.revision[at]) + 1,
                "active_to": float(episodes.clear_since[at]),
            }
            for at in verdict.resolved.tolist()
        ]
        told: list[dict[str, Any]] = [*episodes.row[verdict.tell], *over]
        if restate:
            told += episodes.row[verdict.standing].tolist()
        episodes.end(verdict.resolved)
        return sorted(told, key=lambda row: str(row["alert_id"]))

    def _tell(self, view: View, rule: Rule, episodes: Episodes, at: int, s: Sightings, seen: int) -> None:
        network = self.network
        pattern, stop = int(s.pattern[seen]), int(s.stop[seen])
        route_dir = int(s.key[seen]) if rule.key == "route_dir" else -1
        if pattern >= 0:
            route_dir = int(network.pattern_route_dir_ix[pattern])
        sighting = Sighting(
            int(s.key[seen]),
            pattern,
            stop,
            int(s.vehicle[seen]),
            int(s.other[seen]),
            float(s.value[seen]),
            float(s.target[seen]),
            route_dir,
        )
        since = float(episodes.since[at])
        words = rule.words(view, sighting, since)
        vehicle, leader = self.vehicles(view, sighting)
        before = episodes.row[at]
        episodes.row[at] = {
            **_BLANK,
            "alert_id": before["alert_id"]
            if before
            else f"{self._subject(rule, sighting, vehicle, leader)}:{since:.0f}",
            "revision": int(episodes.revision[at]),
            "kind": rule.kind,
            "severity": rule.severity,
            "active_from": since,
            "active_to": None,
            "route_id": network.route_ids[int(network.route_dir_route_ix[route_dir])] if route_dir >= 0 else None,
            "direction_id": int(network.route_dir_direction[route_dir]) if route_dir >= 0 else -1,
            "stop_id": network.stop_ids[stop] if stop >= 0 else None,
            "vehicle_id": vehicle,
            "leader_id": leader,
            "cause": rule.cause,
            "effect": rule.effect,
            "header": words.header,
            "description": words.description,
            **words.more,
        }

    def _subject(self, rule: Rule, s: Sighting, vehicle: str | None, leader: str | None) -> str:
        """The first part of an alert's id: its kind, and the ids of what it is about."""
        names: Iterable[str | None] = [vehicle] if rule.key == "vehicle" else []
        if rule.key == "pair":
            names = sorted([vehicle or "", leader or ""])
        elif rule.key in ("route_dir", "detour"):
            route = self.network.route_ids[int(self.network.route_dir_route_ix[s.route_dir])]
            names = [route, str(int(self.network.route_dir_direction[s.route_dir]))]
            names += [self.network.stop_ids[s.stop]] if s.stop >= 0 else []
        return ":".join((rule.kind, *(name or "" for name in names)))


_BLANK: dict[str, Any] = dict.fromkeys(messages.ALERT)
_values_of = itemgetter(*messages.ALERT)


def _columns(told: list[dict[str, Any]]) -> Columns:
    lists = zip(*map(_values_of, told), strict=True)
    kinds = messages.ALERT.items()
    return {name: messages.column(kind, list(values)) for (name, kind), values in zip(kinds, lists, strict=True)}


def _span(seconds: float) -> str:
    """A span of time as one says it: 45 s, 12 min, 2 h 05; NaN is an unknown one."""
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02}"
