"""Which run of the timetable a vehicle drives: scheduled trip, service day and start time."""

import numpy as np

from streams.jit import inner, lean
from streams.kernels.tables import (
    FIRST_DAY,
    FREQ_END_S,
    FREQ_START_S,
    N_DAYS,
    PATTERN_TRIP_IX,
    PATTERN_TRIP_START,
    PSTOP_DEPARTURE_S,
    PSTOP_DIST_M,
    PSTOP_START,
    SERVICE_ACTIVE,
    TRIP_BLOCK_IX,
    TRIP_FREQ_START,
    TRIP_IS_FREQUENCY,
    TRIP_SERVICE_IX,
    TRIP_START_S,
)

DAY_S = 86_400.0
LATE_S = 300.0  # vehicles are late by so much in the mean
SEEN_LATE_S = 6.0 * LATE_S  # and hardly by more than that
ASTRAY = 0.3  # share of vehicles of whose place the timetable says nothing
EARLY = 3.0  # a vehicle is late rather than early: early by so much is as unlikely as late by three times that


@lean
def planned_s(tables, p, dist_m):
    """Seconds after the first departure at which the timetable is `dist_m` along pattern `p`."""
    lo, hi = tables.i[tables.at[PSTOP_START] + p], tables.i[tables.at[PSTOP_START] + p + 1] - 1
    if dist_m <= tables.f[tables.at[PSTOP_DIST_M] + lo]:
        return 0.0
    for i in range(lo, hi):
        a, b = tables.f[tables.at[PSTOP_DIST_M] + i], tables.f[tables.at[PSTOP_DIST_M] + i + 1]
        if dist_m < b:
            from_s, to_s = tables.f[tables.at[PSTOP_DEPARTURE_S] + i], tables.f[tables.at[PSTOP_DEPARTURE_S] + i + 1]
            return from_s + (dist_m - a) / (b - a) * (to_s - from_s)
    return tables.f[tables.at[PSTOP_DEPARTURE_S] + hi]


@inner
def _runs(tables, trip, column):
    """Whether a trip runs on a day, `column` days after the calendar's first."""
    if not 0 <= column < tables.at[N_DAYS]:
        return False
    service = tables.i[tables.at[TRIP_SERVICE_IX] + trip]
    return tables.i[tables.at[SERVICE_ACTIVE] + service * tables.at[N_DAYS] + column] == 1


@lean
def find_run(tables, times, p, t, dist_m, reported_trip, last_trip):
    """The trip of pattern `p` that a vehicle `dist_m` along it at POSIX time `t` drives.

    reported_trip  what the vehicle says, -1: nothing; believed if it is of this pattern and within three hours
    last_trip      the vehicle's trip before, -1: its block goes on, and it is not driven twice

    A frequency's trip is the template whose window holds the start of the run; the start is the vehicle's own, planned
    running time before `t`. Otherwise the trip that is nearest to being here now, late rather than early.

    Returns (trip_ix or -1, service day as ordinal, start as whole seconds of that day).
    """
    begin = t - planned_s(tables, p, dist_m)
    best, best_cost = -1, np.inf
    best_day, best_start = 0, 0.0
    for w in range(len(times.day)):
        second = begin - times.day[w, 1]
        if second < -2.0 * 3600.0 or second > 34.0 * 3600.0:
            continue
        day = int(times.day[w, 0])
        column = day - tables.at[FIRST_DAY]
        for j in range(tables.i[tables.at[PATTERN_TRIP_START] + p], tables.i[tables.at[PATTERN_TRIP_START] + p + 1]):
            trip = tables.i[tables.at[PATTERN_TRIP_IX] + j]
            # A trip that does not run on the day is the last resort.
            extra = 0.0 if _runs(tables, trip, column) else 0.5 * DAY_S
            if tables.i[tables.at[TRIP_IS_FREQUENCY] + trip] == 1:
                start = second
                cost = np.inf
                for f in range(
                    tables.i[tables.at[TRIP_FREQ_START] + trip], tables.i[tables.at[TRIP_FREQ_START] + trip + 1]
                ):
                    gap = max(
                        0.0,
                        tables.f[tables.at[FREQ_START_S] + f] - second,
                        second - tables.f[tables.at[FREQ_END_S] + f],
                    )
                    cost = min(cost, gap)
                if trip == reported_trip:
                    cost -= 600.0
            else:
                start = tables.f[tables.at[TRIP_START_S] + trip]
                away = abs(second - start)
                cost = EARLY * away if second < start else away
                if trip == reported_trip and away < 3.0 * 3600.0:
                    cost -= DAY_S
                elif away > 3.0 * 3600.0:
                    continue
                if last_trip >= 0:
                    if trip == last_trip:
                        cost += 3600.0
                    elif (
                        tables.i[tables.at[TRIP_BLOCK_IX] + trip] >= 0
                        and tables.i[tables.at[TRIP_BLOCK_IX] + trip] == tables.i[tables.at[TRIP_BLOCK_IX] + last_trip]
                    ):
                        cost -= 600.0
            cost += extra
            if cost < best_cost:
                best, best_cost, best_day, best_start = trip, cost, day, start
    if best < 0:
        for w in range(len(times.day)):
            if times.day[w, 1] <= begin:
                best_day, best_start = int(times.day[w, 0]), begin - times.day[w, 1]
    return best, best_day, np.floor(max(0.0, best_start) + 0.5)


@inner
def _first_from(tables, first, end, start_s):
    """The first of the trips [first, end) of a pattern, in order of their starts, that starts at `start_s` or later."""
    while first < end:
        middle = (first + end) >> 1
        if tables.f[tables.at[TRIP_START_S] + tables.i[tables.at[PATTERN_TRIP_IX] + middle]] < start_s:
            first = middle + 1
        else:
            end = middle
    return first


@lean
def due_log(tables, times, p, t, dist_m, log_expected):
    """How much likelier a vehicle of pattern `p` is at POSIX time `t` to be `dist_m` along it than anywhere (log).

    log_expected  log of how many vehicles are on the pattern now;  0 where the timetable knows headways alone
    """
    first, end = tables.i[tables.at[PATTERN_TRIP_START] + p], tables.i[tables.at[PATTERN_TRIP_START] + p + 1]
    if first == end or tables.i[tables.at[TRIP_IS_FREQUENCY] + tables.i[tables.at[PATTERN_TRIP_IX] + first]] == 1:
        return 0.0
    begin = t - planned_s(tables, p, dist_m)
    due = 0.0  # of all trips that may be here, the density of being late by that much
    for w in range(len(times.day)):
        second = begin - times.day[w, 1]
        column = int(times.day[w, 0]) - tables.at[FIRST_DAY]
        if second < -DAY_S or second > 2.0 * DAY_S:
            continue
        for j in range(_first_from(tables, first, end, second - SEEN_LATE_S), end):
            trip = tables.i[tables.at[PATTERN_TRIP_IX] + j]
            late = second - tables.f[tables.at[TRIP_START_S] + trip]
            if EARLY * late < -SEEN_LATE_S:
                break
            if _runs(tables, trip, column):
                due += np.exp(-(late if late > 0.0 else -EARLY * late) / LATE_S)
    due /= LATE_S + LATE_S / EARLY
    drives_s = tables.f[tables.at[PSTOP_DEPARTURE_S] + tables.i[tables.at[PSTOP_START] + p + 1] - 1]
    return np.log(ASTRAY + (1.0 - ASTRAY) * due * drives_s / np.exp(log_expected))
