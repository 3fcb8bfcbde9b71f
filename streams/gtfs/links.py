"""Links: from stop to stop, shared by every pattern that drives them alike, with the timetable's running time."""

from dataclasses import dataclass

import numpy as np

REACH = 2  # links to either side: timetables are in whole minutes
ALIKE_SHARE, ALIKE_M = 0.10, 30.0
PACE_S_PER_M = 0.3  # 12 km/h, where no timetable says anything

Array = np.ndarray


@dataclass(frozen=True)
class Links:
    """Columns `link_*` of the network, and the link of each stop position."""

    from_stop_ix: Array
    to_stop_ix: Array
    length_m: Array
    running_s: Array
    pstop_link_ix: Array


def join(pstop_start: Array, stop_ix: Array, dist_m: Array, arrival_s: Array, departure_s: Array, runs: Array) -> Links:
    """Links of all patterns; `runs` (per pattern) weighs the running times of patterns that share one."""
    n = len(stop_ix)
    last = np.zeros(n, dtype=np.bool_)
    last[pstop_start[1:] - 1] = True
    at = np.flatnonzero(~last)
    pattern_of = np.repeat(np.arange(len(pstop_start) - 1), np.diff(pstop_start))[at]
    length = dist_m[at + 1] - dist_m[at]
    leaves = np.where(np.isin(at, pstop_start[:-1]), departure_s[at], arrival_s[at])  # the first link: from departure
    seconds = _smoothed(pattern_of, length, arrival_s[at + 1] - leaves)
    link_of = _alike(stop_ix[at], stop_ix[at + 1], length)
    n_links = int(link_of.max()) + 1 if len(at) else 0
    weight = np.maximum(1.0, runs[pattern_of])
    total = np.bincount(link_of, weight, n_links)
    out_ix = np.full(n, -1, dtype=np.int32)
    out_ix[at] = link_of
    first = np.zeros(n_links, dtype=np.int64)
    first[link_of[::-1]] = at[::-1]
    return Links(
        from_stop_ix=stop_ix[first],
        to_stop_ix=stop_ix[first + 1],
        length_m=np.bincount(link_of, weight * length, n_links) / total,
        running_s=np.maximum(1.0, np.bincount(link_of, weight * seconds, n_links) / total),
        pstop_link_ix=out_ix,
    )


def _smoothed(pattern_of: Array, length: Array, seconds: Array) -> Array:
    """Running times spread over neighbouring links by length; a pattern's total stays what the timetable says."""
    n = len(length)
    sum_s, sum_m = np.zeros(n), np.zeros(n)
    for shift in range(-REACH, REACH + 1):
        a = np.arange(max(0, -shift), min(n, n - shift))
        same = a[pattern_of[a] == pattern_of[a + shift]]
        sum_s[same] += seconds[same + shift]
        sum_m[same] += length[same + shift]
    with np.errstate(divide="ignore", invalid="ignore"):
        out = length * sum_s / sum_m
    out = np.where(np.isfinite(out), out, seconds)
    patterns = int(pattern_of.max()) + 1 if n else 0
    planned, spread = np.bincount(pattern_of, seconds, patterns), np.bincount(pattern_of, out, patterns)
    run_m = np.bincount(pattern_of, length, patterns)
    scale = np.divide(planned, spread, out=np.ones(patterns), where=spread > 0)
    out = out * scale[pattern_of]
    return np.where(planned[pattern_of] > 0, out, length * PACE_S_PER_M) if run_m.any() else out


def _alike(from_ix: Array, to_ix: Array, length: Array) -> Array:
    """Link of each row: same stops, and within 10 % or 30 m of the shortest of the link. Numbered by first row."""
    order = np.lexsort((length, to_ix, from_ix))
    link = np.empty(len(order), dtype=np.int64)
    current, base, pair = -1, 0.0, (-1, -1)
    rows = zip(order.tolist(), from_ix[order].tolist(), to_ix[order].tolist(), length[order].tolist(), strict=True)
    for i, a, b, metres in rows:
        if (a, b) != pair or metres - base > max(ALIKE_SHARE * base, ALIKE_M):
            current, base, pair = current + 1, metres, (a, b)
        link[i] = current
    _, first, inverse = np.unique(link, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
