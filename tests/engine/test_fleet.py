import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams import messages
from streams.engine.fleet import IN_SERVICE, LAYOVER, Fleet
from tests.engine.driving import columns


def observe(fleet, rows, record_time=0.0, run=None):
    positions = columns(messages.POSITION, rows)
    vehicle = fleet.intern(positions["vehicle_id"])
    pattern = np.zeros(len(rows), dtype=np.int64)
    run = np.arange(len(rows)) if run is None else np.array(run)
    fleet.observe(np.full(len(rows), record_time), positions, vehicle, run, pattern)


def row(vehicle, timestamp, revision=0, **more):
    return {"vehicle_id": vehicle, "timestamp": timestamp, "revision": revision, "trip_type": "In service", **more}


def test_the_newest_position_of_each_vehicle_is_kept():
    fleet = Fleet()
    observe(fleet, [row("a", 10.0, dist_m=1.0), row("b", 5.0, dist_m=3.0), row("a", 20.0, dist_m=2.0)], 30.0)
    a, b = fleet.names.find("a"), fleet.names.find("b")
    assert (fleet.timestamp[a], fleet.dist_m[a], fleet.news[a]) == (20.0, 2.0, 30.0)
    assert (fleet.timestamp[b], fleet.dist_m[b], fleet.news[b]) == (5.0, 3.0, 30.0)


def test_an_older_position_is_news_but_not_the_newest():
    fleet = Fleet()
    observe(fleet, [row("a", 20.0, dist_m=2.0)], 30.0)
    observe(fleet, [row("a", 10.0, revision=1, dist_m=1.0)], 40.0)
    assert (fleet.timestamp[0], fleet.dist_m[0], fleet.news[0]) == (20.0, 2.0, 40.0)


def test_a_revision_of_the_same_ping_replaces_it():
    fleet = Fleet()
    observe(fleet, [row("a", 20.0, trip_type="Layover")])
    assert fleet.trip_type[0] == LAYOVER
    observe(fleet, [row("a", 20.0, revision=1)])
    assert fleet.trip_type[0] == IN_SERVICE


@given(
    st.permutations([row(v, t, r, dist_m=t + r) for v in "ab" for t in (1.0, 2.0, 3.0) for r in (0, 1)]),
    st.integers(1, 12),
)
def test_order_and_batches_do_not_matter(rows, batch):
    fleet = Fleet()
    for start in range(0, len(rows), batch):
        observe(fleet, rows[start : start + batch])
    for v in (fleet.names.find("a"), fleet.names.find("b")):
        assert (fleet.timestamp[v], fleet.revision[v], fleet.dist_m[v]) == (3.0, 1, 4.0)


def test_the_last_run_is_remembered_while_it_waits():
    fleet = Fleet()
    observe(fleet, [row("a", 1.0), row("a", 2.0), row("a", 3.0, trip_type="Layover")], run=[4, 5, -1])
    assert (fleet.run[0], fleet.last_run[0], fleet.last_time[0]) == (-1, 5, 2.0)
    observe(fleet, [row("a", 1.5), row("a", 4.0, trip_type="Layover")], run=[4, -1])
    assert (fleet.run[0], fleet.last_run[0], fleet.last_time[0]) == (-1, 5, 2.0)


def test_in_service_means_on_a_pattern_and_heard_of():
    fleet = Fleet()
    observe(fleet, [row("a", 1.0), row("b", 1.0, trip_type="Layover"), row("c", 1.0, trip_type=None)], 100.0)
    observe(fleet, [row("d", 1.0)], 20.0)
    assert fleet.names.of(fleet.in_service(110.0, 60.0)).tolist() == ["a"]


def test_the_last_gate_passed_is_that_of_the_newest_passing():
    fleet = Fleet()
    passings = columns(
        messages.PASSING,
        [
            {"vehicle_id": "a", "gate_seq": 4, "arrival_time": 20.0},
            {"vehicle_id": "a", "gate_seq": 3, "arrival_time": 10.0},
            {"vehicle_id": "a", "gate_seq": 5, "arrival_time": 30.0, "withdrawn": True},
            {"vehicle_id": "a", "gate_seq": 6, "arrival_time": None},
        ],
    )
    vehicle = fleet.intern(passings["vehicle_id"])
    fleet.passed(passings, vehicle, np.array([7, 7, 7, 7]))
    assert (fleet.gate_seq[0], fleet.gate_run[0], fleet.gate_time[0]) == (4, 7, 20.0)


def test_forgetting_and_bytes_keep_the_rest():
    fleet = Fleet()
    observe(fleet, [row(f"v{i}", float(i), dist_m=float(i)) for i in range(5)])
    fleet, number = fleet.keep(np.array([True, False, True, False, True]))
    assert number.tolist() == [0, -1, 1, -1, 2]
    again = Fleet.load(fleet.dump())
    assert again.names.to_list() == ["v0", "v2", "v4"]
    assert again.dist_m[:3].tolist() == [0.0, 2.0, 4.0]
    again.renumber_runs(np.array([5, -1, 6, -1, -1]))
    assert again.run[:3].tolist() == [5, 6, -1]
