"""The track stage: pings in, positions, gate passings and cell traversals out, one vehicle at a time.

Decode (batch.py), number the ids, let the kernels do the rest (kernels/tracking.py), and turn what they wrote into
columns. Everything happens ping by ping in log order, so how the log was split into batches does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from h3.api import basic_int

from streams import messages
from streams.engine import batch
from streams.engine import state as codec
from streams.engine.carry import carry_over
from streams.engine.names import Names
from streams.engine.rejects import Reject, canonical, raw_of
from streams.engine.reports import Reports
from streams.engine.runnames import CellNames, RunNames, clocks, dates
from streams.engine.stage import Output, Record
from streams.engine.tables import TimesOf, params_of, place_of, tables_of
from streams.gtfs.network import Network
from streams.kernels import gates, matching, recall, tracking
from streams.messages import CLOSED, PASSING, PING, POSITION, REJECT, TRAVERSAL, Columns, Kind
from streams.partition import Partitioner
from streams.settings import Settings

Array = np.ndarray
TrackOutput = tuple[dict[str, Columns], Columns]  # positions, passings, traversals, closed; and the rejects

FACTS = {"positions": POSITION, "passings": PASSING, "traversals": TRAVERSAL, "closed": CLOSED}
H3_RESOLUTION = 10
CANDIDATE_PROBABILITY = 0.05  # less likely ones are not told

_TRIP_TYPE = np.array(["In service", "Layover", "Deadhead", "In service", "Other not in service", None], dtype=object)
_STATUS = np.array(["IN_TRANSIT_TO", "INCOMING_AT", "STOPPED_AT", None], dtype=object)
_RELATION = np.array(["Scheduled", "Missing", "Skipped"], dtype=object)
_REASON = {
    matching.IMPOSSIBLE_SPEED: Reject.IMPOSSIBLE_SPEED,
    matching.FROZEN: Reject.FROZEN,
    tracking.TOO_LATE: Reject.TOO_LATE,
    tracking.DUPLICATE: Reject.DUPLICATE,
    tracking.FROM_THE_FUTURE: Reject.FROM_THE_FUTURE,
}


@dataclass(slots=True)
class TrackState:
    """All that is remembered for one partition of `pings`."""

    partition: int
    vehicles: Names = field(default_factory=Names)
    reports: Reports = field(default_factory=Reports)
    fleet: tracking.Fleet = field(default_factory=lambda: tracking.fleet(64))
    grid: Array = field(default_factory=lambda: np.full(1, np.nan))
    counts: dict[str, int] = field(default_factory=dict)
    run_names: RunNames = field(default_factory=RunNames)  # a memory; it is not saved

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter."""
        if n:
            self.counts[name] = self.counts.get(name, 0) + n


@dataclass(slots=True)
class _Found:
    """Columns of some records, and the record of every row."""

    columns: dict[str, Columns]
    record: dict[str, Array]


class Track:
    """The stage behind `pings` (see stage.py)."""

    name = "track"
    version = 3
    source = "pings"

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.settings = settings
        self._tables = tables_of(network)
        self._params = params_of(settings.track)
        self._times = TimesOf(network)
        self._place = place_of(network)
        self._partitioner = Partitioner(settings.kafka.partitions)
        self._work = matching.work()
        gates_most = int(np.diff(network.pgate_start).max(initial=1))
        cells_most = int(np.diff(network.span_start).max(initial=1))
        self._room = np.array([2 * gates_most + 8, 2 * cells_most + 8], dtype=np.int64)
        self._out: tracking.Out | None = None
        self._out_size = (0, 0)
        self._routes = _ids(network.route_ids)
        self._patterns = _ids(network.pattern_ids)
        self._trips = _ids(network.trip_ids)
        self._stops = _ids(network.stop_ids)
        self._cells = _ids([format(int(c), "x") for c in network.cell_h3])
        self._route_dirs = [
            (network.route_ids[r], int(d) if d >= 0 else None)
            for r, d in zip(network.route_dir_route_ix, network.route_dir_direction, strict=True)
        ]
        self._cell_names = CellNames()
        self._dates, self._clocks = dates(), clocks()

    # --- the stage

    def fresh(self, partition: int) -> TrackState:
        """An empty state for this partition of `pings`."""
        return TrackState(partition)

    def step(self, state: TrackState, records: Sequence[Record]) -> list[Output]:
        """Decode, advance, encode; every output carries the offset of the record it belongs to."""
        read = batch.decode(records)
        offset = np.array([r.offset for r in records], dtype=np.int64)
        record_time = np.array([r.record_time for r in records], dtype=np.float64)
        outputs: dict[int, list[Output]] = {}
        own = self._keep_own(state, read, offset, outputs)
        state.count("received", read.received)
        found = self._run(state, read.pings, read.record, read.index, offset, record_time, own)
        self._unreadable(state, read, found, offset, record_time)
        self._encode(state, found, offset, outputs)
        return [output for at in sorted(outputs) for output in outputs[at]]

    def advance(self, state: TrackState, pings: Columns, record_time: float, offset: int = 0) -> TrackOutput:
        """One record of decoded pings at `record_time`; none of them: only time moves.

        Returns positions, passings, traversals and closed by name, and the rejects, which refer to the pings by
        `source_offset` = offset and `source_index` = row.
        """
        n = messages.rows(pings)
        state.count("received", n)
        found = self._run(
            state,
            pings,
            np.zeros(n, dtype=np.int32),
            np.arange(n, dtype=np.int32),
            np.array([offset], dtype=np.int64),
            np.array([record_time]),
            None,
        )
        rejects = found.columns.pop("rejects")
        return found.columns, rejects

    def dump(self, state: TrackState) -> bytearray:
        """The state's bytes."""
        n = len(state.vehicles)
        self._tidy(state)
        fleet = state.fleet
        return codec.pack(
            {
                "version": self.version,
                "network": self.network.hash,
                "partitions": self.settings.kafka.partitions,
                "vehicles": state.vehicles.to_list(),
                "reports": state.reports.dump(),
                "grid": state.grid,
                "counts": state.counts,
                "filter": [a[: tracking.STATES * n] for a in fleet.state],
                "ring": [fleet.ring_f[:n], fleet.ring_i[:n]],
                "tally": fleet.tally[:n],
                "clock": fleet.clock[:n],
                "trail": fleet.trail[:n],
                "patterns": self.network.pattern_ids,
            }
        )

    def load(self, data: bytes | bytearray, partition: int) -> TrackState:
        """The state of `dump`'s bytes; of another network, what can be told by pattern ids.

        Raises ValueError when it is of another version, or was made with another number of partitions.
        """
        tree = codec.unpack(data)
        if tree.get("version") != self.version:
            raise ValueError(f"track state of version {tree.get('version')}, this is {self.version}")
        if tree["partitions"] != self.settings.kafka.partitions:
            raise ValueError(
                f"track state of {tree['partitions']} partitions, now there are {self.settings.kafka.partitions}: "
                "let the workers finish what is in `pings`, then start with a new KORIDOR_PREFIX"
            )
        state = TrackState(partition)
        state.vehicles = Names(tree["vehicles"])
        state.counts = dict(tree["counts"])
        state.grid = tree["grid"]
        state.fleet = tracking.Fleet(
            matching.State(*tree["filter"]),
            tree["ring"][0],
            tree["ring"][1],
            tree["tally"],
            tree["clock"],
            tree["trail"],
        )
        state.reports = Reports(tree["reports"])
        if tree["network"] != self.network.hash:
            carry_over(state.fleet, len(state.vehicles), tree["patterns"], self.network)
        return state

    def warm_up(self) -> None:
        """Compile every kernel: two pings, a late one between them, and silence."""
        n = self.network
        lat, lon = n.unproject(n.point_x[:1], n.point_y[:1]) if len(n.point_x) else (np.array([1.0]), np.array([1.0]))
        state = self.fresh(0)
        for t in (0.0, 20.0, 10.0):
            pings = messages.empty(PING)
            pings = {name: np.full(1, -1, np.int64) if kind is Kind.INT else pings[name] for name, kind in PING.items()}
            for name, kind in PING.items():
                if kind in (Kind.TIME, Kind.NUMBER):
                    pings[name] = np.full(1, np.nan)
                elif kind is Kind.ID:
                    pings[name] = np.full(1, None, dtype=object)
            pings["vehicle_id"][0] = "warm-up"
            pings["timestamp"][0] = 1.7e9 + t
            pings["lat"][0], pings["lon"][0] = lat[0], lon[0]
            self.advance(state, pings, 1.7e9 + 30.0)
        self.advance(state, messages.empty(PING), 1.7e9 + 1000.0)

    # --- inside

    def _keep_own(
        self, state: TrackState, read: batch.Batch, offset: Array, outputs: dict[int, list[Output]]
    ) -> Array | None:
        """Which rows are this partition's; the others are sent on to theirs, once. None: all."""
        if self._partitioner.partitions == 1 or not len(read.record):
            return None
        partition = np.array(self._partitioner(read.pings["vehicle_id"]), dtype=np.int64)
        wrong = (partition != state.partition) & ~read.forwarded
        if not wrong.any():
            return None
        state.count("misrouted", int(wrong.sum()))
        for at in np.unique(read.record[wrong]).tolist():
            mine = wrong & (read.record == at)
            for p in np.unique(partition[mine]).tolist():
                rows = np.flatnonzero(mine & (partition == p)).tolist()
                pings = [
                    {k: v for k, v in batch.ping_at(read.pings, r).items() if v is not None} | {batch.FORWARDED: True}
                    for r in rows
                ]
                outputs.setdefault(at, []).append(Output("pings", orjson.dumps(pings), int(offset[at]), p))
        own: Array = ~wrong
        return own

    def _run(
        self,
        state: TrackState,
        pings: Columns,
        record: Array,
        index: Array,
        offset: Array,
        record_time: Array,
        own: Array | None,
    ) -> _Found:
        """The kernels' loop over the rows of some records. `record` counts records; offset and time are theirs."""
        faults = batch.faults(pings)
        usable = faults == 0
        if own is not None:
            usable &= own
            faults[~own] = 0
        faulty = np.flatnonzero(faults)
        kept = np.flatnonzero(usable)
        whole = len(kept) == len(record)
        used = pings if whole else messages.take(pings, kept)
        at = record if whole else record[kept]
        vehicle = state.vehicles.intern(used["vehicle_id"])
        self._grow(state)
        report = state.reports.intern(used, self.network, self._said_last(state.fleet, vehicle))
        # One row that only moves time goes before the rows of every record.
        n, many = len(at), len(record_time)
        first = np.searchsorted(at, np.arange(many)) + np.arange(many)
        place = np.arange(n) + at + 1
        rows = n + many

        number = np.empty(rows, dtype=np.int32)
        number[first], number[place] = np.arange(many), at
        given = tracking.Pings(np.empty((rows, 4)), np.full((rows, 8), -1, dtype=np.int32))
        given.f[place, tracking.TIME] = np.round(used["timestamp"], 2)
        given.f[place, tracking.ODOMETER] = np.round(used["odometer_m"], 1)
        given.f[place, tracking.ORIGIN] = offset[at]
        given.f[:, tracking.RECORD_TIME] = record_time[number]
        given.i[place, tracking.LAT] = np.round(used["lat"] * 1e6)
        given.i[place, tracking.LON] = np.round(used["lon"] * 1e6)
        given.i[place, tracking.REPORT] = report
        given.i[place, tracking.INDEX] = index if whole else index[kept]
        given.i[place, tracking.BEARING] = _within(used["bearing_deg"], 0.0, 360.0, 10.0)
        given.i[place, tracking.SPEED] = _within(used["speed_mps"], 0.0, 100.0, 100.0)
        given.i[place, tracking.VEHICLE] = vehicle
        given.i[:, tracking.RECORD] = number
        reports = state.reports.numbers()
        times = self._times.of(given.f[place, tracking.TIME], state.fleet, vehicle)
        parts: list[_Found] = []
        done = 0
        while done < rows:
            out = self._room_for(rows - done, len(state.vehicles))
            done = tracking.track(
                done, given, state.fleet, len(state.vehicles), state.grid, reports, self._tables, self._params, times,
                self._place, out, self._work, self._room,
            )  # fmt: skip
            parts.append(self._columns(state, out, record_time))
        found = parts[0] if len(parts) == 1 else _joined(parts)
        state.count("accepted", messages.rows(found.columns["positions"]))
        if len(faulty):
            raws = [canonical(batch.ping_at(pings, int(r))) for r in faulty]
            reasons = messages.column(Kind.ID, [batch.FAULTS[c] for c in faults[faulty].tolist()])
            self._refuse(
                state, found, record[faulty], index[faulty], reasons,
                pings["timestamp"][faulty], pings["vehicle_id"][faulty], raws, offset, record_time,
            )  # fmt: skip
        for reason in found.columns["rejects"]["reason"].tolist():
            state.count(f"rejected_{reason}")
        return found

    @staticmethod
    def _said_last(fleet: tracking.Fleet, vehicle: Array) -> Array:
        """The number of what each vehicle's newest ping said, -1 before the first."""
        ringed = fleet.tally[vehicle, tracking.RINGED]
        return np.where(ringed > 0, fleet.ring_i[vehicle, ringed - 1, tracking.REPORT], -1)

    def _columns(self, state: TrackState, out: tracking.Out, record_time: Array) -> _Found:
        """What the kernels wrote, as columns in the words of the wire."""
        columns: dict[str, Columns] = {}
        record: dict[str, Array] = {}
        n = int(out.rows.counts[gates.TOLD, 0])
        row = _by_column(out.rows.row[gates.TOLD, :n])
        record["positions"] = row[tracking.R_RECORD].astype(np.int64)
        columns["positions"] = self._positions(state, out.rows, row)
        row = _by_column(out.facts.passings[gates.TOLD, : out.facts.counts[gates.TOLD, 0]])
        number = row[: gates.F_ARRIVAL].astype(np.int64)
        record["passings"] = number[gates.F_RECORD]
        pattern, gate = number[gates.F_PATTERN], number[gates.F_GATE]
        columns["passings"] = {
            "vehicle_id": state.vehicles.of(number[gates.F_VEHICLE]),
            "trip_id_performed": state.run_names.of(
                state.vehicles, number[gates.F_VEHICLE], number[gates.F_DAY], number[gates.F_NUMBER]
            ),
            "trip_id_scheduled": self._trips[number[gates.F_TRIP]],
            "pattern_id": self._patterns[pattern],
            "gate_seq": gate,
            "gate_ix": self.network.pgate_gate_ix[self.network.pgate_start[pattern] + gate].astype(np.int64),
            "arrival_time": np.round(row[gates.F_ARRIVAL], 2),
            "departure_time": np.round(row[gates.F_DEPARTURE], 2),
            "schedule_relationship": _RELATION[number[gates.F_RELATION]],
            "determined_at": np.round(row[gates.F_DETERMINED], 2),
            "revision": number[gates.F_REVISION],
            "withdrawn": number[gates.F_WITHDRAWN] == 1,
        }
        row = _by_column(out.facts.cells[gates.TOLD, : out.facts.counts[gates.TOLD, 1]])
        number = row[: gates.C_ENTERED].astype(np.int64)
        record["traversals"] = number[gates.C_RECORD]
        columns["traversals"] = {
            "vehicle_id": state.vehicles.of(number[gates.C_VEHICLE]),
            "trip_id_performed": state.run_names.of(
                state.vehicles, number[gates.C_VEHICLE], number[gates.C_DAY], number[gates.C_NUMBER]
            ),
            "cell_ix": number[gates.C_CELL],
            "entered_at": np.round(row[gates.C_ENTERED], 2),
            "running_s": np.round(row[gates.C_RUNNING], 2),
            "distance_m": np.round(row[gates.C_DISTANCE], 1),
            "determined_at": np.round(row[gates.C_DETERMINED], 2),
            "revision": number[gates.C_REVISION],
            "withdrawn": number[gates.C_WITHDRAWN] == 1,
        }
        closed = out.closed[: out.closed_count[0]]
        vehicle, at, until = _by_column(closed[closed[:, 2] == closed[:, 2]])
        record["closed"] = at.astype(np.int64)
        columns["closed"] = {"vehicle_id": state.vehicles.of(vehicle.astype(np.int64)), "until": np.round(until, 2)}
        row = _by_column(out.rows.row[tracking.REFUSED, : out.rows.counts[tracking.REFUSED, 0]])
        record["rejects"] = row[tracking.R_RECORD].astype(np.int64)
        columns["rejects"] = self._rejects(state, row, record_time)
        return _Found(columns, record)

    def _positions(self, state: TrackState, rows: tracking.Rows, row: Array) -> Columns:
        number = np.zeros(row.shape, dtype=np.int64)
        for whole in tracking.WHOLE:
            number[whole] = row[whole]
        report = number[tracking.R_REPORT]
        lat, lon = row[tracking.R_LAT] / 1e6, row[tracking.R_LON] / 1e6
        cell = self._cells[number[tracking.R_CELL]]
        elsewhere = np.flatnonzero(number[tracking.R_CELL] < 0)
        places = zip(lat[elsewhere].tolist(), lon[elsewhere].tolist(), strict=True)
        cell[elsewhere] = [self._cell_names[basic_int.latlng_to_cell(y, x, H3_RESOLUTION)] for y, x in places]
        candidates = self._candidates(rows, number)
        bearing, speed = _measured(row[tracking.R_BEARING], 10.0), _measured(row[tracking.R_REPORTED_SPEED], 100.0)
        return {
            "vehicle_id": state.vehicles.of(number[tracking.R_VEHICLE]),
            "timestamp": row[tracking.R_T].copy(),
            "lat": lat,
            "lon": lon,
            "bearing_deg": bearing,
            "reported_speed_mps": speed,
            "odometer_m": row[tracking.R_ODOMETER].copy(),
            "occupancy_status": state.reports.said["occupancy_status"][report],
            "label": state.reports.said["label"][report],
            "route_id": self._routes[number[tracking.R_ROUTE]],
            "direction_id": number[tracking.R_DIRECTION],
            "pattern_id": self._patterns[number[tracking.R_PATTERN]],
            "trip_id_performed": state.run_names.of(
                state.vehicles, number[tracking.R_VEHICLE], number[tracking.R_DAY], number[tracking.R_NUMBER]
            ),
            "trip_id_scheduled": self._trips[number[tracking.R_TRIP]],
            "trip_reported": state.reports.names_trip(report, number[tracking.R_TRIP]),
            "service_date": self._dates.of(number[tracking.R_DAY]),
            "start_time": self._clocks.of(number[tracking.R_START]),
            "dist_m": np.round(row[tracking.R_DIST], 1),
            "offset_m": np.round(row[tracking.R_OFFSET], 1),
            "match_probability": np.round(row[tracking.R_PROBABILITY], 4),
            "route_candidates": candidates,
            "trip_type": _TRIP_TYPE[number[tracking.R_PHASE]],
            "off_route": number[tracking.R_OFF] == 1,
            "phase_since": np.round(row[tracking.R_SINCE], 2),
            "stop_id": self._stops[number[tracking.R_STOP]],
            "stop_sequence": number[tracking.R_SEQUENCE],
            "current_status": _STATUS[number[tracking.R_STATUS]],
            "speed_mps": np.round(row[tracking.R_SPEED], 2),
            "h3_cell": cell,
            "revision": number[tracking.R_REVISION],
            "withdrawn": number[tracking.R_WITHDRAWN] == 1,
        }

    def _candidates(self, rows: tracking.Rows, number: Array) -> Array:
        """Routes and directions that an undecided vehicle may be on, likeliest first; None where it is decided."""
        out: Array = np.full(number.shape[1], None, dtype=object)
        undecided = np.flatnonzero(number[tracking.R_CANDIDATES] > 0)
        if not len(undecided):
            return out
        found = rows.candidate[gates.TOLD, : rows.counts[gates.TOLD, 1]]
        mass = np.round(found[:, 1], 4)
        likely = mass >= CANDIDATE_PROBABILITY
        ways = map(self._route_dirs.__getitem__, found[likely, 0].astype(np.int64).tolist())
        told = [
            {"route_id": route, "direction_id": direction, "probability": probability}
            for (route, direction), probability in zip(ways, mass[likely].tolist(), strict=True)
        ]
        before = np.concatenate([[0], np.cumsum(likely)])
        first = number[tracking.R_FIRST, undecided]
        end = first + number[tracking.R_CANDIDATES, undecided]
        for at, a, b in zip(undecided.tolist(), before[first].tolist(), before[end].tolist(), strict=True):
            out[at] = told[a:b]
        return out

    def _rejects(self, state: TrackState, row: Array, record_time: Array) -> Columns:
        if not row.shape[1]:
            return messages.empty(REJECT)
        vehicle = state.vehicles.of(row[tracking.R_VEHICLE].astype(np.int64))
        bearing, speed = _measured(row[tracking.R_BEARING], 10.0), _measured(row[tracking.R_REPORTED_SPEED], 100.0)
        raws = []
        for k in range(row.shape[1]):
            ping: dict[str, Any] = {
                "vehicle_id": vehicle[k],
                "timestamp": float(row[tracking.R_T, k]),
                "lat": float(row[tracking.R_LAT, k]) / 1e6,
                "lon": float(row[tracking.R_LON, k]) / 1e6,
                **state.reports.of(int(row[tracking.R_REPORT, k])),
                "bearing_deg": float(bearing[k]),
                "speed_mps": float(speed[k]),
                "odometer_m": float(row[tracking.R_ODOMETER, k]),
            }
            raws.append(raw_of(canonical({name: None if ping[name] != ping[name] else ping[name] for name in PING})))
        reason = np.array([_REASON[int(c)].name for c in row[tracking.R_REASON].tolist()], dtype=object)
        return _reject_columns(
            reason, state.partition, row[tracking.R_ORIGIN].astype(np.int64), row[tracking.R_INDEX].astype(np.int64),
            record_time[row[tracking.R_RECORD].astype(np.int64)], row[tracking.R_T].copy(), vehicle, raws,
        )  # fmt: skip

    def _refuse(
        self,
        state: TrackState,
        found: _Found,
        record: Array,
        index: Array,
        reasons: Array,
        timestamp: Array,
        vehicle: Array,
        raws: list[bytes],
        offset: Array,
        record_time: Array,
    ) -> None:
        """Add rejects that the kernels never saw, each to its record."""
        added = _reject_columns(
            np.array([r.name for r in reasons], dtype=object), state.partition, offset[record],
            index.astype(np.int64), record_time[record], timestamp, vehicle, [raw_of(r) for r in raws],
        )  # fmt: skip
        at = np.concatenate([record, found.record["rejects"]])
        order = np.argsort(at, kind="stable")
        found.record["rejects"] = at[order]
        found.columns["rejects"] = messages.take(messages.concat(REJECT, [added, found.columns["rejects"]]), order)

    def _unreadable(
        self, state: TrackState, read: batch.Batch, found: _Found, offset: Array, record_time: Array
    ) -> None:
        if not read.refused:
            return
        vehicle = messages.column(Kind.ID, [r.vehicle_id for r in read.refused])
        reasons = messages.column(Kind.ID, [r.reason for r in read.refused])
        self._refuse(
            state, found, np.array([r.record for r in read.refused]), np.array([r.index for r in read.refused]),
            reasons, np.array([r.timestamp for r in read.refused]), vehicle, [r.raw for r in read.refused],
            offset, record_time,
        )  # fmt: skip
        for r in read.refused:
            state.count(f"rejected_{r.reason.name}")

    def _encode(self, state: TrackState, found: _Found, offset: Array, outputs: dict[int, list[Output]]) -> None:
        """One `positions` record for every input record that has rows, one `rejects` record where there are any."""
        bounds = {name: np.searchsorted(at, np.arange(len(offset) + 1)).tolist() for name, at in found.record.items()}
        wire = {name: messages.to_wire(spec, found.columns[name]) for name, spec in FACTS.items()}
        for at in range(len(offset)):
            said = {name: slice(bounds[name][at], bounds[name][at + 1]) for name in found.record}
            if any(said[name].start < said[name].stop for name in FACTS):
                value: dict[str, Any] = {"network": self.network.hash}
                for name, columns in wire.items():
                    value[name] = {column: values[said[name]] for column, values in columns.items()}
                data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
                outputs.setdefault(at, []).append(Output("positions", data, int(offset[at])))
            rejects = said["rejects"]
            if rejects.start < rejects.stop:
                data = messages.encode(REJECT, messages.take(found.columns["rejects"], rejects))
                outputs.setdefault(at, []).append(Output("rejects", data, int(offset[at]), state.partition))

    def _grow(self, state: TrackState) -> None:
        need, have = len(state.vehicles), len(state.fleet.tally)
        if need <= have:
            return
        grown = tracking.fleet(max(need, 2 * have))
        for new, old in zip(grown.state, state.fleet.state, strict=True):
            new[: len(old)] = old
        grown.ring_f[:have] = state.fleet.ring_f
        grown.ring_i[:have] = state.fleet.ring_i
        grown.tally[:have] = state.fleet.tally
        grown.clock[:have] = state.fleet.clock
        grown.trail[:have] = state.fleet.trail
        state.fleet = grown

    def _tidy(self, state: TrackState) -> None:
        """Forget sayings that no ping in a ring refers to, once they are the most."""
        n = len(state.vehicles)
        if len(state.reports) < 4 * n + 1000:
            return
        ring = state.fleet.ring_i[:n, :, tracking.REPORT]
        full = np.arange(tracking.RING)[None, :] < state.fleet.tally[:n, tracking.RINGED, None]
        number = state.reports.keep(np.unique(ring[full]), self.network)
        ring[full] = number[ring[full]]

    def _room_for(self, rows: int, vehicles: int) -> tracking.Out:
        """Buffers for so many pings, empty. They are made once and grow."""
        if self._out is None or self._out_size[0] < rows or self._out_size[1] < vehicles:
            rows, vehicles = max(rows, 1024, self._out_size[0]), max(2 * vehicles, 64)
            late = tracking.RING + 1
            passings, cells = (int(v) for v in self._room)
            most = max(passings, cells) * 2 * late
            self._out_size = (rows, vehicles)
            self._out = tracking.Out(
                tracking.rows(2 * rows + 4 * late + vehicles * tracking.RING),
                gates.facts(most + 4 * rows),
                np.zeros((rows + 2 * vehicles + 2, 3)),
                np.zeros(2, np.int64),
                np.full(vehicles, -1, np.int64),
                tracking.state(2),
                np.zeros(11),
                recall.way(),
                recall.trails(1),
            )
        out = self._out
        out.rows.counts[:] = 0
        out.facts.counts[:] = 0
        out.closed_count[:] = 0, out.closed_count.sum()
        return out


def _ids(names: Sequence[str]) -> Array:
    """Ids by number; the last place is None, so that -1 finds it."""
    out: Array = np.empty(len(names) + 1, dtype=object)
    out[:-1] = names
    out[-1] = None
    return out


def _within(values: Array, low: float, high: float, scale: float) -> Array:
    """Values as whole parts of a unit; what cannot be is unknown: -1."""
    with np.errstate(invalid="ignore"):
        return np.where((values >= low) & (values <= high), np.round(values * scale), -1.0)


def _by_column(rows: Array) -> Array:
    """A copy in which every column is one piece, as orjson wants it."""
    return np.ascontiguousarray(rows.T)


def _measured(values: Array, scale: float) -> Array:
    """The inverse of `_within`."""
    return np.where(values >= 0, values / scale, np.nan)


def _reject_columns(
    reason: Array,
    partition: int,
    offset: Array,
    index: Array,
    record_time: Array,
    timestamp: Array,
    vehicle: Array,
    raws: Sequence[tuple[str | None, int, str]],
) -> Columns:
    n = len(reason)
    return {
        "reason": reason,
        "source_topic": np.full(n, "pings", dtype=object),
        "source_partition": np.full(n, partition, dtype=np.int64),
        "source_offset": offset,
        "source_index": index,
        "record_time": record_time,
        "event_timestamp": timestamp,
        "vehicle_id": vehicle,
        "raw_base64": messages.column(Kind.ID, [r[0] for r in raws]),
        "raw_length": np.array([r[1] for r in raws], dtype=np.int64),
        "raw_sha256": messages.column(Kind.ID, [r[2] for r in raws]),
    }


def _joined(parts: list[_Found]) -> _Found:
    specs = {**FACTS, "rejects": REJECT}
    return _Found(
        {name: messages.concat(spec, [p.columns[name] for p in parts]) for name, spec in specs.items()},
        {name: np.concatenate([p.record[name] for p in parts]) for name in specs},
    )
