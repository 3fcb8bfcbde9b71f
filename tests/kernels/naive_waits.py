"""Readable twin of streams/kernels/waits.py, by sampling: every count is a crowd of waits spread over its bin."""

import numpy as np

from streams.kernels import waits


def left(part, waited_s, counts, network, into_s=0.0, slot_s=120.0, odds=(1.0,), crowd=4000):
    """Median of what is left of those waits, weighed, that are longer than `waited_s`; the clock weighs too."""
    total = counts.sum(axis=0)
    usual = (total + waits.NETWORK_WAITS * network) / (total.sum() + waits.NETWORK_WAITS)
    weight = counts[part] + waits.TERMINAL_WAITS * usual
    place = (np.arange(crowd) + 0.5) / crowd
    times = np.concatenate(
        [low + place * (high - low) for low, high in zip(waits.EDGES_S, waits.EDGES_S[1:], strict=False)]
    )
    mass = np.repeat(weight / crowd, crowd)
    mass[times <= waited_s] = 0.0
    slot = ((times - waited_s + into_s) // slot_s).astype(int).clip(0, len(odds) - 1)
    mass *= np.asarray(odds)[slot]
    return max(times[np.searchsorted(np.cumsum(mass), 0.5 * mass.sum())] - waited_s, 0.0)
