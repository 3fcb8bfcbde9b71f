"""What the feed plans, from the network record: trips, their times at stops, frequencies, and the days they run on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Any, NamedTuple

from streams.service_day import day_start, local_date, zone_of


class Window(NamedTuple):
    """A row of frequencies.txt; seconds of the service day, `end_s` excluded."""

    start_s: int
    end_s: int
    headway_s: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Trip:
    """A trip of the feed; `windows` make it the template of frequency-based service."""

    trip_id: str
    pattern_id: str
    service: int
    start_s: int  # first departure, seconds of the service day
    offset_s: tuple[int, ...]  # arrival at each stop of the pattern, seconds after `start_s`
    stop_sequences: Sequence[int]  # the trip's own numbers of those stops
    windows: tuple[Window, ...]

    @property
    def headway_based(self) -> bool:
        """Whether its runs start when they do (`exact_times=0`)."""
        return any(not w.exact for w in self.windows)

    def slot(self, start_s: float) -> int:
        """The planned start nearest to `start_s`; for a template with `exact_times=1`."""
        slots = []
        for w in self.windows:
            last = (w.end_s - 1 - w.start_s) // w.headway_s
            slots.append(w.start_s + min(max(round((start_s - w.start_s) / w.headway_s), 0), last) * w.headway_s)
        return min(slots, key=lambda s: abs(s - start_s))


class Schedule:
    """The timetable of one network record; never changes."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        calendar = raw["calendar"]
        self.zone = zone_of(raw["timezone"])
        self.first_day = date.fromisoformat(calendar["first_day"]).toordinal()
        self._days = [bytes.fromhex(s["days"]) for s in calendar["services"]]
        self._n_days: int = calendar["n_days"]
        self.trips: dict[str, Trip] = {}
        self.trips_of: dict[str, list[Trip]] = {}  # pattern_id -> its trips
        for pattern in raw["patterns"]:
            trips = _trips(pattern)
            self.trips_of[pattern["pattern_id"]] = trips
            self.trips.update((trip.trip_id, trip) for trip in trips)
        self._starts: dict[int, float] = {}

    def runs(self, service: int, day: int) -> bool:
        """Whether a service (its position) runs on a day (ordinal).

        Outside the calendar it runs as on the nearest day of the same weekday: a feed that is over still says most.
        """
        at = day - self.first_day
        if at < 0:
            at %= 7
        elif at >= self._n_days:
            at = self._n_days - 7 + (at - self._n_days) % 7
        at = min(max(at, 0), self._n_days - 1)  # a calendar shorter than a week
        return bool(self._days[service][at >> 3] & 0x80 >> (at & 7))

    def starts_at(self, day: int) -> float:
        """POSIX zero of a service day (ordinal)."""
        if day not in self._starts:
            self._starts[day] = day_start(date.fromordinal(day), self.zone)
        return self._starts[day]

    def today(self, now: float) -> int:
        """The date on the city's wall, as an ordinal."""
        return local_date(now, self.zone).toordinal()

    def planned(self, trip: Trip, service_date: str) -> list[float]:
        """When a timed trip arrives at each stop of its pattern on a service date (YYYY-MM-DD), POSIX seconds."""
        zero = self.starts_at(date.fromisoformat(service_date).toordinal()) + trip.start_s
        return [zero + offset for offset in trip.offset_s]


def _trips(pattern: Mapping[str, Any]) -> list[Trip]:
    offsets = [tuple(accumulate(steps, initial=0)) for steps in pattern["running_s"]]
    windows: dict[int, list[Window]] = {}
    freq = pattern["frequencies"]
    columns = (freq["trip"], freq["start_s"], freq["end_s"], freq["headway_s"], freq["exact"])
    for at, start_s, end_s, headway_s, exact in zip(*columns, strict=True):
        windows.setdefault(at, []).append(Window(start_s, end_s, headway_s, bool(exact)))
    t = pattern["trips"]
    usual = pattern["stop_sequences"]
    numbers_of = [
        usual if k is None else pattern["numberings"][k] for k in t.get("numbering", [None] * len(t["running"]))
    ]
    rows = zip(t["trip_id"], t["service"], t["start_s"], t["running"], numbers_of, strict=True)
    return [
        Trip(trip_id, pattern["pattern_id"], service, start_s, offsets[way], numbers, tuple(windows.get(i, ())))
        for i, (trip_id, service, start_s, way, numbers) in enumerate(rows)
    ]


def seconds(text: str) -> int:
    """Seconds of HH:MM:SS."""
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(rest)


def clock(second: int) -> str:
    """HH:MM:SS of a second of the service day; it goes on counting past 24:00:00."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
