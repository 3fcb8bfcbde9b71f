import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.view import View
from streams import messages
from streams.settings import Api
from tests.api.factory import (
    NOW,
    alert,
    arrival,
    bus,
    cell,
    filled,
    headway,
    indicator,
    network,
    positions,
    record,
)


@pytest.fixture
def empty() -> View:
    view = View(Api())
    view.apply("network", network(), NOW)
    view.loading(None)
    return view


def vehicle(view: View, vehicle_id: str, now: float = NOW):
    return view.publish(now).vehicles[vehicle_id].data


def test_a_view_without_a_network_is_not_whole():
    view = View(Api())
    view.loading(None)
    assert view.publish(NOW).loading == "no network yet: is a worker running?"
    view.apply("network", network(), NOW)
    assert view.publish(NOW + 1).loading is None


def test_the_newest_ping_wins_whatever_the_order(empty):
    empty.apply("positions", positions(bus("B1", NOW, dist_m=800.0)), NOW)
    empty.apply("positions", positions(bus("B1", NOW - 10, dist_m=700.0)), NOW)
    assert vehicle(empty, "B1")["dist_m"] == 800.0


def test_a_thought_made_anew_replaces_the_first(empty):
    empty.apply("positions", positions(bus("B1", route_id="2", revision=1)), NOW)
    empty.apply("positions", positions(bus("B1", route_id="1", revision=0)), NOW)
    assert vehicle(empty, "B1")["route_id"] == "2"


def test_a_withdrawn_ping_gives_way_to_the_one_before(empty):
    first, second = bus("B1", NOW - 10, dist_m=700.0), bus("B1", NOW, dist_m=1900.0)
    empty.apply("positions", positions(first, second), NOW)
    assert vehicle(empty, "B1")["dist_m"] == 1900.0
    empty.apply("positions", positions(second | {"revision": 1, "withdrawn": True}), NOW + 1)
    assert vehicle(empty, "B1", NOW + 1)["dist_m"] == 700.0
    empty.apply("positions", positions(second), NOW + 2)  # said again after a crash
    assert vehicle(empty, "B1", NOW + 2)["dist_m"] == 700.0
    empty.apply("positions", positions(first | {"revision": 1, "withdrawn": True}), NOW + 3)
    assert "B1" not in empty.publish(NOW + 3).vehicles
    empty.apply("positions", positions(bus("B1", NOW + 4)), NOW + 4)
    assert vehicle(empty, "B1", NOW + 4)["timestamp"] == NOW + 4


def test_a_vehicle_without_pings_grows_stale_and_goes_away(empty):
    empty.apply("positions", positions(bus("B1")), NOW)
    assert vehicle(empty, "B1", NOW + 60)["stale"] is False
    assert vehicle(empty, "B1", NOW + 62)["stale"] is True
    empty.apply("positions", positions(bus("B1", NOW + 63)), NOW + 63)
    assert vehicle(empty, "B1", NOW + 64)["stale"] is False
    assert "B1" in empty.publish(NOW + 663).vehicles
    assert "B1" not in empty.publish(NOW + 665).vehicles


def test_heading_is_that_of_the_shape_where_it_is_known(empty):
    rows = [
        bus("north", bearing_deg=90.0),
        bus("south", bearing_deg=90.0, pattern_id="1:1:bbbbbb"),
        bus("away", bearing_deg=90.0, off_route=True),
        bus("nowhere", pattern_id=None, dist_m=None, route_id=None),
    ]
    empty.apply("positions", positions(*rows), NOW)
    found = {k: e.data["heading_deg"] for k, e in empty.publish(NOW).vehicles.items()}
    assert found == {"north": 0.0, "south": 180.0, "away": 90.0, "nowhere": None}


def test_a_vehicle_knows_the_congestion_of_its_own_direction():
    data = filled().snapshot.vehicles["B1"].data
    assert data["congestion_level"] == "CONGESTION"  # octant 4 of the same hexagon says STOP_AND_GO


def test_the_newest_headway_is_the_vehicles_and_a_withdrawn_one_gives_way(empty):
    empty.apply("positions", positions(bus("B2")), NOW)
    first = headway("B2", "B1", 280.0)
    second = headway("B2", "B1", 45.0, gate_id="B+1", stop_id=None, event_timestamp=NOW - 10)
    empty.apply("headways", record(messages.HEADWAY, second, first), NOW)
    assert vehicle(empty, "B2")["headway_s"] == 45.0
    empty.apply("headways", record(messages.HEADWAY, second | {"withdrawn": True, "revision": 1}), NOW)
    assert vehicle(empty, "B2", NOW + 1)["headway_s"] == 280.0
    empty.apply("headways", record(messages.HEADWAY, first | {"withdrawn": True, "revision": 1}), NOW)
    snapshot = empty.publish(NOW + 2)
    assert snapshot.vehicles["B2"].data["headway_s"] is None
    assert not snapshot.headways
    assert not snapshot.stop_headways


def test_a_headway_of_another_route_is_not_the_vehicles(empty):
    empty.apply("headways", record(messages.HEADWAY, headway("B2", "B1", 45.0)), NOW)
    empty.apply("positions", positions(bus("B2", route_id="2", pattern_id="2:0:cccccc")), NOW)
    assert vehicle(empty, "B2")["headway_band"] is None


def test_a_bus_in_layover_has_no_headway(empty):
    empty.apply("headways", record(messages.HEADWAY, headway("B2", "B1", 45.0)), NOW)
    empty.apply("positions", positions(bus("B2", trip_type="Layover", trip_id_performed=None)), NOW)
    assert vehicle(empty, "B2")["headway_band"] is None
    empty.apply("positions", positions(bus("B2", NOW + 1)), NOW + 1)
    assert vehicle(empty, "B2", NOW + 1)["headway_band"] == "bunched"


def test_an_estimate_is_replaced_withdrawn_and_lapses(empty):
    key = ("2025-11-28:B1:1", 3)
    empty.apply("arrivals", record(messages.ARRIVAL, arrival("B1", "C", 3, 2.0)), NOW)
    before = empty.publish(NOW)
    newer = arrival("B1", "C", 3, 4.0, made_at=NOW + 5)
    older = arrival("B1", "C", 3, 9.0, made_at=NOW - 5)
    empty.apply("arrivals", record(messages.ARRIVAL, newer, older), NOW + 5)
    place = list(messages.ARRIVAL).index("arrival_p50")
    assert empty.publish(NOW + 5).arrivals["C"][key][place] == NOW + 240
    assert before.arrivals["C"][key][place] == NOW + 120  # the earlier moment stays what it was
    assert "C" in empty.publish(NOW + 64).arrivals
    assert "C" not in empty.publish(NOW + 75).arrivals
    empty.apply("arrivals", record(messages.ARRIVAL, arrival("B1", "C", 3, 4.0, made_at=NOW + 80)), NOW + 80)
    empty.apply("arrivals", record(messages.ARRIVAL, arrival("B1", "C", 3, None, made_at=NOW + 85)), NOW + 85)
    assert not empty.publish(NOW + 85).arrivals.get("C")


def test_a_final_window_corrects_what_is_shown_and_brings_nothing_back(empty):
    live, other = cell(0, "CONGESTION"), cell(4, "CONGESTION")
    empty.apply("congestion", record(messages.CONGESTION, live), NOW)
    final = [live | {"final": True, "congestion_level": "STOP_AND_GO"}, other | {"final": True}]
    empty.apply("congestion", record(messages.CONGESTION, *final), NOW + 1)
    found = empty.publish(NOW + 2).congestion
    assert [(e.data["heading_octant"], e.data["congestion_level"]) for e in found.values()] == [(0, "STOP_AND_GO")]
    empty.apply("congestion", record(messages.CONGESTION, live | {"window_start": live["window_start"] - 300}), NOW + 3)
    assert next(iter(empty.publish(NOW + 3).congestion.values())).data["window_start"] == live["window_start"]


def test_statements_not_repeated_lapse(empty):
    empty.apply("congestion", record(messages.CONGESTION, cell(0, "CONGESTION")), NOW)
    empty.apply("alerts", record(messages.ALERT, alert("a")), NOW)
    empty.apply("indicators", record(messages.INDICATOR, indicator(0, made_at=NOW)), NOW)
    whole = empty.publish(NOW + 170)
    assert whole.congestion
    assert whole.alerts
    assert whole.indicators
    bare = empty.publish(NOW + 190)
    assert not bare.congestion
    assert not bare.alerts
    assert not bare.indicators


def test_an_alert_ends_and_an_older_revision_does_not_revive_it(empty):
    empty.apply("alerts", record(messages.ALERT, alert("a", revision=1)), NOW)
    empty.apply("alerts", record(messages.ALERT, alert("a", revision=2, active_to=NOW + 5)), NOW + 5)
    empty.apply("alerts", record(messages.ALERT, alert("a", revision=1)), NOW + 6)
    snapshot = empty.publish(NOW + 6)
    assert not snapshot.alerts
    assert snapshot.ended_alerts["a"].data["active_to"] == NOW + 5
    assert not empty.publish(NOW + 3700).ended_alerts


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("positions", b"{"),
        ("positions", b"[]"),
        ("positions", b'{"network":"x"}'),
        ("arrivals", b'{"made_at":[1]}'),
        ("headways", orjson.dumps({name: [1] if name == "revision" else [] for name in messages.HEADWAY})),
        ("network", b'{"hash":"x"}'),
        ("alerts", b"null"),
    ],
)
def test_one_bad_record_is_counted_and_harms_nothing(empty, topic, value):
    empty.apply("positions", positions(bus("B1")), NOW)
    empty.apply(topic, value, NOW)
    empty.apply("positions", positions(bus("B2")), NOW)
    assert empty.bad_records == {topic: 1}
    assert set(empty.publish(NOW).vehicles) == {"B1", "B2"}


def test_silence_is_told_apart_from_a_dead_worker(empty):
    empty.apply("positions", messages.HEARTBEAT, NOW + 4)
    status = empty.publish(NOW + 5).status.data
    assert (status["pipeline_age_s"], status["data_age_s"]) == (1.0, None)


def test_positions_of_another_network_are_counted(empty):
    empty.apply("positions", positions(bus("B1"), network="another"), NOW)
    assert empty.foreign_records == 1
    assert "B1" in empty.publish(NOW).vehicles


def test_a_new_feed_changes_what_a_vehicle_says(empty):
    empty.apply("positions", positions(bus("B1")), NOW)
    first = empty.publish(NOW)
    empty.apply("network", network(hash="new"), NOW)
    second = empty.publish(NOW)
    assert (first.network.hash, second.network.hash) == ("0123456789ab", "new")


def test_an_unchanged_view_is_published_again_only_so_that_ages_stay_true(empty):
    first = empty.publish(NOW)
    assert empty.publish(NOW + 0.2) is first
    assert empty.publish(NOW + 1.0).at == NOW + 1.0


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 9), st.integers(0, 2)), max_size=30), st.data())
def test_the_view_does_not_depend_on_the_order_or_repetition_of_positions(pings, data):
    # Identity and revision determine a row's content, as they do on the wire.
    rows = [bus(v, NOW + t, revision=r, speed_mps=float(10 * t + r)) for v, t, r in pings]
    shuffled = data.draw(st.permutations(rows + rows[:3]))

    def told(order):
        view = View(Api())
        for row in order:
            view.apply("positions", positions(row), NOW)
        return {k: (e.data["timestamp"], e.data["revision"]) for k, e in view.publish(NOW).vehicles.items()}

    assert told(rows) == told(shuffled)


@given(st.lists(st.tuples(st.sampled_from(["B1", "B2"]), st.integers(1, 5), st.booleans(), st.booleans()), max_size=25))
def test_a_snapshot_never_changes_once_published(steps):
    view = filled()
    taken = []
    for i, (vehicle_id, sequence, held, publish) in enumerate(steps):
        now = NOW + i
        row = arrival(vehicle_id, "C", sequence, 2.0 if held else None, made_at=now)
        view.apply("arrivals", record(messages.ARRIVAL, row), now)
        view.apply("positions", positions(bus(vehicle_id, now)), now)
        if publish:
            snapshot = view.publish(now)
            taken.append((snapshot, frozen(snapshot)))
    view.publish(NOW + 1000)
    assert all(frozen(snapshot) == then for snapshot, then in taken)


def frozen(snapshot):
    return (
        {k: dict(e.data) for k, e in snapshot.vehicles.items()},
        {k: dict(rows) for k, rows in snapshot.arrivals.items()},
    )


def test_the_last_hours_of_the_clock_are_kept_beside_the_rolling_one():
    view = filled()
    first = view.publish(NOW)
    for hour in range(30):
        row = indicator(0, final=True, window_start=NOW - 3600.0 * (hour + 1), made_at=NOW - 3600.0 * hour)
        view.apply("indicators", record(messages.INDICATOR, row), NOW)
    hours = view.publish(NOW).indicator_hours["1", 0]
    assert list(hours) == sorted(NOW - 3600.0 * (h + 1) for h in range(24))
    assert not first.indicator_hours, "an older moment does not change"
    assert view.publish(NOW).indicators["1", 0]["final"] is False
