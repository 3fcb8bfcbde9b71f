"""The city stage: all vehicles of one network in one order; positions in, headways, estimates, cells and alerts out.

When record time crosses the grid (every `statement_s`), every part makes its statements *before* the record's own facts
are observed, so a statement at 12:00:05 knows exactly the records stamped before 12:00:05, whatever batch they came
in. Heartbeats carry no facts and move record time. Between two grid points the facts of several records are observed at
once: small records would cost as many calls as large ones.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from streams import messages
from streams.engine import state as codec
from streams.engine.alerts import Alerts
from streams.engine.arrivals import Arrivals
from streams.engine.congestion import Congestion
from streams.engine.detours import Detours
from streams.engine.fleet import Fleet
from streams.engine.groups import GroupHeadways
from streams.engine.headways import Headways
from streams.engine.indicators import Indicators
from streams.engine.names import Numbers
from streams.engine.part import CityOutput, CityState, Facts, Learner, Observed, Part
from streams.engine.runs import Runs
from streams.engine.stage import Output, Record
from streams.gtfs.network import Network
from streams.kernels.fleet import newest_yet, raise_to
from streams.messages import Columns, Spec
from streams.settings import Settings

Array = np.ndarray

# What the city reads of a record; the rest of a position is passed over unread.
_READ = (
    "vehicle_id", "timestamp", "lat", "lon", "pattern_id", "trip_id_performed", "trip_id_scheduled", "trip_type",
    "dist_m", "off_route", "revision", "withdrawn",
)  # fmt: skip
IN: dict[str, Spec] = {
    "positions": {name: messages.POSITION[name] for name in _READ},
    "passings": messages.PASSING,
    "traversals": messages.TRAVERSAL,
    "closed": messages.CLOSED,
}
OUT: dict[str, Spec] = {
    "headways": messages.HEADWAY,
    "group_headways": messages.GROUP_HEADWAY,
    "arrivals": messages.ARRIVAL,
    "congestion": messages.CONGESTION,
    "segments": messages.SEGMENT,
    "indicators": messages.INDICATOR,
    "alerts": messages.ALERT,
}
_RECORD = messages.reader(IN, network=str)
ROWS_AT_ONCE = 1000  # positions whose facts are observed together, if they do not come in one record
ROWS_PER_RECORD = 10_000  # a re-statement of a large city stays far below the topic's largest record
MOST_GRID_POINTS = 240  # caught up one by one after a hole in record time; of a longer one only the last
FORGET_EVERY_S = 600.0
FORGET_VEHICLE_S = 86_400.0


def parts_of(network: Network, settings: Settings) -> tuple[Part, ...]:
    """The parts of the city, in the order in which they observe a record and make their statements."""
    headways = Headways(network, settings)
    return (
        headways,
        GroupHeadways(network, settings),
        Congestion(network, settings),
        Arrivals(network, settings),
        Indicators(network, settings, headways),
        Detours(network),
        Alerts(network, settings, headways),
    )


class _Waiting:
    """Records whose facts have not been observed yet; between them record time crossed no grid point."""

    def __init__(self) -> None:
        self.rows = 0  # of positions
        self.network: str | None = None  # hash of the one that the gates and cells of all of them belong to
        self.offsets: list[int] = []
        self.times: list[float] = []
        self._decoded: list[Any] = []

    def add(self, offset: int, record_time: float, decoded: Any) -> None:
        """Another record, of the same network as the others."""
        self.rows += _rows(decoded.positions)
        self.network = decoded.network
        self.offsets.append(offset)
        self.times.append(record_time)
        self._decoded.append(decoded)

    def columns(self) -> tuple[dict[str, Columns], dict[str, Array]]:
        """The columns of all records, one behind the other, and the record of every row. The lists are let go."""
        columns, record = {}, {}
        for name, spec in IN.items():
            parts = [getattr(decoded, name) for decoded in self._decoded]
            record[name] = np.repeat(np.arange(len(parts)), [_rows(part) for part in parts])
            lists = {c: [getattr(part, c) for part in parts] for c in spec}
            columns[name] = messages.from_wire(
                spec, {c: v[0] if len(v) == 1 else list(chain.from_iterable(v)) for c, v in lists.items()}
            )
        self._decoded = []
        return columns, record


class City:
    """The stage behind `positions` (see stage.py)."""

    name = "city"
    version = 11
    source = "positions"

    def __init__(
        self,
        network: Network,
        settings: Settings,
        parts: Sequence[Part] | None = None,
        learned: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network
        self.settings = settings
        self.parts = tuple(parts) if parts is not None else parts_of(network, settings)
        self._learned = learned or {}
        self._every_s = settings.city.statement_s
        self._patterns = Numbers(network.pattern_ix)
        self._trips = Numbers(network.trip_ix)
        self._restate_every = max(1, round(settings.city.restate_s / self._every_s))
        # A rolling target is a mean of headways that the record before may have changed.
        self._at_once = 0 if settings.city.headway_target == "rolling" else ROWS_AT_ONCE

    # --- the stage

    def fresh(self, partition: int) -> CityState:
        """A state that has seen nothing yet, but knows what a profile has taught; the city has one partition."""
        return CityState(
            Fleet(),
            Runs(),
            {
                part.name: part.begin(self._learned[part.name])
                if isinstance(part, Learner) and part.name in self._learned
                else part.fresh()
                for part in self.parts
            },
        )

    def step(self, state: CityState, records: Sequence[Record]) -> list[Output]:
        """Advance `state`; every output carries the offset of the record it belongs to."""
        outputs: list[Output] = []
        waiting = _Waiting()
        for record in records:
            if record.record_time >= state.next_grid:
                outputs += self._facts(state, waiting)
                waiting = _Waiting()
            outputs += self._due(state, record)
            decoded = self._decode(state, record.value)
            if decoded is None:
                continue
            if decoded.network != waiting.network:
                outputs += self._facts(state, waiting)
                waiting = _Waiting()
            waiting.add(record.offset, state.record_time, decoded)
            del decoded  # thousands of small objects: the next record's come to where they lie
            if waiting.rows >= self._at_once:
                outputs += self._facts(state, waiting)
                waiting = _Waiting()
        outputs += self._facts(state, waiting)
        return outputs

    def advance(
        self,
        state: CityState,
        columns: Mapping[str, Columns] | None,
        record_time: float,
        network_hash: str | None = None,
    ) -> CityOutput:
        """One `positions` record: the statements that are due, then what its facts give, by topic.

        columns       positions, passings, traversals, closed; None for a heartbeat
        record_time   POSIX seconds; a step back is taken as standing still
        network_hash  of the network that `gate_ix` and `cell_ix` refer to; None: this one
        """
        said: dict[str, list[Columns]] = {}
        for output in self._statements(state, record_time):
            _add(said, output)
        if columns is not None:
            record = {name: np.zeros(messages.rows(columns[name]), dtype=np.int64) for name in IN}
            facts = self._resolve(state, columns, record, np.array([state.record_time]), network_hash)
            for observed in self._observed(state, facts):
                _add(said, {topic: rows for topic, (rows, _) in observed.items()})
        return _joined(said)

    def learned(self, state: CityState) -> dict[str, Any]:
        """What outlasts the day, by part: for a profile (profile.py)."""
        return {part.name: part.learned(state.parts[part.name]) for part in self.parts if isinstance(part, Learner)}

    def dump(self, state: CityState) -> bytearray:
        """The state's bytes."""
        used = np.unique(
            np.concatenate([state.fleet.pattern[: len(state.fleet)], state.runs.pattern[: len(state.runs)]])
        )
        used = used[used >= 0]
        return codec.pack(
            {
                "version": self.version,
                "network": self.network.hash,
                "times": np.array([state.record_time, state.started_at, state.next_grid]),
                "counts": state.counts,
                "pattern": used,
                "pattern_id": [self.network.pattern_ids[i] for i in used],
                "fleet": state.fleet.dump(),
                "runs": state.runs.dump(),
                "parts": {part.name: part.dump(state.parts[part.name]) for part in self.parts},
            }
        )

    def load(self, data: bytes | bytearray, partition: int) -> CityState:
        """The state of `dump`'s bytes; of another network, what can be told by ids. ValueError: another version."""
        tree = codec.unpack(data)
        if tree["version"] != self.version:
            raise ValueError(f"city state of version {tree['version']}, this is {self.version}")
        same = tree["network"] == self.network.hash
        state = CityState(
            Fleet.load(tree["fleet"]),
            Runs.load(tree["runs"]),
            {
                part.name: part.load(tree["parts"][part.name], same) if part.name in tree["parts"] else part.fresh()
                for part in self.parts
            },
            record_time=float(tree["times"][0]),
            started_at=float(tree["times"][1]),
            next_grid=float(tree["times"][2]),
            counts=dict(tree["counts"]),
        )
        if not same:
            self._carry_over(state, tree)
        return state

    def warm_up(self) -> None:
        """Compile every kernel."""
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
        newest_yet(none, nothing, none, nothing, none)
        raise_to(nothing, none, nothing)
        for part in self.parts:
            part.warm_up()

    # --- inside

    def _due(self, state: CityState, record: Record) -> Iterator[Output]:
        """The statements that fall due with this record."""
        said: dict[str, list[Columns]] = {}
        rows = 0
        for output in self._statements(state, record.record_time):
            rows += _add(said, output)
            # In a hole of record time there is much to say for every grid point: too much to hold as columns.
            if rows > ROWS_PER_RECORD:
                yield from _encoded(_joined(said), record.offset)
                said.clear()
                rows = 0
        yield from _encoded(_joined(said), record.offset)

    def _facts(self, state: CityState, waiting: _Waiting) -> list[Output]:
        """What the facts of these records give, record by record."""
        if not waiting.offsets:
            return []
        facts = self._resolve(state, *waiting.columns(), np.array(waiting.times), waiting.network)
        outputs: list[Output] = []
        for observed in self._observed(state, facts):
            for topic, (columns, record) in observed.items():
                for at, value in messages.encode_parts(OUT[topic], columns, record, ROWS_PER_RECORD):
                    outputs.append(Output(topic, value, waiting.offsets[at]))
        outputs.sort(key=lambda output: output.offset)
        return outputs

    def _statements(self, state: CityState, record_time: float) -> Iterator[CityOutput]:
        """What every part has to say, in order, at each grid point that is crossed."""
        for at in self._reach(state, record_time):
            restate = round(at / self._every_s) % self._restate_every == 0
            for part in self.parts:
                yield part.statements(state, at, restate)

    def _observed(self, state: CityState, facts: Facts) -> Iterator[Observed]:
        """What every part has to say of facts, in order."""
        for part in self.parts:
            yield part.observe(state, facts)

    def _reach(self, state: CityState, record_time: float) -> Iterator[float]:
        """Move record time; the grid points that are crossed, each when the one before it is done with."""
        every = self._every_s
        if math.isnan(state.record_time):
            state.started_at = state.record_time = record_time
            state.next_grid = (math.floor(record_time / every) + 1) * every
        state.record_time = max(state.record_time, record_time)
        due = math.floor((state.record_time - state.next_grid) / every) + 1
        if due > MOST_GRID_POINTS:
            state.count("grid_points_skipped", due - 1)
            state.next_grid += (due - 1) * every
        while state.next_grid <= state.record_time:
            k = round(state.next_grid / every)
            if k % max(1, round(FORGET_EVERY_S / every)) == 0:
                self._forget(state, state.next_grid)
            yield state.next_grid
            state.next_grid = (k + 1) * every

    def _decode(self, state: CityState, value: bytes) -> Any:
        """The lists of a record; None for a heartbeat, and (counted) for what is no positions record."""
        if value == messages.HEARTBEAT:
            return None
        try:
            decoded = _RECORD.decode(value)
        except msgspec.MsgspecError:
            decoded = None
        if decoded is None or not all(_even(getattr(decoded, name)) for name in IN):
            state.count("records_malformed")
            return None
        return decoded

    def _resolve(
        self,
        state: CityState,
        columns: Mapping[str, Columns],
        record: Mapping[str, Array],
        record_times: Array,
        network_hash: str | None,
    ) -> Facts:
        """Ids become numbers; fleet and runs hear of the records."""
        positions, passings = columns["positions"], columns["passings"]
        traversals, closed = columns["traversals"], columns["closed"]
        same = network_hash is None or network_hash == self.network.hash
        fleet, runs = state.fleet, state.runs
        position_vehicle = fleet.intern(positions["vehicle_id"])
        passing_vehicle = fleet.intern(passings["vehicle_id"])
        traversal_vehicle = fleet.intern(traversals["vehicle_id"])
        closed_vehicle = fleet.intern(closed["vehicle_id"])
        # most vehicles are on the run and pattern that they were on before
        position_pattern = self._patterns.of(positions["pattern_id"], fleet.pattern[position_vehicle])
        passing_pattern = self._patterns.of(passings["pattern_id"], fleet.pattern[passing_vehicle])
        # A record's passings first: what is known of a run when it is first seen stays.
        ids = [facts["trip_id_performed"] for facts in (passings, positions, traversals)]
        vehicle = np.concatenate([passing_vehicle, position_vehicle, traversal_vehicle])
        unknown = np.full(len(traversal_vehicle), -1, dtype=np.int64)
        no_trip = np.full(len(traversal_vehicle), None, dtype=object)
        run = runs.observe(
            np.concatenate(ids),
            vehicle,
            np.concatenate([passing_pattern, position_pattern, unknown]),
            np.concatenate([passings["trip_id_scheduled"], positions["trip_id_scheduled"], no_trip]),
            self._trips,
            fleet.run[vehicle],
            np.concatenate([record["passings"], record["positions"], record["traversals"]]),
        )
        passing_run, position_run, traversal_run = np.split(run, np.cumsum([len(column) for column in ids[:-1]]))
        state.count("positions", len(position_vehicle))
        state.count("passings", len(passing_vehicle))
        state.count("traversals", len(traversal_vehicle))
        if not same:
            state.count("other_network", len(position_vehicle) + len(passing_vehicle) + len(traversal_vehicle))
        state.count("unknown_pattern", int(np.count_nonzero(passing_pattern < 0)))
        position_newest = fleet.observe(
            record_times[record["positions"]], positions, position_vehicle, position_run, position_pattern
        )
        fleet.passed(passings, passing_vehicle, passing_run)
        return Facts(
            record_times,
            same,
            positions,
            passings,
            traversals,
            closed,
            record["positions"],
            position_vehicle,
            position_run,
            position_pattern,
            position_newest,
            record["passings"],
            passing_vehicle,
            passing_run,
            passing_pattern,
            self._gates(passing_pattern, passings["gate_seq"]),
            traversal_vehicle,
            traversal_run,
            closed_vehicle,
        )

    def _gates(self, pattern: Array, seq: Array) -> Array:
        """The row of each passing's gate in the network's pgate_ arrays, -1 where the pattern has no such gate."""
        some = np.maximum(pattern, 0)
        begin = self.network.pgate_start[some].astype(np.int64)
        known = (pattern >= 0) & (seq >= 0) & (seq < self.network.pgate_start[some + 1] - begin)
        return np.where(known, begin + seq, -1)

    def _forget(self, state: CityState, at: float) -> None:
        """Drop runs that nothing refers to and vehicles not heard of for a day; the others get new numbers."""
        fleet, runs = state.fleet, state.runs
        n = len(fleet)
        vehicle_used = at - fleet.news[:n] < FORGET_VEHICLE_S
        in_use = [of[:n][vehicle_used] for of in (fleet.run, fleet.last_run, fleet.gate_run)]
        in_use += [part.runs_in_use(state.parts[part.name]) for part in self.parts]
        run_used = np.zeros(len(runs) + 1, dtype=np.bool_)
        for numbers in in_use:
            run_used[numbers] = True  # -1 marks the spare last place
        run_used = run_used[:-1]
        vehicle_used[runs.vehicle[: len(runs)][run_used]] = True
        if run_used.all() and vehicle_used.all():
            return
        state.fleet, vehicle = fleet.keep(vehicle_used)
        state.runs, run = runs.keep(run_used)
        state.fleet.renumber_runs(run)
        kept = state.runs.vehicle[: len(state.runs)]
        kept[:] = vehicle[kept]
        for part in self.parts:
            part.renumber(state.parts[part.name], run, vehicle)

    def _carry_over(self, state: CityState, tree: Mapping[str, Any]) -> None:
        """Patterns of another network are found again by their ids."""
        number = np.full(1 + int(max(tree["pattern"], default=-1)) + 1, -1, dtype=np.int64)
        number[tree["pattern"]] = self._patterns.of(tree["pattern_id"])
        state.fleet.pattern = number[state.fleet.pattern]  # -1 finds the spare last place
        state.runs.carry_over(number)


def _rows(part: Any) -> int:
    """Rows of a decoded part of a record."""
    return len(part.vehicle_id)


def _even(part: Any) -> bool:
    """Whether the columns of a decoded part are equally long."""
    return len(set(map(len, msgspec.structs.astuple(part)))) == 1


def _joined(said: dict[str, list[Columns]]) -> CityOutput:
    return {topic: parts[0] if len(parts) == 1 else messages.concat(OUT[topic], parts) for topic, parts in said.items()}


def _encoded(said: CityOutput, offset: int) -> Iterator[Output]:
    for topic, spec in OUT.items():
        if topic in said:
            one = np.zeros(messages.rows(said[topic]), dtype=np.int64)
            for _, value in messages.encode_parts(spec, said[topic], one, ROWS_PER_RECORD):
                yield Output(topic, value, offset)


def _add(said: dict[str, list[Columns]], output: CityOutput) -> int:
    """Put an output to the others; how many rows it has."""
    added = 0
    for topic, columns in output.items():
        if n := messages.rows(columns):
            said.setdefault(topic, []).append(columns)
            added += n
    return added
