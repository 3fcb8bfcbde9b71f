"""A run's TripDescriptor: the only one of its kind, and the same as long as the run lasts."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gtfs_rt.trips import Run, Trips
from api.network import NetworkView
from tests.api import factory


@pytest.fixture(scope="module")
def network() -> NetworkView:
    return NetworkView.parse(factory.network())


def run(
    vehicle: str = "B1",
    trip: str | None = "1-a",
    start: str | None = "07:00:00",
    route: str = "1",
    n: int = 1,
    reported: bool = False,
) -> Run:
    return Run(f"2025-11-28:{vehicle}:{n}", trip, route, 0, start, reported)


def test_a_frequency_without_exact_times_is_unscheduled_with_its_start(network):
    found = Trips(network).learn(run())
    assert found.plain == {
        "trip_id": "1-a",
        "route_id": "1",
        "direction_id": 0,
        "start_date": "20251128",
        "start_time": "07:00:00",
        "schedule_relationship": "UNSCHEDULED",
    }
    assert (found.otp["trip_id"], found.otp["schedule_relationship"]) == ("2025-11-28:B1:1", "ADDED")


def test_a_timed_trip_is_scheduled_whatever_its_bus_thinks_of_the_start(network):
    found = Trips(network).learn(run(trip="2-a", start="07:04:11", route="2"))
    assert found.plain == found.otp
    assert found.plain["schedule_relationship"] == "SCHEDULED"
    assert "start_time" not in found.plain


def test_a_direction_that_the_feed_does_not_have_is_not_told():
    raw = orjson.loads(factory.network())
    for pattern in raw["patterns"]:
        pattern["direction_inferred"] = pattern["route_id"] == "1"
    network = NetworkView.parse(orjson.dumps(raw))
    assert "direction_id" not in Trips(network).learn(run()).plain
    assert Trips(network).learn(run(trip="2-a", route="2")).plain["direction_id"] == 0


def test_exact_times_are_scheduled_at_their_slot():
    raw = orjson.loads(factory.network())
    raw["patterns"][0]["frequencies"]["exact"] = [1]
    found = Trips(NetworkView.parse(orjson.dumps(raw))).learn(run(start="07:06:20"))
    assert (found.plain["schedule_relationship"], found.plain["start_time"]) == ("SCHEDULED", "07:05:00")


@pytest.mark.parametrize(
    ("trip", "start"), [(None, "07:00:00"), ("gone", "07:00:00"), ("1-a", None), ("1-a", "31:00:00")]
)
def test_what_cannot_be_named_is_added_under_its_own_id(network, trip, start):
    found = Trips(network).learn(run(trip=trip, start=start))
    assert found.trip is None
    assert found.plain["schedule_relationship"] == "ADDED"
    assert found.plain["trip_id"] not in network.schedule.trips


def test_a_second_bus_on_a_timed_trip_is_an_added_one_until_the_first_is_gone(network):
    trips = Trips(network)
    first, second = run("B1", "2-a", route="2"), run("B2", "2-a", route="2")
    assert trips.learn(first).plain["schedule_relationship"] == "SCHEDULED"
    assert trips.learn(second).plain["schedule_relationship"] == "ADDED"
    trips.keep([second.trip_id_performed])
    assert trips.find(first.trip_id_performed) is None
    assert trips.learn(second).plain["schedule_relationship"] == "ADDED"  # it stays what it was
    assert trips.learn(run("B3", "2-a", route="2")).plain["schedule_relationship"] == "SCHEDULED"


def test_the_bus_that_names_its_trip_has_it(network):
    trips = Trips(network)
    guessed, says_so = run("B1", "2-a", route="2"), run("B2", "2-a", route="2", reported=True)
    assert trips.learn(guessed).plain["schedule_relationship"] == "SCHEDULED"
    assert trips.learn(says_so).plain["trip_id"] == "2-a"
    assert trips.learn(guessed).plain == trips.find(guessed.trip_id_performed).plain
    assert trips.learn(guessed).plain["schedule_relationship"] == "ADDED"
    too = run("B3", "2-a", route="2", reported=True)
    assert trips.learn(too).plain["schedule_relationship"] == "ADDED"  # two say so: the first one keeps it
    assert trips.learn(says_so).plain["trip_id"] == "2-a"


RUNS = st.builds(
    run,
    st.sampled_from(["B1", "B2", "B3"]),
    st.sampled_from([None, "1-a", "1-b", "2-a", "2-b", "gone"]),
    st.sampled_from([None, "06:59:59", "07:00:00", "07:00:01", "29:59:59", "30:00:00"]),
    st.sampled_from(["1", "2", "gone"]),
    st.integers(1, 3),
    st.booleans(),
)


@given(st.lists(st.one_of(RUNS, st.sets(st.sampled_from(["B1", "B2"]))), max_size=30))
def test_no_two_runs_have_one_descriptor_and_no_run_changes_its_own(network, steps):
    trips = Trips(network)
    held: dict[str, tuple[Run, dict]] = {}
    for step in steps:
        if isinstance(step, Run):
            found = trips.learn(step)
            before = held.get(step.trip_id_performed)
            if before is not None and before[0] == step:
                assert found.plain == before[1]
            held[step.trip_id_performed] = (step, found.plain)
            for name, (other, said) in held.items():  # one that gave way to a bus that names the trip
                now = trips.find(name).plain
                if now != said:
                    assert step.reported
                    assert not other.reported
                    assert found.plain["trip_id"] == said["trip_id"]
                    assert now["schedule_relationship"] == "ADDED"
                    held[name] = (other, now)
        else:
            held = {k: v for k, v in held.items() if k.split(":")[1] in step}
            trips.keep(held)
        plain = [tuple(sorted(d.items())) for _, d in held.values()]
        named = [(d["trip_id"], d.get("start_date"), d.get("start_time")) for _, d in held.values()]
        assert len(set(plain)) == len(plain)
        assert len(set(named)) == len(named)
