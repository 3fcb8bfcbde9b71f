"""What the API knows of the timetable is what the feed says."""

from datetime import date
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.schedule import Schedule, Trip, Window, clock, seconds
from streams.engine.planned import active_services
from streams.gtfs.compile import load
from streams.gtfs.describe import describe

CITY = Path(__file__).resolve().parents[2] / "fixtures" / "data" / "city.zip"


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    network = load(CITY, tmp_path_factory.mktemp("cache"))
    return network, Schedule(orjson.loads(describe(network)))


def test_services_run_when_the_engine_thinks_so_outside_the_calendar_too(city):
    network, schedule = city
    n_days = network.service_active.shape[1]
    for day in (*range(-10, 20), *range(n_days - 10, n_days + 20)):
        expected = active_services(network, network.first_day + day)
        found = [schedule.runs(s, network.first_day + day) for s in range(len(network.service_ids))]
        assert found == expected.tolist()


def test_a_trip_is_planned_where_the_feed_has_it(city):
    network, schedule = city
    assert set(schedule.trips) == set(network.trip_ids)
    for t, trip_id in enumerate(network.trip_ids):
        trip = schedule.trips[trip_id]
        times = network.trip_time_arrival_s[network.trip_time_start[t] : network.trip_time_start[t + 1]]
        zero = schedule.starts_at(date(2026, 3, 10).toordinal())
        found = schedule.planned(trip, "2026-03-10")
        assert [a - zero for a in found[1:]] == pytest.approx(times[1:].tolist(), abs=0.51)
        assert bool(trip.windows) == bool(network.trip_is_frequency[t])


@given(
    st.lists(st.tuples(st.integers(0, 80_000), st.integers(1, 9000), st.integers(60, 1800)), min_size=1, max_size=4),
    st.floats(-10_000, 100_000),
)
def test_a_slot_is_the_nearest_planned_start(windows, start_s):
    made = tuple(Window(a, a + length, headway, True) for a, length, headway in windows)
    found = Trip("t", "p", 0, 0, (0,), (1,), made).slot(start_s)
    every = [s for w in made for s in range(w.start_s, w.end_s, w.headway_s)]
    assert found in every
    assert abs(found - start_s) == min(abs(s - start_s) for s in every)


@given(st.integers(0, 200_000))
def test_a_clock_is_read_as_it_was_written(second):
    assert seconds(clock(second)) == second
