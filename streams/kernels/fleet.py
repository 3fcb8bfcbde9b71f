"""What rows say of their vehicles, one after the other: the newest of them, how far they reach, whether they move."""

import numpy as np

from streams.jit import kernel


@kernel
def newest_yet(vehicle, at, rank, newest_at, newest_rank):
    """Whether each row was the newest of its vehicle when it came: (n,) bool.

    vehicle      (n,) i8, repeats allowed;  at (n,) f8 time, no NaN;  rank (n,) i8 settles equal times
    newest_at    (n_vehicles,) f8, NaN none;  newest_rank (n_vehicles,) i8 of the newest row so far: in place

    A row that equals the newest one takes its place.
    """
    newest = np.zeros(len(vehicle), np.bool_)
    for i in range(len(vehicle)):
        v = vehicle[i]
        if at[i] < newest_at[v] or (at[i] == newest_at[v] and rank[i] < newest_rank[v]):
            continue
        newest_at[v] = at[i]
        newest_rank[v] = rank[i]
        newest[i] = True
    return newest


@kernel
def raise_to(level, vehicle, value):
    """Raise the level of each vehicle to the greatest of its values, in place; whether each row reached it: (n,) bool.

    level  (n_vehicles,) f8, NaN none;  vehicle (n,) i8, repeats allowed;  value (n,) f8, no NaN
    """
    reached = np.zeros(len(vehicle), np.bool_)
    for i in range(len(vehicle)):
        if not value[i] < level[vehicle[i]]:
            level[vehicle[i]] = value[i]
            reached[i] = True
    return reached


@kernel
def move(vehicle, at, dist, run, least_m, moved_at, moved_m, moved_run):
    """Note when and where each vehicle moved last: `least_m` or more along its run, or on to another run.

    vehicle   (n,) i8, in the order of their times;  at (n,) f8;  dist (n,) f8 m along the run, NaN: it moved
    run       (n,) i8
    moved_*   (n_vehicles,) when, where and on which run it moved last: in place
    """
    for i in range(len(vehicle)):
        v = vehicle[i]
        if not (abs(dist[i] - moved_m[v]) < least_m and run[i] == moved_run[v]):
            moved_at[v] = at[i]
            moved_m[v] = dist[i]
            moved_run[v] = run[i]


@kernel
def hear(begin, vehicle, minute, record, newest, mask, held, count):
    """Count in how many minutes each vehicle was heard of, and each minute's vehicles.

    begin    first row to take
    vehicle  (n,) i8;  minute (n,) i8 POSIX minute of event time, any order, repeats allowed
    record   (n,) i8 the record of each row, ascending
    newest   (n_vehicles,) i8 the vehicle's newest minute, -1 none;  mask (n_vehicles,) u8 bit k: heard k minutes
             before that. Both in place. A minute 64 or more before the newest is passed over
    held     (places,) i8 the minute that a place (minute modulo places) holds, -1 none;  count (places,) i8 vehicles
             heard in it. Both in place; a newer minute takes over its place

    Stops behind the first record with which a minute other than the newest of all has changed, or a new one has begun.
    Returns (next row, whether there was such a record).
    """
    last = np.int64(-1)
    for k in range(len(held)):
        last = max(last, held[k])
    changed = False
    one = np.uint64(1)
    for i in range(begin, len(vehicle)):
        if changed and record[i] != record[i - 1]:
            return i, True
        v, m = vehicle[i], minute[i]
        back = newest[v] - m
        if back < 0:
            mask[v] = mask[v] << np.uint64(-back) if newest[v] >= 0 and back > -64 else np.uint64(0)
            newest[v] = m
            back = 0
        if back >= 64 or (mask[v] >> np.uint64(back)) & one == one:
            continue
        mask[v] |= one << np.uint64(back)
        place = m % len(held)
        if m > held[place]:
            held[place] = m
            count[place] = 0
        if m == held[place]:
            count[place] += 1
            changed = changed or m != last
            last = max(last, m)
    return len(vehicle), changed
