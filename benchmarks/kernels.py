"""Snapping kernels beside shapely on the same pings in the same run.

Known route: `line_locate_point`, vectorised, against the window around the last position. Unknown route:
`STRtree.nearest` over the shapes' segments against the grid lookup, which also gives direction and every other
shape near by.
"""

import time

import numba
import numpy as np
import shapely

from benchmarks.engine import SETTINGS, by_second
from benchmarks.harness import Benchmark, alternate
from benchmarks.workload import Workload, drive, pattern_of_truth
from streams import messages
from streams.engine.tables import tables_of
from streams.engine.track import Track
from streams.gtfs.network import Network
from streams.kernels import tracking
from streams.kernels.candidates import MAX_CANDIDATES, nearest_shapes
from streams.kernels.geometry import snap_windows

BEHIND_M, AHEAD_M = 60.0, 150.0  # the window: a ping every 5 s, a bus up to 25 m/s


def run(bench: Benchmark) -> None:
    """Measure both, after both have been shown to find the same places."""
    work = drive(60, 120.0, made=True) if bench.short else drive(1000, 600.0)
    network = work.network
    pings, pattern, last_m = _in_service(work)
    x, y = network.project(pings["lat"], pings["lon"])
    lines = _lines(network)
    runs = 2 if bench.short else 5

    shape = network.pattern_shape_ix[pattern]
    first = network.shape_start[shape].astype(np.int64)
    last = network.shape_start[shape + 1].astype(np.int64) - 1
    found_m, offset_m, segment = np.empty(len(x)), np.empty(len(x)), np.empty(len(x), dtype=np.int64)
    shape_points = np.column_stack([network.point_x, network.point_y, network.point_dist_m])
    part = slice(0, min(len(x), 20_000))  # shapely is slow: a part of the pings gives its rate
    points = shapely.points(x[part], y[part])
    known = lines[shape[part]]
    planar = _planar_to_dist(network)

    # A tracker knows the segment that it found last.
    near = np.empty(len(x), dtype=np.int64)
    snap_windows(shape_points, first, last, first, last_m, last_m, x, y, found_m, offset_m, near)

    def ours() -> int:
        from_m, to_m = last_m - BEHIND_M, last_m + AHEAD_M
        snap_windows(shape_points, first, last, near, from_m, to_m, x, y, found_m, offset_m, segment)
        return len(x)

    def theirs() -> int:
        shapely.line_locate_point(known, points)
        return len(points)

    ours()
    located = planar(shape[part], shapely.line_locate_point(known, points))
    agree = np.abs(located - found_m[part]) < 1.0
    # Without a window the nearest place may be the other pass of the street: as near or nearer, and far from the bus.
    elsewhere = (located < last_m[part] - BEHIND_M) | (located > last_m[part] + AHEAD_M)
    assert np.mean(agree | elsewhere) > 0.99, "the window snap and shapely disagree"
    assert np.mean(elsewhere) < 0.1, "the window is in the wrong place"
    beam = _BeamStep(work)
    rates = alternate(runs, ours, theirs, beam.step)
    said = f"{work.conditions}; from the segment of the place one ping before"
    window = bench.add("window snap, known route", rates[0], "pings/s", said)
    shapely_known = bench.add("shapely line_locate_point, known route", rates[1], "pings/s", work.conditions)
    bench.add("window snap / shapely", window.median / shapely_known.median, "x", "same run", "≥100")
    rates[2] = beam.rates
    assert beam.rows >= messages.rows(work.simulation.pings) * 0.98, "the beam step lost pings"
    step = bench.add("beam step (the tracker's whole kernel)", rates[2], "pings/s", work.conditions)
    bench.add("beam step / shapely, known route", step.median / shapely_known.median, "x", "same run", "≥5")

    tree, segment_shape = _tree(network)
    tables = tables_of(network)
    nearest_ours = np.empty(len(x), dtype=np.int64)

    def grid() -> int:
        _grid_scan(tables, x, y, nearest_ours)
        return len(x)

    def strtree() -> int:
        tree.nearest(points)
        return len(points)

    grid()
    theirs_m = tree.geometries[tree.nearest(points)]
    gap = shapely.distance(theirs_m, points) - shapely.distance(lines[nearest_ours[part]], points)
    assert np.mean(np.abs(gap) < 0.5) > 0.99, "the grid's nearest shape is not the nearest"
    assert len(segment_shape) > 0
    rates = alternate(runs, grid, strtree)
    looked = bench.add("grid lookup of all shapes near, unknown route", rates[0], "pings/s", work.conditions)
    nearest = bench.add("shapely STRtree.nearest, unknown route", rates[1], "pings/s", work.conditions)
    bench.add("grid lookup / STRtree", looked.median / nearest.median, "x", "same run")


@numba.njit(nogil=True)
def _grid_scan(tables, x, y, out):  # type: ignore[no-untyped-def]
    near = np.empty((MAX_CANDIDATES, 4))
    for i in range(len(x)):
        n = nearest_shapes(tables, x[i], y[i], near)
        out[i] = -1
        best = np.inf
        for k in range(n):
            if near[k, 2] < best:
                best = near[k, 2]
                out[i] = np.int64(near[k, 0])


class _BeamStep:
    """The tracker's kernel on the whole drive, without what Track does before and after it."""

    def __init__(self, work: Workload) -> None:
        self.batches = by_second(work)
        self.track = Track(work.network, SETTINGS)
        self.track.warm_up()
        self.rates: list[float] = []
        self.rows = 0

    def step(self) -> int:
        """One drive; notes the kernel's own rate."""
        kernel, spent = tracking.track, 0.0

        def timed(*arguments):  # type: ignore[no-untyped-def]
            nonlocal spent
            began = time.perf_counter()
            done = kernel(*arguments)
            spent += time.perf_counter() - began
            return done

        state, pings, self.rows = self.track.fresh(0), 0, 0
        tracking.track = timed
        try:
            for record_time, batch in self.batches:
                facts, rejects = self.track.advance(state, batch, record_time)
                self.rows += messages.rows(facts["positions"]) + messages.rows(rejects)
                pings += messages.rows(batch)
        finally:
            tracking.track = kernel
        self.rates.append(pings / spent)
        return pings


def _in_service(work: Workload) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Pings in service that are no outliers, their true pattern, and where the bus truly was one ping before."""
    row, pattern = pattern_of_truth(work)
    truth, pings = work.simulation.truth, work.simulation.pings
    in_service = (row >= 0) & (pattern >= 0) & (truth["phase"][row] == "in_service")
    x, y = work.network.project(pings["lat"], pings["lon"])
    true_x, true_y = work.network.project(truth["lat"][row], truth["lon"][row])
    use = np.flatnonzero(in_service & (np.hypot(x - true_x, y - true_y) < 40.0))
    last_m = truth["dist_m"][row[use]] - 30.0  # six metres a second for five seconds
    return {k: v[use] for k, v in pings.items()}, pattern[use], last_m


def _lines(network: Network) -> np.ndarray:
    points = np.column_stack([network.point_x, network.point_y])
    start = network.shape_start
    return np.array([shapely.linestrings(points[start[i] : start[i + 1]]) for i in range(len(network.shape_ids))])


def _planar_to_dist(network: Network):  # type: ignore[no-untyped-def]
    """Metres along the drawn line (shapely's) to metres along the shape (on the sphere)."""
    start = network.shape_start

    def convert(shape: np.ndarray, planar_m: np.ndarray) -> np.ndarray:
        out = np.empty(len(shape))
        for s in np.unique(shape):
            px, py = network.point_x[start[s] : start[s + 1]], network.point_y[start[s] : start[s + 1]]
            along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(px), np.diff(py)))])
            here = shape == s
            out[here] = np.interp(planar_m[here], along, network.point_dist_m[start[s] : start[s + 1]])
        return out

    return convert


def _tree(network: Network) -> tuple[shapely.STRtree, np.ndarray]:
    same = network.point_shape_ix[1:] == network.point_shape_ix[:-1]
    i = np.flatnonzero(same)
    ends = np.stack(
        [
            np.column_stack([network.point_x[i], network.point_y[i]]),
            np.column_stack([network.point_x[i + 1], network.point_y[i + 1]]),
        ],
        axis=1,
    )
    return shapely.STRtree(shapely.linestrings(ends)), network.point_shape_ix[i]
