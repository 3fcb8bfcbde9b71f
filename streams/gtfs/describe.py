"""What the topic `network` tells the API: names, stops, patterns with lines and timetable, as one JSON record."""

from datetime import date
from typing import Any

import numpy as np
import orjson

from streams.gtfs.network import Network
from streams.kernels.projection import simplify
from streams.polyline import encode

TOLERANCE_M = 6.0

Array = np.ndarray


def describe(network: Network) -> bytes:
    """The record of this network.

    {"hash", "feed_version", "timezone",
     "routes":   [{"route_id", "short_name", "long_name", "color", "lane"}],
     "stops":    [{"stop_id", "name", "lat", "lon", "parent_id"}],
     "patterns": [{"pattern_id", "route_id", "direction_id", "direction_inferred", "headsign", "stop_ids",
                   "stop_sequences", "stop_dist_m", "length_m", "polyline", "dist_m",
                   "running_s", "trips": {"trip_id", "service", "start_s", "running", "numbering"}, "numberings",
                   "frequencies": {"trip", "start_s", "end_s", "headway_s", "exact"}}],
     "calendar": {"first_day", "n_days", "services": [{"service_id", "days"}]}}

    direction_inferred  the direction_id is not the feed's, which has none
    polyline     text of streams.polyline, drawn to within 6 m; dist_m (whole metres) stays that of the full shape
    running_s    different ways to be timed: whole seconds from each stop's arrival to the next one's
    trips        columns; service is a position in calendar.services, running one in running_s, start_s the first
                 departure in seconds of the service day
    numberings   stop_sequences of trips that number the pattern's stops otherwise; trips.numbering is a position in
                 them, null for the pattern's own; both are there only where there are such trips
    frequencies  columns; trip is a position in trips
    days         the days from first_day (YYYY-MM-DD) on, a bit each, as hexadecimal digits, the first day highest
    """
    n = network
    keep = simplify(n.point_x, n.point_y, n.shape_start, TOLERANCE_M)
    lat, lon = n.unproject(n.point_x, n.point_y)
    lines = []
    for s in range(len(n.shape_ids)):
        at = np.arange(n.shape_start[s], n.shape_start[s + 1])
        at = at[keep[at]]
        line = encode(zip(lat[at].tolist(), lon[at].tolist(), strict=True))
        lines.append((line, np.rint(n.point_dist_m[at]).astype(int).tolist()))
    times = _Times(n)
    return orjson.dumps(
        {
            "hash": n.hash,
            "feed_version": n.feed_version,
            "timezone": n.timezone,
            "routes": [
                {"route_id": r, "short_name": s, "long_name": long, "color": c, "lane": "busway" if b else "mixed"}
                for r, s, long, c, b in zip(
                    n.route_ids,
                    n.route_short_name,
                    n.route_long_name,
                    n.route_color,
                    n.route_busway.tolist(),
                    strict=True,
                )
            ],
            "stops": [
                {"stop_id": s, "name": name, "lat": a, "lon": o, "parent_id": n.stop_ids[p] if p >= 0 else None}
                for s, name, a, o, p in zip(
                    n.stop_ids,
                    n.stop_name,
                    _round(n.stop_lat, 6),
                    _round(n.stop_lon, 6),
                    n.stop_parent_ix.tolist(),
                    strict=True,
                )
            ],
            "patterns": [
                {**_pattern(n, p, *lines[n.pattern_shape_ix[p]]), **times.of(p)} for p in range(len(n.pattern_ids))
            ],
            "calendar": {
                "first_day": date.fromordinal(n.first_day).isoformat(),
                "n_days": n.service_active.shape[1],
                "services": [
                    {"service_id": service, "days": np.packbits(days).tobytes().hex()}
                    for service, days in zip(n.service_ids, n.service_active, strict=True)
                ],
            },
        }
    )


def _pattern(n: Network, p: int, line: str, dist_m: list[int]) -> dict[str, Any]:
    stops = slice(n.pstop_start[p], n.pstop_start[p + 1])
    direction = int(n.pattern_direction[p])
    return {
        "pattern_id": n.pattern_ids[p],
        "route_id": n.route_ids[n.pattern_route_ix[p]],
        "direction_id": direction if direction >= 0 else None,
        "direction_inferred": bool(n.pattern_direction_inferred[p]),
        "headsign": n.pattern_headsign[p],
        "stop_ids": [n.stop_ids[s] for s in n.pstop_stop_ix[stops].tolist()],
        "stop_sequences": n.pstop_sequence[stops].tolist(),
        "stop_dist_m": _round(n.pstop_dist_m[stops], 1),
        "length_m": round(float(n.pattern_length_m[p]), 1),
        "polyline": line,
        "dist_m": dist_m,
    }


class _Times:
    """The timetable by pattern: trips that are timed alike share one list of running times."""

    def __init__(self, network: Network) -> None:
        self.network = network
        patterns = np.arange(len(network.pattern_ids) + 1)
        self.trips = np.argsort(network.trip_pattern_ix, kind="stable")
        self.start = np.searchsorted(network.trip_pattern_ix[self.trips], patterns)
        freq_pattern = network.trip_pattern_ix[network.freq_trip_ix]
        self.freqs = np.argsort(freq_pattern, kind="stable")
        self.freq_start = np.searchsorted(freq_pattern[self.freqs], patterns)

    def of(self, p: int) -> dict[str, Any]:
        """running_s, trips and frequencies of a pattern."""
        n = self.network
        trips = self.trips[self.start[p] : self.start[p + 1]]
        freqs = self.freqs[self.freq_start[p] : self.freq_start[p + 1]]
        ways: dict[tuple[int, ...], int] = {}
        running = []
        for trip in trips.tolist():
            arrival = n.trip_time_arrival_s[n.trip_time_start[trip] : n.trip_time_start[trip + 1]].astype(np.float64)
            seconds = np.rint(arrival).astype(int)
            seconds[0] = round(float(n.trip_start_s[trip]))
            running.append(ways.setdefault(tuple(np.diff(seconds).tolist()), len(ways)))
        other = n.trip_numbering_ix[trips]
        numberings = np.unique(other[other >= 0]).tolist()
        numbering = {
            "numbering": [numberings.index(k) if k >= 0 else None for k in other.tolist()],
        } if numberings else {}  # fmt: skip
        sequences = [n.numbering_sequence[n.numbering_start[k] : n.numbering_start[k + 1]].tolist() for k in numberings]
        return {
            "running_s": list(ways),
            **({"numberings": sequences} if sequences else {}),
            "trips": {
                "trip_id": [n.trip_ids[t] for t in trips.tolist()],
                "service": n.trip_service_ix[trips].tolist(),
                "start_s": np.rint(n.trip_start_s[trips]).astype(int).tolist(),
                "running": running,
                **numbering,
            },
            "frequencies": {
                "trip": np.searchsorted(trips, n.freq_trip_ix[freqs]).tolist(),
                "start_s": np.rint(n.freq_start_s[freqs]).astype(int).tolist(),
                "end_s": np.rint(n.freq_end_s[freqs]).astype(int).tolist(),
                "headway_s": np.rint(n.freq_headway_s[freqs]).astype(int).tolist(),
                "exact": n.freq_exact[freqs].astype(int).tolist(),
            },
        }


def _round(values: Array, digits: int) -> list[float]:
    out: list[float] = np.round(values, digits).tolist()
    return out
