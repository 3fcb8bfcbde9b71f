"""The network, the settings and the calendar in the form that the tracker's kernels read."""

from collections import OrderedDict
from dataclasses import fields
from datetime import date
from functools import lru_cache

import numpy as np

from streams.gtfs.calendar import day_start, local_date, zone_of
from streams.gtfs.network import EARTH_RADIUS_M, Network
from streams.gtfs.service import PlannedService
from streams.kernels import tables as k
from streams.kernels import tracking
from streams.kernels.tables import BUCKET_S, Params, Tables, Times
from streams.settings import Track as TrackSettings

Array = np.ndarray

UNPLANNED = 0.02  # vehicles on a pattern that the timetable does not expect now: charters, early and late ones
KEPT = 512  # buckets remembered
MANY = 12  # buckets in a row that are tabulated without asking which of them matter
DAY_S = 86_400
CHORD_M = 20.0
LOOSE_SHARE, LOOSE_FROM_M, LOOSE_M = 0.12, 100.0, 80.0
JOINTS, JOINT_M = 0.8, 3.0  # a shape joins its stops where so many of its points are this near to one
ALONG_S = 16  # fixes farther apart than this say nothing of the way between by their speeds
FIX_M = 2.0
SAMPLED_MPS2 = 0.08  # of a distance from two speeds: how wrong it is grows with the square of the time between them
STANDING_SHARE = 0.05  # of the odometer's variance while a vehicle stands


def params_of(settings: TrackSettings) -> Params:
    """The settings as the kernels take them."""
    names = {f.name for f in fields(settings)}
    values = {name: getattr(settings, name) for name in Params._fields if name in names}
    return Params(**values, along=along_gains(settings))


@lru_cache(maxsize=16)  # a third of a second each, and every tracker of a process has the same
def along_gains(settings: TrackSettings) -> Array:
    """Gains of the filter of (place, GPS error) along a route when speed is reported, f8 (ALONG_S, 5).

    Row k is for fixes about k seconds apart: what is left of the error, then the gains of place and error of a vehicle
    that drives, and of one that stands. They are the steady state of a Kalman filter: the place moves by the reported
    speed with `odometry_m2_s` of variance a second, and by what the speed did between the two reports; the error is a
    first-order Gauss-Markov process of `sigma_m` that forgets in half of `offset_tempering_s`, and a fix adds `FIX_M`
    of its own.
    """
    tau = settings.offset_tempering_s / 2.0
    out = np.zeros((ALONG_S, 5))
    see = np.ones(2)
    for row in range(ALONG_S):
        dt = row + 0.5
        keep = np.exp(-dt / tau)
        move = np.diag([1.0, keep])
        out[row, 0] = keep
        for column, odometry in ((1, settings.odometry_m2_s), (3, STANDING_SHARE * settings.odometry_m2_s)):
            added = np.diag([odometry * dt + (SAMPLED_MPS2 * dt * dt) ** 2, settings.sigma_m**2 * (1.0 - keep**2)])
            spread = np.diag([settings.sigma_m**2, settings.sigma_m**2])
            gains = see
            for _ in range(500):
                spread = move @ spread @ move.T + added
                gains = spread @ see / (see @ spread @ see + FIX_M**2)
                spread = spread - np.outer(gains, see @ spread)
            out[row, column : column + 2] = gains
    return out


def place_of(network: Network) -> tracking.Place:
    """The network's projection, for millionths of a degree."""
    metres = np.pi / 180.0 * EARTH_RADIUS_M * 1e-6
    return tracking.Place(
        float(metres * np.cos(np.radians(network.origin_lat))),
        float(metres),
        network.origin_lat * 1e6,
        network.origin_lon * 1e6,
    )


def tables_of(n: Network) -> Tables:
    """The network's arrays, and the few that follow from them."""
    shape = n.pattern_shape_ix
    first, last = n.shape_start[shape], n.shape_start[shape + 1] - 1
    patterns = len(n.pattern_ids)
    follows = np.where((n.pattern_partner_ix < 0) & n.pattern_is_loop, np.arange(patterns), n.pattern_partner_ix)
    wait = np.full((patterns, 4), np.nan)
    wait[:, 0], wait[:, 1] = n.point_x[first], n.point_y[first]
    leads = np.flatnonzero(follows >= 0)[::-1]  # of several that lead to one, the first
    wait[follows[leads], 2], wait[follows[leads], 3] = n.point_x[last[leads]], n.point_y[last[leads]]
    by_start = np.lexsort((n.trip_start_s, n.trip_pattern_ix))
    by_route = np.argsort(n.pattern_route_ix, kind="stable")
    freq = np.argsort(n.freq_trip_ix, kind="stable")

    def starts(owner: Array, count: int) -> Array:
        return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))])

    integers = {
        k.SHAPE_PATTERN_START: n.shape_pattern_start,
        k.SHAPE_PATTERN_IX: n.shape_pattern_ix,
        k.PATTERN_FIRST: first,
        k.PATTERN_LAST: last,
        k.PATTERN_ROUTE_IX: n.pattern_route_ix,
        k.PATTERN_DIRECTION: n.pattern_direction,
        k.PATTERN_ROUTE_DIR_IX: n.pattern_route_dir_ix,
        k.PATTERN_NEXT_IX: follows,
        k.ROUTE_PATTERN_START: starts(n.pattern_route_ix, len(n.route_ids)),
        k.ROUTE_PATTERN_IX: by_route,
        k.PSTOP_START: n.pstop_start,
        k.PSTOP_STOP_IX: n.pstop_stop_ix,
        k.PSTOP_SEQUENCE: n.pstop_sequence,
        k.PGATE_START: n.pgate_start,
        k.PGATE_STOP_POS: np.where(n.pgate_stop_pos >= 0, n.pgate_stop_pos, -1 - stops_before(n)),
        k.PGATE_GATE_IX: n.pgate_gate_ix,
        k.SPAN_START: n.span_start,
        k.SPAN_CELL_IX: n.span_cell_ix,
        k.PATTERN_TRIP_START: starts(n.trip_pattern_ix, patterns),
        k.PATTERN_TRIP_IX: by_start,
        k.TRIP_IS_FREQUENCY: n.trip_is_frequency,
        k.TRIP_SERVICE_IX: n.trip_service_ix,
        k.TRIP_BLOCK_IX: n.trip_block_ix,
        k.TRIP_FREQ_START: starts(n.freq_trip_ix, len(n.trip_ids)),
        k.SERVICE_ACTIVE: n.service_active.ravel(),
        k.GRID_START: n.grid_start,
        k.GRID_SEGMENT: n.grid_segment,
    }
    numbers = {
        k.PATTERN_LENGTH_M: n.pattern_length_m,
        k.PATTERN_END_M: n.pstop_dist_m[n.pstop_start[1:] - 1],
        k.PATTERN_WAIT: wait.ravel(),
        k.PSTOP_DIST_M: n.pstop_dist_m,
        k.PSTOP_DEPARTURE_S: n.pstop_departure_s,
        k.PGATE_DIST_M: n.pgate_dist_m,
        k.SPAN_DIST_M: n.span_dist_m,
        k.TRIP_START_S: n.trip_start_s,
        k.FREQ_START_S: n.freq_start_s[freq],
        k.FREQ_END_S: n.freq_end_s[freq],
        k.GRID: np.array([n.grid_x0, n.grid_y0, n.grid_size_m]),
    }
    at = np.zeros(k.ENTRIES, dtype=np.int64)
    at[k.FIRST_DAY], at[k.N_DAYS] = n.first_day, n.service_active.shape[1]
    at[k.GRID_NX], at[k.GRID_NY] = n.grid_nx, n.grid_ny
    for pool in (integers, numbers):
        names, ends = list(pool), np.cumsum([len(a) for a in pool.values()])
        at[names] = np.concatenate([[0], ends[:-1]])
    return k.Tables(
        np.column_stack([n.point_x, n.point_y, n.point_dist_m]).astype(np.float64),
        np.column_stack([headings(n), looseness(n), n.point_shape_ix]),
        np.concatenate(list(integers.values())).astype(np.int32),
        np.concatenate(list(numbers.values())).astype(np.float64),
        at,
    )


def stops_before(n: Network) -> Array:
    """How many stops of its pattern lie before each gate, i8 (gates of patterns)."""
    before = np.concatenate([[0], np.cumsum(n.pgate_stop_pos >= 0)])
    lies: Array = before[:-1] - np.repeat(before[n.pgate_start[:-1]], np.diff(n.pgate_start))
    return lies


def headings(n: Network) -> Array:
    """The way each shape leads at each of its segments, as unit vectors f8 (points, 2).

    That of the chord from CHORD_M before the segment's middle to CHORD_M after it: a vehicle is not known better than
    that, and the kinks of a drawn line say nothing. Where the chord is short (a shape that turns back on the spot), the
    segment's own; (0, 0) where that has no length either.
    """
    x, y = n.point_x.astype(np.float64), n.point_y.astype(np.float64)
    shape, dist = n.point_shape_ix.astype(np.int64), n.point_dist_m.astype(np.float64)
    after = np.minimum(np.arange(len(x)) + 1, n.shape_start[shape + 1] - 1)
    own = np.column_stack([x[after] - x, y[after] - y])
    middle = 0.5 * (dist + dist[after])
    first, last = n.shape_start[shape], n.shape_start[shape + 1] - 1
    apart = 2.0 * (dist.max(initial=0.0) + 1.0)  # shapes one after the other on one line
    line = dist + shape * apart

    def at(m: Array) -> Array:
        place = np.clip(m, dist[first], dist[last]) + shape * apart
        return np.column_stack([np.interp(place, line, x), np.interp(place, line, y)])

    chord = at(middle + CHORD_M) - at(middle - CHORD_M)
    chosen = np.where(np.hypot(*chord.T)[:, None] >= 0.25 * CHORD_M, chord, own)
    length = np.hypot(*chosen.T)[:, None]
    unit: Array = np.divide(chosen, length, out=np.zeros_like(chosen), where=length > 0.0)
    return unit


def looseness(n: Network) -> Array:
    """How far the street may be from each segment of a shape, one standard deviation in metres, f8 (points).

    0 where a shape was drawn. Where it only joins the stops (a feed without shapes), the street between two of them
    may be anywhere near: LOOSE_SHARE of the way.
    """
    out = np.zeros(len(n.point_x))
    for p, shape in enumerate(n.pattern_shape_ix.tolist()):
        a, b = int(n.shape_start[shape]), int(n.shape_start[shape + 1])
        dist = n.point_dist_m[a:b].astype(np.float64)
        stops = n.pstop_dist_m[n.pstop_start[p] : n.pstop_start[p + 1]]
        after = np.searchsorted(stops, dist)
        near = np.minimum(
            np.abs(stops[np.minimum(after, len(stops) - 1)] - dist), np.abs(stops[np.maximum(after - 1, 0)] - dist)
        )
        joins = near < JOINT_M
        length = np.diff(dist)
        if joins.mean() >= JOINTS:
            out[a : b - 1] = np.where(length >= LOOSE_FROM_M, np.minimum(LOOSE_SHARE * length, LOOSE_M), 0.0)
    return out


class TimesOf:
    """What the timetable expects and when service days begin, for the times of a batch."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.zone = zone_of(network.timezone)
        self._planned = PlannedService(network)
        self._prior: OrderedDict[int, Array] = OrderedDict()
        self._last: tuple[tuple[int, ...], Times] | None = None

    def of(self, t: Array, fleet: tracking.Fleet, vehicles: Array) -> Times:
        """Tables for the times `t` and all pings in the rings of the vehicles (rows), which may be worked out again."""
        if not len(t):
            t = np.zeros(1)
        oldest = fleet.ring_f[vehicles, 0, tracking.TIME]
        oldest = oldest[fleet.tally[vehicles, tracking.RINGED] > 0]
        first = int(min(t.min(), oldest.min(initial=np.inf)) // BUCKET_S)
        last = int(t.max() // BUCKET_S)
        if last - first < MANY:
            buckets = np.arange(first, last + 1)
        else:  # some ring holds pings from long ago
            ring = np.floor_divide(fleet.ring_f[vehicles, :, tracking.TIME], BUCKET_S).astype(np.int64)
            full = np.arange(tracking.RING)[None, :] < fleet.tally[vehicles, tracking.RINGED, None]
            buckets = np.union1d(np.floor_divide(t, BUCKET_S).astype(np.int64), ring[full])
        key = tuple(buckets.tolist())
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        prior = np.stack([self._log_prior(int(b)) for b in buckets])
        first = local_date(float(buckets[0]) * BUCKET_S, self.zone).toordinal() - 2
        last = local_date(float(buckets[-1] + 1) * BUCKET_S, self.zone).toordinal() + 1
        if last - first > 4 + 2 * len(buckets):
            near = {local_date(float(b) * BUCKET_S, self.zone).toordinal() for b in buckets}
            days = sorted({d + k for d in near for k in (-2, -1, 0, 1)})
        else:
            days = list(range(first, last + 1))
        days = [d for d in days if 1 <= d < date.max.toordinal()]
        begin = [day_start(date.fromordinal(d), self.zone) for d in days]
        times = Times(buckets, prior, np.column_stack([days, begin]).astype(np.float64))
        self._last = (key, times)
        return times

    def _log_prior(self, bucket: int) -> Array:
        if bucket in self._prior:
            self._prior.move_to_end(bucket)
            return self._prior[bucket]
        vehicles = self._planned.at(float(bucket) * BUCKET_S).vehicles
        self._prior[bucket] = np.log(vehicles + UNPLANNED).astype(np.float32)
        if len(self._prior) > KEPT:
            self._prior.popitem(last=False)
        return self._prior[bucket]
