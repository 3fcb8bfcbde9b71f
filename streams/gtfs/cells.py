"""Directed cells: pieces of road, H3 res 10 x heading octant x lane, that every route running there shares."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import h3.api.numpy_int as h3
import numpy as np

from streams.gtfs.gates import octant_of
from streams.gtfs.shapes import Shapes
from streams.kernels.laying import merge_short

RESOLUTION = 10
SAMPLE_M = 5.0
COARSE = 4  # samples between two that are always looked up; between equal ones nothing is
SHORTEST_SPAN_M = 25.0  # below this a traversal's time is mostly GPS error; also the diagonal of a corner

CHUNK = 250_000  # samples held at a time

Array = np.ndarray
ToDegrees = Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Cells:
    """Columns `cell_*` and `span_*` of the network."""

    h3: Array
    octant: Array
    busway: Array
    start: Array
    dist_m: Array
    cell_ix: Array


def lay(shapes: Shapes, to_degrees: ToDegrees, pattern_shape_ix: Array, pattern_busway: Array) -> Cells:
    """Runs of directed cells along every pattern; `to_degrees` turns metres into latitude and longitude."""
    n = len(shapes.length_m)
    ends = np.cumsum(shapes.length_m / SAMPLE_M)
    cuts = np.unique(np.searchsorted(ends, np.arange(0.0, ends[-1] + 1, CHUNK), side="left"))
    parts = [_runs(shapes, to_degrees, a, b) for a, b in zip(cuts, [*cuts[1:], n], strict=True) if b > a]
    count, hexagon, octant, begin = (np.concatenate(column) for column in zip(*parts, strict=True))
    table, place = np.unique(hexagon, return_inverse=True)
    run_start = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    run_start, run_key, begin = merge_short(run_start, place * 8 + octant, begin, shapes.length_m, SHORTEST_SPAN_M)
    # per pattern: the runs of its shape, in the lane of its route
    count = np.diff(run_start)[pattern_shape_ix]
    span_start = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    pattern_of = np.repeat(np.arange(len(count)), count)
    row = np.arange(span_start[-1]) - span_start[pattern_of] + run_start[pattern_shape_ix[pattern_of]]
    directed, cell_ix = np.unique(run_key[row] * 2 + pattern_busway[pattern_of], return_inverse=True)
    return Cells(
        h3=table[directed // 16],
        octant=(directed // 2 % 8).astype(np.int8),
        busway=directed % 2 == 1,
        start=span_start,
        dist_m=begin[row],
        cell_ix=cell_ix.astype(np.int32),
    )


def _runs(shapes: Shapes, to_degrees: ToDegrees, first: int, last: int) -> tuple[Array, Array, Array, Array]:
    """Of the shapes first..last-1: how many runs each has; and of the runs the H3 cell, octant and beginning."""
    start, shape_of, dist = shapes.samples(SAMPLE_M, first, last)
    octant = octant_of(np.degrees(np.arctan2(*shapes.heading_at(shape_of, dist))) % 360.0)
    hexagon = _cells_of(*to_degrees(*shapes.place_at(shape_of, dist)), start)
    new = np.ones(len(dist), dtype=np.bool_)
    new[1:] = (hexagon[1:] != hexagon[:-1]) | (octant[1:] != octant[:-1]) | (shape_of[1:] != shape_of[:-1])
    run = np.flatnonzero(new)
    begin = np.maximum(0.0, dist[run] - SAMPLE_M / 2)  # half-way to the sample before
    return np.diff(np.searchsorted(run, start)), hexagon[run], octant[run].astype(np.int64), begin


def _cells_of(lat: Array, lon: Array, start: Array) -> Array:
    """H3 cell of each sample (u8). A cell is 130 m across: where two samples 20 m apart agree, so do those between."""
    look_up = partial(h3.latlng_to_cell, res=RESOLUTION)
    n = len(lat)
    position = np.arange(n) - np.repeat(start[:-1], np.diff(start))
    coarse = position % COARSE == 0
    coarse[start[1:] - 1] = True
    known = np.flatnonzero(coarse)
    out = np.zeros(n, dtype=np.uint64)
    out[known] = [look_up(a, o) for a, o in zip(lat[known].tolist(), lon[known].tolist(), strict=True)]
    before = known[np.searchsorted(known, np.arange(n), side="right") - 1]
    after = known[np.searchsorted(known, np.arange(n), side="left")]
    agree = out[before] == out[after]
    out = np.where(agree, out[before], out)
    rest = np.flatnonzero(~agree & ~coarse)
    out[rest] = [look_up(a, o) for a, o in zip(lat[rest].tolist(), lon[rest].tolist(), strict=True)]
    return out
