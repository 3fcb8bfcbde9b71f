"""The three feeds as bytes, made anew every few seconds while somebody asks for them; a request sends what is there.

An entity's bytes are made once and kept until what they say changes: a message is the header and those bytes in a row,
as protobuf and JSON both allow.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import orjson
from google.transit import gtfs_realtime_pb2 as pb

from api.answers import JSON, Answer
from api.detours import left_out
from api.entity import Entity
from api.gtfs_rt import entities
from api.gtfs_rt.entities import Fields
from api.gtfs_rt.trips import Known, Run, Trips
from api.network import EARTH_RADIUS_M, NetworkView
from api.snapshot import Row, Snapshot
from streams import messages

Name = Literal["vehicle-positions", "trip-updates", "alerts"]
Format = Literal["pb", "json"]
Flavor = Literal["otp"] | None
NAMES: tuple[Name, ...] = ("vehicle-positions", "trip-updates", "alerts")
MEDIA: dict[Format, bytes] = {"pb": b"application/x-protobuf", "json": JSON}

VERSION = "2.0"
POSITION_KEPT_S = 90.0  # an older position is no longer told
HEADER_S = 20.0  # a feed in which nothing changes says so this often: consumers distrust an old header
WANTED_S = 600.0  # a feed that nobody asked for in so long is not made any more
AREA_M = 1500.0  # a position farther than this from all stops and shapes is a wrong one
WRONG = (ValueError, KeyError, TypeError, OverflowError)  # what a record that is not as it should be leads to
SLICE = 50  # entities made before requests get their turn

_ARRIVAL = tuple(messages.ARRIVAL)
_RUN = _ARRIVAL.index("trip_id_performed")
_OF_RUN = tuple(_ARRIVAL.index(name) for name in ("trip_id_scheduled", "route_id", "direction_id"))
_TIMES = (entities.P10, entities.P90, entities.TOLD)


class Kind(NamedTuple):
    """One of the feeds."""

    name: Name
    format: Format = "pb"
    flavor: Flavor = None


class Feed(NamedTuple):
    """A feed as it was made."""

    content: tuple[bytes, ...]  # of its entities
    answer: Answer
    made_at: float
    timestamp: int  # of its header
    network: NetworkView


class _Made:
    """An entity, and its bytes as far as they were asked for."""

    __slots__ = ("_bytes", "fields", "source", "until")

    def __init__(self, source: Any, fields: Fields | None, until: float) -> None:
        self.source, self.fields, self.until = source, fields, until
        self._bytes: dict[str, bytes] = {}

    def encoded(self, format: Format) -> bytes:
        found = self._bytes.get(format)
        if found is None:
            assert self.fields is not None
            found = orjson.dumps(self.fields) if format == "json" else _entity(self.fields)
            self._bytes[format] = found
        return found


class Feeds:
    """The feeds of one view."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.bad_entities = 0  # left out of a feed as it was made
        self._feeds: dict[Kind, Feed] = {}
        self._asked: dict[Kind, float] = {}
        self._trips: Trips | None = None
        self._box = (0.0, 0.0, 0.0, 0.0)
        self._made: dict[tuple[str, Flavor], dict[str, _Made]] = {}
        self._told: dict[str, dict[int, int]] = {}  # run -> position of the stop -> time

    def answer(self, snapshot: Snapshot, kind: Kind) -> Answer:
        """The feed, ready to be sent. One that was not asked for lately is made on the spot."""
        self._asked[kind] = snapshot.at
        feed = self._feeds.get(kind)
        if feed is None or feed.network is not snapshot.network or snapshot.at - feed.made_at >= 2 * self.every_s:
            for _ in self._make(snapshot, kind):
                pass
        return self._feeds[kind].answer

    async def refresh(self, current: Callable[[], Snapshot]) -> None:
        """Make what is asked for anew, every few seconds, a slice at a time, until cancelled."""
        while True:
            snapshot = current()
            if snapshot.loading is None:
                for kind, asked in list(self._asked.items()):
                    if snapshot.at - asked > WANTED_S:
                        self._forget(kind)
                        continue
                    for _ in self._make(snapshot, kind):
                        await asyncio.sleep(0)
            await asyncio.sleep(self.every_s)

    def _forget(self, kind: Kind) -> None:
        del self._asked[kind]
        self._feeds.pop(kind, None)
        if not any((other.name, other.flavor) == (kind.name, kind.flavor) for other in self._asked):
            self._made.pop((kind.name, kind.flavor), None)

    def _make(self, snapshot: Snapshot, kind: Kind) -> Iterator[None]:
        network = snapshot.network
        assert network is not None
        if self._trips is None or self._trips.network is not network:
            self._trips, self._box = Trips(network), _box(network)
            self._made.clear()
            self._told.clear()
        before = self._feeds.get(kind)
        now = int(snapshot.at)
        if before is not None:
            now = max(now, before.timestamp)
        maker = {"vehicle-positions": self._positions, "trip-updates": self._updates, "alerts": self._alerts}[kind.name]
        self._trips.keep(_by_run(snapshot).keys() | {e.data["trip_id_performed"] for e in snapshot.vehicles.values()})
        for entity in snapshot.vehicles.values():  # those that name their trip come before those taken to be on it
            if entity.data["trip_reported"]:
                _run_of(entity, self._trips)
        content: list[bytes] = []
        for n, made in enumerate(maker(snapshot, self._trips, now, kind.flavor)):
            try:
                content.append(made.encoded(kind.format))
            except WRONG:
                self.bad_entities += 1
            if n % SLICE == SLICE - 1:
                yield
        told = tuple(content)
        same_feed = before is not None and before.network is network and before.content == told
        if same_feed and before is not None and now - before.timestamp < HEADER_S:
            self._feeds[kind] = before._replace(made_at=snapshot.at)
            return
        if before is not None and before.timestamp >= now:  # what changed must have a new timestamp
            return
        body = _message(told, now, network.feed_version, kind.format)
        answer = Answer(body, MEDIA[kind.format], last_modified=now, max_age_s=int(self.every_s))
        self._feeds[kind] = Feed(told, answer, snapshot.at, now, network)

    # --- what is in them

    # An entity that cannot be made is left out and counted: it must not take the others with it.

    def _positions(self, snapshot: Snapshot, trips: Trips, now: int, flavor: Flavor) -> Iterator[_Made]:
        made, kept = self._made.get(("vehicle-positions", flavor), {}), {}
        for vehicle_id, entity in snapshot.vehicles.items():
            if snapshot.at - (entity.timestamp or 0.0) > POSITION_KEPT_S or not self._inside(entity):
                continue
            try:
                known = _run_of(entity, trips) if _on_its_trip(entity) else None
                found = made.get(vehicle_id)
                if found is None or found.source[0] is not entity or found.source[1] != known:
                    fields = entities.vehicle_position(entity, known, trips.network, now, flavor)
                    found = _Made((entity, known), fields, 0.0)
            except WRONG:
                self.bad_entities += 1
                continue
            kept[vehicle_id] = found
            yield found
        self._made["vehicle-positions", flavor] = kept

    def _updates(self, snapshot: Snapshot, trips: Trips, now: int, flavor: Flavor) -> Iterator[_Made]:
        made, kept = self._made.get(("trip-updates", flavor), {}), {}
        by_run = _by_run(snapshot)
        for run, rows in by_run.items():
            try:
                vehicle = snapshot.vehicles.get(rows[0][entities.VEHICLE])
                if vehicle is not None:
                    _run_of(vehicle, trips)
                known = trips.find(run)
                if known is None:  # its vehicle waits and is not on it yet: the estimates are all that speaks of it
                    trip_id, route_id, direction_id = (rows[0][i] for i in _OF_RUN)
                    known = trips.learn(Run(run, trip_id, route_id, direction_id, None, False))
                found = made.get(run)
                skipped = left_out(snapshot, known.run.route_id, known.run.direction_id)
                source = (known, rows, skipped, vehicle is not None and entities.at_origin(vehicle, trips.network))
                if found is None or now > found.until or found.source != source:
                    told = self._told.get(run, {})
                    fields, self._told[run], until = entities.trip_update(
                        known, rows, trips.network, vehicle, told, skipped, now, flavor
                    )
                    found = _Made(source, fields, until)
            except WRONG:
                self.bad_entities += 1
                continue
            kept[run] = found
            if found.fields is not None:
                yield found
        self._made["trip-updates", flavor] = kept
        for run in self._told.keys() - by_run.keys():
            del self._told[run]

    def _alerts(self, snapshot: Snapshot, trips: Trips, now: int, flavor: Flavor) -> Iterator[_Made]:
        for entity in (*snapshot.alerts.values(), *snapshot.vehicles.values()):
            try:
                if entity.kind == "alert":
                    fields = entities.alert(entity, trips.network, now)
                elif entity.data["off_route"] and (known := _run_of(entity, trips)) is not None:
                    fields = entities.detour(entity, known, trips.network, flavor)
                else:
                    fields = None
            except WRONG:
                self.bad_entities += 1
                continue
            if fields is not None:
                yield _Made(None, fields, 0.0)

    def _inside(self, entity: Entity) -> bool:
        south, west, north, east = self._box
        return south <= (entity.lat or 0.0) <= north and west <= (entity.lon or 0.0) <= east


def _by_run(snapshot: Snapshot) -> dict[str, list[Row]]:
    """ARRIVAL rows by run, in the order of their stops; made once for a snapshot."""
    found: dict[str, list[Row]] | None = snapshot.memo.get("arrivals_by_run")
    if found is None:
        found = {}
        for at_stop in snapshot.arrivals.values():
            for row in at_stop.values():
                if all(row[i] is not None for i in _TIMES):
                    found.setdefault(row[_RUN], []).append(row)
        for rows in found.values():
            rows.sort(key=lambda r: r[entities.SEQUENCE])
        snapshot.memo["arrivals_by_run"] = found
    return found


def _run_of(entity: Entity, trips: Trips) -> Known | None:
    """The run a vehicle is on or waits for."""
    d = entity.data
    if d["trip_id_performed"] is None or d["trip_type"] not in (None, "In service", "Layover"):
        return None
    return trips.learn(
        Run(
            d["trip_id_performed"],
            d["trip_id_scheduled"],
            d["route_id"],
            d["direction_id"],
            d["start_time"],
            bool(d["trip_reported"]),
        )
    )


def _on_its_trip(entity: Entity) -> bool:
    """Whether a position may name its trip: it is near the shape, or its detour is told as an alert."""
    d = entity.data
    if d["trip_type"] == "Layover":
        return d["offset_m"] is not None and d["offset_m"] <= entities.FAR_M
    return bool(d["off_route"]) or (d["offset_m"] is not None and d["offset_m"] <= entities.FAR_M)


def _box(network: NetworkView) -> tuple[float, float, float, float]:
    """South, west, north, east of where a vehicle can be, degrees."""
    lat = [*network.stop_lat.tolist(), *(y for s in network.shapes.values() for y in s.lat)]
    lon = [*network.stop_lon.tolist(), *(x for s in network.shapes.values() for x in s.lon)]
    up = math.degrees(AREA_M / EARTH_RADIUS_M)  # a degree of longitude is shorter still: never beyond AREA_M
    return min(lat) - up, min(lon) - up, max(lat) + up, max(lon) + up


def _message(content: tuple[bytes, ...], timestamp: int, feed_version: str, format: Format) -> bytes:
    header: Fields = {
        "gtfs_realtime_version": VERSION,
        "incrementality": "FULL_DATASET",
        "timestamp": timestamp,
        "feed_version": feed_version,
    }
    if format == "json":
        return b'{"header":%b,"entity":[%b]}' % (orjson.dumps(header), b",".join(content))
    return b"".join((_part(1, pb.FeedHeader(**header).SerializeToString()), *content))


def _entity(fields: Fields) -> bytes:
    data: bytes = pb.FeedEntity(**fields).SerializeToString()
    return _part(2, data)


def _part(number: int, data: bytes) -> bytes:
    """A submessage as a field of the message around it: tag, length, bytes."""
    length, n = bytearray(), len(data)
    while n >= 0x80:
        length.append(n & 0x7F | 0x80)
        n >>= 7
    length.append(n)
    return bytes([number << 3 | 2]) + bytes(length) + data
