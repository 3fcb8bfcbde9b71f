"""Where traffic crawls: windows, pace and free flow of directed cells.

Closed traversals only. A live row says what a window holds so far, and is repeated as more closes; the `final` row
comes when every fact of the window must have closed. Only then does the window teach the profile, in order of
event time and vehicle, so that neither batches nor late pings leave a trace.
"""

import math
from dataclasses import dataclass
from typing import Any

import h3.api.basic_int as h3
import numpy as np

from streams import messages
from streams.engine.hours import PART_OF_HOUR, PARTS, falls_due, hour_of_week, hours_of_week
from streams.engine.part import CityOutput, CityState, Facts, Observed
from streams.engine.pending import Pending, Rows
from streams.engine.segments import LEVELS, Segments
from streams.gtfs.network import Network
from streams.kernels import cells, pace
from streams.messages import Columns
from streams.settings import Settings

Array = np.ndarray

LIVE_S = 30.0  # how often live rows are made
SETTLE_S = 300.0  # after the end of a window everything in it has closed
CURRENT_S = 1200.0  # a cell not driven through for longer has nothing current to say
DETERMINED_WITHIN_S = 120.0  # a traversal settled later than this after it ended counts where it was settled
FASTEST_MPS = 40.0  # faster is two pings that disagree about the place
HOUR_S = 3600.0
DEFAULT_PACE = 0.2  # s/m where no timetable says anything: 18 km/h
JAM_RATIO = cells.STOP_AND_GO_RATIO

_PENDING = (
    "vehicle", "cell", "entered_s", "entered_at", "metres", "seconds", "determined_at", "revision", "withdrawn",
)  # fmt: skip
_WAITING = ("window", "cell", "entered_at", "vehicle", "metres", "seconds")


@dataclass(slots=True)
class CongestionState:
    """What is remembered of the cells: arrays over the network's cells, and facts not yet learned."""

    pending: Pending
    waiting: list[Rows]  # closed, their window still open
    live: Array  # bool: closed traversals since the last live rows
    next_window: float  # the oldest window that is not final; NaN before the first statement
    # the filter (pace.observe)
    deviation: Array
    variance: Array
    seen_at: Array
    # the profile (pace.learn)
    cell_s: Array
    cell_m: Array
    part_s: Array
    part_m: Array
    hour_s: Array
    hour_expected_s: Array
    free: Array
    free_n: Array
    free_log: Array
    free_log2: Array
    # vehicle-seconds lost, of the windows of the last hour that have closed
    delay: Array  # f8 (n_cells, windows)
    delay_window: Array  # f8 (windows,): the window that a place of `delay` holds, NaN none
    # of the last live moment
    usual: Array
    now: Array


_LEARNED = ("cell_s", "cell_m", "part_s", "part_m", "free", "free_n", "free_log", "free_log2")
_BY_CELL = ("deviation", "variance", "seen_at", *_LEARNED)


@dataclass(frozen=True, slots=True, eq=False)
class LinkCells:
    """The cells that each link runs through (CSR), and what the timetable says of the cells' pace."""

    start: Array  # i8 (n_links + 1)
    cell: Array  # i8
    metres: Array  # f8
    prior: Array  # f8 (n_cells) s/m without dwell


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What the traversals of a window add up to, a row per cell."""

    cell: Array  # i8, ascending
    metres: Array  # f8
    seconds: Array  # f8, without dwell
    samples: Array  # i8
    vehicles: Array  # i8
    speed: Array  # f8, m/s
    n_cells: int  # of the network

    @classmethod
    def none(cls, cell: Array, speed: Array) -> "Sums":
        """Cells that nobody drove through, at these speeds (by cell of the network)."""
        zero, nothing = np.zeros(len(cell), dtype=np.int64), np.zeros(len(cell))
        return cls(cell, nothing, nothing, zero, zero, speed[cell], len(speed))

    @property
    def driven(self) -> Array:
        """Whether each cell of the network has a row (bool)."""
        out = np.zeros(self.n_cells, dtype=np.bool_)
        out[self.cell] = True
        return out

    def take(self, rows: Array) -> "Sums":
        """The chosen rows."""
        return Sums(
            self.cell[rows], self.metres[rows], self.seconds[rows], self.samples[rows], self.vehicles[rows],
            self.speed[rows], self.n_cells,
        )  # fmt: skip


class Congestion:
    """The part of the city that knows directed cells."""

    name = "congestion"

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.window_s = float(settings.city.window_s)
        self._every_s = settings.city.statement_s
        self._windows = max(1, round(HOUR_S / self.window_s))
        self.links = link_cells(network)
        self.segments = Segments(network, self.links.start, self.links.cell, self.links.metres)
        self.lane = network.cell_busway.astype(np.int64)
        self.h3_cell = np.array([h3.int_to_str(int(c)) for c in network.cell_h3], dtype=object)
        self.octant = network.cell_octant.astype(np.int64)
        self.lane_name = np.where(network.cell_busway, "busway", "mixed").astype(object)

    def fresh(self) -> CongestionState:
        """Nothing seen: usual pace and free flow are the timetable's."""
        n = len(self.links.prior)
        return CongestionState(
            pending=Pending(("vehicle", "cell", "entered_s"), _PENDING),
            waiting=[],
            live=np.zeros(n, dtype=np.bool_),
            next_window=math.nan,
            deviation=np.zeros(n),
            variance=np.zeros(n),
            seen_at=np.full(n, np.nan),
            cell_s=np.zeros(n),
            cell_m=np.zeros(n),
            part_s=np.zeros((n, PARTS), dtype=np.float32),
            part_m=np.zeros((n, PARTS), dtype=np.float32),
            hour_s=np.zeros((2, 168)),
            hour_expected_s=np.zeros((2, 168)),
            free=self.links.prior.copy(),
            free_n=np.zeros(n),
            free_log=np.zeros(n),
            free_log2=np.zeros(n),
            delay=np.zeros((n, self._windows)),
            delay_window=np.full(self._windows, np.nan),
            usual=self.links.prior.copy(),
            now=self.links.prior.copy(),
        )

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Note the records' traversals; nothing is published at once."""
        state: CongestionState = city.parts[self.name]
        if facts.same_network:
            t = facts.traversals
            known = (t["cell_ix"] >= 0) & (t["cell_ix"] < len(self.lane))
            entered = t["entered_at"]
            rows = {
                "vehicle": facts.traversal_vehicle,
                "cell": t["cell_ix"],
                "entered_s": np.rint(entered).astype(np.int64),
                "entered_at": entered,
                "metres": t["distance_m"],
                "seconds": t["running_s"],
                "determined_at": t["determined_at"],
                "revision": t["revision"],
                "withdrawn": t["withdrawn"],
            }
            state.pending.observe(rows if known.all() else {name: values[known] for name, values in rows.items()})
        state.pending.close(facts.closed_vehicle, facts.closed["until"])
        return {}

    def statements(self, city: CityState, at: float, restate: bool) -> CityOutput:
        """Live rows every LIVE_S, final rows of the windows that have closed, everything current at `restate`."""
        state: CongestionState = city.parts[self.name]
        said: list[Columns] = []
        ways: list[Columns] = []
        live = falls_due(at, self._every_s, LIVE_S)
        ends = self._window(at - SETTLE_S)  # windows before this one are final
        if live or state.next_window < ends:
            self._settle(city, state, at)
        if math.isnan(state.next_window):
            state.next_window = ends
        if state.next_window < ends:
            self._finish(city, state, ends, said, ways)
        if live or restate:
            self._live(state, at, restate, said, ways)
        return {
            "congestion": messages.concat(messages.CONGESTION, said),
            "segments": messages.concat(messages.SEGMENT, ways),
        }

    def usual_pace(self, state: CongestionState, at: float) -> Array:
        """Usual pace (s/m) of every cell at the hour of `at`."""
        hour = hour_of_week(math.floor(at / 3600.0), self.network.timezone)
        found: Array = pace.usual_pace(
            hour, self.lane, PART_OF_HOUR, self.links.prior, state.cell_s, state.cell_m, state.part_s, state.part_m,
            state.hour_s, state.hour_expected_s,
        )  # fmt: skip
        return found

    def learned(self, state: CongestionState) -> dict[str, Any]:
        """What outlasts the day, as a tree: usual pace and free flow of the cells that have seen a bus."""
        used = np.flatnonzero(state.free_n > 0)
        network = self.network
        return {
            "hour_s": state.hour_s,
            "hour_expected_s": state.hour_expected_s,
            "h3": network.cell_h3[used],
            "octant": self.octant[used].astype(np.int8),
            "busway": network.cell_busway[used],
            **{name: getattr(state, name)[used] for name in _LEARNED},
        }

    def begin(self, tree: dict[str, Any]) -> CongestionState:
        """A state that knows what `learned` says; cells are found by H3 cell, octant and lane in any network."""
        state = self.fresh()
        state.hour_s, state.hour_expected_s = tree["hour_s"].copy(), tree["hour_expected_s"].copy()
        cell, found = self._cells(tree)
        for name in _LEARNED:
            getattr(state, name)[cell] = tree[name][found]
        return state

    def dump(self, state: CongestionState) -> dict[str, Any]:
        """The state as a tree: cells that have seen a bus, by what they are, so that another feed's can be found."""
        used = np.flatnonzero((state.free_n > 0) | ~np.isnan(state.seen_at) | state.live)
        network = self.network
        return {
            "next_window": np.array([state.next_window]),
            "pending": state.pending.dump(),
            "waiting": self._waiting(state),
            "hour_s": state.hour_s,
            "hour_expected_s": state.hour_expected_s,
            "h3": network.cell_h3[used],
            "octant": self.octant[used].astype(np.int8),
            "busway": network.cell_busway[used],
            "live": state.live[used],
            "delay": state.delay[used],
            "delay_window": state.delay_window,
            "usual": state.usual[used],
            "now": state.now[used],
            **{name: getattr(state, name)[used] for name in _BY_CELL},
        }

    def load(self, tree: dict[str, Any], same_network: bool) -> CongestionState:
        """The state of `dump`'s tree; cells are found by H3 cell, octant and lane in any network."""
        state = self.fresh()
        state.next_window = float(tree["next_window"][0])
        state.hour_s, state.hour_expected_s = tree["hour_s"], tree["hour_expected_s"]
        cell, found = self._cells(tree)
        for name in (*_BY_CELL, "live", "usual", "now"):
            getattr(state, name)[cell] = tree[name][found]
        if len(tree["delay_window"]) == self._windows:
            state.delay[cell], state.delay_window = tree["delay"][found], tree["delay_window"]
        state.pending.restore(tree["pending"])
        if same_network:
            state.waiting = [tree["waiting"]]
        else:
            state.pending.drop()
        return state

    def runs_in_use(self, state: CongestionState) -> Array:
        """None: traversals are known by vehicle and cell."""
        return np.empty(0, dtype=np.int64)

    def renumber(self, state: CongestionState, run: Array, vehicle: Array) -> None:
        """Vehicles got new numbers."""
        state.pending.renumber(vehicle, run)
        rows = self._waiting(state)
        rows["vehicle"] = vehicle[rows["vehicle"]]
        gone = rows["vehicle"] < 0  # cannot be: a window is final long before its vehicles are forgotten
        state.waiting = [{name: values[~gone] for name, values in rows.items()}]

    def warm_up(self) -> None:
        """Compile the kernels of cells and pace."""
        state = self.fresh()
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
        self._learn(state, none, nothing, nothing, nothing)
        pace.observe(none, nothing, nothing, nothing, state.usual, state.deviation, state.variance, state.seen_at)
        cells.window_sums(none, none, nothing, nothing, 1)
        cells.by_cell(none, 1)
        cells.levels(nothing, nothing)
        state.now = pace.pace_now(0.0, self.usual_pace(state, 0.0), state.deviation, state.seen_at)
        jam_seconds(self.links, state)
        self.segments.warm_up()

    # --- inside

    def _cells(self, tree: dict[str, Any]) -> tuple[Array, Array]:
        """Cells of this network that a tree has rows for, and which rows of it those are (bool)."""
        here = _cell_keys(self.network.cell_h3, self.octant, self.network.cell_busway)
        there = _cell_keys(tree["h3"], tree["octant"], tree["busway"])
        order = np.argsort(here)
        place = np.searchsorted(here[order], there)
        found = (
            (place < len(here)) & (here[order][np.minimum(place, len(here) - 1)] == there) if len(here) else place < 0
        )
        return order[place[found]], found

    def _window(self, at: float) -> float:
        return math.floor(at / self.window_s) * self.window_s

    def _settle(self, city: CityState, state: CongestionState, at: float) -> None:
        """Closed traversals go to their windows, and through the filter in order of time."""
        closed = state.pending.take()
        good = (closed["metres"] > 0) & (closed["seconds"] > 0) & (closed["metres"] <= FASTEST_MPS * closed["seconds"])
        if not good.all():
            city.count("traversals_implausible", int(np.count_nonzero(~good)))
            closed = {name: values[good] for name, values in closed.items()}
        left = np.maximum(closed["entered_at"] + closed["seconds"], closed["determined_at"] - DETERMINED_WITHIN_S)
        window = np.floor(left / self.window_s) * self.window_s
        if not math.isnan(state.next_window):
            late = window < state.next_window
            city.count("traversals_late", int(np.count_nonzero(late)))
            if late.any():
                closed = {name: values[~late] for name, values in closed.items()}
                window, left = window[~late], left[~late]
        state.usual = self.usual_pace(state, at)
        if len(window):
            order = np.lexsort((closed["cell"], self._rank(city, closed["vehicle"]), left))
            pace.observe(
                closed["cell"][order], left[order], closed["metres"][order], closed["seconds"][order],
                state.usual, state.deviation, state.variance, state.seen_at,
            )  # fmt: skip
            state.live[closed["cell"]] = True
            state.waiting.append({**{name: closed[name] for name in _WAITING[1:]}, "window": window})
        state.now = pace.pace_now(at, state.usual, state.deviation, state.seen_at)

    def _finish(
        self, city: CityState, state: CongestionState, ends: float, said: list[Columns], ways: list[Columns]
    ) -> None:
        """The final rows of every window before `ends`; what they hold is learned."""
        rows = self._waiting(state)
        done = rows["window"] < ends
        state.waiting = [{name: values[~done] for name, values in rows.items()}]
        rows = {name: values[done] for name, values in rows.items()}
        for window in np.unique(rows["window"]).tolist():
            # floating-point sums depend on the order, and what is final must not depend on that of the log
            inside = self._in_time(city, rows, np.flatnonzero(rows["window"] == window))
            cell, entered_at = rows["cell"][inside], rows["entered_at"][inside]
            sums = self._sums(rows, inside)
            said.append(self._columns(state, window, sums, final=True))
            ways.append(self._segments(state, window, sums, sums.driven, final=True))
            place = self._place(window)
            if state.delay_window[place] != window:
                state.delay_window[place] = window
                state.delay[:, place] = 0.0
            state.delay[sums.cell, place] = self._delay(state, sums)
            self._learn(state, cell, entered_at, rows["metres"][inside], rows["seconds"][inside])
        state.next_window = ends

    def _learn(self, state: CongestionState, cell: Array, entered_at: Array, metres: Array, seconds: Array) -> None:
        pace.learn(
            cell, hours_of_week(entered_at, self.network.timezone), metres, seconds, self.lane, PART_OF_HOUR,
            self.links.prior, state.cell_s, state.cell_m, state.part_s, state.part_m, state.hour_s,
            state.hour_expected_s, state.free, state.free_n, state.free_log, state.free_log2,
        )  # fmt: skip

    def _live(self, state: CongestionState, at: float, restate: bool, said: list[Columns], ways: list[Columns]) -> None:
        """Open windows of the cells with news; at `restate` of every current cell, if need be as the filter has it."""
        rows = self._waiting(state)
        state.waiting = [rows]
        current = at - state.seen_at < CURRENT_S
        told = current if restate else state.live
        newest = np.zeros(len(told), dtype=np.bool_)
        for window in np.unique(rows["window"]).tolist():
            sums = self._sums(rows, np.flatnonzero(rows["window"] == window))
            news = sums.take(told[sums.cell])
            if len(news.cell):
                said.append(self._columns(state, window, news, final=False))
                ways.append(self._segments(state, window, sums, news.driven, final=False))
                newest |= news.driven
        if restate:
            here = self._window(at)
            alone = Sums.none(np.flatnonzero(current & ~newest), 1.0 / state.now)
            if len(alone.cell):
                said.append(self._columns(state, here, alone, final=False))
                told_of = self.segments.with_any(newest)
                ways.append(self._segments(state, here, alone, current, final=False, but=told_of))
        state.live[:] = False

    def _sums(self, rows: Rows, chosen: Array) -> "Sums":
        """What the chosen traversals of one window add up to, in their order."""
        chosen = chosen[cells.by_cell(rows["cell"][chosen], len(self.lane))]
        vehicle = rows["vehicle"][chosen]
        cell, metres, seconds, samples, vehicles = cells.window_sums(
            rows["cell"][chosen], vehicle, rows["metres"][chosen], rows["seconds"][chosen],
            int(vehicle.max(initial=0)) + 1,
        )  # fmt: skip
        return Sums(cell, metres, seconds, samples, vehicles, metres / seconds, len(self.lane))

    def _columns(self, state: CongestionState, window: float, sums: "Sums", final: bool) -> Columns:
        cell = sums.cell
        free = 1.0 / state.free[cell]
        n = len(cell)
        delay_s = self._delay(state, sums)
        hour = (state.delay_window > window - HOUR_S) & (state.delay_window < window)
        return {
            "window_start": np.full(n, window),
            "window_s": np.full(n, int(self.window_s), dtype=np.int64),
            "h3_cell": self.h3_cell[cell],
            "heading_octant": self.octant[cell],
            "lane": self.lane_name[cell],
            "speed_mps": np.round(sums.speed, 2),
            "free_flow_mps": np.round(free, 2),
            "congestion_level": LEVELS[cells.levels(sums.speed, free)],
            "n_vehicles": sums.vehicles,
            "n_samples": sums.samples,
            "distance_m": np.round(sums.metres, 1),
            "delay_s": np.round(delay_s, 1),
            "delay_hour_s": np.round(delay_s + state.delay[cell][:, hour].sum(axis=1), 1),
            "final": np.full(n, final),
        }

    def _segments(
        self, state: CongestionState, window: float, sums: "Sums", touched: Array, final: bool, but: Array | None = None
    ) -> Columns:
        """The segments of which a cell is among `touched` (bool), without those in `but`."""
        which = self.segments.with_any(touched)
        if but is not None:
            which &= ~but
        driven = sums.samples > 0
        pace_here, samples = state.now.copy(), np.zeros(len(state.now), dtype=np.int64)
        pace_here[sums.cell[driven]] = 1.0 / sums.speed[driven]
        samples[sums.cell] = sums.samples
        return self.segments.columns(
            window, self.window_s, np.flatnonzero(which), pace_here, state.free, samples, final
        )

    def _delay(self, state: CongestionState, sums: "Sums") -> Array:
        """Vehicle-seconds (f8) that the traversals of each cell took longer than they would on a free road."""
        delay: Array = np.maximum(sums.seconds - sums.metres * state.free[sums.cell], 0.0)
        return delay

    def _place(self, window: float) -> int:
        return round(window / self.window_s) % self._windows

    def _in_time(self, city: CityState, rows: Rows, chosen: Array) -> Array:
        """The chosen traversals in order of event time; ties by vehicle id and cell."""
        rank = self._rank(city, rows["vehicle"][chosen])
        order: Array = chosen[np.lexsort((rows["cell"][chosen], rank, rows["entered_at"][chosen]))]
        return order

    def _waiting(self, state: CongestionState) -> Rows:
        if not state.waiting:
            return {name: np.empty(0, np.int64 if name in ("cell", "vehicle") else np.float64) for name in _WAITING}
        if len(state.waiting) == 1:
            return dict(state.waiting[0])
        return {name: np.concatenate([part[name] for part in state.waiting]) for name in _WAITING}

    def _rank(self, city: CityState, vehicle: Array) -> Array:
        """Vehicles in the order of their ids: numbers depend on who came first."""
        rank = np.zeros(len(city.fleet), dtype=np.int64)
        rank[vehicle] = 1
        seen = np.flatnonzero(rank)
        rank[seen[np.argsort(city.fleet.names.of(seen).astype(str))]] = np.arange(len(seen))
        found: Array = rank[vehicle]
        return found


def jam_seconds(links: LinkCells, state: CongestionState) -> Array:
    """How much longer each link takes because of the jams on it, as of the last live moment."""
    found: Array = cells.jam_seconds(links.start, links.cell, links.metres, state.now, state.usual, JAM_RATIO)
    return found


def link_cells(network: Network) -> LinkCells:
    """Which cells each link runs through, from the first pattern that drives it; the timetable's pace of every cell.

    A link's time holds the dwell at its stop; the share taken off here is that of the arrival estimates.
    """
    n_links, n_cells = len(network.link_length_m), len(network.cell_h3)
    at = np.flatnonzero(network.pstop_link_ix >= 0)
    first = np.full(n_links, -1, dtype=np.int64)
    first[network.pstop_link_ix[at][::-1]] = at[::-1]
    first = first[first >= 0]
    link = network.pstop_link_ix[first].astype(np.int64)
    pattern = np.searchsorted(network.pstop_start, first, side="right") - 1
    # one axis for all patterns, each far from the next, so that spans and links meet by one search
    offset = np.concatenate([[0.0], np.cumsum(network.pattern_length_m + 1000.0)])
    span_pattern = np.repeat(np.arange(len(network.span_start) - 1), np.diff(network.span_start))
    span_from = network.span_dist_m + offset[span_pattern]
    begin = network.pstop_dist_m[first] + offset[pattern]
    end = network.pstop_dist_m[first + 1] + offset[pattern]
    lo = np.maximum(np.searchsorted(span_from, begin, side="right") - 1, 0)
    hi = np.maximum(np.searchsorted(span_from, end, side="left"), lo + 1)
    count = hi - lo
    row = np.repeat(np.arange(len(link)), count)
    span = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(lo, count)
    until = np.append(span_from[1:], offset[-1])
    until = np.minimum(until, (offset[1:] - 1000.0)[span_pattern])
    metres = np.minimum(until[span], end[row]) - np.maximum(span_from[span], begin[row])
    good = metres > 0
    row, metres, cell = row[good], metres[good], network.span_cell_ix[span][good].astype(np.int64)
    order = np.lexsort((np.arange(len(row)), link[row]))
    row, metres, cell = row[order], metres[order], cell[order]
    start = np.zeros(n_links + 1, dtype=np.int64)
    start[1:] = np.cumsum(np.bincount(link[row], minlength=n_links))
    running = network.link_running_s - np.minimum(15.0, 0.3 * network.link_running_s)
    each = (running / np.maximum(network.link_length_m, 1.0))[link[row]]
    total_m = np.bincount(cell, metres, n_cells)
    total_s = np.bincount(cell, metres * each, n_cells)
    usual = float(total_s.sum() / total_m.sum()) if total_m.sum() > 0 else DEFAULT_PACE
    prior = np.divide(total_s, total_m, out=np.full(n_cells, usual), where=total_m > 0)
    return LinkCells(start, cell, metres, np.clip(prior, 1.0 / 25.0, 2.0))


def _cell_keys(h3_cell: Array, octant: Array, busway: Array) -> Array:
    """One number per directed cell: 4 bits of an H3 index's 64 are fixed by its mode and resolution."""
    return (
        (h3_cell.astype(np.uint64) << np.uint64(4))
        ^ octant.astype(np.uint64) << np.uint64(1)
        ^ busway.astype(np.uint64)
    )
