"""The codec of state: `unpack(pack(t)) == t`. That property is crash recovery, tested without Kafka."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streams.engine.state import pack, unpack

_dtypes = st.sampled_from([np.dtype(t) for t in ("f8", "f4", "i8", "i4", "i1", "u8", "?")])
_arrays = hnp.arrays(_dtypes, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
_structured = hnp.arrays(np.dtype([("t", "<f8"), ("ring", "<i4", (3,)), ("known", "?")]), st.integers(0, 4))
_scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=6)
# A number that JSON has no word for belongs into an array.
_finite = _scalars.filter(lambda v: not isinstance(v, float) or abs(v) != float("inf"))
_keys = st.text(max_size=4).filter(lambda k: k != "$array")
trees = st.recursive(
    _finite | _arrays | _structured | st.lists(st.none() | st.text(max_size=6), max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(trees)
def test_what_is_packed_is_unpacked(tree: Any) -> None:
    assert same(tree, unpack(pack(tree)))


@given(trees)
def test_the_same_tree_has_the_same_bytes(tree: Any) -> None:
    data = pack(tree)
    assert pack(unpack(data)) == data


@given(_arrays)
def test_an_unpacked_array_can_be_written_to(array: np.ndarray) -> None:
    again = unpack(pack({"a": array}))["a"]
    assert again.flags.writeable
    assert again.flags.owndata or again.base is None or again.base.flags.owndata


def test_nan_keeps_its_bits_in_an_array() -> None:
    assert same(np.array([np.nan, -0.0, np.inf]), unpack(pack(np.array([np.nan, -0.0, np.inf]))))


def test_an_array_of_objects_is_refused() -> None:
    with pytest.raises(TypeError, match="strings in a list"):
        pack({"ids": np.array(["a", None], dtype=object)})


@pytest.mark.parametrize("data", [b"", b"KST", b"KST0\0\0\0\0{}", b"\x00" * 40])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a packed state"):
        unpack(data)
