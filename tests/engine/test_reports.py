"""What a vehicle says of itself becomes numbers of the network."""

import numpy as np
import pytest

from streams import messages
from streams.engine.reports import FIELDS, Reports
from streams.kernels import tracking
from tests.gtfs.feeds import compiled, tables


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
    (number,) = reports.intern(pings, network).tolist()
    assert reports.numbers()[number][tracking.DIRECTION] == taken
    assert reports.of(number)["direction_id"] == 0  # what was said is not forgotten
    np.testing.assert_array_equal(reports.numbers()[number][tracking.ROUTE], 0)
