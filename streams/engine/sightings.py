"""What a dispatcher should know: one function per kind of alert that sights it on all vehicles at once."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.engine.detours import Detour
from streams.engine.detours import State as DetourState
from streams.engine.episodes import Sightings
from streams.engine.fleet import IN_SERVICE
from streams.engine.headways import State as HeadwayState
from streams.engine.part import CityState

if TYPE_CHECKING:
    from streams.engine.alerts import Alerts, State

Array = np.ndarray

MEASURED_WITHIN_S = 600.0  # an older headway says nothing about now
FORGOTTEN_S = 3600.0  # a vehicle not heard of for so long has gone home
MARGIN = 1.2  # soft limit over firm limit where the bands leave no room between them
CLEAR_M = 30.0  # a bus this far from both others is between them
TERMINAL_M = 100.0  # a bus that stands this near an end of its route waits there
DROPPED_S = 60.0  # a headway that has grown by so much since the last gate is a new one
MOVED_M = 50.0  # GPS error moves a standing bus less than this
MISSED_HEADWAYS = 2.0  # a route without a bus for so many planned headways has no service
NONE = Sightings.of(np.empty(0, dtype=np.int64))


class View(NamedTuple):
    """What a rule sees."""

    city: CityState
    alerts: "Alerts"
    state: "State"
    at: float  # record time
    current_s: Array  # headway of each vehicle, as far as the headways know it
    serving: Array  # whether each vehicle is in service and heard of (bool)

    def detours(self) -> list[Detour]:
        """Detours that are known, in order of their numbers."""
        state: DetourState | None = self.city.parts.get("detours")
        return state.detours if state else []

    def detour(self, number: int) -> Detour:
        """The detour with this number."""
        return next(d for d in self.detours() if d.number == number)

    def watched(self, kind: str) -> Array:
        """Whether a vehicle (row of the fleet) is the subject of an episode of this kind (bool)."""
        key = self.state.episodes[kind].key
        out = np.zeros(len(self.city.fleet), dtype=np.bool_)
        out[key & 0xFFFFFFFF] = True
        out[key >> 32] = True  # 0 where there is one vehicle: one more to look at does no harm
        return out


def bunching(view: View) -> Sightings:
    """A bus so close behind the one ahead that both serve the same passengers.

    A bunch is a pair, whoever is ahead, and needs a leader that still drives there.
    """
    if not view.serving.any():
        return NONE
    bunched, close, _, _ = view.alerts.headways.limits
    ratio = _ratio(view)
    with np.errstate(invalid="ignore"):
        firm, soft = ratio <= bunched, ratio <= max(close, bunched * MARGIN)
    found, leader_run = _followers(view, firm, soft & view.watched("bunching")[: len(ratio)])
    fleet = view.city.fleet
    there = view.serving[found.other] & (fleet.run[found.other] == leader_run)
    found = found.take(np.flatnonzero(there))
    a, b = np.minimum(found.vehicle, found.other), np.maximum(found.vehicle, found.other)
    found.key = a << 32 | b
    # two buses that overtook each other are one pair: what was measured last counts
    runs = view.city.runs
    order = np.lexsort((runs.key[fleet.run[found.vehicle]], found.measured))
    found = found.take(order)
    return found.last_of(found.key)


def gap(view: View) -> Sightings:
    """A bus so far behind the one ahead that the stops between wait too long; no other bus is between them."""
    if not view.serving.any():
        return NONE
    _, _, wide, far = view.alerts.headways.limits
    ratio = _ratio(view)
    with np.errstate(invalid="ignore"):
        firm, soft = ratio >= far, ratio >= min(wide, far / MARGIN)
    found, leader_run = _followers(view, firm, soft & view.watched("gap")[: len(ratio)])
    found = found.take(np.flatnonzero(~_occupied(view, found, leader_run)))
    # the buses behind a gap may overtake each other: what was measured last counts
    runs = view.city.runs
    order = np.lexsort((runs.key[view.city.fleet.run[found.vehicle]], found.measured))
    found = found.take(order)
    return found.last_of(found.other)


def vehicle_lost(view: View) -> Sightings:
    """A vehicle in service that is no longer heard of, away from its last stop: there it may have been turned off.

    A source that is silent as a whole loses none.
    """
    fleet, at, alerts = view.city.fleet, view.at, view.alerts
    n = len(fleet)
    silent_s = at - fleet.news[:n]
    serving = (fleet.trip_type[:n] == IN_SERVICE) & (fleet.pattern[:n] >= 0)
    v = np.flatnonzero(serving & (silent_s >= alerts.lost_after_s) & (silent_s < FORGOTTEN_S))
    with np.errstate(invalid="ignore"):
        v = v[~(_ends(view, v)[1] <= TERMINAL_M)]
    if not len(v):
        return NONE
    waited_s = np.minimum(silent_s[v], at - view.state.alive_since)
    source_is_silent = at - view.state.heard >= alerts.source_silent_s
    firm = (waited_s >= alerts.lost_after_s) & (not source_is_silent)
    return Sightings.of(v, firm, **_whereabouts(view, v), value=fleet.news[v])


def vehicle_stopped(view: View) -> Sightings:
    """A vehicle in service that has not moved for long, away from the ends of its route."""
    if not view.serving.any():
        return NONE
    fleet, state, alerts = view.city.fleet, view.state, view.alerts
    n = min(len(fleet), len(state.moved_at))
    with np.errstate(invalid="ignore"):
        stood = fleet.timestamp[:n] - state.moved_at[:n] >= alerts.stopped_after_s
    v = np.flatnonzero(stood & view.serving[:n] & ~fleet.off_route[:n])
    begun, left = _ends(view, v)
    v = v[(begun > TERMINAL_M) & (left > TERMINAL_M)]
    return Sightings.of(v, **_whereabouts(view, v), value=state.moved_at[v])


def no_service(view: View) -> Sightings:
    """A route and direction that has lost its last bus though service is planned now."""
    state, alerts, at = view.state, view.alerts, view.at
    if at - view.state.heard >= alerts.source_silent_s:
        known = state.episodes["no_service"]  # nothing is known: what was told stays so, what had begun does not go on
        r = known.key[known.revision >= 0]
        return Sightings.of(r, value=state.served_at[r], target=alerts.planned_now(at)[r])
    since = state.served_at
    planned_s = alerts.planned_now(at)
    with np.errstate(invalid="ignore"):
        long = at - np.maximum(since, state.alive_since) >= np.maximum(alerts.no_service_s, MISSED_HEADWAYS * planned_s)
    r = np.flatnonzero(long & ~np.isnan(planned_s))
    if not len(r):
        return NONE
    return Sightings.of(r, value=since[r], target=planned_s[r])


def detour(view: View) -> Sightings:
    """A stretch of a route that several buses have driven round."""
    found = view.detours()
    if not found:
        return NONE
    number, pattern, vehicle = (
        np.array([getattr(d, name) for d in found], dtype=np.int64) for name in ("number", "pattern", "vehicle")
    )
    stop = np.array([view.alerts.detours.ends(d)[0] for d in found], dtype=np.int64)
    return Sightings.of(number, pattern=pattern, stop=stop, vehicle=vehicle)


def source_silent(view: View) -> Sightings:
    """Nothing has been heard of any vehicle."""
    heard = view.state.heard if view.state.heard == view.state.heard else view.city.started_at
    silent = view.at - heard >= view.alerts.source_silent_s
    return Sightings.of(np.zeros(1, dtype=np.int64), value=np.array([heard])) if silent else NONE


# --- inside


def _ratio(view: View) -> Array:
    """Current headway over its target, of every vehicle."""
    headways: HeadwayState = view.city.parts["headways"]
    with np.errstate(invalid="ignore"):
        ratio: Array = view.current_s / headways.latest["target_s"][: len(view.current_s)]
    return ratio


def _followers(view: View, firm: Array, soft: Array) -> tuple[Sightings, Array]:
    """Followers in service and heard of, not at an end of their route, that meet a limit; and their leaders' runs."""
    city, alerts, at, current_s = view.city, view.alerts, view.at, view.current_s
    headways: HeadwayState = city.parts["headways"]
    latest, fleet = headways.latest, city.fleet
    n = len(current_s)
    # a bus that stands drops back: that is measured too, by the bus ahead
    with np.errstate(invalid="ignore"):
        stands = current_s >= latest["headway_s"][:n] + DROPPED_S
        measured = np.where(stands, fleet.timestamp[:n], latest["time"][:n])
        recent = at - measured < MEASURED_WITHIN_S
    met = (firm | soft) & recent & view.serving[:n] & (latest["leader"][:n] >= 0)
    met &= ~alerts.is_end[latest["pgate"][:n]] & (latest["run"][:n] == fleet.run[:n])
    v = np.flatnonzero(met)
    leader_run = latest["leader"][v]
    leader = city.runs.vehicle[leader_run]
    known = leader >= 0
    v, leader, leader_run = v[known], leader[known], leader_run[known]
    pgate = latest["pgate"][v]
    found = Sightings.of(
        v,
        firm[v],
        pattern=alerts.headways.planned.pgate_pattern[pgate],
        stop=alerts.pgate_last_stop[pgate].astype(np.int64),
        vehicle=v,
        other=leader,
        value=current_s[v],
        target=latest["target_s"][v],
        measured=measured[v],
    )
    return found, leader_run


def _occupied(view: View, found: Sightings, leader_run: Array) -> Array:
    """Whether another bus in service is between each follower and its leader on the same pattern (bool)."""
    fleet, network = view.city.fleet, view.alerts.network
    if not len(found):
        return np.zeros(0, dtype=np.bool_)
    step = float(network.pattern_length_m.max(initial=0.0)) + 1000.0  # patterns one behind the other on one axis
    bus = np.flatnonzero(view.serving & ~np.isnan(fleet.dist_m[: len(view.serving)]))
    axis = np.sort(fleet.pattern[bus] * step + fleet.dist_m[bus])
    v, ahead = found.vehicle, found.other
    base = fleet.pattern[v] * step
    on_it = (fleet.run[ahead] == leader_run) & view.serving[ahead]
    alike = on_it & (fleet.pattern[ahead] == fleet.pattern[v])
    begin = base + fleet.dist_m[v] + CLEAR_M
    end = base + np.where(alike, fleet.dist_m[ahead] - CLEAR_M, step - 500.0)
    between = np.searchsorted(axis, end) - np.searchsorted(axis, begin, side="right")
    known = (alike | ~on_it) & ~np.isnan(begin) & ~np.isnan(end)
    found_one: Array = known & (between > 0)
    return found_one


def _ends(view: View, v: Array) -> tuple[Array, Array]:
    """Metres from the first stop of their patterns to vehicles, and from these to the last; NaN of an unknown place."""
    fleet, network = view.city.fleet, view.alerts.network
    pattern, dist = fleet.pattern[v], fleet.dist_m[v]
    first = network.pstop_dist_m[network.pstop_start[pattern]]
    last = network.pstop_dist_m[network.pstop_start[pattern + 1] - 1]
    return dist - first, last - dist


def _whereabouts(view: View, v: Array) -> dict[str, Array]:
    """Vehicle, pattern and last stop of vehicles."""
    fleet = view.city.fleet
    pattern = fleet.pattern[v]
    return {"vehicle": v, "pattern": pattern, "stop": view.alerts.last_stops(pattern, fleet.dist_m[v])}
