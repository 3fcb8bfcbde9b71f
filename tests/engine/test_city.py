import json
from datetime import date

import numpy as np
import pytest

from streams import messages
from streams.engine.city import MOST_GRID_POINTS, ROWS_PER_RECORD, City
from streams.engine.headways import Headways
from streams.engine.stage import Record
from streams.settings import City as CitySettings
from streams.settings import Settings
from tests.drawing import draw
from tests.engine.driving import Log, rows_of

STREET = "A----B----C----D----E"


class Probe:
    """A part that only notes what it is asked."""

    name = "probe"

    def fresh(self):
        return []

    def observe(self, city, facts):
        passed = np.bincount(facts.passing_record, minlength=len(facts.record_times))
        city.parts[self.name].append(("observe", facts.record_times.tolist(), passed.tolist()))
        return {}

    def statements(self, city, at, restate):
        city.parts[self.name].append(("restate" if restate else "state", at, len(city.fleet)))
        return {}

    def dump(self, state):
        return [list(s) for s in state]

    def load(self, tree, same_network):
        return [tuple(s) for s in tree]

    def runs_in_use(self, state):
        return np.empty(0, dtype=np.int64)

    def renumber(self, state, run, vehicle):
        state.append(("renumber", run.tolist(), vehicle.tolist()))

    def warm_up(self):
        pass


class Loud(Probe):
    """A part with much to say."""

    name = "loud"

    def statements(self, city, at, restate):
        row = {"made_at": at, "route_id": "R", "direction_id": 0}
        n = ROWS_PER_RECORD * 2 + 1
        return {
            "indicators": {
                name: np.repeat(messages.column(kind, [row.get(name)]), n) for name, kind in messages.INDICATOR.items()
            }
        }


@pytest.fixture
def log():
    return Log(*draw(STREET, {"R": "ABCDE"}))


def probed(log, **city):
    return City(log.network, Settings(city=CitySettings(**city)), parts=(Probe(),))


def test_statements_are_made_on_the_grid_before_the_records_own_facts(log):
    city = probed(log)
    state = city.fresh(0)
    facts = log.run("v1", "R", "07:00:00")
    city.step(state, log.records([(1001.0, facts[:1]), (1004.9, facts[1:2]), (1005.0, facts[2:3]), (1016.0, None)]))
    assert state.parts["probe"] == [
        ("observe", [1001.0, 1004.9], [1, 1]),
        ("state", 1005.0, 1),
        ("observe", [1005.0], [1]),
        ("state", 1010.0, 1),
        ("state", 1015.0, 1),
    ]


def test_everything_is_said_again_every_minute(log):
    city = probed(log, restate_s=60.0)
    state = city.fresh(0)
    city.advance(state, None, 1001.0)
    city.advance(state, None, 1200.0)
    assert [at for what, at, _ in state.parts["probe"] if what == "restate"] == [1020.0, 1080.0, 1140.0, 1200.0]


def test_time_that_steps_back_stands_still(log):
    city = probed(log)
    state = city.fresh(0)
    for t in (1001.0, 1011.0, 1003.0, 1014.0):
        city.advance(state, None, t)
    assert [at for _, at, _ in state.parts["probe"]] == [1005.0, 1010.0]


def test_a_long_hole_in_time_is_not_caught_up_grid_point_by_grid_point(log):
    city = probed(log)
    state = city.fresh(0)
    city.advance(state, None, 1001.0)
    city.advance(state, None, 1001.0 + 5.0 * MOST_GRID_POINTS)
    assert len(state.parts["probe"]) == MOST_GRID_POINTS
    city.advance(state, None, 50_000_003.0)
    assert state.parts["probe"][MOST_GRID_POINTS:] == [("state", 50_000_000.0, 0)]
    assert state.counts["grid_points_skipped"] > 0


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'{"network":"x"}',
        b'{"network":"x","positions":{},"passings":{},"traversals":{},"closed":{}}',
    ],
)
def test_a_record_that_is_no_record_is_counted_and_passed_over(log, value):
    city = probed(log)
    state = city.fresh(0)
    assert city.step(state, [Record(1, 1000.0, value)]) == []
    assert state.counts == {"records_malformed": 1}
    assert state.record_time == 1000.0


def test_facts_of_another_networks_gates_are_found_by_pattern_and_order(log):
    city = City(log.network, Settings(), parts=(Headways(log.network, Settings()),))
    state = city.fresh(0)
    record = log.record(log.run("v1", "R", "07:00:00"))
    record["passings"]["gate_ix"] = record["passings"]["gate_ix"] + 1000
    value = json.loads(log.value(record)) | {"network": "feedfeedfeed"}
    outputs = city.step(state, [Record(1, 1000.0, json.dumps(value).encode())])
    assert {o.topic for o in outputs} == {"headways"}
    assert state.counts["other_network"] > 0


def test_facts_of_a_pattern_that_is_not_here_are_counted(log):
    city = City(log.network, Settings(), parts=(Headways(log.network, Settings()),))
    state = city.fresh(0)
    record = log.record(log.run("v1", "R", "07:00:00"))
    record["passings"]["pattern_id"][:] = "gone:0:123456"
    assert city.advance(state, record, 1000.0) == {}
    assert state.counts["unknown_pattern"] == len(record["passings"]["pattern_id"])


def test_much_to_say_goes_out_in_several_records_of_the_same_offset(log):
    city = City(log.network, Settings(), parts=(Loud(),))
    state = city.fresh(0)
    outputs = city.step(state, [Record(7, 1001.0, messages.HEARTBEAT), Record(8, 1006.0, messages.HEARTBEAT)])
    assert [(o.topic, o.offset) for o in outputs] == [("indicators", 8)] * 3
    counts = [messages.rows(messages.decode(messages.INDICATOR, o.value)) for o in outputs]
    assert counts == [ROWS_PER_RECORD, ROWS_PER_RECORD, 1]


def test_what_is_said_in_a_hole_is_encoded_grid_point_by_grid_point(log):
    """It would not fit into memory as columns; together it is what the whole record has to say."""
    city = City(log.network, Settings(), parts=(Loud(),))
    records = [Record(7, 1001.0, messages.HEARTBEAT), Record(8, 1016.0, messages.HEARTBEAT)]
    outputs = city.step(city.fresh(0), records)
    said = [messages.decode(messages.INDICATOR, o.value) for o in outputs]
    assert [messages.rows(c) for c in said] == [ROWS_PER_RECORD, ROWS_PER_RECORD, 1] * 3
    state = city.fresh(0)
    city.advance(state, None, 1001.0)
    whole = city.advance(state, None, 1016.0)["indicators"]
    together = messages.concat(messages.INDICATOR, said)
    assert messages.encode(messages.INDICATOR, together) == messages.encode(messages.INDICATOR, whole)


def test_a_state_of_another_version_is_refused(log):
    city = probed(log)
    data = city.dump(city.fresh(0))
    was = city.version
    city.version = was + 1
    with pytest.raises(ValueError, match=f"version {was}"):
        city.load(data, 0)
    with pytest.raises(ValueError):
        city.load(b"nonsense", 0)


def test_under_another_network_vehicles_keep_their_place_by_pattern_id(log):
    city = City(log.network, Settings(), parts=(Headways(log.network, Settings()),))
    state = city.fresh(0)
    city.advance(state, log.record(log.run("v1", "R", "07:00:00")), 1000.0)
    network, _ = draw(STREET, {"Q": "ED", "R": "ABCDE"})
    assert network.hash != log.network.hash
    other = City(network, Settings(), parts=(Headways(network, Settings()),))
    carried = other.load(city.dump(state), 0)
    v = carried.fleet.names.find("v1")
    assert network.pattern_ids[carried.fleet.pattern[v]] == "R:0:" + network.pattern_ids[carried.fleet.pattern[v]][4:]
    assert carried.fleet.pattern[v] != state.fleet.pattern[v]
    assert not carried.parts["headways"].count.any(), "rings fill anew"
    other.advance(carried, log.record(log.run("v2", "R", "07:10:00")), 1700.0)


def test_runs_that_nothing_refers_to_are_forgotten_and_leaders_stay(log):
    city = City(log.network, Settings(), parts=(Headways(log.network, Settings()), Probe()))
    state = city.fresh(0)
    n = 40
    for i in range(n):
        run = log.run(f"v{i}", "R", log.clock("07:00:00") + 300 * i)
        city.advance(state, log.record(run), run[-1].time)
    assert len(state.runs) == n
    later = log.clock("07:00:00") + 300 * n + 90_000
    city.advance(state, None, later)
    city.advance(state, None, (later // 600 + 1) * 600)
    assert len(state.runs) < n
    assert any(s[0] == "renumber" for s in state.parts["probe"])
    assert len(state.fleet) == len(state.runs), "only vehicles of remembered runs are left"
    run = log.run("next", "R", log.clock("07:00:00") + 300 * n)
    rows = rows_of(city.advance(state, log.record(run), later)["headways"])
    assert {(r["leader_id"], r["headway_s"]) for r in rows} == {(f"v{n - 1}", 300.0)}
    assert city.dump(city.load(city.dump(state), 0)) == city.dump(state)


def test_a_run_keeps_its_service_day_over_midnight(log):
    city = City(log.network, Settings(), parts=(Headways(log.network, Settings()),))
    state = city.fresh(0)
    city.advance(state, log.record(log.run("v1", "R", "25:10:00")), 1000.0)
    assert date.fromordinal(int(state.runs.day[0])) == log.day
