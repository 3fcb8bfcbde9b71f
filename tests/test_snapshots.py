import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import state as codec
from streams.snapshots import Snapshot, compressed


@given(st.integers(0, 1 << 60), st.floats(0, 1e10), st.binary(max_size=200))
def test_bytes_and_back(next_offset, record_time, state):
    snapshot = Snapshot(next_offset, 3, "abc", 16, record_time, 7, compressed(state))
    back = Snapshot.decode(snapshot.encode())
    assert back == snapshot
    assert back.state == state


def test_unknown_record_time_stays_unknown():
    assert math.isnan(Snapshot.decode(Snapshot(0, 1, "n", 1, math.nan, 0, b"").encode()).record_time)


@pytest.mark.parametrize("value", [b"", b"{}", b"KST1", codec.pack({"layout": 99}), codec.pack([1])])
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError):
        Snapshot.decode(value)


def test_a_state_that_is_not_compressed_is_refused():
    with pytest.raises(ValueError, match="not compressed"):
        _ = Snapshot(0, 1, "n", 1, 0.0, 0, b"garbage").state


def test_one_of_the_first_layout_is_read():
    """What it includes has been said: who could not read it would say half an hour again."""
    tree = {
        "layout": 1, "next_offset": 5, "version": 3, "network": "n", "partitions": 16, "quiet_until": 2,
        "record_time": np.array([7.0]), "state": np.frombuffer(b"dumped", dtype=np.uint8),
    }  # fmt: skip
    found = Snapshot.decode(codec.pack(tree))
    assert found == Snapshot(5, 3, "n", 16, 7.0, 2, compressed(b"dumped"))
    assert found.state == b"dumped"
