"""What a vehicle says of itself becomes numbers of the network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import messages
from streams.engine.reports import FIELDS, Reports
from streams.kernels import tracking
from tests.gtfs.feeds import compiled, tables


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("feed"), tables())


@pytest.mark.parametrize(("feed_says", "taken"), [(True, 0), (False, -1)])
def test_a_direction_is_evidence_only_where_the_feed_has_it_too(tmp_path, feed_says, taken):
    feed = tables()
    feed["trips"].append({**feed["trips"][0], "trip_id": "back", "direction_id": 1, "shape_id": ""})
    calls = [(row, stop) for row, stop in zip(feed["stop_times"], "CBA", strict=True)]
    feed["stop_times"] = [*feed["stop_times"], *({**row, "trip_id": "back", "stop_id": stop} for row, stop in calls)]
    if not feed_says:
        for trip in feed["trips"]:
            del trip["direction_id"]
    network = compiled(tmp_path, feed)
    assert sorted(network.pattern_direction.tolist()) == [0, 1]
    said = {"route_id": "1", "direction_id": 0}
    pings = {name: messages.column(messages.PING[name], [said.get(name)]) for name in FIELDS}
    reports = Reports()
    (number,) = reports.intern(pings, network, np.array([-1])).tolist()
    assert reports.numbers()[number][tracking.DIRECTION] == taken
    assert reports.of(number)["direction_id"] == 0  # what was said is not forgotten
    np.testing.assert_array_equal(reports.numbers()[number][tracking.ROUTE], 0)


@given(st.lists(st.tuples(*[st.sampled_from([None, "1", "2"])] * 6, st.integers(-1, 1)), max_size=30), st.data())
def test_what_a_vehicle_said_last_changes_no_number(network, said, data):
    """A guess, right or wrong, is only a short cut: equal sayings have one number, different ones two."""
    names = [name for name in FIELDS if name != "direction_id"]
    pings = {name: messages.column(messages.PING[name], [row[k] for row in said]) for k, name in enumerate(names)}
    pings["direction_id"] = np.array([row[6] for row in said], dtype=np.int64)
    one, other = Reports(), Reports()
    unknown = np.full(len(said), -1)
    numbers = one.intern(pings, network, unknown)
    np.testing.assert_array_equal(other.intern(pings, network, unknown), numbers)
    guess = np.array(data.draw(st.lists(st.integers(-1, len(other) - 1), min_size=len(said), max_size=len(said))))
    np.testing.assert_array_equal(other.intern(pings, network, guess.astype(np.int64)), numbers)
    assert other.dump() == one.dump()
    assert len(one) == len(set(said))
