"""The tracker's loop: pings of many vehicles in log order, each put into its vehicle's event-time order.

A vehicle has a ring of its latest pings and three filter states: `base` has consumed all that left the ring, `head`
all that is in it, and `mid` (a copy of an earlier head) the first so many of it, so that base follows without
computing anything twice. A ping in order moves head by one. A late one is put into its place: what followed from
there on is worked out again as it was and as it is now, and the difference is told.
"""

from typing import NamedTuple

import numpy as np

from streams.jit import inner, lean, prefetch
from streams.kernels.candidates import expect_near
from streams.kernels.deciding import (
    P_CANDIDATES,
    P_DIRECTION,
    P_DIST,
    P_LASTED,
    P_OFF,
    P_OFFSET,
    P_PATTERN,
    P_PHASE,
    P_PROBABILITY,
    P_ROUTE,
    P_SPEED,
    decide,
)
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
    F_PATTERN,
    F_RECORD,
    F_RELATION,
    F_REVISION,
    F_TRIP,
    F_UPDATE,
    F_VEHICLE,
    F_WITHDRAWN,
    NEW,
    OLD,
    SCHEDULED,
    TOLD,
    Facts,
    follow,
)
from streams.kernels.matching import (
    IN_SERVICE,
    INJECT_T,
    LAYOVER,
    MAX_BEAM,
    NEXT_GATE,
    NF,
    NH,
    NI,
    RUN_D,
    RUN_DAY,
    RUN_N,
    RUN_PATTERN,
    RUN_START,
    RUN_TRIP,
    SEGMENT,
    SPAN,
    USED,
    VISIT_ARRIVAL,
    VISIT_DEPARTURE,
    VISIT_DETERMINED,
    VISIT_GATE,
    VOID,
    VOID_WIDTH,
    VOIDED_T,
    VOIDS,
    VOIDS_KEPT,
    N,
    State,
    match,
)
from streams.kernels.recall import AT_S, EAST_M, NORTH_M, WRAP, keep, tenths, trails
from streams.kernels.tables import (
    PGATE_DIST_M,
    PGATE_START,
    PGATE_STOP_POS,
    PSTOP_DIST_M,
    PSTOP_SEQUENCE,
    PSTOP_START,
    PSTOP_STOP_IX,
    SPAN_CELL_IX,
    SPAN_DIST_M,
    SPAN_START,
    Array,
)

RING = 32
STATES = 3  # filter states of a vehicle: base, mid, head
BASE, MID, HEAD = 0, 1, 2
SILENCE_GRID_S = 5.0  # silence is looked for on this grid of record time

# what became of a ping beyond matching's USED, IMPOSSIBLE_SPEED, FROZEN
TOO_LATE, DUPLICATE, FROM_THE_FUTURE = 3, 4, 5
SAID = 64  # added to a judgement of the ring that has been told

# columns of Fleet.tally and Fleet.clock
RINGED, MIDDLE, REVISION, JUDGED, TRAILED, VOIDED = 0, 1, 2, 3, 4, 5
HEARD, NEWEST, UNTIL = 0, 1, 2

# A ping: columns of Pings.f and Fleet.ring_f, and of Pings.i and Fleet.ring_i. Coordinates are in millionths of a
# degree, bearing in tenths of one, speed in hundredths of m/s; -1 (NaN in f) is unknown. ORIGIN and INDEX say where it
# came from; only a batch knows the record's time, its number in the call and the vehicle, only a ring the judgement.
TIME, ODOMETER, ORIGIN, RECORD_TIME = 0, 1, 2, 3
LAT, LON, REPORT, INDEX, BEARING, SPEED, JUDGEMENT = 0, 1, 2, 3, 4, 5, 6
VEHICLE, RECORD = 6, 7

# columns of Reports: what a vehicle says of itself, as numbers of the network, -1 unknown; RANK orders by content
ROUTE, DIRECTION, PATTERN, TRIP, RANK = 0, 1, 2, 3, 4


class Fleet(NamedTuple):
    """All that is remembered, one row per vehicle (`state`: STATES rows each)."""

    state: State
    ring_f: Array  # f8 (n, RING, 3), the latest pings, oldest first
    ring_i: Array  # i4 (n, RING, 7)
    tally: Array  # i4 (n, 6): in the ring, of them in mid, revision, judged bad and not told, in the trail, voids told
    clock: Array  # f8 (n, 3): record time last heard, newest second, closed until
    trail: Array  # i4 (n, TRAIL, 3), where it was before what is in the ring


class Pings(NamedTuple):
    """A batch; a row of vehicle -1 only moves record time."""

    f: Array  # f8 (n, 4)
    i: Array  # i4 (n, 8)


class Place(NamedTuple):
    """The projection: metres per millionth of a degree, and the origin."""

    east_m: float
    north_m: float
    lat: float  # millionths of a degree
    lon: float


# columns of Rows.row; all but the times, metres, speed and probability are whole numbers
(
    R_VEHICLE, R_RECORD, R_T, R_ODOMETER, R_ORIGIN, R_LAT, R_LON, R_REPORT, R_INDEX, R_BEARING, R_REPORTED_SPEED,
    R_PHASE, R_PATTERN, R_ROUTE, R_DIRECTION, R_OFF, R_DAY, R_NUMBER, R_TRIP, R_START, R_STOP, R_SEQUENCE, R_STATUS,
    R_CELL, R_DIST, R_OFFSET, R_PROBABILITY, R_SPEED, R_SINCE, R_CANDIDATES, R_FIRST, R_REVISION, R_WITHDRAWN, R_REASON,
) = range(34)  # fmt: skip
NR = 34
WHOLE = (slice(R_VEHICLE, R_T), slice(R_LAT, R_DIST), slice(R_CANDIDATES, NR))  # columns of whole numbers
REFUSED = 2  # list of rows beside TOLD and OLD
IN_TRANSIT, INCOMING, STOPPED = 0, 1, 2
INCOMING_M = 80.0  # a vehicle is about to arrive this far before the stop


class Rows(NamedTuple):
    """Three lists of rows with all that is told of a ping; `counts` says how many, and how many candidates."""

    row: Array  # f8 (3, capacity, NR)
    candidate: Array  # f8 (3, capacity * 4, 2): route_dir, probability
    counts: Array  # i8 (3, 2)


class Out(NamedTuple):
    """What a call gives, and room to work in."""

    rows: Rows
    facts: Facts
    closed: Array  # f8 (capacity, 3): vehicle, record, until; NaN where more is closed of it in the record
    closed_count: Array  # i8 (2,): how many rows there are now, and have been in the calls before
    closed_last: Array  # i8 (vehicles,): how many rows there had been when the vehicle's last was added
    spare: State  # two filter states
    said: Array  # f8 (11,)
    way: Array  # see recall.way
    trail: Array  # see recall.trails, of one vehicle


def state(n: int) -> State:
    """Empty filter states."""
    fi = np.full((n, NI), -1, np.int32)
    fi[:, 0] = fi[:, VOIDS] = 0
    return State(np.zeros((n, NF)), fi, np.zeros((n, MAX_BEAM, NH), np.float32))


def fleet(n: int) -> Fleet:
    """Room for n vehicles that nothing is known of."""
    return Fleet(
        state(STATES * n),
        np.zeros((n, RING, 3)),
        np.zeros((n, RING, 7), np.int32),
        np.zeros((n, 6), np.int32),
        np.full((n, 3), -np.inf),
        trails(n),
    )


def rows(capacity: int) -> Rows:
    """Room for so many rows in every list."""
    return Rows(np.zeros((3, capacity, NR)), np.zeros((3, capacity * 4, 2)), np.zeros((3, 2), np.int64))


@inner
def _copy(source, i, target, j):
    for c in range(source.ff.shape[1]):
        target.ff[j, c] = source.ff[i, c]
    for c in range(source.fi.shape[1]):
        target.fi[j, c] = source.fi[i, c]
    for k in range(source.fi[i, 0]):
        for c in range(source.h.shape[2]):
            target.h[j, k, c] = source.h[i, k, c]


@inner
def _set(target, source):
    for c in range(len(target)):
        target[c] = source[c]


@inner
def _write(rows, to, fleet, v, q, record):
    """The ping of ring place (v, q) as a new row of which nothing is said; its number."""
    k = rows.counts[to, 0]
    rows.counts[to, 0] = k + 1
    row = rows.row[to, k]
    row[R_VEHICLE], row[R_RECORD] = v, record
    for c in range(3):
        row[R_T + c] = fleet.ring_f[v, q, c]
    for c in range(6):
        row[R_LAT + c] = fleet.ring_i[v, q, c]
    return k


@inner
def _way_here(fleet, v, q, place, out):
    """The way of vehicle v up to ring place q, without it, into `out.way`; how many places it has."""
    trail, kept = out.trail[0], fleet.tally[v, TRAILED]
    for k in range(kept):
        for c in range(3):
            trail[k, c] = fleet.trail[v, k, c]
    for k in range(q):
        if fleet.ring_i[v, k, JUDGEMENT] == USED:
            kept = keep(trail, kept, fleet.ring_f[v, k, TIME], fleet.ring_i[v, k, LAT], fleet.ring_i[v, k, LON], place)
    t = fleet.ring_f[v, q, TIME]
    now = tenths(t)
    for k in range(kept):
        out.way[k, AT_S] = t - ((now - trail[k, 0]) % WRAP) / 10.0
        out.way[k, EAST_M] = (trail[k, 2] - place.lon) * place.east_m
        out.way[k, NORTH_M] = (trail[k, 1] - place.lat) * place.north_m
    return kept


@inner
def _stop_from(p, gate, tables):
    """The stop of pattern `p` at one of its gates, else the next one; the end of its stops where there is none."""
    position = tables.i[tables.at[PGATE_STOP_POS] + gate]
    return tables.i[tables.at[PSTOP_START] + p] + (position if position >= 0 else -1 - position)


@inner
def _advance(
    state, s, fleet, v, q, rows, row_list, facts, fact_list, record, reports, tables, prm, times, place, out, work
):
    """Filter state `s` consumes the ping at ring place (v, q); if it is used, a row is written to the list."""
    t = fleet.ring_f[v, q, TIME]
    ping = fleet.ring_i[v, q]
    x = (ping[LON] - place.lon) * place.east_m
    y = (ping[LAT] - place.lat) * place.north_m
    bearing = ping[BEARING] / 10.0 if ping[BEARING] >= 0 else np.nan
    speed = ping[SPEED] / 100.0 if ping[SPEED] >= 0 else np.nan
    report = reports[ping[REPORT]]
    code = match(
        state, s, t, x, y, bearing, speed, report[ROUTE], report[DIRECTION], report[PATTERN], tables, prm, times, work
    )
    if code != USED:
        return code
    said = out.said
    decide(state, s, tables, prm, said, work)
    ff, fi = state.ff[s], state.fi[s]
    n = 0
    if said[P_PHASE] == IN_SERVICE and said[P_DIST] == said[P_DIST] and fi[RUN_PATTERN] != said[P_PATTERN]:
        n = _way_here(fleet, v, q, place, out)
    follow(state, s, t, said, report[TRIP], tables, prm, times, out.way, n, facts, fact_list)
    row = rows.row[row_list, _write(rows, row_list, fleet, v, q, record)]
    row[R_PHASE] = said[P_PHASE]
    row[R_PATTERN], row[R_ROUTE], row[R_DIRECTION] = said[P_PATTERN], said[P_ROUTE], said[P_DIRECTION]
    row[R_OFF] = said[P_OFF]
    row[R_DAY] = row[R_NUMBER] = row[R_TRIP] = row[R_START] = -1
    row[R_STOP] = row[R_SEQUENCE] = row[R_STATUS] = row[R_CELL] = -1
    row[R_WITHDRAWN] = 0
    first, candidates = rows.counts[row_list, 1], int(said[P_CANDIDATES])
    row[R_CANDIDATES], row[R_FIRST] = candidates, first
    for c in range(candidates):
        rows.candidate[row_list, first + c, 0] = work.rank[c, 0]
        rows.candidate[row_list, first + c, 1] = work.rank[c, 1]
    rows.counts[row_list, 1] = first + candidates
    row[R_DIST], row[R_OFFSET] = np.nan, said[P_OFFSET]
    row[R_PROBABILITY], row[R_SPEED], row[R_SINCE] = said[P_PROBABILITY], said[P_SPEED], t - said[P_LASTED]
    p = fi[RUN_PATTERN]
    if p < 0 or p != said[P_PATTERN] or said[P_PHASE] == LAYOVER:
        return code
    row[R_DAY], row[R_NUMBER], row[R_TRIP], row[R_START] = fi[RUN_DAY], fi[RUN_N], fi[RUN_TRIP], ff[RUN_START]
    on_route = said[P_OFF] == 0
    if on_route:
        row[R_DIST] = ff[RUN_D]
        row[R_CELL] = tables.i[tables.at[SPAN_CELL_IX] + tables.i[tables.at[SPAN_START] + p] + fi[SPAN]]
    visiting = fi[VISIT_GATE] >= 0 and np.isnan(ff[VISIT_DEPARTURE])
    gate = tables.i[tables.at[PGATE_START] + p] + (fi[VISIT_GATE] if visiting else fi[NEXT_GATE])
    if gate == tables.i[tables.at[PGATE_START] + p + 1]:
        return code
    stop = _stop_from(p, gate, tables)
    if stop < tables.i[tables.at[PSTOP_START] + p + 1]:
        row[R_STOP] = tables.i[tables.at[PSTOP_STOP_IX] + stop]
        row[R_SEQUENCE] = tables.i[tables.at[PSTOP_SEQUENCE] + stop]
        row[R_STATUS] = IN_TRANSIT
        if visiting:
            row[R_STATUS] = STOPPED
        elif on_route and tables.f[tables.at[PSTOP_DIST_M] + stop] - ff[RUN_D] <= INCOMING_M:
            row[R_STATUS] = INCOMING
    return code


@inner
def _judge(fleet, v, q, code):
    old = fleet.ring_i[v, q, JUDGEMENT]
    if old != USED and old < SAID:
        fleet.tally[v, JUDGED] -= 1
    if code != USED:
        fleet.tally[v, JUDGED] += 1
    fleet.ring_i[v, q, JUDGEMENT] = code


@inner
def _tell_judged(fleet, v, second, record, rows):
    """Bad fixes older than `second` can no longer turn out to be good ones: told as rejects."""
    for q in range(fleet.tally[v, RINGED]):
        if fleet.tally[v, JUDGED] == 0 or fleet.ring_f[v, q, TIME] >= second:
            return
        code = fleet.ring_i[v, q, JUDGEMENT]
        if code != USED and code < SAID:
            rows.row[REFUSED, _write(rows, REFUSED, fleet, v, q, record), R_REASON] = code
            fleet.ring_i[v, q, JUDGEMENT] = code + SAID
            fleet.tally[v, JUDGED] -= 1


@inner
def _refuse(pings, i, code, rows):
    k = rows.counts[REFUSED, 0]
    rows.counts[REFUSED, 0] = k + 1
    row = rows.row[REFUSED, k]
    row[R_VEHICLE], row[R_RECORD], row[R_REASON] = pings.i[i, VEHICLE], pings.i[i, RECORD], code
    for c in range(3):
        row[R_T + c] = pings.f[i, c]
    for c in range(6):
        row[R_LAT + c] = pings.i[i, c]


@inner
def _put(fleet, v, q, pings, i):
    for c in range(3):
        fleet.ring_f[v, q, c] = pings.f[i, c]
    for c in range(6):
        fleet.ring_i[v, q, c] = pings.i[i, c]
    fleet.ring_i[v, q, JUDGEMENT] = USED


@inner
def _shift(fleet, v, source, target):
    for c in range(3):
        fleet.ring_f[v, target, c] = fleet.ring_f[v, source, c]
    for c in range(7):
        fleet.ring_i[v, target, c] = fleet.ring_i[v, source, c]


@inner
def _drop(fleet, v, many, place):
    """The first places of the ring are in base now; the trail goes on with them."""
    for q in range(many):
        if fleet.ring_i[v, q, JUDGEMENT] == USED:
            t, lat, lon = fleet.ring_f[v, q, TIME], fleet.ring_i[v, q, LAT], fleet.ring_i[v, q, LON]
            fleet.tally[v, TRAILED] = keep(fleet.trail[v], fleet.tally[v, TRAILED], t, lat, lon, place)
    for q in range(many, fleet.tally[v, RINGED]):
        _shift(fleet, v, q, q - many)
    fleet.tally[v, RINGED] -= many


@inner
def _compare(a, b):
    """-1, 0, 1: order of two numbers, NaN before all."""
    if a != a:
        return 0 if b != b else -1
    if b != b or a > b:
        return 1
    return -1 if a < b else 0


@inner
def _smaller(fleet, v, q, pings, i, reports):
    """Whether the new ping's content comes before that at ring place (v, q): the one that wins a second."""
    c = _compare(pings.f[i, TIME], fleet.ring_f[v, q, TIME])
    if c == 0:
        c = _compare(pings.f[i, ODOMETER], fleet.ring_f[v, q, ODOMETER])
    for column in (LAT, LON, BEARING, SPEED):
        if c == 0:
            c = _compare(pings.i[i, column], fleet.ring_i[v, q, column])
    if c == 0:
        return reports[pings.i[i, REPORT], RANK] < reports[fleet.ring_i[v, q, REPORT], RANK]
    return c < 0


@inner
def _same_row(rows, k, j):
    """Whether row k of what is told and row j of what was told say the same."""
    a, b = rows.row[TOLD, k], rows.row[OLD, j]
    for c in range(R_T, R_CANDIDATES + 1):
        if c != R_ORIGIN and c != R_INDEX and _compare(a[c], b[c]) != 0:
            return False
    for c in range(int(a[R_CANDIDATES])):
        m, w = int(a[R_FIRST]) + c, int(b[R_FIRST]) + c
        for column in range(2):
            if rows.candidate[TOLD, m, column] != rows.candidate[OLD, w, column]:
                return False
    return True


@inner
def _tell_rows(rows, first, revision):
    """Of the new rows from `first` on keep those that differ from the old ones; withdraw old ones that are gone."""
    end, olds = rows.counts[TOLD, 0], rows.counts[OLD, 0]
    gone = end
    for o in range(olds):
        still = False
        for k in range(first, end):
            still = still or rows.row[TOLD, k, R_T] == rows.row[OLD, o, R_T]
        if not still:
            _set(rows.row[TOLD, gone], rows.row[OLD, o])
            rows.row[TOLD, gone, R_CANDIDATES] = 0
            rows.row[TOLD, gone, R_WITHDRAWN] = 1
            gone += 1
    kept = first
    j = 0
    for k in range(first, gone):
        if k < end:
            while j < olds and rows.row[OLD, j, R_T] < rows.row[TOLD, k, R_T]:
                j += 1
            if j < olds and rows.row[OLD, j, R_T] == rows.row[TOLD, k, R_T] and _same_row(rows, k, j):
                continue
        _set(rows.row[TOLD, kept], rows.row[TOLD, k])
        rows.row[TOLD, kept, R_REVISION] = revision
        kept += 1
    rows.counts[TOLD, 0] = kept


@inner
def _same_identity(a, b):
    return a[F_DAY] == b[F_DAY] and a[F_NUMBER] == b[F_NUMBER] and a[F_GATE] == b[F_GATE]


@inner
def _find_passing(facts, which, identity, first, last):
    """The last of passings first..last-1 of a list with this identity, -1."""
    for m in range(last - 1, first - 1, -1):
        if _same_identity(facts.passings[which, m], identity):
            return m
    return -1


@inner
def _tell_passings(facts, before, v, record, revision):
    """The difference between what was found and what is found now, as upserts and withdrawals.

    before  the filter state that both grew from
    """
    for k in range(facts.counts[NEW, 0]):
        new = facts.passings[NEW, k]
        if _find_passing(facts, NEW, new, k + 1, facts.counts[NEW, 0]) >= 0:
            continue
        was = _find_passing(facts, OLD, new, 0, facts.counts[OLD, 0])
        if was >= 0:
            equal = True
            for c in range(F_DAY, F_DETERMINED + 1):
                if c < F_UPDATE or c > F_RECORD:
                    equal = equal and _compare(new[c], facts.passings[OLD, was, c]) == 0
            if equal:
                continue
        row = facts.passings[TOLD, facts.counts[TOLD, 0]]
        facts.counts[TOLD, 0] += 1
        _set(row, new)
        row[F_VEHICLE], row[F_RECORD], row[F_REVISION] = v, record, revision
    for k in range(facts.counts[OLD, 0]):
        old = facts.passings[OLD, k]
        if (
            _find_passing(facts, OLD, old, k + 1, facts.counts[OLD, 0]) >= 0
            or _find_passing(facts, NEW, old, 0, facts.counts[NEW, 0]) >= 0
        ):
            continue
        row = facts.passings[TOLD, facts.counts[TOLD, 0]]
        facts.counts[TOLD, 0] += 1
        _set(row, old)
        row[F_VEHICLE], row[F_RECORD], row[F_REVISION] = v, record, revision
        # A visit from before the late ping that was only changed after it is as it was then, not gone.
        ff, fi = before.ff[0], before.fi[0]
        if (
            fi[RUN_PATTERN] >= 0
            and fi[RUN_DAY] == old[F_DAY]
            and fi[RUN_N] == old[F_NUMBER]
            and fi[VISIT_GATE] == old[F_GATE]
        ):
            row[F_ARRIVAL], row[F_DEPARTURE] = ff[VISIT_ARRIVAL], ff[VISIT_DEPARTURE]
            row[F_DETERMINED] = ff[VISIT_DETERMINED]
        else:
            row[F_WITHDRAWN] = 1


@inner
def _entered_s(t):
    """The second that a traversal is known by, as those see it who know its time on the wire (0.01 s)."""
    return np.rint(np.rint(t * 100.0) / 100.0)


@inner
def _find_traversal(facts, which, identity):
    for m in range(facts.counts[which, 1]):
        row = facts.cells[which, m]
        if row[C_CELL] == identity[C_CELL] and _entered_s(row[C_ENTERED]) == _entered_s(identity[C_ENTERED]):
            return m
    return -1


@inner
def _tell_traversals(facts, v, record, revision):
    for which in (NEW, OLD):
        for k in range(facts.counts[which, 1]):
            found = facts.cells[which, k]
            other = _find_traversal(facts, OLD if which == NEW else NEW, found)
            if other >= 0:
                if which == OLD:
                    continue
                equal = True
                for c in (C_DAY, C_NUMBER, C_ENTERED, C_ENTERED + 1, C_ENTERED + 2, C_ENTERED + 3):
                    equal = equal and found[c] == facts.cells[OLD, other, c]
                if equal:
                    continue
            row = facts.cells[TOLD, facts.counts[TOLD, 1]]
            facts.counts[TOLD, 1] += 1
            _set(row, found)
            row[C_VEHICLE], row[C_RECORD], row[C_REVISION] = v, record, revision
            row[C_WITHDRAWN] = 1 if which == OLD else 0


@inner
def _withdraw_void(facts, ff, fi, tally, final, until, v, record):
    """Tell that passings are void, if that is from before `final`: no late ping can change it then.

    It is determined later than what is closed (`until`). A passing told after it may have the same identity.
    """
    if tally[v, VOIDED] >= fi[VOIDS] or not ff[VOIDED_T] < final:
        return
    tally[v, VOIDED] = max(tally[v, VOIDED], fi[VOIDS] - VOIDS_KEPT)
    while tally[v, VOIDED] < fi[VOIDS]:
        at = VOID + VOID_WIDTH * (tally[v, VOIDED] % VOIDS_KEPT)
        tally[v, VOIDED] += 1
        tally[v, REVISION] += 1
        for gate in range(fi[at + 3], fi[at + 4]):
            row = facts.passings[TOLD, facts.counts[TOLD, 0]]
            facts.counts[TOLD, 0] += 1
            row[F_VEHICLE], row[F_RECORD], row[F_REVISION], row[F_WITHDRAWN] = v, record, tally[v, REVISION], 1
            row[F_DAY], row[F_NUMBER], row[F_PATTERN], row[F_GATE] = fi[at], fi[at + 1], fi[at + 2], gate
            row[F_TRIP], row[F_RELATION], row[F_UPDATE] = -1, SCHEDULED, 0
            row[F_ARRIVAL] = row[F_DEPARTURE] = np.nan
            row[F_DETERMINED] = max(ff[VOIDED_T], until + 0.01)
    tally[v, REVISION] += 1


@inner
def _close(out, v, record, until):
    k, before = out.closed_count[0], out.closed_count[1]
    last = out.closed_last[v] - before
    if last >= 0 and out.closed[last, 1] == record:
        out.closed[last, 2] = np.nan
    out.closed_count[0], out.closed_last[v] = k + 1, before + k
    out.closed[k, 0], out.closed[k, 1], out.closed[k, 2] = v, record, until


@inner
def _expect_vehicle(v, fleet):
    """A ping of vehicle v comes soon: ask for what is remembered of it."""
    tally, clock = fleet.tally, fleet.clock
    prefetch(tally, tally.shape[1] * v)
    prefetch(clock, clock.shape[1] * v)
    state, head = fleet.state, STATES * v + HEAD
    for c in range(0, NF, 8):
        prefetch(state.ff, NF * head + c)
    for c in range(0, NI, 16):
        prefetch(state.fi, NI * head + c)
    for c in range(0, 4 * NH, 16):
        prefetch(state.h, MAX_BEAM * NH * head + c)


@inner
def _expect_places(v, fleet, tables):
    """A ping of vehicle v comes next: ask for its latest pings and for where its hypotheses are."""
    at, many = fleet.tally[v, RINGED], fleet.tally[v, MIDDLE]
    prefetch(fleet.ring_f, 3 * (RING * v + at) - 3)
    prefetch(fleet.ring_f, 3 * (RING * v + at) + 2)
    prefetch(fleet.ring_f, 3 * (RING * v + many) - 3)
    prefetch(fleet.ring_i, 7 * (RING * v + at))
    state, head = fleet.state, STATES * v + HEAD
    for k in range(state.fi[head, N]):
        segment = int(state.h[head, k, SEGMENT])
        prefetch(tables.points, 3 * segment)
        prefetch(tables.points, 3 * segment + 8)
        prefetch(tables.points, 3 * segment + 16)
        prefetch(tables.segments, 4 * segment)
        prefetch(tables.segments, 4 * segment + 8)
    p = state.fi[head, RUN_PATTERN]
    if p >= 0:
        gate = tables.i[tables.at[PGATE_START] + p] + state.fi[head, NEXT_GATE]
        span = tables.i[tables.at[SPAN_START] + p] + state.fi[head, SPAN]
        prefetch(tables.f, tables.at[PGATE_DIST_M] + gate)
        prefetch(tables.i, tables.at[PGATE_STOP_POS] + gate)
        prefetch(tables.f, tables.at[SPAN_DIST_M] + span + 1)
        prefetch(tables.i, tables.at[SPAN_CELL_IX] + span)


@inner
def _expect_stop(v, fleet, tables):
    """A ping of vehicle v is here: ask for the stop ahead of it."""
    fi = fleet.state.fi[STATES * v + HEAD]
    p = fi[RUN_PATTERN]
    if p >= 0:
        stop = _stop_from(p, tables.i[tables.at[PGATE_START] + p] + fi[NEXT_GATE], tables)
        prefetch(tables.i, tables.at[PSTOP_STOP_IX] + stop)
        prefetch(tables.i, tables.at[PSTOP_SEQUENCE] + stop)
        prefetch(tables.f, tables.at[PSTOP_DIST_M] + stop)


@inner
def _expect_shapes(pings, i, soon, fleet, tables, prm, place):
    """Row i of the pings comes next (`soon`) or after that: if it is time to see what passes there, ask for it."""
    head = STATES * pings.i[i, VEHICLE] + HEAD
    if pings.f[i, TIME] - fleet.state.ff[head, INJECT_T] >= prm.inject_s:
        x = (pings.i[i, LON] - place.lon) * place.east_m
        y = (pings.i[i, LAT] - place.lat) * place.north_m
        expect_near(tables, x, y, soon)


# what the loop does next with the ring: steps of a late ping, of a full ring, and of every ping in order
_DONE, _ADMIT, _CATCH_UP, _AS_IT_WAS, _AS_IT_IS, _MAKE_ROOM, _NEXT = range(7)


@lean
def track(first, pings, fleet, vehicles, grid, reports, tables, prm, times, place, out, work, room):
    """Consume pings from row `first` on.

    vehicles  how many rows of the fleet are in use
    grid      f8 (1,), next point of record time at which silence is looked for; NaN at first
    reports   i8 (n, 5), what vehicles say of themselves
    room      i8 (2,), how many passings and traversals one step may give at the most

    Returns the first row not consumed: the number of pings, or less when the room in `out` might not do for the next.
    """
    tally, clock, ring_f = fleet.tally, fleet.clock, fleet.ring_f
    rows, facts, spare = out.rows, out.facts, out.spare
    for i in range(first, len(pings.f)):
        if (
            rows.counts[TOLD, 0] + 2 * RING + 2 > rows.row.shape[1]
            or rows.counts[TOLD, 1] + (RING + 1) * MAX_BEAM > rows.candidate.shape[1]
            or rows.counts[REFUSED, 0] + RING + 2 + vehicles * RING > rows.row.shape[1]
            or facts.counts[TOLD, 0] + 2 * (RING + 1) * room[0] > facts.passings.shape[1]
            or facts.counts[TOLD, 1] + 2 * (RING + 1) * room[1] > facts.cells.shape[1]
            or out.closed_count[0] + vehicles + 1 > out.closed.shape[0]
        ):
            return i
        now, record = pings.f[i, RECORD_TIME], pings.i[i, RECORD]
        if not now < grid[0]:
            if grid[0] == grid[0]:
                for v in range(vehicles):
                    until = clock[v, NEWEST] + 0.99
                    if now - clock[v, HEARD] >= prm.silent_s and clock[v, UNTIL] < until:
                        if facts.counts[TOLD, 0] + room[0] > facts.passings.shape[1]:
                            return i  # the grid has not moved on: those that are left come with the next call
                        head = STATES * v + HEAD
                        ff, fi = fleet.state.ff[head], fleet.state.fi[head]
                        _withdraw_void(facts, ff, fi, tally, np.inf, clock[v, UNTIL], v, record)
                        clock[v, UNTIL] = until
                        _close(out, v, record, until)
                        _tell_judged(fleet, v, np.inf, record, rows)
            grid[0] = (np.floor(now / SILENCE_GRID_S) + 1.0) * SILENCE_GRID_S
        if i + 3 < len(pings.f) and pings.i[i + 3, VEHICLE] >= 0:
            _expect_vehicle(pings.i[i + 3, VEHICLE], fleet)
        if i + 2 < len(pings.f) and pings.i[i + 2, VEHICLE] >= 0:
            _expect_shapes(pings, i + 2, False, fleet, tables, prm, place)
        if i + 1 < len(pings.f) and pings.i[i + 1, VEHICLE] >= 0:
            prefetch(reports, reports.shape[1] * pings.i[i + 1, REPORT])
            prefetch(out.closed_last, pings.i[i + 1, VEHICLE])
            _expect_places(pings.i[i + 1, VEHICLE], fleet, tables)
            _expect_shapes(pings, i + 1, True, fleet, tables, prm, place)
        v = pings.i[i, VEHICLE]
        if v < 0:
            continue
        _expect_stop(v, fleet, tables)
        t = pings.f[i, TIME]
        if t > now + prm.future_s:
            _refuse(pings, i, FROM_THE_FUTURE, rows)
            continue
        second = np.floor(t)
        if second < clock[v, NEWEST] - prm.lateness_s or t <= clock[v, UNTIL]:
            _refuse(pings, i, TOO_LATE, rows)
            continue
        clock[v, HEARD] = now
        at = tally[v, RINGED]
        while at > 0 and np.floor(ring_f[v, at - 1, TIME]) > second:
            at -= 1
        twin = at > 0 and np.floor(ring_f[v, at - 1, TIME]) == second
        if twin:
            if not _smaller(fleet, v, at - 1, pings, i, reports):
                _refuse(pings, i, DUPLICATE, rows)
                continue
            at -= 1
            rows.row[REFUSED, _write(rows, REFUSED, fleet, v, at, record), R_REASON] = DUPLICATE

        # What follows is a little machine, so that there is one place that moves a filter state on.
        base, middle, head = STATES * v + BASE, STATES * v + MID, STATES * v + HEAD
        late = twin or at < tally[v, RINGED]
        if not late:  # before anything new is told
            ff, fi = fleet.state.ff[head], fleet.state.fi[head]
            _withdraw_void(facts, ff, fi, tally, second - prm.lateness_s, clock[v, UNTIL], v, record)
        task = _MAKE_ROOM if tally[v, RINGED] == RING and not twin else _ADMIT
        q = end = told = 0
        state, s, row_list, fact_list = fleet.state, head, TOLD, TOLD
        if task == _MAKE_ROOM:
            # The oldest is older than the lateness: at whole seconds the ring holds more than may still change.
            _tell_judged(fleet, v, np.floor(ring_f[v, 0, TIME]) + 1.0, record, rows)
            s, row_list, fact_list, q, end = base, OLD, OLD, 0, 1
        passing, cell = facts.counts[TOLD, 0], facts.counts[TOLD, 1]
        while True:
            code = USED
            while q < end:
                if task != _AS_IT_IS and task != _AS_IT_WAS:
                    facts.counts[OLD, 0] = facts.counts[OLD, 1] = 0
                    rows.counts[OLD, 0] = rows.counts[OLD, 1] = 0
                code = _advance(
                    state, s, fleet, v, q, rows, row_list, facts, fact_list, record,
                    reports, tables, prm, times, place, out, work,
                )  # fmt: skip
                if task in (_AS_IT_IS, _NEXT):
                    _judge(fleet, v, q, code)
                q += 1
            if task == _MAKE_ROOM:
                _drop(fleet, v, 1, place)
                tally[v, MIDDLE] = max(0, tally[v, MIDDLE] - 1)
                at -= 1
                task = _ADMIT
            if task == _ADMIT:
                if not late:
                    _put(fleet, v, at, pings, i)
                    tally[v, RINGED] += 1
                    task, state, s, row_list, fact_list, q, end = _NEXT, fleet.state, head, TOLD, TOLD, at, at + 1
                    continue
                q = 0
                if 0 < tally[v, MIDDLE] <= at:
                    q = tally[v, MIDDLE]
                    _copy(fleet.state, middle, spare, 0)
                else:
                    _copy(fleet.state, base, spare, 0)
                task, state, s, row_list, fact_list, end = _CATCH_UP, spare, 0, OLD, OLD, at
            elif task == _CATCH_UP:
                _copy(spare, 0, spare, 1)
                facts.counts[OLD, 0] = facts.counts[OLD, 1] = 0
                rows.counts[OLD, 0] = rows.counts[OLD, 1] = 0
                task, s, q, end = _AS_IT_WAS, 1, at, tally[v, RINGED]
            elif task == _AS_IT_WAS:
                if twin:
                    _judge(fleet, v, at, USED)
                else:
                    for place_ in range(tally[v, RINGED], at, -1):
                        _shift(fleet, v, place_ - 1, place_)
                    tally[v, RINGED] += 1
                _put(fleet, v, at, pings, i)
                _copy(spare, 0, spare, 1)
                facts.counts[NEW, 0] = facts.counts[NEW, 1] = 0
                told = rows.counts[TOLD, 0]
                task, row_list, fact_list, q, end = _AS_IT_IS, TOLD, NEW, at, tally[v, RINGED]
            else:
                break
        if late:
            _copy(spare, 1, fleet.state, head)
            if tally[v, MIDDLE] > at:
                tally[v, MIDDLE] = 0
            revision = tally[v, REVISION] + 1
            tally[v, REVISION] += 2
            _tell_rows(rows, told, revision)
            _tell_passings(facts, spare, v, record, revision)
            _tell_traversals(facts, v, record, revision)
            continue
        if code == USED:
            rows.row[TOLD, rows.counts[TOLD, 0] - 1, R_REVISION] = tally[v, REVISION]
        for k in range(passing, facts.counts[TOLD, 0]):
            row = facts.passings[TOLD, k]
            tally[v, REVISION] += int(row[F_UPDATE])
            row[F_VEHICLE], row[F_RECORD], row[F_REVISION] = v, record, tally[v, REVISION]
        for k in range(cell, facts.counts[TOLD, 1]):
            row = facts.cells[TOLD, k]
            row[C_VEHICLE], row[C_RECORD], row[C_REVISION] = v, record, tally[v, REVISION]
        clock[v, NEWEST] = second
        final = second - prm.lateness_s
        if tally[v, JUDGED] > 0:
            _tell_judged(fleet, v, final, record, rows)
        clock[v, UNTIL] = max(clock[v, UNTIL], final - 0.01)
        _close(out, v, record, clock[v, UNTIL])
        many = tally[v, MIDDLE]
        if many == 0 or ring_f[v, many - 1, TIME] < final:
            if many > 0:
                _copy(fleet.state, middle, fleet.state, base)
                _drop(fleet, v, many, place)
            _copy(fleet.state, head, fleet.state, middle)
            tally[v, MIDDLE] = tally[v, RINGED]
    return len(pings.f)
