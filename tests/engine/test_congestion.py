import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import messages
from streams.engine.city import OUT, City
from streams.engine.congestion import Congestion, link_cells
from streams.settings import Settings
from tests.engine import riding
from tests.engine.riding import MIDNIGHT

SETTINGS = Settings()
EIGHT = MIDNIGHT + 8 * 3600.0


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return riding.street(tmp_path_factory.mktemp("street"))


def city_of(network):
    return City(network, SETTINGS, (Congestion(network, SETTINGS),))


def until(city, state, end):
    """Heartbeats once a minute: of a long hole not every grid point is made up for."""
    return [city.advance(state, None, at) for at in (*np.arange(state.record_time + 60.0, end, 60.0).tolist(), end)]


def run(network, records, end=None):
    """All rows said, in order, and the state."""
    city = city_of(network)
    state = city.fresh(0)
    said = [city.advance(state, columns, at) for at, columns in records]
    if end is not None:
        said += until(city, state, end)
    return messages.concat(messages.CONGESTION, [s["congestion"] for s in said if "congestion" in s]), state


def rows_of(said, **where):
    keep = np.ones(messages.rows(said), dtype=bool)
    for name, value in where.items():
        keep &= said[name] == value
    return messages.take(said, np.flatnonzero(keep))


def traversal(vehicle="A", cell=3, entered=EIGHT, seconds=20.0, metres=100.0, **more):
    return {
        "vehicle_id": vehicle, "cell_ix": cell, "entered_at": entered, "running_s": seconds, "distance_m": metres,
        "determined_at": entered + seconds, "revision": 0, "withdrawn": False, **more,
    }  # fmt: skip


def record(*traversals, closed=(), at=EIGHT):
    vehicles = {t["vehicle_id"] for t in traversals} | {vehicle for vehicle, _ in closed}
    rows = {
        "positions": [{"vehicle_id": v, "timestamp": at, "off_route": False, "revision": 0} for v in sorted(vehicles)],
        "traversals": list(traversals),
        "closed": [{"vehicle_id": vehicle, "until": until} for vehicle, until in closed],
    }
    return at, riding.columns(rows)


def test_a_window_worked_by_hand(network):
    """Three closed traversals of one cell; one still open, one withdrawn: neither counts."""
    said, _ = run(
        network,
        [
            record(
                traversal("A", entered=EIGHT + 10, seconds=20),
                traversal("B", entered=EIGHT + 50, seconds=80),
                traversal("A", entered=EIGHT + 200, seconds=50),
                traversal("C", entered=EIGHT + 60, seconds=1),
                traversal("C", entered=EIGHT + 60, seconds=1, revision=1, withdrawn=True),
                traversal("D", entered=EIGHT + 70, seconds=1),
                closed=[("A", EIGHT + 290), ("B", EIGHT + 290), ("C", EIGHT + 290)],
                at=EIGHT + 290,
            )
        ],
        end=EIGHT + 610,
    )
    finals = rows_of(said, final=True)
    assert messages.rows(finals) == 1
    final = {name: values[0] for name, values in finals.items()}
    assert final["window_start"] == EIGHT
    assert final["window_s"] == 300
    assert final["speed_mps"] == 2.0  # 300 m in 150 s
    assert (final["n_samples"], final["n_vehicles"]) == (3, 2)
    free = final["free_flow_mps"]
    assert free == round(1 / link_cells(network).prior[3], 2)  # the timetable's: nothing was learned before
    assert final["congestion_level"] == "CONGESTION"
    assert 0.3 <= 2.0 / free < 0.5
    assert final["distance_m"] == 300.0
    assert final["delay_s"] == pytest.approx(150.0 - 300.0 * link_cells(network).prior[3], abs=0.06)
    assert final["delay_hour_s"] == final["delay_s"]
    assert final["h3_cell"] == np.base_repr(int(network.cell_h3[3]), 16).lower()


def test_live_rows_come_with_news_and_grow(network):
    first = record(traversal("A", entered=EIGHT + 10), closed=[("A", EIGHT + 40)], at=EIGHT + 45)
    second = record(traversal("B", entered=EIGHT + 50), closed=[("B", EIGHT + 75)], at=EIGHT + 80)
    said, _ = run(network, [first, second], end=EIGHT + 95)
    assert said["n_samples"].tolist() == [1, 2]
    assert not said["final"].any()


def test_everything_current_is_said_again_every_minute_and_then_no_more(network):
    said, _ = run(
        network, [record(traversal("A", entered=EIGHT + 10), closed=[("A", EIGHT + 40)], at=EIGHT + 45)],
        end=EIGHT + 2400,
    )  # fmt: skip
    final = np.flatnonzero(said["final"])
    assert len(final) == 1
    after = messages.take(said, slice(int(final[0]) + 1, None))
    assert (after["n_samples"] == 0).all()  # only the filter speaks
    assert (after["n_vehicles"] == 0).all()
    assert set(np.diff(after["window_start"])) <= {0.0, 300.0}
    assert 9 <= messages.rows(after) <= 11  # from 8:10 until 20 minutes after the bus


def test_a_jam_shows_its_level_and_relaxes(network):
    slow = [
        record(
            *(traversal(v, entered=EIGHT + 5 * i, seconds=100) for i, v in enumerate("ABCDEF")),
            closed=[(v, EIGHT + 200) for v in "ABCDEF"],
            at=EIGHT + 205,
        )
    ]
    said, state = run(network, slow, end=EIGHT + 245)
    assert set(said["congestion_level"]) == {"SEVERE_CONGESTION"}
    part = state.parts["congestion"]
    assert part.now[3] > 3 * part.usual[3]
    _, state = run(network, slow, end=EIGHT + 5000)
    part = state.parts["congestion"]
    assert part.now[3] == pytest.approx(part.usual[3], rel=0.05)


def test_what_no_bus_can_do_is_counted_and_left_out(network):
    said, state = run(
        network,
        [
            record(
                traversal("A", entered=EIGHT + 10, seconds=20),
                traversal("B", entered=EIGHT + 20, seconds=0.4),
                traversal("C", entered=EIGHT + 30, seconds=0.0),
                closed=[(v, EIGHT + 100) for v in "ABC"],
                at=EIGHT + 100,
            )
        ],
        end=EIGHT + 610,
    )
    final = rows_of(said, final=True)
    assert (final["speed_mps"].tolist(), final["n_samples"].tolist()) == ([5.0], [1])
    assert state.counts["traversals_implausible"] == 2


# --- laws

trips = st.lists(
    st.tuples(
        st.sampled_from("ABCD"), st.integers(0, 4), st.integers(0, 1200), st.integers(1, 400), st.floats(5.0, 150.0)
    ),
    min_size=1, max_size=14, unique_by=lambda t: (t[0], t[1], t[2]),
)  # fmt: skip


def played(trips, order, cuts, repeats):
    """Records in which every vehicle's facts come in this order, split by `cuts`, some of them twice."""
    facts = [
        traversal(v, cell, EIGHT + t, float(s), round(m, 1), determined_at=EIGHT + t + s) for v, cell, t, s, m in trips
    ]
    facts = [facts[i] for i in order]
    facts += [f for f, again in zip(facts, repeats, strict=False) if again]
    groups = np.split(np.array(facts, dtype=object), sorted(c % (len(facts) + 1) for c in cuts))
    # all facts are known before their window is final, and closed at one of many moments
    records = [record(*group, at=EIGHT + 1 + i) for i, group in enumerate(groups)]
    moments = [EIGHT + 2 + len(records) + 3.0 * (c % 90) for c in cuts] or [EIGHT + 100.0]
    for moment in sorted(moments):
        records.append(record(closed=[(v, EIGHT + 2000.0) for v in "ABCD"], at=moment))
    return records


@settings(max_examples=15)
@given(trips, st.randoms(use_true_random=False), st.lists(st.integers(0, 300), max_size=4), st.data())
def test_windows_and_what_they_teach_do_not_depend_on_order_batches_or_repeats(network, trips, random, cuts, data):
    shuffled = list(range(len(trips)))
    random.shuffle(shuffled)
    repeats = data.draw(st.lists(st.booleans(), max_size=len(trips)))
    results = []
    for records in (played(trips, range(len(trips)), [], []), played(trips, shuffled, cuts, repeats)):
        said, state = run(network, records, end=EIGHT + 3000)
        part = state.parts["congestion"]
        final = messages.encode(messages.CONGESTION, rows_of(said, final=True))
        learned = [getattr(part, f).tobytes() for f in ("cell_s", "cell_m", "part_s", "hour_s", "free", "free_n")]
        results.append((final, learned))
    assert results[0] == results[1]
    assert b"true" in results[0][0]


@settings(max_examples=10)
@given(st.lists(st.integers(0, 200), max_size=3))
def test_statements_are_the_same_after_any_crash(network, crashes):
    rides = [riding.ride(network, v, EIGHT + 200 * i, 90.0 + 40 * i) for i, v in enumerate("ABC")]
    records = riding.records(network, rides, ping_s=20.0)
    city = city_of(network)
    whole, state = [], city.fresh(0)
    for at, columns in records:
        whole.append(city.advance(state, columns, at))
    cut, state = [], city.fresh(0)
    for i, (at, columns) in enumerate(records):
        if i in crashes:
            state = city.load(city.dump(state), 0)
        cut.append(city.advance(state, columns, at))
    assert [encoded(s) for s in cut] == [encoded(s) for s in whole]
    assert any(whole)


def encoded(said):
    return {topic: messages.encode(OUT[topic], columns) for topic, columns in said.items()}


def test_another_feed_keeps_what_its_cells_have_learned(network, tmp_path):
    rides = [riding.ride(network, "A", EIGHT, 200.0)]
    city = city_of(network)
    state = city.fresh(0)
    for at, columns in riding.records(network, rides, until=EIGHT + 2400):
        city.advance(state, columns, at)
    learned = state.parts["congestion"]
    assert learned.free_n.sum() > 10
    longer = riding.street(tmp_path, stops=8)
    other = city_of(longer)
    moved = other.load(city.dump(state), 0).parts["congestion"]
    assert moved.free_n.sum() == learned.free_n.sum()
    same = {
        tuple(key): free
        for *key, free in zip(network.cell_h3, network.cell_octant, learned.free, strict=True)
    }  # fmt: skip
    for h3_cell, octant, n, free in zip(longer.cell_h3, longer.cell_octant, moved.free_n, moved.free, strict=True):
        if n:
            assert free == same[h3_cell, octant]


def test_facts_of_another_network_are_left_alone(network):
    city = city_of(network)
    state = city.fresh(0)
    at, columns = record(traversal(), closed=[("A", EIGHT + 100)])
    city.advance(state, columns, at, network_hash="another")
    assert city.advance(state, None, EIGHT + 900) == {}


def test_the_last_hours_delay_is_that_of_the_windows_that_have_closed_and_this_one(network):
    def slow(at, vehicle):
        return record(traversal(vehicle, entered=at, seconds=80.0), closed=[(vehicle, at + 90)], at=at + 95)

    times = [EIGHT + 10, EIGHT + 310, EIGHT + 1800, EIGHT + 3900]
    said, _ = run(network, [slow(t, v) for t, v in zip(times, "ABCD", strict=True)], end=EIGHT + 4900)
    finals = rows_of(said, final=True)
    assert (finals["window_start"] - EIGHT).tolist() == [0.0, 300.0, 1800.0, 3900.0]
    each = finals["delay_s"].tolist()
    assert min(each) > 20.0
    hour = [each[0], each[0] + each[1], sum(each[:3]), sum(each[2:])]
    assert finals["delay_hour_s"].tolist() == pytest.approx(hour, abs=0.3)


# --- segments


def ways(network, records, end=None):
    city = city_of(network)
    state = city.fresh(0)
    said = [city.advance(state, columns, at) for at, columns in records]
    if end is not None:
        said += until(city, state, end)
    return messages.concat(messages.SEGMENT, [s["segments"] for s in said if "segments" in s])


def test_a_segment_worked_by_hand(network):
    links = link_cells(network)
    link = int(np.argmax(np.diff(links.start)))  # one of several cells
    cells, metres = (a[links.start[link] : links.start[link + 1]] for a in (links.cell, links.metres))
    some = int(cells[0])
    said = ways(
        network,
        [
            record(
                traversal("A", cell=some, entered=EIGHT + 10, seconds=50.0, metres=100.0),
                traversal("B", cell=some, entered=EIGHT + 60, seconds=70.0, metres=100.0),
                closed=[("A", EIGHT + 290), ("B", EIGHT + 290)],
                at=EIGHT + 290,
            )
        ],
        end=EIGHT + 610,
    )
    name = [network.stop_ids[network.link_from_stop_ix[link]], network.stop_ids[network.link_to_stop_ix[link]]]
    finals = rows_of(said, final=True, segment_id=">".join(name))
    assert messages.rows(finals) == 1
    row = {k: v[0] for k, v in finals.items()}
    prior = links.prior[cells]
    elsewhere = float((metres * prior)[1:].sum())
    length = float(metres.sum())
    pace = 120.0 / 200.0
    assert row["measured_share"] == pytest.approx(metres[0] / length, abs=0.006)
    assert row["running_s"] == pytest.approx(metres[0] * pace + elsewhere, rel=0.02)
    assert row["speed_mps"] == pytest.approx(length / row["running_s"], abs=0.02)
    assert row["free_flow_mps"] == pytest.approx(length / float((metres * prior).sum()), abs=0.02)
    assert row["delay_s"] == pytest.approx(2 * metres[0] * (pace - prior[0]), abs=0.2)
    assert row["n_samples"] == round(2 * metres[0] / length)
    assert (row["from_stop_id"], row["to_stop_id"]) == tuple(name)
    assert row["to_dist_m"] - row["from_dist_m"] == pytest.approx(length, abs=0.2)


def test_segments_are_current_as_long_as_their_cells(network):
    one = record(traversal("A", entered=EIGHT + 10), closed=[("A", EIGHT + 40)], at=EIGHT + 45)
    said = ways(network, [one], end=EIGHT + 2400)
    assert said["window_start"].max() <= EIGHT + 1500
    assert (said["n_samples"][said["window_start"] >= EIGHT + 600] == 0).all()
    assert len(set(said["segment_id"].tolist())) >= 1


# --- cells of links


def test_links_run_through_the_cells_of_their_street(network):
    links = link_cells(network)
    metres = np.add.reduceat(links.metres, links.start[:-1])
    assert metres == pytest.approx(network.link_length_m, abs=0.01)
    # 120 s planned, 15 of them dwell, over 600 m
    assert links.prior == pytest.approx(np.full(len(network.cell_h3), 105 / 600), rel=1e-6)


def test_a_window_of_another_length(network):
    longer = dataclasses.replace(SETTINGS, city=dataclasses.replace(SETTINGS.city, window_s=600))
    city = City(network, longer, (Congestion(network, longer),))
    state = city.fresh(0)
    at, columns = record(traversal(entered=EIGHT + 10), closed=[("A", EIGHT + 40)], at=EIGHT + 45)
    city.advance(state, columns, at)
    said = city.advance(state, None, EIGHT + 905)["congestion"]
    assert said["final"].any()
    assert set(said["window_s"]) == {600}
