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
