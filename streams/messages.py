"""The records on the wire: for every topic its columns, in the words of GTFS, GTFS-Realtime and TIDES.

A record is a JSON object of equally long lists, one list per column, so that a person with a console consumer can
read it. In memory the same thing is `Columns`: numpy arrays by name. Unknown is null on the wire; in memory it
is NaN for a number, -1 for a small integer, None for an id. Zero always means zero.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import orjson

Columns = dict[str, np.ndarray]


class Kind(StrEnum):
    """What a column holds, and so how it looks in memory."""

    ID = "id"  # str or None, object array
    TIME = "time"  # POSIX seconds, float64, NaN unknown
    NUMBER = "number"  # float64, NaN unknown
    INT = "int"  # int64, -1 unknown
    BOOL = "bool"  # bool
    JSON = "json"  # any JSON value or None, object array


Spec = Mapping[str, Kind]

_WIRE: dict[Kind, Any] = {  # what a column is a list of on the wire
    Kind.ID: list[str | None],
    Kind.TIME: list[float | None],
    Kind.NUMBER: list[float | None],
    Kind.INT: list[int | None],
    Kind.BOOL: list[bool],
    Kind.JSON: list[Any],
}

PING: Spec = {
    "vehicle_id": Kind.ID,
    "timestamp": Kind.TIME,
    "lat": Kind.NUMBER,
    "lon": Kind.NUMBER,
    "route_id": Kind.ID,
    "direction_id": Kind.INT,
    "trip_id": Kind.ID,
    "start_date": Kind.ID,
    "start_time": Kind.ID,
    "bearing_deg": Kind.NUMBER,
    "speed_mps": Kind.NUMBER,
    "odometer_m": Kind.NUMBER,
    "occupancy_status": Kind.ID,
    "label": Kind.ID,
}
PING_REQUIRED = ("vehicle_id", "timestamp", "lat", "lon")

# One row per accepted ping, and again (revision + 1) for pings that a late one made think anew.
POSITION: Spec = {
    "vehicle_id": Kind.ID,
    "timestamp": Kind.TIME,
    "lat": Kind.NUMBER,
    "lon": Kind.NUMBER,
    "bearing_deg": Kind.NUMBER,
    "reported_speed_mps": Kind.NUMBER,
    "odometer_m": Kind.NUMBER,
    "occupancy_status": Kind.ID,
    "label": Kind.ID,
    "route_id": Kind.ID,
    "direction_id": Kind.INT,
    "pattern_id": Kind.ID,
    "trip_id_performed": Kind.ID,
    "trip_id_scheduled": Kind.ID,
    "trip_reported": Kind.BOOL,  # the vehicle itself names trip_id_scheduled
    "service_date": Kind.ID,  # YYYY-MM-DD
    "start_time": Kind.ID,  # HH:MM:SS of the run, stable for the run
    "dist_m": Kind.NUMBER,
    "offset_m": Kind.NUMBER,
    "match_probability": Kind.NUMBER,
    "route_candidates": Kind.JSON,  # [{"route_id", "direction_id", "probability"}] while undecided
    "trip_type": Kind.ID,  # TIDES: In service, Layover, Deadhead, ...; null while undecided
    "off_route": Kind.BOOL,
    "phase_since": Kind.TIME,  # off its route, a deadhead or at base, and surely so: since then, whatever was said
    "stop_id": Kind.ID,
    "stop_sequence": Kind.INT,
    "current_status": Kind.ID,  # GTFS-RT: STOPPED_AT, INCOMING_AT, IN_TRANSIT_TO
    "speed_mps": Kind.NUMBER,  # smoothed, along the pattern
    "h3_cell": Kind.ID,
    "revision": Kind.INT,
    "withdrawn": Kind.BOOL,  # a ping that turned out to be a bad one after all
}

# A run passed a gate (identity: trip_id_performed, gate_seq). At a stop gate arrival and departure are the visit;
# departure is null while the bus stands. `determined_at` is the timestamp of the ping that settled it.
PASSING: Spec = {
    "vehicle_id": Kind.ID,
    "trip_id_performed": Kind.ID,
    "trip_id_scheduled": Kind.ID,
    "pattern_id": Kind.ID,
    "gate_seq": Kind.INT,  # position in the pattern's list of gates
    "gate_ix": Kind.INT,  # the place, in this network
    "arrival_time": Kind.TIME,
    "departure_time": Kind.TIME,
    "schedule_relationship": Kind.ID,  # Scheduled; Missing (not seen) and Skipped (detour) have null times
    "determined_at": Kind.TIME,
    "revision": Kind.INT,
    "withdrawn": Kind.BOOL,
}

# A vehicle drove through one directed cell (identity: vehicle_id, cell_ix, entered_at rounded to 1 s).
TRAVERSAL: Spec = {
    "vehicle_id": Kind.ID,
    "trip_id_performed": Kind.ID,
    "cell_ix": Kind.INT,  # the directed cell, in this network
    "entered_at": Kind.TIME,
    "running_s": Kind.NUMBER,  # without stop dwell
    "distance_m": Kind.NUMBER,
    "determined_at": Kind.TIME,
    "revision": Kind.INT,
    "withdrawn": Kind.BOOL,
}

# Facts of this vehicle determined at or before `until` are final.
CLOSED: Spec = {"vehicle_id": Kind.ID, "until": Kind.TIME}

HEADWAY: Spec = {
    "trip_id_performed": Kind.ID,
    "gate_id": Kind.ID,
    "event_timestamp": Kind.TIME,
    "route_id": Kind.ID,
    "direction_id": Kind.INT,
    "pattern_id": Kind.ID,
    "stop_id": Kind.ID,
    "vehicle_id": Kind.ID,
    "leader_id": Kind.ID,
    "dist_m": Kind.NUMBER,
    "headway_s": Kind.NUMBER,
    "scheduled_headway_s": Kind.NUMBER,
    "target_headway_s": Kind.NUMBER,  # the scheduled one, a legal limit or the last hour's mean, as set
    "headway_ratio": Kind.NUMBER,  # headway / target
    "band": Kind.ID,  # bunched, close, even, wide, gap
    "revision": Kind.INT,
    "withdrawn": Kind.BOOL,
}

# A headway behind the last bus of any route of a group.
GROUP_HEADWAY: Spec = {"route_group_id": Kind.ID, **HEADWAY}

# A terminal is a zone: a bus this close (m) to its first stop may be waiting there; what is told of it then begins with
# when it leaves.
TERMINAL_M = 250.0

ARRIVAL: Spec = {
    "made_at": Kind.TIME,
    "trip_id_performed": Kind.ID,
    "scheduled_stop_sequence": Kind.INT,
    "vehicle_id": Kind.ID,
    "trip_id_scheduled": Kind.ID,
    "route_id": Kind.ID,
    "direction_id": Kind.INT,
    "stop_id": Kind.ID,
    "arrival_p10": Kind.TIME,
    "arrival_p50": Kind.TIME,
    "arrival_p90": Kind.TIME,
    "arrival_time": Kind.TIME,  # the one told to a passenger; all four null: no longer held
}

CONGESTION: Spec = {
    "window_start": Kind.TIME,
    "window_s": Kind.INT,
    "h3_cell": Kind.ID,
    "heading_octant": Kind.INT,
    "lane": Kind.ID,  # busway, mixed
    "speed_mps": Kind.NUMBER,
    "free_flow_mps": Kind.NUMBER,
    "congestion_level": Kind.ID,  # GTFS-RT: RUNNING_SMOOTHLY, STOP_AND_GO, CONGESTION, SEVERE_CONGESTION
    "n_vehicles": Kind.INT,
    "n_samples": Kind.INT,
    "distance_m": Kind.NUMBER,  # that all traversals drove in it
    "delay_s": Kind.NUMBER,  # vehicle-seconds that they took longer than on a free road
    "delay_hour_s": Kind.NUMBER,  # and with the windows of the last hour that have closed
    "final": Kind.BOOL,  # the window is closed: this row will not change
}

# The way from one stop to the next, shared by every route that drives it alike.
SEGMENT: Spec = {
    "window_start": Kind.TIME,
    "window_s": Kind.INT,
    "segment_id": Kind.ID,  # from>to; #2 and so on where there is another way between the two
    "from_stop_id": Kind.ID,
    "to_stop_id": Kind.ID,
    "pattern_id": Kind.ID,  # one that drives it, and where along its shape
    "from_dist_m": Kind.NUMBER,
    "to_dist_m": Kind.NUMBER,
    "speed_mps": Kind.NUMBER,  # without stop dwell
    "free_flow_mps": Kind.NUMBER,
    "congestion_level": Kind.ID,
    "running_s": Kind.NUMBER,  # from stop to stop at that speed
    "delay_s": Kind.NUMBER,  # vehicle-seconds lost against free flow
    "n_samples": Kind.INT,  # traversals, in the mean along its length
    "measured_share": Kind.NUMBER,  # of its length; elsewhere the pace is the filter's
    "final": Kind.BOOL,
}

# One row for the last hour, again and again, and a `final` one for every hour of the clock.
INDICATOR: Spec = {
    "made_at": Kind.TIME,
    "window_start": Kind.TIME,
    "window_s": Kind.INT,
    "final": Kind.BOOL,
    "route_id": Kind.ID,
    "direction_id": Kind.INT,
    "n_vehicles": Kind.INT,
    "n_headways": Kind.INT,
    "headway_mean_s": Kind.NUMBER,
    "headway_cv": Kind.NUMBER,  # standard deviation / mean
    "scheduled_headway_s": Kind.NUMBER,
    "excess_wait_s": Kind.NUMBER,
    "share_bunched": Kind.NUMBER,
    "share_gapped": Kind.NUMBER,
    "share_regular": Kind.NUMBER,
    "share_within_limit": Kind.NUMBER,  # of the legal limit; null where none is set
    "coverage": Kind.NUMBER,  # calls at stops that were seen over those planned
}

ALERT: Spec = {
    "alert_id": Kind.ID,
    "revision": Kind.INT,
    "kind": Kind.ID,  # bunching, gap, vehicle_stopped, no_service, detour, vehicle_lost, source_silent, ...
    "severity": Kind.ID,  # GTFS-RT: INFO, WARNING, SEVERE
    "active_from": Kind.TIME,
    "active_to": Kind.TIME,  # null while active
    "route_id": Kind.ID,
    "direction_id": Kind.INT,
    "stop_id": Kind.ID,
    "vehicle_id": Kind.ID,  # the follower of a bunch or gap
    "leader_id": Kind.ID,
    "headway_s": Kind.NUMBER,  # of a bunch or gap
    "target_headway_s": Kind.NUMBER,  # what it should be
    "stop_ids": Kind.JSON,  # of a gap: the stops that wait, as the next bus comes to them; of a detour: those left out
    "next_bus_s": Kind.NUMBER,  # until it is at the first of them
    "hold_stop_id": Kind.ID,  # advice for a bunched follower: where to hold,
    "hold_s": Kind.NUMBER,  # for how long,
    "hold_wait_change_s": Kind.NUMBER,  # and the change of the mean wait that this makes; negative is less
    "path": Kind.ID,  # of a detour: the way its newest bus drove, an encoded polyline (5 decimals)
    "first_seen_at": Kind.TIME,  # of a detour: when the first of its buses left the route,
    "last_seen_at": Kind.TIME,  # and when the last one came back
    "cause": Kind.ID,
    "effect": Kind.ID,
    "header": Kind.ID,
    "description": Kind.ID,
}

REJECT: Spec = {
    "reason": Kind.ID,
    "source_topic": Kind.ID,
    "source_partition": Kind.INT,
    "source_offset": Kind.INT,
    "source_index": Kind.INT,
    "record_time": Kind.TIME,
    "event_timestamp": Kind.TIME,
    "vehicle_id": Kind.ID,
    "raw_base64": Kind.ID,  # the ping's own bytes up to 64 kB; null beyond that
    "raw_length": Kind.INT,
    "raw_sha256": Kind.ID,
}

HEARTBEAT = b'{"heartbeat":true}'


def empty(spec: Spec) -> Columns:
    """No rows of this record."""
    return {name: _array(kind, []) for name, kind in spec.items()}


def column(kind: Kind, values: list[Any]) -> np.ndarray:
    """One column in memory from wire values (None is unknown)."""
    return _array(kind, values)


def rows(columns: Columns) -> int:
    """How many rows there are."""
    return len(next(iter(columns.values()))) if columns else 0


def take(columns: Columns, index: np.ndarray | slice) -> Columns:
    """The chosen rows of every column."""
    return {name: values[index] for name, values in columns.items()}


def concat(spec: Spec, parts: list[Columns]) -> Columns:
    """All parts, one behind the other."""
    if not parts:
        return empty(spec)
    return {name: np.concatenate([p[name] for p in parts]) for name in spec}


def to_wire(spec: Spec, columns: Columns) -> dict[str, Any]:
    """What `orjson.dumps(..., option=OPT_SERIALIZE_NUMPY)` turns into the record's JSON."""
    out: dict[str, Any] = {}
    for name, kind in spec.items():
        values = columns[name]
        if kind in (Kind.ID, Kind.JSON):
            out[name] = values.tolist()
        elif kind is Kind.INT:
            known = values >= 0
            out[name] = values if known.all() else [v if v >= 0 else None for v in values.tolist()]
        else:
            out[name] = values  # NaN is null in JSON
    return out


def encode(spec: Spec, columns: Columns) -> bytes:
    """A record's bytes."""
    return orjson.dumps(to_wire(spec, columns), option=orjson.OPT_SERIALIZE_NUMPY)


def encode_parts(spec: Spec, columns: Columns, part: np.ndarray, most: int) -> Iterator[tuple[int, bytes]]:
    """Bytes of several records: rows whose `part` (ascending) is the same make one, or several of `most` rows.

    Yields (part, bytes) in order.
    """
    wire = to_wire(spec, columns)
    edges = np.flatnonzero(np.diff(part, prepend=-1, append=-1)).tolist()
    for begin, end in pairwise(edges):
        for start in range(begin, end, most):
            some = slice(start, min(start + most, end))
            data = {name: values[some] for name, values in wire.items()}
            yield int(part[start]), orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


def from_wire(spec: Spec, record: Mapping[str, Any]) -> Columns:
    """Columns of a parsed record. Raises ValueError when columns are missing or differ in length."""
    try:
        columns = {name: _array(kind, record[name]) for name, kind in spec.items()}
    except KeyError as missing:
        raise ValueError(f"column {missing} is missing") from None
    if len({len(v) for v in columns.values()}) > 1:
        raise ValueError("columns differ in length")
    return columns


def reader(specs: Mapping[str, Spec], **fields: type) -> "msgspec.json.Decoder[Any]":
    """A decoder of records that hold such columns by name, and plain `fields` beside; it passes over all else.

    Its result has attributes; a column is a list for `from_wire`. Raises msgspec.MsgspecError.
    """
    parts = [
        (name, msgspec.defstruct(name, [(column, _WIRE[kind]) for column, kind in spec.items()]))
        for name, spec in specs.items()
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Record", [*fields.items(), *parts]))


def decode(spec: Spec, value: bytes) -> Columns:
    """Columns of a record's bytes."""
    return from_wire(spec, orjson.loads(value))


def _array(kind: Kind, values: list[Any]) -> np.ndarray:
    if kind in (Kind.ID, Kind.JSON):
        out = np.empty(len(values), dtype=object)
        if kind is Kind.ID:
            out[:] = values
        else:
            for i, v in enumerate(values):
                out[i] = v
        return out
    if kind is Kind.INT:
        if None in values:
            values = [-1 if v is None else v for v in values]
        return np.asarray(values, dtype=np.int64)
    if kind is Kind.BOOL:
        return np.asarray(values, dtype=np.bool_)
    return np.asarray(values, dtype=np.float64)  # None becomes NaN
