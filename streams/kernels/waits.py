"""Waits at terminals: how long buses stand between two runs, and how much longer one that has waited will.

Counted in bins, by terminal and part of the week. A wait is not over when its usual length has passed: the longer a
bus has stood, the longer it goes on standing in the mean, so what is left is the median of those waits that were
longer still. Source: the residual life of renewal theory (Cox 1962).
"""

import numpy as np

from streams.jit import kernel

EDGES_S = np.array(
    [0, 30, 60, 90, 120, 180, 240, 300, 360, 420, 480, 600, 720, 900, 1080, 1260, 1500, 1800, 2100, 2400, 3000, 3600,
     5400, 7200], dtype=np.float64,
)  # fmt: skip
BINS = len(EDGES_S) - 1
TERMINAL_WAITS = 8.0  # waits that a terminal's all are worth in one part of the week
NETWORK_WAITS = 5.0  # that the network's are worth at one terminal
PRIOR_WAITS = 20.0  # that the built-in ones are worth in the network
PRIOR_MEDIAN_S = 300.0
FULL_WAITS = 400.0  # counts are halved here, so that they follow the seasons


@kernel
def learn(terminal, part, seconds, counts):
    """Count waits.

    terminal, part, seconds  (n,) i8, i8, f8
    counts                   (terminals, parts, BINS) f4, changed in place
    """
    for k in range(len(terminal)):
        b = min(max(np.searchsorted(EDGES_S, seconds[k], side="right") - 1, 0), BINS - 1)
        row = counts[terminal[k], part[k]]
        row[b] += 1.0
        if row.sum() > FULL_WAITS:
            row *= 0.5


@kernel
def network_waits(counts):
    """The distribution of all waits: (BINS,) f8 that sums to 1. Heavy-tailed where nothing was counted yet."""
    out = np.empty(BINS)
    for b in range(BINS):
        # log-logistic around the median: the odds of a wait beyond t are median / t
        low, high = EDGES_S[b], EDGES_S[b + 1]
        out[b] = PRIOR_WAITS * (high / (high + PRIOR_MEDIAN_S) - low / (low + PRIOR_MEDIAN_S))
    for t in range(counts.shape[0]):
        for p in range(counts.shape[1]):
            for b in range(BINS):
                out[b] += counts[t, p, b]
    return out / out.sum()


@kernel
def left(terminal, part, waited_s, counts, network, into_s, slot_s, odds):
    """How much longer buses wait, in the median: (n,) f8 seconds, at least 0.

    terminal, part, waited_s  (n,) i8, i8, f8
    counts                    (terminals, parts, BINS) f4
    network                   (BINS,) f8 of `network_waits`
    into_s, slot_s            seconds of the present slot of the clock that are gone, and the length of a slot
    odds                      (n, slots) f8 weight of leaving in the present slot and each after it (departures.py)

    Shrinks part of the week -> terminal -> network.
    """
    out = np.empty(len(terminal))
    density = np.empty(BINS)
    for k in range(len(terminal)):
        at, waited = counts[terminal[k]], waited_s[k]
        total = at.sum()
        for b in range(BINS):
            all_parts = 0.0
            for p in range(counts.shape[1]):
                all_parts += at[p, b]
            usual = (all_parts + NETWORK_WAITS * network[b]) / (total + NETWORK_WAITS)
            density[b] = (at[part[k], b] + TERMINAL_WAITS * usual) / (EDGES_S[b + 1] - EDGES_S[b])
        half = 0.5 * _beyond(waited, density, into_s, slot_s, odds[k], np.inf)[0]
        out[k] = _beyond(waited, density, into_s, slot_s, odds[k], half)[1]
    return out


@kernel
def _beyond(waited, density, into_s, slot_s, odds, until):
    """The weight of what lies beyond `waited` and, where it reaches `until`, how much later that is."""
    mass, low = 0.0, waited
    b, slot = 0, 0
    while b < BINS:
        end = waited - into_s + slot_s * (slot + 1)
        high = min(EDGES_S[b + 1], end)
        if high > low:
            w = density[b] * odds[min(slot, len(odds) - 1)]
            more = w * (high - low)
            if mass + more >= until:
                return mass, low + (until - mass) / w - waited if more > 0.0 else low - waited
            mass += more
            low = high
        if EDGES_S[b + 1] <= end:
            b += 1
        else:
            slot += 1
    return mass, low - waited
