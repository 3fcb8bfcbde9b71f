"""Readable twin of streams/kernels/waits.py, by sampling: every count is a crowd of waits spread over its bin."""

import numpy as np

from streams.kernels import waits


def left(part, waited_s, counts, network, crowd=4000):
    """Median of what is left of those waits, weighed, that are longer than `waited_s`."""
    total = counts.sum(axis=0)
    usual = (total + waits.NETWORK_WAITS * network) / (total.sum() + waits.NETWORK_WAITS)
    weight = counts[part] + waits.TERMINAL_WAITS * usual
    place = (np.arange(crowd) + 0.5) / crowd
    times = np.concatenate(
        [low + place * (high - low) for low, high in zip(waits.EDGES_S, waits.EDGES_S[1:], strict=False)]
    )
    mass = np.repeat(weight / crowd, crowd)
    mass[times <= waited_s] = 0.0
    return max(times[np.searchsorted(np.cumsum(mass), 0.5 * mass.sum())] - waited_s, 0.0)
