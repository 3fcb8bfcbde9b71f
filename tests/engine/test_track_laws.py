"""What must stay true of the tracker whatever buses, networks of radios and brokers do."""

import random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import messages
from streams.engine.stage import Output, Record
from streams.messages import HEARTBEAT
from tests.engine.pinging import Ping, fork, last_words, ride, rows, run, seven, stand, town, tracker

LATENESS_S = 30.0


@st.composite
def drives(draw: Any, vehicles: int = 2) -> list[Ping]:
    """Pings of one or two buses on the town's streets in event-time order: noise, stops, turns, holes, bad fixes."""
    network, drawing = town()
    t0 = seven(network)
    pings: list[Ping] = []
    for v in range(draw(st.integers(1, vehicles))):
        name = f"bus {v}"
        reported = draw(st.sampled_from([None, "R", "S", "nowhere"]))
        t = t0 + draw(st.integers(0, 20))
        for _ in range(draw(st.integers(1, 2))):
            key = draw(st.sampled_from(["R", "R-back", "S", "T-back"]))
            length = float(network.pattern_length_m[drawing.pattern_ix(key)])
            leg = ride(
                drawing,
                key,
                t,
                vehicle_id=name,
                from_m=draw(st.sampled_from([0.0, 0.3 * length])),
                to_m=draw(st.sampled_from([0.6 * length, length])),
                speed_mps=draw(st.sampled_from([4.0, 9.0, 15.0])),
                every_s=draw(st.sampled_from([1.0, 4.0, 13.0, 31.0])),
                stops=draw(st.sampled_from([[], [(300.0, 25.0)], [(310.0, 40.0), (700.0, 15.0)]])),
                route_id=reported,
            )[:45]
            t = leg[-1]["timestamp"] + draw(st.sampled_from([1.0, 30.0, 200.0, 1500.0]))
            if draw(st.booleans()):
                place = (leg[-1]["lat"], leg[-1]["lon"])
                leg += stand(place, leg[-1]["timestamp"] + 5.0, draw(st.sampled_from([10.0, 60.0])), vehicle_id=name)
                t = max(t, leg[-1]["timestamp"] + 3.0)
            pings += leg
    rng = random.Random(draw(st.integers(0, 2**32)))
    shake = draw(st.sampled_from([0.0, 1e-4]))
    bad = draw(st.sampled_from([0.0, 0.06]))
    for ping in pings:
        ping["lat"] += rng.gauss(0.0, shake)
        ping["lon"] += rng.gauss(0.0, shake)
        if rng.random() < bad:
            ping["lat"] += 0.3
        if rng.random() < 0.3:
            ping["speed_mps"] = round(rng.uniform(0.0, 12.0), 1)
    pings.sort(key=lambda p: p["timestamp"])
    return pings


@st.composite
def arrivals(draw: Any, pings: list[Ping]) -> list[Ping]:
    """The same pings in another order of arrival within the lateness, some of them twice."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.1, 0.6]))
    sent = []
    for ping in pings:
        for _ in range(2 if rng.random() < 0.1 else 1):
            delay = rng.uniform(0.0, LATENESS_S - 2.0) if rng.random() < share else 0.0
            sent.append((ping["timestamp"] + 1.0 + delay, len(sent), ping))
    return [{**ping, "arrived": arrived} for arrived, _, ping in sorted(sent, key=lambda s: s[:2])]


@given(st.data())
@settings(max_examples=40)
def test_order_within_the_lateness_and_repeats_do_not_matter(data: st.DataObject):
    network, _ = town()
    pings = data.draw(drives())
    expected = last_words(run(network, pings))
    assert last_words(run(network, data.draw(arrivals(pings)))) == expected


@st.composite
def forks(draw: Any) -> list[Ping]:
    """Pings of a bus on the forked street whose route is hidden or stale, so that the fork tells another one."""
    network, drawing = fork()
    t = seven(network)
    pings: list[Ping] = []
    for _ in range(draw(st.integers(1, 2))):
        at_b = float(network.pstop_dist_m[1])
        pings += ride(
            drawing,
            draw(st.sampled_from(["R", "S"])),
            t,
            from_m=draw(st.sampled_from([0.0, 40.0, 700.0])),
            speed_mps=draw(st.sampled_from([6.0, 11.0])),
            every_s=draw(st.sampled_from([2.0, 5.0, 13.0, 31.0])),
            stops=draw(st.sampled_from([[], [(at_b, 45.0)], [(900.0, 150.0)]])),
            route_id=draw(st.sampled_from([None, "R", "S"])),
        )
        t = pings[-1]["timestamp"] + draw(st.sampled_from([2.0, 60.0, 400.0]))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for ping in pings:
        ping["lat"] += rng.gauss(0.0, 1e-4)
        ping["lon"] += rng.gauss(0.0, 1e-4)
    return pings


@given(st.data())
@settings(max_examples=20)
def test_what_a_late_recognition_moves_does_not_depend_on_the_order_of_arrival(data: st.DataObject):
    network, _ = fork()
    pings = data.draw(forks())
    expected = last_words(run(network, pings))
    runs: dict[str, set[str]] = {}
    for row in expected["passings"].values():
        runs.setdefault(row["trip_id_performed"], set()).add(row["pattern_id"])
    assert all(len(patterns) == 1 for patterns in runs.values())
    assert last_words(run(network, data.draw(arrivals(pings)))) == expected


@st.composite
def false_starts(draw: Any) -> list[Ping]:
    """Pings of a bus that waits at A, creeps away, waits again, once or more, and leaves."""
    network, drawing = town()
    t, place_m = seven(network), 0.0
    every_s = draw(st.sampled_from([2.0, 5.0, 13.0]))
    report = {"route_id": draw(st.sampled_from([None, "R"]))}
    pings: list[Ping] = []
    for _ in range(draw(st.integers(1, 3))):
        spot = drawing.along("R", place_m)
        pings += stand(spot, t, draw(st.sampled_from([30.0, 100.0, 300.0])), every_s, **report)
        to_m = place_m + draw(st.sampled_from([60.0, 90.0, 150.0]))
        pings += ride(
            drawing, "R", pings[-1]["timestamp"] + every_s, from_m=place_m, to_m=to_m, every_s=every_s,
            speed_mps=draw(st.sampled_from([2.0, 4.0])), **report,
        )  # fmt: skip
        t, place_m = pings[-1]["timestamp"] + every_s, draw(st.sampled_from([0.0, to_m]))
    spot = drawing.along("R", place_m)
    pings += stand(spot, t, draw(st.sampled_from([20.0, 60.0, 250.0])), every_s, **report)
    t = pings[-1]["timestamp"] + every_s
    pings += ride(drawing, "R", t, from_m=place_m, to_m=1200.0, every_s=every_s, **report)
    rng = random.Random(draw(st.integers(0, 2**32)))
    for ping in pings:
        ping["lat"] += rng.gauss(0.0, 3e-5)
        ping["lon"] += rng.gauss(0.0, 3e-5)
    return pings


@given(st.data())
@settings(max_examples=40)
def test_a_run_that_was_taken_back_and_starts_again_does_not_depend_on_the_order_of_arrival(data: st.DataObject):
    network, _ = town()
    pings = data.draw(false_starts())
    expected = last_words(run(network, pings))
    assert last_words(run(network, data.draw(arrivals(pings)))) == expected


def as_records(pings: list[Ping], seed: int) -> list[Record]:
    """Records of one to twenty pings with heartbeats between, in one of the three forms."""
    rng = random.Random(seed)
    records: list[Record] = []
    at, offset = 0, 100
    while at < len(pings):
        n = rng.randint(1, 20)
        some = [{k: v for k, v in p.items() if k != "arrived" and v is not None} for p in pings[at : at + n]]
        now = max(p.get("arrived", p["timestamp"] + 1.0) for p in pings[at : at + n])
        form = rng.randrange(3)
        if form == 0:
            value = orjson.dumps(some)
        elif form == 1:
            names = sorted({k for p in some for k in p})
            value = orjson.dumps({k: [p.get(k) for p in some] for k in names})
        else:
            value, n = orjson.dumps(some[0]), 1
        records.append(Record(offset, now, value))
        offset += rng.randint(1, 3)
        if rng.random() < 0.2:
            records.append(Record(offset, now + 1.0, HEARTBEAT))
            offset += 1
        at += n
    records.append(Record(offset, now + 400.0, HEARTBEAT))
    return records


@given(st.data())
@settings(max_examples=30)
def test_any_split_and_any_crash_gives_the_same_bytes(data: st.DataObject):
    network, _ = town()
    track = tracker(network)
    pings = data.draw(arrivals(data.draw(drives())))
    records = as_records(pings, data.draw(st.integers(0, 2**32)))
    expected = track.step(track.fresh(0), records)
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    state, outputs, at = track.fresh(0), list[Output](), 0
    while at < len(records):
        n = rng.choice([1, 2, 7, 40])
        outputs += track.step(state, records[at : at + n])
        at += n
        if rng.random() < 0.5:
            state = track.load(track.dump(state), 0)
    assert outputs == expected
    assert track.dump(track.load(track.dump(state), 0)) == track.dump(state)


@given(st.data())
@settings(max_examples=40)
def test_every_ping_is_accepted_or_rejected(data: st.DataObject):
    network, _ = town()
    pings = data.draw(arrivals(data.draw(drives())))
    said = run(network, pings)
    assert len(last_words(said)["positions"]) + messages.rows(said["rejects"]) == len(pings)
    sources = [(r["source_offset"], r["source_index"]) for r in rows(said["rejects"])]
    assert len(sources) == len(set(sources))


@given(drives())
@settings(max_examples=40)
def test_a_run_goes_forward(drive: list[Ping]):
    network, _ = town()
    said = last_words(run(network, drive))
    along: dict[str, float] = {}
    for row in said["positions"].values():
        if row["dist_m"] is not None:
            assert row["dist_m"] >= along.get(row["trip_id_performed"], 0.0)
            along[row["trip_id_performed"]] = row["dist_m"]
    gate: dict[str, tuple[int, float]] = {}
    for (trip, seq), row in said["passings"].items():
        if row["arrival_time"] is None:
            assert row["schedule_relationship"] != "Scheduled"
            continue
        assert row["departure_time"] is None or row["departure_time"] >= row["arrival_time"]
        assert row["arrival_time"] <= row["determined_at"] + 0.01
        if trip in gate:
            assert seq > gate[trip][0]
            assert row["arrival_time"] >= gate[trip][1]
        gate[trip] = (seq, max(row["arrival_time"], row["departure_time"] or 0.0))
    for row in said["traversals"].values():
        assert row["running_s"] >= 0
        assert row["distance_m"] > 0


@pytest.mark.parametrize(
    ("place", "some"),
    [(town, drives(vehicles=1)), (fork, forks()), (town, false_starts())],
    ids=["town", "fork", "false starts"],
)
@given(data=st.data())
@settings(max_examples=40)
def test_what_is_closed_does_not_change(place: Any, some: Any, data: st.DataObject):
    network, _ = place()
    said_by_record = []
    track = tracker(network)
    state = track.fresh(0)
    from tests.engine.pinging import columns

    for ping in data.draw(arrivals(data.draw(some))):
        facts, _ = track.advance(state, columns([ping]), ping["arrived"])
        said_by_record.append(facts)
    until = -np.inf
    told: dict[str, set[str]] = {"passings": set(), "traversals": set()}
    for facts in said_by_record:
        for name, before in told.items():
            for row in rows(facts[name]):
                del row["revision"]
                # A late ping may take back what was told after a fact was closed: then the closed one comes again.
                assert row["determined_at"] > until or repr(row) in before
                before.add(repr(row))
        if len(facts["closed"]["until"]):
            assert facts["closed"]["until"][-1] >= until
            until = facts["closed"]["until"][-1]


@pytest.mark.parametrize("bad", [b"{", b"\xff\xfe", b"5", b"[1, 2]", b'{"vehicle_id": ["a"], "lat": [1, 2]}'])
def test_one_bad_record_never_kills_a_batch(bad: bytes):
    network, drawing = town()
    track = tracker(network)
    good = orjson.dumps(ride(drawing, "R", seven(network), route_id="R")[:5])
    records = [Record(0, seven(network) + 60, bad), Record(1, seven(network) + 60, good)]
    outputs = track.step(track.fresh(0), records)
    assert [(o.topic, o.offset) for o in outputs] == [("rejects", 0), ("positions", 1)]
    assert len(orjson.loads(outputs[1].value)["positions"]["vehicle_id"]) == 5
