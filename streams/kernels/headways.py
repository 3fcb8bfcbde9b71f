"""Headways at gates: rings of the last passings, and the headway that the timetable or the frequency plans there.

A *ring* is one place that the runs of one route and direction pass: a slot (gate, route and direction), and a second
one where a pattern passes the same gate again (the two ends of a loop are not each other's leaders).
"""

import numpy as np

from streams.jit import kernel

WIDTH = 8  # passings a ring remembers
ROOM = WIDTH + 1  # rows that one passing can change at the most
MOST_VISITS = 4  # rings of one slot: how often one pattern may pass the same gate
NEAR_WINDOW_S = 1800.0  # a bus this far outside every frequency window still has the nearest one's headway


@kernel
def rings_of_gates(pgate_start, pgate_slot_ix, pgate_stop_pos, n_slots, every):
    """The ring that each gate of each pattern reports to: every stop, and between stops every few gates.

    pgate_start     (n_patterns + 1,) gates of a pattern
    pgate_slot_ix   (n,) the gate's slot
    pgate_stop_pos  (n,) -1 between stops
    every           gates between stops are left out until this one since the last that reports

    Patterns share rings: a gate that reports for one pattern of a slot reports for all of them. Returns ring (n,) i4,
    -1 for a gate without one, the visit (n,) i4 (0, or 1 where the pattern passes this gate again), and how many rings.
    """
    ring_of = np.full((n_slots, MOST_VISITS), -1, np.int32)
    seen_by = np.full(n_slots, -1, np.int32)
    visits = np.zeros(n_slots, np.int32)
    ring = np.full(len(pgate_slot_ix), -1, np.int32)
    visit = np.zeros(len(pgate_slot_ix), np.int32)
    n_rings = 0
    for sweep in range(2):  # the second one finds rings that a later pattern gave to an earlier one's gate
        seen_by[:] = -1
        for p in range(len(pgate_start) - 1):
            silent = 0
            for g in range(pgate_start[p], pgate_start[p + 1]):
                s = pgate_slot_ix[g]
                if seen_by[s] != p:
                    seen_by[s] = p
                    visits[s] = 0
                k = min(visits[s], MOST_VISITS - 1)
                visits[s] += 1
                silent += 1
                if sweep == 0 and ring_of[s, k] < 0 and (pgate_stop_pos[g] >= 0 or silent >= every):
                    ring_of[s, k] = n_rings
                    n_rings += 1
                if ring_of[s, k] >= 0:
                    silent = 0
                ring[g] = ring_of[s, k]
                visit[g] = k
    return ring, visit, n_rings


@kernel
def pass_gates(
    ring_time, ring_run, ring_revision, ring_said, ring_gone, ring_count,
    run_key, run_day, run_vehicle, day_gap_s, holes_before, holes, hole_s,
    begin, ring, run, time, revision, gone, record,
    out_ring, out_run, out_time, out_leader, out_headway, out_revision, out_gone, out_old_time, out_old_headway,
    out_record,
):  # fmt: skip
    """Put passings into their rings and tell every headway that changes: the run's own, and those behind it.

    ring_time      (n_rings, WIDTH) when the run passed, s; in order of (time, run key) up to ring_count
    ring_run       (n_rings, WIDTH) i4 number of the run
    ring_revision  (n_rings, WIDTH) i4 revision of the newest fact about it: an older or equal one is a repeat
    ring_said      (n_rings, WIDTH) i4 how often its headway was told
    ring_gone      (n_rings, WIDTH) bool withdrawn: keeps its place so that a repeat is known as one, leads nobody
    ring_count     (n_rings,) i4 passings held
    run_key        (n_runs,) u8 breaks ties of time by content;  run_day (n_runs,) i8 service day, 0 unknown
    run_vehicle    (n_runs,) i8 no vehicle leads itself
    day_gap_s      a passing of another service day leads only within this
    holes          (m, 2) f8 stretches of event time in which the source was silent; across hole_s or more of one
                   nobody leads. holes_before: as they were when the rings were told last
    begin          first passing to take: the kernel stops when the output might not hold the next one
    ring, run, time, revision, gone  (n,) the passings in the order in which they came; ring -1: not reported; run -1:
                   no passing, the ring is told again where `holes` make a difference
    record         (n,) i8 that each came with

    Output rows (at least ROOM long): ring, run, time, the leader's run (-1 none), headway_s (NaN without a leader),
    revision of the row, gone (withdrawn), the time and headway told before (time NaN: not told before; headway NaN
    too where its leader has been dropped since), and the record of the passing that made the difference.
    A passing older than everything in a full ring has no place any more; behind a withdrawn passing that was the
    oldest remembered, the leader is unknown. Changes the rings in place.
    Returns (next passing, output rows, passings without a place).
    """
    s_time = np.empty(ROOM, np.float64)
    s_run = np.empty(ROOM, np.int32)
    s_revision = np.empty(ROOM, np.int32)
    s_said = np.empty(ROOM, np.int32)
    s_gone = np.empty(ROOM, np.bool_)
    old_time = np.empty(ROOM, np.float64)  # NaN: was not live
    old_leader = np.empty(ROOM, np.int64)
    old_headway = np.empty(ROOM, np.float64)
    k = 0
    lost = 0
    n = len(ring)
    for i in range(begin, n):
        r = ring[i]
        if r < 0:
            continue
        if k + ROOM > len(out_ring):
            return i, k, lost
        c = ring_count[r]
        who = run[i]
        own = -1
        if who >= 0:
            for j in range(c):
                if ring_run[r, j] == who:
                    own = j
            if own >= 0 and revision[i] <= ring_revision[r, own]:
                continue
            if own < 0:
                if gone[i]:
                    continue
                if c == WIDTH:
                    first = ring_run[r, 0]
                    if time[i] < ring_time[r, 0] or (time[i] == ring_time[r, 0] and run_key[who] < run_key[first]):
                        lost += 1
                        continue

        # what was told, as it stands
        for j in range(c):
            s_time[j] = ring_time[r, j]
            s_run[j] = ring_run[r, j]
            s_revision[j] = ring_revision[r, j]
            s_said[j] = ring_said[r, j]
            s_gone[j] = ring_gone[r, j]
            old_time[j] = np.nan if s_gone[j] else s_time[j]
            ahead = _ahead(
                s_time, s_run, s_gone, run_day, run_vehicle, day_gap_s, holes if who >= 0 else holes_before, hole_s, j
            )
            old_leader[j] = s_run[ahead] if ahead >= 0 else -1
            old_headway[j] = _between(s_time, ahead, j)

        # the change, and the passing's place in the new order
        if who >= 0:
            if own < 0:
                own = c
                c += 1
                s_run[own] = who
                s_said[own] = 0
                s_time[own] = time[i]
                old_time[own] = np.nan
                old_leader[own] = -1
                old_headway[own] = np.nan
            elif not gone[i]:
                s_time[own] = time[i]
            s_revision[own] = revision[i]
            s_gone[own] = gone[i]
            while own > 0 and _before(s_time, s_run, run_key, own, own - 1):
                _swap(s_time, s_run, s_revision, s_said, s_gone, old_time, old_leader, old_headway, own, own - 1)
                own -= 1
            while own + 1 < c and _before(s_time, s_run, run_key, own + 1, own):
                _swap(s_time, s_run, s_revision, s_said, s_gone, old_time, old_leader, old_headway, own, own + 1)
                own += 1

        # tell the difference: the run itself first, then those behind
        for m in range(-1, c):
            j = own if m < 0 else m
            if j < 0 or m == own:
                continue
            ahead = _ahead(s_time, s_run, s_gone, run_day, run_vehicle, day_gap_s, holes, hole_s, j)
            leader = s_run[ahead] if ahead >= 0 else -1
            headway = _between(s_time, ahead, j)
            was = not np.isnan(old_time[j])
            if s_gone[j]:
                told = was
            else:
                same = was and old_leader[j] == leader and old_time[j] == s_time[j]
                same = same and (old_headway[j] == headway or leader < 0)
                told = not same
            if told:
                out_ring[k] = r
                out_run[k] = s_run[j]
                out_time[k] = s_time[j]
                out_leader[k] = leader
                out_headway[k] = headway
                out_revision[k] = s_said[j]
                out_gone[k] = s_gone[j]
                out_old_time[k] = old_time[j]
                out_old_headway[k] = old_headway[j]
                out_record[k] = record[i]
                s_said[j] += 1
                k += 1

        # back into the ring; the oldest goes when it is full
        drop = c - WIDTH if c > WIDTH else 0
        for j in range(drop, c):
            ring_time[r, j - drop] = s_time[j]
            ring_run[r, j - drop] = s_run[j]
            ring_revision[r, j - drop] = s_revision[j]
            ring_said[r, j - drop] = s_said[j]
            ring_gone[r, j - drop] = s_gone[j]
        ring_count[r] = c - drop
    return n, k, lost


@kernel
def passed_at(ring, run, ring_time, ring_run, ring_gone, ring_count):
    """When each run passed a ring, as far as the ring remembers: (n,) f8, infinite where it did not.

    ring, run  (n,) i8;  ring_*  as in `pass_gates`; a withdrawn passing is none
    """
    out = np.full(len(ring), np.inf)
    for i in range(len(ring)):
        r = ring[i]
        for j in range(ring_count[r]):
            if ring_run[r, j] == run[i] and not ring_gone[r, j]:
                out[i] = min(out[i], ring_time[r, j])
    return out


@kernel
def _ahead(time, run, gone, run_day, run_vehicle, day_gap_s, holes, hole_s, j):
    """Place of the passing that leads the one at `j`: the last one before it of another vehicle; -1 without one.

    None either where a night or a hole in the data lies between: who passed in it nobody knows.
    """
    if gone[j]:
        return -1
    for i in range(j - 1, -1, -1):
        if gone[i] or run_vehicle[run[i]] == run_vehicle[run[j]]:
            continue
        a, b = run_day[run[i]], run_day[run[j]]
        if a != b and a != 0 and b != 0 and not _between(time, i, j) <= day_gap_s:
            return -1
        for h in range(len(holes)):
            if min(time[j], holes[h, 1]) - max(time[i], holes[h, 0]) >= hole_s:
                return -1
        return i
    return -1


@kernel
def _between(time, leader, j):
    """Seconds from the passing at `leader` to that at `j`, hundredths; NaN without a leader."""
    return np.rint((time[j] - time[leader]) * 100.0) / 100.0 if leader >= 0 else np.nan


@kernel
def _before(time, run, run_key, a, b):
    """Whether `a` passed before `b`; ties are settled by the run's id, not by its number."""
    return time[a] < time[b] or (time[a] == time[b] and run_key[run[a]] < run_key[run[b]])


@kernel
def _swap(time, run, revision, said, gone, old_time, old_leader, old_headway, a, b):
    time[a], time[b] = time[b], time[a]
    run[a], run[b] = run[b], run[a]
    revision[a], revision[b] = revision[b], revision[a]
    said[a], said[b] = said[b], said[a]
    gone[a], gone[b] = gone[b], gone[a]
    old_time[a], old_time[b] = old_time[b], old_time[a]
    old_leader[a], old_leader[b] = old_leader[b], old_leader[a]
    old_headway[a], old_headway[b] = old_headway[b], old_headway[a]


@kernel
def planned_headways(
    ring, time_s, pattern,
    ring_start, ring_pgate, pgate_pattern, pgate_offset_s,
    freq_start, freq_begin_s, freq_end_s, freq_headway_s,
    dep_start, dep_s,
    out_headway, out_pgate,
):  # fmt: skip
    """The headway planned at a ring at a time of the service day, all patterns of the route and direction merged.

    ring, time_s, pattern  (n,) place, seconds of the service day, the pattern of the run that is asked about
    ring_start, ring_pgate  CSR: the patterns' gates that report to a ring
    pgate_offset_s  (n_pgates,) planned seconds from the pattern's first departure to the gate
    freq_*          CSR by pattern: frequency windows of the day; dep_* CSR by pattern: first departures, sorted

    Frequencies add up (two patterns every 10 minutes: a bus every 5). A timetable's headway is the gap in front of
    the planned passing nearest to `time_s` (behind it for the day's first). Outside every window by no more than
    NEAR_WINDOW_S the nearest window counts. Writes out_headway (n,) s, NaN where nothing is planned, and out_pgate
    (n,) i8: the gate of `pattern` at this ring, -1 when it has none.
    """
    for i in range(len(ring)):
        r = ring[i]
        t = time_s[i]
        rate = 0.0
        near = NEAR_WINDOW_S
        near_headway = np.nan
        best = np.nan  # planned passing nearest to t
        out_pgate[i] = -1
        for q in range(ring_start[r], ring_start[r + 1]):
            g = ring_pgate[q]
            p = pgate_pattern[g]
            if p == pattern[i]:
                out_pgate[i] = g
            u = t - pgate_offset_s[g]
            for f in range(freq_start[p], freq_start[p + 1]):
                if freq_begin_s[f] <= u < freq_end_s[f]:
                    rate += 1.0 / freq_headway_s[f]
                else:
                    away = freq_begin_s[f] - u if u < freq_begin_s[f] else u - freq_end_s[f]
                    if away < near or (away == near and not freq_headway_s[f] >= near_headway):
                        near = away
                        near_headway = freq_headway_s[f]
            lo, hi = dep_start[p], dep_start[p + 1]
            if lo < hi:
                j = lo + np.searchsorted(dep_s[lo:hi], u)
                for m in range(max(j - 1, lo), min(j + 1, hi)):
                    passing = dep_s[m] + pgate_offset_s[g]
                    nearer = abs(passing - t) < abs(best - t)
                    if np.isnan(best) or nearer or (abs(passing - t) == abs(best - t) and passing < best):
                        best = passing
        gap = np.nan
        if not np.isnan(best):
            ahead, behind = np.inf, np.inf
            for q in range(ring_start[r], ring_start[r + 1]):
                g = ring_pgate[q]
                p = pgate_pattern[g]
                lo, hi = dep_start[p], dep_start[p + 1]
                if lo < hi:
                    j = lo + np.searchsorted(dep_s[lo:hi], best - pgate_offset_s[g] - 0.5)
                    if j > lo:
                        ahead = min(ahead, best - (dep_s[j - 1] + pgate_offset_s[g]))
                    while j < hi and dep_s[j] + pgate_offset_s[g] <= best + 0.5:
                        j += 1
                    if j < hi:
                        behind = min(behind, dep_s[j] + pgate_offset_s[g] - best)
            if ahead < np.inf:
                gap = ahead
            elif behind < np.inf:
                gap = behind
        if rate > 0.0:
            out_headway[i] = 1.0 / (rate + (1.0 / gap if not np.isnan(gap) else 0.0))
        elif not np.isnan(gap):
            out_headway[i] = gap
        else:
            out_headway[i] = near_headway
        out_headway[i] = np.rint(out_headway[i] * 100.0) / 100.0
