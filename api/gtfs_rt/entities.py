"""Entities of the three feeds as plain dicts, in the field names of gtfs-realtime.proto."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from google.transit import gtfs_realtime_pb2 as pb

from api.entity import INTERNAL, Entity
from api.gtfs_rt.trips import Known
from api.network import NetworkView
from api.snapshot import Row
from streams import messages

# A vehicle farther than this from its trip's shape is on a detour, or not on that trip. Consumers draw the line at
# 200 m, on an Earth of their own and with coordinates rounded to half a metre.
FAR_M = 190.0

_ARRIVAL = tuple(messages.ARRIVAL)
SEQUENCE, STOP, MADE_AT = (_ARRIVAL.index(n) for n in ("scheduled_stop_sequence", "stop_id", "made_at"))
P10, P90, TOLD = (_ARRIVAL.index(n) for n in ("arrival_p10", "arrival_p90", "arrival_time"))
VEHICLE = _ARRIVAL.index("vehicle_id")
_OCCUPANCY = frozenset(pb.VehiclePosition.OccupancyStatus.keys())
_CAUSES, _EFFECTS = frozenset(pb.Alert.Cause.keys()), frozenset(pb.Alert.Effect.keys())
_SEVERITIES = frozenset(pb.Alert.SeverityLevel.keys())

Fields = dict[str, Any]


def vehicle_position(entity: Entity, known: Known | None, network: NetworkView, now: int, flavor: str | None) -> Fields:
    """A vehicle; `known` is its run, None where it is on none."""
    d = entity.data
    position: Fields = {"latitude": d["lat"], "longitude": d["lon"]}
    bearing = d["bearing_deg"] if d["bearing_deg"] is not None else d["heading_deg"]
    if bearing is not None:
        position["bearing"] = bearing % 360.0
    if d["odometer_m"] is not None:
        position["odometer"] = d["odometer_m"]
    speed = d["reported_speed_mps"] if d["reported_speed_mps"] is not None else d["speed_mps"]
    if speed is not None and speed >= 0.0:
        position["speed"] = speed
    out: Fields = {"vehicle": _vehicle(entity.id, d), "position": position, "timestamp": min(int(d["timestamp"]), now)}
    if known is not None:
        out["trip"] = known.descriptor(flavor)
        if d["stop_id"] is not None and d["stop_sequence"] is not None:
            out |= {"current_stop_sequence": _own_number(d["stop_sequence"], known, network), "stop_id": d["stop_id"]}
            if d["current_status"] is not None:
                out["current_status"] = d["current_status"]
    if d["congestion_level"] is not None:
        out["congestion_level"] = d["congestion_level"]
    if d["occupancy_status"] in _OCCUPANCY:
        out["occupancy_status"] = d["occupancy_status"]
    return {"id": entity.id, "vehicle": out}


def _own_number(sequence: int, known: Known, network: NetworkView) -> int:
    """The trip's own stop_sequence of a stop that the tracker knows by its pattern's."""
    if known.trip is None:
        return sequence
    usual: list[int] = network.patterns[known.trip.pattern_id]["stop_sequences"]
    own = known.trip.stop_sequences
    return sequence if own is usual or sequence not in usual else own[usual.index(sequence)]


def trip_update(
    known: Known,
    rows: Sequence[Row],
    network: NetworkView,
    vehicle: Entity | None,
    told: Mapping[int, int],
    left_out: Collection[str],
    now: int,
    flavor: str | None,
) -> tuple[Fields | None, dict[int, int], float]:
    """The estimates of a run as a TripUpdate.

    rows   ARRIVAL rows in the order of their stops
    told   position of a stop in the pattern -> time, of the update before this one
    left_out  stop_ids that the route's buses drive round at present

    Returns the entity (None: there is nothing to say), what it tells by position, and until when it stays true.
    """
    otp = flavor == "otp"
    trip = known.trip
    pattern = network.patterns[trip.pattern_id] if trip else None
    stop_ids: list[str] = pattern["stop_ids"] if pattern else []
    place = {seq: i for i, seq in enumerate(pattern["stop_sequences"])} if pattern else {}
    at: list[tuple[int, Row]] = []  # position in the pattern, row; the row's own number where there is no pattern
    for row in rows:
        i = place.get(row[SEQUENCE], -1) if trip else row[SEQUENCE]
        # A stop named twice in a row is one stop to a consumer.
        if i < 0 or (trip and stop_ids[i] != row[STOP]) or (at and at[-1][1][STOP] == row[STOP]):
            continue
        at.append((i, row))
    if not at:
        return None, {}, 0.0
    timed = trip if trip and not trip.windows else None
    planned = network.schedule.planned(timed, known.run.trip_id_performed[:10]) if timed else []
    times: dict[int, int] = {}
    last = now - 1  # no stop ahead has been reached yet
    waits = (
        at[0][0] == 1  # the estimates of a bus that waits begin where it will arrive first
        and bool(planned)
        and stop_ids[0] != stop_ids[1]
        and vehicle is not None
        and at_origin(vehicle, network)
        and (vehicle.data["trip_type"] == "Layover" or round(planned[0]) > now)
    )
    if waits:
        last = times[0] = max(round(planned[0]), now)
    for i, row in at:
        last = times[i] = max(round(row[TOLD]), last + 1)
    width = {i: max(1, round(row[P90] - row[P10])) for i, row in at}
    until = float(times[min(times)])
    if planned:
        until = min(until, _keep_passed(times, told, planned, stop_ids, now))
    added = known.is_added(flavor)
    if added and trip:
        _fill(times, trip.offset_s, stop_ids)
    relationship = known.descriptor(flavor)["schedule_relationship"]
    updates: list[Fields] = []
    for i in sorted(times):
        event: Fields = {"time": times[i]}
        if planned:
            event["delay"] = times[i] - round(planned[i])
        if i in width:
            event["uncertainty"] = width[i]
        update: Fields = {}
        skipped = times[i] >= now and (stop_ids[i] if trip else _row_of(at, i)[STOP]) in left_out
        if not skipped or (otp and added):  # OpenTripPlanner wants times of every stop of a trip that is added
            if otp or i > 0 or not waits:
                update["arrival"] = event
            if otp or (i == 0 and waits):
                update["departure"] = event
        if trip:
            update |= {"stop_sequence": trip.stop_sequences[i], "stop_id": stop_ids[i]}
        else:
            row = _row_of(at, i)
            update |= {"stop_sequence": row[SEQUENCE], "stop_id": row[STOP]}
        update["schedule_relationship"] = (
            "SKIPPED" if skipped else "UNSCHEDULED" if relationship == "UNSCHEDULED" else "SCHEDULED"
        )
        updates.append(update)
    if otp and added and len(updates) < 2:  # it would be refused: nobody can ride from the last stop
        return None, times, until
    end = max(times)
    if trip and not added and (fence := _next_stop(stop_ids, end)) is not None:
        # Beyond what is estimated nothing is known: no consumer should carry the last delay on.
        updates.append(
            {
                "stop_sequence": trip.stop_sequences[fence],
                "stop_id": stop_ids[fence],
                "schedule_relationship": "NO_DATA",
            }
        )
    measured = vehicle.timestamp if vehicle is not None and vehicle.timestamp is not None else at[0][1][MADE_AT]
    vehicle_id = at[0][1][VEHICLE]
    body: Fields = {
        "trip": known.descriptor(flavor),
        "timestamp": min(int(measured), now),
        "stop_time_update": updates,
    }
    if vehicle_id is not None:
        body["vehicle"] = _vehicle(vehicle_id, vehicle.data if vehicle else {})
    return {"id": known.run.trip_id_performed, "trip_update": body}, times, until


def _row_of(at: Sequence[tuple[int, Row]], position: int) -> Row:
    return next(row for i, row in at if i == position)


def at_origin(vehicle: Entity, network: NetworkView) -> bool:
    """Whether a vehicle is where it would wait for its run to begin: a terminal is a zone around the first stop."""
    d = vehicle.data
    pattern = network.patterns.get(d["pattern_id"])
    if pattern is None or d["dist_m"] is None:
        return bool(d["trip_type"] == "Layover")
    return bool(d["dist_m"] < pattern["stop_dist_m"][0] + messages.TERMINAL_M)


def _keep_passed(
    times: dict[int, int], told: Mapping[int, int], planned: Sequence[float], stop_ids: Sequence[str], now: int
) -> float:
    """Add stops that were passed before their time: left out, they would look as if the bus were still to come.

    Returns when the first of them is due by the timetable.
    """
    first = min(times)
    until = float("inf")
    for i in range(first - 1, -1, -1):
        if planned[i] <= now:
            break
        if stop_ids[i] != stop_ids[i + 1]:
            times[i] = min(told.get(i, now), now, times[min(times)] - 1)
            until = planned[i]
    return until


def _fill(times: dict[int, int], offset_s: Sequence[int], stop_ids: Sequence[str]) -> None:
    """Give every stop from the first one on a time, running as the timetable does where there is no estimate."""
    first = min(times)
    known = sorted(times)
    for i in range(first + 1, len(offset_s)):
        if i in times or stop_ids[i] == stop_ids[i - 1]:
            continue
        before = max(j for j in times if j < i)
        time = max(times[before] + 1, times[before] + offset_s[i] - offset_s[before])
        after = next((j for j in known if j > i), None)
        times[i] = time if after is None else min(time, times[after] - (after - i))
    for a, b in pairwise(sorted(times)):
        times[b] = max(times[b], times[a] + 1)


def _next_stop(stop_ids: Sequence[str], end: int) -> int | None:
    return next((i for i in range(end + 1, len(stop_ids)) if stop_ids[i] != stop_ids[end]), None)


def alert(entity: Entity, network: NetworkView, now: int) -> Fields | None:
    """An alert that concerns passengers of a route, or at the stops it names; None for one of the control room's."""
    d = entity.data
    if d["effect"] in INTERNAL or d["route_id"] not in network.routes:
        return None
    line: Fields = {"route_id": d["route_id"]}
    if (direction := network.direction_of_feed(d["route_id"], d["direction_id"])) is not None:
        line["direction_id"] = direction
    concerns = [{**line, "stop_id": stop} for stop in d["stop_ids"] or () if stop in network.stops] or [line]
    period: Fields = {"start": min(int(d["active_from"]), now)}
    if d["active_to"] is not None:
        period["end"] = int(d["active_to"])
    return _alert(
        entity.id, concerns, d["cause"], d["effect"], d["severity"], d["header"] or "", d["description"], period
    )


def detour(entity: Entity, known: Known, network: NetworkView, flavor: str | None) -> Fields:
    """That a run has left its way; a position far from its trip's shape needs one."""
    d = entity.data
    route = network.routes.get(d["route_id"], {})
    name = route.get("short_name") or d["route_id"]
    stop = network.stops.get(d["stop_id"], {})
    beyond = f" towards {stop['name']}" if stop.get("name") else ""
    return _alert(
        f"detour:{known.run.trip_id_performed}",
        [{"trip": known.descriptor(flavor)}],
        "UNKNOWN_CAUSE",
        "DETOUR",
        "INFO",
        f"Route {name}: a bus drives another way",
        f"Bus {d['label'] or entity.id} has left its usual way{beyond}; it may miss stops.",
        None,
    )


def _alert(
    id: str,
    concerns: list[Fields],
    cause: str | None,
    effect: str,
    severity: str | None,
    header: str,
    description: str | None,
    period: Fields | None,
) -> Fields:
    out: Fields = {
        "informed_entity": concerns,
        "cause": cause if cause in _CAUSES else "UNKNOWN_CAUSE",
        "effect": effect if effect in _EFFECTS else "UNKNOWN_EFFECT",
        "header_text": _text(header),
    }
    if description:
        out["description_text"] = _text(description)
    if severity in _SEVERITIES:
        out["severity_level"] = severity
    if period is not None:
        out["active_period"] = [period]
    return {"id": id, "alert": out}


def _text(words: str) -> Fields:
    return {"translation": [{"text": words, "language": "en"}]}


def _vehicle(vehicle_id: str, data: Mapping[str, Any]) -> Fields:
    label = data.get("label")
    return {"id": vehicle_id, "label": label} if label else {"id": vehicle_id}
