"""Sums per route direction and minute: headways go in and out, a window adds up (engine/indicators.py)."""

import numpy as np

from streams.jit import kernel

N, H, HH, N_PLAN, H_PLAN, HH_PLAN, P, PP, BUNCH, GAPPED = range(10)
SUMS = 10


@kernel
def put(minute, sums, route_dir, at_minute, headway, planned, bunched, gapped, sign):
    """Add headways to the sums of their minutes, or take them out.

    minute     (route_dirs, places) i8 POSIX minute that a place holds (minute modulo places), -1 none: in place
    sums       (route_dirs, places, SUMS) i8: in place
    route_dir, at_minute  (n,) i8
    headway    (n,) i8 hundredths of a second;  planned (n,) i8 the same, -1 without a plan
    bunched, gapped       (n,) bool
    sign       1 in, -1 out

    A newer minute takes over its place when something goes in; what belongs to a minute that has lost its place is
    passed over.
    """
    for i in range(len(route_dir)):
        r, m = route_dir[i], at_minute[i]
        place = m % minute.shape[1]
        if sign > 0 and m > minute[r, place]:
            minute[r, place] = m
            sums[r, place] = 0
        if m != minute[r, place]:
            continue
        h, p, s = headway[i], planned[i], sums[r, place]
        s[N] += sign
        s[H] += sign * h
        s[HH] += sign * h * h
        if p >= 0:
            s[N_PLAN] += sign
            s[H_PLAN] += sign * h
            s[HH_PLAN] += sign * h * h
            s[P] += sign * p
            s[PP] += sign * p * p
        if bunched[i]:
            s[BUNCH] += sign
        if gapped[i]:
            s[GAPPED] += sign


@kernel
def window(minute, sums, after, until):
    """The sums of each route direction over the minutes in (after, until]: (route_dirs, SUMS) i8.

    minute, sums  as in `put`
    """
    out = np.zeros((len(minute), sums.shape[2]), np.int64)
    for r in range(len(minute)):
        for place in range(minute.shape[1]):
            if after < minute[r, place] <= until:
                for k in range(sums.shape[2]):
                    out[r, k] += sums[r, place, k]
    return out
