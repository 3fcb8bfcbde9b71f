"""Departures in turn: buses that queue at a terminal leave one after the other, a usual gap apart.

How long a bus has waited says little where another stands before it. So there are two forecasts of a departure: from
the bus's own wait (waits.py), and from its turn. What the second one is worth is learned by city, apart for the
next bus and for those behind it. Source: combination of forecasts (Bates & Granger 1969) by regression on their
difference, with weights 1/|difference| against outliers, as in iterated least squares for the least mean error. A
small weight is none: on Toronto's days, by a timetable, one of a seventh lowered the mean error by half a percent, but
blurred departures that the clock knows well, and the share of good estimates fell. Source: the non-negative garrote
(Breiman 1995).
"""

import numpy as np

from streams.jit import kernel

MOST_GAP_S = 5400.0  # a longer one is a break of the service
KEPT = 0.9  # of the sums of a terminal's gaps, departure by departure
PRIOR_GAP_S = 600.0
PRIOR_GAPS = 20.0  # that the built-in one is worth in the network
NETWORK_GAPS = 1.0  # that the network's is worth at a terminal
SOON_S = 15.0  # nobody leaves sooner
START = 0.5  # what turns are worth before any was seen
RIDGE_S = 33.0 * 300.0  # 33 forecasts that differ by five minutes are believed by half
FULL_S = 9000.0 * 300.0  # sums are halved here, so that they follow the seasons
LEAST_WEIGHT = 0.18  # less is none
LEAST_S = 60.0  # forecasts that differ by less are as good as each other


@kernel
def learn_gaps(terminal, at, before, gaps):
    """Note departures, in their order.

    terminal, at  (n,) i8, f8
    before        (terminals,) f8 the last departure of each, -inf none: changed in place
    gaps          (terminals, 2) f8 decaying sums of gaps and of their number: changed in place
    """
    for k in range(len(terminal)):
        t = terminal[k]
        gap = at[k] - before[t]
        if 0.0 < gap < MOST_GAP_S:
            gaps[t, 0] = KEPT * gaps[t, 0] + gap
            gaps[t, 1] = KEPT * gaps[t, 1] + 1.0
        before[t] = max(before[t], at[k])


@kernel
def network_gap(gaps):
    """The usual gap of all terminals."""
    seconds, number = PRIOR_GAPS * PRIOR_GAP_S, PRIOR_GAPS
    for t in range(len(gaps)):
        seconds += gaps[t, 0]
        number += gaps[t, 1]
    return seconds / number


@kernel
def in_turn(now, terminal, left_at, gaps, most_s):
    """When waiting buses leave by their turn.

    now       POSIX seconds
    terminal  (n,) i8 of buses in the order of their turns: equal ones stand together, the next bus first
    left_at   (terminals,) f8 the last departure of each, -inf none
    gaps      as in `learn_gaps`
    most_s    a last departure longer ago says nothing

    Returns place (n,) i8, 0 for the next bus, and at (n,) f8, NaN where no departure was seen.
    """
    n = len(terminal)
    place, at = np.zeros(n, np.int64), np.full(n, np.nan)
    network = network_gap(gaps)
    for k in range(n):
        t = terminal[k]
        gap = (gaps[t, 0] + NETWORK_GAPS * network) / (gaps[t, 1] + NETWORK_GAPS)
        if k > 0 and terminal[k - 1] == t:
            place[k] = place[k - 1] + 1
            at[k] = at[k - 1] + gap
        elif now - left_at[t] < most_s:
            at[k] = max(left_at[t] + gap, now + SOON_S)
    return place, at


@kernel
def weights(fits):
    """The weight of the turn, for the next bus and for those behind it: (2,) f8. fits as in `judge`."""
    out = np.empty(2)
    for c in range(2):
        share = min((fits[c, 0] + START * RIDGE_S) / (fits[c, 1] + RIDGE_S), 1.0)
        out[c] = share - LEAST_WEIGHT**2 / share if share > LEAST_WEIGHT else 0.0
    return out


@kernel
def combined(alone, turn, place, fits):
    """Both forecasts in one: (n,) f8; where there is no turn, the other."""
    out = alone.copy()
    share = weights(fits)
    for k in range(len(alone)):
        if not np.isnan(turn[k]):
            out[k] += share[min(place[k], 1)] * (turn[k] - alone[k])
    return out


@kernel
def note(vehicle, alone_s, turn_s, place, open_sums):
    """Remember forecasts until the bus has left.

    vehicle           (n,) i8
    alone_s, turn_s   (n,) f8 forecasts, both counted from the moment since which the bus waits; NaN: none
    place             (n,) i8
    open_sums         (vehicles, 2, 3) f8 of each vehicle's present wait, by class of place: what `judge` makes of them
                      when the departure is known. Changed in place
    """
    for k in range(len(vehicle)):
        x = turn_s[k] - alone_s[k]
        if np.isnan(x):
            continue
        w = 1.0 / max(abs(x), LEAST_S)
        row = open_sums[vehicle[k], min(place[k], 1)]
        row[0] += w * x
        row[1] += w * x * alone_s[k]
        row[2] += w * x * x


@kernel
def judge(vehicle, waited_s, open_sums, fits):
    """Buses have left that were waiting: see how right their forecasts were, and forget them.

    vehicle, waited_s  (n,) i8, f8 how long they waited in the end
    open_sums          as in `note`
    fits               (2, 2) f8 sums of the two regressions (next bus, those behind): xy, xx; changed in place
    """
    for k in range(len(vehicle)):
        for c in range(2):
            row = open_sums[vehicle[k], c]
            fits[c, 0] += waited_s[k] * row[0] - row[1]
            fits[c, 1] += row[2]
            if fits[c, 1] > FULL_S:
                fits[c] *= 0.5
            row[:] = 0.0
