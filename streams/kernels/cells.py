"""Windows of directed cells: what the closed traversals of a window add up to, and what level that is."""

import numpy as np

from streams.jit import kernel

# GTFS-Realtime's CongestionLevel; 0 is UNKNOWN_CONGESTION_LEVEL.
SMOOTH_RATIO = 0.67
STOP_AND_GO_RATIO = 0.5
CONGESTION_RATIO = 0.3


@kernel
def by_cell(cell_ix, n_cells):
    """Order that puts equal cells together and keeps their rows as they are: a counting sort.

    cell_ix  (n,) i8 in [0, n_cells). Returns (n,) i8.
    """
    place = np.zeros(n_cells + 1, np.int64)
    for c in cell_ix:
        place[c + 1] += 1
    for c in range(n_cells):
        place[c + 1] += place[c]
    order = np.empty(len(cell_ix), np.int64)
    for i in range(len(cell_ix)):
        order[place[cell_ix[i]]] = i
        place[cell_ix[i]] += 1
    return order


@kernel
def window_sums(cell_ix, vehicle, metres, seconds, n_vehicles):
    """Sums per cell over traversals that are already in order.

    cell_ix     (n,) i8 sorted; within a cell in order of (entered_at, vehicle): floating-point sums depend on it
    vehicle     (n,) i8 in [0, n_vehicles), any numbering
    metres      (n,) f8 driven inside the cell
    seconds     (n,) f8 without stop dwell
    n_vehicles  how many numbers there are

    Returns (m,) arrays, one row per cell that occurs: cell i8, metres f8, seconds f8, samples i8, distinct vehicles
    i8. Does not check order.
    """
    cells = np.empty(len(cell_ix), np.int64)
    sum_m = np.zeros(len(cell_ix), np.float64)
    sum_s = np.zeros(len(cell_ix), np.float64)
    samples = np.zeros(len(cell_ix), np.int64)
    vehicles = np.zeros(len(cell_ix), np.int64)
    seen = np.full(n_vehicles, -1, np.int64)  # the last row of the answer that counted this vehicle
    at = -1
    for i in range(len(cell_ix)):
        if at < 0 or cells[at] != cell_ix[i]:
            at += 1
            cells[at] = cell_ix[i]
        sum_m[at] += metres[i]
        sum_s[at] += seconds[i]
        samples[at] += 1
        if seen[vehicle[i]] != at:
            seen[vehicle[i]] = at
            vehicles[at] += 1
    n = at + 1
    return cells[:n], sum_m[:n], sum_s[:n], samples[:n], vehicles[:n]


@kernel
def levels(speed_mps, free_flow_mps):
    """GTFS-Realtime congestion level (1 smooth .. 4 severe) of speed over free flow; 0 where either is NaN.

    speed_mps      (n,) f8
    free_flow_mps  (n,) f8

    Source: urban-street levels of service by share of base free-flow speed (Highway Capacity Manual), cut to the
    four of GTFS-Realtime.
    """
    out = np.zeros(len(speed_mps), np.int64)
    for i in range(len(speed_mps)):
        ratio = speed_mps[i] / free_flow_mps[i]
        if ratio >= SMOOTH_RATIO:
            out[i] = 1
        elif ratio >= STOP_AND_GO_RATIO:
            out[i] = 2
        elif ratio >= CONGESTION_RATIO:
            out[i] = 3
        elif ratio < CONGESTION_RATIO:
            out[i] = 4
    return out


@kernel
def along(which, link_start, link_cell, link_metres, pace, free, samples):
    """What the cells of some links say of each, metre by metre.

    which                              (k,) i8 links
    link_start, link_cell, link_metres  as in `jam_seconds`
    pace, free                         (n_cells,) f8 s/m, now and when the road is free
    samples                            (n_cells,) i8 traversals

    Returns (k,) f8 arrays: seconds at `pace`, seconds at `free`, metres with a traversal, metres that all traversals
    drove, and the seconds that they took longer than when the road is free.
    """
    seconds, free_s, measured = np.zeros(len(which)), np.zeros(len(which)), np.zeros(len(which))
    driven, delay_s = np.zeros(len(which)), np.zeros(len(which))
    for i in range(len(which)):
        for k in range(link_start[which[i]], link_start[which[i] + 1]):
            c, m = link_cell[k], link_metres[k]
            seconds[i] += m * pace[c]
            free_s[i] += m * free[c]
            if samples[c] > 0:
                measured[i] += m
                driven[i] += m * samples[c]
                delay_s[i] += m * samples[c] * max(pace[c] - free[c], 0.0)
    return seconds, free_s, measured, driven, delay_s


@kernel
def jam_seconds(link_start, link_cell, link_metres, pace_now, pace_usual, jam_ratio):
    """How much longer each link takes because cells on it are jammed.

    link_start   (n_links + 1,) i8  CSR over the two next: the cells a link runs through
    link_cell    (m,) i8            directed cell
    link_metres  (m,) f8            metres of the link in that cell
    pace_now     (n_cells,) f8      s/m, the filter's
    pace_usual   (n_cells,) f8      s/m, of this hour
    jam_ratio    a cell says jam when usual/now is below this

    Returns (n_links,) f8 seconds, 0 without a jam. Slower than usual but above the ratio is noise of single buses
    and is left to the links' own learning.
    """
    out = np.zeros(len(link_start) - 1, np.float64)
    for i in range(len(out)):
        for k in range(link_start[i], link_start[i + 1]):
            c = link_cell[k]
            if pace_usual[c] < jam_ratio * pace_now[c]:
                out[i] += link_metres[k] * (pace_now[c] - pace_usual[c])
    return out
