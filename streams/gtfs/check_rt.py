"""What is wrong with a GTFS-Realtime feed: the rules of MobilityData's validator that a feed by itself can break.

A rule has the validator's number and looks at one message, its feed and (for a few) the message before it. Numbers
beginning with E are errors, with W warnings.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from google.transit import gtfs_realtime_pb2 as pb

from streams.gtfs.network import Network

TRIP_BUFFER_M = 200.0
REGION_BUFFER_M = 1609.0
FASTEST_MPS = 26.0
REFRESH_S = 35
OLD_S = 65
AHEAD_S = 60
POSIX_FROM, POSIX_TO = 1_104_537_600, 4_102_444_800  # 2005 to 2100: milliseconds and minutes fall out
SCHEDULED, ADDED, UNSCHEDULED = (
    pb.TripDescriptor.ScheduleRelationship.Value(n) for n in ("SCHEDULED", "ADDED", "UNSCHEDULED")
)
_NEW = frozenset((ADDED, *(pb.TripDescriptor.ScheduleRelationship.Value(n) for n in ("DUPLICATED", "NEW"))))
SKIPPED, NO_DATA = (pb.TripUpdate.StopTimeUpdate.ScheduleRelationship.Value(n) for n in ("SKIPPED", "NO_DATA"))
DETOUR = pb.Alert.Effect.Value("DETOUR")
_START = re.compile(r"[0-2]\d:[0-5]\d:[0-5]\d")

Message = Any  # pb.FeedMessage
Found = Iterable[tuple[str, str, str]]  # rule, entity id, what is wrong

RULES: dict[str, str] = {
    "E001": "a time is not in POSIX seconds",
    "E002": "stop_time_updates are not in the order of stop_sequence",
    "E003": "trip_id is not in the feed",
    "E004": "route_id is not in the feed",
    "E006": "a trip of a frequency (exact_times=0) needs trip_id, start_time and start_date",
    "E009": "a trip that visits a stop twice needs stop_sequence",
    "E010": "stop_times.txt names a station, not a stop",
    "E011": "stop_id is not in the feed",
    "E012": "a timestamp is later than the header's",
    "E013": "a trip of a frequency (exact_times=0) is neither UNSCHEDULED nor without schedule_relationship",
    "E015": "stop_id is a station, not a stop",
    "E016": "an ADDED trip is in the feed",
    "E017": "the content changed, the header's timestamp did not",
    "E018": "the header's timestamp went back",
    "E019": "start_time is no start of the frequency (exact_times=1)",
    "E020": "start_time is not HH:MM:SS",
    "E021": "start_date is not YYYYMMDD",
    "E022": "times do not increase from stop to stop",
    "E023": "start_time is not the trip's first arrival",
    "E024": "direction_id is not the trip's",
    "E025": "a departure lies before its arrival",
    "E026": "a position is not on Earth",
    "E027": "a bearing is not within 0 and 360",
    "E028": "a position lies outside the area of the feed",
    "E029": "a position lies far from its trip's shape, and no alert says DETOUR",
    "E030": "an alert's trip is not of its route in the feed",
    "E031": "an alert's route is not its trip's",
    "E032": "an alert concerns nothing",
    "E033": "an informed_entity names nothing",
    "E034": "agency_id is not in the feed",
    "E035": "a trip is not of the route named with it",
    "E036": "two stop_time_updates in a row have one stop_sequence",
    "E037": "two stop_time_updates in a row have one stop_id",
    "E038": "gtfs_realtime_version is neither 1.0 nor 2.0",
    "E039": "a FULL_DATASET feed has a deleted entity",
    "E040": "a stop_time_update has neither stop_sequence nor stop_id",
    "E041": "a trip_update has no stop_time_update",
    "E042": "NO_DATA has an arrival or departure",
    "E043": "a stop_time_update has neither arrival nor departure",
    "E044": "an arrival or departure has neither time nor delay",
    "E045": "stop_sequence and stop_id do not belong together",
    "E046": "a delay, and the feed has no time there",
    "E047": "vehicle and trip are paired otherwise in VehiclePositions and TripUpdates",
    "E048": "the header has no timestamp",
    "E049": "the header has no incrementality",
    "E050": "a timestamp lies in the future",
    "E051": "stop_sequence is not of the trip",
    "E052": "two positions have one vehicle id",
    "W001": "an entity has no timestamp",
    "W002": "a vehicle has no id",
    "W003": "a trip is in one of VehiclePositions and TripUpdates only",
    "W004": "a speed is unrealistic",
    "W005": "a trip of a frequency (exact_times=0) names no vehicle",
    "W006": "a trip_update has no trip_id",
    "W007": "more than 35 s lie between two messages",
    "W008": "the header is older than 65 s",
    "W009": "schedule_relationship is not said",
}


class Problem(NamedTuple):
    """A rule that is broken, and where."""

    rule: str
    entity_id: str
    words: str

    @property
    def is_error(self) -> bool:
        """Whether the validator calls it an error."""
        return self.rule.startswith("E")

    def __str__(self) -> str:
        return f"{self.rule} {self.entity_id}: {RULES[self.rule]}" + (f" ({self.words})" if self.words else "")


@dataclass
class Checked:
    """The feed that messages speak of, prepared for look-ups."""

    network: Network
    stations: frozenset[str] = field(init=False)
    direction: np.ndarray = field(init=False)  # of each pattern, as the feed says it: -1 where it does not
    _south_west: tuple[float, float] = field(init=False)
    _north_east: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        n = self.network
        self.stations = frozenset(n.stop_ids[s] for s in np.flatnonzero(n.stop_is_station).tolist())
        self.direction = np.where(n.pattern_direction_inferred, -1, n.pattern_direction)
        x, y = n.project(n.stop_lat, n.stop_lon)
        x, y = np.concatenate([x, n.point_x]), np.concatenate([y, n.point_y])
        self._south_west, self._north_east = (float(x.min()), float(y.min())), (float(x.max()), float(y.max()))

    def outside(self, lat: float, lon: float) -> bool:
        """Whether a place lies a mile or more beyond all stops and shapes."""
        x, y = self.network.project(np.array([lat]), np.array([lon]))
        (west, south), (east, north) = self._south_west, self._north_east
        far = REGION_BUFFER_M
        return not (west - far <= x[0] <= east + far and south - far <= y[0] <= north + far)

    def off_shape_m(self, trip_ix: int, lat: float, lon: float) -> float:
        """Metres from the shape of a trip."""
        n = self.network
        shape = n.pattern_shape_ix[n.trip_pattern_ix[trip_ix]]
        rows = slice(n.shape_start[shape], n.shape_start[shape + 1])
        x, y = n.project(np.array([lat]), np.array([lon]))
        ax, ay = n.point_x[rows] - x[0], n.point_y[rows] - y[0]
        dx, dy = np.diff(ax), np.diff(ay)
        length = np.maximum(dx * dx + dy * dy, 1e-9)
        t = np.clip(-(ax[:-1] * dx + ay[:-1] * dy) / length, 0.0, 1.0)
        return float(np.hypot(ax[:-1] + t * dx, ay[:-1] + t * dy).min())

    def route_of(self, trip_ix: int) -> str:
        """route_id of a trip."""
        n = self.network
        found: str = n.route_ids[n.pattern_route_ix[n.trip_pattern_ix[trip_ix]]]
        return found

    def windows(self, trip_ix: int) -> np.ndarray:
        """Rows of frequencies.txt of a trip."""
        return np.flatnonzero(self.network.freq_trip_ix == trip_ix)

    def is_headway_based(self, trip_ix: int) -> bool:
        """Whether it is the template of a frequency with exact_times=0."""
        rows = self.windows(trip_ix)
        return bool(len(rows)) and not bool(self.network.freq_exact[rows].all())

    def stops(self, trip_ix: int) -> dict[int, str]:
        """stop_sequence -> stop_id of a trip."""
        n = self.network
        p = n.trip_pattern_ix[trip_ix]
        stops = n.pstop_stop_ix[n.pstop_start[p] : n.pstop_start[p + 1]]
        return {int(seq): n.stop_ids[s] for seq, s in zip(n.sequence_of(trip_ix), stops, strict=True)}


def check(
    network: Network | Checked, *messages: Message, before: Sequence[Message] = (), now: float | None = None
) -> list[Problem]:
    """Everything that is wrong with messages of one moment (VehiclePositions, TripUpdates, Alerts; or one with all).

    before  the same feeds as they were a moment ago, in the same order
    now     POSIX seconds by which a time lies in the future or a header is old; None: not looked at
    """
    feed = network if isinstance(network, Checked) else Checked(network)
    detours = {
        (s.trip.trip_id, s.trip.start_date, s.trip.start_time)
        for m in messages
        for e in m.entity
        if e.HasField("alert") and e.alert.effect == DETOUR
        for s in e.alert.informed_entity
    }
    served = feed.network.pstop_stop_ix
    calls_at = np.unique(served[feed.network.stop_is_station[served]]).tolist()
    found: list[tuple[str, str, str]] = [("E010", "feed", feed.network.stop_ids[s]) for s in calls_at]
    for message in messages:
        found += _header(message, now)
        for entity in message.entity:
            if entity.is_deleted and message.header.incrementality == pb.FeedHeader.FULL_DATASET:
                found.append(("E039", entity.id, ""))
            if entity.HasField("trip_update"):
                found += _trip_update(feed, entity, message.header.timestamp, now)
            if entity.HasField("vehicle"):
                found += _vehicle(feed, entity, message.header.timestamp, now, detours)
            if entity.HasField("alert"):
                found += _alert(feed, entity)
    found += _pairs(messages)
    for old, new in zip(before, messages, strict=False):
        found += _sequence(old, new)
    return [Problem(*row) for row in found]


def _header(message: Message, now: float | None) -> Found:
    header = message.header
    if header.gtfs_realtime_version not in ("1.0", "2.0"):
        yield "E038", "header", header.gtfs_realtime_version
    if not header.HasField("incrementality"):
        yield "E049", "header", ""
    if not header.timestamp:
        yield "E048", "header", ""
        return
    yield from _moment("header", header.timestamp, None, now)
    if now is not None and now - header.timestamp > OLD_S:
        yield "W008", "header", f"{now - header.timestamp:.0f} s"


def _moment(entity_id: str, timestamp: int, header: int | None, now: float | None) -> Found:
    if not POSIX_FROM <= timestamp <= POSIX_TO:
        yield "E001", entity_id, str(timestamp)
    elif header and timestamp > header:
        yield "E012", entity_id, f"{timestamp - header} s"
    if now is not None and timestamp > now + AHEAD_S:
        yield "E050", entity_id, f"{timestamp - now:.0f} s"


def _sequence(old: Message, new: Message) -> Found:
    a, b = old.header.timestamp, new.header.timestamp
    if b < a:
        yield "E018", "header", f"{a} -> {b}"
    if b == a and [e.SerializeToString() for e in old.entity] != [e.SerializeToString() for e in new.entity]:
        yield "E017", "header", str(b)
    if b - a > REFRESH_S:
        yield "W007", "header", f"{b - a} s"


def _trip(
    feed: Checked, entity_id: str, trip: Any, is_update: bool, has_vehicle: bool
) -> Iterator[tuple[str, str, str]]:
    n = feed.network
    if not trip.HasField("schedule_relationship"):
        yield "W009", entity_id, "trip"
    if trip.route_id and trip.route_id not in n.route_ix:
        yield "E004", entity_id, trip.route_id
    if trip.start_time and not _START.fullmatch(trip.start_time):
        yield "E020", entity_id, trip.start_time
    if trip.start_date:
        try:
            if len(trip.start_date) != 8:
                raise ValueError
            date.fromisoformat(trip.start_date)
        except ValueError:
            yield "E021", entity_id, trip.start_date
    if not trip.trip_id:
        if is_update:
            yield "W006", entity_id, ""
        return
    ix = n.trip_ix.get(trip.trip_id)
    if trip.schedule_relationship in _NEW:
        if ix is not None and trip.schedule_relationship == ADDED:
            yield "E016", entity_id, trip.trip_id
        return
    if ix is None:
        yield "E003", entity_id, trip.trip_id
        return
    pattern = n.trip_pattern_ix[ix]
    if trip.HasField("direction_id") and feed.direction[pattern] != trip.direction_id:
        yield "E024", entity_id, f"{trip.direction_id}"
    if trip.route_id and trip.route_id != feed.route_of(ix):
        yield "E035", entity_id, f"{trip.trip_id} on {trip.route_id}"
    rows = feed.windows(ix)
    start_s = _seconds(trip.start_time)
    if feed.is_headway_based(ix):
        if not (trip.start_time and trip.start_date):
            yield "E006", entity_id, trip.trip_id
        if trip.HasField("schedule_relationship") and trip.schedule_relationship != UNSCHEDULED:
            yield "E013", entity_id, trip.trip_id
        if is_update and not has_vehicle:
            yield "W005", entity_id, trip.trip_id
    elif len(rows):
        starts = [(n.freq_start_s[f], n.freq_end_s[f], n.freq_headway_s[f]) for f in rows]
        if start_s is not None and not any(a <= start_s < b and (start_s - a) % h == 0 for a, b, h in starts):
            yield "E019", entity_id, trip.start_time
    elif start_s is not None and start_s != n.trip_time_arrival_s[n.trip_time_start[ix]]:
        yield "E023", entity_id, trip.start_time


def _seconds(text: str) -> int | None:
    if not _START.fullmatch(text):
        return None
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def _trip_update(feed: Checked, entity: Any, header: int, now: float | None) -> Found:
    update, name = entity.trip_update, entity.id
    vehicle = update.vehicle.id
    yield from _trip(feed, name, update.trip, True, bool(vehicle))
    if not vehicle:
        yield "W002", name, ""
    if not update.timestamp:
        yield "W001", name, ""
    else:
        yield from _moment(name, update.timestamp, header, now)
    if not update.stop_time_update and update.trip.schedule_relationship in (SCHEDULED, UNSCHEDULED, ADDED):
        yield "E041", name, ""
    ix = None if update.trip.schedule_relationship in _NEW else feed.network.trip_ix.get(update.trip.trip_id)
    stops = {} if ix is None else feed.stops(ix)
    twice = {stop for stop, count in Counter(stops.values()).items() if count > 1}
    last_seq, last_stop, last_time = None, None, None
    for u in update.stop_time_update:
        seq = u.stop_sequence if u.HasField("stop_sequence") else None
        at = f"stop_sequence {seq}, stop {u.stop_id}"
        if not u.HasField("schedule_relationship"):
            yield "W009", name, at
        if seq is None and not u.stop_id:
            yield "E040", name, ""
        if seq is None and u.stop_id in twice:
            yield "E009", name, at
        if seq is not None and last_seq is not None:
            if seq == last_seq:
                yield "E036", name, at
            elif seq < last_seq:
                yield "E002", name, at
        if u.stop_id and u.stop_id == last_stop:
            yield "E037", name, at
        yield from _stop(feed, name, u.stop_id)
        if stops and seq is not None:
            if seq not in stops:
                yield "E051", name, at
            elif u.stop_id and stops[seq] != u.stop_id:
                yield "E045", name, at
        last_seq, last_stop = seq, u.stop_id
        timed = [e for f in ("arrival", "departure") if u.HasField(f) and (e := getattr(u, f))]
        if u.schedule_relationship == NO_DATA:
            if u.HasField("arrival") or u.HasField("departure"):
                yield "E042", name, at
            continue
        if u.schedule_relationship == SKIPPED:
            continue
        if not (u.HasField("arrival") or u.HasField("departure")):
            yield "E043", name, at
        for event in timed:
            if not (event.HasField("time") or event.HasField("delay")):
                yield "E044", name, at
            if event.HasField("delay") and not event.HasField("time") and ix is None:
                yield "E046", name, at
            if event.HasField("time"):
                yield from _moment(name, event.time, None, None)
        times = [e.time for e in timed if e.HasField("time")]
        if len(times) == 2 and times[1] < times[0]:
            yield "E025", name, at
        if times:
            if last_time is not None and times[0] <= last_time:
                yield "E022", name, f"{at}: {times[0] - last_time} s"
            last_time = times[-1]


def _stop(feed: Checked, entity_id: str, stop_id: str) -> Found:
    if stop_id:
        if stop_id not in feed.network.stop_ix:
            yield "E011", entity_id, stop_id
        elif stop_id in feed.stations:
            yield "E015", entity_id, stop_id


def _vehicle(feed: Checked, entity: Any, header: int, now: float | None, detours: set[tuple[str, str, str]]) -> Found:
    v, name = entity.vehicle, entity.id
    if not v.vehicle.id:
        yield "W002", name, ""
    if not v.timestamp:
        yield "W001", name, ""
    else:
        yield from _moment(name, v.timestamp, header, now)
    yield from _stop(feed, name, v.stop_id)
    if v.HasField("trip"):
        yield from _trip(feed, name, v.trip, False, True)
    if not v.HasField("position"):
        return
    p = v.position
    if not (abs(p.latitude) <= 90.0 and abs(p.longitude) <= 180.0) or (p.latitude == 0.0 and p.longitude == 0.0):
        yield "E026", name, f"{p.latitude:.5f}, {p.longitude:.5f}"
        return
    if p.HasField("bearing") and not 0.0 <= p.bearing <= 360.0:
        yield "E027", name, f"{p.bearing}"
    if p.HasField("speed") and not 0.0 <= p.speed <= FASTEST_MPS:
        yield "W004", name, f"{p.speed:.1f} m/s"
    if feed.outside(p.latitude, p.longitude):
        yield "E028", name, f"{p.latitude:.5f}, {p.longitude:.5f}"
    ix = feed.network.trip_ix.get(v.trip.trip_id) if v.trip.schedule_relationship not in _NEW else None
    if ix is not None:
        if v.HasField("current_stop_sequence") and v.current_stop_sequence not in (stops := feed.stops(ix)):
            yield "E051", name, f"{v.current_stop_sequence}"
        elif v.HasField("current_stop_sequence") and v.stop_id and stops[v.current_stop_sequence] != v.stop_id:
            yield "E045", name, f"stop_sequence {v.current_stop_sequence}, stop {v.stop_id}"
        away = feed.off_shape_m(ix, p.latitude, p.longitude)
        if away > TRIP_BUFFER_M and (v.trip.trip_id, v.trip.start_date, v.trip.start_time) not in detours:
            yield "E029", name, f"{away:.0f} m from {v.trip.trip_id}"


def _alert(feed: Checked, entity: Any) -> Found:
    alert, name = entity.alert, entity.id
    for period in alert.active_period:
        for time in (period.start, period.end):
            if time:
                yield from _moment(name, time, None, None)
    if not alert.informed_entity:
        yield "E032", name, ""
    for s in alert.informed_entity:
        if not any(s.HasField(f) for f in ("agency_id", "route_id", "route_type", "stop_id", "trip")):
            yield "E033", name, ""
        if s.route_id and s.route_id not in feed.network.route_ix:
            yield "E004", name, s.route_id
        if s.route_id and s.trip.route_id and s.trip.route_id != s.route_id:
            yield "E031", name, f"{s.trip.route_id}, {s.route_id}"
        trip = feed.network.trip_ix.get(s.trip.trip_id)
        if s.route_id and trip is not None and s.route_id != feed.route_of(trip):
            yield "E030", name, f"{s.trip.trip_id} is of {feed.route_of(trip)}, not {s.route_id}"
        if s.agency_id and s.agency_id not in feed.network.agency_ids:
            yield "E034", name, s.agency_id
        yield from _stop(feed, name, s.stop_id)
        if s.HasField("trip"):
            yield from _trip(feed, name, s.trip, False, True)


def _pairs(messages: Sequence[Message]) -> Found:
    """Rules about VehiclePositions and TripUpdates beside each other."""
    positions: dict[tuple[str, ...], str] = {}
    updates: dict[tuple[str, ...], str] = {}
    seen: set[str] = set()
    has = {"vehicle": False, "trip_update": False}
    for message in messages:
        for e in message.entity:
            if e.HasField("vehicle"):
                has["vehicle"] = True
                if e.vehicle.vehicle.id:
                    if e.vehicle.vehicle.id in seen:
                        yield "E052", e.id, e.vehicle.vehicle.id
                    seen.add(e.vehicle.vehicle.id)
                if e.vehicle.trip.trip_id:
                    positions[_key(e.vehicle.trip)] = e.vehicle.vehicle.id
            if e.HasField("trip_update"):
                has["trip_update"] = True
                if e.trip_update.trip.trip_id:
                    updates[_key(e.trip_update.trip)] = e.trip_update.vehicle.id
    if not all(has.values()):
        return
    for key, vehicle in updates.items():
        if key not in positions:
            yield "W003", key[0], "no position"
        elif vehicle and positions[key] and positions[key] != vehicle:
            yield "E047", key[0], f"{positions[key]} and {vehicle}"
    for key in positions.keys() - updates.keys():
        yield "W003", key[0], "no estimates"
    by_vehicle = {vehicle: key for key, vehicle in positions.items() if vehicle}
    for key, vehicle in updates.items():
        if vehicle in by_vehicle and by_vehicle[vehicle] != key and key in positions:
            yield "E047", vehicle, f"{by_vehicle[vehicle][0]} and {key[0]}"


def _key(trip: Any) -> tuple[str, ...]:
    return trip.trip_id, trip.start_date, trip.start_time
