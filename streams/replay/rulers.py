"""How good arrival estimates are: the rulers that agencies and apps publish, exactly as they define them.

Errors are actual minus predicted: positive where the bus came later than it was said to. Which window of a ruler an
estimate falls into is decided by the *actual* time left when it was made, so that what was predicted cannot choose
its own tolerance.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Window:
    """Estimates made from_s to to_s before the bus came are accurate within [-early_s, late_s] of error."""

    from_s: float  # included
    to_s: float  # excluded
    early_s: float
    late_s: float

    @property
    def name(self) -> str:
        """In minutes, as in `3-6 min`."""
        return f"{max(self.from_s, 0.0) / 60:g}-{self.to_s / 60:g} min"


@dataclass(frozen=True, slots=True)
class Ruler:
    """Windows; the score is the unweighted mean of the windows' shares."""

    name: str
    windows: tuple[Window, ...]

    def shares(self, left_s: Array, error_s: Array) -> tuple[list[float], list[int]]:
        """Percentage of accurate estimates in each window, NaN without any, and how many there are.

        left_s   (n,) actual seconds until the bus came, when the estimate was made
        error_s  (n,) actual minus predicted
        """
        share, count = [], []
        for w in self.windows:
            error = error_s[(left_s >= w.from_s) & (left_s < w.to_s)]
            good = np.count_nonzero((error >= -w.early_s) & (error <= w.late_s))
            count.append(len(error))
            share.append(100.0 * good / len(error) if len(error) else float("nan"))
        return share, count


# github.com/TransitApp/Transit-ETA-Accuracy-Benchmark; derived from IBI Group's method.
TRANSIT = Ruler(
    "Transit",
    (
        Window(0, 180, 30, 90),
        Window(180, 360, 60, 150),
        Window(360, 600, 60, 210),
        Window(600, 900, 90, 270),
    ),
)
# github.com/mbta/prediction_analyzer; the first bin takes estimates that still stand half a minute after the arrival.
MBTA = Ruler(
    "MBTA",
    (
        Window(-30, 180, 60, 60),
        Window(180, 360, 90, 120),
        Window(360, 720, 150, 210),
        Window(720, 1800, 240, 360),
    ),
)
RULERS = (TRANSIT, MBTA)
BINS_S = tuple((max(w.from_s, 0.0), w.to_s) for w in MBTA.windows)  # of everything that is shown by horizon
FAR_S = 1800.0  # errors and wobble are of estimates for the next half hour


@dataclass(frozen=True, slots=True)
class Errors:
    """What one predictor's estimates came to."""

    n: int
    shares: dict[str, list[float]]  # by ruler, % per window
    counts: dict[str, list[int]]
    mae_s: float
    bias_s: float  # mean error; positive: buses come later than said
    mae_by_bin_s: list[float]  # by BINS_S of actual time left
    bias_by_bin_s: list[float]
    n_by_bin: list[int]
    wobble_s: float  # mean change of the predicted time from one minute to the next

    def overall(self, ruler: Ruler) -> float:
        """The score: the unweighted mean of the windows."""
        return float(np.mean(self.shares[ruler.name]))


def errors(made_at: Array, actual: Array, predicted: Array, identity: Array) -> Errors:
    """Measure the estimates of one predictor.

    made_at, actual, predicted  (n,) POSIX seconds, none unknown; actual may lie up to 30 s before made_at
    identity                    (n,) integer: rows with the same one are of one bus and stop
    """
    left, error = actual - made_at, actual - predicted
    shares, counts = {}, {}
    for ruler in RULERS:
        shares[ruler.name], counts[ruler.name] = ruler.shares(left, error)
    near = (left >= 0) & (left < FAR_S)
    by_bin = [error[(left >= low) & (left < high)] for low, high in BINS_S]
    order = np.lexsort((made_at, identity))
    follows = (np.diff(identity[order]) == 0) & (np.diff(made_at[order]) == 60.0) & near[order][1:]
    return Errors(
        n=int(np.count_nonzero(near)),
        shares=shares,
        counts=counts,
        mae_s=mean(np.abs(error[near])),
        bias_s=mean(error[near]),
        mae_by_bin_s=[mean(np.abs(e)) for e in by_bin],
        bias_by_bin_s=[mean(e) for e in by_bin],
        n_by_bin=[len(e) for e in by_bin],
        wobble_s=mean(np.abs(np.diff(predicted[order]))[follows]),
    )


@dataclass(frozen=True, slots=True)
class Intervals:
    """What the p10 to p90 intervals came to, by BINS_S of *predicted* time left; the last entry is all of them."""

    n: list[int]
    coverage: list[float]  # % of arrivals inside; 80 is honest
    early: list[float]  # % before p10
    late: list[float]  # % after p90
    width_s: list[float]


def intervals(made_at: Array, actual: Array, p10: Array, p50: Array, p90: Array, known_until: float) -> Intervals:
    """Measure intervals without favouring buses that came in time to be seen.

    actual       (n,) NaN: the bus had not come yet when the recording ended
    known_until  end of the recording, POSIX seconds

    Only estimates whose p90 lies before that end are taken: of those it is known whether the bus came in time,
    whenever it came. Taking what has arrived instead would leave out exactly the late ones. Estimates that stood when
    the bus had come already, which its next ping will tell, are left out: an interval of the future cannot hold them.
    """
    ahead = p50 - made_at
    decided = (p90 < known_until) & ~(actual < made_at)
    late = ~(actual <= p90)  # NaN has not come
    rows = [decided & (ahead >= low) & (ahead < high) for low, high in BINS_S]
    rows.append(np.any(rows, axis=0))
    return Intervals(
        n=[int(np.count_nonzero(r)) for r in rows],
        coverage=[100.0 * mean(~late[r] & (actual[r] >= p10[r])) for r in rows],
        early=[100.0 * mean(actual[r] < p10[r]) for r in rows],
        late=[100.0 * mean(late[r]) for r in rows],
        width_s=[mean((p90 - p10)[r]) for r in rows],
    )


def mean(values: Array) -> float:
    """The mean; NaN without values."""
    return float(np.mean(values)) if len(values) else float("nan")
