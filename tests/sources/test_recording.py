"""The order of a recording."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.sources.recording import REJECTS, Recording, in_order, merge
from streams.sources.rows import Options, pings_of


def recording(times: list[float], record_times: list[float] | None = None) -> Recording:
    table = {"vehicle_id": ["a"] * len(times), "timestamp": times, "lat": [0.0] * len(times), "lon": [0.0] * len(times)}
    if record_times is not None:
        table["record_time"] = record_times
    return pings_of(pl.DataFrame(table), "f", Options())


def test_an_ingest_time_orders_the_rows_and_equal_ones_keep_the_files_order() -> None:
    found = recording([1, 2, 3, 4], [20, 10, 20, 10])
    assert found.ordered_by == "ingest time"
    assert found.frame["source_index"].to_list() == [1, 3, 0, 2]


def test_without_one_it_is_the_running_maximum_in_file_order() -> None:
    found = recording([100.0, 130.0, 110.0, 140.0])
    assert found.ordered_by == "file order"
    assert found.frame["timestamp"].to_list() == [100.0, 130.0, 110.0, 140.0]
    assert found.frame["record_time"].to_list() == [100.0, 130.0, 130.0, 140.0]


def test_a_file_sorted_by_vehicle_is_put_in_the_order_of_time() -> None:
    found = recording([0.0, 1000.0, 2000.0, 5.0, 1005.0, 2005.0])
    assert found.ordered_by == "event time"
    assert found.frame["source_index"].to_list() == [0, 3, 1, 4, 2, 5]
    assert found.frame["record_time"].to_list() == sorted(found.frame["timestamp"].to_list())


def test_one_clock_in_the_future_does_not_drag_record_time_along() -> None:
    times = [float(t) for t in range(2000)]
    times[3] = 4e9
    found = recording(times)
    assert found.ordered_by == "event time" or found.ordered_by == "file order"
    assert found.frame["record_time"].max() == 1999.0
    assert found.frame["timestamp"].max() == 4e9


@given(st.lists(st.floats(0, 5000), max_size=30), st.integers(1, 7))
def test_record_time_never_decreases_and_batches_lose_nothing(times: list[float], size: int) -> None:
    found = recording(times)
    batches = list(found.batches(size))
    assert [t for b in batches for t in b.record_time] == found.frame["record_time"].to_list()
    assert found.frame["record_time"].is_sorted()
    assert sorted(i for b in batches for i in b.source_index) == list(range(len(times)))


def test_files_are_merged_by_record_time() -> None:
    merged = merge([recording([10.0, 30.0]), recording([20.0, 40.0])])
    assert merged.frame["record_time"].to_list() == [10.0, 20.0, 30.0, 40.0]


def test_nothing_is_a_recording_too() -> None:
    empty = pl.DataFrame(schema={"timestamp": pl.Float64})
    assert in_order(empty, pl.DataFrame(schema=REJECTS)).rows == 0
    assert list(recording([]).batches()) == []
