"""Sums per route direction and minute: headways go in and out, a window adds up (engine/indicators.py)."""

import numpy as np

from streams.jit import kernel

N, H, HH, N_PLAN, H_PLAN, HH_PLAN, P, PP, SEEN, JUDGED, BUNCH, GAPPED, REGULAR, LIMITED, WITHIN = range(15)
SUMS = 15
# what is said of a headway: that there is a target, and its band; that there is a limit, and that it is kept
HAS_TARGET, IS_BUNCHED, IS_GAPPED, IS_REGULAR, HAS_LIMIT, IS_WITHIN = 1, 2, 4, 8, 16, 32


@kernel
def put(minute, sums, route_dir, at_minute, headway, planned, said, sign):
    """Add passings and their headways to the sums of their minutes, or take them out.

    minute     (route_dirs, places) i8 POSIX minute that a place holds (minute modulo places), -1 none: in place
    sums       (route_dirs, places, SUMS) i8: in place
    route_dir, at_minute  (n,) i8
    headway    (n,) i8 hundredths of a second, -1 unknown;  planned (n,) i8 the same, -1 without a plan
    said       (n,) i8 HAS_TARGET and so on, added up
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
        s[SEEN] += sign
        if h < 0:
            continue
        s[N] += sign
        s[H] += sign * h
        s[HH] += sign * h * h
        if p >= 0:
            s[N_PLAN] += sign
            s[H_PLAN] += sign * h
            s[HH_PLAN] += sign * h * h
            s[P] += sign * p
            s[PP] += sign * p * p
        for bit, column in (
            (HAS_TARGET, JUDGED), (IS_BUNCHED, BUNCH), (IS_GAPPED, GAPPED), (IS_REGULAR, REGULAR),
            (HAS_LIMIT, LIMITED), (IS_WITHIN, WITHIN),
        ):  # fmt: skip
            if said[i] & bit:
                s[column] += sign


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


@kernel
def means(minute, sums, route_dir, after, until, least):
    """Mean headway (s) of a route direction over the minutes in (after, until]: (n,) f8, NaN below `least` headways.

    minute, sums  as in `put`;  route_dir, after, until  (n,) i8
    """
    out = np.full(len(route_dir), np.nan)
    for i in range(len(route_dir)):
        r = route_dir[i]
        n, h = 0, 0
        for place in range(minute.shape[1]):
            if after[i] < minute[r, place] <= until[i]:
                n += sums[r, place, N]
                h += sums[r, place, H]
        if n >= least:
            out[i] = np.rint(h / n) / 100.0
    return out
