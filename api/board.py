"""The board of a stop: live and scheduled arrivals in a passenger's words, and what runs here today.

Words are English and short: `due`, `3–5 min`, `every 8–12 min`, `no more buses today`. The figures behind them stand
beside them for whoever has words of their own.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import islice, takewhile
from math import ceil, floor
from typing import Any, NamedTuple

from api.detours import left_out
from api.entity import INTERNAL
from api.network import NetworkView
from api.schedule import Trip, seconds
from api.snapshot import Snapshot
from streams import messages

DUE_S = 60.0  # nearer than this a bus is due
LATE_S, EARLY_S = 120.0, 60.0  # a deviation from the timetable that is worth a word: who comes early is missed
UNSURE_S = 300.0  # an interval wider than this, and than half of the time left, is a low confidence
CLOCK_S = 3600.0  # farther away than this a clock says more than minutes
HEADWAYS_S = 1800.0  # "every 8–12 min" speaks of so long
ALERT = ("alert_id", "route_id", "direction_id", "severity", "effect", "active_from", "header", "description")
MOST_DAYS = 4096  # plans of a stop and a day that are remembered

_ARRIVAL = tuple(messages.ARRIVAL)
Fields = dict[str, Any]
Line = tuple[str, int | None, str | None]  # route_id, direction_id, headsign


class Timed(NamedTuple):
    """A timed trip at a stop; POSIX seconds."""

    time: float
    trip: Trip
    line: Line
    sequence: int
    stop_id: str


class Frequent(NamedTuple):
    """A stretch of frequency-based service at a stop: buses from `begin` to `last`, POSIX seconds."""

    begin: float
    last: float
    headway_s: float
    line: Line


class Day(NamedTuple):
    """What is planned at a stop on a service day."""

    timed: list[Timed]  # by time
    times: dict[Line, list[float]]  # of the timed trips of a line, rising
    frequent: dict[Line, list[Frequent]]
    last: dict[Line, float]  # the last bus of a line


def board(now: Snapshot, network: NetworkView, stop_id: str, within_s: float) -> tuple[list[Fields], list[Fields]]:
    """Arrivals at a stop (at a station: at all of its stops), soonest first, and the lines that serve it.

    within_s  how far ahead timetabled buses that are not tracked yet are told
    """
    schedule = network.schedule
    today = schedule.today(now.at)
    places = network.places(stop_id)
    days = {d: _day(network, stop_id, places, d) for d in (today - 1, today)}
    tomorrow = _day(network, stop_id, places, today + 1)  # the night does not end at midnight
    rows = [_live(now, network, days, row) for place in places for row in now.arrivals.get(place, {}).values()]
    estimated = {(r["trip_id_scheduled"], r["trip_id_performed"][:10], r["scheduled_stop_sequence"]) for r in rows}
    under_way = _under_way(now)
    for ordinal, day in (days | {today + 1: tomorrow}).items():
        date_text = date.fromordinal(ordinal).isoformat()
        begin = bisect_left(day.timed, now.at, key=lambda t: t.time)
        for at in takewhile(lambda t: t.time <= now.at + within_s, islice(day.timed, begin, None)):
            bus = under_way.get((at.trip.trip_id, date_text))
            if (at.trip.trip_id, date_text, at.sequence) not in estimated and (bus is None or bus <= at.sequence):
                rows.append(_scheduled(now, days, at, date_text))
    for row in rows:
        row["skipped"] = row["stop_id"] in left_out(now, row["route_id"], row["direction_id"])
        if row["skipped"]:
            row |= {"words": "not served", "note": "detour: buses do not stop here at present"}
    rows.sort(key=lambda r: (r["arrival_time"], r["trip_id_performed"] or r["trip_id_scheduled"] or ""))
    return rows, _service(now, network, days, tomorrow, rows, places, today, within_s)


# --- arrivals


def _live(now: Snapshot, network: NetworkView, days: Mapping[int, Day], row: tuple[Any, ...]) -> Fields:
    record = dict(zip(_ARRIVAL, row, strict=True))
    vehicle = now.vehicles.get(record["vehicle_id"])
    data: Mapping[str, Any] = vehicle.data if vehicle is not None else {}
    trip = network.schedule.trips.get(record["trip_id_scheduled"] or "")
    pattern = network.patterns[trip.pattern_id] if trip else None
    # While it waits at its terminal a vehicle is on no run yet; its place is that of the next one.
    on_this_run = (
        vehicle is not None
        and data.get("trip_id_performed") in (record["trip_id_performed"], None)
        and data.get("route_id") == record["route_id"]
        and data.get("direction_id") == record["direction_id"]
    )
    if pattern is None and on_this_run:
        pattern = network.patterns.get(data["pattern_id"])
    headsign = pattern["headsign"] if pattern else None
    timestamp = vehicle.timestamp if vehicle is not None else None
    stale = data.get("stale")
    left, early, late = (record[n] - now.at for n in ("arrival_time", "arrival_p10", "arrival_p90"))
    unsure = late - early > max(UNSURE_S, left / 2)
    quality = "stale" if vehicle is None or stale else "low" if unsure else "good"
    due = is_last = None
    if trip is not None:
        start_s: int | None = trip.start_s
        if trip.windows:
            start_s = seconds(data["start_time"]) if on_this_run and data["start_time"] is not None else None
        due = _due(network, trip, record, start_s)
        day = days.get(date.fromisoformat(record["trip_id_performed"][:10]).toordinal())
        # A bus that keeps a headway is the last one when it left nearer to the last start than to the one before.
        slack_s = min((w.headway_s / 2 for w in trip.windows), default=1.0)
        is_last = _is_last(day, (record["route_id"], record["direction_id"], headsign), due, slack_s)
    ends_here = pattern is not None and record["scheduled_stop_sequence"] == pattern["stop_sequences"][-1]
    planned = due if trip is not None and not trip.windows else None
    notes = []
    if planned is not None and (off := _deviation(record["arrival_time"] - planned)):
        notes.append(off)
    if on_this_run and data["trip_type"] == "Layover":
        notes.append("not departed yet")
    if is_last:
        notes.append("last bus today")
    if ends_here:
        notes.append("ends here")
    if quality == "stale":
        notes.append("not seen now" if timestamp is None else f"last seen {_ago(now.at - timestamp)} ago")
    elif quality == "low":
        notes.append("uncertain")
    return record | {
        "headsign": headsign,
        "schedule_arrival_time": planned,
        "quality": quality,
        "minutes": max(0, floor(left / 60.0)),
        "words": words(left, early, late, _clock(network, record["arrival_time"])),
        "note": ", ".join(notes) or None,
        "is_last": is_last,
        "ends_here": ends_here,
        "vehicle_age_s": None if timestamp is None else round(now.at - timestamp, 1),
        "vehicle_stale": stale,
        "age_s": round(now.at - record["made_at"], 1),
    }


def _scheduled(now: Snapshot, days: Mapping[int, Day], at: Timed, date_text: str) -> Fields:
    network = now.network
    assert network is not None
    left = at.time - now.at
    is_last = _is_last(days.get(date.fromisoformat(date_text).toordinal()), at.line, at.time)
    return dict.fromkeys(_ARRIVAL) | {
        "scheduled_stop_sequence": at.sequence,
        "trip_id_scheduled": at.trip.trip_id,
        "route_id": at.line[0],
        "direction_id": at.line[1],
        "stop_id": at.stop_id,
        "arrival_time": at.time,
        "headsign": at.line[2],
        "schedule_arrival_time": at.time,
        "quality": "scheduled",
        "minutes": max(0, floor(left / 60.0)),
        "words": words(left, left, left, _clock(network, at.time)),
        "note": "last bus today, by timetable" if is_last else "by timetable",
        "is_last": is_last,
        "ends_here": False,
        "vehicle_age_s": None,
        "vehicle_stale": None,
        "age_s": None,
    }


def words(left_s: float, early_s: float, late_s: float, clock: str) -> str:
    """How long to wait: `due`, `4 min`, `3–5 min`, or `at 08:40` where it is long.

    left_s, early_s, late_s  seconds until the time told, p10 and p90
    """
    if left_s > CLOCK_S:
        return f"at {clock}"
    low, high = max(0, floor(early_s / 60.0)), max(1, ceil(late_s / 60.0))
    if left_s < DUE_S and high <= 2:
        return "due"
    if high - low <= 1:
        return f"{max(1, floor(left_s / 60.0))} min"
    return f"{max(1, low)}–{high} min"


def every(low_s: float, high_s: float) -> str:
    """A headway in words: `every 10 min`, `every 8–12 min`, `every 90 min`."""
    low, high = max(1, round(low_s / 60.0)), max(1, round(high_s / 60.0))
    return f"every {low} min" if low == high else f"every {low}–{high} min"


def _deviation(late_s: float) -> str | None:
    """`4 min late`, `2 min early`; None for what a passenger calls on time."""
    if -EARLY_S < late_s < LATE_S:
        return None
    return f"{abs(late_s) / 60.0:.0f} min {'late' if late_s > 0 else 'early'}"


def _ago(age_s: float) -> str:
    return f"{age_s / 60.0:.0f} min" if age_s >= 90.0 else f"{age_s:.0f} s"


def _clock(network: NetworkView, time: float) -> str:
    return datetime.fromtimestamp(time, network.schedule.zone).strftime("%H:%M")


def _is_last(day: Day | None, line: Line, time: float | None, slack_s: float = 1.0) -> bool | None:
    if day is None or time is None or line not in day.last:
        return None
    return time >= day.last[line] - slack_s


def _due(network: NetworkView, trip: Trip, record: Mapping[str, Any], start_s: int | None) -> float | None:
    """When a run that began at `start_s` comes here as the timetable runs; POSIX seconds."""
    sequences: list[int] = network.patterns[trip.pattern_id]["stop_sequences"]
    if start_s is None or record["scheduled_stop_sequence"] not in sequences:
        return None
    day = date.fromisoformat(record["trip_id_performed"][:10]).toordinal()
    return network.schedule.starts_at(day) + start_s + trip.offset_s[sequences.index(record["scheduled_stop_sequence"])]


def _under_way(now: Snapshot) -> dict[tuple[str, str], int]:
    """(trip, service date) -> stop_sequence a bus on it heads for, of all timed trips that are tracked; made once."""
    found: dict[tuple[str, str], int] | None = now.memo.get("under_way")
    if found is None:
        found = now.memo["under_way"] = {
            (d["trip_id_scheduled"], d["service_date"]): d["stop_sequence"] or 0
            for e in now.vehicles.values()
            if (d := e.data)["trip_id_scheduled"] is not None and d["service_date"] is not None
        }
    return found


def alerts(now: Snapshot, network: NetworkView, stop_id: str) -> list[Fields]:
    """What passengers of the lines at a stop should know: alerts with an effect that they feel, newest first."""
    places = network.places(stop_id)
    lines = {(line[0], line[1]) for line, _, _ in _visits(network, places)}
    found = []
    for entity in now.alerts.values():
        d = entity.data
        here = (d["route_id"], d["direction_id"]) in lines or (
            d["direction_id"] is None and any(d["route_id"] == route for route, _ in lines)
        )
        if here and d["effect"] not in INTERNAL and (not d["stop_ids"] or set(places) & set(d["stop_ids"])):
            found.append({name: d[name] for name in ALERT})
    found.sort(key=lambda a: (-a["active_from"], a["alert_id"]))
    return found


# --- lines


def _service(
    now: Snapshot,
    network: NetworkView,
    days: Mapping[int, Day],
    tomorrow: Day,
    rows: list[Fields],
    places: list[str],
    today: int,
    within_s: float,
) -> list[Fields]:
    live: dict[Line, int] = {}
    for row in rows:
        if row["quality"] != "scheduled":
            line = (row["route_id"], row["direction_id"], row["headsign"])
            live[line] = live.get(line, 0) + 1
    lines = sorted({v[0] for v in _visits(network, places)}, key=lambda line: (line[0], line[1] or 0, line[2] or ""))
    out = []
    for line in lines:
        stretches = [f for day in days.values() for f in day.frequent.get(line, ())]
        stretches += tomorrow.frequent.get(line, ())
        current = [f for f in stretches if f.begin - f.headway_s <= now.at <= f.last]
        starts = [now.at for _ in current]
        starts += [t for day in days.values() for t in _starts(day, line, now.at)]
        # Tomorrow's service is told to whoever waits for it, not to whoever missed today's.
        starts += [t for t in _starts(tomorrow, line, now.at) if t <= now.at + within_s]
        ends = [day.last[line] for day in days.values() if line in day.last and day.last[line] >= now.at]
        low, high = _headways(stretches, now.at) if current else (None, None)
        first = min(starts, default=None)
        if low is not None and high is not None:
            state, said = "running", every(low, high)
        elif first is not None and line in days[today - 1].last and days[today - 1].last[line] >= now.at:
            state, said = "running", f"next at {_clock(network, first)}"
        elif first is not None:
            begun = any(t < now.at for t in days[today].times.get(line, ())[:1]) or any(
                f.begin < now.at for f in days[today].frequent.get(line, ())
            )
            state, said = ("running", "next") if begun else ("later", "first bus")
            said = f"{said} at {_clock(network, first)}"
        elif line in days[today].last:
            state, said = "ended", "no more buses today"
        else:
            state, said = "none", "no buses today"
        if state in ("ended", "none") and live.get(line):
            state, said = "running", "last buses"  # late ones are still on their way
        out.append(
            {
                "route_id": line[0],
                "direction_id": line[1],
                "headsign": line[2],
                "state": state,
                "words": said,
                "headway_min_s": low,
                "headway_max_s": high,
                "next_time": None if current else first,
                "last_time": max(ends, default=None),
                "n_live": live.get(line, 0),
            }
        )
    return out


def _starts(day: Day, line: Line, now: float) -> list[float]:
    """When a line's next timed bus comes, and when stretches of it begin that lie ahead."""
    times = day.times.get(line, [])
    at = bisect_left(times, now)
    return [*times[at : at + 1], *(f.begin for f in day.frequent.get(line, ()) if f.begin > now)]


def _headways(stretches: list[Frequent], now: float) -> tuple[float, float]:
    """Shortest and longest headway of a line in the next half hour; patterns beside each other come more often."""
    edges = sorted({now, *(e for f in stretches for e in (f.begin, f.last) if now < e < now + HEADWAYS_S)})
    found = []
    for edge in edges:
        rate = sum(1.0 / f.headway_s for f in stretches if f.begin <= edge < f.last)
        if rate:
            found.append(1.0 / rate)
    if not found:  # the last bus is on its way
        found = [f.headway_s for f in stretches if f.begin - f.headway_s <= now <= f.last]
    return min(found), max(found)


def _visits(network: NetworkView, places: list[str]) -> Iterator[tuple[Line, str, int]]:
    """Line, pattern and position of everything that can be boarded here: not where a pattern ends."""
    for place in places:
        for pattern_id, i in network.visits_at.get(place, ()):
            pattern = network.patterns[pattern_id]
            if i < len(pattern["stop_ids"]) - 1:
                yield (pattern["route_id"], pattern["direction_id"], pattern["headsign"]), pattern_id, i


def _day(network: NetworkView, stop_id: str, places: list[str], ordinal: int) -> Day:
    known: Day | None = network.days.get((stop_id, ordinal))
    if known is not None:
        return known
    schedule = network.schedule
    zero = schedule.starts_at(ordinal)
    timed: list[Timed] = []
    times: dict[Line, list[float]] = {}
    frequent: dict[Line, list[Frequent]] = {}
    last: dict[Line, float] = {}
    for line, pattern_id, i in _visits(network, places):
        pattern = network.patterns[pattern_id]
        for trip in schedule.trips_of[pattern_id]:
            if not schedule.runs(trip.service, ordinal):
                continue
            if not trip.windows:
                at = zero + trip.start_s + trip.offset_s[i]
                timed.append(Timed(at, trip, line, pattern["stop_sequences"][i], pattern["stop_ids"][i]))
                last[line] = max(at, last.get(line, at))
            for w in trip.windows:
                begin = zero + w.start_s + trip.offset_s[i]
                end = begin + (w.end_s - 1 - w.start_s) // w.headway_s * w.headway_s
                frequent.setdefault(line, []).append(Frequent(begin, end, float(w.headway_s), line))
                last[line] = max(end, last.get(line, end))
    timed.sort(key=lambda t: (t.time, t.trip.trip_id))
    for t in timed:
        times.setdefault(t.line, []).append(t.time)
    if len(network.days) >= MOST_DAYS:
        network.days.clear()
    made = network.days[stop_id, ordinal] = Day(timed, times, frequent, last)
    return made
