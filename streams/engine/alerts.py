"""Alerts: what a dispatcher should know now, raised once it has lasted, told again when it changes, resolved.

A rule looks at the city on the grid of record time and sights conditions. A sighting is *firm* beyond the limit
that raises the alert, or *soft* within a margin that only keeps it up; so a figure that hovers around its limit
does not flap. Everything else (since when, how long, revisions) is the same for all rules and stands in `Alerts`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from streams import messages
from streams.engine.fleet import IN_SERVICE
from streams.engine.headways import Headways
from streams.engine.headways import State as HeadwayState
from streams.engine.part import CityOutput, CityState, Facts
from streams.gtfs.calendar import zone_of
from streams.gtfs.network import Network
from streams.messages import Columns
from streams.settings import Settings

Array = np.ndarray

UPDATE_EVERY_S = 60.0  # a change is told at the most this often
MEASURED_WITHIN_S = 600.0  # an older headway says nothing about now
FORGOTTEN_S = 3600.0  # a vehicle not heard of for so long has gone home
MARGIN = 1.2  # soft limit over firm limit where the bands leave no room between them


class Sighting(NamedTuple):
    """A condition that holds at this moment."""

    subject: tuple[str, ...]  # ids that make it the same condition from one moment to the next
    firm: bool
    place: tuple[int, int] = (-1, -1)  # pattern, stop_ix
    vehicle: int = -1  # row of the fleet; the follower
    other: int = -1  # row of the fleet; the leader
    value: float = float("nan")  # headway_s, or record time of the last news
    planned: float = float("nan")  # headway_s


class View(NamedTuple):
    """What a rule sees."""

    city: CityState
    alerts: "Alerts"
    state: "State"
    at: float  # record time
    current_s: Array  # headway of each vehicle, as far as the headways know it
    serving: Array  # whether each vehicle is in service and heard of (bool)
    episodes: "dict[str, dict[str, Episode]]"  # by kind and key, as they stood before this moment

    def watched(self, kind: str) -> Array:
        """Whether a vehicle (row of the fleet) is the subject of an episode of this kind (bool)."""
        out = np.zeros(len(self.city.fleet) + 1, dtype=np.bool_)
        names = [name for e in self.episodes[kind].values() for name in e.subject]
        out[list(map(self.city.fleet.names.find, names))] = True
        return out[:-1]


class Rule(NamedTuple):
    """One kind of alert: how it is sighted, for how long before it is told, and in which words."""

    kind: str
    sight: Callable[[View], Iterable[Sighting]]
    words: Callable[[View, Sighting, float], tuple[str, str]]  # header and description; the float: since when
    after_s: Callable[["Alerts"], float]
    severity: str
    cause: str
    effect: str


@dataclass(slots=True)
class Episode:
    """One condition from its first firm sighting on."""

    kind: str
    subject: tuple[str, ...]
    since: float
    clear_since: float  # NaN while it is sighted
    revision: int  # -1: not told yet
    told_at: float
    row: dict[str, Any] | None  # as told last


@dataclass(slots=True)
class State:
    """Episodes by kind and subject, and when the source was heard."""

    episodes: dict[str, Episode]
    heard: float  # record time of the last positions of any vehicle; NaN never
    alive_since: float  # record time since which the source has not been silent


# --- the rules


def bunching(view: View) -> Iterable[Sighting]:
    """A bus so close behind the one ahead that both serve the same passengers."""
    bunched, close, _, _ = view.alerts.headways.limits
    soft = max(close, bunched * MARGIN)
    return _pairs(view, "bunching", lambda ratio: ratio <= bunched, lambda ratio: ratio <= soft)


def gap(view: View) -> Iterable[Sighting]:
    """A bus so far behind the one ahead that the stops between wait too long."""
    _, _, wide, far = view.alerts.headways.limits
    soft = min(wide, far / MARGIN)
    return _pairs(view, "gap", lambda ratio: ratio >= far, lambda ratio: ratio >= soft)


def vehicle_lost(view: View) -> Iterable[Sighting]:
    """A vehicle in service that is no longer heard of. A source that is silent as a whole loses none."""
    fleet, at = view.city.fleet, view.at
    n = len(fleet)
    lost_after_s = view.alerts.lost_after_s
    silent_s = at - fleet.news[:n]
    waited_s = np.minimum(silent_s, at - view.state.alive_since)
    source_is_silent = at - view.state.heard >= view.alerts.source_silent_s
    serving = (fleet.trip_type[:n] == IN_SERVICE) & (fleet.pattern[:n] >= 0)
    for v in np.flatnonzero(serving & (silent_s >= lost_after_s) & (silent_s < FORGOTTEN_S)).tolist():
        firm = not source_is_silent and bool(waited_s[v] >= lost_after_s)
        pattern = int(fleet.pattern[v])
        stop = view.alerts.last_stop(pattern, float(fleet.dist_m[v]))
        yield Sighting((fleet.names.name(v) or "",), firm, (pattern, stop), v, value=float(fleet.news[v]))


def source_silent(view: View) -> Iterable[Sighting]:
    """Nothing has been heard of any vehicle."""
    heard = view.state.heard if view.state.heard == view.state.heard else view.city.started_at
    if view.at - heard >= view.alerts.source_silent_s:
        yield Sighting((), True, value=heard)


def _pairs(view: View, kind: str, firm: Callable[[Array], Array], soft: Callable[[Array], Array]) -> list[Sighting]:
    """Followers in service, heard of, and past the first stop, whose current headway meets the limits; newest last.

    A bunch is a pair, whoever is ahead, and needs a leader that still drives there. A gap belongs to the follower.
    """
    city, alerts, at, current_s, heard = view.city, view.alerts, view.at, view.current_s, view.serving
    headways: HeadwayState = city.parts["headways"]
    latest, fleet, runs = headways.latest, city.fleet, city.runs
    n = len(current_s)
    with np.errstate(invalid="ignore"):
        ratio = current_s / latest["planned_s"][:n]
        is_firm = firm(ratio)
        met = is_firm | (soft(ratio) & view.watched(kind)[:n])
        met &= heard[:n] & (at - latest["time"][:n] < MEASURED_WITHIN_S) & (latest["leader"][:n] >= 0)
        met &= ~alerts.is_first_gate[latest["pgate"][:n]] & (latest["run"][:n] == fleet.run[:n])
    v = np.flatnonzero(met)
    lead_run = latest["leader"][v]
    leader = runs.vehicle[lead_run]
    if kind == "bunching":
        v, leader = _where((leader >= 0) & (leader != v) & heard[leader] & (fleet.run[leader] == lead_run), v, leader)
    else:
        v, leader = _where((leader >= 0) & (leader != v), v, leader)
    # two buses that overtook each other are one pair: what was measured last counts
    order = np.lexsort((fleet.names.of(v).astype(str), latest["time"][v]))
    v, leader = v[order], leader[order]
    pgate = latest["pgate"][v]
    follower_ids, leader_ids = fleet.names.of(v).tolist(), fleet.names.of(leader).tolist()
    subjects: list[tuple[str, ...]]
    if kind == "bunching":
        subjects = [(a, b) if a < b else (b, a) for a, b in zip(follower_ids, leader_ids, strict=True)]
    else:
        subjects = [(a,) for a in follower_ids]
    places = zip(
        alerts.headways.planned.pgate_pattern[pgate].tolist(), alerts.pgate_last_stop[pgate].tolist(), strict=True
    )
    columns = (is_firm[v], v, leader, current_s[v], latest["planned_s"][v])
    firmly, followers, leaders, headway_s, planned_s = (column.tolist() for column in columns)
    return list(map(Sighting, subjects, firmly, places, followers, leaders, headway_s, planned_s))


def _where(mask: Array, *columns: Array) -> tuple[Array, ...]:
    return tuple(column[mask] for column in columns)


# --- the words


def _bunching_words(view: View, s: Sighting, since: float) -> tuple[str, str]:
    follower, leader = view.city.fleet.names.name(s.vehicle), view.city.fleet.names.name(s.other)
    a = view.alerts
    return (
        f"Route {a.route(s)}: {follower} runs right behind {leader}",
        f"{follower} is {_span(s.value)} behind {leader} after {a.stop(s)}; planned every {_span(s.planned)} "
        f"({s.value / s.planned:.0%}). Towards {a.destination(s)}, since {a.clock(since)}.",
    )


def _gap_words(view: View, s: Sighting, since: float) -> tuple[str, str]:
    follower, leader = view.city.fleet.names.name(s.vehicle), view.city.fleet.names.name(s.other)
    a = view.alerts
    return (
        f"Route {a.route(s)}: gap of {_span(s.value)} in front of {follower}",
        f"{follower} is {_span(s.value)} behind {leader} after {a.stop(s)}; planned every {_span(s.planned)} "
        f"({s.value / s.planned:.0%}). Towards {a.destination(s)}, since {a.clock(since)}.",
    )


def _lost_words(view: View, s: Sighting, since: float) -> tuple[str, str]:
    vehicle, a = view.city.fleet.names.name(s.vehicle), view.alerts
    return (
        f"Route {a.route(s)}: {vehicle} is no longer heard of",
        f"Last heard of at {a.clock(s.value)} near {a.stop(s)}, in service towards {a.destination(s)}.",
    )


def _silent_words(view: View, s: Sighting, since: float) -> tuple[str, str]:
    return (
        "No vehicle positions are coming in",
        f"The last ones came at {view.alerts.clock(s.value)}; everything shown is older. Look at the source of pings.",
    )


# In the order in which they are sighted and told.
RULES: tuple[Rule, ...] = (
    Rule("bunching", bunching, _bunching_words, lambda a: a.after_s, "WARNING", "OTHER_CAUSE", "OTHER_EFFECT"),
    Rule("gap", gap, _gap_words, lambda a: a.after_s, "WARNING", "OTHER_CAUSE", "SIGNIFICANT_DELAYS"),
    Rule("vehicle_lost", vehicle_lost, _lost_words, lambda a: 0.0, "INFO", "TECHNICAL_PROBLEM", "UNKNOWN_EFFECT"),
    Rule("source_silent", source_silent, _silent_words, lambda a: 0.0, "SEVERE", "TECHNICAL_PROBLEM", "UNKNOWN_EFFECT"),
)


class Alerts:
    """The part of the city that raises, updates and resolves alerts."""

    name = "alerts"
    after_s: float
    lost_after_s: float
    source_silent_s: float

    def __init__(self, network: Network, settings: Settings, headways: Headways) -> None:
        self.network = network
        self.headways = headways
        self.after_s = settings.city.alert_after_s
        self.lost_after_s = settings.city.lost_after_s
        self.source_silent_s = settings.city.source_silent_s
        self._zone = zone_of(network.timezone)
        pattern = headways.planned.pgate_pattern
        first = network.pgate_start[pattern]
        self.is_first_gate = np.append(np.arange(len(pattern)) == first, True)  # -1, no gate, is none to judge at
        pos = network.pgate_stop_pos
        last = np.where(pos >= 0, np.arange(len(pos)), first)
        pos = np.maximum(pos[np.maximum.accumulate(last)], 0)
        self.pgate_last_stop = network.pstop_stop_ix[network.pstop_start[pattern] + pos]

    # --- the part

    def fresh(self) -> State:
        """Nothing seen, nothing heard."""
        return State({}, float("nan"), float("nan"))

    def observe(self, city: CityState, facts: Facts) -> CityOutput:
        """Note that the source is alive."""
        state: State = city.parts[self.name]
        if messages.rows(facts.positions):
            if not facts.record_time - state.heard < self.source_silent_s:
                state.alive_since = facts.record_time
            state.heard = facts.record_time
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """Alerts raised, changed or resolved; every active one at `restate`."""
        state: State = city.parts[self.name]
        serving = np.zeros(len(city.fleet), dtype=np.bool_)
        serving[city.fleet.in_service(at, self.lost_after_s)] = True
        episodes: dict[str, dict[str, Episode]] = {rule.kind: {} for rule in RULES}
        for key, e in state.episodes.items():
            episodes[e.kind][key] = e
        view = View(city, self, state, at, self.headways.current_s(city), serving, episodes)
        told: list[dict[str, Any]] = []
        for rule in RULES:
            told += self._judge(view, rule, restate)
        return {"alerts": _columns(told)} if told else {}

    def dump(self, state: State) -> Any:
        """Episodes as lists."""
        keys = sorted(state.episodes)
        episodes = [state.episodes[k] for k in keys]
        return {
            "keys": keys,
            "kind": [e.kind for e in episodes],
            "subject": [list(e.subject) for e in episodes],
            "times": np.array([[e.since, e.clear_since, e.told_at] for e in episodes]).reshape(-1, 3),
            "revision": np.array([e.revision for e in episodes], dtype=np.int64),
            "row": [e.row for e in episodes],
            "source": np.array([state.heard, state.alive_since]),
        }

    def load(self, tree: Any, same_network: bool) -> State:
        """Alerts outlive a change of the network: they are known by vehicles."""
        episodes = {}
        for i, key in enumerate(tree["keys"]):
            since, clear_since, told_at = (float(t) for t in tree["times"][i])
            row = None if tree["row"][i] is None else dict(tree["row"][i])
            subject = tuple(tree["subject"][i])
            episodes[key] = Episode(
                tree["kind"][i], subject, since, clear_since, int(tree["revision"][i]), told_at, row
            )
        return State(episodes, float(tree["source"][0]), float(tree["source"][1]))

    def runs_in_use(self, state: State) -> Array:
        """None: episodes are known by ids."""
        return np.empty(0, dtype=np.int64)

    def renumber(self, state: State, run: Array, vehicle: Array) -> None:
        """Nothing here has the number of a run or a vehicle."""

    def warm_up(self) -> None:
        """No kernels."""

    # --- words for places and times

    def route(self, s: Sighting) -> str:
        """Short name of the sighting's route, else its id."""
        route = int(self.network.pattern_route_ix[s.place[0]])
        return self.network.route_short_name[route] or self.network.route_ids[route]

    def stop(self, s: Sighting) -> str:
        """Name of the sighting's stop."""
        return self.network.stop_name[s.place[1]] or self.network.stop_ids[s.place[1]]

    def destination(self, s: Sighting) -> str:
        """Name of the last stop of the sighting's pattern."""
        stop = int(self.network.pstop_stop_ix[self.network.pstop_start[s.place[0] + 1] - 1])
        return self.network.stop_name[stop] or self.network.stop_ids[stop]

    def clock(self, posix: float) -> str:
        """HH:MM:SS on the city's wall."""
        return datetime.fromtimestamp(posix, self._zone).strftime("%H:%M:%S")

    def last_stop(self, pattern: int, dist_m: float) -> int:
        """The pattern's last stop at or before a distance; its first one when the distance is unknown."""
        start, end = int(self.network.pstop_start[pattern]), int(self.network.pstop_start[pattern + 1])
        at = (
            start + int(np.searchsorted(self.network.pstop_dist_m[start:end], dist_m + 1.0)) - 1
            if dist_m >= 0
            else start
        )
        return int(self.network.pstop_stop_ix[max(at, start)])

    # --- inside

    def _judge(self, view: View, rule: Rule, restate: bool) -> list[dict[str, Any]]:
        """One rule's sightings against its episodes; returns the rows to tell, ordered by identity."""
        episodes, at = view.state.episodes, view.at
        told: list[tuple[str, dict[str, Any]]] = []
        sighted = {":".join((rule.kind, *s.subject)): s for s in rule.sight(view)}
        known = view.episodes[rule.kind]
        for key in {**sighted, **known}:
            s, e = sighted.get(key), known.get(key)
            if e is None:
                if s is None or not s.firm:
                    continue
                e = episodes[key] = Episode(rule.kind, s.subject, at, float("nan"), -1, float("nan"), None)
            if e.revision < 0:
                if s is None or not s.firm:
                    del episodes[key]
                elif at - e.since >= rule.after_s(self):
                    told.append((key, self._tell(view, rule, key, e, s)))
            elif s is None:
                assert e.row is not None
                if e.clear_since != e.clear_since:
                    e.clear_since = at
                if at - e.clear_since >= rule.after_s(self):
                    told.append((key, {**e.row, "revision": e.revision + 1, "active_to": e.clear_since}))
                    del episodes[key]
                elif restate:
                    told.append((key, e.row))
            else:
                assert e.row is not None
                e.clear_since = float("nan")
                if at - e.told_at >= UPDATE_EVERY_S and self._differs(view, e.row, s):
                    told.append((key, self._tell(view, rule, key, e, s)))
                elif restate:
                    told.append((key, e.row))
        return [row for _, row in sorted(told, key=lambda pair: pair[0])]

    def _differs(self, view: View, row: dict[str, Any], s: Sighting) -> bool:
        """Whether there is news: another place, or the pair has changed places."""
        stop = self.network.stop_ids[s.place[1]] if s.place[1] >= 0 else None
        return bool(row["stop_id"] != stop or row["vehicle_id"] != view.city.fleet.names.name(s.vehicle))

    def _tell(self, view: View, rule: Rule, key: str, e: Episode, s: Sighting) -> dict[str, Any]:
        network = self.network
        pattern, stop = s.place
        header, description = rule.words(view, s, e.since)
        e.revision += 1
        e.told_at = view.at
        row = e.row = {
            "alert_id": f"{key}:{e.since:.0f}",
            "revision": e.revision,
            "kind": rule.kind,
            "severity": rule.severity,
            "active_from": e.since,
            "active_to": None,
            "route_id": network.route_ids[int(network.pattern_route_ix[pattern])] if pattern >= 0 else None,
            "direction_id": int(network.pattern_direction[pattern]) if pattern >= 0 else -1,
            "stop_id": network.stop_ids[stop] if stop >= 0 else None,
            "vehicle_id": view.city.fleet.names.name(s.vehicle) if s.vehicle >= 0 else None,
            "cause": rule.cause,
            "effect": rule.effect,
            "header": header,
            "description": description,
        }
        return row


def _columns(told: list[dict[str, Any]]) -> Columns:
    return {name: messages.column(kind, [row[name] for row in told]) for name, kind in messages.ALERT.items()}


def _span(seconds: float) -> str:
    """A span of time as one says it: 45 s, 12 min, 1 h 05."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02}"
