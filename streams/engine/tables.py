"""The network, the settings and the calendar in the form that the tracker's kernels read."""

from collections import OrderedDict
from dataclasses import fields
from datetime import date

import numpy as np

from streams.gtfs.calendar import day_start, local_date, zone_of
from streams.gtfs.network import EARTH_RADIUS_M, Network
from streams.gtfs.service import PlannedService
from streams.kernels import tracking
from streams.kernels.tables import BUCKET_S, Params, Tables, Times
from streams.settings import Track as TrackSettings

Array = np.ndarray

UNPLANNED = 0.02  # vehicles on a pattern that the timetable does not expect now: charters, early and late ones
KEPT = 512  # buckets remembered
DAY_S = 86_400


def params_of(settings: TrackSettings) -> Params:
    """The settings as the kernels take them."""
    names = {f.name for f in fields(settings)}
    return Params(**{name: getattr(settings, name) for name in Params._fields if name in names})


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
    wait_x, wait_y = np.full((patterns, 2), np.nan), np.full((patterns, 2), np.nan)
    wait_x[:, 0], wait_y[:, 0] = n.point_x[first], n.point_y[first]
    leads = np.flatnonzero(follows >= 0)[::-1]  # of several that lead to one, the first
    wait_x[follows[leads], 1], wait_y[follows[leads], 1] = n.point_x[last[leads]], n.point_y[last[leads]]
    by_start = np.lexsort((n.trip_start_s, n.trip_pattern_ix))
    by_route = np.argsort(n.pattern_route_ix, kind="stable")
    freq = np.argsort(n.freq_trip_ix, kind="stable")

    def kept(array: Array, dtype: type) -> Array:
        return np.ascontiguousarray(array, dtype=dtype)

    def starts(owner: Array, count: int) -> Array:
        return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).astype(np.int32)

    return Tables(
        kept(n.point_x, np.float64),
        kept(n.point_y, np.float64),
        kept(n.point_dist_m, np.float64),
        kept(n.point_shape_ix, np.int32),
        kept(n.shape_pattern_start, np.int32),
        kept(n.shape_pattern_ix, np.int32),
        kept(first, np.int32),
        kept(last, np.int32),
        kept(n.pattern_length_m, np.float64),
        kept(n.pattern_route_ix, np.int32),
        kept(n.pattern_direction, np.int8),
        kept(n.pattern_route_dir_ix, np.int32),
        kept(follows, np.int32),
        wait_x,
        wait_y,
        starts(n.pattern_route_ix, len(n.route_ids)),
        kept(by_route, np.int32),
        kept(n.pstop_start, np.int32),
        kept(n.pstop_stop_ix, np.int32),
        kept(n.pstop_sequence, np.int32),
        kept(n.pstop_dist_m, np.float64),
        kept(n.pstop_departure_s, np.float64),
        kept(n.pstop_gate_seq, np.int32),
        kept(n.pgate_start, np.int32),
        kept(n.pgate_dist_m, np.float64),
        kept(n.pgate_stop_pos, np.int32),
        kept(n.span_start, np.int32),
        kept(n.span_dist_m, np.float64),
        kept(n.span_cell_ix, np.int32),
        starts(n.trip_pattern_ix, patterns),
        kept(by_start, np.int32),
        kept(n.trip_start_s, np.float64),
        kept(n.trip_is_frequency, np.bool_),
        kept(n.trip_service_ix, np.int32),
        kept(n.trip_block_ix, np.int32),
        kept(n.trip_time_start, np.int64),
        kept(n.trip_time_departure_s, np.float32),
        starts(n.freq_trip_ix, len(n.trip_ids)),
        kept(n.freq_start_s[freq], np.float64),
        kept(n.freq_end_s[freq], np.float64),
        kept(n.service_active, np.bool_),
        int(n.first_day),
        float(n.grid_x0),
        float(n.grid_y0),
        float(n.grid_size_m),
        int(n.grid_nx),
        int(n.grid_ny),
        kept(n.grid_start, np.int32),
        kept(n.grid_segment, np.int32),
    )


class TimesOf:
    """What the timetable expects and when service days begin, for the times of a batch; remembers what it worked out."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.zone = zone_of(network.timezone)
        self._planned = PlannedService(network)
        self._prior: OrderedDict[int, Array] = OrderedDict()
        self._last: tuple[tuple[int, ...], Times] | None = None

    def of(self, t: Array, fleet: tracking.Fleet, vehicles: Array) -> Times:
        """Tables for the times `t` and all pings in the rings of the vehicles (rows), which may be worked out again."""
        buckets = np.unique(np.floor_divide(t, BUCKET_S).astype(np.int64))
        ring = np.floor_divide(fleet.ring.t[vehicles], BUCKET_S).astype(np.int64)
        full = np.arange(tracking.RING)[None, :] < fleet.count[vehicles, tracking.RINGED, None]
        buckets = np.union1d(buckets, ring[full])
        key = tuple(buckets.tolist())
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        if not key:
            buckets = np.zeros(1, dtype=np.int64)
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
        times = Times(buckets, prior, np.array(days, dtype=np.int32), np.array(begin, dtype=np.float64))
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
