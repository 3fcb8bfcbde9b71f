"""Readable twin of streams/kernels/turns.py: departures and forecasts as lists."""

from streams.kernels import turns


class Queues:
    """Departures by terminal, and what was forecast of each bus that waits."""

    def __init__(self):
        self.left, self.gaps = {}, {}
        self.open, self.judged = {}, []

    def leaves(self, terminal, at):
        if terminal in self.left and 0.0 < at - self.left[terminal] < turns.MOST_GAP_S:
            self.gaps.setdefault(terminal, []).append(at - self.left[terminal])
        self.left[terminal] = max(at, self.left.get(terminal, at))

    def gap(self, terminal):
        """Mean of the gaps there, older ones less, with the network's for one more."""
        sums = {t: self._sums(gaps) for t, gaps in self.gaps.items()}
        seconds, number = (sum(column) for column in zip((0.0, 0.0), *sums.values(), strict=True))
        network = (seconds + turns.PRIOR_GAPS * turns.PRIOR_GAP_S) / (number + turns.PRIOR_GAPS)
        seconds, number = sums.get(terminal, (0.0, 0.0))
        return (seconds + turns.NETWORK_GAPS * network) / (number + turns.NETWORK_GAPS)

    def _sums(self, gaps):
        weight = [turns.KEPT**age for age in reversed(range(len(gaps)))]
        return sum(w * g for w, g in zip(weight, gaps, strict=True)), sum(weight)

    def turn(self, now, terminal, place, most_s):
        """When the bus with `place` others before it leaves; None where no departure was seen."""
        if now - self.left.get(terminal, float("-inf")) >= most_s:
            return None
        gap = self.gap(terminal)
        return max(self.left[terminal] + gap, now + turns.SOON_S) + place * gap

    def forecast(self, vehicle, alone_s, turn_s, place):
        self.open.setdefault(vehicle, []).append((alone_s, turn_s, min(place, 1)))

    def left_after(self, vehicle, waited_s):
        self.judged += [(waited_s, *row) for row in self.open.pop(vehicle, [])]

    def weight(self, behind):
        """Regression of what the bus's own wait was off by on what its turn says otherwise; a small one is none."""
        xy, xx = turns.START * turns.RIDGE_S, turns.RIDGE_S
        for waited_s, alone_s, turn_s, of in self.judged:
            x = turn_s - alone_s
            if of == behind:
                xy += (waited_s - alone_s) * x / max(abs(x), turns.LEAST_S)
                xx += x * x / max(abs(x), turns.LEAST_S)
        return garrote(min(xy / xx, 1.0))


def garrote(share):
    """A share without what is too small to be one."""
    return share * (1.0 - (turns.LEAST_WEIGHT / share) ** 2) if share > turns.LEAST_WEIGHT else 0.0
