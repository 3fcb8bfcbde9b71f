"""Shapes as metres along a line, and where each pattern's stops lie on theirs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from streams.gtfs.network import EARTH_RADIUS_M
from streams.kernels.projection import assign_stops, nearest

HEADING_REACH_M = 12.0  # a heading is taken over this much road to either side: shapes have noisy corners
SIDE_SHARE = 0.6  # so many of the stops must agree on the side of the road they stand on

Array = np.ndarray


@dataclass(frozen=True)
class Shapes:
    """Polylines, one behind the other: points in metres, distance along summed on the sphere."""

    start: Array  # i4 (n + 1)
    x: Array
    y: Array
    dist_m: Array

    @cached_property
    def length_m(self) -> Array:
        """Length of each shape."""
        length: Array = self.dist_m[self.start[1:] - 1]
        return length

    @cached_property
    def point_shape_ix(self) -> Array:
        """Shape of each point (i4)."""
        return np.repeat(np.arange(len(self.start) - 1, dtype=np.int32), np.diff(self.start))

    @cached_property
    def _base(self) -> Array:
        # One axis for all shapes, so that one np.interp serves them all; the gap keeps neighbours apart.
        return np.concatenate([[0.0], np.cumsum(self.length_m + 100.0)[:-1]])

    @cached_property
    def _axis(self) -> Array:
        axis: Array = self.dist_m + self._base[self.point_shape_ix]
        return axis

    def place_at(self, shape_ix: Array, dist_m: Array) -> tuple[Array, Array]:
        """Metres east and north of the place `dist_m` along; beyond an end, the end."""
        at = self._base[shape_ix] + np.clip(dist_m, 0.0, self.length_m[shape_ix])
        return np.interp(at, self._axis, self.x), np.interp(at, self._axis, self.y)

    def heading_at(self, shape_ix: Array, dist_m: Array) -> tuple[Array, Array]:
        """Unit vector (east, north) of the way the shape runs there; (0, 1) where it has no length."""
        ax, ay = self.place_at(shape_ix, dist_m - HEADING_REACH_M)
        bx, by = self.place_at(shape_ix, dist_m + HEADING_REACH_M)
        hx, hy = bx - ax, by - ay
        # at the tip of an out-and-back shape both reaches meet: look one way only, forward first
        for near, far in ((0.0, HEADING_REACH_M), (-HEADING_REACH_M, 0.0)):
            tip = np.flatnonzero(np.hypot(hx, hy) < 1.0)
            if len(tip):
                ax, ay = self.place_at(shape_ix[tip], dist_m[tip] + near)
                bx, by = self.place_at(shape_ix[tip], dist_m[tip] + far)
                hx[tip], hy[tip] = bx - ax, by - ay
        norm = np.hypot(hx, hy)
        lost = norm < 1e-6
        norm[lost] = 1.0
        return np.where(lost, 0.0, hx / norm), np.where(lost, 1.0, hy / norm)

    def samples(self, step_m: float, first: int = 0, last: int | None = None) -> tuple[Array, Array, Array]:
        """Samples every `step_m` from 0 within each of the shapes first..last-1: CSR start (i4), shape, distance."""
        length = self.length_m[first:last]
        count = np.floor(length / step_m).astype(np.int64) + 1
        start = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
        row = np.repeat(np.arange(len(count), dtype=np.int32), count)
        return start, row + np.int32(first), (np.arange(start[-1]) - start[row]) * step_m


def haversine_m(lat_a: Array, lon_a: Array, lat_b: Array, lon_b: Array) -> Array:
    """Metres between places in degrees, on a sphere of EARTH_RADIUS_M."""
    a, b = np.radians(lat_a), np.radians(lat_b)
    h = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(np.radians(lon_b - lon_a) / 2) ** 2
    metres: Array = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, h)))
    return metres


def along_m(start: Array, lat: Array, lon: Array) -> Array:
    """Metres along each polyline (CSR `start`), 0 at its first point."""
    step = np.zeros(len(lat))
    step[1:] = haversine_m(lat[:-1], lon[:-1], lat[1:], lon[1:])
    step[start[:-1]] = 0.0
    # each shape's own sum: differences of one running total would carry the rounding of the whole city
    out = np.empty(len(lat))
    for a, b in zip(start[:-1].tolist(), start[1:].tolist(), strict=True):
        np.cumsum(step[a:b], out=out[a:b])
    return out


def stops_along(
    shapes: Shapes, shape_ix: Array, start: Array, stop_x: Array, stop_y: Array, fraction: Array
) -> tuple[Array, Array, Array]:
    """Each pattern's stops (CSR `start`) on its shape: metres along, never going back; metres off; least metres off.

    `fraction` is the share of the run's time that has passed at the stop (NaN unknown). Where the offset is far above
    the least one the shape does not pass the stops in their order.
    """
    n = len(stop_x)
    least, side = np.empty(n), np.zeros(n, dtype=np.int8)
    nearest(stop_x, stop_y, start, shape_ix, shapes.start, shapes.x, shapes.y, least, side)
    left, right = int((side > 0).sum()), int((side < 0).sum())
    road_side = 0
    if left + right >= 20 and max(left, right) >= SIDE_SHARE * (left + right):
        road_side = 1 if left > right else -1
    dist, offset = np.empty(n), np.empty(n)
    assign_stops(
        stop_x, stop_y, fraction, start, shape_ix,
        shapes.start, shapes.x, shapes.y, shapes.dist_m, road_side, dist, offset,
    )  # fmt: skip
    return dist, offset, least
