"""Slow twins of streams/kernels/headways.py: lists and dictionaries, nothing remembered but the facts."""

import math


def rings_of_gates(patterns, every, most):
    """`patterns`: lists of (slot, is_stop). (slot, visit) of each gate, None where it is not reported."""
    reported = set()
    visits = []
    for gates in patterns:
        met = {}
        visits.append([])
        silent = 0
        for slot, is_stop in gates:
            key = (slot, min(met.get(slot, 0), most - 1))
            met[slot] = met.get(slot, 0) + 1
            visits[-1].append(key)
            silent += 1
            if is_stop or silent >= every or key in reported:
                reported.add(key)
                silent = 0
    return [[key if key in reported else None for key in keys] for keys in visits]


def final_headways(facts, day_of, day_gap_s, vehicle_of=lambda run: run, holes=(), hole_s=300.0):
    """Leader and headway of every passing that is true in the end; nothing is forgotten.

    `facts`: (ring, run, time, revision, gone) in any order; runs are strings. `holes`: (begin, end).
    """
    newest = {}
    for ring, run, time, revision, gone in facts:
        if (ring, run) not in newest or revision > newest[ring, run][1]:
            newest[ring, run] = (time, revision, gone)
    rings = {}
    for (ring, run), (time, _, gone) in newest.items():
        if not gone:
            rings.setdefault(ring, []).append((time, run))
    out = {}
    for ring, passings in rings.items():
        passings.sort()
        for i, (time, run) in enumerate(passings):
            leader, headway = None, math.nan
            others = [p for p in passings[:i] if vehicle_of(p[1]) != vehicle_of(run)]
            if others:
                before, other = others[-1]
                gap = round(time - before, 2)
                silent = max((min(time, end) - max(before, begin) for begin, end in holes), default=0.0)
                if (day_of(run) == day_of(other) or gap <= day_gap_s) and silent < hole_s:
                    leader, headway = other, gap
            out[ring, run] = (time, leader, headway)
    return out


def planned_headway(time_s, gates):
    """`gates`: for each pattern (offset_s, [(begin_s, end_s, headway_s)], [departure_s])."""
    rates = [1 / h for offset, windows, _ in gates for b, e, h in windows if b <= time_s - offset < e]
    passings = sorted(offset + d for offset, _, departures in gates for d in departures)
    gap = None
    if passings:
        best = min(passings, key=lambda p: (abs(p - time_s), p))
        earlier = [p for p in passings if p < best - 0.5]
        later = [p for p in passings if p > best + 0.5]
        gap = best - earlier[-1] if earlier else later[0] - best if later else None
    if rates:
        return 1 / (sum(rates) + (1 / gap if gap else 0))
    if gap:
        return gap
    near = []
    for offset, windows, _ in gates:
        for b, e, h in windows:
            away = b - (time_s - offset) if time_s - offset < b else time_s - offset - e
            near.append((away, h))
    near = [n for n in near if n[0] < 1800]
    return min(near)[1] if near else math.nan
