import numpy as np
import pytest

from streams.engine.city import City
from streams.engine.groups import GroupHeadways, Groups
from streams.engine.headways import Headways
from streams.settings import City as CitySettings
from streams.settings import Settings, WrongSetting
from tests.drawing import draw
from tests.engine.driving import Log, final, rows_of

STREET = """
A----B----C----D----E----F----G----H
                              |
                              I----J
"""
ROUTES = {"R": "ABCDEFGH", "R-back": "HGFEDCBA", "S": "ABCDEFGI", "T": "JIGH"}


def group_ids(text):
    network, _ = draw(STREET, ROUTES)
    return Groups(network, text).ids


def test_routes_that_share_most_of_their_stops_are_a_group_in_each_direction():
    assert group_ids("auto") == ["R:0+S:0"], "T shares two of four stops, R-back drives the other way"


def test_a_setting_names_the_routes_and_their_directions_find_each_other():
    assert group_ids("R,T") == ["R:0+T:0"]
    assert group_ids("R,S; T") == ["R:0+S:0"]
    assert group_ids("") == []


def test_a_route_that_is_not_in_the_feed_is_refused():
    with pytest.raises(WrongSetting, match="no route X"):
        group_ids("R,X")


def told(log, network, batches, **city):
    settings = Settings(city=CitySettings(**city))
    parts = (Headways(network, settings), GroupHeadways(network, settings))
    stage = City(network, settings, parts)
    state, own, group = stage.fresh(0), [], []
    for facts in batches:
        said = stage.advance(state, log.record(facts), max(f.time for f in facts))
        own += rows_of(said.get("headways", {"stop_id": np.empty(0)}))
        group += rows_of(said.get("group_headways", {"stop_id": np.empty(0)}))
    assert stage.dump(stage.load(stage.dump(state), 0)) == stage.dump(state)
    return own, group


def at(rows, stop):
    found = sorted((r for r in final(rows).values() if r["stop_id"] == stop), key=lambda r: r["event_timestamp"])
    return [(r["vehicle_id"], r["route_id"], r["leader_id"], r["headway_s"]) for r in found]


def test_a_bus_of_a_group_comes_behind_the_last_one_of_any_of_its_routes():
    network, drawing = draw(STREET, ROUTES, headway_s=600.0)
    log = Log(network, drawing)
    runs = [
        log.run("r1", "R", "07:00:00"),
        log.run("s1", "S", "07:03:00"),
        log.run("r2", "R", "07:10:00"),
        log.run("t1", "T", "07:02:00"),
    ]
    own, group = told(log, network, runs)
    assert {r["route_group_id"] for r in group} == {"R:0+S:0"}
    assert at(own, "C")[1:] == [("s1", "S", None, None), ("r2", "R", "r1", 600.0)]
    assert at(group, "C")[1:] == [("s1", "S", "r1", 180.0), ("r2", "R", "s1", 420.0)]
    assert at(group, "H")[1:] == [("r2", "R", "r1", 600.0)], "S turns off at G"
    planned = {r["stop_id"]: r["scheduled_headway_s"] for r in group if r["vehicle_id"] == "r2" and r["stop_id"]}
    assert (planned["C"], planned["H"]) == (300.0, 600.0)
    assert not [r for r in group if r["route_id"] == "T"]


def test_without_groups_nothing_is_told_of_them():
    network, drawing = draw(STREET, ROUTES)
    log = Log(network, drawing)
    own, group = told(log, network, [log.run("r1", "R", "07:00:00")], route_groups="")
    assert own
    assert not group


@pytest.mark.parametrize("after", [{"gate_every": 1}, {"route_groups": "R,S,T"}, {"route_groups": ""}])
def test_a_snapshot_of_other_rings_fills_them_anew_and_keeps_the_other_parts(after):
    network, drawing = draw(STREET, ROUTES, headway_s=600.0)
    log = Log(network, drawing)

    def stage(**city):
        settings = Settings(city=CitySettings(**city))
        return City(network, settings, (Headways(network, settings), GroupHeadways(network, settings)))

    before, now = stage(), stage(**after)
    state = before.fresh(0)
    for vehicle, route, start in (("r1", "R", "07:00:00"), ("s1", "S", "07:03:00")):
        run = log.run(vehicle, route, start)
        before.advance(state, log.record(run), run[-1].time)
    carried = now.load(before.dump(state), 0)
    assert not carried.parts["group_headways"].count.any(), "its rings are numbered otherwise"
    own = carried.parts["headways"]
    if "gate_every" in after:
        assert not own.count.any()
    else:
        assert np.array_equal(own.count, state.parts["headways"].count), "these are as they were"
    assert np.array_equal(own.heard.count, state.parts["headways"].heard.count)
    run = log.run("r2", "R", "07:10:00")
    said = now.advance(carried, log.record(run), run[-1].time)
    leaders = {r["leader_id"] for r in rows_of(said["headways"]) if r["stop_id"] == "C"}
    assert leaders == {None if "gate_every" in after else "r1"}
