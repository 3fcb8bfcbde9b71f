"""One thing on the map (vehicle, alert, cell, segment): its record, and the record's bytes, made once and shared."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import h3
import orjson

INTERNAL = frozenset((None, "OTHER_EFFECT", "UNKNOWN_EFFECT", "NO_EFFECT"))  # effects of alerts that no passenger feels


class Entity:
    """A record of the view, not to be changed once made. Two are equal when they tell the same.

    kind        vehicle, alert, congestion, segment or status
    timestamp   POSIX seconds that its age is counted from
    geometry    GeoJSON geometry, for what has an extent
    """

    __slots__ = ("_json", "data", "geometry", "id", "kind", "lat", "lon", "route_id", "timestamp")

    def __init__(
        self,
        kind: str,
        id: str,
        data: Mapping[str, Any],
        *,
        lat: float | None = None,
        lon: float | None = None,
        route_id: str | None = None,
        timestamp: float | None = None,
        geometry: bytes = b"",
    ) -> None:
        self.kind, self.id, self.data = kind, id, data
        self.lat, self.lon, self.route_id = lat, lon, route_id
        self.timestamp, self.geometry = timestamp, geometry
        self._json = b""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by in the live stream."""
        return self.kind, self.id

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Entity) and self.key == other.key and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.key)

    def json(self) -> bytes:
        """The record as JSON, without its age."""
        if not self._json:
            self._json = orjson.dumps(self.data)
        return self._json

    def aged_json(self, now: float) -> bytes:
        """The record as JSON with `age_s` at `now`."""
        return with_age(self.json(), self.timestamp, now)

    def feature(self, now: float) -> bytes:
        """The record as a GeoJSON feature with `age_s` among its properties."""
        return b'{"type":"Feature","id":%b,"geometry":%b,"properties":%b}' % (
            orjson.dumps(self.id),
            self.geometry or b"null",
            self.aged_json(now),
        )

    def resource(self) -> bytes:
        """The record as the live stream sends it: type, id, attributes."""
        geometry = b',"geometry":%b' % self.geometry if self.geometry else b""
        return b'{"type":"%b","id":%b,"attributes":%b%b}' % (
            self.kind.encode(),
            orjson.dumps(self.id),
            self.json(),
            geometry,
        )


def with_age(record: bytes, timestamp: float | None, now: float) -> bytes:
    """A JSON object's bytes with `age_s` as its last field; null where the time is not known."""
    age = b"null" if timestamp is None else b"%.1f" % (now - timestamp)
    return b'%b%b"age_s":%b}' % (record[:-1], b"," if len(record) > 2 else b"", age)


_hexagons: dict[str, tuple[float, float, bytes]] = {}


def hexagon(cell: str) -> tuple[float, float, bytes]:
    """Centre and GeoJSON polygon of an H3 cell; a city has a few thousand, so they are remembered."""
    if cell not in _hexagons:
        lat, lon = h3.cell_to_latlng(cell)
        ring = [[round(x, 6), round(y, 6)] for y, x in h3.cell_to_boundary(cell)]
        geometry = orjson.dumps({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
        _hexagons[cell] = (round(lat, 6), round(lon, 6), geometry)
    return _hexagons[cell]


@lru_cache(maxsize=65_536)
def extent(geometry: bytes) -> tuple[float, float, float, float]:
    """min_lon, min_lat, max_lon, max_lat of a GeoJSON line, or of a polygon without holes."""
    points = orjson.loads(geometry)["coordinates"]
    lon, lat = zip(*(points[0] if isinstance(points[0][0], list) else points), strict=True)
    return min(lon), min(lat), max(lon), max(lat)


def touches(entity: Entity, bbox: tuple[float, float, float, float]) -> bool:
    """Whether the extent of a line or a cell and a box have a place in common; what has no extent touches none."""
    if not entity.geometry:
        return False
    west, south, east, north = extent(entity.geometry)
    return bbox[0] <= east and west <= bbox[2] and bbox[1] <= north and south <= bbox[3]
