"""The track stage: pings in, positions, gate passings and cell traversals out, one vehicle at a time.

Decode (batch.py), number the ids, let the kernels do the rest (kernels/tracking.py), and turn what they wrote into
columns. Everything happens ping by ping in log order, so how the log was split into batches does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import h3
import numpy as np
import orjson

from streams import messages
from streams.engine import batch, state as codec
from streams.engine.carry import carry_over
from streams.engine.names import Names
from streams.engine.rejects import Reject, canonical, raw_of
from streams.engine.reports import Reports
from streams.engine.stage import Output, Record
from streams.engine.tables import TimesOf, params_of, place_of, tables_of
from streams.gtfs.network import Network
from streams.kernels import gates, matching, tracking
from streams.messages import CLOSED, PASSING, PING, POSITION, REJECT, TRAVERSAL, Columns, Kind
from streams.partition import Partitioner
from streams.settings import Settings

Array = np.ndarray
TrackOutput = tuple[dict[str, Columns], Columns]  # positions, passings, traversals, closed; and the rejects

FACTS = {"positions": POSITION, "passings": PASSING, "traversals": TRAVERSAL, "closed": CLOSED}
H3_RESOLUTION = 10
CANDIDATE_PROBABILITY = 0.01  # less likely ones are not told
KEPT_NAMES = 200_000  # of runs, before the memory of them is emptied

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
    version = 1
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
        self._run_names: dict[int, str] = {}
        self._dates: dict[int, str] = {}
        self._clocks: dict[int, str] = {}

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

    def dump(self, state: TrackState) -> bytes:
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
                "ring": [a[:n] for a in fleet.ring],
                "count": fleet.count[:n],
                "clock": fleet.clock[:n],
                "patterns": self.network.pattern_ids,
            }
        )

    def load(self, data: bytes, partition: int) -> TrackState:
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
            matching.State(*tree["filter"]), tracking.Ring(*tree["ring"]), tree["count"], tree["clock"]
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
        return ~wrong

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
        reasons = batch.faults(pings)
        usable = np.equal(reasons, None)
        if own is not None:
            usable &= own
            reasons[~own] = None
        faulty = np.flatnonzero(~np.equal(reasons, None))
        kept = np.flatnonzero(usable)
        whole = len(kept) == len(record)
        used = pings if whole else messages.take(pings, kept)
        at = record if whole else record[kept]
        vehicle = state.vehicles.intern(used["vehicle_id"])
        report = state.reports.intern(used, self.network)
        self._grow(state)
        # One row that only moves time goes before the rows of every record.
        n, many = len(at), len(record_time)
        first = np.searchsorted(at, np.arange(many)) + np.arange(many)
        place = np.arange(n) + at + 1
        rows = n + many

        def spread(values: Array, dtype: Any, fill: Any) -> Array:
            out = np.full(rows, fill, dtype=dtype)
            out[place] = values
            return out

        number = np.empty(rows, dtype=np.int32)
        number[first], number[place] = np.arange(many), at
        given = tracking.Pings(
            spread(vehicle, np.int32, -1),
            spread(np.round(used["timestamp"], 2), np.float64, 0.0),
            spread(np.round(used["lat"] * 1e6), np.int32, 0),
            spread(np.round(used["lon"] * 1e6), np.int32, 0),
            spread(_within(used["bearing_deg"], 0.0, 360.0), np.float64, np.nan),
            spread(_within(used["speed_mps"], 0.0, 100.0), np.float64, np.nan),
            spread(np.round(used["odometer_m"], 1), np.float64, np.nan),
            spread(report, np.int32, 0),
            spread(offset[at], np.int64, 0),
            spread(index if whole else index[kept], np.int32, 0),
            number,
            record_time[number],
        )
        reports = state.reports.arrays()
        times = self._times.of(given.t[place], state.fleet, np.unique(vehicle))
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
            self._refuse(
                state, found, record[faulty], index[faulty], reasons[faulty],
                pings["timestamp"][faulty], pings["vehicle_id"][faulty], raws, offset, record_time,
            )  # fmt: skip
        for reason in found.columns["rejects"]["reason"].tolist():
            state.count(f"rejected_{reason}")
        return found

    def _columns(self, state: TrackState, out: tracking.Out, record_time: Array) -> _Found:
        """What the kernels wrote, as columns in the words of the wire."""
        columns: dict[str, Columns] = {}
        record: dict[str, Array] = {}
        n = int(out.rows.count[0])
        i, f = out.rows.i[:n].T, out.rows.f[:n].T
        record["positions"] = i[tracking.R_RECORD].copy()
        columns["positions"] = self._positions(state, out.rows, i, f)
        n = int(out.facts.count[0])
        i, f = out.facts.pass_i[:n].T, out.facts.pass_f[:n].T
        record["passings"] = i[gates.F_RECORD].copy()
        pattern, gate = i[gates.F_PATTERN], i[gates.F_GATE]
        columns["passings"] = {
            "vehicle_id": state.vehicles.of(i[gates.F_VEHICLE]),
            "trip_id_performed": self._run_ids(state, i[gates.F_VEHICLE], i[gates.F_DAY], i[gates.F_NUMBER]),
            "trip_id_scheduled": self._trips[i[gates.F_TRIP]],
            "pattern_id": self._patterns[pattern],
            "gate_seq": gate.copy(),
            "gate_ix": self.network.pgate_gate_ix[self.network.pgate_start[pattern] + gate].astype(np.int64),
            "arrival_time": np.round(f[gates.F_ARRIVAL], 2),
            "departure_time": np.round(f[gates.F_DEPARTURE], 2),
            "schedule_relationship": _RELATION[i[gates.F_RELATION]],
            "determined_at": np.round(f[gates.F_DETERMINED], 2),
            "revision": i[gates.F_REVISION].copy(),
            "withdrawn": i[gates.F_WITHDRAWN] == 1,
        }
        n = int(out.facts.count[1])
        i, f = out.facts.cell_i[:n].T, out.facts.cell_f[:n].T
        record["traversals"] = i[gates.C_RECORD].copy()
        columns["traversals"] = {
            "vehicle_id": state.vehicles.of(i[gates.C_VEHICLE]),
            "trip_id_performed": self._run_ids(state, i[gates.C_VEHICLE], i[gates.C_DAY], i[gates.C_NUMBER]),
            "cell_ix": i[gates.C_CELL].copy(),
            "entered_at": np.round(f[gates.C_ENTERED], 2),
            "running_s": np.round(f[gates.C_RUNNING], 2),
            "distance_m": np.round(f[gates.C_DISTANCE], 1),
            "determined_at": np.round(f[gates.C_DETERMINED], 2),
            "revision": i[gates.C_REVISION].copy(),
            "withdrawn": i[gates.C_WITHDRAWN] == 1,
        }
        n = int(out.closed.count[0])
        vehicle, at, until = out.closed.vehicle[:n], out.closed.record[:n], out.closed.until[:n]
        # The last word on a vehicle in a record is enough.
        key = at.astype(np.int64) << 32 | vehicle
        _, back = np.unique(key[::-1], return_index=True)
        last = np.sort(n - 1 - back)
        record["closed"] = at[last].copy()
        columns["closed"] = {"vehicle_id": state.vehicles.of(vehicle[last]), "until": np.round(until[last], 2)}
        n = int(out.rejects.count[0])
        record["rejects"] = out.rejects.i[:n, tracking.R_RECORD].copy()
        columns["rejects"] = self._rejects(state, out.rejects, n, record_time)
        return _Found(columns, record)

    def _positions(self, state: TrackState, rows: tracking.Rows, i: Array, f: Array) -> Columns:
        report = i[tracking.R_REPORT]
        lat, lon = i[tracking.R_LAT] / 1e6, i[tracking.R_LON] / 1e6
        cell = self._cells[i[tracking.R_CELL]]
        for row in np.flatnonzero(i[tracking.R_CELL] < 0).tolist():
            cell[row] = h3.latlng_to_cell(lat[row], lon[row], H3_RESOLUTION)
        candidates: Array = np.full(len(lat), None, dtype=object)
        for row in np.flatnonzero(i[tracking.R_CANDIDATES] > 0).tolist():
            first = int(i[tracking.R_FIRST][row])
            end = first + int(i[tracking.R_CANDIDATES][row])
            candidates[row] = [
                {
                    "route_id": self.network.route_ids[self.network.route_dir_route_ix[route_dir]],
                    "direction_id": int(d) if (d := self.network.route_dir_direction[route_dir]) >= 0 else None,
                    "probability": round(mass, 4),
                }
                for route_dir, mass in zip(
                    rows.candidate[first:end].tolist(), rows.mass[first:end].tolist(), strict=True
                )
                if mass >= CANDIDATE_PROBABILITY
            ]
        return {
            "vehicle_id": state.vehicles.of(i[tracking.R_VEHICLE]),
            "timestamp": f[tracking.R_T].copy(),
            "lat": lat,
            "lon": lon,
            "bearing_deg": np.round(f[tracking.R_BEARING], 1),
            "reported_speed_mps": np.round(f[tracking.R_REPORTED_SPEED], 2),
            "odometer_m": f[tracking.R_ODOMETER].copy(),
            "occupancy_status": state.reports.occupancy[report],
            "label": state.reports.label[report],
            "route_id": self._routes[i[tracking.R_ROUTE]],
            "direction_id": i[tracking.R_DIRECTION].copy(),
            "pattern_id": self._patterns[i[tracking.R_PATTERN]],
            "trip_id_performed": self._run_ids(
                state, i[tracking.R_VEHICLE], i[tracking.R_DAY], i[tracking.R_NUMBER]
            ),
            "trip_id_scheduled": self._trips[i[tracking.R_TRIP]],
            "service_date": _said(i[tracking.R_DAY], self._dates, _date),
            "start_time": _said(i[tracking.R_START], self._clocks, _clock),
            "dist_m": np.round(f[tracking.R_DIST], 1),
            "offset_m": np.round(f[tracking.R_OFFSET_M], 1),
            "match_probability": np.round(f[tracking.R_PROBABILITY], 4),
            "route_candidates": candidates,
            "trip_type": _TRIP_TYPE[i[tracking.R_PHASE]],
            "off_route": i[tracking.R_OFF] == 1,
            "stop_id": self._stops[i[tracking.R_STOP]],
            "stop_sequence": i[tracking.R_SEQUENCE].copy(),
            "current_status": _STATUS[i[tracking.R_STATUS]],
            "speed_mps": np.round(f[tracking.R_SPEED], 2),
            "h3_cell": cell,
            "revision": i[tracking.R_REVISION].copy(),
            "withdrawn": i[tracking.R_WITHDRAWN] == 1,
        }

    def _rejects(self, state: TrackState, rows: tracking.Rows, n: int, record_time: Array) -> Columns:
        if not n:
            return messages.empty(REJECT)
        i, f = rows.i[:n].T, rows.f[:n].T
        vehicle = state.vehicles.of(i[tracking.R_VEHICLE])
        raws = []
        for k in range(n):
            ping: dict[str, Any] = {
                "vehicle_id": vehicle[k],
                "timestamp": float(f[tracking.R_T][k]),
                "lat": float(i[tracking.R_LAT][k]) / 1e6,
                "lon": float(i[tracking.R_LON][k]) / 1e6,
                **state.reports.of(int(i[tracking.R_REPORT][k])),
            }
            for name, value, digits in (
                ("bearing_deg", f[tracking.R_BEARING][k], 1),
                ("speed_mps", f[tracking.R_REPORTED_SPEED][k], 2),
                ("odometer_m", f[tracking.R_ODOMETER][k], 1),
            ):
                ping[name] = None if np.isnan(value) else round(float(value), digits)
            raws.append(raw_of(canonical({name: ping[name] for name in PING})))
        reason = np.array([_REASON[c].name for c in i[tracking.R_REASON].tolist()], dtype=object)
        return _reject_columns(
            reason, state.partition, i[tracking.R_OFFSET].copy(), i[tracking.R_INDEX].copy(),
            record_time[i[tracking.R_RECORD]], f[tracking.R_T].copy(), vehicle, raws,
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
        found.columns["rejects"] = messages.take(
            messages.concat(REJECT, [added, found.columns["rejects"]]), order
        )

    def _unreadable(
        self, state: TrackState, read: batch.Batch, found: _Found, offset: Array, record_time: Array
    ) -> None:
        if not read.refused:
            return
        vehicle: Array = np.empty(len(read.refused), dtype=object)
        vehicle[:] = [r.vehicle_id for r in read.refused]
        reasons: Array = np.empty(len(read.refused), dtype=object)
        reasons[:] = [r.reason for r in read.refused]
        self._refuse(
            state, found, np.array([r.record for r in read.refused]), np.array([r.index for r in read.refused]),
            reasons, np.array([r.timestamp for r in read.refused]), vehicle, [r.raw for r in read.refused],
            offset, record_time,
        )  # fmt: skip
        for r in read.refused:
            state.count(f"rejected_{r.reason.name}")

    def _encode(
        self, state: TrackState, found: _Found, offset: Array, outputs: dict[int, list[Output]]
    ) -> None:
        """One `positions` record for every input record that has rows, one `rejects` record where there are any."""
        bounds = {
            name: np.searchsorted(at, np.arange(len(offset) + 1)).tolist() for name, at in found.record.items()
        }
        for at in range(len(offset)):
            said = {name: slice(bounds[name][at], bounds[name][at + 1]) for name in found.record}
            if any(said[name].start < said[name].stop for name in FACTS):
                value: dict[str, Any] = {"network": self.network.hash}
                for name, spec in FACTS.items():
                    value[name] = messages.to_wire(spec, messages.take(found.columns[name], said[name]))
                data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
                outputs.setdefault(at, []).append(Output("positions", data, int(offset[at])))
            rejects = said["rejects"]
            if rejects.start < rejects.stop:
                data = messages.encode(REJECT, messages.take(found.columns["rejects"], rejects))
                outputs.setdefault(at, []).append(Output("rejects", data, int(offset[at]), state.partition))

    def _grow(self, state: TrackState) -> None:
        need, have = len(state.vehicles), len(state.fleet.count)
        if need <= have:
            return
        grown = tracking.fleet(max(need, 2 * have))
        for new, old in zip(grown.state, state.fleet.state, strict=True):
            new[: len(old)] = old
        for new, old in zip(grown.ring, state.fleet.ring, strict=True):
            new[:have] = old
        grown.count[:have] = state.fleet.count
        grown.clock[:have] = state.fleet.clock
        state.fleet = grown

    def _tidy(self, state: TrackState) -> None:
        """Forget sayings that no ping in a ring refers to, once they are the most."""
        n = len(state.vehicles)
        if len(state.reports) < 4 * n + 1000:
            return
        ring = state.fleet.ring.report[:n]
        full = np.arange(tracking.RING)[None, :] < state.fleet.count[:n, tracking.RINGED, None]
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
                tracking.rows(2 * rows + 4 * late),
                tracking.rows(rows + 4 * late + vehicles * tracking.RING),
                gates.facts(most + 4 * rows),
                tracking.closed(rows + 2 * vehicles + 2),
                tracking.rows(2 * late),
                gates.facts(max(passings, cells) * late),
                gates.facts(max(passings, cells) * late),
                tracking.state(2),
                np.zeros(6, np.int64),
                np.zeros(4),
            )
        out = self._out
        for counted in (out.rows, out.rejects, out.facts, out.closed):
            counted.count[:] = 0
        return out

    def _run_ids(self, state: TrackState, vehicle: Array, day: Array, number: Array) -> Array:
        """`<service_date>:<vehicle_id>:<n>` of each row; None where there is no run."""
        known = self._run_names
        if len(known) > KEPT_NAMES:
            known.clear()
        key = np.where(number >= 0, (vehicle << 36) | (day << 16) | number, -1)
        names = state.vehicles
        out: Array = np.empty(len(key), dtype=object)
        said: list[str | None] = []
        for k in key.tolist():
            name = known.get(k) if k >= 0 else None
            if name is None and k >= 0:
                name = f"{_date(k >> 16 & 0xFFFFF)}:{names.name(k >> 36)}:{k & 0xFFFF}"
                known[k] = name
            said.append(name)
        out[:] = said
        return out


def _ids(names: Sequence[str]) -> Array:
    """Ids by number; the last place is None, so that -1 finds it."""
    out: Array = np.empty(len(names) + 1, dtype=object)
    out[:-1] = names
    out[-1] = None
    return out


def _within(values: Array, low: float, high: float) -> Array:
    """Values outside of what can be are unknown."""
    with np.errstate(invalid="ignore"):
        return np.where((values >= low) & (values <= high), np.round(values, 2), np.nan)


def _date(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def _clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def _said(numbers: Array, known: dict[int, str], words: Any) -> Array:
    """The word for each number, None below 0; words are remembered."""
    found, place = np.unique(numbers, return_inverse=True)
    out: Array = np.empty(len(found), dtype=object)
    for k, number in enumerate(found.tolist()):
        if number < 0:
            out[k] = None
            continue
        if number not in known:
            known[number] = words(number)
        out[k] = known[number]
    return out[place]


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
