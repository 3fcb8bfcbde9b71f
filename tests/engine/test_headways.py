import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.city import City
from streams.engine.groups import GroupHeadways
from streams.engine.headways import BANDS, PRESETS, Headways, band_limits, bands_of
from streams.kernels import headways as kernels
from streams.settings import City as CitySettings
from streams.settings import Settings, WrongSetting
from tests.drawing import draw
from tests.engine.driving import Log, final, rows_of

STREET = "A----B----C----D----E"
LOOP = """
A---B
|   |
D---C
"""


def city_of(network, **city):
    settings = Settings(city=CitySettings(**city))
    return City(network, settings, parts=(Headways(network, settings),))


def told(city, log, batches, state=None):
    """All headway rows of these batches of facts, in the order of telling."""
    state = state or city.fresh(0)
    out = []
    for facts in batches:
        at = max((f.time for f in facts), default=0.0)
        out += rows_of(city.advance(state, log.record(facts), at).get("headways", {"gate_id": np.empty(0)}))
    return out


def at_stop(rows, stop):
    """(vehicle, leader, headway) at a stop in order of passing."""
    found = sorted((r for r in final(rows).values() if r["stop_id"] == stop), key=lambda r: r["event_timestamp"])
    return [(r["vehicle_id"], r["leader_id"], r["headway_s"]) for r in found]


def test_a_row_says_who_passed_where_how_long_after_whom():
    network, drawing = draw(STREET, {"R": "ABCDE"}, headway_s=600.0)
    log = Log(network, drawing)
    rows = told(city_of(network), log, [log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:05:00")])
    row = next(r for r in rows if r["vehicle_id"] == "v2" and r["stop_id"] == "C")
    assert row["trip_id_performed"] == "2026-03-04:v2:1"
    assert row["gate_id"].startswith("C:")
    assert row["route_id"] == "R"
    assert row["direction_id"] == 0
    assert row["leader_id"] == "v1"
    assert row["headway_s"] == 300.0
    assert row["scheduled_headway_s"] == 600.0
    assert row["headway_ratio"] == 0.5
    assert row["band"] == "close"
    assert row["dist_m"] == pytest.approx(500.0, abs=2.0)
    assert row["revision"] == 0
    assert not row["withdrawn"]
    first = next(r for r in rows if r["vehicle_id"] == "v1")
    assert first["leader_id"] is None
    assert math.isnan(first["headway_s"])
    assert first["band"] is None


def test_rows_stand_at_stops_and_every_fourth_gate_between():
    network, drawing = draw("A-------------------B", {"R": "AB"})
    log = Log(network, drawing)
    run = log.run("v1", "R", "07:00:00")
    dists = [r["dist_m"] for r in told(city_of(network), log, [run])]
    assert len(run) > len(dists)
    assert dists[0] == 0.0
    assert dists[-1] == pytest.approx(1000.0, abs=2)
    assert max(np.diff(dists)) <= 4 * 60.0


def test_variants_of_a_route_are_one_line_of_buses():
    network, drawing = draw(STREET, {"R": "ABCDE", "R/short": "ABC"}, headway_s=600.0)
    log = Log(network, drawing)
    batches = [log.run("long1", "R", "07:00:00"), log.run("short", "R/short", "07:05:00")]
    batches.append(log.run("long2", "R", "07:12:00"))
    rows = told(city_of(network), log, batches)
    assert at_stop(rows, "B")[1:] == [("short", "long1", 300.0), ("long2", "short", 420.0)]
    assert at_stop(rows, "D")[1:] == [("long2", "long1", 720.0)], "the short turn does not come here"
    planned = {r["stop_id"]: r["scheduled_headway_s"] for r in rows if r["vehicle_id"] == "long2" and r["stop_id"]}
    assert planned["B"] == 300.0
    assert planned["D"] == 600.0


def test_directions_and_routes_do_not_lead_each_other():
    network, drawing = draw(STREET, {"R": "ABCDE", "R-back": "EDCBA", "S": "BCD"})
    log = Log(network, drawing)
    batches = [log.run("r", "R", "07:00:00"), log.run("back", "R-back", "07:00:00"), log.run("s", "S", "07:00:00")]
    assert {r["leader_id"] for r in told(city_of(network), log, batches)} == {None}


def test_overtaking_changes_the_leader_from_that_stop_on():
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    slow = log.run("slow", "R", "07:00:00", delays=[(10, 200.0)])
    fast = log.run("fast", "R", "07:01:00")
    facts = sorted(slow + fast, key=lambda f: f.time)
    rows = told(city_of(network), log, [facts[:9], facts[9:20], facts[20:]])
    assert at_stop(rows, "B")[1:] == [("fast", "slow", 60.0)]
    assert at_stop(rows, "D")[1:] == [("slow", "fast", 140.0)]


def test_a_late_passing_tells_the_bus_behind_anew_under_the_same_identity():
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    one, two, three = (log.run(v, "R", t) for v, t in (("v1", "07:00:00"), ("v2", "07:04:00"), ("v3", "07:10:00")))
    rows = told(city_of(network), log, [one, three, two])
    again = [r for r in rows if r["vehicle_id"] == "v3" and r["stop_id"] == "C"]
    assert [(r["revision"], r["leader_id"], r["headway_s"]) for r in again] == [(0, "v1", 600.0), (1, "v2", 360.0)]
    assert len({r["gate_id"] for r in again}) == 1


def test_a_withdrawn_run_is_withdrawn_and_no_longer_leads():
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    one, two, three = (log.run(v, "R", t) for v, t in (("v1", "07:00:00"), ("v2", "07:04:00"), ("v3", "07:10:00")))
    rows = told(city_of(network), log, [one, two, three, [f.again(withdrawn=True) for f in two]])
    assert at_stop(rows, "C")[1:] == [("v3", "v1", 600.0)]


def test_a_missed_stop_has_no_headway_and_leads_nobody():
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    one, two = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:05:00")
    missed = [f.again(time=math.nan) if f.seq == 0 else f for f in one]
    city = city_of(network)
    state = city.fresh(0)
    out = []
    for facts in (missed, two):
        out += rows_of(city.advance(state, log.record(facts), 1.0)["headways"])
    assert not [r for r in out if r["vehicle_id"] == "v1" and r["stop_id"] == "A"]
    assert at_stop(out, "A") == [("v2", None, None)]
    assert at_stop(out, "B")[1:] == [("v2", "v1", 300.0)]


def test_the_two_ends_of_a_loop_do_not_lead_each_other():
    network, drawing = draw(LOOP, {"R": "ABCDA"}, metres_per_char=100)
    log = Log(network, drawing)
    v1, v2 = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:03:00")
    again = log.run("v1", "R", v1[-1].time + 60)
    rows = told(city_of(network), log, [v1, v2, again])
    ends = [r for r in final(rows).values() if r["stop_id"] == "A"]
    lap = v1[-1].time - v1[0].time
    by_run = {(r["trip_id_performed"][11:], r["dist_m"] > 100): (r["leader_id"], r["headway_s"]) for r in ends}
    assert by_run["v2:1", False] == ("v1", 180.0)
    assert by_run["v2:1", True] == ("v1", 180.0)
    assert by_run["v1:2", False] == ("v2", pytest.approx(lap + 60 - 180))
    assert len({(r["trip_id_performed"], r["gate_id"]) for r in ends}) == 6


def test_a_place_that_a_run_passes_twice_is_two_places_with_two_names():
    picture = """
    D---A---B
    |       |
    +-------C
    """
    network, drawing = draw(picture, {"R": "ABCDA"}, metres_per_char=100)
    p = drawing.pattern_ix("R")
    gates = network.pgate_gate_ix[network.pgate_start[p] : network.pgate_start[p + 1]]
    assert gates[0] == gates[-1], "the loop begins and ends at one gate"
    log = Log(network, drawing)
    rows = final(told(city_of(network), log, [log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:03:00")]))
    ends = sorted((r["dist_m"], r["gate_id"], r["vehicle_id"]) for r in rows.values() if r["stop_id"] == "A")
    assert [v for *_, v in ends] == ["v1", "v2"] * 2
    first, last = ends[0][1], ends[-1][1]
    assert last == f"{first}#2"
    assert {r["headway_s"] for r in rows.values() if r["vehicle_id"] == "v2"} == {180.0}


def test_a_headway_across_a_silence_of_all_vehicles_is_unknown_until_one_was_heard_after_all():
    network, drawing = draw(STREET, {"R": "ABCDE", "R-back": "EDCBA"})
    log = Log(network, drawing)
    seven = log.clock("07:00:00")
    others = [
        fact
        for vehicle in range(6)
        for fact in log.run(f"o{vehicle}", "R-back", seven, first=0, last=1, delays=[(0, 3600.0)])[::6]
    ]
    before, after = log.run("v1", "R", "07:01:00"), log.run("v2", "R", "07:31:00")

    def loud(begin, end):
        return [f for f in others if begin <= f.time < end]

    city = city_of(network)
    state = city.fresh(0)
    facts = sorted(loud(seven, seven + 600) + before, key=lambda f: f.time)
    facts += sorted(loud(seven + 1500, seven + 3600) + after, key=lambda f: f.time)
    rows = told(city, log, [[f] for f in facts], state)
    assert at_stop(rows, "C")[1:] == [("v2", None, None)]
    rows += told(city, log, [loud(seven + 600, seven + 1500)], state)
    assert at_stop(rows, "C")[1:] == [("v2", "v1", 1800.0)]
    again = city.load(city.dump(state), 0)
    assert np.array_equal(again.parts["headways"].holes, state.parts["headways"].holes)


@pytest.mark.parametrize("crash", [False, True])
def test_a_silence_is_forgotten_two_days_later_on_the_grid_and_tells_nothing_anew(crash):
    network, drawing = draw(STREET, {"R": "ABCDE", "S": "ABCDE", "R-back": "EDCBA"})
    log = Log(network, drawing)
    seven, day = log.clock("07:00:00"), 86_400.0
    settings = Settings(city=CitySettings(route_groups="R,S"))
    parts = (Headways(network, settings), GroupHeadways(network, settings))
    city = City(network, settings, parts)
    state = city.fresh(0)

    def loud(begin, end):
        return [
            fact
            for vehicle in range(6)
            for fact in log.run(f"o{vehicle}", "R-back", seven, first=0, last=1, delays=[(0, end - seven)])[::6]
            if begin <= fact.time < end
        ]

    def holes():
        return [[tuple(row) for row in state.parts[part.name].holes.tolist()] for part in parts]

    first, second = log.run("v1", "R", "07:01:00"), log.run("v2", "R", "07:31:00")
    facts = [*loud(seven, seven + 600), *first, *loud(seven + 1500, seven + 3600), *second]
    facts.sort(key=lambda f: f.time)
    told(city, log, [[f] for f in facts], state)
    (hole,) = holes()[0]
    assert holes() == [[hole], [hole]]
    end = hole[1]
    if crash:
        state = city.load(city.dump(state), 0)
    city.advance(state, None, end + 2 * day + 90.0)
    assert holes() == [[hole], [hole]], "the source may only be late: what it says next may be of that time"
    ping = first[0].again(vehicle="o1", run=None, time=end + 2 * day + 91.0)
    said = city.advance(state, log.record([ping]), end + 2 * day + 91.0)
    assert holes() == [[hole], [hole]], "not when a record comes"
    assert not said.keys() & {"headways", "group_headways"}
    city.advance(state, None, end + 2 * day + 200.0)
    assert holes() == [[], []]
    said = city.advance(state, log.record([ping.again(time=ping.time + 200.0)]), ping.time + 200.0)
    assert holes() == [[], []], "nor is it found again"
    assert not said.keys() & {"headways", "group_headways"}


def test_a_vehicle_does_not_lead_itself():
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    batches = [log.run(v, "R", at) for v, at in (("v1", "07:00:00"), ("v2", "07:04:00"), ("v2", "07:05:00"))]
    rows = told(city_of(network), log, batches)
    assert at_stop(rows, "C")[1:] == [("v2", "v1", 240.0), ("v2", "v1", 300.0)]


def test_a_timetable_gives_the_gap_to_the_trip_before():
    trips = {"R": ["07:00:00", "07:10:00", "07:40:00"]}
    network, drawing = draw(STREET, {"R": "ABCDE"}, trips=trips)
    log = Log(network, drawing)
    rows = told(city_of(network), log, [log.run("v1", "R", "07:11:00"), log.run("v2", "R", "07:38:00")])
    planned = {(r["vehicle_id"], r["stop_id"]): r["scheduled_headway_s"] for r in rows}
    assert planned["v1", "A"] == planned["v1", "C"] == 600.0
    assert planned["v2", "A"] == planned["v2", "C"] == 1800.0


def test_bands_are_a_setting():
    assert [BANDS[b] for b in bands_of(np.array([0.33, 0.5, 0.51, 1.5, 2.0]), PRESETS["skate"])] == list(BANDS)
    assert [BANDS[b] for b in bands_of(np.array([0.75, 0.76, 1.25]), band_limits("swiftly"))] == [
        "bunched",
        "even",
        "gap",
    ]
    assert band_limits("0.2,0.4,1.4,3") == (0.2, 0.4, 1.4, 3.0)
    assert bands_of(np.array([np.nan]), PRESETS["skate"])[0] == -1


@pytest.mark.parametrize("text", ["skat", "1,2,3", "0.5,0.4,1.5,2", "0.5,0.6,0.9,2", "a,b,c,d"])
def test_bands_that_make_no_sense_are_refused_with_what_would_be_right(text):
    with pytest.raises(WrongSetting, match=r"KORIDOR_CITY_HEADWAY_BANDS.*skate, swiftly"):
        band_limits(text)


@given(st.lists(st.integers(0, 3600), min_size=2, max_size=7, unique=True))
def test_headways_at_a_stop_sum_to_last_minus_first(starts):
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    seven = log.clock("07:00:00")
    runs = [log.run(f"v{i}", "R", float(seven + s)) for i, s in enumerate(starts)]
    rows = final(told(city_of(network, hole_s=1e6), log, runs)).values()
    for stop in "ABCDE":
        here = [r for r in rows if r["stop_id"] == stop]
        times = [r["event_timestamp"] for r in here]
        assert sum(r["headway_s"] or 0.0 for r in here) == pytest.approx(max(times) - min(times))
        assert sum(r["headway_s"] is None for r in here) == 1


def test_kernels_are_compiled_before_the_first_record():
    network, drawing = draw(STREET, {"R": "ABCDE"})
    log = Log(network, drawing)
    city = city_of(network)
    city.warm_up()
    compiled = [len(k.signatures) for k in (kernels.pass_gates, kernels.planned_headways) if hasattr(k, "signatures")]
    told(city, log, [log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:05:00")])
    after = [len(k.signatures) for k in (kernels.pass_gates, kernels.planned_headways) if hasattr(k, "signatures")]
    assert after == compiled
    assert all(n == 1 for n in after)
