"""A small city for the tests of API and map: one network record, and topic records made with streams.messages."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import h3
import numpy as np
import orjson

from api.view import View
from streams import messages
from streams.polyline import encode
from streams.settings import Api

NOW = 1_764_288_000.0  # a minute like any other
LAT, LON = -6.2, 106.82
STEP_DEG = 0.0045  # about 500 m
CELL = h3.latlng_to_cell(LAT + 0.0075, LON, 10)


def network(hash: str = "0123456789ab", feed_version: str = "test") -> bytes:
    """Route 1 goes north along five stops and back, every five minutes from 05:00 to 22:00; two minutes a stop.

    Route 2 crosses it eastward at stop C, by timetable: at 07:00 and 07:30.
    """
    stops = [
        {"stop_id": s, "name": f"{name}", "lat": LAT + i * STEP_DEG, "lon": LON, "parent_id": "T" if s == "C" else None}
        for i, (s, name) in enumerate(
            [("A", "Blok Akasia"), ("B", "Blok Beringin"), ("C", "Café Cendana"), ("D", "Dukuh"), ("E", "Eboni")]
        )
    ]
    stops += [
        {"stop_id": s, "name": name, "lat": LAT + 2 * STEP_DEG, "lon": LON + dx * STEP_DEG, "parent_id": parent}
        for s, name, dx, parent in [("W", "Waru", -2, None), ("C2", "Cendana 2", 0.02, "T"), ("X", "Jati", 2, None)]
    ]
    stops.append({"stop_id": "T", "name": "Terminal Cendana", "lat": LAT + 2 * STEP_DEG, "lon": LON, "parent_id": None})
    place = {s["stop_id"]: (s["lat"], s["lon"]) for s in stops}
    return orjson.dumps(
        {
            "hash": hash,
            "feed_version": feed_version,
            "timezone": "Asia/Jakarta",
            "routes": [
                {
                    "route_id": "1",
                    "short_name": "1",
                    "long_name": "Akasia - Eboni",
                    "color": "E03C31",
                    "lane": "busway",
                },
                {"route_id": "2", "short_name": "2", "long_name": "Waru - Jati", "color": "2F8FED", "lane": "mixed"},
            ],
            "stops": stops,
            "patterns": [
                _pattern("1:0:aaaaaa", "1", 0, "Eboni", "ABCDE", place, {"1-a": EVERY_FIVE}),
                _pattern("1:1:bbbbbb", "1", 1, "Akasia", "EDCBA", place, {"1-b": EVERY_FIVE}),
                _pattern("2:0:cccccc", "2", 0, "Jati", ["W", "C2", "X"], place, {"2-a": 25_200, "2-b": 27_000}),
            ],
            "calendar": {
                "first_day": "2025-01-01",
                "n_days": 1024,
                "services": [{"service_id": "D", "days": "ff" * 128}],
            },
        }
    )


EVERY_FIVE = (18_000, 79_200, 300)


def _pattern(
    pattern_id: str,
    route_id: str,
    direction_id: int,
    headsign: str,
    stops: Any,
    place: dict[str, tuple[float, float]],
    trips: dict[str, Any],
) -> dict[str, Any]:
    line = [[place[s][1], place[s][0]] for s in stops]
    k = np.radians(1.0) * 6_371_008.8
    away = [np.hypot((b[1] - a[1]) * k, (b[0] - a[0]) * k) for a, b in pairwise(line)]
    dist = [0.0, *np.cumsum(away).round(1).tolist()]
    return {
        "pattern_id": pattern_id,
        "route_id": route_id,
        "direction_id": direction_id,
        "headsign": headsign,
        "stop_ids": list(stops),
        "stop_sequences": list(range(1, len(line) + 1)),
        "stop_dist_m": dist,
        "length_m": dist[-1],
        "polyline": encode([(lat, lon) for lon, lat in line]),
        "dist_m": [round(d) for d in dist],
        "running_s": [[120] * (len(line) - 1)],
        "trips": {
            "trip_id": list(trips),
            "service": [0] * len(trips),
            "start_s": [times[0] if isinstance(times, tuple) else times for times in trips.values()],
            "running": [0] * len(trips),
        },
        "frequencies": {
            name: [([i, *times, 0])[place] for i, times in enumerate(trips.values()) if isinstance(times, tuple)]
            for place, name in enumerate(("trip", "start_s", "end_s", "headway_s", "exact"))
        },
    }


def record(spec: messages.Spec, *rows: dict[str, Any]) -> bytes:
    """A record of these rows; what a row leaves out is unknown (numbers, ids), false or zero (revision)."""
    default = {"revision": 0}
    return messages.encode(
        spec,
        {
            name: messages.column(
                kind, [r.get(name, default.get(name, False if kind is messages.Kind.BOOL else None)) for r in rows]
            )
            for name, kind in spec.items()
        },
    )


def positions(*rows: dict[str, Any], network: str = "0123456789ab") -> bytes:
    """A record of `positions` with these position rows and nothing else."""
    parts = {"positions": record(messages.POSITION, *rows)}
    parts |= {
        name: record(spec)
        for name, spec in (
            ("passings", messages.PASSING),
            ("traversals", messages.TRAVERSAL),
            ("closed", messages.CLOSED),
        )
    }
    body = b",".join(b'"%b":%b' % (k.encode(), v) for k, v in parts.items())
    return b'{"network":"%b",%b}' % (network.encode(), body)


def bus(vehicle_id: str, timestamp: float = NOW, **more: Any) -> dict[str, Any]:
    """A bus on route 1 northward, 700 m along, unless told otherwise."""
    dist_m = more.get("dist_m") or 700.0
    return {
        "vehicle_id": vehicle_id,
        "timestamp": timestamp,
        "lat": LAT + dist_m / 111_195.0,
        "lon": LON,
        "route_id": "1",
        "direction_id": 0,
        "pattern_id": "1:0:aaaaaa",
        "trip_id_performed": f"2025-11-28:{vehicle_id}:1",
        "trip_id_scheduled": "1-a",
        "service_date": "2025-11-28",
        "start_time": "07:00:00",
        "dist_m": 700.0,
        "offset_m": 3.0,
        "match_probability": 0.99,
        "trip_type": "In service",
        "stop_id": "C",
        "stop_sequence": 3,
        "current_status": "IN_TRANSIT_TO",
        "speed_mps": 8.0,
        "h3_cell": CELL,
        **more,
    }


def headway(vehicle_id: str, leader_id: str, headway_s: float, **more: Any) -> dict[str, Any]:
    """A headway of a bus of `bus` at stop B."""
    return {
        "trip_id_performed": f"2025-11-28:{vehicle_id}:1",
        "gate_id": "B:0",
        "event_timestamp": NOW - 20.0,
        "route_id": "1",
        "direction_id": 0,
        "pattern_id": "1:0:aaaaaa",
        "stop_id": "B",
        "vehicle_id": vehicle_id,
        "leader_id": leader_id,
        "dist_m": 500.4,
        "headway_s": headway_s,
        "scheduled_headway_s": 300.0,
        "target_headway_s": 300.0,
        "headway_ratio": headway_s / 300.0,
        "band": "bunched" if headway_s < 75 else "even",
        **more,
    }


def arrival(vehicle_id: str, stop_id: str, sequence: int, minutes: float | None, **more: Any) -> dict[str, Any]:
    """An estimate for a bus of `bus`; None: no longer held."""
    at = None if minutes is None else NOW + 60.0 * minutes
    return {
        "made_at": NOW,
        "trip_id_performed": f"2025-11-28:{vehicle_id}:1",
        "scheduled_stop_sequence": sequence,
        "vehicle_id": vehicle_id,
        "trip_id_scheduled": "1-a",
        "route_id": "1",
        "direction_id": 0,
        "stop_id": stop_id,
        "arrival_p10": at and at - 40.0,
        "arrival_p50": at,
        "arrival_p90": at and at + 70.0,
        "arrival_time": at and at - 15.0,
        **more,
    }


def cell(octant: int, level: str, **more: Any) -> dict[str, Any]:
    """The directed cell in which the buses of `bus` are."""
    return {
        "window_start": NOW - NOW % 300.0,
        "window_s": 300,
        "h3_cell": CELL,
        "heading_octant": octant,
        "lane": "busway",
        "speed_mps": 2.5,
        "free_flow_mps": 9.0,
        "congestion_level": level,
        "n_vehicles": 2,
        "n_samples": 3,
        "distance_m": 300.0,
        "delay_s": 90.0,
        "delay_hour_s": 400.0,
        **more,
    }


def segment(level: str, **more: Any) -> dict[str, Any]:
    """The way from stop A to stop B of route 1."""
    return {
        "window_start": NOW - NOW % 300.0,
        "window_s": 300,
        "segment_id": "A>B",
        "from_stop_id": "A",
        "to_stop_id": "B",
        "pattern_id": "1:0:aaaaaa",
        "from_dist_m": 0.0,
        "to_dist_m": 500.0,
        "speed_mps": 4.0,
        "free_flow_mps": 9.0,
        "congestion_level": level,
        "running_s": 125.0,
        "delay_s": 210.0,
        "n_samples": 3,
        "measured_share": 1.0,
        **more,
    }


def alert(alert_id: str, **more: Any) -> dict[str, Any]:
    """An active bunching alert."""
    return {
        "alert_id": alert_id,
        "kind": "bunching",
        "severity": "WARNING",
        "active_from": NOW - 90.0,
        "route_id": "1",
        "direction_id": 0,
        "stop_id": "B",
        "cause": "OTHER_CAUSE",
        "effect": "MODIFIED_SERVICE",
        "header": "Buses bunched on 1",
        "description": "B2 follows B1 by 45 s; 300 s are planned.",
        **more,
    }


def indicator(direction_id: int, **more: Any) -> dict[str, Any]:
    """Indicators of route 1."""
    return {
        "made_at": NOW - 5.0,
        "window_start": NOW - 3600.0,
        "window_s": 3600,
        "final": False,
        "route_id": "1",
        "direction_id": direction_id,
        "n_vehicles": 3,
        "n_headways": 20,
        "headway_mean_s": 290.0,
        "headway_cv": 0.4,
        "scheduled_headway_s": 300.0,
        "excess_wait_s": 20.0,
        "share_bunched": 0.1,
        "share_gapped": 0.05,
        "share_regular": 0.8,
        "share_within_limit": None,
        "coverage": 0.9,
        **more,
    }


def filled(settings: Api | None = None, now: float = NOW) -> View:
    """A whole view at NOW: buses B1 to B3 on route 1, B9 on route 2, and something of every topic.

    All times are moved by `now` - NOW, so that a browser with its own clock sees them fresh.
    """
    moved = shift(now - NOW)
    view = View(settings or Api())
    view.apply("network", network(), now)
    buses = [bus("B1", dist_m=1200.0), bus("B2", dist_m=900.0), bus("B3", dist_m=100.0, timestamp=NOW - 90.0)]
    east = bus("B9", route_id="2", pattern_id="2:0:cccccc", dist_m=300.0, stop_id="C2", trip_id_scheduled="2-a")
    east |= {"lat": LAT + 2 * STEP_DEG, "lon": LON - 2 * STEP_DEG + 300.0 / 110_540.0}
    view.apply("congestion", record(messages.CONGESTION, *moved(cell(0, "CONGESTION"), cell(4, "STOP_AND_GO"))), now)
    view.apply("segments", record(messages.SEGMENT, *moved(segment("CONGESTION"))), now)
    view.apply("positions", positions(*moved(*buses, east)), now)
    rows = moved(headway("B1", "B0", 290.0), headway("B2", "B1", 45.0, event_timestamp=NOW - 10.0))
    view.apply("headways", record(messages.HEADWAY, *rows), now)
    group = {"route_group_id": "1:0+2:0"}
    view.apply("group_headways", record(messages.GROUP_HEADWAY, *moved(headway("B2", "B9", 30.0, **group))), now)
    rows = moved(arrival("B1", "C", 3, 2.0), arrival("B2", "C", 3, 3.5), arrival("B1", "D", 4, 5.0))
    view.apply("arrivals", record(messages.ARRIVAL, *rows), now)
    view.apply("indicators", record(messages.INDICATOR, *moved(indicator(0), indicator(1))), now)
    view.apply("alerts", record(messages.ALERT, *moved(alert("bunching:1:0:B2", vehicle_id="B2"))), now)
    view.loading(None)
    view.publish(now)
    return view


TIMES = frozenset(
    name
    for spec in (messages.POSITION, messages.HEADWAY, messages.ARRIVAL, messages.CONGESTION, messages.ALERT)
    for name, kind in spec.items()
    if kind is messages.Kind.TIME
)


def shift(by_s: float) -> Callable[..., list[dict[str, Any]]]:
    """A function that moves every time of its rows."""
    return lambda *rows: [{k: v + by_s if k in TIMES and v is not None else v for k, v in row.items()} for row in rows]
