"""Slow twins of streams/kernels/laying.py."""

from math import cos, radians


def lay_gates(samples, step, shapes, busway, stops, gates):
    """Lists of (dist, gate, stop position) per pattern, and all gates as (x, y, hx, hy, lane).

    samples  per shape [(x, y, hx, hy)];  shapes, busway  per pattern;  stops  per pattern [(dist, gate)]
    """
    gates = list(gates)
    lists = []
    for shape, lane, own in zip(shapes, busway, stops, strict=True):
        begin, end = own[0][0], own[-1][0]
        passes = {}
        for i, (x, y, hx, hy) in enumerate(samples[shape]):
            for g, (gx, gy, ghx, ghy, glane) in enumerate(gates):
                along, cross = (gx - x) * hx + (gy - y) * hy, abs((gx - x) * hy - (gy - y) * hx)
                at = i * step + along
                if glane != lane or abs(along) > 0.8 * step or cross > 20.0 or not begin < at < end:
                    continue
                if ghx * hx + ghy * hy < cos(radians(30.0)):
                    continue
                seen = passes.setdefault(g, [])
                if seen and at - seen[-1][0] < 60.0:
                    if cross + abs(along) < seen[-1][1]:
                        seen[-1] = (at, cross + abs(along))
                else:
                    seen.append((at, cross + abs(along)))
        others = [
            (at, g, -1)
            for g, seen in passes.items()
            for at, _ in seen
            if not any(g == h and abs(at - d) < 60.0 for d, h in own)
        ]
        rows = sorted([(d, g, pos) for pos, (d, g) in enumerate(own)] + others, key=lambda r: (r[0], r[2] < 0))
        out, before = [], begin
        for at, g, pos in rows:
            gap = at - before
            new = round(gap / 50.0) - 1 if gap > 75.0 else 0
            for q in range(new):
                place = before + gap * (q + 1) / (new + 1)
                line = samples[shape]
                s = min(int(place / step), len(line) - 1)
                e = min(s + 1, len(line) - 1)
                f = place / step - s
                heading = line[e] if f > 0.5 else line[s]
                xy = [line[s][c] + f * (line[e][c] - line[s][c]) for c in (0, 1)]
                out.append((place, len(gates), -1))
                gates.append((*xy, heading[2], heading[3], lane))
            out.append((at, g, pos))
            before = at
        lists.append(out)
    return gates, lists


def merge_short(runs, length, least):
    """[(key, begin)] of one shape without runs shorter than `least`."""
    out = []
    for i, (key, begin) in enumerate(runs):
        end = runs[i + 1][1] if i + 1 < len(runs) else length
        if out and (out[-1][0] == key or end - begin < least):
            continue
        if len(out) == 1 and begin - out[0][1] < least:
            out[0] = (key, out[0][1])
            continue
        out.append((key, begin))
    return out
