"""A vehicle's run: the gates it passes, the stops it serves and the directed cells it drives through.

Between two positions of a run time is interpolated by distance. Standing is kept apart from running: at a stop,
arrival is when the vehicle comes to stand (or passes, if it does not stand) and departure when it moves off; the
seconds between are no running time of the cell.
"""

from typing import NamedTuple

import numpy as np

from streams.jit import inner, lean
from streams.kernels.deciding import (
    P_DIST,
    P_OFF,
    P_PATTERN,
    P_PHASE,
    P_SPEED,
)
from streams.kernels.matching import (
    AT_BASE,
    BEFORE_D,
    BEFORE_T,
    CELL_D,
    CELL_DWELL,
    CELL_T,
    DEADHEAD,
    IDLE_T,
    IN_SERVICE,
    LAST_DAY,
    LAST_ROUTE,
    LAST_TRIP,
    LAYOVER,
    NEXT_GATE,
    PASSED,
    RUN_D,
    RUN_DAY,
    RUN_GATE,
    RUN_N,
    RUN_OFF,
    RUN_PATTERN,
    RUN_START,
    RUN_T,
    RUN_TRIP,
    RUN_V,
    SPAN,
    STAND_T,
    STANDING,
    VISIT_ARRIVAL,
    VISIT_DEPARTURE,
    VISIT_DETERMINED,
    VISIT_GATE,
    VOID,
    VOID_WIDTH,
    VOIDED_T,
    VOIDS,
    VOIDS_KEPT,
    WAITED,
)
from streams.kernels.recall import ALONG_M, AT_S, START_M, came_along, place_on
from streams.kernels.tables import (
    PATTERN_ROUTE_DIR_IX,
    PATTERN_ROUTE_IX,
    PGATE_DIST_M,
    PGATE_GATE_IX,
    PGATE_START,
    PGATE_STOP_POS,
    SPAN_CELL_IX,
    SPAN_DIST_M,
    SPAN_START,
    TRIP_IS_FREQUENCY,
    Array,
)
from streams.kernels.trips import find_run

# schedule_relationship of a passing
SCHEDULED, MISSING, SKIPPED = 0, 1, 2

# columns of Facts.passings, all but the times whole numbers
(
    F_VEHICLE, F_DAY, F_NUMBER, F_TRIP, F_PATTERN, F_GATE, F_RELATION, F_UPDATE, F_REVISION, F_WITHDRAWN, F_RECORD,
    F_ARRIVAL, F_DEPARTURE, F_DETERMINED,
) = range(14)  # fmt: skip
# columns of Facts.cells
(
    C_VEHICLE, C_DAY, C_NUMBER, C_CELL, C_REVISION, C_WITHDRAWN, C_RECORD, C_ENTERED, C_RUNNING, C_DISTANCE,
    C_DETERMINED,
) = range(11)  # fmt: skip
TOLD, OLD, NEW = 0, 1, 2  # which list of facts: what is told; before and after a late ping


class Facts(NamedTuple):
    """Three lists of passings and traversals; `counts` says how many there are of each."""

    passings: Array  # f8 (3, capacity, 14)
    cells: Array  # f8 (3, capacity, 11)
    counts: Array  # i8 (3, 2)


def facts(capacity: int) -> Facts:
    """Room for so many passings and traversals in every list."""
    return Facts(np.zeros((3, capacity, 14)), np.zeros((3, capacity, 11)), np.zeros((3, 2), np.int64))


BEFORE_STOP_M = 35.0  # a vehicle that stands this far before a stop's place serves it: queues, long platforms
BEYOND_STOP_M = 25.0  # and this far beyond
START_AFTER_LAYOVER_M = 500.0  # the same, if the vehicle was seen waiting: recognising the start takes some pings
START_SHARE = 0.5  # and of a short pattern no more than this
END_AT_LAYOVER_M = 300.0  # one that waits at the terminal has been at the last stop, though it turned off before it
GOES_ON_S = 60.0  # one that waits near its start again for no longer may have been held up there
RESTART_M = 150.0  # a step back farther than this is another run
FULL_CELL_M = 10.0  # shorter pieces of a cell say nothing of its pace
PULL_AWAY_MPS = 4.0  # at least, when a vehicle moves off
BRAKE_S, PULL_S = 0.5, 0.55  # seconds that a stop costs per m/s: half of the speed over 1 and 0.9 m/s2
UNSEEN_DWELL_S = 4.0  # beyond that, a step that takes so much longer than driving had a stop in it
VOID_EVERY_S = 120.0  # a vehicle's facts are moved to another run no more often: two such moves are remembered


@inner
def _note_passing(ff, fi, facts, to, gate, arrival, departure, relation, update, t):
    k = facts.counts[to, 0]
    facts.counts[to, 0] = k + 1
    row = facts.passings[to, k]
    row[F_DAY] = fi[RUN_DAY]
    row[F_NUMBER] = fi[RUN_N]
    row[F_TRIP] = fi[RUN_TRIP]
    row[F_PATTERN] = fi[RUN_PATTERN]
    row[F_GATE] = gate
    row[F_RELATION] = relation
    row[F_UPDATE] = update
    row[F_WITHDRAWN] = 0
    row[F_ARRIVAL] = arrival
    row[F_DEPARTURE] = departure
    row[F_DETERMINED] = t


@inner
def _pass_gate(ff, fi, tables, facts, to, time, standing, t):
    """The next gate is passed at `time`; if it is a stop, as a visit that is open while the vehicle stands."""
    gate = fi[NEXT_GATE]
    time = max(time, ff[PASSED])
    departure = time
    if tables.i[tables.at[PGATE_STOP_POS] + tables.i[tables.at[PGATE_START] + fi[RUN_PATTERN]] + gate] >= 0:
        if standing:
            departure = np.nan
        fi[VISIT_GATE] = gate
        ff[VISIT_ARRIVAL], ff[VISIT_DEPARTURE], ff[VISIT_DETERMINED] = time, departure, t
    ff[PASSED] = time
    fi[NEXT_GATE] = gate + 1
    _note_passing(ff, fi, facts, to, gate, time, departure, SCHEDULED, 0, t)


@inner
def _depart(ff, fi, facts, to, time, t):
    """The vehicle leaves the stop that it stands at."""
    time = max(time, ff[VISIT_ARRIVAL])
    ff[VISIT_DEPARTURE], ff[VISIT_DETERMINED] = time, t
    ff[PASSED] = max(ff[PASSED], time)
    ff[CELL_DWELL] += max(0.0, time - max(ff[VISIT_ARRIVAL], ff[CELL_T]))
    _note_passing(ff, fi, facts, to, fi[VISIT_GATE], ff[VISIT_ARRIVAL], time, SCHEDULED, 1, t)


@inner
def _visiting(ff, fi):
    return fi[VISIT_GATE] >= 0 and np.isnan(ff[VISIT_DEPARTURE])


@inner
def _cross(ff, fi, tables, facts, to, from_m, from_t, to_m, to_t, t):
    """Gates and cell borders between two places of the run."""
    p = fi[RUN_PATTERN]
    slow = (to_t - from_t) / (to_m - from_m) if to_m > from_m else 0.0
    gates, count = (
        tables.i[tables.at[PGATE_START] + p],
        tables.i[tables.at[PGATE_START] + p + 1] - tables.i[tables.at[PGATE_START] + p],
    )
    while fi[NEXT_GATE] < count:
        place = tables.f[tables.at[PGATE_DIST_M] + gates + fi[NEXT_GATE]]
        if place > to_m:
            break
        _pass_gate(ff, fi, tables, facts, to, from_t + max(0.0, place - from_m) * slow, False, t)
    end = tables.i[tables.at[SPAN_START] + p + 1]
    while tables.i[tables.at[SPAN_START] + p] + fi[SPAN] + 1 < end:
        span = tables.i[tables.at[SPAN_START] + p] + fi[SPAN]
        border = tables.f[tables.at[SPAN_DIST_M] + span + 1]
        if border > to_m:
            break
        time = max(ff[CELL_T], from_t + max(0.0, border - from_m) * slow)
        dwell = ff[CELL_DWELL]
        if _visiting(ff, fi):
            dwell += max(0.0, time - max(ff[VISIT_ARRIVAL], ff[CELL_T]))
        if border - ff[CELL_D] >= FULL_CELL_M:
            k = facts.counts[to, 1]
            facts.counts[to, 1] = k + 1
            row = facts.cells[to, k]
            row[C_DAY] = fi[RUN_DAY]
            row[C_NUMBER] = fi[RUN_N]
            row[C_CELL] = tables.i[tables.at[SPAN_CELL_IX] + span]
            row[C_WITHDRAWN] = 0
            row[C_ENTERED] = ff[CELL_T]
            row[C_RUNNING] = max(0.0, time - ff[CELL_T] - dwell)
            row[C_DISTANCE] = border - ff[CELL_D]
            row[C_DETERMINED] = t
        ff[CELL_D], ff[CELL_T], ff[CELL_DWELL] = border, time, 0.0
        fi[SPAN] += 1


@inner
def _enter_span(ff, fi, tables, dist_m, t):
    """The cell at `dist_m` is entered here, in its middle if need be."""
    lo, hi = (
        tables.i[tables.at[SPAN_START] + fi[RUN_PATTERN]],
        tables.i[tables.at[SPAN_START] + fi[RUN_PATTERN] + 1] - 1,
    )
    first = lo
    while lo < hi:
        mid = (lo + hi + 1) >> 1
        if tables.f[tables.at[SPAN_DIST_M] + mid] <= dist_m:
            lo = mid
        else:
            hi = mid - 1
    fi[SPAN] = lo - first
    ff[CELL_D], ff[CELL_T], ff[CELL_DWELL] = dist_m, t, 0.0


@inner
def _unseen(ff, fi, tables, facts, to, to_m, relation, t):
    """Gates up to `to_m` were passed out of sight; stops among them are told as Missing or Skipped."""
    p = fi[RUN_PATTERN]
    gates, count = (
        tables.i[tables.at[PGATE_START] + p],
        tables.i[tables.at[PGATE_START] + p + 1] - tables.i[tables.at[PGATE_START] + p],
    )
    while fi[NEXT_GATE] < count and tables.f[tables.at[PGATE_DIST_M] + gates + fi[NEXT_GATE]] <= to_m:
        if tables.i[tables.at[PGATE_STOP_POS] + gates + fi[NEXT_GATE]] >= 0:
            _note_passing(ff, fi, facts, to, fi[NEXT_GATE], np.nan, np.nan, relation, 0, t)
        fi[NEXT_GATE] += 1


@inner
def end_run(ff, fi, tables, facts, to, t, reach_m, gap_s):
    """The run is over; the last gates count as passed if it came within `reach_m` of them."""
    p = fi[RUN_PATTERN]
    if p < 0:
        return
    gates, count = (
        tables.i[tables.at[PGATE_START] + p],
        tables.i[tables.at[PGATE_START] + p + 1] - tables.i[tables.at[PGATE_START] + p],
    )
    if fi[RUN_OFF] == 1 or t - ff[RUN_T] > gap_s:
        reach_m = min(reach_m, START_M)
    if tables.f[tables.at[PGATE_DIST_M] + gates + count - 1] - ff[RUN_D] <= reach_m:
        if _visiting(ff, fi) and fi[NEXT_GATE] < count:
            _depart(ff, fi, facts, to, ff[RUN_T], t)
        time = ff[STAND_T] if ff[STAND_T] <= ff[RUN_T] else ff[RUN_T]
        while fi[NEXT_GATE] < count:
            ahead = tables.f[tables.at[PGATE_DIST_M] + gates + fi[NEXT_GATE]] - ff[RUN_D]
            if ahead > BEFORE_STOP_M:  # it drove on there
                time = min(t, ff[RUN_T] + ahead / max(PULL_AWAY_MPS, ff[RUN_V]))
            _pass_gate(ff, fi, tables, facts, to, time, fi[NEXT_GATE] == count - 1, t)
    elif _visiting(ff, fi) and fi[VISIT_GATE] < count - 1:
        _depart(ff, fi, facts, to, ff[RUN_T], t)
    fi[LAST_ROUTE] = tables.i[tables.at[PATTERN_ROUTE_IX] + p]
    fi[LAST_TRIP] = fi[RUN_TRIP]
    fi[RUN_PATTERN] = -1
    fi[RUN_OFF] = 0
    fi[VISIT_GATE] = -1


@inner
def _stop_between(ff, fi, tables, facts, to, from_m, from_t, to_m, to_t, t):
    """Where a step is slower than driving and has a stop in it, the vehicle stood there: the visit, unseen.

    Returns from where and when the rest of the step goes on.
    """
    p = fi[RUN_PATTERN]
    gates, count = (
        tables.i[tables.at[PGATE_START] + p],
        tables.i[tables.at[PGATE_START] + p + 1] - tables.i[tables.at[PGATE_START] + p],
    )
    gate = fi[NEXT_GATE]
    while gate < count and tables.f[tables.at[PGATE_DIST_M] + gates + gate] < to_m:
        if tables.i[tables.at[PGATE_STOP_POS] + gates + gate] >= 0:
            break
        gate += 1
    if gate >= count or tables.f[tables.at[PGATE_DIST_M] + gates + gate] >= to_m:
        return from_m, from_t
    running = max(PULL_AWAY_MPS, ff[RUN_V])
    place = max(from_m, tables.f[tables.at[PGATE_DIST_M] + gates + gate])
    arrival = from_t + (place - from_m) / running + BRAKE_S * running
    departure = to_t - (to_m - place) / running - PULL_S * running
    if departure - arrival < UNSEEN_DWELL_S:
        return from_m, from_t
    _cross(ff, fi, tables, facts, to, from_m, from_t, place - 0.01, arrival, t)
    while fi[NEXT_GATE] <= gate:
        _pass_gate(ff, fi, tables, facts, to, arrival, True, t)
    _depart(ff, fi, facts, to, departure, t)
    return place, departure


@inner
def _taken_back(ff, fi, prm, p, day, trip, t):
    """Whether the vehicle's last run was a false start of what begins at `t`: it keeps its number then, this once.

    Only when no late ping can bring the false start back: what was told of it has been withdrawn (tracking.py).
    """
    if np.floor(t) - prm.lateness_s <= ff[VOIDED_T] or day != fi[RUN_DAY] or trip != fi[RUN_TRIP]:
        return False
    at = VOID + VOID_WIDTH * ((fi[VOIDS] + VOIDS_KEPT - 1) % VOIDS_KEPT)
    if fi[at] != day or fi[at + 1] != fi[RUN_N] or fi[at + 2] != p or fi[at + 3] != fi[RUN_GATE]:
        return False
    fi[at + 1] = 0
    return True


@inner
def _start_run(ff, fi, tables, times, prm, facts, to, p, dist_m, speed_mps, reported_trip, t, way, first, n):
    """A run begins, seen first at the oldest of the places way[first:n] that led along `p` to `dist_m` at `t`."""
    seen_m, seen_t = dist_m, t
    if first < n:
        seen_m, seen_t = way[first, ALONG_M], way[first, AT_S]
    gates, count = (
        tables.i[tables.at[PGATE_START] + p],
        tables.i[tables.at[PGATE_START] + p + 1] - tables.i[tables.at[PGATE_START] + p],
    )
    ff[RUN_V] = max(PULL_AWAY_MPS, speed_mps) if speed_mps == speed_mps else PULL_AWAY_MPS
    first_m = tables.f[tables.at[PGATE_DIST_M] + gates]
    from_start = seen_m <= first_m + (START_AFTER_LAYOVER_M if fi[WAITED] == 1 else START_M)
    # Where it was seen to begin, the start is that and not what the timetable's pace would make of it.
    begin = seen_t - max(0.0, seen_m - first_m) / ff[RUN_V]
    trip, day, start = find_run(
        tables, times, p, begin if from_start else seen_t, first_m if from_start else seen_m, reported_trip,
        fi[LAST_TRIP],
    )  # fmt: skip
    if day > fi[LAST_DAY]:
        fi[LAST_DAY] = day
        fi[RUN_N] = 0
    if not _taken_back(ff, fi, prm, p, day, trip, t):
        fi[RUN_N] += 1
    fi[RUN_DAY] = day
    fi[RUN_TRIP] = trip
    fi[RUN_PATTERN] = p
    fi[RUN_OFF] = 0
    fi[NEXT_GATE] = 0
    fi[VISIT_GATE] = -1
    ff[RUN_START] = start
    ff[RUN_D], ff[RUN_T] = dist_m, t
    ff[BEFORE_D], ff[BEFORE_T] = dist_m, t
    ff[STAND_T] = np.nan
    ff[PASSED] = -np.inf
    _enter_span(ff, fi, tables, dist_m, t)
    fi[WAITED] = 0
    if not from_start:
        while fi[NEXT_GATE] < count and tables.f[tables.at[PGATE_DIST_M] + gates + fi[NEXT_GATE]] <= seen_m:
            fi[NEXT_GATE] += 1
    fi[RUN_GATE] = fi[NEXT_GATE]
    if from_start:
        _cross(ff, fi, tables, facts, to, min(seen_m, first_m), begin, seen_m, seen_t, t)
    for k in range(first + 1, n + 1):
        next_m, next_t = dist_m, t
        if k < n:
            next_m, next_t = way[k, ALONG_M], way[k, AT_S]
        seen_m, seen_t = _stop_between(ff, fi, tables, facts, to, seen_m, seen_t, next_m, next_t, t)
        _cross(ff, fi, tables, facts, to, seen_m, seen_t, next_m, next_t, t)
        seen_m, seen_t = next_m, next_t


@inner
def _move(ff, fi, tables, prm, facts, to, dist_m, t):
    """The run goes on to `dist_m` at time `t`."""
    from_m, from_t = ff[RUN_D], ff[RUN_T]
    to_m = max(from_m, dist_m)
    gain = to_m - from_m
    dt = t - from_t
    if fi[RUN_OFF] == 1 or (dt > prm.gap_s and gain > BEFORE_STOP_M):
        if _visiting(ff, fi):
            _depart(ff, fi, facts, to, from_t, t)
        # A stop that it is seen at again is not one of them: the next ping says whether it stands there.
        _unseen(ff, fi, tables, facts, to, to_m - BEYOND_STOP_M, SKIPPED if fi[RUN_OFF] == 1 else MISSING, t)
        fi[RUN_OFF] = 0
        ff[STAND_T] = np.nan
        ff[RUN_D], ff[RUN_T], ff[BEFORE_D], ff[BEFORE_T] = to_m, t, to_m, t
        _enter_span(ff, fi, tables, to_m, t)
        return
    p = fi[RUN_PATTERN]
    if fi[STANDING] == 1 or gain < 0.3 * dt:
        if np.isnan(ff[STAND_T]):
            running = max(PULL_AWAY_MPS, ff[RUN_V])
            brake_s = BRAKE_S * running
            if gain > 5.0:
                ff[STAND_T] = min(t, from_t + gain / running + brake_s)
            else:
                ff[STAND_T] = min(from_t, ff[BEFORE_T] + (from_m - ff[BEFORE_D]) / running + brake_s)
        _cross(ff, fi, tables, facts, to, from_m, from_t, to_m, t, t)
        gates, count = (
            tables.i[tables.at[PGATE_START] + p],
            tables.i[tables.at[PGATE_START] + p + 1] - tables.i[tables.at[PGATE_START] + p],
        )
        if not _visiting(ff, fi):
            gate = fi[NEXT_GATE]
            while gate < count and tables.f[tables.at[PGATE_DIST_M] + gates + gate] <= to_m + BEFORE_STOP_M:
                if tables.i[tables.at[PGATE_STOP_POS] + gates + gate] >= 0:
                    break
                gate += 1
            if gate < count and tables.f[tables.at[PGATE_DIST_M] + gates + gate] <= to_m + BEFORE_STOP_M:
                while fi[NEXT_GATE] <= gate:
                    _pass_gate(ff, fi, tables, facts, to, ff[STAND_T], True, t)
            elif (
                fi[VISIT_GATE] >= 0
                and fi[VISIT_GATE] == fi[NEXT_GATE] - 1
                and to_m - tables.f[tables.at[PGATE_DIST_M] + gates + fi[VISIT_GATE]] <= BEYOND_STOP_M
            ):
                ff[VISIT_DEPARTURE], ff[VISIT_DETERMINED] = np.nan, t
                _note_passing(ff, fi, facts, to, fi[VISIT_GATE], ff[VISIT_ARRIVAL], np.nan, SCHEDULED, 1, t)
    else:
        begin = from_t
        stood = not np.isnan(ff[STAND_T])
        if stood:
            begin = max(from_t, t - gain / max(PULL_AWAY_MPS, ff[RUN_V]))
            ff[STAND_T] = np.nan
        if _visiting(ff, fi):
            _depart(ff, fi, facts, to, begin, t)
        if not stood:
            from_m, begin = _stop_between(ff, fi, tables, facts, to, from_m, begin, to_m, t, t)
        _cross(ff, fi, tables, facts, to, from_m, begin, to_m, t, t)
        ff[BEFORE_D], ff[BEFORE_T] = ff[RUN_D], from_t
        faster = gain / dt - ff[RUN_V]
        ff[RUN_V] += (0.5 if faster > 0.0 else 0.15) * faster  # of driving: steps with a stop in them are slower
    ff[RUN_D], ff[RUN_T] = to_m, t


@inner
def _void(ff, fi, day, number, pattern, gate, t):
    """Passings of a run from `gate` on are another run's, or none: `tracking` withdraws them once that is final.

    That is one lateness later, so VOID_EVERY_S must not be less.
    """
    at = VOID + VOID_WIDTH * (fi[VOIDS] % VOIDS_KEPT)
    fi[at], fi[at + 1], fi[at + 2], fi[at + 3], fi[at + 4] = day, number, pattern, gate, fi[NEXT_GATE]
    fi[VOIDS] += 1
    ff[VOIDED_T] = t


@inner
def _left_the_start(ff, fi, tables):
    """Whether the run has come farther from its start than a vehicle moves about there that waits."""
    p = fi[RUN_PATTERN]
    lo, end = tables.i[tables.at[PGATE_START] + p], tables.i[tables.at[PGATE_START] + p + 1]
    first_m = tables.f[tables.at[PGATE_DIST_M] + lo]
    length = tables.f[tables.at[PGATE_DIST_M] + end - 1] - first_m
    return fi[RUN_GATE] > 0 or ff[RUN_D] - first_m > min(START_AFTER_LAYOVER_M, START_SHARE * length)


@inner
def _take_back(ff, fi, tables, prm, facts, to, t):
    """A vehicle that waits at its terminal had not begun the run that it seemed to be on."""
    if fi[RUN_PATTERN] < 0 or t - ff[VOIDED_T] < VOID_EVERY_S:
        return
    if _visiting(ff, fi):
        _depart(ff, fi, facts, to, ff[RUN_T], t)
    _void(ff, fi, fi[RUN_DAY], fi[RUN_N], fi[RUN_PATTERN], fi[RUN_GATE], t)
    before = fi[LAST_TRIP]
    end_run(ff, fi, tables, facts, to, t, -1.0, prm.gap_s)  # not even of a short pattern has it reached the end
    fi[LAST_TRIP] = before  # what was not driven is still to be driven


@inner
def _recognised(ff, fi, tables, prm, way, n, p, dist_m, t):
    """A vehicle turns out to drive pattern `p`: since which place of way[:n], and what that makes of its run so far.

    Returns (first place of the way, first gate of the old run that is the new one's; NEXT_GATE where none is).
    A run that has reached its end was right. So was the first part of one of the same route and direction that is
    older than the way remembered: nothing is moved then, for that would only cut one run in two.
    """
    old = fi[RUN_PATTERN]
    if old == p:
        return n, fi[NEXT_GATE]
    since = ff[IDLE_T]
    if old >= 0:
        end = tables.i[tables.at[PGATE_START] + old + 1] - 1
        if tables.f[tables.at[PGATE_DIST_M] + end] - ff[RUN_D] <= END_AT_LAYOVER_M:
            since = max(since, ff[RUN_T])
    first = came_along(way, n, p, dist_m, t, since, tables, prm)
    gate = fi[NEXT_GATE]
    if first == n or old < 0 or way[first, AT_S] >= ff[RUN_T]:
        return first, gate
    if t - ff[VOIDED_T] < VOID_EVERY_S:
        return n, gate
    was_m = place_on(way, first, old, ff[RUN_D], tables)
    if way[first, ALONG_M] <= tables.f[tables.at[PGATE_DIST_M] + tables.i[tables.at[PGATE_START] + p]] + START_M:
        was_m -= START_M  # the new run has passed what lies before that place too
    gates = tables.i[tables.at[PGATE_START] + old]
    while gate > fi[RUN_GATE] and not tables.f[tables.at[PGATE_DIST_M] + gates + gate - 1] <= was_m:
        gate -= 1
    same = tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + old] == tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + p]
    if same and gate > fi[RUN_GATE]:
        return n, fi[NEXT_GATE]
    return first, gate


@inner
def _within_reach(ff, fi, prm, dist_m, t):
    """Whether the run may have come to `dist_m` of its pattern by now."""
    return dist_m >= ff[RUN_D] - RESTART_M and (
        fi[RUN_OFF] == 1 or dist_m <= ff[RUN_D] + RESTART_M + prm.max_speed_mps * (t - ff[RUN_T])
    )


@inner
def _turns_into(ff, fi, tables, times, prm, p, dist_m, reported_trip, t):
    """The run goes on as one of pattern `p`, if that is a variant of its own whose gates are the same up to here.

    What was told of the run then holds for the variant too: the run keeps its number and, where it has no scheduled
    trip, its start. Returns whether it did.
    """
    old = fi[RUN_PATTERN]
    if old < 0 or tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + old] != tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + p]:
        return False
    was, now = tables.i[tables.at[PGATE_START] + old], tables.i[tables.at[PGATE_START] + p]
    gates, passed = tables.at[PGATE_GATE_IX], fi[NEXT_GATE]
    if passed > tables.i[tables.at[PGATE_START] + p + 1] - now:
        return False
    for gate in range(fi[RUN_GATE], passed):
        if tables.i[gates + was + gate] != tables.i[gates + now + gate]:
            return False
    on = 0.0
    if passed > fi[RUN_GATE]:
        on = tables.f[tables.at[PGATE_DIST_M] + now + passed - 1] - tables.f[tables.at[PGATE_DIST_M] + was + passed - 1]
    if not _within_reach(ff, fi, prm, dist_m - on, t):
        return False
    trip, day, start = find_run(tables, times, p, t, dist_m, reported_trip, fi[LAST_TRIP])
    if day != fi[RUN_DAY]:
        return False
    fi[RUN_PATTERN], fi[RUN_TRIP] = p, trip
    if trip >= 0 and tables.i[tables.at[TRIP_IS_FREQUENCY] + trip] == 0:
        ff[RUN_START] = start
    ff[RUN_D] += on
    ff[BEFORE_D] += on
    _enter_span(ff, fi, tables, ff[RUN_D], ff[RUN_T])
    return True


@lean
def follow(state, s, t, said, reported_trip, tables, prm, times, way, n, facts, to):
    """Take the run of filter state `s` on to what `deciding.decide` says at time `t`; notes what it passes.

    way  where the vehicle was before, way[:n] (recall.py); looked at where a run begins. A run that is recognised late
         has passed what lies along it, and what was told of another run meanwhile is void.

    List `to` of `facts` must have room for twice the gates and once the cells of the longest pattern, and a few more.
    """
    ff, fi = state.ff[s], state.fi[s]
    phase, p = int(said[P_PHASE]), int(said[P_PATTERN])
    if phase == IN_SERVICE and p >= 0:
        if said[P_OFF] == 1:
            if fi[RUN_PATTERN] == p:
                if _visiting(ff, fi):
                    _depart(ff, fi, facts, to, ff[RUN_T], t)
                fi[RUN_OFF] = 1
            else:
                end_run(ff, fi, tables, facts, to, t, START_M, prm.gap_s)
            ff[IDLE_T] = t
            return
        dist = said[P_DIST]
        if dist != dist:  # on this pattern, but not yet known where
            return
        on = fi[RUN_PATTERN] == p and _within_reach(ff, fi, prm, dist, t)
        if on or (fi[RUN_PATTERN] != p and _turns_into(ff, fi, tables, times, prm, p, dist, reported_trip, t)):
            fi[WAITED] = 0
            _move(ff, fi, tables, prm, facts, to, dist, t)
        else:
            if fi[WAITED] == 1:
                _take_back(ff, fi, tables, prm, facts, to, t)
            old, day, number = fi[RUN_PATTERN], fi[RUN_DAY], fi[RUN_N]
            first, gate = _recognised(ff, fi, tables, prm, way, n, p, dist, t)
            moved = gate < fi[NEXT_GATE]
            end_run(ff, fi, tables, facts, to, t, START_M, prm.gap_s)
            if moved:
                _void(ff, fi, day, number, old, gate, t)
            _start_run(ff, fi, tables, times, prm, facts, to, p, dist, said[P_SPEED], reported_trip, t, way, first, n)
    elif phase == LAYOVER:
        if fi[RUN_PATTERN] >= 0 and not _left_the_start(ff, fi, tables):
            if t - ff[RUN_T] >= GOES_ON_S:
                _take_back(ff, fi, tables, prm, facts, to, t)
        else:
            end_run(ff, fi, tables, facts, to, t, END_AT_LAYOVER_M, prm.gap_s)
        fi[WAITED] = 1
        ff[IDLE_T] = t
    elif phase in (DEADHEAD, AT_BASE) or (fi[RUN_PATTERN] >= 0 and t - ff[RUN_T] > prm.forget_s):
        if fi[WAITED] == 1:
            _take_back(ff, fi, tables, prm, facts, to, t)
        end_run(ff, fi, tables, facts, to, t, START_M, prm.gap_s)
        fi[WAITED] = 0
        ff[IDLE_T] = t
