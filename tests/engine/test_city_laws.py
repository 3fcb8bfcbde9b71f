"""The two laws. 1: what is final does not depend on batches, repeats or order. 2: nor what is said on calls or crashes.

Facts are drawn directly, without a tracker: runs of two routes and a short turn, revised, withdrawn and sent again.
"""

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import messages
from streams.engine.city import IN, OUT, City
from streams.engine.groups import GroupHeadways
from streams.engine.headways import Headways
from streams.engine.indicators import Indicators
from streams.settings import City as CitySettings
from streams.settings import Settings
from tests.drawing import draw
from tests.engine.driving import Fact, Log, final, rows_of

LATENESS_S = 30.0
# the whole city is asked for statements at every grid point: fewer examples, each of many moments
FEWER = settings(max_examples=max(10, settings().max_examples // 8))


@lru_cache
def town():
    return draw(
        """
        A---B---C---D
            |
            E
        """,
        {"R": "ABCD", "R/short": "ABC", "R-back": "DCBA", "S": "EBCD"},
        headway_s=300.0,
        windows={"S": [("05:00:00", "07:20:00", 600.0), ("07:20:00", "24:00:00", 240.0)]},
    )


@lru_cache
def whole_city():
    return City(town()[0], Settings(city=CitySettings(route_groups="R,S")))


@lru_cache
def headways_and_indicators():
    network, settings = town()[0], Settings(city=CitySettings(statement_s=300.0, route_groups="R,S"))
    headways = Headways(network, settings)
    groups = GroupHeadways(network, settings)
    assert groups.groups.ids
    return City(network, settings, parts=(headways, groups, Indicators(network, settings, headways)))


@st.composite
def drives(draw):
    """Runs as lists of facts, every vehicle's in the order in which its tracker sends them."""
    log = Log(*town())
    seven = log.clock("07:00:00")
    runs = []
    for i in range(draw(st.integers(1, 5))):
        key = draw(st.sampled_from(["R", "R", "R/short", "R-back", "S"]))
        delays = [(draw(st.integers(1, 9)), draw(st.sampled_from([30.0, 200.0, 400.0])))] if draw(st.booleans()) else []
        start = seven + draw(st.integers(0, 80)) * 15.0
        facts = log.run(f"v{i}", key, start, draw(st.sampled_from([4.0, 8.0])), delays=delays)
        facts = facts[: draw(st.integers(3, len(facts)))]
        sent = []
        for f in facts:
            sent.append(f)
            fate = draw(st.integers(0, 12))
            if fate == 0:
                sent.append(f.again(time=round(f.time + 5.25, 2)))
            elif fate == 1:
                sent += [f.again(withdrawn=True), f.again().again()]
        if draw(st.integers(0, 5)) == 0:
            sent += [f.again().again().again(withdrawn=True) for f in facts[-3:]]
        if draw(st.integers(0, 2)) == 0:
            first, last = sorted(draw(st.tuples(st.integers(0, len(sent)), st.integers(0, len(sent)))))
            sent[first:last] = [replace(f, off_route=True, passes=False) for f in sent[first:last]]
        runs.append(sent)
    return log, runs


def merge(runs, jitter):
    """One order of all facts: by time, each up to LATENESS_S late, every run's own order kept."""
    due = []
    for i, facts in enumerate(runs):
        newest = -np.inf
        for j, f in enumerate(facts):
            newest = max(newest, f.time + jitter[(i * 31 + j * 7) % len(jitter)])
            due.append((newest, i, j, f))
    return [f for _, _, _, f in sorted(due, key=lambda d: d[:3])]


def cut(facts, sizes, repeats):
    """Batches of these sizes, in turn; the numbered ones are sent once more later (a tracker that crashed)."""
    batches, at, i = [], 0, 0
    while at < len(facts):
        size = sizes[i % len(sizes)]
        batches.append(facts[at : at + size])
        if i > 0 and i in repeats:
            batches += [batches[-2], batches[-1]] if batches[-2] else [batches[-1]]
        at += size
        i += 1
    return batches


def silenced(log, runs, begin, minutes):
    """The runs and six other buses, without what falls into a silence of the source."""
    seven = log.clock("07:00:00")
    others = [
        [Fact(seven + 60.0 * m + 5 * i, f"other{i}", None, 0, 0, passes=False) for m in range(45)] for i in range(6)
    ]
    silence = range(60 * begin, 60 * (begin + minutes))
    return [[f for f in run if int(f.time - seven) not in silence] for run in runs + others]


jitters = st.lists(st.floats(0.0, LATENESS_S), min_size=1, max_size=8)
sizes = st.lists(st.integers(1, 12), min_size=1, max_size=5)
repeats = st.sets(st.integers(0, 12), max_size=3)


def final_rows(log, batches):
    """Headways and indicators in the end."""
    city = headways_and_indicators()
    state = city.fresh(0)
    told, group = [], []
    for facts in batches:
        said = city.advance(state, log.record(facts), log.clock("07:00:00"))
        told += rows_of(said["headways"]) if "headways" in said else []
        group += rows_of(said["group_headways"]) if "group_headways" in said else []
    end = city.advance(state, None, log.clock("07:45:00")).get("indicators")
    both = final(told) | final(group, ("route_group_id", "trip_id_performed", "gate_id"))
    rows = {k: {n: v for n, v in row.items() if n != "revision"} for k, row in both.items()}
    last = {(r["route_id"], r["direction_id"]): str(r) for r in rows_of(end)} if end is not None else {}
    return rows, last


@given(drives(), jitters, sizes, repeats)
def test_law_1_headways_do_not_depend_on_batches_repeats_or_order(drive, jitter, batch, again):
    log, runs = drive
    plain = final_rows(log, [merge(runs, [0.0])])
    assert final_rows(log, cut(merge(runs, jitter), batch, again)) == plain


@FEWER
@given(drives(), st.integers(1, 25), st.integers(4, 12), jitters, sizes, repeats)
def test_law_1_holds_across_a_silence_of_the_source(drive, begin, minutes, jitter, batch, again):
    log, runs = drive
    heard = silenced(log, runs, begin, minutes)
    plain = final_rows(log, [merge(heard, [0.0])])
    assert final_rows(log, cut(merge(heard, jitter), batch, again)) == plain


@st.composite
def logs(draw):
    """Kafka records of a drive, heartbeats between them."""
    log, runs = draw(drives())
    facts = merge(runs, draw(jitters))
    batches = []
    for batch in cut(facts, draw(sizes), draw(repeats)):
        at = max(f.time for f in batch) + 2.0
        batches.append((at, batch))
        if draw(st.integers(0, 3)) == 0:
            batches.append((at + draw(st.sampled_from([1.0, 7.0, 90.0])), None))
    return log.records(batches)


def said(city, records, cuts, crashes):
    """Outputs of the records taken in calls that end at `cuts`; the state goes to bytes and back at `crashes`."""
    state, out, start = city.fresh(0), [], 0
    for i, end in enumerate(sorted({*cuts, len(records)})):
        out += city.step(state, records[start:end])
        start = end
        if i in crashes:
            state = city.load(city.dump(state), 0)
    return out


@FEWER
@given(logs(), st.sets(st.integers(0, 60), max_size=8), st.sets(st.integers(0, 8), max_size=4))
def test_law_2_everything_said_does_not_depend_on_calls_or_crashes(records, cuts, crashes):
    city = whole_city()
    assert said(city, records, {c for c in cuts if c < len(records)}, crashes) == said(city, records, set(), set())


@FEWER
@given(drives(), st.integers(1, 25), st.integers(4, 12), jitters, sizes, repeats)
def test_law_2_holds_where_the_facts_of_many_records_are_observed_at_once(drive, begin, minutes, jitter, batch, again):
    log, runs = drive
    facts = merge(silenced(log, runs, begin, minutes), jitter)
    end = max(f.time for f in facts)
    city = whole_city()
    until = (end // 5.0) * 5.0 + 5.0
    batches = [(until + 0.001 * i, some) for i, some in enumerate(cut(facts, batch, again))]
    records = log.records([*batches, (until + 65.0, None)])
    assert batches[-1][0] < until + 5.0, "no statement lies between them"
    assert said(city, records, set(range(len(records))), set()) == said(city, records, set(), set())


def test_a_silence_that_late_news_fills_is_told_twice_where_both_are_observed_at_once():
    log = Log(*town())
    seven, city = log.clock("07:00:00"), whole_city()
    leader, follower = log.run("a", "R", seven), log.run("b", "R", seven + 1200.0)
    heard = [Fact(seven + 60.0 * m, f"o{i}", None, 0, 0, passes=False) for m in range(20) for i in range(6)]
    in_time = [f for f in heard if f.time < seven + 600.0]
    late = [f for f in heard if f.time >= seven + 600.0]
    records = log.records(
        [(seven + 1300.0 + 0.001 * i, some) for i, some in enumerate([leader + in_time, follower, late])]
    )
    together = said(city, records, set(), set())
    assert together == said(city, records, {1, 2}, set())
    told = [(o.offset, messages.decode(OUT["headways"], o.value)) for o in together if o.topic == "headways"]
    assert [(at, set(c["leader_id"].tolist())) for at, c in told] == [(100, {None}), (101, {None}), (102, {"a"})]


@FEWER
@given(logs())
def test_records_that_went_through_json_give_the_same_as_columns_that_did_not(records):
    city = whole_city()
    state, other = city.fresh(0), city.fresh(0)
    for record in records:
        columns = None
        if record.value != messages.HEARTBEAT:
            parsed = json.loads(record.value)
            columns = {name: messages.from_wire(spec, parsed[name]) for name, spec in IN.items()}
        by_columns = city.advance(other, columns, record.record_time)
        by_bytes = {}
        for output in city.step(state, [record]):
            assert output.offset == record.offset
            by_bytes.setdefault(output.topic, []).append(output.value)
        assert {t: [messages.encode(OUT[t], c)] for t, c in by_columns.items()} == by_bytes
        for topic, values in by_bytes.items():
            again = messages.decode(OUT[topic], values[0])
            assert messages.encode(OUT[topic], again) == values[0], "numbers leave in wire precision"


@FEWER
@given(logs())
def test_the_bytes_of_a_state_are_the_state(records):
    city = whole_city()
    state = city.fresh(0)
    city.step(state, records)
    data = city.dump(state)
    assert city.dump(city.load(data, 0)) == data
