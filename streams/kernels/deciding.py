"""What is said of a beam: a route and direction that is likely enough, else a route alone, else what may be."""

import numpy as np

from streams.jit import inner, lean
from streams.kernels.matching import (
    AT_BASE,
    DEADHEAD,
    DIST,
    H_PATTERN,
    H_PHASE,
    IN_SERVICE,
    LASTED,
    LAYOVER,
    OFF_ROUTE,
    ONE_PLACE_M,
    RUN_D,
    RUN_PATTERN,
    SPEED_ALONG,
    N,
)
from streams.kernels.tables import (
    PATTERN_DIRECTION,
    PATTERN_ROUTE_DIR_IX,
    PATTERN_ROUTE_IX,
)

HELD = 0.4  # what a run drives is said as long as it has this weight: less than it takes to say it at first
KEEP_PATTERN = 0.1  # a run stays on its pattern while that is no less likely than this beside another of its way
SURE = 0.95  # what has this weight holds for the positions since it began too, whatever was said of them

# what is published of a beam
(
    P_PHASE, P_PATTERN, P_ROUTE, P_DIRECTION, P_OFF, P_CANDIDATES, P_DIST, P_OFFSET, P_PROBABILITY, P_SPEED, P_LASTED,
) = range(11)  # fmt: skip
UNDECIDED = -1


@inner
def _likeliest_route(ranks, work):
    """The route whose ways, of work.rank[:ranks], together have the most weight; and that weight."""
    best, best_mass = -1, 0.0
    for j in range(ranks):
        mass = 0.0
        for i in range(ranks):
            if work.rank[i, 2] == work.rank[j, 2]:
                mass += work.rank[i, 1]
        if mass > best_mass:
            best, best_mass = int(work.rank[j, 2]), mass
    return best, best_mass


@inner
def _lasted(fi, h, phase, pattern):
    """For how many seconds the likeliest hypothesis of a phase and pattern has lasted; NaN where there is none."""
    for k in range(fi[N]):
        if h[k, H_PHASE] == phase and h[k, H_PATTERN] == pattern:
            return np.float64(h[k, LASTED])
    return np.nan


@lean
def decide(state, s, tables, prm, said, work):
    """What a beam says: phase, route, direction, pattern and place where one is likely enough, else the route alone.

    Call it after `match` with the same room to work in: `work.kept` holds the weights.

    said  f8 (11,), written: phase (UNDECIDED if none has half of the weight), pattern, route, direction (-1), whether
          it is off its route, how many candidates (route and direction) stand in work.rank, likeliest first; metres
          along (NaN unless on route), offset, probability of what is said, speed along the pattern; since how many
          seconds it is off its route, a deadhead or at base (NaN unless it surely is)
    """
    fi, h = state.fi[s], state.h[s]
    said[P_PHASE] = UNDECIDED
    said[P_PATTERN] = said[P_ROUTE] = said[P_DIRECTION] = -1
    said[P_OFF] = said[P_CANDIDATES] = 0
    said[P_DIST] = said[P_OFFSET] = said[P_SPEED] = said[P_LASTED] = np.nan
    service, layover, dead, base = 0.0, 0.0, 0.0, 0.0
    ranks = 0
    for k in range(fi[N]):
        phase, mass = h[k, H_PHASE], work.kept[k, 0]
        if phase in (IN_SERVICE, OFF_ROUTE):
            service += mass
        elif phase == LAYOVER:
            layover += mass
        elif phase == DEADHEAD:
            dead += mass
        else:
            base += mass
    phase, mass = IN_SERVICE, service
    if layover > mass:
        phase, mass = LAYOVER, layover
    if dead > mass:
        phase, mass = DEADHEAD, dead
    if base > mass:
        phase, mass = AT_BASE, base
    said[P_PROBABILITY] = mass
    if mass >= 0.5:
        said[P_PHASE] = phase
    if phase in (DEADHEAD, AT_BASE):
        if mass >= SURE:
            said[P_LASTED] = _lasted(fi, h, phase, -1)
        return
    # by route and direction, within the phase
    for k in range(fi[N]):
        own = h[k, H_PHASE]
        if phase == LAYOVER:
            if own != LAYOVER:
                continue
        elif own != IN_SERVICE and own != OFF_ROUTE:
            continue
        route_dir = tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + int(h[k, H_PATTERN])]
        j = 0
        while j < ranks and work.rank[j, 0] != route_dir:
            j += 1
        if j == ranks:
            work.rank[j, 0] = route_dir
            work.rank[j, 1] = 0.0
            work.rank[j, 2] = tables.i[tables.at[PATTERN_ROUTE_IX] + int(h[k, H_PATTERN])]
            ranks += 1
        work.rank[j, 1] += work.kept[k, 0]
    for i in range(1, ranks):
        j = i
        while j > 0 and work.rank[j - 1, 1] < work.rank[j, 1]:
            for c in range(3):
                keep = work.rank[j, c]
                work.rank[j, c] = work.rank[j - 1, c]
                work.rank[j - 1, c] = keep
            j -= 1
    run = fi[RUN_PATTERN]
    best = work.rank[0, 0]
    held = run >= 0 and tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + run] == best
    if work.rank[0, 1] < (HELD if held else prm.match_threshold):
        said[P_CANDIDATES] = ranks
        route, mass = _likeliest_route(ranks, work)
        held = run >= 0 and tables.i[tables.at[PATTERN_ROUTE_IX] + run] == route
        if mass >= (HELD if held else prm.match_threshold):
            said[P_ROUTE], said[P_PROBABILITY] = route, mass
        if phase == IN_SERVICE:
            off = 0.0
            for k in range(fi[N]):
                if h[k, H_PHASE] == OFF_ROUTE:
                    off += work.kept[k, 0]
            said[P_OFF] = 1 if off > 0.5 * service else 0
        return
    # the pattern: the run's own as long as it is not much the worse one
    p_best, p_mass, run_mass = -1, 0.0, 0.0
    for k in range(fi[N]):
        p, own = int(h[k, H_PATTERN]), h[k, H_PHASE]
        if p < 0 or tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + p] != best:
            continue
        if (own == LAYOVER) != (phase == LAYOVER):
            continue
        mass = 0.0
        for j in range(fi[N]):
            if h[j, H_PATTERN] == p and (h[j, H_PHASE] == LAYOVER) == (phase == LAYOVER):
                mass += work.kept[j, 0]
        if p == run:
            run_mass = mass
        if mass > p_mass:
            p_best, p_mass = p, mass
    if phase != LAYOVER and run_mass > KEEP_PATTERN * p_mass:
        p_best = run
    said[P_PATTERN] = p_best
    said[P_ROUTE] = tables.i[tables.at[PATTERN_ROUTE_IX] + p_best]
    said[P_DIRECTION] = tables.i[tables.at[PATTERN_DIRECTION] + p_best]
    said[P_PROBABILITY] = work.rank[0, 1]
    if phase == LAYOVER:
        return
    on, off = 0.0, 0.0
    at, held_at = -1, -1
    for k in range(fi[N]):
        if h[k, H_PATTERN] != p_best:
            continue
        if h[k, H_PHASE] == IN_SERVICE:
            on += work.kept[k, 0]
            if at < 0:
                at = k
            if held_at < 0 and p_best == run and abs(h[k, DIST] - state.ff[s, RUN_D]) <= ONE_PLACE_M:
                held_at = k
        elif h[k, H_PHASE] == OFF_ROUTE:
            off += work.kept[k, 0]
    if off > on or at < 0:
        said[P_OFF] = 1
        if off >= SURE * (on + off):
            said[P_LASTED] = _lasted(fi, h, OFF_ROUTE, p_best)
        return
    # A street may be driven twice by one pattern: a run goes on where it was as long as that is likely enough, and none
    # begins before it is known where.
    for choice in (held_at, at):
        if choice < 0:
            continue
        here = 0.0
        for k in range(fi[N]):
            if (
                h[k, H_PATTERN] == p_best
                and h[k, H_PHASE] == IN_SERVICE
                and abs(h[k, DIST] - h[choice, DIST]) <= ONE_PLACE_M
            ):
                here += work.kept[k, 0]
        if here >= (HELD if choice == held_at else prm.match_threshold) * on:
            said[P_DIST] = h[choice, DIST]
            said[P_OFFSET] = work.kept[choice, 1]
            said[P_SPEED] = h[choice, SPEED_ALONG]
            return
