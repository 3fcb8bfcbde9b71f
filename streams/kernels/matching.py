"""The beam: what a vehicle may be doing, and how likely each of it is after one more ping.

A hypothesis is (pattern, metres along it, phase) with a log-weight; a vehicle holds at most MAX_BEAM of them,
normalised, heaviest first. One ping moves each hypothesis on, weighs it by offset and heading, lets phases
lead to one another at their rates, and now and then adds what passes near the place (`candidates`). Phases
compete by density: what a fix costs a hypothesis on a shape in the mean, it costs those off the shapes too, and
more. GPS error is correlated, so that a fix counts by the time since the last one over about twice the error's
correlation time. After Newson & Krumm (2009), online as in Goh et al. (2012); the phases are those of MTA Bus Time.

No random numbers; ties are settled by the order of the hypotheses.
"""

from typing import NamedTuple

import numpy as np

from streams.jit import inner, lean
from streams.kernels.candidates import MAX_CANDIDATES, near_shapes, nearest_shapes
from streams.kernels.geometry import snap_window
from streams.kernels.tables import (
    BUCKET_S,
    GRID,
    LOOSE,
    PATTERN_DIRECTION,
    PATTERN_END_M,
    PATTERN_FIRST,
    PATTERN_LAST,
    PATTERN_LENGTH_M,
    PATTERN_NEXT_IX,
    PATTERN_ROUTE_DIR_IX,
    PATTERN_ROUTE_IX,
    PATTERN_WAIT,
    PSTOP_DIST_M,
    PSTOP_START,
    ROUTE_PATTERN_IX,
    ROUTE_PATTERN_START,
    SHAPE_PATTERN_IX,
    SHAPE_PATTERN_START,
    Array,
)
from streams.kernels.trips import due_log

MAX_BEAM = 16
WORK = 1024

# phases
IN_SERVICE, LAYOVER, DEADHEAD, OFF_ROUTE, AT_BASE = 0, 1, 2, 3, 4

# what became of a fix
USED, IMPOSSIBLE_SPEED, FROZEN = 0, 1, 2

# columns of State.ff
(
    T,  # time of the last used fix
    X,
    Y,
    ANCHOR_T,  # where it was when the heading was last known from moving
    ANCHOR_X,
    ANCHOR_Y,
    HEADING_T,
    GATE_T,  # the last fix that was too far away, NaN: none
    GATE_X,
    GATE_Y,
    FROZEN_T,  # since when the coordinates are the same although it reports speed, NaN
    INJECT_T,
    BASE_T,  # since when it has stayed within 50 m
    BASE_X,
    BASE_Y,
    SPEED,  # as observed, m/s
    RUN_D,  # the run: metres along, not decreasing
    RUN_T,  # time of that
    RUN_V,  # running speed before the last step, m/s
    RUN_START,  # first departure, seconds of the service day
    BEFORE_D,  # the step before the last one began here
    BEFORE_T,
    STAND_T,  # since when it stands, NaN while it moves
    VISIT_ARRIVAL,  # at the last stop gate passed
    VISIT_DEPARTURE,  # NaN while it stands there
    VISIT_DETERMINED,  # timestamp of the ping that last changed them
    CELL_D,  # where and when the run entered the directed cell
    CELL_T,
    CELL_DWELL,  # seconds stood at stops in it
    PASSED,  # latest time told of a gate of this run: no later gate may be earlier
    IDLE_T,  # when it was last said to wait, to run empty, to be off its route or at the depot
    VOIDED_T,  # when passings were last found to be another run's
) = range(32)
NF = 32

# columns of State.fi
(
    N,  # hypotheses
    STANDING,
    ROUTE,  # as reported last
    DIRECTION,
    PATTERN,
    LAST_ROUTE,  # of the last run: remembered over gaps
    RUN_PATTERN,  # -1: not on a run
    RUN_DAY,
    RUN_N,  # number of the run on that day; kept after the run
    RUN_TRIP,
    RUN_OFF,  # 1: off its route, 2: lost for longer than gap_s
    NEXT_GATE,  # first gate not passed
    VISIT_GATE,  # last stop gate passed, -1
    SPAN,  # the directed cell it is in
    LAST_TRIP,  # scheduled trip of the last run, -1
    LAST_DAY,  # latest service day of any run: RUN_N counts from 1 on it
    WAITED,  # 1: in layover since the last run
    SPEAKS,  # 1: it has reported a route
    RUN_GATE,  # first gate of the run that was told
    VOIDS,  # how often passings were found to be another run's
    VOID,  # of the last two times: day and number of the run, its pattern, and the gates from .. up to
) = range(21)
VOID_WIDTH, VOIDS_KEPT = 5, 2
NI = VOID + VOID_WIDTH * VOIDS_KEPT

# columns of State.h and of Work.h (pattern and phase are whole numbers)
(
    H_PATTERN,
    H_PHASE,
    DIST,
    LOG,
    SPEED_ALONG,  # m/s; of a hypothesis off its route the metres driven since it left
    SEGMENT,
    BIAS,  # metres along by which the last fix was wrong, as far as is known: of a hypothesis in service
) = range(7)
LASTED = (
    BIAS  # of one off its route, to the depot or there the seconds since that began; of two that merge the likelier's
)
NH = 7
OFFSET = 7  # of Work.h alone


class State(NamedTuple):
    """Filter states, one per row; a vehicle owns several rows (tracking.py)."""

    ff: Array  # f8 (n, NF)
    fi: Array  # i4 (n, NI)
    h: Array  # f4 (n, MAX_BEAM, NH), the hypotheses


class Work(NamedTuple):
    """Room for one step; what it holds before a call does not matter."""

    h: Array  # f8 (WORK, NH + 1), hypotheses in the making
    order: Array  # i4 (WORK,)
    near: Array  # f8 (MAX_CANDIDATES, 4), see candidates.near_shapes
    rank: Array  # f8 (MAX_BEAM + 4, 3), route_dirs, their weight and route
    kept: Array  # f8 (MAX_BEAM, 2), weight and offset of the state's hypotheses after a step


def work() -> Work:
    """Fresh room for one step."""
    return Work(
        np.zeros((WORK, NH + 1)),
        np.zeros(WORK, np.int32),
        np.zeros((MAX_CANDIDATES, 4)),
        np.zeros((MAX_BEAM + 4, 3)),
        np.zeros((MAX_BEAM, 2)),
    )


LAYOVER_M = 120.0  # a vehicle waits within this of a terminal
STOOD_S = 10.0  # between fixes this far apart a vehicle may have come from afar and stand
LOITER_LOG = 5.0  # standing long says at most so much against being in service (and one less)
AT_STOP_M = 40.0  # a vehicle that comes to stand this near to a stop probably stands at it
BASE_S = 300.0  # out of service in one place for longer than this is at base
PARK_S = 60.0  # and it is that after so much more
RETIRE_M = 1000.0  # runs to the depot begin at terminals: so far along, leaving the route is rather a detour (log, 1)
FAR_M = 300.0  # detours go around a block or two: every so many metres beyond that speak against one
IDLE_S = 30.0  # a vehicle that serves no stops, off its route or without one, seldom stands for longer
CREEP_MPS = 5.0  # a vehicle moves about at a terminal no faster, between its last stop and the bay say
SILENCE = 0.3  # odds of being in service still, of a vehicle that no longer reports its route
MOVING = 3.0  # service begins where a vehicle stands, at a terminal, so much sooner than where it drives by
PHASE_DEPTH = 14.0  # the best hypothesis of a phase is kept unless it is this much less likely (log) than the best one
START_M = 250.0  # one that stands no farther along than this may not have begun its run
TERMINAL_M = 60.0  # the run is at its end this far before the last stop
REJOIN_M = 3000.0  # a detour comes back within this; who has driven so far beside it has given it up (Weibull, shape 4)
SWERVE_LOG = -3.0  # leaving the street sideways speaks at most so much against being on it
LIKELY_M = 40.0  # a vehicle is looked for this much farther along than half again its speed would take it
ONE_PLACE_M = 150.0  # hypotheses of a pattern this near to each other are one place on it
EXPECTED_OFFSET = -0.5  # what a good fix costs on a shape in the mean


@inner
def _length(x, y):
    """np.hypot without its care for numbers that overflow and for the last bit."""
    return np.sqrt(x * x + y * y)


@lean
def offset_log(offset_m, sigma_m):
    """Log-density (up to a constant) of an offset from the shape: Student's t with 4 degrees of freedom."""
    z = offset_m / sigma_m
    return -2.5 * np.log(1.0 + 0.25 * z * z)


@lean
def heading_log(way, east, north, kappa):
    """Log-density (up to a constant) of a heading: von Mises around the shape's direction, 2 % anything."""
    if way[0] == 0.0 and way[1] == 0.0:
        return 0.0
    return np.log(0.98 * np.exp(kappa * (way[0] * east + way[1] * north - 1.0)) + 0.02)


@inner
def _sigma(tables, segment, prm):
    """GPS error and how far the street may be from the line that stands for it, as one standard deviation."""
    loose = tables.segments[segment, LOOSE]
    return prm.sigma_m if loose == 0.0 else np.sqrt(prm.sigma_m * prm.sigma_m + loose * loose)


@inner
def _fix_log(tables, segment, offset_m, heading, east, north, weigh_offset, weigh_heading, prm):
    """Log-density of a fix beside a segment of a shape, and, if it is known, of the vehicle's heading there."""
    sigma, kappa, spread = prm.sigma_m, prm.heading_kappa, 0.0
    if tables.segments[segment, LOOSE] > 0.0:
        sigma = _sigma(tables, segment, prm)
        kappa *= prm.sigma_m / sigma
        spread = np.log(prm.sigma_m / sigma)
        # A line is as far from its street all along: the next fix says the same again.
        weigh_offset *= prm.sigma_m / sigma
    # Far out it is no error of GPS any more.
    outlying = 1.0 + min(6.0, max(0.0, offset_m / sigma - 3.0))
    out = weigh_offset * (outlying * offset_log(offset_m, sigma) + spread)
    if heading:
        out += weigh_heading * heading_log(tables.segments[segment], east, north, kappa)
    return out


@lean
def report_log(p, route, direction, pattern, tables, stale):
    """How well a pattern (-1: none) agrees with the reported route, direction and trip's pattern (-1: not said)."""
    if route < 0:
        return 0.0
    if p < 0:
        return np.log(0.15)
    if tables.i[tables.at[PATTERN_ROUTE_IX] + p] != route:
        return np.log(stale)
    if (
        direction >= 0
        and tables.i[tables.at[PATTERN_DIRECTION] + p] >= 0
        and tables.i[tables.at[PATTERN_DIRECTION] + p] != direction
    ):
        return np.log(0.1)  # so the trip's pattern is another one, too
    return np.log(0.2) if pattern >= 0 and p != pattern else 0.0


@lean
def swerve_log(way, offset_m, x, y, spread_m):
    """What it costs a vehicle beside a street, by how far it came sideways (x, y: since the last fix), to be on it.

    GPS error drifts, it does not drive: far beside the street and on its way there, that is the vehicle itself. One fix
    may have jumped, so it says SWERVE_LOG at the most.
    """
    sideways = min(offset_m, np.abs(x * way[1] - y * way[0])) / spread_m
    return 0.0 if sideways < 2.0 else max(SWERVE_LOG, 2.0 - sideways)


@inner
def _drift_m(dt, moved, prm):
    """How far GPS error drifts in this time; and the longer the way, the less is the street's direction known."""
    return np.hypot(prm.sigma_m * np.sqrt(2.0 - 2.0 * np.exp(-2.0 * dt / prm.offset_tempering_s)), 0.1 * moved)


@inner
def _go_on(work, n, pattern, phase, dist, speed, log, offset, segment, bias):
    """One hypothesis more, of BIAS or, out of service, LASTED `bias`; how many there are now."""
    if n >= WORK or not log > -60.0:
        return n
    h = work.h[n]
    h[H_PATTERN], h[H_PHASE], h[DIST] = pattern, phase, dist
    h[LOG], h[SPEED_ALONG], h[OFFSET], h[SEGMENT] = log, speed, offset, segment
    h[BIAS] = bias
    return n + 1


@inner
def _push(work, n, pattern, phase, dist, speed, log, offset, segment):
    """The same of a new hypothesis, of which neither is known."""
    return _go_on(work, n, pattern, phase, dist, speed, log, offset, segment, 0.0)


@inner
def _to_stop(tables, p, dist):
    """Metres from `dist` to the pattern's nearest stop, 0 if that is farther than AT_STOP_M."""
    first, end = tables.i[tables.at[PSTOP_START] + p], tables.i[tables.at[PSTOP_START] + p + 1]
    at = tables.at[PSTOP_DIST_M]
    lo, hi = first, end
    while lo < hi:
        middle = (lo + hi) >> 1
        if tables.f[at + middle] < dist:
            lo = middle + 1
        else:
            hi = middle
    way = np.inf
    if lo < end:
        way = tables.f[at + lo] - dist
    if lo > first and dist - tables.f[at + lo - 1] < way:
        way = tables.f[at + lo - 1] - dist
    return way if np.abs(way) <= AT_STOP_M else 0.0


@inner
def _wait_distance(tables, p, dist, x, y):
    if dist > 0.0:
        last = tables.i[tables.at[PATTERN_LAST] + p]
        return _length(x - tables.points[last, 0], y - tables.points[last, 1])
    at = tables.at[PATTERN_WAIT] + 4 * p
    d = _length(x - tables.f[at], y - tables.f[at + 1])
    e = _length(x - tables.f[at + 2], y - tables.f[at + 3])
    return e if e < d else d  # NaN loses


@inner
def _bucket(times, t):
    b = int(np.floor(t / BUCKET_S))
    lo, hi = 0, len(times.bucket) - 1
    while lo < hi:
        mid = (lo + hi) >> 1
        if times.bucket[mid] < b:
            lo = mid + 1
        else:
            hi = mid
    return lo


@inner
def _birth_log(p, bucket, fi, recall, tables, prm, times):
    """How many vehicles are expected on a pattern now, and how well it agrees with the report (log)."""
    out = times.log_prior[bucket, p] + report_log(p, fi[ROUTE], fi[DIRECTION], fi[PATTERN], tables, prm.stale)
    if recall and tables.i[tables.at[PATTERN_ROUTE_IX] + p] == fi[LAST_ROUTE]:
        out += np.log(5.0)
    return out


@inner
def _inject(n, fi, t, x, y, heading, east, north, obs_speed, born_speed, share, first, tables, prm, times, work):
    """Add what passes near (x, y) and, to a slow vehicle, the terminals around, as the timetable and the report expect.

    heading     whether (east, north), the vehicle's direction as a unit vector, is known
    born_speed  of new hypotheses, NaN: unknown
    share       of the whole weight that they get
    first       nothing is known of the vehicle but the route of its last run: widen the search until something is found

    Returns the new number of hypotheses at work.
    """
    if first:
        found = nearest_shapes(tables, x, y, work.near)
    else:
        found = near_shapes(tables, x, y, tables.f[tables.at[GRID] + 2], 1, work.near)
    bucket = _bucket(times, t)
    route = fi[ROUTE]
    start = n
    total = 0.0
    reported_found = False
    for k in range(found):
        shape, segment = int(work.near[k, 0]), int(work.near[k, 3])
        for j in range(
            tables.i[tables.at[SHAPE_PATTERN_START] + shape], tables.i[tables.at[SHAPE_PATTERN_START] + shape + 1]
        ):
            p = tables.i[tables.at[SHAPE_PATTERN_IX] + j]
            prior = _birth_log(p, bucket, fi, first, tables, prm, times)
            prior += due_log(tables, times, p, t, work.near[k, 1], times.log_prior[bucket, p])
            reported_found = reported_found or tables.i[tables.at[PATTERN_ROUTE_IX] + p] == route
            total += np.exp(prior)
            log = prior + _fix_log(tables, segment, work.near[k, 2], heading, east, north, 1.0, 1.0, prm)
            n = _push(work, n, p, IN_SERVICE, work.near[k, 1], born_speed, log, work.near[k, 2], segment)
    if route >= 0 and (first or not reported_found):
        # A shape drawn from stop to stop may be far from the street, the one of the other direction even farther: look
        # along every pattern of the reported route itself.
        near = n
        for j in range(
            tables.i[tables.at[ROUTE_PATTERN_START] + route], tables.i[tables.at[ROUTE_PATTERN_START] + route + 1]
        ):
            p = tables.i[tables.at[ROUTE_PATTERN_IX] + j]
            known = False
            for i in range(start, near):
                known = known or work.h[i, H_PATTERN] == p
            if known:
                continue
            dist, offset, segment = snap_window(
                tables.points, tables.i[tables.at[PATTERN_FIRST] + p], tables.i[tables.at[PATTERN_LAST] + p],
                0.0, tables.f[tables.at[PATTERN_LENGTH_M] + p], x, y, 0,
            )  # fmt: skip
            if offset > 400.0:
                continue
            prior = _birth_log(p, bucket, fi, first, tables, prm, times)
            prior += due_log(tables, times, p, t, dist, times.log_prior[bucket, p])
            total += np.exp(prior)
            log = prior + _fix_log(tables, segment, offset, heading, east, north, 1.0, 1.0, prm)
            n = _push(work, n, p, IN_SERVICE, dist, born_speed, log, offset, segment)
    if obs_speed < 3.0:
        # All that wait are at the terminals, those in service are spread along the routes.
        odds = np.log(prm.waiting_odds) if obs_speed < 1.0 else 0.0
        reach = LAYOVER_M + 100.0
        places = tables.at[PATTERN_WAIT]
        for p in range(times.log_prior.shape[1]):
            at = places + 4 * p
            if not (
                (abs(x - tables.f[at]) < reach and abs(y - tables.f[at + 1]) < reach)
                or (abs(x - tables.f[at + 2]) < reach and abs(y - tables.f[at + 3]) < reach)
            ):
                continue
            away = max(0.0, _wait_distance(tables, p, 0.0, x, y) - LAYOVER_M)
            if away < 100.0:
                prior = odds + _birth_log(p, bucket, fi, first, tables, prm, times)
                total += np.exp(prior)
                log = prior + EXPECTED_OFFSET + offset_log(away, prm.sigma_m)
                n = _push(work, n, p, LAYOVER, 0.0, 0.0, log, away, 0)
    if total > 0.0:
        norm = np.log(share) - np.log(total)
        for i in range(start, n):
            work.h[i, LOG] += norm
    return n


@inner
def _settle(n, ff, fi, h, prm, work):
    """Merge what is the same, keep the heaviest, normalise; writes them to the state, heaviest first."""
    order = work.order
    top = -np.inf
    for i in range(n):
        top = max(top, work.h[i, LOG])
    count = 0
    for i in range(n):  # insertion sort, heaviest first; equal ones keep their order
        if not work.h[i, LOG] > top - 16.0:
            continue
        j = count
        while j > 0 and work.h[order[j - 1], LOG] < work.h[i, LOG]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
        count += 1
    kept = 0
    limit = min(MAX_BEAM, prm.beam_known if fi[ROUTE] >= 0 else prm.beam)
    for a in range(count):
        i = order[a]
        twin = -1
        for b in range(kept):
            if (
                h[b, H_PATTERN] == work.h[i, H_PATTERN]
                and h[b, H_PHASE] == work.h[i, H_PHASE]
                and abs(h[b, DIST] - work.h[i, DIST]) <= prm.merge_m
            ):
                twin = b
                break
        if twin >= 0:
            h[twin, LOG] = np.logaddexp(np.float64(h[twin, LOG]), work.h[i, LOG])
        elif kept < limit:
            for c in range(NH):
                h[kept, c] = work.h[i, c]
            work.kept[kept, 1] = work.h[i, OFFSET]
            kept += 1
    # Summing twins may have changed the order a little.
    for i in range(1, kept):
        j = i
        while j > 0 and h[j - 1, LOG] < h[j, LOG]:
            for c in range(NH):
                keep = h[j, c]
                h[j, c] = h[j - 1, c]
                h[j - 1, c] = keep
            offset = work.kept[j, 1]
            work.kept[j, 1] = work.kept[j - 1, 1]
            work.kept[j - 1, 1] = offset
            j -= 1
    # A beam that is sure keeps little beside what it is sure of; but the best of every phase stays, else what a vehicle
    # turns to (a detour, the depot) would be dropped as soon as it is born, before anything can speak for it.
    total = 0.0
    for i in range(kept):
        work.kept[i, 0] = np.exp(np.float64(h[i, LOG]) - h[0, LOG])
        total += work.kept[i, 0]
    depth = prm.depth_sure if total < 1.01 else prm.depth
    many, kept, phases, total = kept, 0, 0, 0.0
    for i in range(many):
        phase = 1 << int(h[i, H_PHASE])
        if h[i, LOG] < h[0, LOG] - (depth if phases & phase else PHASE_DEPTH):
            continue
        phases |= phase
        if kept < i:
            for c in range(NH):
                h[kept, c] = h[i, c]
            work.kept[kept, 0], work.kept[kept, 1] = work.kept[i, 0], work.kept[i, 1]
        total += work.kept[kept, 0]
        kept += 1
    norm = h[0, LOG] + np.log(total)
    for i in range(kept):
        h[i, LOG] -= norm
        work.kept[i, 0] /= total
    fi[N] = kept


@inner
def _begin(ff, fi, h, t, x, y, bearing_deg, speed_mps, tables, prm, times, work):
    """Start the beam at a first fix, or anew after a long silence or a jump."""
    if fi[ROUTE] >= 0:
        fi[SPEAKS] = 1
    heading = bearing_deg == bearing_deg and not speed_mps < 1.0
    east, north = 0.0, 0.0
    if heading:
        east, north = np.sin(np.radians(bearing_deg)), np.cos(np.radians(bearing_deg))
    speed = speed_mps if speed_mps == speed_mps else 0.0
    n = _push(
        work, 0, -1, DEADHEAD, 0.0, 0.0,
        np.log(0.1) + prm.off_network + report_log(-1, fi[ROUTE], -1, -1, tables, prm.stale)
        + (prm.off_heading if heading else 0.0), np.nan, 0,
    )  # fmt: skip
    n = _inject(n, fi, t, x, y, heading, east, north, speed, speed_mps, 0.9, True, tables, prm, times, work)
    _settle(n, ff, fi, h, prm, work)
    ff[T], ff[X], ff[Y] = t, x, y
    ff[ANCHOR_T], ff[ANCHOR_X], ff[ANCHOR_Y] = t, x, y
    ff[HEADING_T] = t
    ff[GATE_T] = np.nan
    ff[FROZEN_T] = np.nan
    ff[INJECT_T] = t
    ff[BASE_T], ff[BASE_X], ff[BASE_Y] = t, x, y
    ff[SPEED] = speed
    fi[STANDING] = 1 if speed_mps < prm.stand_mps else 0


@inner
def _same_way(fi, h, tables):
    """Weight of all hypotheses, before this step, on the route and direction of the likeliest."""
    p = int(h[0, H_PATTERN])
    if p < 0:
        return 0.0
    way = tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + p]
    total = 0.0
    for k in range(fi[N]):
        q = int(h[k, H_PATTERN])
        if q >= 0 and tables.i[tables.at[PATTERN_ROUTE_DIR_IX] + q] == way:
            total += np.exp(np.float64(h[k, LOG]))
    return total


@lean
def match(state, s, t, x, y, bearing_deg, speed_mps, route, direction, pattern, tables, prm, times, work):
    """One ping more: filter state `s` moves on to time `t`, later than its last.

    x, y                       metres; bearing_deg and speed_mps NaN if not reported
    route, direction, pattern  as reported (pattern: of the reported trip), -1 if not

    Returns USED, or why the fix was not used; the state then only remembers that it was seen.
    """
    ff, fi, h = state.ff[s], state.fi[s], state.h[s]
    if fi[N] == 0:
        fi[ROUTE], fi[DIRECTION], fi[PATTERN] = route, direction, pattern
        _begin(ff, fi, h, t, x, y, bearing_deg, speed_mps, tables, prm, times, work)
        return USED
    dt = t - ff[T]
    moved = _length(x - ff[X], y - ff[Y])
    if not moved <= prm.gate_speed_mps * dt + prm.gate_m:
        again = _length(x - ff[GATE_X], y - ff[GATE_Y]) <= prm.gate_speed_mps * (t - ff[GATE_T]) + prm.gate_m
        ff[GATE_T], ff[GATE_X], ff[GATE_Y] = t, x, y
        if not again:
            return IMPOSSIBLE_SPEED
        fi[ROUTE], fi[DIRECTION], fi[PATTERN] = route, direction, pattern
        _begin(ff, fi, h, t, x, y, bearing_deg, speed_mps, tables, prm, times, work)
        return USED
    ff[GATE_T] = np.nan
    frozen = moved < 0.2
    if frozen and speed_mps >= 3.0:
        if not ff[FROZEN_T] <= t:
            ff[FROZEN_T] = t
        if t - ff[FROZEN_T] > 30.0:
            return FROZEN
    else:
        ff[FROZEN_T] = np.nan
    if dt > prm.forget_s:
        fi[ROUTE], fi[DIRECTION], fi[PATTERN] = route, direction, pattern
        _begin(ff, fi, h, t, x, y, bearing_deg, speed_mps, tables, prm, times, work)
        return USED

    # --- what this fix says by itself
    away = _length(x - ff[ANCHOR_X], y - ff[ANCHOR_Y])
    since = t - ff[ANCHOR_T]
    reported = speed_mps == speed_mps
    obs_speed = speed_mps if reported else (away / since if since >= 4.0 else ff[SPEED])
    standing = (
        speed_mps < prm.stand_mps if reported else (since >= 10.0 and (away < 15.0 or (dt >= 10.0 and moved < 15.0)))
    )
    # GPS error drifts: the longer it took, the farther a vehicle must have come for that to say which way it drives.
    sure_m = prm.sigma_m * (3.0 - 2.0 * np.exp(-since / 30.0))
    heading = False
    east, north = 0.0, 0.0
    if bearing_deg == bearing_deg and obs_speed > 1.0 and not standing:
        heading = True
        east, north = np.sin(np.radians(bearing_deg)), np.cos(np.radians(bearing_deg))
    elif away >= sure_m and not standing:
        heading = True
        east, north = (x - ff[ANCHOR_X]) / away, (y - ff[ANCHOR_Y]) / away
    if away >= sure_m:
        ff[ANCHOR_T], ff[ANCHOR_X], ff[ANCHOR_Y] = t, x, y
    weigh_offset = min(1.0, dt / prm.offset_tempering_s)
    weigh_heading = 0.0
    if heading:
        weigh_heading = min(1.0, (t - ff[HEADING_T]) / prm.heading_tempering_s)
        ff[HEADING_T] = t
    # A fix that is farther away than it can have driven has jumped, there or back: what it says counts for little.
    fastest = min(prm.max_speed_mps, 2.0 * max(speed_mps, ff[SPEED])) if reported else prm.max_speed_mps
    jumped = moved > fastest * dt + 3.0 * prm.sigma_m
    if frozen or jumped:
        weigh_offset *= 0.1
        weigh_heading *= 0.1
    off_network = weigh_offset * prm.off_network + weigh_heading * prm.off_heading
    if _length(x - ff[BASE_X], y - ff[BASE_Y]) > 50.0:
        ff[BASE_T], ff[BASE_X], ff[BASE_Y] = t, x, y
    # Dwells and red lights end; in a jam there is no layover to win by it.
    loiter = -dt / prm.loiter_s if standing and prm.loiter_s <= t - ff[BASE_T] <= LOITER_LOG * prm.loiter_s else 0.0
    idle = -dt / IDLE_S if standing and IDLE_S <= t - ff[BASE_T] <= LOITER_LOG * IDLE_S else 0.0
    odometer = reported and dt < len(prm.along)
    stops = standing and fi[STANDING] == 0
    stood = standing and (dt < STOOD_S or not stops)  # for all of the step: it has not come here only now
    keep = gain_bias = 0.0
    if odometer:
        row = int(dt)
        keep, gain, gain_bias = (
            prm.along[row, 0],
            prm.along[row, 3 if stood else 1],
            prm.along[row, 4 if stood else 2],
        )
    else:
        gain = 1.0 - np.exp(-dt / prm.gain_s)
        if stood:
            gain *= 0.2
    ease = 0.0 if reported else 1.0 - np.exp(-dt / 15.0)
    drove = moved > 3.0 * prm.sigma_m and not jumped  # farther than GPS error, however slow in the mean

    # --- evidence: once per change of what is reported
    fell_silent = route < 0 and fi[ROUTE] >= 0
    if route != fi[ROUTE] or direction != fi[DIRECTION] or pattern != fi[PATTERN]:
        fi[ROUTE], fi[DIRECTION], fi[PATTERN] = route, direction, pattern
        if route >= 0:
            fi[SPEAKS] = 1
            for k in range(fi[N]):
                h[k, LOG] += report_log(int(h[k, H_PATTERN]), route, direction, pattern, tables, prm.stale)

    # --- each hypothesis moves on
    n = 0
    dead = off = 0.0
    points = tables.points
    for k in range(fi[N]):
        p, phase, near = int(h[k, H_PATTERN]), int(h[k, H_PHASE]), int(h[k, SEGMENT])
        d, log, v = np.float64(h[k, DIST]), np.float64(h[k, LOG]), np.float64(h[k, SPEED_ALONG])
        lasted = np.float64(h[k, LASTED]) + dt
        if phase == IN_SERVICE:
            first, last, length = (
                tables.i[tables.at[PATTERN_FIRST] + p],
                tables.i[tables.at[PATTERN_LAST] + p],
                tables.f[tables.at[PATTERN_LENGTH_M] + p],
            )
            low, high = max(0.0, d - prm.back_m), min(length, d + prm.max_speed_mps * dt + prm.back_m)
            # Where it should be by its speed, and only if it is not there, where it may be at all.
            likely = min(high, d + LIKELY_M + 1.5 * max(v, obs_speed) * dt) if v == v else high
            at, offset, segment = snap_window(points, first, last, low, likely, x, y, near)
            cost = _fix_log(tables, segment, offset, heading, east, north, weigh_offset, weigh_heading, prm)
            if likely < high and (offset > 2.0 * prm.sigma_m or at > likely - 1.0):
                far, beside_m, beyond = snap_window(points, first, last, low, high, x, y, near)
                farther = _fix_log(tables, beyond, beside_m, heading, east, north, weigh_offset, weigh_heading, prm)
                if farther > cost:
                    at, offset, segment, cost = far, beside_m, beyond, farther
            drive = 0.0 if standing else (0.5 * (v + speed_mps) if reported else v)
            ahead = d + drive * dt
            ahead = high if ahead > high else ahead
            # A new hypothesis of unknown speed (NaN) takes its second place as it is.
            bias = 0.0
            new = at
            if abs(at - ahead) <= ONE_PLACE_M:
                if odometer:
                    # A Kalman filter of (place, GPS error); see engine.tables.along_gains.
                    bias = keep * h[k, BIAS]
                    surprise = min(3.0 * prm.sigma_m, max(-3.0 * prm.sigma_m, at - ahead - bias))
                    pull = prm.stop_pull * _to_stop(tables, p, ahead + gain * surprise) if stops else 0.0
                    new = ahead + gain * surprise + pull
                    bias += gain_bias * surprise - pull
                else:
                    new = ahead + gain * (at - ahead)
            new = min(length, max(low, new))
            v_now = max(0.0, (new - d) / dt)
            v = speed_mps if reported else (v + ease * (v_now - v) if v == v else v_now)
            ending = new >= tables.f[tables.at[PATTERN_END_M] + p] - TERMINAL_M
            beside = offset > 2.0 * prm.sigma_m and offset > 2.0 * _sigma(tables, segment, prm)
            if beside and not jumped and not ending:
                street = tables.segments[segment]
                drift = _drift_m(dt, moved, prm) + street[LOOSE]
                cost += swerve_log(street, offset, x - ff[X], y - ff[Y], drift)
            cost += loiter
            if standing and new <= START_M:
                # It may never have left the terminal.
                wait = max(0.0, _wait_distance(tables, p, 0.0, x, y) - LAYOVER_M)
                if wait == 0.0:
                    stay = -dt / prm.terminal_s
                    n = _push(
                        work, n, p, LAYOVER, 0.0, 0.0,
                        log + np.log(1.0 - np.exp(stay)) + weigh_offset * EXPECTED_OFFSET
                        + weigh_heading * prm.off_heading, offset, 0,
                    )  # fmt: skip
                    log += stay
            if ending:
                stay = -dt / prm.terminal_s
                follow = tables.i[tables.at[PATTERN_NEXT_IX] + p]
                beyond = 0.0 if follow >= 0 else length
                follow = follow if follow >= 0 else p
                wait = max(0.0, _wait_distance(tables, follow, beyond, x, y) - LAYOVER_M)
                n = _push(
                    work, n, follow, LAYOVER, beyond, 0.0,
                    log + np.log(1.0 - np.exp(stay)) + weigh_offset * (EXPECTED_OFFSET + offset_log(wait, prm.sigma_m))
                    + weigh_heading * prm.off_heading, offset, 0,
                )  # fmt: skip
                if obs_speed > 2.0:
                    n = _push(
                        work,
                        n,
                        -1,
                        DEADHEAD,
                        0.0,
                        0.0,
                        log + np.log(min(0.5, dt / prm.retire_s)) + off_network,
                        np.nan,
                        0,
                    )
                log += stay
            if beside or (cost < off_network and not ending):
                gone = log + np.log(min(0.5, dt / prm.leave_s)) + off_network
                n = _push(work, n, p, OFF_ROUTE, d, 0.0, gone, offset, near)
                if obs_speed > CREEP_MPS:
                    n = _push(work, n, -1, DEADHEAD, 0.0, 0.0, gone - d / RETIRE_M, np.nan, 0)
            n = _go_on(work, n, p, IN_SERVICE, new, v, log + cost, offset, segment, bias)
        elif phase == LAYOVER:
            wait = max(0.0, _wait_distance(tables, p, d, x, y) - LAYOVER_M)
            cost = weigh_offset * (EXPECTED_OFFSET + offset_log(wait, prm.sigma_m)) + weigh_heading * prm.off_heading
            if obs_speed > CREEP_MPS:
                cost -= 1.5 * min(1.0, dt / 15.0)
            if d == 0.0:
                first, last, length = (
                    tables.i[tables.at[PATTERN_FIRST] + p],
                    tables.i[tables.at[PATTERN_LAST] + p],
                    tables.f[tables.at[PATTERN_LENGTH_M] + p],
                )
                at, offset, segment = snap_window(
                    points, first, last, 0.0, min(length, 300.0 + prm.max_speed_mps * dt), x, y, first
                )
                stay = -dt / (prm.depart_moving_s if obs_speed > 2.0 or drove else prm.depart_standing_s)
                if offset < 100.0:
                    go = _fix_log(tables, segment, offset, heading, east, north, 1.0, weigh_heading, prm)
                    n = _push(
                        work, n, p, IN_SERVICE, at, obs_speed, log + np.log(1.0 - np.exp(stay)) + go, offset, segment
                    )
                    cost += stay
            if wait > 0.0 and obs_speed > 2.0:
                n = _push(
                    work, n, -1, DEADHEAD, 0.0, 0.0, log + np.log(min(0.5, dt / prm.retire_s)) + off_network, np.nan, 0
                )
            n = _push(work, n, p, LAYOVER, d, 0.0, log + cost, wait, 0)
        elif phase == OFF_ROUTE:
            off += np.exp(log)
            first, last, length = (
                tables.i[tables.at[PATTERN_FIRST] + p],
                tables.i[tables.at[PATTERN_LAST] + p],
                tables.f[tables.at[PATTERN_LENGTH_M] + p],
            )
            at, offset, segment = snap_window(
                points, first, last, max(0.0, d - 50.0), min(length, d + REJOIN_M), x, y, near
            )
            if offset < 3.0 * _sigma(tables, segment, prm):
                back = _fix_log(tables, segment, offset, heading, east, north, weigh_offset, weigh_heading, prm)
                stay = -dt / prm.rejoin_s
                n = _push(
                    work, n, p, IN_SERVICE, at, obs_speed, log + np.log(1.0 - np.exp(stay)) + back, offset, segment
                )
                log += stay
            far = weigh_offset * min(4.0, max(0.0, offset / FAR_M - 1.0))
            step = 0.0 if standing else obs_speed * dt
            astray = dt / prm.stray_s + 4.0 * step / REJOIN_M * (v / REJOIN_M) ** 3
            n = _push(work, n, -1, DEADHEAD, 0.0, 0.0, log + np.log(min(0.5, astray)) + off_network, np.nan, 0)
            n = _go_on(
                work, n, p, OFF_ROUTE, d, v + step, log + off_network + idle + loiter - far, offset, near, lasted
            )
        elif phase == DEADHEAD:
            dead += np.exp(log)
            cost = off_network + idle
            if t - ff[BASE_T] > BASE_S:
                parked, stayed = min(0.5, dt / PARK_S), min(lasted, t - ff[BASE_T])
                n = _go_on(work, n, -1, AT_BASE, 0.0, 0.0, log + np.log(parked) + off_network, np.nan, 0, stayed)
                cost += np.log(1.0 - parked)
            n = _go_on(work, n, -1, DEADHEAD, 0.0, 0.0, log + cost, np.nan, 0, lasted)
        else:
            cost = off_network - (3.0 if t - ff[BASE_T] < 60.0 else 0.0)
            n = _go_on(work, n, -1, AT_BASE, 0.0, 0.0, log + cost, np.nan, 0, lasted)
            dead += np.exp(log)
    turned = SILENCE if fell_silent else min(0.5, dt / prm.deadhead_s)
    n = _push(work, n, -1, DEADHEAD, 0.0, 0.0, np.log(turned) + off_network, np.nan, 0)

    # --- and what else passes here
    sure = fi[N] > 0 and (h[0, LOG] > -0.01 or _same_way(fi, h, tables) > 0.99)
    waited = t - ff[INJECT_T]
    if not frozen and waited >= (4.0 if sure else 1.0) * prm.inject_s:
        ff[INJECT_T] = t
        pick_up = waited / (prm.pick_up_s if obs_speed < 3.0 else MOVING * prm.pick_up_s)
        share = min(0.5, waited / prm.jump_s) * (1.0 - min(1.0, dead)) + min(0.9, pick_up) * dead
        share += min(0.5, waited / prm.stray_s) * off
        if fi[SPEAKS] == 1 and route < 0:
            share *= SILENCE
        n = _inject(
            n, fi, t, x, y, heading, east, north, obs_speed, obs_speed, share, False, tables, prm, times, work
        )  # fmt: skip
    _settle(n, ff, fi, h, prm, work)
    ff[T], ff[X], ff[Y] = t, x, y
    ff[SPEED] = obs_speed
    fi[STANDING] = 1 if standing else 0
    return USED
