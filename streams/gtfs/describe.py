"""What the topic `network` tells the API: names, stops, patterns and their lines, as one JSON record."""

from typing import Any

import numpy as np
import orjson

from streams.gtfs.network import Network
from streams.kernels.projection import simplify

TOLERANCE_M = 6.0

Array = np.ndarray


def describe(network: Network) -> bytes:
    """The record of this network; lines are drawn to within 6 m, `dist_m` (whole metres) stays that of the full shape.

    {"hash", "feed_version", "timezone",
     "routes":   [{"route_id", "short_name", "long_name", "color", "lane"}],
     "stops":    [{"stop_id", "name", "lat", "lon", "parent_id"}],
     "patterns": [{"pattern_id", "route_id", "direction_id", "headsign", "stop_ids", "stop_sequences", "stop_dist_m",
                   "length_m", "polyline": [[lon, lat], ...], "dist_m": [...]}],
     "headways": [{"pattern_id", "start_s", "end_s", "headway_s"}]}   seconds of the service day, frequencies only
    """
    n = network
    keep = simplify(n.point_x, n.point_y, n.shape_start, TOLERANCE_M)
    lat, lon = n.unproject(n.point_x, n.point_y)
    lines = []
    for s in range(len(n.shape_ids)):
        at = np.arange(n.shape_start[s], n.shape_start[s + 1])
        at = at[keep[at]]
        line = [[o, a] for o, a in zip(_round(lon[at], 5), _round(lat[at], 5), strict=True)]
        lines.append((line, np.rint(n.point_dist_m[at]).astype(int).tolist()))
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
            "patterns": [_pattern(n, p, *lines[n.pattern_shape_ix[p]]) for p in range(len(n.pattern_ids))],
            "headways": [
                {"pattern_id": n.pattern_ids[p], "start_s": a, "end_s": b, "headway_s": h}
                for p, a, b, h in zip(
                    n.trip_pattern_ix[n.freq_trip_ix].tolist(),
                    n.freq_start_s.tolist(),
                    n.freq_end_s.tolist(),
                    n.freq_headway_s.tolist(),
                    strict=True,
                )
            ],
        }
    )


def _pattern(n: Network, p: int, line: list[list[float]], dist_m: list[int]) -> dict[str, Any]:
    stops = slice(n.pstop_start[p], n.pstop_start[p + 1])
    direction = int(n.pattern_direction[p])
    return {
        "pattern_id": n.pattern_ids[p],
        "route_id": n.route_ids[n.pattern_route_ix[p]],
        "direction_id": direction if direction >= 0 else None,
        "headsign": n.pattern_headsign[p],
        "stop_ids": [n.stop_ids[s] for s in n.pstop_stop_ix[stops].tolist()],
        "stop_sequences": n.pstop_sequence[stops].tolist(),
        "stop_dist_m": _round(n.pstop_dist_m[stops], 1),
        "length_m": round(float(n.pattern_length_m[p]), 1),
        "polyline": line,
        "dist_m": dist_m,
    }


def _round(values: Array, digits: int) -> list[float]:
    out: list[float] = np.round(values, digits).tolist()
    return out
