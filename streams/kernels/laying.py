"""Gates and candidate cells laid along shapes, once per feed."""

import numpy as np

from streams.jit import kernel

GATE_SPACING_M = 50.0
GATE_REUSE_M = 20.0
GATE_REUSE_COS = np.cos(np.radians(30.0))
GATE_CELL_M = 25.0
SAME_PASS_M = 60.0  # two sightings of a gate closer along the shape than this are one passing
_MASK = (1 << 17) - 1


@kernel
def lay_gates(sample_start, sample, sample_step_m, shape_ix, busway, stop_start, stop_dist, stop_gate, places, lanes):
    """Every pattern's list of gates: its own stops, every gate of others that it drives through, and new ones in gaps.

    sample_start  (s + 1,) CSR of shapes into samples, every `sample_step_m` along the shape from 0
    sample        (n, 4) x and y in metres, unit vector of the heading (east, north)
    shape_ix, busway  (p,) i4, shape and lane (1 busway, 0 mixed) of each pattern
    stop_start    (p + 1,) CSR of patterns into their stops; stop_dist (metres along, monotone), stop_gate
    places        (g, 4) the gates of stops, already there, columns as `sample`; lanes (g,) i4

    Returns places and lanes with new gates appended; start (p + 1,) CSR into dist (metres, monotone within a pattern)
    and rows (., 2): gate, position among the pattern's stops (-1 between them). A gate is driven through when it lies
    within 20 m of the line, its heading within 30 degrees, its lane the same.
    """
    n_gates = len(places)
    gate = np.empty((2 * n_gates + 1024, 4))
    note = np.full((len(gate), 4), -1, dtype=np.int32)  # lane, next in its bucket, last pattern through, its hit then
    head = np.full(_MASK + 1, -1, dtype=np.int32)
    for g in range(n_gates):
        for c in range(4):
            gate[g, c] = places[g, c]
        note[g, 0] = lanes[g]
        b = _bucket(gate[g, 0], gate[g, 1], 0, 0)
        note[g, 1] = head[b]
        head[b] = g
    start = np.zeros(len(shape_ix) + 1, dtype=np.int32)
    dist = np.empty((65536, 1))
    rows = np.empty((65536, 2), dtype=np.int32)
    total = 0
    hit = np.empty((4096, 2))  # metres along, how far off
    hit_gate = np.empty((4096, 1), dtype=np.int32)
    for p in range(len(shape_ix)):
        s0, s1 = sample_start[shape_ix[p]], sample_start[shape_ix[p] + 1]
        t0, t1 = stop_start[p], stop_start[p + 1]
        begin, end = stop_dist[t0], stop_dist[t1 - 1]
        hits = 0
        low = max(s0, s0 + int(begin / sample_step_m) - 1)
        high = min(s1, s0 + int(end / sample_step_m) + 2)
        for s in range(low, high):
            x, y, ux, uy = sample[s, 0], sample[s, 1], sample[s, 2], sample[s, 3]
            for cell in range(9):
                g = head[_bucket(x, y, cell // 3 - 1, cell % 3 - 1)]
                while g >= 0:
                    dx, dy = gate[g, 0] - x, gate[g, 1] - y
                    along = dx * ux + dy * uy
                    cross = abs(dx * uy - dy * ux)
                    at = (s - s0) * sample_step_m + along
                    if (
                        note[g, 0] == busway[p]
                        and abs(along) <= 0.8 * sample_step_m
                        and cross <= GATE_REUSE_M
                        and gate[g, 2] * ux + gate[g, 3] * uy >= GATE_REUSE_COS
                        and at > begin
                        and at < end
                    ):
                        off = cross + abs(along)
                        k = note[g, 3]
                        if note[g, 2] == p and at - hit[k, 0] < SAME_PASS_M:
                            if off < hit[k, 1]:
                                hit[k, 0], hit[k, 1] = at, off
                        else:
                            if hits == len(hit):
                                hit, hit_gate = _grown(hit), _grown_i(hit_gate)
                            hit[hits, 0], hit[hits, 1], hit_gate[hits, 0] = at, off, g
                            note[g, 2], note[g, 3] = p, hits
                            hits += 1
                    g = note[g, 1]
        # its own stops stand in the list already; the rest is nearly in order
        kept = 0
        for k in range(hits):
            at, g = hit[k, 0], hit_gate[k, 0]
            own = False
            for t in range(t0, t1):
                if stop_gate[t] == g and abs(stop_dist[t] - at) < SAME_PASS_M:
                    own = True
            if not own:
                i = kept
                while i > 0 and hit[i - 1, 0] > at:
                    hit[i, 0], hit_gate[i, 0] = hit[i - 1, 0], hit_gate[i - 1, 0]
                    i -= 1
                hit[i, 0], hit_gate[i, 0] = at, g
                kept += 1
        k, t = 0, t0
        before = begin
        while k < kept or t < t1:
            if k == kept or (t < t1 and stop_dist[t] <= hit[k, 0]):
                at, g, pos = stop_dist[t], stop_gate[t], t - t0
                t += 1
            else:
                at, g, pos = hit[k, 0], hit_gate[k, 0], -1
                k += 1
            new = int(np.round((at - before) / GATE_SPACING_M)) - 1 if at - before > 1.5 * GATE_SPACING_M else 0
            while total + new + 1 > len(dist):
                dist, rows = _grown(dist), _grown_i(rows)
            for q in range(new):
                place = before + (at - before) * (q + 1) / (new + 1)
                if n_gates == len(gate):
                    gate, note = _grown(gate), _grown_i(note)
                f = place / sample_step_m
                s = min(s0 + int(f), s1 - 1)
                e = min(s + 1, s1 - 1)
                f -= s - s0
                near = e if f > 0.5 else s
                gate[n_gates, 0] = sample[s, 0] + f * (sample[e, 0] - sample[s, 0])
                gate[n_gates, 1] = sample[s, 1] + f * (sample[e, 1] - sample[s, 1])
                gate[n_gates, 2], gate[n_gates, 3] = sample[near, 2], sample[near, 3]
                b = _bucket(gate[n_gates, 0], gate[n_gates, 1], 0, 0)
                note[n_gates, 0], note[n_gates, 1], note[n_gates, 2] = busway[p], head[b], -1
                head[b] = n_gates
                dist[total, 0], rows[total, 0], rows[total, 1] = place, n_gates, -1
                total += 1
                n_gates += 1
            dist[total, 0], rows[total, 0], rows[total, 1] = at, g, pos
            total += 1
            before = at
        start[p + 1] = total
    return gate[:n_gates], note[:n_gates, 0], start, dist[:total, 0], rows[:total]


@kernel
def merge_short(start, key, begin, length, least_m):
    """Runs of one key along each shape, none shorter than `least_m` where there is a neighbour to join.

    start (s + 1,) CSR of shapes into runs; key (n,) i8; begin (n,) metres; length (s,) metres of each shape.
    Returns the new start (s + 1,), key and begin. Runs stay gapless; neighbours differ in key.
    """
    out_start = np.zeros(len(start), dtype=np.int32)
    out_key = np.empty(len(key), dtype=np.int64)
    out_begin = np.empty(len(key))
    n = 0
    for s in range(len(start) - 1):
        base = n
        for r in range(start[s], start[s + 1]):
            end = begin[r + 1] if r + 1 < start[s + 1] else length[s]
            if n > base and (out_key[n - 1] == key[r] or end - begin[r] < least_m):
                continue
            if n == base + 1 and begin[r] - out_begin[base] < least_m:
                out_key[base] = key[r]  # the very first run was too short
                continue
            out_key[n], out_begin[n] = key[r], begin[r]
            n += 1
        out_start[s + 1] = n
    return out_start, out_key[:n], out_begin[:n]


@kernel
def rasterise(point_x, point_y, point_shape, x0, y0, size, nx, ny):
    """Which grid cells each segment touches.

    A segment is known by its first point; a shape's last point starts none. Returns start (nx * ny + 1,) and the
    segments, sorted by cell, then segment.
    """
    start = np.zeros(nx * ny + 1, dtype=np.int32)
    segments = np.empty(0, dtype=np.int32)
    fill = np.zeros(0, dtype=np.int32)
    for sweep in range(2):
        if sweep == 1:
            for c in range(nx * ny):
                start[c + 1] += start[c]
            segments = np.empty(start[nx * ny], dtype=np.int32)
            fill = start[:-1].copy()
        for g in range(len(point_x) - 1):
            if point_shape[g] != point_shape[g + 1]:
                continue
            ax, ay = (point_x[g] - x0) / size, (point_y[g] - y0) / size
            bx, by = (point_x[g + 1] - x0) / size, (point_y[g + 1] - y0) / size
            cx, cy = min(nx - 1, int(ax)), min(ny - 1, int(ay))
            ex, ey = min(nx - 1, int(bx)), min(ny - 1, int(by))
            dx, dy = bx - ax, by - ay
            step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
            tx = ((cx + 1 if dx > 0 else cx) - ax) / dx if dx != 0.0 else np.inf
            ty = ((cy + 1 if dy > 0 else cy) - ay) / dy if dy != 0.0 else np.inf
            cells = abs(ex - cx) + abs(ey - cy) + 1
            for _ in range(cells):
                c = cy * nx + cx
                if sweep == 0:
                    start[c + 1] += 1
                else:
                    segments[fill[c]] = g
                    fill[c] += 1
                if cx == ex and cy == ey:
                    break
                if (tx < ty or cy == ey) and cx != ex:
                    cx += step_x
                    tx += abs(1.0 / dx)
                else:
                    cy += step_y
                    ty += abs(1.0 / dy)
    return start, segments


@kernel
def _bucket(x, y, ox, oy):
    cx = int(np.floor(x / GATE_CELL_M)) + ox
    cy = int(np.floor(y / GATE_CELL_M)) + oy
    return ((cx * 73856093) ^ (cy * 19349663)) & _MASK


@kernel
def _grown(a):
    out = np.empty((2 * a.shape[0], a.shape[1]))
    for i in range(a.shape[0]):
        for c in range(a.shape[1]):
            out[i, c] = a[i, c]
    return out


@kernel
def _grown_i(a):
    out = np.empty((2 * a.shape[0], a.shape[1]), dtype=np.int32)
    for i in range(a.shape[0]):
        for c in range(a.shape[1]):
            out[i, c] = a[i, c]
    return out
