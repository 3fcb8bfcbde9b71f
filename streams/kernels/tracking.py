"""The tracker's loop: pings of many vehicles in log order, each put into its vehicle's event-time order.

A vehicle has a ring of its latest pings and three filter states: `base` has consumed all that left the ring, `head`
all that is in it, and `mid` (a copy of an earlier head) the first so many of it, so that base follows without
computing anything twice. A ping in order moves head by one. A late one is put into its place: what followed from
there on is worked out again as it was and as it is now, and the difference is told.
"""

from typing import NamedTuple

import numpy as np

from streams.jit import kernel
from streams.kernels.gates import (
    C_CELL,
    C_DAY,
    C_ENTERED,
    C_NUMBER,
    C_RECORD,
    C_REVISION,
    C_VEHICLE,
    C_WITHDRAWN,
    F_ARRIVAL,
    F_DAY,
    F_DEPARTURE,
    F_DETERMINED,
    F_GATE,
    F_NUMBER,
    F_RECORD,
    F_RELATION,
    F_REVISION,
    F_UPDATE,
    F_VEHICLE,
    F_WITHDRAWN,
    Facts,
    follow,
)
from streams.kernels.matching import (
    MAX_BEAM,
    NEXT_GATE,
    NF,
    NI,
    P_CANDIDATES,
    P_DIRECTION,
    P_DIST,
    P_OFF,
    P_OFFSET,
    P_PATTERN,
    P_PHASE,
    P_PROBABILITY,
    P_ROUTE,
    P_SPEED,
    RUN_D,
    RUN_DAY,
    RUN_N,
    RUN_OFF,
    RUN_PATTERN,
    RUN_START,
    RUN_T,
    RUN_TRIP,
    SPAN,
    USED,
    VISIT_ARRIVAL,
    VISIT_DEPARTURE,
    VISIT_GATE,
    N,
    State,
    T,
    decide,
    match,
)
from streams.kernels.tables import Array

RING = 32
STATES = 3  # filter states of a vehicle: base, mid, head
BASE, MID, HEAD = 0, 1, 2
SILENCE_GRID_S = 5.0  # silence is looked for on this grid of record time

# what became of a ping beyond matching's USED, IMPOSSIBLE_SPEED, FROZEN
TOO_LATE, DUPLICATE, FROM_THE_FUTURE = 3, 4, 5
TOLD = 64  # added to a judgement of the ring that has been told

# columns of Fleet.count and Fleet.clock
RINGED, MIDDLE, REVISION, JUDGED = 0, 1, 2, 3
HEARD, NEWEST, UNTIL = 0, 1, 2


class Ring(NamedTuple):
    """The latest pings of each vehicle, (n, RING), oldest first."""

    t: Array  # f8
    lat: Array  # i4, millionths of a degree
    lon: Array  # i4
    bearing: Array  # f4, NaN
    speed: Array  # f4, NaN
    odometer: Array  # f8, NaN
    report: Array  # i4, row of Reports
    offset: Array  # i8, where it came from: record
    index: Array  # i4, and row in it
    judgement: Array  # i1


class Fleet(NamedTuple):
    """All that is remembered, one row per vehicle (`state`: STATES rows each)."""

    state: State
    ring: Ring
    count: Array  # i4 (n, 4): pings in the ring, of them in mid, revision, judged bad and not yet told
    clock: Array  # f8 (n, 3): record time last heard, newest second, closed until


class Pings(NamedTuple):
    """A batch; a row of vehicle -1 only moves record time."""

    vehicle: Array  # i4
    t: Array  # f8
    lat: Array  # i4, millionths of a degree
    lon: Array  # i4
    bearing: Array  # f8
    speed: Array  # f8
    odometer: Array  # f8
    report: Array  # i4
    offset: Array  # i8
    index: Array  # i4
    record: Array  # i4, number of the input record within the call
    record_time: Array  # f8


class Reports(NamedTuple):
    """What vehicles say of themselves, one row per distinct saying."""

    route: Array  # i4, -1
    direction: Array  # i4
    pattern: Array  # i4, of the reported trip
    trip: Array  # i4
    rank: Array  # i8: order of contents that does not depend on which came first


class Place(NamedTuple):
    """The projection: metres per millionth of a degree, and the origin."""

    east_m: float
    north_m: float
    lat: float  # millionths of a degree
    lon: float


# columns of Rows.i
(
    R_VEHICLE, R_RECORD, R_LAT, R_LON, R_REPORT, R_PHASE, R_PATTERN, R_ROUTE, R_DIRECTION, R_OFF, R_DAY, R_NUMBER,
    R_TRIP, R_START, R_STOP, R_SEQUENCE, R_STATUS, R_CELL, R_REVISION, R_WITHDRAWN, R_CANDIDATES, R_FIRST, R_OFFSET,
    R_INDEX, R_REASON,
) = range(25)  # fmt: skip
NRI = 25
# columns of Rows.f
R_T, R_BEARING, R_REPORTED_SPEED, R_ODOMETER, R_DIST, R_OFFSET_M, R_PROBABILITY, R_SPEED = range(8)
NRF = 8
IN_TRANSIT, INCOMING, STOPPED = 0, 1, 2
INCOMING_M = 80.0  # a vehicle is about to arrive this far before the stop


class Rows(NamedTuple):
    """Rows with all that is told of a ping; `count` says how many, and how many candidates."""

    i: Array  # i8 (capacity, NRI)
    f: Array  # f8 (capacity, NRF)
    candidate: Array  # i4 (capacity * 4,): route_dir
    mass: Array  # f8
    count: Array  # i8 (2,)


class Closed(NamedTuple):
    """Watermarks as they move."""

    vehicle: Array  # i4
    record: Array  # i4
    until: Array  # f8
    count: Array  # i8 (1,)


class Out(NamedTuple):
    """What a call gives, and room to work in."""

    rows: Rows
    rejects: Rows
    facts: Facts
    closed: Closed
    old_rows: Rows  # of one late ping
    old_facts: Facts
    new_facts: Facts
    spare: State  # three filter states
    said_i: Array  # i8 (6,)
    said_f: Array  # f8 (4,)


def state(n: int) -> State:
    """Empty filter states."""
    return State(
        np.zeros((n, NF)), np.full((n, NI), -1, np.int32) * np.array([0] + [1] * (NI - 1), np.int32),
        np.zeros((n, MAX_BEAM, 4), np.float32), np.zeros((n, MAX_BEAM, 2), np.int32),
    )  # fmt: skip


def fleet(n: int) -> Fleet:
    """Room for n vehicles that nothing is known of."""
    return Fleet(
        state(STATES * n),
        Ring(
            np.zeros((n, RING)), np.zeros((n, RING), np.int32), np.zeros((n, RING), np.int32),
            np.zeros((n, RING), np.float32), np.zeros((n, RING), np.float32), np.zeros((n, RING)),
            np.zeros((n, RING), np.int32), np.zeros((n, RING), np.int64), np.zeros((n, RING), np.int32),
            np.zeros((n, RING), np.int8),
        ),
        np.zeros((n, 4), np.int32),
        np.full((n, 3), -np.inf),
    )  # fmt: skip


def rows(capacity: int) -> Rows:
    """Room for so many rows."""
    return Rows(
        np.zeros((capacity, NRI), np.int64), np.zeros((capacity, NRF)),
        np.zeros(capacity * 4, np.int32), np.zeros(capacity * 4), np.zeros(2, np.int64),
    )  # fmt: skip


def closed(capacity: int) -> Closed:
    """Room for so many watermarks."""
    return Closed(np.zeros(capacity, np.int32), np.zeros(capacity, np.int32), np.zeros(capacity), np.zeros(1, np.int64))


@kernel
def _copy(source, i, target, j):
    target.ff[j] = source.ff[i]
    target.fi[j] = source.fi[i]
    target.hf[j] = source.hf[i]
    target.hi[j] = source.hi[i]


@kernel
def _write(rows, k, ring, v, q, record):
    """The ping of ring place (v, q) as a row of which nothing is said."""
    i, f = rows.i[k], rows.f[k]
    i[R_VEHICLE], i[R_RECORD] = v, record
    i[R_LAT], i[R_LON], i[R_REPORT] = ring.lat[v, q], ring.lon[v, q], ring.report[v, q]
    i[R_OFFSET], i[R_INDEX] = ring.offset[v, q], ring.index[v, q]
    f[R_T] = ring.t[v, q]
    f[R_BEARING], f[R_REPORTED_SPEED], f[R_ODOMETER] = ring.bearing[v, q], ring.speed[v, q], ring.odometer[v, q]


@kernel
def _advance(state, s, fleet, v, q, rows, facts, record, reports, tables, prm, times, place, out, work):
    """Filter state `s` consumes the ping at ring place (v, q); if it is used, one row is written."""
    ring = fleet.ring
    t = ring.t[v, q]
    x = (ring.lon[v, q] - place.lon) * place.east_m
    y = (ring.lat[v, q] - place.lat) * place.north_m
    report = ring.report[v, q]
    bearing, speed = np.float64(ring.bearing[v, q]), np.float64(ring.speed[v, q])
    code = match(
        state, s, t, x, y, bearing, speed,
        reports.route[report], reports.direction[report], reports.pattern[report], tables, prm, times, work,
    )  # fmt: skip
    if code != USED:
        return code
    said_i, said_f = out.said_i, out.said_f
    decide(state, s, tables, prm, said_i, said_f, work)
    follow(state, s, t, said_i, said_f, reports.trip[report], tables, prm, times, facts)
    ff, fi = state.ff[s], state.fi[s]
    k = rows.count[0]
    rows.count[0] = k + 1
    _write(rows, k, ring, v, q, record)
    i, f = rows.i[k], rows.f[k]
    i[R_PHASE] = said_i[P_PHASE]
    i[R_PATTERN], i[R_ROUTE], i[R_DIRECTION] = said_i[P_PATTERN], said_i[P_ROUTE], said_i[P_DIRECTION]
    i[R_OFF] = said_i[P_OFF]
    i[R_DAY] = i[R_NUMBER] = i[R_TRIP] = i[R_START] = -1
    i[R_STOP] = i[R_SEQUENCE] = i[R_STATUS] = i[R_CELL] = -1
    i[R_WITHDRAWN] = 0
    first = rows.count[1]
    i[R_CANDIDATES], i[R_FIRST] = said_i[P_CANDIDATES], first
    for c in range(said_i[P_CANDIDATES]):
        rows.candidate[first + c] = work.rank[c]
        rows.mass[first + c] = work.mass[c]
    rows.count[1] = first + said_i[P_CANDIDATES]
    f[R_DIST], f[R_OFFSET_M] = np.nan, said_f[P_OFFSET]
    f[R_PROBABILITY], f[R_SPEED] = said_f[P_PROBABILITY], said_f[P_SPEED]
    p = fi[RUN_PATTERN]
    if p < 0 or p != said_i[P_PATTERN]:
        return code
    i[R_DAY], i[R_NUMBER], i[R_TRIP] = fi[RUN_DAY], fi[RUN_N], fi[RUN_TRIP]
    i[R_START] = np.int64(ff[RUN_START])
    if said_i[P_OFF] == 0:
        f[R_DIST] = ff[RUN_D]
        i[R_CELL] = tables.span_cell_ix[tables.span_start[p] + fi[SPAN]]
    visiting = fi[VISIT_GATE] >= 0 and np.isnan(ff[VISIT_DEPARTURE])
    lo, hi = tables.pstop_start[p], tables.pstop_start[p + 1]
    end = hi
    wanted = fi[VISIT_GATE] if visiting else fi[NEXT_GATE]
    while lo < hi:
        middle = (lo + hi) >> 1
        if tables.pstop_gate_seq[middle] < wanted:
            lo = middle + 1
        else:
            hi = middle
    if lo < end:
        i[R_STOP], i[R_SEQUENCE] = tables.pstop_stop_ix[lo], tables.pstop_sequence[lo]
        i[R_STATUS] = IN_TRANSIT
        if visiting:
            i[R_STATUS] = STOPPED
        elif said_i[P_OFF] == 0 and tables.pstop_dist_m[lo] - ff[RUN_D] <= INCOMING_M:
            i[R_STATUS] = INCOMING
    return code


@kernel
def _judge(fleet, v, q, code):
    old = fleet.ring.judgement[v, q]
    if old != USED and old < TOLD:
        fleet.count[v, JUDGED] -= 1
    if code != USED:
        fleet.count[v, JUDGED] += 1
    fleet.ring.judgement[v, q] = code


@kernel
def _tell_judged(fleet, v, second, record, rejects):
    """Bad fixes older than `second` can no longer turn out to be good ones: told as rejects."""
    ring = fleet.ring
    for q in range(fleet.count[v, RINGED]):
        if fleet.count[v, JUDGED] == 0 or ring.t[v, q] >= second:
            return
        code = ring.judgement[v, q]
        if code != USED and code < TOLD:
            k = rejects.count[0]
            rejects.count[0] = k + 1
            _write(rejects, k, ring, v, q, record)
            rejects.i[k, R_REASON] = code
            ring.judgement[v, q] = code + TOLD
            fleet.count[v, JUDGED] -= 1


@kernel
def _refuse(pings, i, code, rejects):
    k = rejects.count[0]
    rejects.count[0] = k + 1
    row, f = rejects.i[k], rejects.f[k]
    row[R_VEHICLE], row[R_RECORD] = pings.vehicle[i], pings.record[i]
    row[R_LAT], row[R_LON], row[R_REPORT] = pings.lat[i], pings.lon[i], pings.report[i]
    row[R_OFFSET], row[R_INDEX] = pings.offset[i], pings.index[i]
    row[R_REASON] = code
    f[R_T] = pings.t[i]
    f[R_BEARING], f[R_REPORTED_SPEED], f[R_ODOMETER] = pings.bearing[i], pings.speed[i], pings.odometer[i]


@kernel
def _move_place(ring, v, source, target):
    ring.t[v, target] = ring.t[v, source]
    ring.lat[v, target] = ring.lat[v, source]
    ring.lon[v, target] = ring.lon[v, source]
    ring.bearing[v, target] = ring.bearing[v, source]
    ring.speed[v, target] = ring.speed[v, source]
    ring.odometer[v, target] = ring.odometer[v, source]
    ring.report[v, target] = ring.report[v, source]
    ring.offset[v, target] = ring.offset[v, source]
    ring.index[v, target] = ring.index[v, source]
    ring.judgement[v, target] = ring.judgement[v, source]


@kernel
def _put(ring, v, q, pings, i):
    ring.t[v, q] = pings.t[i]
    ring.lat[v, q], ring.lon[v, q] = pings.lat[i], pings.lon[i]
    ring.bearing[v, q], ring.speed[v, q] = pings.bearing[i], pings.speed[i]
    ring.odometer[v, q] = pings.odometer[i]
    ring.report[v, q] = pings.report[i]
    ring.offset[v, q], ring.index[v, q] = pings.offset[i], pings.index[i]
    ring.judgement[v, q] = USED


@kernel
def _drop(fleet, v, many):
    """The first places of the ring are in base now."""
    for q in range(many, fleet.count[v, RINGED]):
        _move_place(fleet.ring, v, q, q - many)
    fleet.count[v, RINGED] -= many


@kernel
def _compare(a, b):
    """-1, 0, 1: order of two numbers, NaN before all."""
    if a != a:
        return 0 if b != b else -1
    if b != b or a > b:
        return 1
    return -1 if a < b else 0


@kernel
def _smaller(ring, v, q, pings, i, reports):
    """Whether the new ping's content comes before that at ring place (v, q): the one that wins a second."""
    c = _compare(pings.t[i], ring.t[v, q])
    if c == 0:
        c = _compare(pings.lat[i], ring.lat[v, q])
    if c == 0:
        c = _compare(pings.lon[i], ring.lon[v, q])
    if c == 0:
        c = _compare(np.float32(pings.bearing[i]), ring.bearing[v, q])
    if c == 0:
        c = _compare(np.float32(pings.speed[i]), ring.speed[v, q])
    if c == 0:
        c = _compare(pings.odometer[i], ring.odometer[v, q])
    if c == 0:
        a, b = reports.rank[pings.report[i]], reports.rank[ring.report[v, q]]
        return a < b
    return c < 0


@kernel
def _same_row(a, i, b, j):
    for c in range(R_PHASE, R_REVISION):
        if a.i[i, c] != b.i[j, c]:
            return False
    if a.i[i, R_CANDIDATES] != b.i[j, R_CANDIDATES]:
        return False
    for c in range(R_LAT, R_REPORT + 1):
        if a.i[i, c] != b.i[j, c]:
            return False
    for c in range(NRF):
        if _compare(a.f[i, c], b.f[j, c]) != 0:
            return False
    for c in range(a.i[i, R_CANDIDATES]):
        m, w = a.i[i, R_FIRST] + c, b.i[j, R_FIRST] + c
        if a.candidate[m] != b.candidate[w] or a.mass[m] != b.mass[w]:
            return False
    return True


@kernel
def _tell_rows(rows, first, old, revision):
    """Of the new rows from `first` on keep those that differ from the old ones; old ones that are gone are withdrawn."""
    end = rows.count[0]
    gone = end
    for o in range(old.count[0]):
        still = False
        for k in range(first, end):
            still = still or rows.f[k, R_T] == old.f[o, R_T]
        if not still:
            rows.i[gone] = old.i[o]
            rows.f[gone] = old.f[o]
            rows.i[gone, R_CANDIDATES] = 0
            rows.i[gone, R_WITHDRAWN] = 1
            gone += 1
    kept = first
    j = 0
    for k in range(first, gone):
        if k < end:
            while j < old.count[0] and old.f[j, R_T] < rows.f[k, R_T]:
                j += 1
            if j < old.count[0] and old.f[j, R_T] == rows.f[k, R_T] and _same_row(rows, k, old, j):
                continue
        rows.i[kept] = rows.i[k]
        rows.f[kept] = rows.f[k]
        rows.i[kept, R_REVISION] = revision
        kept += 1
    rows.count[0] = kept


@kernel
def _same_passing(a, i, b, j):
    return (
        a.pass_i[i, F_DAY] == b.pass_i[j, F_DAY]
        and a.pass_i[i, F_NUMBER] == b.pass_i[j, F_NUMBER]
        and a.pass_i[i, F_GATE] == b.pass_i[j, F_GATE]
    )


@kernel
def _tell_passings(facts, old, new, spare, v, record, revision):
    """The difference between what was found before and what is found now, as upserts and withdrawals."""
    for k in range(new.count[0]):
        last = True
        for m in range(k + 1, new.count[0]):
            if _same_passing(new, k, new, m):
                last = False
                break
        if not last:
            continue
        was = -1
        for m in range(old.count[0] - 1, -1, -1):
            if _same_passing(new, k, old, m):
                was = m
                break
        if was >= 0:
            equal = True
            for c in range(3):
                equal = equal and _compare(new.pass_f[k, c], old.pass_f[was, c]) == 0
            for c in range(F_DAY, F_UPDATE):
                equal = equal and new.pass_i[k, c] == old.pass_i[was, c]
            if equal:
                continue
        to = facts.count[0]
        facts.count[0] = to + 1
        facts.pass_i[to] = new.pass_i[k]
        facts.pass_f[to] = new.pass_f[k]
        facts.pass_i[to, F_VEHICLE], facts.pass_i[to, F_RECORD] = v, record
        facts.pass_i[to, F_REVISION] = revision
    for k in range(old.count[0]):
        last = True
        for m in range(k + 1, old.count[0]):
            if _same_passing(old, k, old, m):
                last = False
                break
        for m in range(new.count[0]):
            if not last:
                break
            if _same_passing(old, k, new, m):
                last = False
        if not last:
            continue
        to = facts.count[0]
        facts.count[0] = to + 1
        facts.pass_i[to] = old.pass_i[k]
        facts.pass_f[to] = old.pass_f[k]
        facts.pass_i[to, F_VEHICLE], facts.pass_i[to, F_RECORD] = v, record
        facts.pass_i[to, F_REVISION] = revision
        # A visit from before the late ping that was only changed after it is as it was then, not gone.
        if (
            spare.fi[0, RUN_PATTERN] >= 0
            and spare.fi[0, RUN_DAY] == old.pass_i[k, F_DAY]
            and spare.fi[0, RUN_N] == old.pass_i[k, F_NUMBER]
            and spare.fi[0, VISIT_GATE] == old.pass_i[k, F_GATE]
        ):
            facts.pass_f[to, F_ARRIVAL] = spare.ff[0, VISIT_ARRIVAL]
            facts.pass_f[to, F_DEPARTURE] = spare.ff[0, VISIT_DEPARTURE]
            facts.pass_f[to, F_DETERMINED] = spare.ff[0, T]
        else:
            facts.pass_i[to, F_WITHDRAWN] = 1


@kernel
def _same_traversal(a, i, b, j):
    return a.cell_i[i, C_CELL] == b.cell_i[j, C_CELL] and np.floor(a.cell_f[i, C_ENTERED] + 0.5) == np.floor(
        b.cell_f[j, C_ENTERED] + 0.5
    )


@kernel
def _tell_traversals(facts, old, new, v, record, revision):
    for k in range(new.count[1]):
        was = -1
        for m in range(old.count[1]):
            if _same_traversal(new, k, old, m):
                was = m
                break
        if was >= 0:
            equal = True
            for c in range(4):
                equal = equal and new.cell_f[k, c] == old.cell_f[was, c]
            equal = equal and new.cell_i[k, C_DAY] == old.cell_i[was, C_DAY]
            equal = equal and new.cell_i[k, C_NUMBER] == old.cell_i[was, C_NUMBER]
            if equal:
                continue
        to = facts.count[1]
        facts.count[1] = to + 1
        facts.cell_i[to] = new.cell_i[k]
        facts.cell_f[to] = new.cell_f[k]
        facts.cell_i[to, C_VEHICLE], facts.cell_i[to, C_RECORD] = v, record
        facts.cell_i[to, C_REVISION] = revision
    for k in range(old.count[1]):
        gone = True
        for m in range(new.count[1]):
            if _same_traversal(old, k, new, m):
                gone = False
                break
        if not gone:
            continue
        to = facts.count[1]
        facts.count[1] = to + 1
        facts.cell_i[to] = old.cell_i[k]
        facts.cell_f[to] = old.cell_f[k]
        facts.cell_i[to, C_VEHICLE], facts.cell_i[to, C_RECORD] = v, record
        facts.cell_i[to, C_REVISION] = revision
        facts.cell_i[to, C_WITHDRAWN] = 1


@kernel
def _close(closed, v, record, until):
    k = closed.count[0]
    closed.count[0] = k + 1
    closed.vehicle[k], closed.record[k], closed.until[k] = v, record, until


@kernel
def _late(fleet, v, at, replace, pings, i, reports, tables, prm, times, place, out, work):
    """Put a ping into its place in the ring and tell what that changes.

    replace  the ping takes the place of the one at `at` (same second) instead of going before it
    """
    count, ring, spare = fleet.count, fleet.ring, out.spare
    record = pings.record[i]
    start = 0
    if 0 < count[v, MIDDLE] <= at:
        start = count[v, MIDDLE]
        _copy(fleet.state, STATES * v + MID, spare, 0)
    else:
        _copy(fleet.state, STATES * v + BASE, spare, 0)
    for q in range(start, at):
        out.old_facts.count[:] = 0
        out.old_rows.count[:] = 0
        _advance(
            spare, 0, fleet, v, q, out.old_rows, out.old_facts, record, reports, tables, prm, times, place, out, work
        )
    _copy(spare, 0, spare, 1)
    out.old_facts.count[:] = 0
    out.old_rows.count[:] = 0
    for q in range(at, count[v, RINGED]):
        _advance(
            spare, 1, fleet, v, q, out.old_rows, out.old_facts, record, reports, tables, prm, times, place, out, work
        )
    if replace:
        _judge(fleet, v, at, USED)
    else:
        for q in range(count[v, RINGED], at, -1):
            _move_place(ring, v, q - 1, q)
        count[v, RINGED] += 1
    _put(ring, v, at, pings, i)
    _copy(spare, 0, spare, 1)
    out.new_facts.count[:] = 0
    first = out.rows.count[0]
    for q in range(at, count[v, RINGED]):
        code = _advance(
            spare, 1, fleet, v, q, out.rows, out.new_facts, record, reports, tables, prm, times, place, out, work
        )
        _judge(fleet, v, q, code)
    _copy(spare, 1, fleet.state, STATES * v + HEAD)
    if count[v, MIDDLE] > at:
        count[v, MIDDLE] = 0
    revision = count[v, REVISION] + 1
    count[v, REVISION] += 2
    _tell_rows(out.rows, first, out.old_rows, revision)
    _tell_passings(out.facts, out.old_facts, out.new_facts, spare, v, record, revision)
    _tell_traversals(out.facts, out.old_facts, out.new_facts, v, record, revision)


@kernel
def track(first, pings, fleet, vehicles, grid, reports, tables, prm, times, place, out, work, room):
    """Consume pings from row `first` on.

    vehicles  how many rows of the fleet are in use
    grid      f8 (1,), next point of record time at which silence is looked for; NaN at first
    room      i8 (2,), how many passings and traversals one step may give at the most

    Returns the first row not consumed: the number of pings, or less when the room in `out` might not do for the next.
    """
    count, clock, ring = fleet.count, fleet.clock, fleet.ring
    rows, rejects, facts = out.rows, out.rejects, out.facts
    for i in range(first, len(pings.t)):
        if (
            rows.count[0] + 2 * RING + 2 > rows.i.shape[0]
            or rows.count[1] + (RING + 1) * MAX_BEAM > rows.candidate.shape[0]
            or rejects.count[0] + 2 * RING + 2 + vehicles * RING > rejects.i.shape[0]
            or facts.count[0] + 2 * (RING + 1) * room[0] > facts.pass_i.shape[0]
            or facts.count[1] + 2 * (RING + 1) * room[1] > facts.cell_i.shape[0]
            or out.closed.count[0] + vehicles + 1 > out.closed.vehicle.shape[0]
        ):
            return i
        now, record = pings.record_time[i], pings.record[i]
        if not now < grid[0]:
            if grid[0] == grid[0]:
                for v in range(vehicles):
                    until = np.floor(clock[v, NEWEST]) + 0.99
                    if now - clock[v, HEARD] >= prm.silent_s and clock[v, UNTIL] < until:
                        clock[v, UNTIL] = until
                        _close(out.closed, v, record, until)
                        _tell_judged(fleet, v, np.inf, record, rejects)
            grid[0] = (np.floor(now / SILENCE_GRID_S) + 1.0) * SILENCE_GRID_S
        v = pings.vehicle[i]
        if v < 0:
            continue
        t = pings.t[i]
        if t > now + prm.future_s:
            _refuse(pings, i, FROM_THE_FUTURE, rejects)
            continue
        second = np.floor(t)
        if second < clock[v, NEWEST] - prm.lateness_s or t <= clock[v, UNTIL]:
            _refuse(pings, i, TOO_LATE, rejects)
            continue
        at = count[v, RINGED]
        while at > 0 and np.floor(ring.t[v, at - 1]) > second:
            at -= 1
        twin = at > 0 and np.floor(ring.t[v, at - 1]) == second
        if twin and not _smaller(ring, v, at - 1, pings, i, reports):
            clock[v, HEARD] = now
            _refuse(pings, i, DUPLICATE, rejects)
            continue
        clock[v, HEARD] = now
        if twin:
            at -= 1
            k = rejects.count[0]
            rejects.count[0] = k + 1
            _write(rejects, k, ring, v, at, record)
            rejects.i[k, R_REASON] = DUPLICATE
            _late(fleet, v, at, True, pings, i, reports, tables, prm, times, place, out, work)
            continue
        if count[v, RINGED] == RING:
            # The oldest is older than the lateness: at whole seconds the ring holds more than may still change.
            out.old_facts.count[:] = 0
            out.old_rows.count[:] = 0
            _tell_judged(fleet, v, np.floor(ring.t[v, 0]) + 1.0, record, rejects)
            _advance(
                fleet.state, STATES * v + BASE, fleet, v, 0, out.old_rows, out.old_facts, record,
                reports, tables, prm, times, place, out, work,
            )  # fmt: skip
            _drop(fleet, v, 1)
            count[v, MIDDLE] = max(0, count[v, MIDDLE] - 1)
            at -= 1
        if at < count[v, RINGED]:
            _late(fleet, v, at, False, pings, i, reports, tables, prm, times, place, out, work)
            continue
        _put(ring, v, at, pings, i)
        count[v, RINGED] += 1
        head = STATES * v + HEAD
        row, passing, cell = rows.count[0], facts.count[0], facts.count[1]
        code = _advance(
            fleet.state, head, fleet, v, at, rows, facts, record, reports, tables, prm, times, place, out, work
        )
        _judge(fleet, v, at, code)
        if code == USED:
            rows.i[row, R_REVISION] = count[v, REVISION]
        for k in range(passing, facts.count[0]):
            facts.pass_i[k, F_VEHICLE], facts.pass_i[k, F_RECORD] = v, record
            count[v, REVISION] += facts.pass_i[k, F_UPDATE]
            facts.pass_i[k, F_REVISION] = count[v, REVISION]
        for k in range(cell, facts.count[1]):
            facts.cell_i[k, C_VEHICLE], facts.cell_i[k, C_RECORD] = v, record
            facts.cell_i[k, C_REVISION] = count[v, REVISION]
        clock[v, NEWEST] = second
        final = second - prm.lateness_s
        if count[v, JUDGED] > 0:
            _tell_judged(fleet, v, final, record, rejects)
        if final - 0.01 > clock[v, UNTIL]:
            clock[v, UNTIL] = final - 0.01
        _close(out.closed, v, record, clock[v, UNTIL])
        middle = count[v, MIDDLE]
        if middle == 0 or ring.t[v, middle - 1] < final:
            if middle > 0:
                _copy(fleet.state, STATES * v + MID, fleet.state, STATES * v + BASE)
                _drop(fleet, v, middle)
            _copy(fleet.state, head, fleet.state, STATES * v + MID)
            count[v, MIDDLE] = count[v, RINGED]
    return len(pings.t)
