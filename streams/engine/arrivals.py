"""When each bus reaches each stop ahead: estimates on the grid of record time, and the learning behind them.

Where a bus is and which stops lie behind it is known from open facts, at once. What is learned (running times, waits
at terminals, residuals: a file each) is learned from closed passings only, SETTLE_S after they happened or when they
close, in order of event time: then nothing that is learned depends on how the log was cut or which pings were late.
Older news is worse news: at 300 s the traffic of the last minutes was missing, a point of MBTA's ruler on Warsaw's
hour.
"""

import math
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from streams import messages
from streams.engine import residuals
from streams.engine.congestion import Congestion, CongestionState, jam_seconds, link_cells
from streams.engine.fleet import IN_SERVICE, LAYOVER
from streams.engine.hours import falls_due
from streams.engine.names import Numbers, grown
from streams.engine.part import CityOutput, CityState, Facts, Observed
from streams.engine.pending import Pending, Rows
from streams.engine.running import OwnSums, Passages, RunningState, RunningTimes
from streams.engine.terminals import PARKED_S, WAITED_S, Forecasts, Terminals, TerminalState
from streams.gtfs.calendar import day_start, local_date, zone_of
from streams.gtfs.network import Network
from streams.kernels import arrivals as kernel
from streams.kernels.gates import START_AFTER_LAYOVER_M, START_SHARE
from streams.messages import Columns
from streams.settings import Settings

Array = np.ndarray

LEARN_S = 30.0  # how often passings are learned and running times worked out
SETTLE_S = 120.0  # a passing this old has closed, but for a long dwell or a silence
GAP_S = 120.0  # a passage seen only across a longer silence is left out
MOVED_M = 15.0  # less is GPS drift
STALE_S = 120.0  # a position older than this counts as standing

_PENDING = ("vehicle", "run", "pos", "pattern", "arrival", "departure", "determined_at", "revision", "withdrawn")
_READY = ("vehicle", "run", "pos", "pattern", "arrival", "departure", "determined_at")

# Memory per vehicle: dtype and what "nothing yet" is.
_BY_VEHICLE: dict[str, tuple[Any, Any]] = {
    "last_run": (np.int64, -1),  # learning: last closed passing
    "last_pattern": (np.int64, -1),
    "last_pos": (np.int64, -1),
    "last_arrival": (np.float64, np.nan),
    "last_departure": (np.float64, np.nan),
    "last_settled": (np.float64, np.nan),
    "ended_at": (np.float64, np.nan),
    "said_run": (np.int64, -1),  # statements: the run and pattern that the memory of what was said is about
    "said_pattern": (np.int64, -1),
    "place_run": (np.int64, -1),  # place: last known one on this run
    "place_m": (np.float64, np.nan),
    "moved_m": (np.float64, np.nan),
    "moved_at": (np.float64, np.nan),
    "own_s": (np.float64, 0.0),  # running.OwnSums
    "own_expected_s": (np.float64, 0.0),
    "own_at": (np.float64, 0.0),
    "next_run": (np.int64, -1),  # the run that it will be on, while the tracker has not begun it; which one it follows
    "next_of": (np.int64, -1),
    "next_trip": (np.int64, -1),  # what its block says that it will drive
}
_RUN_COLUMNS = ("last_run", "said_run", "place_run", "next_run", "next_of")
_SAID = ("said_p50", "said_told", "said_at")  # i4 (vehicles, stops) deciseconds since the epoch


@dataclass(slots=True)
class ArrivalsState:
    """What is remembered of runs and links."""

    pending: Pending
    ready: list[Rows]  # closed passings that are not SETTLE_S old
    running: RunningState
    residuals: residuals.ResidualState
    terminals: TerminalState
    vehicles: dict[str, Array]  # _BY_VEHICLE
    said: dict[str, Array]  # _SAID
    epoch: float  # of the deciseconds; NaN before the first statement
    jam_s: Array | None = None  # per link; None: to be worked out


class Arrivals:
    """The part of the city that says when the bus comes."""

    name = "arrivals"

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self._every_s = settings.city.statement_s
        self._silent_s = settings.city.estimate_silent_s
        self.running = RunningTimes(network)
        self._cells = link_cells(network)
        self.stops = int(np.diff(network.pstop_start).max(initial=0))  # of the longest pattern
        self._pstop_start = network.pstop_start.astype(np.int64)
        self._pstop_dist_m = network.pstop_dist_m.astype(np.float64)
        self._pstop_link = network.pstop_link_ix.astype(np.int64)
        self._pstop_gate_seq = network.pstop_gate_seq.astype(np.int64)
        self._plan_departure_s = network.trip_time_departure_s.astype(np.float64)
        self._plan_timepoint = network.trip_time_timepoint.astype(np.bool_)
        self.terminals = Terminals(network)
        self._zone = zone_of(network.timezone)
        self._days: dict[int, float] = {0: math.nan}
        self._trips = Numbers(network.trip_ix)
        self._trip_scale = trip_scales(network, self.running.prior_s)
        self._next_in_block = next_in_block(network)
        self._start_gate = start_gates(network)
        # where nothing follows, a bus that waits with the pattern it has driven waits at the end of it
        self._ends = (network.pattern_partner_ix < 0) & ~network.pattern_is_loop
        names = {
            "route": network.route_ids, "stop": network.stop_ids, "trip": network.trip_ids
        }  # fmt: skip
        self._ids = {kind: np.array([*ids, None], dtype=object) for kind, ids in names.items()}  # -1 finds None

    def fresh(self) -> ArrivalsState:
        """Nothing seen: the timetable and the built-in residuals."""
        return ArrivalsState(
            pending=Pending(("run", "pos"), _PENDING),
            ready=[],
            running=self.running.fresh(),
            residuals=residuals.fresh(),
            terminals=self.terminals.fresh(),
            vehicles={name: np.empty(0, dtype) for name, (dtype, _) in _BY_VEHICLE.items()},
            said={name: np.empty((0, self.stops), np.int32) for name in _SAID},
            epoch=math.nan,
        )

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Note the records' passings of stops; nothing is published at once."""
        state: ArrivalsState = city.parts[self.name]
        network, p = self.network, facts.passings
        rows = np.flatnonzero((facts.passing_gate >= 0) & (facts.passing_run >= 0))
        if len(rows):
            pattern, pos = (
                facts.passing_pattern[rows],
                network.pgate_stop_pos[facts.passing_gate[rows]].astype(np.int64),
            )
            stop = pos >= 0
            rows, pattern, pos = rows[stop], pattern[stop], pos[stop]
            left = (pos == 0) & np.isfinite(p["departure_time"][rows]) & ~p["withdrawn"][rows]
            self.terminals.hear(state.terminals, pattern[left], p["departure_time"][rows[left]])
            state.pending.observe(
                {
                    "vehicle": facts.passing_vehicle[rows],
                    "run": facts.passing_run[rows],
                    "pos": pos,
                    "pattern": pattern,
                    "arrival": p["arrival_time"][rows],
                    "departure": p["departure_time"][rows],
                    "determined_at": p["determined_at"][rows],
                    "revision": p["revision"][rows],
                    "withdrawn": p["withdrawn"][rows],
                }
            )
        state.pending.close(facts.closed_vehicle, facts.closed["until"])
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """Estimates that are new, have moved, or were last stated REPEAT_S ago; and withdrawals."""
        state: ArrivalsState = city.parts[self.name]
        n = len(city.fleet)
        self._grow(state, n)
        if math.isnan(state.epoch):
            state.epoch = math.floor(at / 86_400.0) * 86_400.0
            self._learn(city, state, at)
        elif falls_due(at, self._every_s, LEARN_S):
            self._learn(city, state, at)
        if state.jam_s is None:
            state.jam_s = self._jams(city)
        ahead = self.estimates(city, state, at)
        if not len(ahead.vehicle) and not (state.vehicles["said_run"] >= 0).any():
            return {}
        said = self._say(city, state, at, ahead)
        return {"arrivals": said} if messages.rows(said) else {}

    def learned(self, state: ArrivalsState) -> dict[str, Any]:
        """What outlasts the day, as a tree: running times, waits at terminals, residuals."""
        return {
            "running": self.running.learned(state.running),
            "residuals": residuals.learned(state.residuals),
            **self.terminals.learned(state.terminals),
        }

    def begin(self, tree: dict[str, Any]) -> ArrivalsState:
        """A state that knows what `learned` says, of this or another feed of the city."""
        state = self.fresh()
        state.running = self.running.begin(tree["running"])
        state.residuals = residuals.begin(tree["residuals"])
        state.terminals = self.terminals.begin(tree)
        return state

    def dump(self, state: ArrivalsState) -> dict[str, Any]:
        """The state as a tree."""
        return {
            "pending": state.pending.dump(),
            "ready": _joined(state.ready),
            "running": self.running.dump(state.running),
            "residuals": residuals.dump(state.residuals),
            "terminals": self.terminals.dump(state.terminals),
            "vehicles": state.vehicles,
            "said": state.said,
            "epoch": np.array([state.epoch]),
        }

    def load(self, tree: dict[str, Any], same_network: bool) -> ArrivalsState:
        """The state of `dump`'s tree; of another network, what it has learned."""
        state = self.begin({**tree, **tree["terminals"]["learned"], "running": tree["running"]["learned"]})
        state.pending.restore(tree["pending"])
        if same_network:
            state.running = self.running.load(tree["running"], same_network)
            state.residuals = residuals.load(tree["residuals"], same_network)
            state.ready = [tree["ready"]]
            state.terminals = self.terminals.load(tree["terminals"], same_network)
            state.vehicles, state.said = tree["vehicles"], tree["said"]
            state.epoch = float(tree["epoch"][0])
        else:  # an estimate that is not repeated lapses: what was said under the old feed need not be withdrawn
            state.pending.drop()
        return state

    def runs_in_use(self, state: ArrivalsState) -> Array:
        """Runs with open passings, estimates or statements, and those whose last passing may yet be followed."""
        seen, last_run = state.vehicles["last_arrival"], state.vehicles["last_run"]
        followed = seen > np.max(seen, initial=-np.inf, where=~np.isnan(seen)) - WAITED_S
        return np.concatenate(
            [
                state.pending.column("run"),
                _joined(state.ready)["run"],
                state.residuals.samples["run"],
                state.vehicles["said_run"],
                state.vehicles["next_run"],
                last_run[followed],
            ]
        )

    def renumber(self, state: ArrivalsState, run: Array, vehicle: Array) -> None:
        """Runs and vehicles got new numbers."""
        state.pending.renumber(vehicle, run)
        ready = _joined(state.ready)
        known = vehicle[ready["vehicle"]] >= 0
        ready = {name: values[known] for name, values in ready.items()}
        ready["vehicle"], ready["run"] = vehicle[ready["vehicle"]], run[ready["run"]]
        state.ready = [ready]
        residuals.renumber(state.residuals, run)
        self._grow(state, len(vehicle))
        kept = np.flatnonzero(vehicle >= 0)
        old = kept[np.argsort(vehicle[kept])]
        for name, values in state.vehicles.items():
            state.vehicles[name] = values[old]
        for name in _RUN_COLUMNS:
            values = state.vehicles[name]
            named = values >= 0
            values[named] = run[values[named]]
        for name in _SAID:
            state.said[name] = state.said[name][old]
        self.terminals.renumber(state.terminals, run, old)

    def warm_up(self) -> None:
        """Compile the kernels of arrivals."""
        state = self.fresh()
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
        own = _own(state)
        self.running.learn(state.running, own, Passages.room(0), 0.0)
        self.running.own_paces(state.running, own, 0.0, none, np.empty(0, np.bool_))
        self._passages(state, {name: nothing if name in _TIMES else none for name in _READY}, nothing, none, nothing)
        ahead = self._estimate(state, 0.0, Ahead.none())
        self._choose(state, 0.0, ahead)
        self.terminals.warm_up()
        kernel.withdraw(state.said["said_p50"], none, none, none, none)
        kernel.next_stops(none, nothing, none, nothing, self._pstop_start, self._pstop_dist_m, self._pstop_gate_seq)
        r = state.residuals
        kernel.calibrate(none, none, nothing, np.empty(0, np.bool_), r.tracked, r.spread_s, r.count)

    # --- learning

    def _learn(self, city: CityState, state: ArrivalsState, at: float) -> None:
        """What closed passings teach, once they are SETTLE_S old."""
        closed = state.pending.take()
        seen = ~np.isnan(closed["arrival"])  # Missing and Skipped stops have no times
        state.ready.append({name: closed[name][seen] for name in _READY})
        rows = _joined(state.ready)
        due = rows["determined_at"] <= at - SETTLE_S  # of a run recognised late: since it is known
        state.ready = [{name: values[~due] for name, values in rows.items()}]
        rows = {name: values[due] for name, values in rows.items()}
        # a stop may close twice, standing and then gone: the departure comes behind
        order = np.lexsort((~np.isnan(rows["departure"]), rows["pos"], city.runs.key[rows["run"]], rows["arrival"]))
        rows = {name: values[order] for name, values in rows.items()}
        trip = city.runs.trip[rows["run"]]
        plan_start, plan_row = self._plan_of(trip, city.runs.day[rows["run"]], rows["pattern"])
        scale = self._scale_of(trip, rows["pattern"])
        passages, wait = self._passages(state, rows, plan_start, plan_row, scale)
        left = np.flatnonzero((rows["pos"] == 0) & ~np.isnan(rows["departure"]))
        vehicle, run, pattern, departure = (rows[name][left] for name in ("vehicle", "run", "pattern", "departure"))
        self.terminals.learn(state.terminals, vehicle, run, pattern, departure, wait[left])
        self.running.learn(state.running, _own(state), passages, at)
        residuals.resolve(state.residuals, rows["run"], rows["pos"], rows["arrival"])
        residuals.judge(state.residuals, city.runs, at, self._next_pos_of_run(city, state, at))
        state.jam_s = self._jams(city)

    def _passages(
        self, state: ArrivalsState, rows: Rows, plan_start: Array, plan_row: Array, scale: Array
    ) -> tuple[Passages, Array]:
        n = len(rows["vehicle"])
        room, wait = Passages.room(n), np.empty(n)
        v = state.vehicles
        count = kernel.chain(
            rows["vehicle"], rows["run"], rows["pattern"], rows["pos"], rows["arrival"], rows["departure"],
            rows["determined_at"], plan_start, plan_row, scale, self._plan_departure_s, self._plan_timepoint,
            self._pstop_start, self._pstop_link,
            v["last_run"], v["last_pattern"], v["last_pos"], v["last_arrival"], v["last_departure"], v["last_settled"],
            v["ended_at"], GAP_S, *room, wait,
        )  # fmt: skip
        return Passages(*(each[:count] for each in room)), wait

    def _jams(self, city: CityState) -> Array:
        if Congestion.name not in city.parts:
            return np.zeros(len(self.running.prior_s))
        state: CongestionState = city.parts[Congestion.name]
        return jam_seconds(self._cells, state)

    def _next_pos_of_run(self, city: CityState, state: ArrivalsState, at: float) -> Array:
        """By number of the run, the first stop ahead of the vehicle that is on it; past every stop when none is."""
        on, run = self._active(city, state, at)
        out = np.full(len(city.runs), self.stops + 1, dtype=np.int64)
        out[run] = self._next_stops(city, on, run, city.fleet.dist_m[on], np.zeros(len(on)))
        return out

    # --- estimating

    def _active(self, city: CityState, state: ArrivalsState, at: float) -> tuple[Array, Array]:
        """Rows of the vehicles that are heard of and on a run, or about to begin one; and that run."""
        fleet, mine, n = city.fleet, state.vehicles, len(city.fleet)
        kind = fleet.trip_type[:n]
        active = (
            (fleet.pattern[:n] >= 0)
            & (at - fleet.news[:n] < self._silent_s)
            & ((kind == IN_SERVICE) | (kind == LAYOVER) | (kind < 0))
        )
        ended = np.flatnonzero(active & (kind == LAYOVER) & (fleet.run[:n] < 0) & (fleet.gate_run[:n] >= 0))
        ended = ended[self._ends[fleet.pattern[ended]] & ~self._false_start(city, ended)]
        active[ended[city.runs.pattern[fleet.gate_run[ended]] == fleet.pattern[ended]]] = False
        begins = active & (fleet.run[:n] < 0)
        mine["next_run"][:n][~begins] = -1
        self._begin(city, state, at, np.flatnonzero(begins))
        v = np.flatnonzero(active)
        return v, np.where(fleet.run[v] >= 0, fleet.run[v], mine["next_run"][v])

    def _false_start(self, city: CityState, v: Array) -> Array:
        """Whether what these vehicles, which wait, were on last was a false start of the run that they wait for."""
        fleet, pattern = city.fleet, city.fleet.pattern[v]
        found: Array = (fleet.gate_run[v] >= 0) & (fleet.gate_run[v] == fleet.last_run[v])
        found &= fleet.gate_seq[v] <= self._start_gate[pattern]
        found[found] = city.runs.pattern[fleet.gate_run[v[found]]] == pattern[found]
        return found

    def _begin(self, city: CityState, state: ArrivalsState, at: float, v: Array) -> None:
        """Name the runs that vehicles are about to begin, as the tracker will: the day's next number.

        Or the last one again, if that was a false start: then the bus went no farther than one moves about that waits.
        """
        fleet, mine, runs = city.fleet, state.vehicles, city.runs
        now = local_date(at, self._zone)
        # whoever waits overnight begins the next day's first run
        anew = (mine["next_run"][v] < 0) | (mine["next_of"][v] != fleet.last_run[v])
        known = ~anew & ~(at - fleet.last_time[v] < WAITED_S)
        anew[known] = runs.day[mine["next_run"][v[known]]] != now.toordinal()
        v = v[anew]
        if not len(v):
            return
        before = fleet.last_run[v]
        today = now.isoformat()
        ids = np.empty(len(v), dtype=object)
        again = self._false_start(city, v).tolist()
        for k, (vehicle, run, seen) in enumerate(
            zip(v.tolist(), before.tolist(), fleet.last_time[v].tolist(), strict=True)
        ):
            day, number = today, 0
            if run >= 0:
                head, _, tail = str(runs.names.name(run)).rpartition(":")
                if at - seen < WAITED_S or head[:10] == today:
                    day, number = head[:10], int(tail) - again[k]
            ids[k] = f"{day}:{fleet.names.name(vehicle)}:{number + 1}"
        unknown = np.full(len(v), -1, dtype=np.int64)
        mine["next_run"][v] = runs.observe(ids, v, unknown, np.full(len(v), None, dtype=object), self._trips)
        mine["next_of"][v] = before
        trip = np.where(before >= 0, runs.trip[before], -1)
        follows = np.where(trip >= 0, self._next_in_block[trip], -1)
        fits = (follows >= 0) & (runs.day[mine["next_run"][v]] == runs.day[before])
        fits &= self.network.trip_pattern_ix[follows] == fleet.pattern[v]
        mine["next_trip"][v] = np.where(fits, follows, -1)

    def _next_stops(self, city: CityState, v: Array, run: Array, dist_m: Array, stood_s: Array) -> Array:
        fleet = city.fleet
        begun = (fleet.gate_run[v] == run) & (fleet.run[v] == run)  # what a false start passed is not behind it
        gate_seq = np.where(begun, fleet.gate_seq[v], -1)
        found: Array = kernel.next_stops(
            fleet.pattern[v], dist_m, gate_seq, stood_s, self._pstop_start, self._pstop_dist_m, self._pstop_gate_seq
        )
        return found

    def estimates(self, city: CityState, state: ArrivalsState, at: float) -> "Ahead":
        """Where every vehicle is, and the estimates for the stops ahead of it."""
        fleet, runs, mine = city.fleet, city.runs, state.vehicles
        v, run = self._active(city, state, at)
        dist, time = fleet.dist_m[v], fleet.timestamp[v]
        first_m = self._pstop_dist_m[self._pstop_start[fleet.pattern[v]]]
        # a terminal is a zone: wherever a bus waits in it, it waits for the first stop
        dist = np.where((fleet.trip_type[v] == LAYOVER) & np.isnan(dist), first_m, dist)
        placed = ~np.isnan(dist)
        new = placed & (mine["place_run"][v] != run)
        moved = placed & (new | (np.abs(dist - mine["moved_m"][v]) > MOVED_M))
        for name, rows, values in (
            ("place_run", placed, run), ("place_m", placed, dist), ("moved_m", moved, dist), ("moved_at", moved, time),
        ):  # fmt: skip
            mine[name][v[rows]] = values[rows]
        known = mine["place_run"][v] == run  # else it has not been on its route yet
        v, run = v[known], run[known]
        if not len(v):
            return Ahead.none()
        order = np.argsort(runs.key[run], kind="stable")
        v, run = v[order], run[order]
        pattern, time, dist = fleet.pattern[v], fleet.timestamp[v], mine["place_m"][v]
        stood = time - mine["moved_at"][v] + np.maximum(at - time - STALE_S, 0.0)
        next_pos = self._next_stops(city, v, run, dist, stood)
        trip = self._trips_of(city, state, v, run)
        plan_start, plan_row = self._plan_of(trip, runs.day[run], pattern)
        planned = np.full(len(v), np.nan)
        planned[plan_row >= 0] = (plan_start + self._plan_departure_s[np.maximum(plan_row, 0)])[plan_row >= 0]
        near_first = dist < self._pstop_dist_m[self._pstop_start[pattern]] + messages.TERMINAL_M
        layover = fleet.trip_type[v] == LAYOVER
        waiting = (next_pos <= 1) & near_first & (layover | (planned > at))
        depart = np.where(waiting & ~(at - planned > PARKED_S), np.maximum(planned, at), np.nan)
        unplanned = np.flatnonzero(waiting & np.isnan(planned))
        forecasts = self.terminals.forecast(state.terminals, city, v[unplanned], run[unplanned], at)
        place = np.empty(len(city.fleet), np.int64)
        place[v] = np.arange(len(v))
        depart[place[forecasts.vehicle]] = forecasts.leaves  # the others are parked
        stops = self._pstop_start[pattern + 1] - self._pstop_start[pattern]
        next_pos[waiting] = np.where(np.isnan(depart[waiting]), stops[waiting], np.maximum(next_pos[waiting], 1))
        scale = self._scale_of(trip, pattern)
        scale *= self.running.own_paces(state.running, _own(state), at, v, waiting)
        stray = fleet.off_route[v] | (np.isnan(fleet.dist_m[v]) & ~layover)
        row_start = np.concatenate([[0], np.cumsum(np.maximum(stops - next_pos, 0))])
        return self._estimate(
            state,
            at,
            Ahead(
                v,
                run,
                pattern,
                next_pos,
                row_start,
                dist,
                time,
                depart,
                stood,
                stray,
                plan_start,
                plan_row,
                scale,
                forecasts,
            ),
        )

    def _estimate(self, state: ArrivalsState, at: float, ahead: "Ahead") -> "Ahead":
        a, rows = ahead, int(ahead.row_start[-1])
        a.base, a.p10, a.p50, a.p90, a.told = (np.empty(rows) for _ in range(5))
        a.klass = np.empty(rows, dtype=np.int64)
        jam_s = state.jam_s if state.jam_s is not None else np.zeros(len(self.running.prior_s))
        kernel.estimate(
            at, a.pattern, a.dist_m, a.anchor, a.next_pos, a.depart_at, a.stood_s, a.stray, a.plan_start, a.plan_row,
            a.scale, a.row_start, self._pstop_start, self._pstop_dist_m, self._pstop_link, self._plan_departure_s,
            self._plan_timepoint, state.running.expected, state.running.later, jam_s,
            self.running.hold(state.running), residuals.CENTRES_S,
            residuals.quantiles(state.residuals), a.base, a.p10, a.p50, a.p90, a.told, a.klass,
        )  # fmt: skip
        return a

    def _trips_of(self, city: CityState, state: ArrivalsState, v: Array, run: Array) -> Array:
        """The trips that vehicles drive or are about to drive; -1 unknown."""
        trip, mine = city.runs.trip[run], state.vehicles
        begins = (trip < 0) & (run == mine["next_run"][v])
        found: Array = np.where(begins, mine["next_trip"][v], trip)
        return found

    def _scale_of(self, trip: Array, pattern: Array) -> Array:
        """Running time of each trip over that of its pattern's links, by the timetable; 1 where there is no trip."""
        good = (trip >= 0) & (self.network.trip_pattern_ix[trip] == pattern)
        found: Array = np.where(good, self._trip_scale[trip], 1.0)
        return found

    def _plan_of(self, trip: Array, day: Array, pattern: Array) -> tuple[Array, Array]:
        """POSIX zero of each run's service day and the first row of its planned times; NaN and -1 without a plan."""
        network = self.network
        days, of = np.unique(day, return_inverse=True)
        for new in set(days.tolist()) - self._days.keys():
            self._days[new] = day_start(date.fromordinal(new), self._zone)
        start = np.array([self._days[d] for d in days.tolist()], dtype=np.float64)[of]
        good = (trip >= 0) & (day > 0)
        good[good] &= ~network.trip_is_frequency[trip[good]] & (network.trip_pattern_ix[trip[good]] == pattern[good])
        row = np.full(len(trip), -1, dtype=np.int64)
        row[good] = network.trip_time_start[trip[good]]
        return start, row

    # --- stating

    def _say(self, city: CityState, state: ArrivalsState, at: float, ahead: "Ahead") -> Columns:
        """Withdrawals, then estimates; both in an order that does not depend on numbers."""
        mine, n = state.vehicles, len(city.fleet)
        a = ahead
        np.round(a.p50, 2, out=a.p50)
        np.round(a.told, 2, out=a.told)
        known = np.concatenate([[0], np.cumsum(~np.isnan(a.p50))])
        held = np.diff(known[a.row_start])
        keep_from, keep_to = np.zeros(len(mine["said_run"]), np.int64), np.zeros(len(mine["said_run"]), np.int64)
        same = (mine["said_run"][a.vehicle] == a.run) & (mine["said_pattern"][a.vehicle] == a.pattern)
        keep_from[a.vehicle[same]] = a.next_pos[same]
        keep_to[a.vehicle[same]] = (a.next_pos + held)[same]
        gone_vehicle, gone_pos = self._withdraw(state, keep_from, keep_to)
        withdrawn: list[Columns] = []
        if len(gone_vehicle):
            gone_run, gone_pattern = mine["said_run"][gone_vehicle], mine["said_pattern"][gone_vehicle]
            order = np.lexsort((gone_pos, city.runs.key[gone_run]))
            nothing = np.full(len(order), np.nan)
            withdrawn.append(
                self._columns(
                    city, at, gone_vehicle[order], gone_run[order], gone_pattern[order], gone_pos[order], *[nothing] * 4
                )
            )
        mine["said_run"][:n] = -1
        mine["said_run"][a.vehicle], mine["said_pattern"][a.vehicle] = a.run, a.pattern
        say = self._choose(state, at, a)
        row_vehicle = np.repeat(np.arange(len(a.vehicle)), np.diff(a.row_start))
        first_pos = a.next_pos - a.row_start[:-1]  # position of a row: its number and this
        if falls_due(at, self._every_s, 60.0):
            pos = np.arange(len(row_vehicle)) + first_pos[row_vehicle]
            lost = residuals.remember(state.residuals, city.runs, at, a.run[row_vehicle], pos, a.base, a.klass)
            city.count("estimates_not_sampled", lost)
            self.terminals.note(state.terminals, a.forecasts)
        rows = np.flatnonzero(say)
        of = row_vehicle[rows]
        p10, p90 = np.round(a.p10[rows], 2), np.round(a.p90[rows], 2)
        new = self._columns(
            city, at, a.vehicle[of], a.run[of], a.pattern[of], rows + first_pos[of], p10, a.p50[rows], p90, a.told[rows]
        )
        return messages.concat(messages.ARRIVAL, [*withdrawn, new]) if withdrawn else new

    def _withdraw(self, state: ArrivalsState, keep_from: Array, keep_to: Array) -> tuple[Array, Array]:
        vehicle, pos = np.empty(4096, np.int64), np.empty(4096, np.int64)
        parts: list[tuple[Array, Array]] = []
        while True:
            n = kernel.withdraw(state.said["said_p50"], keep_from, keep_to, vehicle, pos)
            parts.append((vehicle[:n].copy(), pos[:n].copy()))
            if n < len(vehicle):
                return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _choose(self, state: ArrivalsState, at: float, a: "Ahead") -> Array:
        say = np.zeros(len(a.p50), dtype=np.bool_)
        epoch = 0.0 if math.isnan(state.epoch) else state.epoch
        kernel.choose(
            at, epoch, a.vehicle, a.next_pos, a.row_start, a.p50, a.told, state.said["said_p50"],
            state.said["said_told"], state.said["said_at"], say,
        )  # fmt: skip
        return say

    def _columns(
        self, city: CityState, at: float, vehicle: Array, run: Array, pattern: Array, pos: Array,
        p10: Array, p50: Array, p90: Array, told: Array,
    ) -> Columns:  # fmt: skip
        network = self.network
        pstop = network.pstop_start[pattern] + pos
        return {
            "made_at": np.full(len(vehicle), at),
            "trip_id_performed": city.runs.names.of(run),
            "scheduled_stop_sequence": network.pstop_sequence[pstop].astype(np.int64),
            "vehicle_id": city.fleet.names.of(vehicle),
            "trip_id_scheduled": self._ids["trip"][self._trips_of(city, city.parts[self.name], vehicle, run)],
            "route_id": self._ids["route"][network.pattern_route_ix[pattern]],
            "direction_id": network.pattern_direction[pattern].astype(np.int64),
            "stop_id": self._ids["stop"][network.pstop_stop_ix[pstop]],
            "arrival_p10": p10,
            "arrival_p50": p50,
            "arrival_p90": p90,
            "arrival_time": told,
        }

    def _grow(self, state: ArrivalsState, n: int) -> None:
        for name, (_, fill) in _BY_VEHICLE.items():
            state.vehicles[name] = grown(state.vehicles[name], n, fill)
        for name in _SAID:
            state.said[name] = grown(state.said[name], n, kernel.NOTHING)
        self.terminals.grow(state.terminals, n)


@dataclass(slots=True)
class Ahead:
    """Vehicles under way or waiting, in order of their runs' keys, and the estimates for the stops ahead of each."""

    vehicle: Array
    run: Array
    pattern: Array
    next_pos: Array
    row_start: Array
    dist_m: Array
    anchor: Array
    depart_at: Array
    stood_s: Array
    stray: Array
    plan_start: Array
    plan_row: Array
    scale: Array
    forecasts: Forecasts
    base: Array = field(default_factory=lambda: np.empty(0))
    p10: Array = field(default_factory=lambda: np.empty(0))
    p50: Array = field(default_factory=lambda: np.empty(0))
    p90: Array = field(default_factory=lambda: np.empty(0))
    told: Array = field(default_factory=lambda: np.empty(0))
    klass: Array = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def none(cls) -> "Ahead":
        """No vehicle."""
        i, f = np.empty(0, np.int64), np.empty(0)
        return cls(i, i, i, i, np.zeros(1, np.int64), f, f, f, f, np.empty(0, np.bool_), f, i, f, Forecasts.none())


def trip_scales(network: Network, prior_s: Array) -> Array:
    """Per trip, its own running time over the sum of its pattern's links: rush hours that the timetable knows of."""
    link = network.pstop_link_ix.astype(np.int64)
    seconds = np.concatenate([[0.0], np.cumsum(np.where(link >= 0, prior_s[link], 0.0))])
    of_pattern = seconds[network.pstop_start[1:]] - seconds[network.pstop_start[:-1]]
    first, last = network.trip_time_start[:-1], network.trip_time_start[1:] - 1
    own = network.trip_time_arrival_s[last].astype(np.float64) - network.trip_time_departure_s[first]
    scale: Array = own / np.maximum(of_pattern[network.trip_pattern_ix], 1.0)
    return np.where(own > 0.0, np.clip(scale, 0.5, 2.0), 1.0)


def start_gates(network: Network) -> Array:
    """The last gate of each pattern that a vehicle may have passed which only moved about at the start."""
    out = np.empty(len(network.pattern_ids), dtype=np.int64)
    for p, (lo, end) in enumerate(pairwise(network.pgate_start.tolist())):
        along = network.pgate_dist_m[lo:end] - network.pgate_dist_m[lo]
        out[p] = np.searchsorted(along, min(START_AFTER_LAYOVER_M, START_SHARE * along[-1]), side="right") - 1
    return out


def next_in_block(network: Network) -> Array:
    """The trip that a vehicle drives after each one by its block, on the same service; -1 where none is known."""
    out = np.full(len(network.trip_ids), -1, dtype=np.int64)
    order = np.lexsort((network.trip_start_s, network.trip_service_ix, network.trip_block_ix))
    block, service = network.trip_block_ix[order], network.trip_service_ix[order]
    same = (block[1:] >= 0) & (block[1:] == block[:-1]) & (service[1:] == service[:-1])
    out[order[:-1][same]] = order[1:][same]
    return out


def _own(state: ArrivalsState) -> OwnSums:
    return OwnSums(*(state.vehicles[name] for name in OwnSums._fields))


_TIMES = ("arrival", "departure", "determined_at")


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return dict(parts[0])
    if not parts:
        return {name: np.empty(0, np.float64 if name in _TIMES else np.int64) for name in _READY}
    return {name: np.concatenate([part[name] for part in parts]) for name in _READY}
