"""Entities: what a TripUpdate, a position and an alert say, and what they never say."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from api.gtfs_rt import entities
from api.gtfs_rt.trips import Run, Trips
from api.network import NetworkView
from streams import messages
from tests.api import factory
from tests.api.factory import NOW, alert, arrival, bus

SPEC = tuple(messages.ARRIVAL)
T = int(NOW)
NETWORK = NetworkView.parse(factory.network())
FREQUENT = Run("2025-11-28:B1:1", "1-a", "1", 0, "07:00:00", False)
TIMED = Run("2025-11-28:B9:1", "2-a", "2", 0, None, False)
SEVEN = NETWORK.schedule.planned(NETWORK.schedule.trips["2-a"], "2025-11-28")  # at W, C2, X


def rows(*arrivals):
    return [tuple(a[name] for name in SPEC) for a in arrivals]


def east(stop, sequence, at, **more):
    """An estimate of the timed trip, at a POSIX time."""
    times = {"arrival_p10": at - 30.0, "arrival_p50": at, "arrival_p90": at + 60.0, "arrival_time": at}
    return arrival("B9", stop, sequence, 0.0, trip_id_performed=TIMED.trip_id_performed, **times, **more)


def update(run, estimates, now=T, flavor=None, told=(), vehicle=None, left_out=()):
    known = Trips(NETWORK).learn(run)
    fields, times, until = entities.trip_update(
        known, rows(*estimates), NETWORK, vehicle, dict(told), left_out, now, flavor
    )
    return (fields or {}).get("trip_update", {}), times, until


def test_a_frequency_has_times_and_no_delays():
    found, _, until = update(
        FREQUENT, [arrival("B1", "C", 3, 2.0), arrival("B1", "D", 4, 5.0), arrival("B1", "E", 5, 7.0)]
    )
    assert found["stop_time_update"] == [
        {
            "stop_sequence": seq,
            "stop_id": stop,
            "arrival": {"time": T + at - 15, "uncertainty": 110},  # told 15 s before the median; p90 - p10
            "schedule_relationship": "UNSCHEDULED",
        }
        for seq, stop, at in ((3, "C", 120), (4, "D", 300), (5, "E", 420))
    ]
    assert found["vehicle"] == {"id": "B1"}
    assert until == T + 105  # then the bus is late for C, and the time has to be told anew


@pytest.mark.parametrize("flavor", [None, "otp"])
def test_a_stop_that_buses_drive_round_is_skipped_and_the_others_keep_their_times(flavor):
    estimates = [arrival("B1", "C", 3, 2.0), arrival("B1", "D", 4, 5.0), arrival("B1", "E", 5, 7.0)]
    as_ever, *_ = update(FREQUENT, estimates, flavor=flavor)
    found, *_ = update(FREQUENT, estimates, flavor=flavor, left_out={"D", "elsewhere"})
    c, d, e = found["stop_time_update"]
    assert d["stop_id"] == "D"
    assert d["schedule_relationship"] == "SKIPPED"
    assert ("arrival" in d) == ("departure" in d) == (flavor == "otp")  # which takes no added trip without them
    assert [c, e] == as_ever["stop_time_update"][::2]


def test_a_timed_trip_has_its_delay_beside_the_time():
    now = int(SEVEN[0])
    found, _, _ = update(TIMED, [east("C2", 2, SEVEN[1] + 45.0), east("X", 3, SEVEN[2] - 20.0)], now)
    assert [u["arrival"]["delay"] for u in found["stop_time_update"]] == [45, -20]
    assert {u["schedule_relationship"] for u in found["stop_time_update"]} == {"SCHEDULED"}


def test_past_the_horizon_stands_a_fence():
    found, _, _ = update(FREQUENT, [arrival("B1", "C", 3, 2.0)])
    assert found["stop_time_update"][1:] == [{"stop_sequence": 4, "stop_id": "D", "schedule_relationship": "NO_DATA"}]


def test_an_added_trip_with_one_stop_left_is_not_for_opentripplanner():
    last = [arrival("B1", "E", 5, 2.0)]
    assert update(FREQUENT, last, flavor="otp")[0] == {}
    assert len(update(FREQUENT, last)[0]["stop_time_update"]) == 1
    assert len(update(FREQUENT, [arrival("B1", "D", 4, 1.0), *last], flavor="otp")[0]["stop_time_update"]) == 2


def test_a_stop_passed_too_early_stays_until_its_time():
    now = int(SEVEN[1]) - 100  # the bus passed W on time and C2 early
    ahead = [east("X", 3, SEVEN[2] - 90.0)]
    found, told, until = update(TIMED, ahead, now, told={1: now - 5})
    assert [(u["stop_id"], u["arrival"]["time"]) for u in found["stop_time_update"]] == [
        ("C2", now - 5),
        ("X", round(SEVEN[2] - 90)),
    ]
    assert (until, told[1]) == (SEVEN[1], now - 5)
    found, _, _ = update(TIMED, ahead, int(SEVEN[1]) + 1, told=told)
    assert [u["stop_id"] for u in found["stop_time_update"]] == ["X"]


def test_for_opentripplanner_every_stop_has_an_arrival_and_a_departure():
    found, _, _ = update(FREQUENT, [arrival("B1", "B", 2, 2.0), arrival("B1", "D", 4, 8.0)], flavor="otp")
    assert found["trip"]["schedule_relationship"] == "ADDED"
    assert [u["stop_id"] for u in found["stop_time_update"]] == ["B", "C", "D", "E"]
    assert all(u["arrival"] == u["departure"] for u in found["stop_time_update"])
    times = [u["arrival"]["time"] for u in found["stop_time_update"]]
    assert times == [T + 105, T + 225, T + 465, T + 585]  # C and E as the timetable runs: two minutes


def test_a_run_that_is_no_trip_of_the_feed_keeps_its_stops():
    found, _, _ = update(FREQUENT._replace(trip_id_scheduled=None), [arrival("B1", "C", 3, 2.0)])
    assert found["trip"]["schedule_relationship"] == "ADDED"
    assert [(u["stop_sequence"], u["stop_id"]) for u in found["stop_time_update"]] == [(3, "C")]


def test_an_estimate_for_a_stop_that_is_not_on_the_trip_is_left_out():
    found, _, _ = update(FREQUENT, [arrival("B1", "C", 3, 2.0), arrival("B1", "X", 4, 3.0), arrival("B1", "E", 9, 4.0)])
    assert [u["stop_id"] for u in found["stop_time_update"]] == ["C", "D"]
    assert update(FREQUENT, [arrival("B1", "X", 4, 3.0)])[0] == {}


ESTIMATES = st.dictionaries(st.integers(1, 5), st.floats(-900, 4000), min_size=1)


@given(ESTIMATES, st.sampled_from([None, "otp"]), st.integers(0, 600))
def test_times_rise_by_a_second_or_more_and_never_lie_behind(estimates, flavor, late):
    made = [arrival("B1", "ABCDE"[s - 1], s, at / 60.0) for s, at in sorted(estimates.items())]
    found, _, until = update(FREQUENT, made, T + late, flavor)
    assume(found)
    timed = [u for u in found["stop_time_update"] if "arrival" in u]
    times = [u["arrival"]["time"] for u in timed]
    assert all(b - a >= 1 for a, b in pairwise(times))
    assert times[0] >= T + late
    assert until >= T + late
    sequences = [u["stop_sequence"] for u in found["stop_time_update"]]
    assert sequences == sorted(set(sequences))
    assert set(estimates) <= set(sequences)


@given(st.floats(-1200, 1200), st.lists(st.floats(-600, 600), min_size=2, max_size=2), st.booleans())
def test_a_timed_trip_too_rises_whatever_was_passed(shift, errors, remembered):
    now = int(SEVEN[0] + shift)
    made = [east("X", 3, SEVEN[2] + errors[0])]
    told = {0: now - 200, 1: now + round(errors[1])} if remembered else {}
    found, _, until = update(TIMED, made, now, told=told)
    times = [u["arrival"]["time"] for u in found["stop_time_update"]]
    assert all(b - a >= 1 for a, b in pairwise(times))
    passed = [u["stop_id"] for u in found["stop_time_update"]][:-1]
    assert passed == [s for s, at in zip(["W", "C2"], SEVEN, strict=False) if at > now]
    assert all(t <= now for t in times[:-1])
    assert until >= now


@cache
def at_terminal(trip_type, dist_m, run=None):
    """The bus of the timed trip at W, before it leaves."""
    place = {"route_id": "2", "pattern_id": "2:0:cccccc", "stop_id": "C2", "stop_sequence": 2}
    return entity("B9", trip_type=trip_type, dist_m=dist_m, trip_id_performed=run, trip_id_scheduled=None, **place)


WAITING = st.sampled_from(
    [
        ("Layover", None, None),
        ("Layover", 0.0, None),
        ("Layover", 40.0, TIMED.trip_id_performed),
        ("In service", 40.0, TIMED.trip_id_performed),
        (None, 240.0, None),
    ]
)


@given(WAITING, st.floats(-1200, 1200), st.floats(-600, 600), st.booleans(), st.sampled_from([None, "otp"]))
def test_a_bus_that_waits_at_its_origin_has_not_served_it(waiting, shift, error, remembered, flavor):
    now = int(SEVEN[0] + shift)
    assume(waiting[0] == "Layover" or now < SEVEN[0])  # else it stands on its way and has left
    made = [east("C2", 2, SEVEN[1] + error), east("X", 3, SEVEN[2] + error)]
    told = {0: now - 200} if remembered else {}
    found, _, until = update(TIMED, made, now, flavor, told, at_terminal(*waiting))
    first, *ahead = found["stop_time_update"]
    leaves = max(round(SEVEN[0]), now)
    assert (first["stop_id"], first["stop_sequence"]) == ("W", 1)
    assert first["departure"] == {"time": leaves, "delay": leaves - round(SEVEN[0])}
    assert first.get("arrival", first["departure"]) == first["departure"]
    assert ("arrival" in first) == (flavor == "otp")
    times = [leaves, *(u["arrival"]["time"] for u in ahead)]
    assert [u["stop_id"] for u in ahead] == ["C2", "X"]
    assert all(b - a >= 1 for a, b in pairwise(times))
    assert until == leaves


@pytest.mark.parametrize(
    ("trip_type", "dist_m", "made"),
    [
        ("In service", 600.0, [("C2", 2, 1), ("X", 3, 2)]),  # gone early
        ("Layover", 20.0, [("X", 3, 2)]),  # it has been at C2: this is no wait for W
        (None, None, [("C2", 2, 1), ("X", 3, 2)]),  # nobody knows where it is
    ],
)
def test_a_bus_that_left_its_origin_early_has_served_it(trip_type, dist_m, made):
    now = int(SEVEN[0]) - 100
    run = TIMED.trip_id_performed
    found, _, _ = update(TIMED, [east(s, n, SEVEN[i]) for s, n, i in made], now, None, {}, None)
    assert found["stop_time_update"][0]["arrival"]["time"] <= now
    found, _, _ = update(
        TIMED, [east(s, n, SEVEN[i]) for s, n, i in made], now, None, {}, at_terminal(trip_type, dist_m, run)
    )
    first = found["stop_time_update"][0]
    assert first["stop_id"] == "W"
    assert "departure" not in first
    assert first["arrival"]["time"] <= now


def entity(vehicle_id="B1", **more):
    view = factory.View(factory.Api())
    view.apply("network", factory.network(), NOW)
    view.apply("positions", factory.positions(bus(vehicle_id, **more)), NOW)
    return view.publish(NOW).vehicles[vehicle_id]


def test_a_position_says_where_and_on_which_trip():
    known = Trips(NETWORK).learn(FREQUENT)
    found = entities.vehicle_position(
        entity(label="42", occupancy_status="MANY_SEATS_AVAILABLE", reported_speed_mps=7.5), known, NETWORK, T, None
    )
    assert found["id"] == "B1"
    v = found["vehicle"]
    assert v["vehicle"] == {"id": "B1", "label": "42"}
    assert (v["position"]["speed"], v["position"]["bearing"]) == (7.5, 0.0)
    assert (v["stop_id"], v["current_stop_sequence"], v["current_status"]) == ("C", 3, "IN_TRANSIT_TO")
    assert v["occupancy_status"] == "MANY_SEATS_AVAILABLE"
    assert v["trip"] == known.plain


def test_a_vehicle_on_no_run_names_no_stop_and_no_trip():
    v = entities.vehicle_position(entity(), None, NETWORK, T, None)["vehicle"]
    assert not {"trip", "stop_id", "current_stop_sequence", "current_status"} & v.keys()


def test_a_clock_that_is_ahead_and_a_status_nobody_knows_are_not_passed_on():
    v = entities.vehicle_position(entity(timestamp=NOW + 40.0, occupancy_status="CROWDED"), None, NETWORK, T, None)[
        "vehicle"
    ]
    assert v["timestamp"] == T
    assert "occupancy_status" not in v


def test_stops_have_the_numbers_that_the_trip_gives_them():
    raw = orjson.loads(factory.network())
    pattern = raw["patterns"][2]
    pattern["numberings"] = [[10, 20, 30]]
    pattern["trips"]["numbering"] = [0 if t == "2-a" else None for t in pattern["trips"]["trip_id"]]
    network = NetworkView.parse(orjson.dumps(raw))
    usual = pattern["stop_sequences"]
    for trip_id, own in (("2-a", [10, 20, 30]), ("2-b", usual)):
        known = Trips(network).learn(Run("2025-11-28:B9:1", trip_id, "2", 0, None, True))
        assert list(known.trip.stop_sequences) == own
        rows = [
            tuple(
                arrival("B9", stop, n, 60.0 * n, trip_id_performed="2025-11-28:B9:1", made_at=NOW).get(c) for c in SPEC
            )
            for stop, n in (("C2", usual[1]), ("X", usual[2]))
        ]
        found, _, _ = entities.trip_update(known, rows, network, None, {}, (), T, None)
        told = [u["stop_sequence"] for u in found["trip_update"]["stop_time_update"]]
        assert told[-2:] == own[1:]
        at = entity("B9", route_id="2", stop_id="X", stop_sequence=usual[2])
        position = entities.vehicle_position(at, known, network, T, None)
        assert position["vehicle"]["current_stop_sequence"] == own[2]


@pytest.mark.parametrize(
    ("effect", "told"), [("SIGNIFICANT_DELAYS", True), ("OTHER_EFFECT", False), ("UNKNOWN_EFFECT", False)]
)
def test_only_what_a_passenger_feels_is_an_alert(effect, told):
    view = factory.View(factory.Api())
    view.apply("alerts", factory.record(messages.ALERT, alert("gap:1", effect=effect, cause="made up")), NOW)
    found = entities.alert(view.publish(NOW).alerts["gap:1"], NETWORK, T)
    assert (found is not None) == told
    if found is not None:
        assert found["alert"]["informed_entity"] == [{"route_id": "1", "direction_id": 0}]
        assert found["alert"]["cause"] == "UNKNOWN_CAUSE"
        assert found["alert"]["active_period"] == [{"start": T - 90}]


def test_an_alert_names_no_direction_that_the_feed_does_not_have():
    view = factory.View(factory.Api())
    view.apply("alerts", factory.record(messages.ALERT, alert("gap:1", effect="SIGNIFICANT_DELAYS")), NOW)
    network = replace(NETWORK, inferred=frozenset({("1", 0)}))
    found = entities.alert(view.publish(NOW).alerts["gap:1"], network, T)
    assert found["alert"]["informed_entity"] == [{"route_id": "1"}]


def test_a_gap_is_told_at_the_stops_that_wait_for_it():
    view = factory.View(factory.Api())
    row = alert("gap:1", effect="SIGNIFICANT_DELAYS", stop_ids=["C", "D", "gone"])
    view.apply("alerts", factory.record(messages.ALERT, row), NOW)
    found = entities.alert(view.publish(NOW).alerts["gap:1"], NETWORK, T)
    line = {"route_id": "1", "direction_id": 0}
    assert found["alert"]["informed_entity"] == [{**line, "stop_id": "C"}, {**line, "stop_id": "D"}]
