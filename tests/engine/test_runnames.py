"""Names from memory are the names one would make anew."""

from datetime import date

import h3
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.names import Names
from streams.engine.runnames import CellNames, RunNames, clock, clocks, dates

DAY = date(2026, 3, 10).toordinal()


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-1, 3)), max_size=8), max_size=6))
def test_a_run_is_called_by_its_day_vehicle_and_number(batches):
    vehicles, names = Names(["a", "b", "c", "d"]), RunNames()
    for batch in batches:
        vehicle, day, number = (np.array([row[i] for row in batch], dtype=np.int64) for i in range(3))
        said = names.of(vehicles, vehicle, day + DAY, number).tolist()
        assert said == [
            None if n < 0 else f"{date.fromordinal(d + DAY).isoformat()}:{'abcd'[v]}:{n}" for v, d, n in batch
        ]


@given(st.lists(st.integers(-1, 199_999), max_size=10))
def test_clocks_go_on_after_midnight(seconds):
    said = clocks().of(np.array(seconds, dtype=np.int64)).tolist()
    assert said == [None if s < 0 else clock(s) for s in seconds]
    assert clock(25 * 3600 + 61) == "25:01:01"


def test_dates():
    assert dates().of(np.array([DAY, -1, DAY + 1, DAY])).tolist() == ["2026-03-10", None, "2026-03-11", "2026-03-10"]


def test_cells_are_written_as_h3_writes_them():
    names = CellNames()
    cell = h3.latlng_to_cell(-6.2, 106.8, 10)
    assert names[h3.str_to_int(cell)] == names[h3.str_to_int(cell)] == cell
