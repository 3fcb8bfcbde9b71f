"""What the rows of one record say of each vehicle: the newest of them, and how far they reach."""

import numpy as np

from streams.jit import kernel


@kernel
def newest_rows(vehicle, at, rank, n_vehicles):
    """The row of each vehicle with the greatest (at, rank); of equal ones the last.

    vehicle  (n,) i8 in [0, n_vehicles)
    at       (n,) f8 time, no NaN
    rank     (n,) i8 settles equal times

    Returns (m,) i8, one row for each vehicle that occurs, ascending.
    """
    best = np.full(n_vehicles, -1, np.int64)
    for i in range(len(vehicle)):
        b = best[vehicle[i]]
        if b < 0 or at[i] > at[b] or (at[i] == at[b] and rank[i] >= rank[b]):
            best[vehicle[i]] = i
    rows = np.empty(len(vehicle), np.int64)
    n = 0
    for i in range(len(vehicle)):
        if best[vehicle[i]] == i:
            rows[n] = i
            n += 1
    return rows[:n]


@kernel
def raise_to(level, vehicle, value):
    """Raise the level of each vehicle that occurs to the greatest of its values, in place; it never falls.

    level  (n_vehicles,) f8;  vehicle (n,) i8, repeats allowed;  value (n,) f8, no NaN
    """
    for i in range(len(vehicle)):
        if value[i] > level[vehicle[i]]:
            level[vehicle[i]] = value[i]


@kernel
def hear(vehicle, minute, newest, mask, held, count):
    """Count in how many minutes each vehicle was heard of, and each minute's vehicles.

    vehicle  (n,) i8;  minute (n,) i8 POSIX minute of event time, any order, repeats allowed
    newest   (n_vehicles,) i8 the vehicle's newest minute, -1 none;  mask (n_vehicles,) u8 bit k: heard k minutes
             before that. Both in place. A minute 64 or more before the newest is passed over
    held     (places,) i8 the minute that a place (minute modulo places) holds, -1 none;  count (places,) i8 vehicles
             heard in it. Both in place; a newer minute takes over its place

    Returns whether a minute other than the newest of all has changed, or a new one has begun.
    """
    last = np.int64(-1)
    for k in range(len(held)):
        last = max(last, held[k])
    changed = False
    one = np.uint64(1)
    for i in range(len(vehicle)):
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
    return changed
