"""The feed in use, as the API needs it: names, stops, shapes. Read from the topic `network`, never from a feed.

One `NetworkView` is made per network record and never changes; a new feed is a new view.
"""

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from starlette.types import ASGIApp

from api.schedule import Schedule
from streams import polyline

EARTH_RADIUS_M = 6_371_008.8
MAX_ANSWERS = 2048
TIMETABLE = ("running_s", "numberings", "trips", "frequencies")  # of a pattern: not for the map


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern's polyline: `lon`, `lat` in degrees, `dist_m` along it, `heading_deg` of the piece that follows."""

    lon: list[float]
    lat: list[float]
    dist_m: list[float]
    heading_deg: list[float]

    def coordinates(self) -> list[list[float]]:
        """[lon, lat] of every point, as GeoJSON wants it."""
        return [[lon, lat] for lon, lat in zip(self.lon, self.lat, strict=True)]

    def piece(self, from_m: float, to_m: float) -> tuple[float, float, bytes]:
        """Middle (lat, lon) and GeoJSON line of what lies between two distances."""
        inside = [d for d in self.dist_m if from_m < d < to_m]
        line = [self._at(d) for d in (from_m, *inside, to_m)]
        lon, lat = self._at((from_m + to_m) / 2.0)
        return lat, lon, orjson.dumps({"type": "LineString", "coordinates": line})

    def _at(self, dist_m: float) -> list[float]:
        """[lon, lat] at a distance."""
        i = min(max(bisect_right(self.dist_m, dist_m), 1), len(self.dist_m) - 1)
        length = self.dist_m[i] - self.dist_m[i - 1]
        share = min(max((dist_m - self.dist_m[i - 1]) / length, 0.0), 1.0) if length > 0 else 0.0
        ends = ((self.lon[i - 1], self.lon[i]), (self.lat[i - 1], self.lat[i]))
        return [round(a + share * (b - a), 6) for a, b in ends]

    def heading_at(self, dist_m: float) -> float:
        """Degrees clockwise from north at `dist_m`."""
        i = bisect_right(self.dist_m, dist_m) - 1
        return self.heading_deg[min(max(i, 0), len(self.heading_deg) - 1)]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkView:
    """Routes, stops and patterns of one network record, and the indexes that requests need."""

    hash: str
    feed_version: str
    timezone: str
    raw: dict[str, Any]  # the record without its timetable
    value: bytes  # the record
    schedule: Schedule
    routes: dict[str, dict[str, Any]]
    stops: dict[str, dict[str, Any]]
    patterns: dict[str, dict[str, Any]]
    patterns_of: dict[str, list[str]]  # route_id -> pattern_ids
    routes_at: dict[str, list[str]]  # stop_id -> route_ids, sorted
    routes_from: dict[tuple[str, str], list[str]]  # stop and the next one -> route_ids, sorted
    visits_at: dict[str, list[tuple[str, int]]]  # stop_id -> (pattern_id, position in it)
    children: dict[str, list[str]]  # parent station -> its stops
    inferred: frozenset[tuple[str, int]]  # route_id and direction_id that the feed itself does not have
    shapes: dict[str, Shape]
    stop_order: list[str]
    stop_words: list[str]  # folded name and id, aligned with stop_order
    stop_lat: np.ndarray
    stop_lon: np.ndarray
    answers: dict[tuple[str, bytes], ASGIApp] = field(default_factory=dict)  # of requests that depend on nothing else
    pieces: dict[tuple[str, float, float], tuple[float | None, float | None, bytes]] = field(default_factory=dict)
    days: dict[tuple[str, int], Any] = field(default_factory=dict)  # api.board: stop, day -> what is planned there

    @classmethod
    def parse(cls, value: bytes) -> "NetworkView":
        """The view of a network record's bytes. Raises ValueError or KeyError when it is none."""
        raw = orjson.loads(value)
        schedule = Schedule(raw)
        del raw["calendar"]
        for pattern in raw["patterns"]:
            for name in TIMETABLE:
                pattern.pop(name, None)
        stops = {s["stop_id"]: s for s in raw["stops"]}
        patterns = {p["pattern_id"]: p for p in raw["patterns"]}
        patterns_of: dict[str, list[str]] = {}
        routes_at: dict[str, set[str]] = {}
        visits_at: dict[str, list[tuple[str, int]]] = {}
        children: dict[str, list[str]] = {}
        routes_from: dict[tuple[str, str], set[str]] = {}
        for pattern in patterns.values():
            for pair in pairwise(pattern["stop_ids"]):
                routes_from.setdefault(pair, set()).add(pattern["route_id"])
            patterns_of.setdefault(pattern["route_id"], []).append(pattern["pattern_id"])
            for i, stop_id in enumerate(pattern["stop_ids"]):
                routes_at.setdefault(stop_id, set()).add(pattern["route_id"])
                visits_at.setdefault(stop_id, []).append((pattern["pattern_id"], i))
        for stop in stops.values():
            parent = stop.get("parent_id")
            if parent:
                children.setdefault(parent, []).append(stop["stop_id"])
                routes_at.setdefault(parent, set()).update(routes_at.get(stop["stop_id"], ()))
        order = list(stops)
        return cls(
            hash=raw["hash"],
            feed_version=raw["feed_version"],
            timezone=raw["timezone"],
            raw=raw,
            value=value,
            schedule=schedule,
            routes={r["route_id"]: r for r in raw["routes"]},
            stops=stops,
            patterns=patterns,
            patterns_of=patterns_of,
            routes_at={k: sorted(v) for k, v in routes_at.items()},
            routes_from={k: sorted(v) for k, v in routes_from.items()},
            visits_at=visits_at,
            children=children,
            inferred=frozenset(
                (p["route_id"], p["direction_id"]) for p in patterns.values() if p.get("direction_inferred")
            ),
            shapes={k: shape for k, p in patterns.items() if (shape := _shape(p)) is not None},
            stop_order=order,
            stop_words=[fold(f"{stops[s]['name']} {s}") for s in order],
            stop_lat=np.array([stops[s]["lat"] for s in order], dtype=np.float64),
            stop_lon=np.array([stops[s]["lon"] for s in order], dtype=np.float64),
        )

    def keep(self, key: tuple[str, bytes], answer: ASGIApp) -> None:
        """Keep an answer that is true as long as this network is in use."""
        if len(self.answers) < MAX_ANSWERS:
            self.answers[key] = answer

    def direction_of_feed(self, route_id: str | None, direction_id: int | None) -> int | None:
        """A direction as the feed has it: None where it was inferred, so that only we mean something by it."""
        return None if direction_id is None or (route_id, direction_id) in self.inferred else direction_id

    def lane_of(self, route_id: str | None) -> str | None:
        """`busway` or `mixed`; None for a route that is not in the feed."""
        route = self.routes.get(route_id) if route_id else None
        return route["lane"] if route else None

    def routes_between(self, from_stop_id: str, to_stop_id: str) -> list[str]:
        """Routes that drive from one stop to the other as the next."""
        return self.routes_from.get((from_stop_id, to_stop_id), [])

    def piece(self, pattern_id: str, from_m: float, to_m: float) -> tuple[float | None, float | None, bytes]:
        """Middle (lat, lon) and GeoJSON line of a pattern's shape between two distances; none without a shape."""
        key = (pattern_id, from_m, to_m)
        if key not in self.pieces:
            shape = self.shapes.get(pattern_id)
            self.pieces[key] = (None, None, b"") if shape is None else shape.piece(from_m, to_m)
        return self.pieces[key]

    def places(self, stop_id: str) -> list[str]:
        """The stop itself and, for a station, the stops inside it."""
        return [stop_id, *self.children.get(stop_id, ())]

    def search_stops(self, text: str, limit: int) -> list[str]:
        """Stop ids whose name or id has every word of `text`, names that begin with it first."""
        words = fold(text).split()
        if not words:
            return self.stop_order[:limit]
        start = " ".join(words)
        hits = [i for i, name in enumerate(self.stop_words) if all(w in name for w in words)]
        hits.sort(key=lambda i: (not self.stop_words[i].startswith(start), len(self.stop_words[i]), i))
        return [self.stop_order[i] for i in hits[:limit]]

    def stops_near(self, lat: float, lon: float, radius_m: float, limit: int) -> list[tuple[str, float]]:
        """(stop_id, metres away) within `radius_m`, nearest first. Plane geometry: good to 0.1 % over a city."""
        k = math.radians(1.0) * EARTH_RADIUS_M
        away = np.hypot((self.stop_lat - lat) * k, (self.stop_lon - lon) * k * math.cos(math.radians(lat)))
        near = np.flatnonzero(away <= radius_m)
        near = near[np.argsort(away[near], kind="stable")][:limit]
        return [(self.stop_order[i], float(away[i])) for i in near]

    def shape_geojson(self, pattern_ids: Iterable[str]) -> list[dict[str, Any]]:
        """A GeoJSON LineString feature per pattern that has a shape."""
        return [
            {
                "type": "Feature",
                "id": p,
                "geometry": {"type": "LineString", "coordinates": self.shapes[p].coordinates()},
                "properties": {
                    "pattern_id": p,
                    "direction_id": self.patterns[p]["direction_id"],
                    "headsign": self.patterns[p]["headsign"],
                    "length_m": self.patterns[p]["length_m"],
                },
            }
            for p in pattern_ids
            if p in self.shapes
        ]


def fold(text: str) -> str:
    """Lower case without accents, so that `Cafe` finds `Café`."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def _shape(pattern: dict[str, Any]) -> Shape | None:
    points = np.array(polyline.decode(pattern["polyline"]), dtype=np.float64).reshape(-1, 2)
    if len(points) != len(pattern["dist_m"]):
        raise ValueError(f"pattern {pattern['pattern_id']!r}: points and distances differ in number")
    if len(points) < 2:
        return None
    lat, lon = points[:, 0], points[:, 1]
    east = np.diff(lon) * np.cos(np.radians(lat[:-1]))
    heading = np.degrees(np.arctan2(east, np.diff(lat))) % 360.0
    return Shape(lon.tolist(), lat.tolist(), [float(d) for d in pattern["dist_m"]], heading.round(1).tolist())
