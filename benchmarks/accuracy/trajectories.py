"""What truly happened in a generated drive, worked out from where every bus was in every second.

`Truth.of` takes a drive with a ping of every bus each second and no error. Passings of gates, arrivals at stops and
traversals of directed cells follow from it without a kernel of the engine; `Truth.records` hands them to the city
stage as the tracker would if it knew everything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fixtures.drives import Simulation
from streams import messages
from streams.gtfs.calendar import local_date, zone_of
from streams.gtfs.network import Network
from streams.messages import Columns, Kind, Spec

Array = np.ndarray

NEAR_STOP_M = 30.0  # a bus that stands this near a stop serves it
STAND_MPS = 0.5
_TRIP_TYPE = {"in_service": "In service", "off_route": "In service", "layover": "Layover", "deadhead": "Deadhead"}


@dataclass(frozen=True, slots=True)
class Truth:
    """Rows of what happened; ids are object arrays, times POSIX seconds."""

    positions: Columns  # vehicle_id, timestamp, run, pattern, dist_m, trip_type, off_route
    passings: Columns  # vehicle_id, run, pattern, gate_seq, time, departure, stop (bool: a stop, but not the first)
    traversals: Columns  # vehicle_id, run, cell, entered, left, metres, seconds (without dwell)

    @classmethod
    def of(cls, network: Network, drive: Simulation) -> "Truth":
        """The truth of a drive that was recorded every second without error."""
        truth = drive.truth
        order = np.lexsort((truth["true_time"], truth["vehicle_id"].astype(str)))
        rows = messages.take(truth, order)
        pattern = np.array([network.pattern_ix.get(p, -1) for p in rows["pattern_id"].tolist()])
        new = (rows["vehicle_id"][1:] != rows["vehicle_id"][:-1]) | (rows["run"][1:] != rows["run"][:-1])
        cuts = [0, *(np.flatnonzero(new) + 1).tolist(), len(pattern)]
        passings: list[tuple[Array, ...]] = []
        traversals: list[tuple[Array, ...]] = []
        for a, b in pairwise(cuts):
            if rows["run"][a] < 0:
                continue
            part = slice(a, b)
            run = _Run(network, int(pattern[a]), rows["true_time"][part], rows["dist_m"][part], rows["speed_mps"][part])
            for found, out in ((run.passings(), passings), (run.traversals(), traversals)):
                n = len(found[0])
                out.append((np.full(n, rows["vehicle_id"][a], dtype=object), np.full(n, rows["run"][a]), *found))
        trip_type = np.array([_TRIP_TYPE.get(p, "Other not in service") for p in rows["phase"].tolist()], dtype=object)
        return cls(
            {
                "vehicle_id": rows["vehicle_id"],
                "timestamp": rows["true_time"],
                "run": rows["run"],
                "pattern": pattern,
                "dist_m": rows["dist_m"],
                "trip_type": trip_type,
                "off_route": rows["phase"] == "off_route",
            },
            _stacked(("vehicle_id", "run", "pattern", "gate_seq", "time", "departure", "stop"), passings),
            _stacked(("vehicle_id", "run", "cell", "entered", "left", "metres", "seconds"), traversals),
        )

    def records(self, network: Network) -> Iterator[tuple[float, dict[str, Columns]]]:
        """Record time and facts, second by second: what a tracker that knows everything would say."""
        p, g, c = self.positions, self.passings, self.traversals
        names = np.array([*network.pattern_ids, None], dtype=object)
        day = local_date(float(p["timestamp"].min()), zone_of(network.timezone)).isoformat()
        positions = _filled(
            messages.POSITION,
            len(p["run"]),
            vehicle_id=p["vehicle_id"],
            timestamp=p["timestamp"],
            pattern_id=names[p["pattern"]],
            trip_id_performed=_run_ids(day, p),
            dist_m=np.round(p["dist_m"], 1),
            trip_type=p["trip_type"],
            off_route=p["off_route"],
            revision=np.zeros(len(p["run"]), dtype=np.int64),
        )
        passings = _filled(
            messages.PASSING,
            len(g["run"]),
            vehicle_id=g["vehicle_id"],
            trip_id_performed=_run_ids(day, g),
            pattern_id=names[g["pattern"]],
            gate_seq=g["gate_seq"],
            gate_ix=network.pgate_gate_ix[network.pgate_start[g["pattern"]] + g["gate_seq"]].astype(np.int64),
            arrival_time=np.round(g["time"], 2),
            departure_time=np.round(g["departure"], 2),
            determined_at=g["time"],
            revision=np.zeros(len(g["run"]), dtype=np.int64),
        )
        traversals = _filled(
            messages.TRAVERSAL,
            len(c["run"]),
            vehicle_id=c["vehicle_id"],
            trip_id_performed=_run_ids(day, c),
            cell_ix=c["cell"],
            entered_at=np.round(c["entered"], 2),
            running_s=np.round(c["seconds"], 2),
            distance_m=np.round(c["metres"], 1),
            determined_at=c["left"],
            revision=np.zeros(len(c["run"]), dtype=np.int64),
        )
        tables = {"positions": positions, "passings": passings, "traversals": traversals}
        times = {"positions": p["timestamp"], "passings": g["time"], "traversals": c["left"]}
        order = {name: np.argsort(t, kind="stable") for name, t in times.items()}
        tables = {name: messages.take(tables[name], order[name]) for name in tables}
        second = {name: np.ceil(times[name][order[name]]) for name in tables}
        seconds = np.unique(second["positions"])
        edge = {name: np.searchsorted(second[name], np.append(seconds, np.inf)) for name in tables}
        for i, now in enumerate(seconds.tolist()):
            facts = {name: messages.take(t, slice(edge[name][i], edge[name][i + 1])) for name, t in tables.items()}
            heard = facts["positions"]["vehicle_id"]
            facts["closed"] = {"vehicle_id": heard, "until": np.full(len(heard), now)}
            yield now, facts


class _Run:
    """One run, second by second: seconds, distance along the pattern (NaN on a detour) and speed."""

    def __init__(self, network: Network, pattern: int, time: Array, dist_m: Array, speed_mps: Array) -> None:
        self.network, self.pattern = network, pattern
        seen = ~np.isnan(dist_m)
        self.time, self.dist_m = time[seen], np.maximum.accumulate(dist_m[seen])
        stops = slice(network.pstop_start[pattern], network.pstop_start[pattern + 1])
        self.stop_m = network.pstop_dist_m[stops]
        stands = speed_mps[seen] < STAND_MPS
        nearest = np.abs(self.dist_m[:, None] - self.stop_m[None, :]).min(axis=1) if seen.any() else np.empty(0)
        self.serves = stands & (nearest <= NEAR_STOP_M)
        step = np.diff(self.time, prepend=self.time[:1])
        self.served_s = np.cumsum(np.where(self.serves, step, 0.0))  # time stood at stops so far

    def crossed(self, place_m: Array) -> Array:
        """When each place was first reached; NaN where it was not seen."""
        out = np.full(len(place_m), np.nan)
        if len(self.time) < 2:
            return out
        k = np.searchsorted(self.dist_m, place_m - 1e-6)
        inside = (k > 0) & (k < len(self.dist_m))
        i = np.clip(k, 1, len(self.dist_m) - 1)
        seen = inside & (self.time[i] - self.time[i - 1] < 1.5)
        share = (place_m - self.dist_m[i - 1]) / np.maximum(self.dist_m[i] - self.dist_m[i - 1], 1e-9)
        out[seen] = (self.time[i - 1] + np.clip(share, 0.0, 1.0) * (self.time[i] - self.time[i - 1]))[seen]
        begins = (k == 0) & (np.abs(place_m - self.dist_m[0]) < 1.0)
        out[begins] = self.time[0]
        return out

    def passings(self) -> tuple[Array, ...]:
        """Pattern, gate, time, departure of every gate that was passed, and whether it is a stop behind the first."""
        network, p = self.network, self.pattern
        gates = slice(int(network.pgate_start[p]), int(network.pgate_start[p + 1]))
        position = network.pgate_stop_pos[gates]
        time = self.crossed(network.pgate_dist_m[gates])
        departure = time.copy()
        for g in np.flatnonzero(position >= 0).tolist():
            stands = np.flatnonzero(self.serves & (np.abs(self.dist_m - self.stop_m[position[g]]) <= NEAR_STOP_M))
            if len(stands):
                time[g], departure[g] = self.time[stands[0]], self.time[stands[-1]]
        # a gate just before a stop is passed at the latest when the bus has come to stand there
        known = np.where(np.isnan(time), np.inf, time)
        time = np.where(np.isnan(time), np.nan, np.minimum.accumulate(known[::-1])[::-1])
        seen = np.flatnonzero(~np.isnan(time))
        behind = position[seen] > 0
        return np.full(len(seen), p), seen, time[seen], np.maximum(departure, time)[seen], behind

    def traversals(self) -> tuple[Array, ...]:
        """Cell, when it was entered and left, metres and seconds without dwell of every cell driven through whole."""
        network, p = self.network, self.pattern
        spans = slice(int(network.span_start[p]), int(network.span_start[p + 1]))
        border = np.append(network.span_dist_m[spans], network.pattern_length_m[p])
        at = self.crossed(border)
        served = np.interp(at, self.time, self.served_s) if len(self.time) else np.full(len(at), np.nan)
        whole = np.flatnonzero(~np.isnan(at[1:]) & ~np.isnan(at[:-1]))
        seconds = np.diff(at - served)[whole]
        metres = np.diff(border)[whole]
        good = (metres > 0) & (seconds > 0)
        whole = whole[good]
        cell = network.span_cell_ix[spans][whole].astype(np.int64)
        return cell, at[:-1][whole], at[1:][whole], metres[good], seconds[good]


def _run_ids(day: str, columns: Columns) -> Array:
    out = np.full(len(columns["run"]), None, dtype=object)
    named = np.flatnonzero(columns["run"] >= 0)
    pairs = zip(columns["vehicle_id"][named].tolist(), columns["run"][named].tolist(), strict=True)
    out[named] = [f"{day}:{v}:{r}" for v, r in pairs]
    return out


def _stacked(names: tuple[str, ...], parts: list[tuple[Array, ...]]) -> Columns:
    return {name: np.concatenate(columns) for name, columns in zip(names, zip(*parts, strict=True), strict=True)}


def _filled(spec: Spec, n: int, **columns: Array) -> Columns:
    """A table of which only some columns are known."""
    blank = {Kind.ID: None, Kind.JSON: None, Kind.INT: -1, Kind.BOOL: False}
    dtype = {Kind.ID: object, Kind.JSON: object, Kind.INT: np.int64, Kind.BOOL: np.bool_}
    return {
        name: columns.get(name, np.full(n, blank.get(kind, np.nan), dtype=dtype.get(kind, np.float64)))
        for name, kind in spec.items()
    }
