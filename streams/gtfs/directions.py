"""Which of two ways each pattern of a route goes, where the feed does not say (`direction_id` is optional).

Two patterns go the same way if one calls in the order of the other at the places that both serve, and opposite ways
if in the reverse order. What is surest is believed first. Patterns that share no two places are compared by where they
lead, as the crow flies.
"""

from collections.abc import Sequence

import numpy as np

NEAR_M = 100.0  # stops this close are one place: the two sides of a street, the bays of a terminal
NAMED_M = 400.0  # the same for two stops of one name
NEARLY_M = 30.0  # of several stops at a place, those farther than the nearest by less than this count as well
AGAIN = (0.25, 0.5, 1.0)  # shares of its stops at which a pattern comes by again, by which patterns are taken in turn
VAGUE = 0.1  # less of the agreement that two patterns could have is none
HINT = 1e-6  # what that is worth beside one step between shared places
STRAIGHT = 0.5  # cosine from which two patterns without places in common lead the same way (60 degrees)

Array = np.ndarray


def infer(
    route: Array, given: Array, start: Array, stop: Array, x: Array, y: Array, place: Array, stop_ids: Sequence[str],
    runs: Array,
) -> Array:  # fmt: skip
    """The direction (i1) of each pattern: that of the feed, else 0 or 1 as told apart here, -1 where nothing tells.

    route     (patterns,) route of each
    given     (patterns,) direction_id of the feed, -1 where it has none; never overruled
    start     (patterns + 1,) rows of `stop`, the stops of each pattern in order
    x, y      (stops,) metres
    place     (stops,) equal for stops of one station or name, -1 for a stop with neither
    stop_ids  tell the two ways of a route apart: 0 is the one whose busiest pattern begins at the lesser id
    runs      (patterns,) how busy each is

    Deterministic; exchanging patterns of a route exchanges their answers and nothing else, ties apart.
    """
    out = given.astype(np.int8)
    order = np.argsort(route, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(route[order])) + 1):
        if len(members) > 1 and (given[members] < 0).any():
            calls = [stop[start[p] : start[p + 1]] for p in members.tolist()]
            out[members] = _of_route(given[members], calls, x, y, place, stop_ids, runs[members])
    return out


def _of_route(
    given: Array, calls: list[Array], x: Array, y: Array, place: Array, stop_ids: Sequence[str], runs: Array
) -> Array:
    stops = np.unique(np.concatenate(calls))
    gap = np.hypot(x[stops][:, None] - x[stops], y[stops][:, None] - y[stops])
    named = (place[stops][:, None] == place[stops]) & (place[stops] >= 0)
    apart = np.where((gap <= NEAR_M) | (named & (gap <= NAMED_M)), gap, np.inf)
    rows = [np.searchsorted(stops, c) for c in calls]
    weight = _agreement(rows, apart) + HINT * _bearing(calls, x, y)
    root, side = _sides(weight, given, np.array([_again(apart[np.ix_(r, r)]) for r in rows]))
    out = given.astype(np.int8)
    for r in np.unique(root).tolist():
        group = np.flatnonzero(root == r)
        told = group[given[group] >= 0]
        if len(told):
            flip = int(given[told[0]]) ^ int(side[told[0]])
        elif len(np.unique(side[group])) == 2:
            busiest = [min(group[side[group] == s].tolist(), key=lambda p: (-runs[p], p)) for s in (0, 1)]
            ends = [(stop_ids[calls[p][0]], stop_ids[calls[p][-1]], p) for p in busiest]
            flip = int(ends[1] < ends[0])
        else:
            continue
        unsaid = group[given[group] < 0]
        out[unsaid] = side[unsaid] ^ flip
    return out


def _sides(weight: Array, given: Array, again: Array) -> tuple[Array, Array]:
    """Sets of patterns that are related, and the side (0, 1) of each in its set.

    weight  (n, n) symmetric: positive for the same way, negative for opposite ways, 0 unrelated
    given   (n,) what is known before, -1 unknown
    again   (n,) how much of a pattern goes both ways and so agrees with either: the more, the later it is joined

    Sets are joined two by two, those whose patterns agree or disagree most in sum first, of equals the first ones.
    """
    n = len(given)
    between = np.array(weight, dtype=np.float64)
    np.fill_diagonal(between, 0.0)
    root, side = np.arange(n), np.zeros(n, dtype=np.int64)

    def join(a: int, b: int, differ: bool) -> None:
        if differ:
            between[b] *= -1
            between[:, b] *= -1
            side[root == b] ^= 1
        between[a] += between[b]
        between[:, a] += between[:, b]
        between[a, a] = between[b] = between[:, b] = 0.0
        root[root == b] = a

    told = np.flatnonzero(given >= 0).tolist()
    for p in told[1:]:
        join(told[0], p, bool(given[p] != given[told[0]]))
    for limit in AGAIN:
        among = (again <= limit) | (given >= 0)
        ready = among[:, None] & among
        while n > 1:
            sure = np.where(ready, np.round(np.abs(between), 9), 0.0)  # rounded: sums in another order tie as well
            a, b = sorted(divmod(int(np.argmax(sure)), n))
            if sure[a, b] < HINT * STRAIGHT:
                break
            join(a, b, bool(between[a, b] < 0))
    return root, side


def _again(apart: Array) -> float:
    """Share of a pattern's stops at whose place it comes by again; 1 where it ends where it begins.

    apart  metres between its stops where they are one place, else infinite
    """
    i = np.arange(len(apart))
    again = np.isfinite(apart) & (np.abs(i[:, None] - i) > 1)
    return 1.0 if np.isfinite(apart[0, -1]) else float(again.any(axis=1).mean())


def _agreement(rows: list[Array], apart: Array) -> Array:
    """For each two patterns: steps between shared stops and places in the same order, less those in the reverse.

    rows   the stops of each pattern as rows of `apart`, in order
    apart  metres between two stops of one place, infinite for others
    """
    every = np.concatenate(rows)
    begin = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    pattern = np.repeat(np.arange(len(rows)), np.diff(begin))
    out = np.zeros((len(rows), len(rows)), dtype=np.int64)
    for p, mine in enumerate(rows):
        between = apart[np.ix_(mine, every)]
        nearest = np.minimum.reduceat(between, begin[:-1], axis=1)[:, pattern]
        near = np.isfinite(between) & (between <= nearest + NEARLY_M)
        same = mine[:, None] == every
        out[p] = _in_order(near, pattern, len(rows)) + _in_order(same, pattern, len(rows))
    out = out + out.T
    most = np.minimum(np.diag(out)[:, None], np.diag(out))
    return np.where(np.abs(out) >= VAGUE * most, out, 0)


def _in_order(shared: Array, pattern: Array, n: int) -> Array:
    """By pattern (n): steps forward less steps back in its columns, from each row with a mark to the next such row.

    A place that stands in several columns is taken where the step is shortest; out and back at once is neither.
    """
    column, row = np.nonzero(shared.T)
    order = np.lexsort((column, row, pattern[column]))
    column, row = column[order], row[order]
    fresh = np.flatnonzero(np.r_[True, (np.diff(row) != 0) | (np.diff(pattern[column]) != 0)][: len(row)])
    size = np.diff(np.r_[fresh, len(row)])
    whose = pattern[column[fresh]]
    goes_on = np.flatnonzero(whose[1:] == whose[:-1])  # a row of the pattern, and one after it
    if not len(goes_on):
        return np.zeros(n, dtype=np.int64)
    # every mark of the one row with every mark of the next
    pairs = size[goes_on] * size[goes_on + 1]
    of = np.repeat(np.arange(len(goes_on)), pairs)
    k = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    left, right = np.divmod(k, size[goes_on + 1][of])
    step = column[fresh[goes_on + 1][of] + right] - column[fresh[goes_on][of] + left]
    begin = np.cumsum(pairs) - pairs
    least = np.minimum.reduceat(np.abs(step), begin)[of]
    ahead = np.maximum.reduceat(step == least, begin)
    back = np.maximum.reduceat(step == -least, begin)
    out: Array = np.bincount(whose[goes_on], ahead.astype(int) - back.astype(int), n).astype(np.int64)
    return out


def _bearing(calls: list[Array], x: Array, y: Array) -> Array:
    """For each two patterns the cosine between the lines from their first stop to their last; 0 where that is vague."""
    first, last = np.array([c[0] for c in calls]), np.array([c[-1] for c in calls])
    east, north = x[last] - x[first], y[last] - y[first]
    length = np.hypot(east, north)
    leads = length > NEAR_M
    east, north = np.where(leads, east, 0.0), np.where(leads, north, 0.0)
    length = np.where(leads, length, 1.0)
    cosine: Array = (east[:, None] * east + north[:, None] * north) / (length[:, None] * length)
    return np.where(np.abs(cosine) >= STRAIGHT, np.round(cosine, 6), 0.0)
