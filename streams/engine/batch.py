"""Records of `pings` as columns: a strict fast pass, and a tolerant one for records that it refuses.

A record is one ping, an array of pings, or columns. One bad ping never takes its neighbours with it: where the strict
parser refuses a record, every ping of it is judged by itself, and the bad ones keep their own bytes.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import msgspec
import numpy as np
import orjson

from streams.engine.rejects import Reject, canonical
from streams.engine.stage import Record
from streams.messages import HEARTBEAT, PING, PING_REQUIRED, Columns, Kind, column

Array = np.ndarray

MAX_RECORD_BYTES = 4 << 20  # 20,000 pings: no source sends more in one record
MAX_TEXT = 256  # characters of an id or a label
EARLIEST_S = 946_684_800.0  # 2000-01-01: before it a clock was never set
LATEST_S = 1e11
FORWARDED = "forwarded"


class _Ping(msgspec.Struct, gc=False):
    vehicle_id: str
    timestamp: float
    lat: float
    lon: float
    route_id: str | None = None
    direction_id: int | None = None
    trip_id: str | None = None
    start_date: str | None = None
    start_time: str | None = None
    bearing_deg: float | None = None
    speed_mps: float | None = None
    odometer_m: float | None = None
    occupancy_status: str | None = None
    label: str | None = None
    forwarded: bool = False


_Texts = list[str | None] | None
_Numbers = list[float | None] | None


class _PingColumns(msgspec.Struct, gc=False):
    vehicle_id: list[str]
    timestamp: list[float]
    lat: list[float]
    lon: list[float]
    route_id: _Texts = None
    direction_id: list[int | None] | None = None
    trip_id: _Texts = None
    start_date: _Texts = None
    start_time: _Texts = None
    bearing_deg: _Numbers = None
    speed_mps: _Numbers = None
    odometer_m: _Numbers = None
    occupancy_status: _Texts = None
    label: _Texts = None
    forwarded: bool = False


_ONE = msgspec.json.Decoder(_Ping)
_MANY = msgspec.json.Decoder(list[_Ping])
_COLUMNS = msgspec.json.Decoder(_PingColumns)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True)
class Refused:
    """A ping that could not be read, or the record itself."""

    record: int  # place in the call
    index: int  # place in the record
    reason: Reject
    timestamp: float
    vehicle_id: str | None
    raw: bytes


@dataclass(slots=True)
class Batch:
    """The readable pings of some records, row by row, in order."""

    pings: Columns
    record: Array  # i4, place of the record in the call
    index: Array  # i4, place of the ping in its record
    forwarded: Array  # bool
    refused: list[Refused] = field(default_factory=list)
    received: int = 0  # pings, and records that held none that could be told apart


def decode(records: Sequence[Record]) -> Batch:
    """All pings of the records. Heartbeats hold none."""
    lists: dict[str, list[Any]] = {name: [] for name in PING}
    record: list[Array] = []
    index: list[Array] = []
    forwarded: list[Array] = []
    out = Batch({}, np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.bool_))
    for at, (_, _, value) in enumerate(records):
        if value == HEARTBEAT:
            continue
        n, rows, sent = _read(at, value, lists, out.refused)
        out.received += n
        kept = np.arange(n, dtype=np.int32) if rows is None else np.asarray(rows, dtype=np.int32)
        record.append(np.full(len(kept), at, dtype=np.int32))
        index.append(kept)
        forwarded.append(np.full(len(kept), sent) if isinstance(sent, bool) else np.asarray(sent, dtype=np.bool_))
    out.pings = {name: column(kind, lists[name]) for name, kind in PING.items()}
    if record:
        out.record, out.index, out.forwarded = (np.concatenate(v) for v in (record, index, forwarded))
    return out


def _read(
    at: int, value: bytes, lists: dict[str, list[Any]], refused: list[Refused]
) -> tuple[int, list[int] | None, bool | list[bool]]:
    """Append a record's pings to `lists`: how many it held, which of them were readable (None: all), forwarded."""
    if len(value) > MAX_RECORD_BYTES:
        refused.append(Refused(at, 0, Reject.RECORD_TOO_LARGE, math.nan, None, value))
        return 1, [], False
    try:
        if value[:1] == b"[":
            many = _MANY.decode(value)
            found = {name: [getattr(p, name) for p in many] for name in PING}
            _check_texts(len(value), len(many), found)
            for name, values in found.items():
                lists[name] += values
            return len(many), None, [p.forwarded for p in many]
        if _has_columns(value):
            columns = _COLUMNS.decode(value)
            n = len(columns.vehicle_id)
            found = {name: getattr(columns, name) or [None] * n for name in PING}
            if any(len(v) != n for v in found.values()):
                raise msgspec.ValidationError("columns differ in length")
            _check_texts(len(value), n, found)
            for name, values in found.items():
                lists[name] += values
            return n, None, columns.forwarded
        one = _ONE.decode(value)
        found = {name: [getattr(one, name)] for name in PING}
        _check_texts(len(value), 1, found)
        for name, values in found.items():
            lists[name] += values
        return 1, None, one.forwarded
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    return _read_tolerantly(at, value, lists, refused)


def _check_texts(size: int, n: int, found: dict[str, list[Any]]) -> None:
    """Raise when a text is too long; only a record of more bytes than pings need is looked through."""
    if size > 400 * n and any(
        text is not None and len(text) > MAX_TEXT
        for name, kind in PING.items()
        if kind is Kind.ID
        for text in found[name]
    ):
        raise msgspec.ValidationError("a text is too long")


def _has_columns(value: bytes) -> bool:
    name = value.find(b'"vehicle_id"')
    if name < 0:
        return False
    after = value[name + 12 : name + 32].lstrip(b" \t\r\n:")
    return after[:1] == b"["


def _read_tolerantly(
    at: int, value: bytes, lists: dict[str, list[Any]], refused: list[Refused]
) -> tuple[int, list[int] | None, bool | list[bool]]:
    try:
        try:
            tree = orjson.loads(value)
        except orjson.JSONDecodeError:
            tree = json.loads(value)  # NaN and Infinity are no JSON, yet they are sent
    except (ValueError, RecursionError):
        tree = None
    sent: bool | None = None
    raws: list[bytes] | None = None
    if isinstance(tree, list):
        pings = tree
        try:
            raws = [bytes(r) for r in _RAW.decode(value)]
        except msgspec.DecodeError:
            raws = None
    elif isinstance(tree, dict) and isinstance(tree.get("vehicle_id"), list):
        sent = tree.pop(FORWARDED, False) is True
        known = {k: v for k, v in tree.items() if k in PING}
        lengths = {len(v) if isinstance(v, list) else -1 for v in known.values() if v is not None}
        if len(lengths) != 1 or -1 in lengths:
            refused.append(Refused(at, 0, Reject.COLUMNS_DIFFER, math.nan, None, value))
            return 1, [], False
        n = lengths.pop()
        pings = [{k: v[i] for k, v in known.items() if v is not None} for i in range(n)]
    elif isinstance(tree, dict):
        pings, raws = [tree], [value]
    else:
        refused.append(Refused(at, 0, Reject.NOT_JSON, math.nan, None, value))
        return 1, [], False
    kept: list[int] = []
    flags: list[bool] = []
    for i, ping in enumerate(pings):
        reason = fault_of(ping)
        if reason is None:
            kept.append(i)
            flags.append(sent if sent is not None else ping.get(FORWARDED) is True)
            for name in PING:
                lists[name].append(ping.get(name))
            continue
        raw = raws[i] if raws is not None else _dumps(ping)
        stamp = ping.get("timestamp") if isinstance(ping, dict) else None
        vehicle = ping.get("vehicle_id") if isinstance(ping, dict) else None
        refused.append(
            Refused(
                at,
                i,
                reason,
                float(stamp) if _is_number(stamp) and abs(stamp) < 1e15 else math.nan,
                vehicle if isinstance(vehicle, str) and len(vehicle) <= MAX_TEXT else None,
                raw,
            )
        )
    return len(pings), kept, flags


def fault_of(ping: Any) -> Reject | None:
    """What is wrong with one parsed ping: a missing field, a wrong type, a number that is none; None if nothing."""
    if not isinstance(ping, dict):
        return Reject.NOT_JSON
    for name in PING_REQUIRED:
        if ping.get(name) is None or ping[name] == "":
            return Reject.MISSING_FIELD
    for name, kind in PING.items():
        value = ping.get(name)
        if value is None:
            continue
        if kind is Kind.ID:
            if not isinstance(value, str):
                return Reject.WRONG_TYPE
            if len(value) > MAX_TEXT:
                return Reject.OUT_OF_RANGE
        elif not _is_number(value):
            return Reject.WRONG_TYPE
        elif not math.isfinite(value):
            return Reject.NOT_A_NUMBER
        elif abs(value) > 1e15:
            return Reject.OUT_OF_RANGE
        elif kind is Kind.INT and value != int(value):
            return Reject.WRONG_TYPE
    return None


FAULTS = (None, Reject.OUT_OF_RANGE, Reject.NULL_ISLAND, Reject.MISSING_FIELD)


def faults(pings: Columns) -> Array:
    """What is wrong with the numbers of decoded pings: place in FAULTS for each row (i1), 0 for nothing."""
    lat, lon, t = pings["lat"], pings["lon"], pings["timestamp"]
    out: Array = np.zeros(len(t), dtype=np.int8)
    with np.errstate(invalid="ignore"):
        inside = (np.abs(lat) <= 90.0) & (np.abs(lon) <= 180.0) & (t >= EARLIEST_S) & (t <= LATEST_S)
        out[~inside] = 1
        out[(np.abs(lat) < 1e-6) & (np.abs(lon) < 1e-6)] = 2
    out[np.isnan(lat) | np.isnan(lon) | np.isnan(t)] = 3
    names = pings["vehicle_id"].tolist()
    if not all(names):
        out[[not v for v in names]] = 3
    return out


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dumps(ping: Any) -> bytes:
    try:
        return canonical(ping) if isinstance(ping, dict) else orjson.dumps(ping)
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(ping).encode()


def ping_at(pings: Columns, row: int) -> dict[str, Any]:
    """One row as it would stand in a record; unknown fields are None."""
    out: dict[str, Any] = {}
    for name, kind in PING.items():
        value = pings[name][row]
        if kind is Kind.INT:
            out[name] = int(value) if value >= 0 else None
        elif kind in (Kind.TIME, Kind.NUMBER):
            out[name] = None if math.isnan(value) else float(value)
        else:
            out[name] = value
    return out
