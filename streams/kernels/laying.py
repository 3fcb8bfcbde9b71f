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
def lay_gates(
    sample_start, sample_x, sample_y, sample_hx, sample_hy, sample_step_m,
    shape_ix, busway, stop_start, stop_dist, stop_gate, gate_x, gate_y, gate_hx, gate_hy, gate_busway,
):  # fmt: skip
    """Every pattern's list of gates: its own stops, every gate of others that it drives through, and new ones in gaps.

    sample_start    (s + 1,) CSR of shapes into samples, every `sample_step_m` along the shape from 0
    sample_x, _y    metres; sample_hx, _hy unit vector of the heading there
    shape_ix, busway   (p,) shape and lane of each pattern
    stop_start      (p + 1,) CSR of patterns into their stops; stop_dist (metres along, monotone), stop_gate
    gate_*          (g,) the gates of stops, already there; busway as bool

    Returns the gates with new ones appended (x, y, hx, hy, busway), then pgate_start (p + 1,), pgate_gate, pgate_dist,
    pgate_stop (position among the pattern's stops, -1 between them). Distances are monotone within a pattern. A gate
    is driven through when it lies within 20 m of the line, its heading within 30 degrees, its lane the same.
    """
    n_gates = len(gate_x)
    capacity = 2 * n_gates + 1024
    gx, gy, hx, hy = np.empty(capacity), np.empty(capacity), np.empty(capacity), np.empty(capacity)
    gb = np.zeros(capacity, dtype=np.bool_)
    gx[:n_gates], gy[:n_gates], hx[:n_gates], hy[:n_gates] = gate_x, gate_y, gate_hx, gate_hy
    gb[:n_gates] = gate_busway
    head = np.full(_MASK + 1, -1, dtype=np.int32)
    chain = np.full(capacity, -1, dtype=np.int32)
    last_pattern = np.full(capacity, -1, dtype=np.int32)
    last_hit = np.zeros(capacity, dtype=np.int32)
    for g in range(n_gates):
        b = _bucket(gx[g], gy[g], 0, 0)
        chain[g] = head[b]
        head[b] = g
    n_patterns = len(shape_ix)
    start = np.zeros(n_patterns + 1, dtype=np.int32)
    out_gate = np.empty(65536, dtype=np.int32)
    out_dist = np.empty(65536)
    out_stop = np.empty(65536, dtype=np.int32)
    total = 0
    hit_gate = np.empty(4096, dtype=np.int32)
    hit_dist = np.empty(4096)
    hit_cross = np.empty(4096)
    for p in range(n_patterns):
        s0, s1 = sample_start[shape_ix[p]], sample_start[shape_ix[p] + 1]
        t0, t1 = stop_start[p], stop_start[p + 1]
        begin, end = stop_dist[t0], stop_dist[t1 - 1]
        hits = 0
        for s in range(s0, s1):
            d = (s - s0) * sample_step_m
            if d < begin - sample_step_m or d > end + sample_step_m:
                continue
            for cell in range(9):
                g = head[_bucket(sample_x[s], sample_y[s], cell // 3 - 1, cell % 3 - 1)]
                while g >= 0:
                    dx, dy = gx[g] - sample_x[s], gy[g] - sample_y[s]
                    along = dx * sample_hx[s] + dy * sample_hy[s]
                    cross = abs(dx * sample_hy[s] - dy * sample_hx[s])
                    at = d + along
                    if (
                        gb[g] == busway[p]
                        and abs(along) <= 0.8 * sample_step_m
                        and cross <= GATE_REUSE_M
                        and hx[g] * sample_hx[s] + hy[g] * sample_hy[s] >= GATE_REUSE_COS
                        and at > begin
                        and at < end
                    ):
                        k = last_hit[g]
                        if last_pattern[g] == p and at - hit_dist[k] < SAME_PASS_M:
                            if cross + abs(along) < hit_cross[k]:
                                hit_dist[k], hit_cross[k] = at, cross + abs(along)
                        else:
                            if hits == len(hit_gate):
                                hit_gate = _grown_i(hit_gate)
                                hit_dist, hit_cross = _grown(hit_dist), _grown(hit_cross)
                            hit_gate[hits], hit_dist[hits], hit_cross[hits] = g, at, cross + abs(along)
                            last_pattern[g], last_hit[g] = p, hits
                            hits += 1
                    g = chain[g]
        # its own stops stand in the list already
        kept = 0
        for k in range(hits):
            own = False
            for t in range(t0, t1):
                if stop_gate[t] == hit_gate[k] and abs(stop_dist[t] - hit_dist[k]) < SAME_PASS_M:
                    own = True
                    break
            if not own:
                hit_gate[kept], hit_dist[kept] = hit_gate[k], hit_dist[k]
                kept += 1
        n = kept + t1 - t0
        all_dist = np.empty(n)
        all_gate = np.empty(n, dtype=np.int32)
        all_stop = np.full(n, -1, dtype=np.int32)
        for t in range(t0, t1):
            all_dist[t - t0], all_gate[t - t0], all_stop[t - t0] = stop_dist[t], stop_gate[t], t - t0
        all_dist[t1 - t0 :] = hit_dist[:kept]
        all_gate[t1 - t0 :] = hit_gate[:kept]
        order = np.argsort(all_dist, kind="mergesort")
        for i in range(n):
            k = order[i]
            if i > 0:
                before = all_dist[order[i - 1]]
                gap = all_dist[k] - before
                new = int(np.round(gap / GATE_SPACING_M)) - 1 if gap > 1.5 * GATE_SPACING_M else 0
                for q in range(new):
                    at = before + gap * (q + 1) / (new + 1)
                    if n_gates == capacity:
                        gx, gy, hx, hy = _grown(gx), _grown(gy), _grown(hx), _grown(hy)
                        chain, last_pattern, last_hit = _grown_i(chain), _grown_i(last_pattern), _grown_i(last_hit)
                        gb = np.concatenate((gb, np.zeros(capacity, dtype=np.bool_)))
                        capacity *= 2
                    s = min(s0 + int(at / sample_step_m), s1 - 2) if s1 - s0 > 1 else s0
                    f = at / sample_step_m - (s - s0)
                    near = s + 1 if f > 0.5 and s + 1 < s1 else s
                    e = min(s + 1, s1 - 1)
                    gx[n_gates] = sample_x[s] + f * (sample_x[e] - sample_x[s])
                    gy[n_gates] = sample_y[s] + f * (sample_y[e] - sample_y[s])
                    hx[n_gates], hy[n_gates] = sample_hx[near], sample_hy[near]
                    gb[n_gates] = busway[p]
                    last_pattern[n_gates] = -1
                    b = _bucket(gx[n_gates], gy[n_gates], 0, 0)
                    chain[n_gates] = head[b]
                    head[b] = n_gates
                    if total == len(out_gate):
                        out_gate, out_dist, out_stop = _grown_i(out_gate), _grown(out_dist), _grown_i(out_stop)
                    out_gate[total], out_dist[total], out_stop[total] = n_gates, at, -1
                    total += 1
                    n_gates += 1
            if total == len(out_gate):
                out_gate, out_dist, out_stop = _grown_i(out_gate), _grown(out_dist), _grown_i(out_stop)
            out_gate[total], out_dist[total], out_stop[total] = all_gate[k], all_dist[k], all_stop[k]
            total += 1
        start[p + 1] = total
    return (
        gx[:n_gates], gy[:n_gates], hx[:n_gates], hy[:n_gates], gb[:n_gates],
        start, out_gate[:total], out_dist[:total], out_stop[:total],
    )  # fmt: skip


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
    return np.concatenate((a, np.zeros(len(a))))


@kernel
def _grown_i(a):
    return np.concatenate((a, np.full(len(a), -1, dtype=np.int32)))
