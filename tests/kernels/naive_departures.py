"""Readable twin of streams/kernels/departures.py: departures as a list, days as a dict."""

from collections import defaultdict

import numpy as np

from streams.kernels import departures


class Clock:
    """Departures of days before, by terminal and kind of day, and the mixture's weight."""

    def __init__(self):
        self.before = defaultdict(lambda: np.zeros(departures.SLOTS))
        self.today = []
        self.day, self.kind = 0, 0
        self.shares = []

    def left(self, terminal, kind, day, slot):
        if day > self.day:
            for key in set(self.before) | {(t, self.kind) for t, _ in self.today}:
                if key[1] == self.kind and self.day > 0:
                    self.before[key] *= departures.DAY_KEPT
            for t, s in self.today:
                self.before[t, self.kind][s] += 1
            self.today, self.day, self.kind = [], day, kind
        ratio = self.ratio(terminal, self.kind, slot)
        if ratio is not None:
            w = self.weight()
            self.shares.append(w * ratio / (w * ratio + 1 - w))
        self.today.append((terminal, slot))

    def weight(self):
        n = departures.PRIOR_DEPARTURES
        return (sum(self.shares) + departures.PRIOR_WEIGHT * n) / (len(self.shares) + n)

    def ratio(self, terminal, kind, slot):
        """Departures of a slot over those that are usual around it; None where there are none."""
        row = self.before[terminal, kind]
        usual = np.mean(np.take(row, range(slot - departures.AROUND, slot + departures.AROUND + 1), mode="wrap"))
        here = np.dot(np.take(row, range(slot - 1, slot + 2), mode="wrap"), [0.25, 0.5, 0.25])
        return here / usual if usual > 0 else None

    def odds(self, terminal, kind, slot):
        w = self.weight()
        ratios = [self.ratio(terminal, kind, (slot + j) % departures.SLOTS) for j in range(departures.AHEAD)]
        return [1.0 if r is None else 1 - w + w * r for r in ratios]
