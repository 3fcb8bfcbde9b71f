"""Which run of the timetable a vehicle drives: scheduled trip, service day and start time."""

import numpy as np

from streams.jit import kernel

DAY_S = 86_400.0


@kernel
def planned_s(tables, p, dist_m):
    """Seconds after the first departure at which the timetable is `dist_m` along pattern `p`."""
    lo, hi = tables.pstop_start[p], tables.pstop_start[p + 1] - 1
    if dist_m <= tables.pstop_dist_m[lo]:
        return 0.0
    for i in range(lo, hi):
        a, b = tables.pstop_dist_m[i], tables.pstop_dist_m[i + 1]
        if dist_m < b:
            from_s, to_s = tables.pstop_departure_s[i], tables.pstop_departure_s[i + 1]
            return from_s + (dist_m - a) / (b - a) * (to_s - from_s)
    return tables.pstop_departure_s[hi]


@kernel
def find_run(tables, times, p, t, dist_m, reported_trip, last_trip):
    """The trip of pattern `p` that a vehicle `dist_m` along it at POSIX time `t` drives.

    reported_trip  what the vehicle says, -1: nothing; believed if it is of this pattern and within three hours
    last_trip      the vehicle's trip before, -1: its block goes on, and it is not driven twice

    A frequency's trip is the template whose window holds the start of the run; the start is the vehicle's own, planned
    running time before `t`. Otherwise the trip that is nearest to being here now.

    Returns (trip_ix or -1, service day as ordinal, start as whole seconds of that day).
    """
    begin = t - planned_s(tables, p, dist_m)
    best, best_cost = -1, np.inf
    best_day, best_start = 0, 0.0
    for w in range(len(times.day)):
        second = begin - times.day_start[w]
        if second < -2.0 * 3600.0 or second > 34.0 * 3600.0:
            continue
        day = times.day[w]
        column = day - tables.first_day
        for j in range(tables.pattern_trip_start[p], tables.pattern_trip_start[p + 1]):
            trip = tables.pattern_trip_ix[j]
            runs = (
                0 <= column < tables.service_active.shape[1]
                and tables.service_active[tables.trip_service_ix[trip], column]
            )
            # A trip that does not run on the day is the last resort.
            extra = 0.0 if runs else 0.5 * DAY_S
            if tables.trip_is_frequency[trip]:
                start = second
                cost = np.inf
                for f in range(tables.trip_freq_start[trip], tables.trip_freq_start[trip + 1]):
                    gap = max(0.0, tables.freq_start_s[f] - second, second - tables.freq_end_s[f])
                    cost = min(cost, gap)
                if trip == reported_trip:
                    cost -= 600.0
            else:
                start = tables.trip_start_s[trip]
                cost = abs(second - start)
                if trip == reported_trip and cost < 3.0 * 3600.0:
                    cost -= DAY_S
                elif cost > 3.0 * 3600.0:
                    continue
                if last_trip >= 0:
                    if trip == last_trip:
                        cost += 3600.0
                    elif (
                        tables.trip_block_ix[trip] >= 0
                        and tables.trip_block_ix[trip] == tables.trip_block_ix[last_trip]
                    ):
                        cost -= 600.0
            cost += extra
            if cost < best_cost:
                best, best_cost, best_day, best_start = trip, cost, day, start
    if best < 0:
        for w in range(len(times.day)):
            if times.day_start[w] <= begin:
                best_day, best_start = times.day[w], begin - times.day_start[w]
    return best, best_day, np.floor(max(0.0, best_start) + 0.5)
