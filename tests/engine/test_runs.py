from datetime import date

import numpy as np
import pytest

from streams.engine.names import Numbers
from streams.engine.runs import Runs, service_days


def numbers(*values):
    return np.array(values, dtype=np.int64)


TRIPS = Numbers({f"T{i}": i for i in range(100)})


def trips(*names):
    return np.array([*names, "spare"], dtype=object)[:-1]


def test_what_is_known_of_a_run_first_stays():
    runs = Runs()
    ids = ["2026-03-04:a:1", None, "2026-03-04:a:1"]
    ix = runs.observe(ids, numbers(5, 6, 7), numbers(1, 2, 3), trips("not here", "T8", "T9"), TRIPS)
    assert ix.tolist() == [0, -1, 0]
    assert (runs.vehicle[0], runs.pattern[0], runs.trip[0]) == (5, 1, 9), "the trip was unknown in the first row"
    runs.observe(["2026-03-04:a:1"], numbers(50), numbers(10), trips("T90"), TRIPS)
    assert (runs.vehicle[0], runs.pattern[0], runs.trip[0]) == (5, 1, 9)


def test_what_comes_first_in_turn_stays():
    runs = Runs()
    ids = ["2026-03-04:a:1", "2026-03-04:b:1", "2026-03-04:a:1"]
    runs.observe(ids, numbers(5, 6, 5), numbers(1, 2, 3), trips("T7", "T8", "T9"), TRIPS, turn=numbers(1, 1, 0))
    assert (runs.pattern[:2].tolist(), runs.trip[:2].tolist()) == ([3, 2], [9, 8])


def test_the_service_day_stands_in_the_id():
    ids = ["2026-03-04:a:b:1", "nonsense", "", "0001-01-01:a:1", "9999-12-31:a:1"]
    assert service_days(ids) == [date(2026, 3, 4).toordinal(), 0, 0, 0, 0]


def test_keys_come_from_the_id_not_from_the_order_of_arrival():
    one, two = Runs(), Runs()
    none = numbers(-1, -1)
    one.observe(["x", "y"], none, none, trips(None, None), TRIPS)
    two.observe(["y", "x"], none, none, trips(None, None), TRIPS)
    assert one.key[:2].tolist() == two.key[:2][::-1].tolist()
    assert one.key[0] != one.key[1]


def test_forgetting_and_bytes_keep_the_rest():
    runs = Runs()
    ids = [f"2026-03-0{i}:v:1" for i in range(1, 6)]
    runs.observe(ids, numbers(*range(5)), numbers(*range(5)), trips(*(f"T{i}" for i in range(5))), TRIPS)
    kept, number = runs.keep(np.array([False, True, False, True, True]))
    assert number.tolist() == [-1, 0, -1, 1, 2]
    for table in (kept, Runs.load(kept.dump())):
        assert table.names.to_list() == [ids[1], ids[3], ids[4]]
        assert table.vehicle[:3].tolist() == [1, 3, 4]
        assert table.key[:3].tolist() == runs.key[[1, 3, 4]].tolist()
        assert table.day[:3].tolist() == runs.day[[1, 3, 4]].tolist()


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128])
def test_what_lacks_is_filled_later_and_nothing_else(n):
    """Also after some were forgotten, and where the table is full to its last place, which an unknown id finds."""
    runs = Runs()
    ids = [f"2026-03-04:v{i}:1" for i in range(n)]
    some = numbers(*range(n))
    runs.observe(ids, some, some, np.full(n, None, dtype=object), TRIPS)
    for table in (runs, runs.keep(np.ones(n, dtype=bool))[0], Runs.load(runs.dump())):
        assert table.observe([None], numbers(77), numbers(77), trips("T7"), TRIPS).tolist() == [-1]
        assert (table.trip[:n] == -1).all()
        table.observe(ids[-1:], numbers(77), numbers(77), trips("T7"), TRIPS)
        assert table.trip[: n - 1].tolist() == [-1] * (n - 1)
        assert (table.vehicle[n - 1], table.pattern[n - 1], table.trip[n - 1]) == (n - 1, n - 1, 7)


def test_in_another_network_trips_are_learned_anew():
    runs = Runs()
    runs.observe(["2026-03-04:a:1"], numbers(0), numbers(1), trips("T9"), TRIPS)
    runs.carry_over(numbers(5, 3, -1))
    assert (runs.pattern[0], runs.trip[0]) == (3, -1)
    runs.observe(["2026-03-04:a:1"], numbers(0), numbers(8), trips("T4"), TRIPS)
    assert (runs.pattern[0], runs.trip[0]) == (3, 4)
