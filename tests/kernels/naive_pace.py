"""What streams.kernels.pace computes, one traversal at a time and without its arrays."""

import math

from streams.kernels import pace as k


def free_flow(prior, paces):
    """The low quantile of a log-normal pace; mean and variance with what is known beforehand as further traversals."""
    logs = [math.log(p) for p in paces]
    n, z = len(logs), k.FREE_DEVIATES
    expected = math.log(prior) + z * k.FREE_SPREAD
    mean = (sum(logs) + k.FREE_PRIOR_N * expected) / (n + k.FREE_PRIOR_N)
    middle = sum(logs) / n if n else 0.0
    squares = sum((v - middle) ** 2 for v in logs) + k.FREE_SPREAD_N * k.FREE_SPREAD**2
    return math.exp(mean - z * math.sqrt(squares / (n + k.FREE_SPREAD_N)))


class Cell:
    """One directed cell."""

    def __init__(self, usual):
        self.usual = usual
        self.deviation, self.variance, self.seen_at = 0.0, k.SPREAD**2, None

    def at(self, now):
        """Mean and variance of log(pace / usual) at a moment."""
        if self.seen_at is None:
            return 0.0, k.SPREAD**2
        kept = math.exp(-max(now - self.seen_at, 0) / k.RELAX_S)
        return self.deviation * kept, k.SPREAD**2 * (1 - kept**2) + self.variance * kept**2

    def observe(self, at, metres, seconds):
        """One traversal: precision-weighted mean of what was expected and what was seen."""
        if metres < k.MIN_METRES:
            return
        mean, variance = self.at(at)
        seen = math.log(min(max(seconds / metres, k.MIN_PACE), k.MAX_PACE) / self.usual)
        error = k.NOISE**2 * 100 / min(metres, 400)
        self.deviation = (mean / variance + seen / error) / (1 / variance + 1 / error)
        self.variance = 1 / (1 / variance + 1 / error)
        self.seen_at = at if self.seen_at is None else max(at, self.seen_at)

    def pace(self, now):
        """Seconds per metre."""
        return self.usual * math.exp(self.at(now)[0])
