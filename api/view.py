"""The current view: a single writer applies what the topics say and publishes an immutable snapshot on a short tick.

Nothing here waits or asks what time it is: `apply` and `publish` are called by one task (api.consumer, api.app), so
that a request never meets a half-applied record. Rows are upserted by the identity and revision of messages.py; what
is withdrawn or not repeated in time goes away.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import median
from typing import Any, TypeVar

import orjson

from api.entity import Entity, hexagon
from api.network import NetworkView
from api.snapshot import RouteDirection, Row, Snapshot
from streams import messages
from streams.settings import Api

STATUS_EVERY_S = 5.0
SWEEP_EVERY_S = 1.0
HOURS_KEPT = 24
ENDED_ALERTS_KEPT_S = 3600.0
POSITIONS_KEPT = 4  # of a vehicle: what it falls back on when its newest pings are withdrawn
HEADWAYS_KEPT = 12  # of a vehicle or a stop: enough to fall back on when the newest ones are withdrawn

_VEHICLE = tuple(messages.POSITION)
_TIMESTAMP, _REVISION = _VEHICLE.index("timestamp"), _VEHICLE.index("revision")
_WITHDRAWN = _VEHICLE.index("withdrawn")
_ARRIVAL = tuple(messages.ARRIVAL)
_MADE_AT, _STOP = _ARRIVAL.index("made_at"), _ARRIVAL.index("stop_id")
_TRIP, _SEQUENCE = _ARRIVAL.index("trip_id_performed"), _ARRIVAL.index("scheduled_stop_sequence")
_TIMES = tuple(_ARRIVAL.index(name) for name in ("arrival_p10", "arrival_p50", "arrival_p90", "arrival_time"))


Key = TypeVar("Key")


class View:
    """Everything current, written by one task; `snapshot` is what everybody else reads."""

    def __init__(self, settings: Api) -> None:
        self.settings = settings
        self.snapshot = Snapshot(0, 0.0, "starting")
        self.rows_in: dict[str, int] = {}
        self.bad_records: dict[str, int] = {}
        self.foreign_records = 0  # of another network than the one in use
        self.record_time: float | None = None  # newest record of `positions`, heartbeats included
        self._listeners: list[Callable[[Snapshot], None]] = []
        self._loading: str | None = "starting"
        self._network: NetworkView | None = None
        self._rows: dict[str, tuple[Row, float]] = {}  # vehicle_id -> POSITION row that is shown, when it came
        self._recent: dict[str, list[tuple[Row, float]]] = {}  # the newest few in event time, withdrawn ones too
        self._stale: set[str] = set()
        self._dirty: set[str] = set()
        self._vehicles: dict[str, Entity] = {}
        self._headways: dict[str, _Newest] = {}
        self._stop_headways: dict[str, _Newest] = {}
        self._newest_headway: dict[str, Mapping[str, Any]] = {}
        self._group_headways: dict[tuple[str, str], _Newest] = {}
        self._newest_group_headway: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._newest_stop_headway: dict[str, Mapping[str, Any]] = {}
        self._segments: dict[str, Entity] = {}
        self._alerts: dict[str, Entity] = {}
        self._ended: dict[str, Entity] = {}
        self._congestion: dict[str, Entity] = {}
        self._indicators: dict[RouteDirection, Mapping[str, Any]] = {}
        self._indicator_hours: dict[RouteDirection, dict[float, Mapping[str, Any]]] = {}
        self._arrivals: dict[str, dict[Row, Row]] = {}
        self._own_stops: set[str] = set()  # stops whose arrivals were copied since the last snapshot
        self._status = Entity("status", "koridor", {})
        self._swept = self._told = float("-inf")
        self._changed = True
        self._appliers: dict[str, Callable[[dict[str, Any], float], int]] = {
            "positions": self._apply_positions,
            "headways": self._apply_headways,
            "group_headways": self._apply_group_headways,
            "arrivals": self._apply_arrivals,
            "congestion": self._apply_congestion,
            "segments": self._apply_segments,
            "indicators": self._apply_indicators,
            "alerts": self._apply_alerts,
        }

    # --- written by the consumer

    def loading(self, why: str | None) -> None:
        """Say why the view is not whole yet; None when it is."""
        self._loading, self._changed = why, True

    def apply(self, topic: str, value: bytes, stated_at: float) -> None:
        """Apply one record of a topic (name of topics.py). A record that cannot be read is counted and left out.

        stated_at is the record's own time on the broker, POSIX seconds.
        """
        if topic == "positions":
            self.record_time = stated_at if self.record_time is None else max(stated_at, self.record_time)
        if value == messages.HEARTBEAT:
            return
        try:
            if topic == "network":
                self._apply_network(value)
                return
            rows = self._appliers[topic](orjson.loads(value), stated_at)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.bad_records[topic] = self.bad_records.get(topic, 0) + 1
            return
        self.rows_in[topic] = self.rows_in.get(topic, 0) + rows
        self._changed |= rows > 0

    def subscribe(self, listener: Callable[[Snapshot], None]) -> None:
        """Have `listener` called with every snapshot as it is published."""
        self._listeners.append(listener)

    def publish(self, now: float) -> Snapshot:
        """Swap in what is current at `now` (POSIX seconds); at least every second, so that ages stay true."""
        sweep = now - self._swept >= SWEEP_EVERY_S
        if sweep:
            self._sweep(now)
        if not sweep and not self._changed:
            return self.snapshot
        for vehicle_id in sorted(self._dirty):
            self._vehicles[vehicle_id] = self._vehicle(vehicle_id)
        self._dirty.clear()
        if now - self._told >= STATUS_EVERY_S or self._status.data.get("loading") != self.why_loading():
            self._tell_status(now)
        self.snapshot = Snapshot(
            seq=self.snapshot.seq + 1,
            at=now,
            loading=self.why_loading(),
            network=self._network,
            vehicles=self._vehicles.copy(),
            alerts=self._alerts.copy(),
            ended_alerts=self._ended.copy(),
            congestion=self._congestion.copy(),
            segments=self._segments.copy(),
            group_headways=self._newest_group_headway.copy(),
            indicators=self._indicators.copy(),
            indicator_hours=self._indicator_hours.copy(),
            headways=self._newest_headway.copy(),
            stop_headways=self._newest_stop_headway.copy(),
            arrivals=self._arrivals.copy(),
            status=self._status,
        )
        self._own_stops.clear()
        self._changed = False
        for listener in self._listeners:
            listener(self.snapshot)
        return self.snapshot

    def why_loading(self) -> str | None:
        """Why the view is not whole yet."""
        if self._loading is None and self._network is None:
            return "no network yet: is a worker running?"
        return self._loading

    # --- one method per topic

    def _apply_network(self, value: bytes) -> None:
        if self._network is None or self._network.value != value:
            self._network = NetworkView.parse(value)
            self._dirty.update(self._rows)
            self._changed = True

    def _apply_positions(self, record: dict[str, Any], stated_at: float) -> int:
        if self._network is not None and record["network"] != self._network.hash:
            self.foreign_records += 1
        n = 0
        for row in _rows(messages.POSITION, record["positions"]):
            n += 1
            vehicle_id = row[0]
            recent = self._recent.get(vehicle_id)
            if recent is None:
                self._recent[vehicle_id] = [(row, stated_at)]
            elif row[_TIMESTAMP] > recent[-1][0][_TIMESTAMP]:
                recent.append((row, stated_at))
                del recent[:-POSITIONS_KEPT]
            elif not _put_late(recent, row, stated_at):
                continue
            shown = next((r for r in reversed(self._recent[vehicle_id]) if not r[0][_WITHDRAWN]), None)
            if shown is None:
                self._rows.pop(vehicle_id, None)
                self._vehicles.pop(vehicle_id, None)
                self._dirty.discard(vehicle_id)
            elif shown is not self._rows.get(vehicle_id):
                self._rows[vehicle_id] = shown
                self._dirty.add(vehicle_id)
        return n

    def _apply_headways(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _dicts(messages.HEADWAY, record):
            n += 1
            vehicle_id, withdrawn = row["vehicle_id"], row.pop("withdrawn")
            if self._headways.setdefault(vehicle_id, _Newest()).put(row, withdrawn):
                _copy_newest(self._headways, self._newest_headway, vehicle_id)
                if vehicle_id in self._rows:
                    self._dirty.add(vehicle_id)
            if row["stop_id"] is not None:
                place = f"{row['route_id']}|{row['direction_id']}|{row['stop_id']}"
                if self._stop_headways.setdefault(place, _Newest()).put(row, withdrawn):
                    _copy_newest(self._stop_headways, self._newest_stop_headway, place)
        return n

    def _apply_group_headways(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _dicts(messages.GROUP_HEADWAY, record):
            n += 1
            withdrawn = row.pop("withdrawn")
            key = (row["route_group_id"], row["vehicle_id"])
            if self._group_headways.setdefault(key, _Newest()).put(row, withdrawn):
                _copy_newest(self._group_headways, self._newest_group_headway, key)
        return n

    def _apply_arrivals(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _rows(messages.ARRIVAL, record):
            n += 1
            stop_id, key = row[_STOP], (row[_TRIP], row[_SEQUENCE])
            known = self._arrivals.get(stop_id, {}).get(key)
            if known is not None and row[_MADE_AT] < known[_MADE_AT]:
                continue
            if all(row[i] is None for i in _TIMES):
                if known is not None:
                    del self._own(stop_id)[key]
            else:
                self._own(stop_id)[key] = row
        return n

    def _apply_congestion(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _dicts(messages.CONGESTION, record):
            n += 1
            id = f"{row['h3_cell']}:{row['heading_octant']}:{row['lane']}"
            known = self._congestion.get(id)
            start = -1.0 if known is None else known.data["window_start"]
            # A final row speaks of a window that is over: it may correct what is shown, never bring a cell back.
            if row["window_start"] < start or (row["final"] and row["window_start"] != start):
                continue
            lat, lon, geometry = hexagon(row["h3_cell"])
            data = {**row, "stated_at": stated_at}
            self._congestion[id] = Entity(
                "congestion", id, data, lat=lat, lon=lon, timestamp=stated_at, geometry=geometry
            )
        return n

    def _apply_segments(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _dicts(messages.SEGMENT, record):
            n += 1
            known = self._segments.get(row["segment_id"])
            start = -1.0 if known is None else known.data["window_start"]
            if row["window_start"] < start or (row["final"] and row["window_start"] != start) or not self._network:
                continue
            lat, lon, geometry = self._network.piece(row["pattern_id"], row["from_dist_m"], row["to_dist_m"])
            data = {
                **row,
                "route_ids": self._network.routes_between(row["from_stop_id"], row["to_stop_id"]),
                "stated_at": stated_at,
            }
            self._segments[row["segment_id"]] = Entity(
                "segment", row["segment_id"], data, lat=lat, lon=lon, timestamp=stated_at, geometry=geometry
            )
        return n

    def _apply_indicators(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _dicts(messages.INDICATOR, record):
            n += 1
            key = (row["route_id"], row["direction_id"])
            if row["final"]:  # copy on write: the last snapshot may still be reading the old ones
                hours = {**self._indicator_hours.get(key, {}), row["window_start"]: row}
                self._indicator_hours[key] = {h: hours[h] for h in sorted(hours)[-HOURS_KEPT:]}
                continue
            known = self._indicators.get(key)
            if known is None or row["made_at"] >= known["made_at"]:
                self._indicators[key] = row
        return n

    def _apply_alerts(self, record: dict[str, Any], stated_at: float) -> int:
        n = 0
        for row in _dicts(messages.ALERT, record):
            n += 1
            id = row["alert_id"]
            known = self._alerts.get(id) or self._ended.get(id)
            if known is not None and (row["revision"] or 0) < (known.data["revision"] or 0):
                continue
            lat, lon = self._place(row)
            data = {**row, "lat": lat, "lon": lon, "stated_at": stated_at}
            self._alerts.pop(id, None)
            self._ended.pop(id, None)
            home = self._alerts if row["active_to"] is None else self._ended
            home[id] = Entity(
                "alert", id, data, lat=lat, lon=lon, route_id=row["route_id"], timestamp=row["active_from"]
            )
        return n

    # --- what is made of them

    def _own(self, stop_id: str) -> dict[Row, Row]:
        # Copy on write: the last snapshot may still be reading the old one.
        if stop_id not in self._own_stops:
            self._arrivals[stop_id] = dict(self._arrivals.get(stop_id, ()))
            self._own_stops.add(stop_id)
        return self._arrivals[stop_id]

    def _vehicle(self, vehicle_id: str) -> Entity:
        row, came_at = self._rows[vehicle_id]
        data = dict(zip(_VEHICLE, row, strict=True))
        del data["withdrawn"]  # such a row is never shown
        network = self._network
        shape = network.shapes.get(data["pattern_id"]) if network and data["pattern_id"] else None
        heading = data["bearing_deg"]
        if shape is not None and data["dist_m"] is not None and not data["off_route"]:
            heading = shape.heading_at(data["dist_m"])
        level = None
        if heading is not None and data["h3_cell"] is not None and network is not None:
            octant = int((heading + 22.5) // 45.0) % 8
            cell = self._congestion.get(f"{data['h3_cell']}:{octant}:{network.lane_of(data['route_id'])}")
            level = cell.data["congestion_level"] if cell else None
        headway = self._newest_headway.get(vehicle_id)
        in_service = data["trip_type"] in (None, "In service")
        if headway is not None and (headway["route_id"] != data["route_id"] or not in_service):
            headway = None  # it was another run's: a bus in layover is neither bunched nor late
        data |= {
            "heading_deg": heading,
            "congestion_level": level,
            "headway_s": headway["headway_s"] if headway else None,
            "scheduled_headway_s": headway["scheduled_headway_s"] if headway else None,
            "headway_ratio": headway["headway_ratio"] if headway else None,
            "headway_band": headway["band"] if headway else None,
            "headway_at": headway["event_timestamp"] if headway else None,
            "leader_id": headway["leader_id"] if headway else None,
            "received_at": came_at,
            "stale": vehicle_id in self._stale,
        }
        return Entity(
            "vehicle",
            vehicle_id,
            data,
            lat=data["lat"],
            lon=data["lon"],
            route_id=data["route_id"],
            timestamp=data["timestamp"],
        )

    def _place(self, alert: Mapping[str, Any]) -> tuple[float | None, float | None]:
        vehicle = self._rows.get(alert["vehicle_id"]) if alert["vehicle_id"] else None
        if vehicle is not None:
            return vehicle[0][_VEHICLE.index("lat")], vehicle[0][_VEHICLE.index("lon")]
        stop = self._network.stops.get(alert["stop_id"]) if self._network and alert["stop_id"] else None
        return (stop["lat"], stop["lon"]) if stop else (None, None)

    def _sweep(self, now: float) -> None:
        s = self.settings
        self._swept = now
        gone = [v for v, recent in self._recent.items() if now - recent[-1][0][_TIMESTAMP] > s.drop_s]
        gone += [v for v, (row, _) in self._rows.items() if now - row[_TIMESTAMP] > s.drop_s]
        for vehicle_id in gone:
            self._recent.pop(vehicle_id, None)
            self._rows.pop(vehicle_id, None)
            self._vehicles.pop(vehicle_id, None)
            self._headways.pop(vehicle_id, None)
            self._newest_headway.pop(vehicle_id, None)
            self._dirty.discard(vehicle_id)
        stale = {v for v, (row, _) in self._rows.items() if now - row[_TIMESTAMP] > s.stale_s}
        self._dirty |= stale ^ self._stale & self._rows.keys()
        self._stale = stale
        if now - self._told < STATUS_EVERY_S:
            return
        for stop_id, rows in list(self._arrivals.items()):
            lapsed = [key for key, row in rows.items() if now - row[_MADE_AT] > s.arrival_lapse_s]
            if len(lapsed) == len(rows):
                del self._arrivals[stop_id]
                self._own_stops.discard(stop_id)
            elif lapsed:
                own = self._own(stop_id)
                for key in lapsed:
                    del own[key]
        for home in (self._alerts, self._congestion, self._segments):
            for id in [id for id, e in home.items() if now - e.data["stated_at"] > s.lapse_s]:
                del home[id]
        for id in [id for id, e in self._ended.items() if now - e.data["active_to"] > ENDED_ALERTS_KEPT_S]:
            del self._ended[id]
        for key in [k for k, row in self._indicators.items() if now - row["made_at"] > s.lapse_s]:
            del self._indicators[key]
        for key in [k for k, row in self._newest_group_headway.items() if now - row["event_timestamp"] > s.drop_s]:
            del self._group_headways[key], self._newest_group_headway[key]
        for place in [p for p, row in self._newest_stop_headway.items() if now - row["event_timestamp"] > 7200.0]:
            del self._stop_headways[place], self._newest_stop_headway[place]

    def _tell_status(self, now: float) -> None:
        self._told = now
        ages = [now - row[_TIMESTAMP] for row, _ in self._rows.values()]
        self._status = Entity(
            "status",
            "koridor",
            {
                "at": now,
                "loading": self.why_loading(),
                "network": self._network.hash if self._network else None,
                "feed_version": self._network.feed_version if self._network else None,
                "n_vehicles": len(ages),
                "n_stale": len(self._stale),
                "data_age_s": round(median(ages), 1) if ages else None,
                "newest_age_s": round(min(ages), 1) if ages else None,
                "pipeline_age_s": None if self.record_time is None else round(now - self.record_time, 1),
            },
        )


def _put_late(recent: list[tuple[Row, float]], row: Row, stated_at: float) -> bool:
    """Put a row that is not the newest in its place; False when it says nothing that matters any more."""
    for i, (known, _) in enumerate(recent):
        if row[_TIMESTAMP] == known[_TIMESTAMP]:
            if (row[_REVISION] or 0) <= (known[_REVISION] or 0):
                return False
            recent[i] = (row, stated_at)
            return True
        if row[_TIMESTAMP] < known[_TIMESTAMP]:
            if len(recent) == POSITIONS_KEPT and i == 0:
                return False
            recent.insert(i, (row, stated_at))
            del recent[:-POSITIONS_KEPT]
            return True
    return False


class _Newest:
    """A few rows of one vehicle or stop by (trip, gate); the newest in event time is the one that is told."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: dict[Row, Mapping[str, Any]] = {}

    def put(self, row: Mapping[str, Any], withdrawn: bool) -> bool:
        """Upsert by identity and revision; whether anything changed."""
        key = (row["trip_id_performed"], row["gate_id"])
        known = self.rows.get(key)
        if known is not None and (row["revision"] or 0) < (known["revision"] or 0):
            return False
        if withdrawn:
            return self.rows.pop(key, None) is not None
        self.rows[key] = row
        if len(self.rows) > HEADWAYS_KEPT:
            del self.rows[min(self.rows, key=lambda k: self.rows[k]["event_timestamp"])]
        return True

    def newest(self) -> Mapping[str, Any] | None:
        return max(self.rows.values(), key=lambda r: r["event_timestamp"], default=None)


def _copy_newest(source: dict[Key, _Newest], target: dict[Key, Mapping[str, Any]], key: Key) -> None:
    newest = source[key].newest()
    if newest is None:
        source.pop(key)
        target.pop(key, None)
    else:
        target[key] = newest


def _rows(spec: messages.Spec, record: Mapping[str, Any]) -> Iterator[Row]:
    """A record's rows as tuples in the order of `spec`; null stays None."""
    return zip(*(record[name] for name in spec), strict=True)


def _dicts(spec: messages.Spec, record: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    names = tuple(spec)
    return (dict(zip(names, row, strict=True)) for row in _rows(spec, record))
