"""Every rule finds what it is about, and a correct message breaks none."""

import json
import zipfile

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from google.transit import gtfs_realtime_pb2 as pb

from fixtures.feed import write_feed
from streams.cli import main
from streams.gtfs.check_rt import RULES, Checked, check
from streams.gtfs.describe import describe
from tests.gtfs.feeds import compiled, tables

NOW = 1_768_000_000
HEADER = {"gtfs_realtime_version": "2.0", "incrementality": "FULL_DATASET", "timestamp": NOW}


def feed():
    """Trip t about every ten minutes, e exactly every ten, x at 05:00, o at 05:00 and twice at A; station S."""
    made = tables()
    made["stops"].append({"stop_id": "S", "stop_name": "S", "stop_lat": -6.2, "stop_lon": 106.81, "location_type": 1})
    for stop in made["stops"]:
        stop["parent_station"] = "S" if stop["stop_id"] == "C" else ""
    made["routes"].append({**made["routes"][0], "route_id": "2"})
    for trip_id in ("x", "e", "o"):
        made["trips"].append({**made["trips"][0], "trip_id": trip_id})
        made["stop_times"] += [{**row, "trip_id": trip_id} for row in made["stop_times"][:3]]
    made["stop_times"][-1]["stop_id"] = "A"
    made["frequencies"].append({**made["frequencies"][0], "trip_id": "e", "exact_times": 1})
    return made


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    return Checked(compiled(tmp_path_factory.mktemp("rt"), feed()))


FREQUENT = {
    "trip_id": "t",
    "route_id": "1",
    "direction_id": 0,
    "start_date": "20260110",
    "start_time": "05:01:10",
    "schedule_relationship": "UNSCHEDULED",
}
TIMED = {"trip_id": "x", "route_id": "1", "start_date": "20260110", "schedule_relationship": "SCHEDULED"}


def test_a_direction_that_the_feed_does_not_have_is_not_the_trips(tmp_path):
    made = feed()
    for row in made["trips"]:
        del row["direction_id"]
    back = [{**row, "trip_id": "back", "stop_id": stop} for row, stop in zip(made["stop_times"], "CBA", strict=False)]
    made["stop_times"] += back
    made["trips"].append({**made["trips"][0], "trip_id": "back"})
    network = compiled(tmp_path, made)
    there, inferred = network.trip_pattern_ix[network.trip_ix["t"]], network.pattern_direction_inferred
    assert inferred[there]
    said = {**FREQUENT, "direction_id": int(network.pattern_direction[there])}
    assert [p.rule for p in check(network, message(update(said)))] == ["E024"]
    del said["direction_id"]
    assert check(network, message(update(said))) == []


def at(sequence, stop, time, **more):
    return {
        "stop_sequence": sequence,
        "stop_id": stop,
        "arrival": {"time": NOW + time},
        "schedule_relationship": "SCHEDULED",
        **more,
    }


def update(trip=FREQUENT, stops=None, id="u", vehicle="B1", **more):
    stops = [at(2, "B", 60), at(5, "C", 180)] if stops is None else stops
    body = {"trip": trip, "vehicle": {"id": vehicle}, "timestamp": NOW - 5, "stop_time_update": stops, **more}
    return {"id": id, "trip_update": body}


def vehicle(trip=FREQUENT, id="v", name="B1", lat=-6.2, lon=106.802, position=None, **more):
    place = {"latitude": lat, "longitude": lon, **(position or {})}
    body = {"trip": trip, "vehicle": {"id": name}, "position": place, "timestamp": NOW - 5, **more}
    return {"id": id, "vehicle": {k: v for k, v in body.items() if v is not None}}


def alert(*concerns, id="a", **more):
    return {"id": id, "alert": {"informed_entity": list(concerns), "effect": "DETOUR", **more}}


def message(*entities, **header):
    known = {k: v for k, v in {**HEADER, **header}.items() if v is not None}
    return pb.FeedMessage(header=known, entity=list(entities))


def without(fields, *names):
    return {k: v for k, v in fields.items() if k not in names}


def test_a_correct_message_breaks_no_rule(checked):
    made = message(
        update(),
        vehicle(current_stop_sequence=2, stop_id="B"),
        update(
            TIMED,
            [
                at(1, "A", 0),
                at(2, "B", 60, arrival={"delay": 10}),
                {"stop_sequence": 5, "schedule_relationship": "NO_DATA"},
            ],
            "x",
            "B2",
        ),
        vehicle(TIMED, "w", "B2"),
        update({**TIMED, "trip_id": "e", "start_time": "05:20:00"}, id="e", vehicle="B3"),
        vehicle({**TIMED, "trip_id": "e", "start_time": "05:20:00"}, "y", "B3"),
        update({"trip_id": "new", "schedule_relationship": "ADDED"}, id="n", vehicle="B4"),
        vehicle({"trip_id": "new", "schedule_relationship": "ADDED"}, "z", "B4", lat=-6.21),
        alert({"route_id": "1"}, {"stop_id": "A"}),
    )
    assert check(checked, made, before=(message(timestamp=NOW - 30),), now=NOW + 1) == []


BROKEN = {
    "E001": [message(timestamp=NOW * 1000), message(update(stops=[at(2, "B", 0, arrival={"time": 60})]))],
    "E002": [message(update(stops=[at(5, "C", 60), at(2, "B", 120)]))],
    "E003": [message(update({**FREQUENT, "trip_id": "none"}))],
    "E004": [message(vehicle({**FREQUENT, "route_id": "9"})), message(alert({"route_id": "9"}))],
    "E006": [message(update(without(FREQUENT, "start_time"))), message(vehicle(without(FREQUENT, "start_date")))],
    "E009": [message(update({**TIMED, "trip_id": "o"}, [without(at(0, "A", 60), "stop_sequence")]))],
    "E030": [message(alert({"route_id": "2", "trip": {"trip_id": "x"}}))],
    "E034": [message(alert({"agency_id": "nobody"}))],
    "E011": [message(update(stops=[at(2, "Z", 60)])), message(alert({"stop_id": "Z"}))],
    "E012": [message(vehicle(timestamp=NOW + 1)), message(update(timestamp=NOW + 1))],
    "E013": [message(update({**FREQUENT, "schedule_relationship": "SCHEDULED"}))],
    "E015": [message(alert({"stop_id": "S"}))],
    "E016": [message(update({**TIMED, "schedule_relationship": "ADDED"}))],
    "E019": [message(update({**TIMED, "trip_id": "e", "start_time": "05:21:00"}))],
    "E020": [message(update({**FREQUENT, "start_time": "5:01"}))],
    "E021": [
        message(update({**FREQUENT, "start_date": "2026-01-10"})),
        message(update({**FREQUENT, "start_date": "20261310"})),
    ],
    "E022": [message(update(stops=[at(2, "B", 60), at(5, "C", 60)]))],
    "E023": [message(update({**TIMED, "start_time": "05:00:01"}))],
    "E024": [message(update({**FREQUENT, "direction_id": 1}))],
    "E025": [message(update(stops=[at(2, "B", 60, departure={"time": NOW + 59})]))],
    "E026": [message(vehicle(lat=91.0)), message(vehicle(lat=0.0, lon=0.0))],
    "E027": [message(vehicle(position={"bearing": 361.0}))],
    "E028": [message(vehicle(None, lat=-6.25))],
    "E029": [
        message(vehicle(lat=-6.203)),
        message(vehicle(lat=-6.203), alert({"trip": {**FREQUENT, "start_time": "05:02:00"}})),
    ],
    "E031": [message(alert({"route_id": "2", "trip": FREQUENT}))],
    "E032": [message(alert())],
    "E033": [message(alert({}))],
    "E035": [message(update({**FREQUENT, "route_id": "2"}))],
    "E036": [message(update(stops=[at(2, "B", 60), at(2, "B", 120)]))],
    "E037": [message(update(stops=[at(2, "B", 60), at(5, "B", 120)]))],
    "E038": [message(gtfs_realtime_version="3.0")],
    "E039": [message({**update(), "is_deleted": True})],
    "E040": [message(update(stops=[without(at(2, "B", 60), "stop_sequence", "stop_id")]))],
    "E041": [message(update(stops=[]))],
    "E042": [message(update(stops=[at(2, "B", 60, schedule_relationship="NO_DATA")]))],
    "E043": [message(update(stops=[without(at(2, "B", 60), "arrival")]))],
    "E044": [message(update(stops=[at(2, "B", 60, arrival={})]))],
    "E045": [message(update(stops=[at(2, "C", 60)])), message(vehicle(current_stop_sequence=2, stop_id="C"))],
    "E046": [
        message(update({"trip_id": "new", "schedule_relationship": "ADDED"}, [at(2, "B", 0, arrival={"delay": 5})]))
    ],
    "E047": [message(update(), vehicle(name="B2"))],
    "E048": [message(timestamp=None)],
    "E049": [message(incrementality=None)],
    "E050": [message(timestamp=NOW + 62)],
    "E051": [message(update(stops=[at(3, "B", 60)])), message(vehicle(current_stop_sequence=3))],
    "E052": [message(vehicle(), vehicle(TIMED, "w"))],
    "W001": [message(vehicle(timestamp=None))],
    "W002": [message(vehicle(name=""))],
    "W003": [message(update(), vehicle(TIMED, name="B2"))],
    "W004": [message(vehicle(position={"speed": 27.0}))],
    "W005": [message(update(vehicle=""))],
    "W006": [message(update(without(FREQUENT, "trip_id")))],
    "W008": [message(timestamp=NOW - 66)],
    "W009": [message(update(without(FREQUENT, "schedule_relationship")))],
}
SEQUENCES = {
    "E017": (message(update()), message(update(vehicle="B7"))),
    "E018": (message(), message(timestamp=NOW - 1)),
    "W007": (message(timestamp=NOW - 36), message()),
}


def test_every_rule_has_a_message_that_breaks_it():
    assert BROKEN.keys() | SEQUENCES.keys() | {"E010"} == RULES.keys()


def test_a_feed_whose_trips_call_at_a_station(tmp_path):
    made = feed()
    made["stop_times"][2]["stop_id"] = "S"
    found = check(compiled(tmp_path, made), message(update(TIMED)))
    assert [(p.rule, p.words) for p in found] == [("E010", "S")]


def test_a_trip_has_its_own_stop_sequences(tmp_path):
    made = feed()
    for n, row in enumerate(row for row in made["stop_times"] if row["trip_id"] == "x"):
        row["stop_sequence"] = 10 * n
    network = compiled(tmp_path, made)
    t, x = network.trip_ix["t"], network.trip_ix["x"]
    assert network.trip_pattern_ix[t] == network.trip_pattern_ix[x]
    assert (network.sequence_of(t).tolist(), network.sequence_of(x).tolist()) == ([1, 2, 5], [0, 10, 20])
    assert network.oddities["trips_with_other_stop_sequence_than_their_pattern"] == 1
    own = [at(10, "B", 60), at(20, "C", 180)]
    assert check(network, message(update(TIMED, own))) == []
    assert {p.rule for p in check(network, message(update(TIMED)))} == {"E051"}
    assert check(network, message(update())) == []
    (pattern,) = (p for p in json.loads(describe(network))["patterns"] if "x" in p["trips"]["trip_id"])
    assert pattern["numberings"] == [[0, 10, 20]]
    numbering = dict(zip(pattern["trips"]["trip_id"], pattern["trips"]["numbering"], strict=True))
    assert (numbering["x"], numbering["t"]) == (0, None)


@pytest.mark.parametrize(("rule", "made"), [(rule, m) for rule, some in BROKEN.items() for m in some])
def test_a_rule_finds_what_it_is_about(checked, rule, made):
    found = check(checked, made, now=NOW)
    assert rule in {p.rule for p in found}
    assert all(p.is_error == p.rule.startswith("E") and RULES[p.rule] in str(p) for p in found)


@pytest.mark.parametrize(("rule", "pair"), SEQUENCES.items())
def test_a_rule_about_two_messages(checked, rule, pair):
    assert [p.rule for p in check(checked, pair[1], before=pair[:1])] == [rule]
    assert check(checked, pair[1], before=pair[1:]) == []


def test_a_detour_that_is_told_excuses_a_far_position(checked):
    far = vehicle(lat=-6.203)
    assert check(checked, message(far), message(alert({"trip": FREQUENT}))) == []


def test_the_command_says_what_is_wrong_and_fails_on_errors(tmp_path):
    gtfs = str(write_feed(tmp_path / "feed", feed()))
    good, bad = tmp_path / "good.pb", tmp_path / "bad.json"
    good.write_bytes(message(update(), vehicle()).SerializeToString())
    bad.write_text(json_format.MessageToJson(message(vehicle(lat=91.0, position={"speed": 40.0}))))
    run = CliRunner()
    done = run.invoke(main, ["feed", "check-rt", gtfs, str(good)])
    assert (done.exit_code, done.output) == (0, "2 entities, no errors, no warnings\n")
    done = run.invoke(main, ["feed", "check-rt", gtfs, str(good), str(bad)])
    assert done.exit_code == 1
    assert "E026 v: a position is not on Earth (91.00000, 106.80200)" in done.output
    assert "E052" in done.output
    done = run.invoke(main, ["feed", "check-rt", gtfs, str(tmp_path / "feed.zip")])
    assert done.exit_code == 1
    assert "Error" in done.output


def test_official_estimates_are_read_too(real, data_dir):
    """An agency's own TripUpdates: what is found in them is about them, not about how they are read."""
    network = real("kingston/gtfs")
    with zipfile.ZipFile(data_dir / "kingston" / "trip_updates.zip") as archive:
        names = sorted(n for n in archive.namelist() if not n.endswith("/"))[:3]
        made = [pb.FeedMessage.FromString(archive.read(name)) for name in names]
    for one in made:
        assert one.entity
        rules = {p.rule for p in check(network, one)}
        assert not rules & {"E001", "E011", "E038", "E048"}
