"""Which trip a run is, in GTFS-Realtime's words: a TripDescriptor that no other run has, the same for all its life.

Frequency-based service (`exact_times=0`) is UNSCHEDULED: trip_id of the template, start_date and start_time of the run.
A run that is no trip of the feed, or drives one that another bus drives already, is ADDED with an id of its own. Of two
on one trip that is the one that was only taken to be on it; the bus that names its trip has it.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from api.network import NetworkView
from api.schedule import Trip, clock, seconds

Descriptor = dict[str, Any]
LATEST_S = 30 * 3600 - 1  # start_time has two digits, and consumers read no more than 29:59:59


class Run(NamedTuple):
    """What a vehicle says of the run it is on."""

    trip_id_performed: str
    trip_id_scheduled: str | None
    route_id: str | None
    direction_id: int | None
    start_time: str | None  # HH:MM:SS
    reported: bool  # the vehicle itself names the trip


class Known(NamedTuple):
    """A run with its descriptors; `trip` is None for an added one."""

    run: Run
    trip: Trip | None
    plain: Descriptor
    otp: Descriptor
    key: tuple[str, ...]  # what makes the plain descriptor the only one of its kind

    def descriptor(self, flavor: str | None) -> Descriptor:
        """The descriptor in a flavour."""
        return self.otp if flavor == "otp" else self.plain

    def is_added(self, flavor: str | None) -> bool:
        """Whether the descriptor says ADDED."""
        return bool(self.descriptor(flavor)["schedule_relationship"] == "ADDED")


class Trips:
    """Descriptors of the runs in use."""

    def __init__(self, network: NetworkView) -> None:
        self.network = network
        self._known: dict[str, Known] = {}
        self._holder: dict[tuple[str, ...], str] = {}  # trip, date, start -> the run that has it

    def find(self, trip_id_performed: str) -> Known | None:
        """A run that `learn` was told of."""
        return self._known.get(trip_id_performed)

    def learn(self, run: Run) -> Known:
        """The run's descriptors; they change only when what the vehicle says changes."""
        known = self._known.get(run.trip_id_performed)
        if known is None or known.run != run:
            if known is not None:
                self._holder.pop(known.key, None)
            known = self._known[run.trip_id_performed] = self._describe(run)
            self._holder[known.key] = run.trip_id_performed
        return known

    def keep(self, used: Iterable[str]) -> None:
        """Forget all runs but these."""
        for gone in self._known.keys() - set(used):
            self._holder.pop(self._known.pop(gone).key, None)

    def _is_free(self, key: tuple[str, ...], run: Run) -> bool:
        """Whether nobody has this trip, or one that gives way to this run: then that is on no trip from now on."""
        holder = self._known.get(self._holder.get(key, ""))
        if holder is None:
            return True
        if holder.run.reported or not run.reported:
            return False
        name = holder.run.trip_id_performed
        self._known[name] = self._added(holder.run)
        self._holder[self._known[name].key] = name
        return True

    def _named(self, run: Run, trip_id: str) -> Descriptor:
        """What all descriptors of a run say."""
        out: Descriptor = {"trip_id": trip_id}
        if run.route_id in self.network.routes:
            out["route_id"] = run.route_id
        if (direction := self.network.direction_of_feed(run.route_id, run.direction_id)) is not None:
            out["direction_id"] = direction
        return {**out, "start_date": run.trip_id_performed[:10].replace("-", "")}

    def _added(self, run: Run) -> Known:
        """A run on no trip of the feed."""
        out = {**self._named(run, run.trip_id_performed), "schedule_relationship": "ADDED"}
        if (start_s := _start_s(run)) is not None:
            out["start_time"] = clock(start_s)
        return Known(run, None, out, out, (run.trip_id_performed,))

    def _describe(self, run: Run) -> Known:
        added = self._added(run)
        trip = self.network.schedule.trips.get(run.trip_id_scheduled or "")
        if trip is None:
            return added
        named = self._named(run, trip.trip_id)
        date = named["start_date"]
        if not trip.windows:
            key: tuple[str, ...] = (trip.trip_id, date)
            plain = {**named, "schedule_relationship": "SCHEDULED"}
            return Known(run, trip, plain, plain, key) if self._is_free(key, run) else added
        start_s = _start_s(run)
        if start_s is None:
            return added
        if not trip.headway_based:
            start = clock(trip.slot(start_s))
            key = (trip.trip_id, date, start)
            plain = {**named, "start_time": start, "schedule_relationship": "SCHEDULED"}
            return Known(run, trip, plain, plain, key) if self._is_free(key, run) else added
        while (key := (trip.trip_id, date, clock(start_s))) in self._holder and start_s < LATEST_S:
            start_s += 1  # two buses that left in the same second are two runs
        plain = {**named, "start_time": clock(start_s), "schedule_relationship": "UNSCHEDULED"}
        return added if key in self._holder else Known(run, trip, plain, added.plain, key)


def _start_s(run: Run) -> int | None:
    """When a run started, seconds of the service day; None where that is unknown or cannot be said."""
    start_s = None if run.start_time is None else seconds(run.start_time)
    return None if start_s is None or start_s > LATEST_S else start_s
