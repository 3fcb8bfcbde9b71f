"""The track stage as the wires see it: records in, outputs out, a state that goes to bytes and back."""

import base64
from dataclasses import replace

import numpy as np
import orjson
import pytest

from streams import messages
from streams.engine.rejects import Reject
from streams.engine.stage import Record
from streams.engine.track import FACTS, Track
from streams.messages import HEARTBEAT, PING
from streams.partition import partition_of
from streams.settings import Settings
from tests.drawing import draw
from tests.engine.pinging import ONE, columns, last_words, ride, rows, run, seven, stand, town, tracker


def with_partitions(n):
    return replace(Settings(), kafka=replace(Settings().kafka, partitions=n))


def decoded(outputs, topic="positions"):
    return [orjson.loads(o.value) for o in outputs if o.topic == topic]


def test_one_positions_record_for_each_record_with_rows():
    network, drawing = town()
    track = tracker(network)
    pings = ride(drawing, "R", seven(network), route_id="R")
    now = seven(network) + 300
    records = [
        Record(3, now, orjson.dumps(pings[:4])),
        Record(5, now, b"nonsense"),
        Record(6, now, HEARTBEAT),
        Record(9, now, orjson.dumps(pings[4])),
        Record(10, now + 500, HEARTBEAT),
    ]
    outputs = track.step(track.fresh(0), records)
    assert [(o.topic, o.offset) for o in outputs] == [
        ("positions", 3),
        ("rejects", 5),
        ("positions", 9),
        ("positions", 10),
    ]
    first, second, last = decoded(outputs)
    assert first["network"] == network.hash
    assert len(first["positions"]["timestamp"]) == 4
    assert len(second["positions"]["timestamp"]) == 1
    assert last["positions"]["timestamp"] == []
    assert last["closed"]["until"] == [pings[4]["timestamp"] + 0.99]


def test_a_json_round_trip_changes_nothing():
    network, drawing = town()
    track = tracker(network)
    pings = ride(drawing, "S", seven(network), from_m=50.0, stops=[(500.0, 30.0)], bearing_deg=91.23, odometer_m=5.04)
    record = Record(0, seven(network) + 900, orjson.dumps(pings))
    (output,) = track.step(track.fresh(0), [record])
    facts, _ = track.advance(track.fresh(0), columns(pings), record.record_time)
    wire = orjson.loads(output.value)
    for name, spec in FACTS.items():
        read = messages.from_wire(spec, wire[name])
        for column, values in facts[name].items():
            if values.dtype == object:
                assert read[column].tolist() == values.tolist(), (name, column)
            else:
                np.testing.assert_array_equal(read[column], values, err_msg=f"{name} {column}")


def test_columns_have_their_types_when_there_is_nothing_to_say():
    network, _ = town()
    facts, rejects = tracker(network).advance(tracker(network).fresh(0), columns([]), 0.0)
    for name, spec in {**FACTS, "rejects": messages.REJECT}.items():
        found = rejects if name == "rejects" else facts[name]
        for column, empty in messages.empty(spec).items():
            assert found[column].dtype == empty.dtype, (name, column)


def test_a_ping_in_the_wrong_partition_is_sent_on_once():
    network, drawing = town()
    track = Track(network, with_partitions(4))
    names = [f"v{i}" for i in range(20)]
    pings = [{**ride(drawing, "R", seven(network))[0], "vehicle_id": name} for name in names]
    own = [n for n in names if partition_of(n, 4) == 1]
    state = track.fresh(1)
    outputs = track.step(state, [Record(7, seven(network) + 9, orjson.dumps(pings))])
    assert decoded(outputs)[0]["positions"]["vehicle_id"] == own
    sent = [o for o in outputs if o.topic == "pings"]
    assert sorted(o.partition for o in sent) == [0, 2, 3]
    assert state.counts["misrouted"] == len(names) - len(own)
    for output in sent:
        forwarded = orjson.loads(output.value)
        assert {partition_of(p["vehicle_id"], 4) for p in forwarded} == {output.partition}
        # used wherever it lands, also where the number of partitions was misjudged again
        other = track.fresh((output.partition + 1) % 4)
        again = track.step(other, [Record(1, seven(network) + 9, output.value)])
        assert [o.topic for o in again] == ["positions"]
        assert len(decoded(again)[0]["positions"]["vehicle_id"]) == len(forwarded)


def test_counts_add_up():
    network, drawing = town()
    track = tracker(network)
    state = track.fresh(0)
    pings = ride(drawing, "R", seven(network))[:10]
    bad = [{**pings[3]}, {**pings[2], "lat": 95.0}, {**pings[1], "lat": "x"}]
    track.step(state, [Record(0, seven(network) + 60, orjson.dumps([*pings, *bad]))])
    track.step(state, [Record(1, seven(network) + 999, HEARTBEAT)])
    assert state.counts["received"] == 13
    rejected = {k: v for k, v in state.counts.items() if k.startswith("rejected_")}
    assert rejected == {"rejected_DUPLICATE": 1, "rejected_OUT_OF_RANGE": 1, "rejected_WRONG_TYPE": 1}
    assert state.counts["accepted"] == 10


def test_a_reject_says_where_it_came_from_and_keeps_the_ping():
    network, drawing = town()
    track = tracker(network)
    pings = ride(drawing, "R", seven(network), route_id="R", label="12")[:6]
    late = {**pings[0], "timestamp": pings[0]["timestamp"] - 100.0}
    outputs = track.step(track.fresh(0), [Record(41, seven(network) + 60, orjson.dumps([*pings, late]))])
    (rejects,) = decoded(outputs, "rejects")
    assert rejects["reason"] == ["TOO_LATE"]
    assert (rejects["source_topic"], rejects["source_offset"], rejects["source_index"]) == (["pings"], [41], [6])
    assert rejects["event_timestamp"] == [late["timestamp"]]
    kept = orjson.loads(base64.b64decode(rejects["raw_base64"][0]))
    assert kept["label"] == "12"
    assert kept["timestamp"] == late["timestamp"]
    assert rejects["raw_length"] == [len(base64.b64decode(rejects["raw_base64"][0]))]


def test_of_two_pings_of_a_second_the_smaller_content_wins_in_either_order():
    network, drawing = town()
    pings = ride(drawing, "R", seven(network), route_id="R")[:8]
    twin = {**pings[4], "timestamp": pings[4]["timestamp"] + 0.4, "lat": pings[4]["lat"] + 1e-4}
    one = run(network, [*pings[:5], twin, *pings[5:]])
    other = run(network, [*pings[:4], {**twin, "arrived": twin["timestamp"] + 1}, *pings[4:]])
    assert last_words(one) == last_words(other)
    for said in (one, other):
        (reject,) = rows(said["rejects"])
        assert reject["reason"] == "DUPLICATE"
        assert reject["event_timestamp"] == twin["timestamp"]


def test_a_late_ping_rewrites_what_followed():
    network, drawing = town()
    pings = ride(drawing, "R", seven(network), route_id="R", stops=[(300.0, 60.0)])
    held = [p for p in pings if 30 < p["timestamp"] - seven(network) < 55]
    late = [p for p in pings if p not in held]
    cut = next(i for i, p in enumerate(late) if p["timestamp"] - seven(network) >= 55)
    said = run(network, [*late[: cut + 1], *held, *late[cut + 1 :]])
    assert last_words(said) == last_words(run(network, pings))
    assert (said["positions"]["revision"] > 0).any()


def test_state_of_another_version_or_number_of_partitions_is_refused():
    network, _ = town()
    track = Track(network, with_partitions(4))
    data = track.dump(track.fresh(2))
    with pytest.raises(ValueError, match="4 partitions, now there are 8"):
        Track(network, with_partitions(8)).load(data, 2)
    track.version = 99
    with pytest.raises(ValueError, match="version 3"):
        track.load(data, 2)


def test_another_network_keeps_watermarks_and_the_number_of_runs():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC"}, metres_per_char=100)
    changed, _ = draw("A-----B-----C-----D", routes={"S": "CD", "R": "ABC"}, metres_per_char=100)
    assert network.hash != changed.hash
    old, new = Track(network, ONE), Track(changed, ONE)
    pings = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    half = len(pings) // 2
    state = old.fresh(0)
    old.advance(state, columns(pings[:half]), pings[half]["timestamp"])
    moved = new.load(old.dump(state), 0)
    facts, rejects = new.advance(moved, columns(pings[half - 3 :]), pings[-1]["timestamp"] + 1)
    assert {r["reason"] for r in rows(rejects)} == {"TOO_LATE"}
    runs = {r for r in facts["positions"]["trip_id_performed"] if r}
    assert runs == {"2026-03-10:bus:2"}


def test_silence_closes_what_is_known_of_a_vehicle():
    network, drawing = town()
    track = tracker(network)
    state = track.fresh(0)
    pings = ride(drawing, "R", seven(network), route_id="R")[:10]
    last = pings[-1]["timestamp"]
    track.advance(state, columns(pings), last + 1)
    facts, _ = track.advance(state, columns([]), last + 115)
    assert not messages.rows(facts["closed"])
    facts, _ = track.advance(state, columns([]), last + 130)
    assert rows(facts["closed"]) == [{"vehicle_id": "bus", "until": last + 0.99}]
    _, rejects = track.advance(state, columns([{**pings[-2]}]), last + 131)
    assert rows(rejects)[0]["reason"] == "TOO_LATE"


def test_a_vehicle_takes_less_than_five_kilobytes():
    network, drawing = town()
    track = tracker(network)
    state = track.fresh(0)
    names = [f"v{i}" for i in range(128)]
    for ping in stand(drawing.at("B"), seven(network), 200.0):
        track.advance(state, columns([{**ping, "vehicle_id": n} for n in names]), ping["timestamp"])
    fleet = state.fleet
    held = sum(a.nbytes for a in (*fleet.state, fleet.ring_f, fleet.ring_i, fleet.tally, fleet.clock, fleet.trail))
    assert held / len(fleet.tally) < 5120


def test_many_vehicles_in_one_call_are_as_one_by_one():
    network, drawing = town()
    track = tracker(network)
    pings = [
        {**p, "vehicle_id": f"v{i}", "timestamp": p["timestamp"] + i % 5}
        for i in range(300)
        for p in ride(drawing, "R", seven(network), route_id="R", every_s=30.0)[:4]
    ]
    pings.sort(key=lambda p: p["timestamp"])
    now = pings[-1]["timestamp"] + 1
    together, _ = track.advance(track.fresh(0), columns(pings), now)
    state = track.fresh(0)
    apart = [track.advance(state, columns(pings[k : k + 100]), now)[0] for k in range(0, len(pings), 100)]
    for name in ("positions", "passings", "traversals"):
        joined = messages.concat(FACTS[name], [a[name] for a in apart])
        assert rows(together[name]) == rows(joined)


def test_the_sayings_that_nobody_repeats_are_forgotten():
    network, drawing = town()
    track = tracker(network)
    state = track.fresh(0)
    for k, ping in enumerate(stand(drawing.at("B"), seven(network), 7500.0)):
        track.advance(state, columns([{**ping, "label": str(k)}]), ping["timestamp"])
    assert len(state.reports) == 1500
    loaded = track.load(track.dump(state), 0)
    again = {**ping, "label": "1499", "timestamp": ping["timestamp"] + 5}
    facts, _ = track.advance(loaded, columns([again]), again["timestamp"])
    assert facts["positions"]["label"].tolist() == ["1499"]
    assert len(loaded.reports) < 50


def test_reasons_are_those_of_the_enum():
    names = {r.name for r in Reject}
    assert {"TOO_LATE", "DUPLICATE", "FROM_THE_FUTURE", "IMPOSSIBLE_SPEED", "FROZEN"} <= names
    assert set(PING) >= {"vehicle_id", "timestamp", "lat", "lon"}
