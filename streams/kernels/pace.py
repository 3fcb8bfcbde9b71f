"""Pace (s/m) of a directed cell: now, usually at this hour, and when the road is free.

Now is a Kalman filter over the logarithm of pace / usual pace, whose state is an Ornstein-Uhlenbeck process: with age
it relaxes to the usual pace and its variance to that of a cell nobody has seen. Usual and free flow are learned
slowly, from closed traversals only.
"""

from statistics import NormalDist

import numpy as np

from streams.jit import kernel

RELAX_S = 900.0  # a jam's memory: after this the deviation has fallen to 1/e
SPREAD = 0.5  # standard deviation of log(pace / usual) of a cell nobody has just driven through
NOISE = 0.45  # standard deviation of one traversal of 100 m around the cell's own pace
MIN_PACE = 1.0 / 30.0  # s/m
MAX_PACE = 10.0  # s/m; slower is standing, and says no more
MIN_METRES = 15.0  # a shorter cut through a cell's corner is GPS noise
FREE_QUANTILE = 0.15  # of pace: the 85th percentile of speed is traffic engineering's free flow
FREE_DEVIATES = -NormalDist().inv_cdf(FREE_QUANTILE)  # standard deviations of log(pace) below its mean
FREE_SPREAD = 0.2  # standard deviation of log(pace) in a cell that nothing is known of,
FREE_SPREAD_N = 3.0  # worth so many traversals
FREE_PRIOR_N = 4.0  # traversals that the timetable's pace is worth as free flow
FREE_FULL_N = 400.0  # sums are halved here, so that they follow the seasons
PRIOR_M = 500.0  # metres that the timetable's pace is worth
PART_M = 1500.0  # metres that a cell's mean over all hours is worth in one part of the week
NETWORK_M = 50_000.0  # metres that "this hour is like any other" is worth for the whole network
FULL_M = 40_000.0  # a sum is halved here, so that it follows the seasons


@kernel
def clipped_pace(metres, seconds):
    """Pace in s/m, clipped to what a bus can do and a cell can tell."""
    return min(max(seconds / metres, MIN_PACE), MAX_PACE)


@kernel
def usual_pace(hour, lane, part_of_hour, prior, cell_s, cell_m, part_s, part_m, hour_s, hour_expected_s):
    """Usual pace of every cell at one hour of the week.

    hour             0..167, local, Monday 00:00 first
    lane             (n,) i8 0 mixed traffic, 1 busway: their hours are learned apart
    part_of_hour     (168,) i8 part of the week
    prior            (n,) f8 s/m from the timetable
    cell_s, cell_m   (n,) f8 sums over all hours
    part_s, part_m   (n, parts) f4 sums over one part of the week
    hour_s, hour_expected_s  (2, 168) f8 the network's seconds by lane and hour, and what its cells' means had said

    Returns (n,) f8 s/m. Shrinks part of the week -> cell's mean x network's hour -> timetable.
    """
    out = np.empty(len(prior), np.float64)
    part = part_of_hour[hour]
    for c in range(len(prior)):
        mean = (cell_s[c] + PRIOR_M * prior[c]) / (cell_m[c] + PRIOR_M)
        weight = NETWORK_M * 0.25  # seconds: metres at a typical pace of 0.25 s/m
        factor = (hour_s[lane[c], hour] + weight) / (hour_expected_s[lane[c], hour] + weight)
        out[c] = (part_s[c, part] + PART_M * mean * factor) / (part_m[c, part] + PART_M)
    return out


@kernel
def observe(cell_ix, at, metres, seconds, usual, deviation, variance, seen_at):
    """Let the filter see traversals, in order of time.

    cell_ix  (n,) i8
    at       (n,) f8 POSIX seconds when the cell was left; one older than the filter's last counts as just now
    metres, seconds  (n,) f8, without stop dwell; shorter than MIN_METRES is passed over
    usual    (n_cells,) f8 s/m of this hour
    deviation, variance, seen_at  (n_cells,) f8 the filter's state, changed in place; seen_at NaN: never

    Scalar Kalman update of an Ornstein-Uhlenbeck state (stationary variance SPREAD**2, time constant RELAX_S); a
    longer traversal has a smaller error, by its length.
    """
    for i in range(len(cell_ix)):
        if not metres[i] >= MIN_METRES:
            continue
        c = cell_ix[i]
        if np.isnan(seen_at[c]):
            mean, var = 0.0, SPREAD * SPREAD
        else:
            kept = np.exp(-max(at[i] - seen_at[c], 0.0) / RELAX_S)
            mean = deviation[c] * kept
            var = SPREAD * SPREAD + (variance[c] - SPREAD * SPREAD) * kept * kept
        error = NOISE * NOISE * 100.0 / min(metres[i], 400.0)
        gain = var / (var + error)
        deviation[c] = mean + gain * (np.log(clipped_pace(metres[i], seconds[i]) / usual[c]) - mean)
        variance[c] = (1.0 - gain) * var
        if np.isnan(seen_at[c]) or at[i] > seen_at[c]:
            seen_at[c] = at[i]


@kernel
def pace_now(now, usual, deviation, seen_at):
    """The filter's pace of every cell at a moment: (n,) f8 s/m; the usual one where nothing was ever seen.

    now  POSIX seconds; usual (n,) f8 s/m; deviation, seen_at (n,) f8 the filter's state.
    """
    out = usual.copy()
    for c in range(len(out)):
        if not np.isnan(seen_at[c]):
            out[c] = usual[c] * np.exp(deviation[c] * np.exp(-max(now - seen_at[c], 0.0) / RELAX_S))
    return out


@kernel
def learn(
    cell_ix, hour, metres, seconds, lane, part_of_hour, prior,
    cell_s, cell_m, part_s, part_m, hour_s, hour_expected_s, free, free_n, free_log, free_log2,
):  # fmt: skip
    """Learn usual pace and free flow from closed traversals, in their order.

    cell_ix  (n,) i8
    hour     (n,) i8 local hour of the week
    metres, seconds  (n,) f8
    lane, part_of_hour, prior  as in `usual_pace`; the sums after them are changed in place
    free     (n_cells,) f8 s/m, pace when the road is free, changed in place
    free_n, free_log, free_log2  (n_cells,) f8 traversals behind it, sums of log(pace) and of its square: in place
    """
    for i in range(len(cell_ix)):
        if not metres[i] >= MIN_METRES:
            continue
        c, h = cell_ix[i], hour[i]
        part = part_of_hour[h]
        pace = clipped_pace(metres[i], seconds[i])
        mean = (cell_s[c] + PRIOR_M * prior[c]) / (cell_m[c] + PRIOR_M)
        hour_s[lane[c], h] += pace * metres[i]
        hour_expected_s[lane[c], h] += mean * metres[i]
        cell_s[c] += pace * metres[i]
        cell_m[c] += metres[i]
        part_s[c, part] += pace * metres[i]
        part_m[c, part] += metres[i]
        if cell_m[c] > 4.0 * FULL_M:
            cell_s[c] *= 0.5
            cell_m[c] *= 0.5
        if part_m[c, part] > FULL_M:
            part_s[c, part] *= 0.5
            part_m[c, part] *= 0.5
        if hour_expected_s[lane[c], h] > 1e7:
            hour_s[lane[c], h] *= 0.5
            hour_expected_s[lane[c], h] *= 0.5
        free_n[c] += 1.0
        log = np.log(pace)
        free_log[c] += log
        free_log2[c] += log * log
        if free_n[c] > FREE_FULL_N:
            free_n[c] *= 0.5
            free_log[c] *= 0.5
            free_log2[c] *= 0.5
        free[c] = free_flow(prior[c], free_n[c], free_log[c], free_log2[c])


@kernel
def free_flow(prior, n, log, log2):
    """Pace (s/m) of a cell when the road is free: FREE_QUANTILE of a log-normal pace, by its moments.

    prior      s/m from the timetable: what comes out where nothing was seen
    n, log, log2  traversals, sums of log(pace) and of its square

    Mean and variance are shrunk to what the timetable and FREE_SPREAD say. A jam that lasts raises the mean and widens
    the spread, so free flow hardly moves. A quantile that is tracked needs several times as many traversals.
    """
    mean = (log + FREE_PRIOR_N * (np.log(prior) + FREE_DEVIATES * FREE_SPREAD)) / (n + FREE_PRIOR_N)
    squares = max(log2 - log * log / n, 0.0) if n > 0.0 else 0.0
    variance = (squares + FREE_SPREAD_N * FREE_SPREAD**2) / (n + FREE_SPREAD_N)
    return np.exp(mean - FREE_DEVIATES * np.sqrt(variance))
