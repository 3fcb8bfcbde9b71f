"""Records on the wire: what goes out comes back, and what is unknown is null."""

import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import messages
from streams.messages import Columns, Kind, Spec

SPECS = {name: getattr(messages, name) for name in (
    "PING", "POSITION", "PASSING", "TRAVERSAL", "CLOSED", "HEADWAY", "GROUP_HEADWAY", "ARRIVAL", "CONGESTION",
    "SEGMENT", "INDICATOR", "ALERT", "REJECT",
)}  # fmt: skip

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_VALUES = {
    Kind.ID: st.none() | st.text(max_size=8),
    Kind.TIME: st.none() | st.floats(0, 4e9),
    Kind.NUMBER: st.none() | st.floats(allow_nan=False, allow_infinity=False),
    Kind.INT: st.none() | st.integers(0, 2**53),
    Kind.BOOL: st.booleans(),
    Kind.JSON: _json,
}
_DTYPES = {Kind.ID: object, Kind.JSON: object, Kind.BOOL: np.bool_, Kind.INT: np.int64}


@st.composite
def records(draw: st.DrawFn) -> tuple[Spec, dict[str, list]]:
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    n = draw(st.integers(0, 4))
    return spec, {name: draw(st.lists(_VALUES[kind], min_size=n, max_size=n)) for name, kind in spec.items()}


def same(a: Columns, b: Columns) -> bool:
    if list(a) != list(b):
        return False
    for name, left in a.items():
        right = b[name]
        if left.dtype != right.dtype or len(left) != len(right):
            return False
        equal = left.tolist() == right.tolist() if left.dtype == object else _equal(left, right)
        if not equal:
            return False
    return True


def _equal(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))


@given(records())
def test_what_is_encoded_is_decoded(record: tuple[Spec, dict[str, list]]) -> None:
    spec, values = record
    columns = messages.from_wire(spec, values)
    assert same(messages.decode(spec, messages.encode(spec, columns)), columns)


@given(records())
def test_unknown_is_null_on_the_wire_and_zero_is_zero(record: tuple[Spec, dict[str, list]]) -> None:
    spec, values = record
    wire = orjson.loads(messages.encode(spec, messages.from_wire(spec, values)))
    assert wire == values


@given(records())
def test_columns_in_memory_have_the_types_of_their_kind(record: tuple[Spec, dict[str, list]]) -> None:
    spec, values = record
    for name, array in messages.from_wire(spec, values).items():
        assert array.dtype == _DTYPES.get(spec[name], np.float64), name


@given(records(), st.data())
def test_parts_put_together_are_the_whole(record: tuple[Spec, dict[str, list]], data: st.DataObject) -> None:
    spec, values = record
    whole = messages.from_wire(spec, values)
    cut = data.draw(st.integers(0, messages.rows(whole)))
    parts = [messages.take(whole, slice(None, cut)), messages.take(whole, slice(cut, None))]
    assert same(messages.concat(spec, parts), whole)


@given(records(), st.lists(st.integers(0, 2), min_size=4, max_size=4), st.integers(1, 3))
def test_parts_encoded_together_are_the_bytes_of_each(
    record: tuple[Spec, dict[str, list]], parts: list[int], most: int
) -> None:
    spec, values = record
    whole = messages.from_wire(spec, values)
    part = np.array(sorted(parts[: messages.rows(whole)]), dtype=np.int64)
    want = []
    for p in np.unique(part).tolist():
        rows = np.flatnonzero(part == p)
        want += [
            (p, messages.encode(spec, messages.take(whole, rows[k : k + most]))) for k in range(0, len(rows), most)
        ]
    assert list(messages.encode_parts(spec, whole, part, most)) == want


@pytest.mark.parametrize("name", sorted(SPECS))
def test_no_rows_are_a_record_too(name: str) -> None:
    spec = SPECS[name]
    none = messages.empty(spec)
    assert messages.rows(none) == 0
    assert same(messages.decode(spec, messages.encode(spec, none)), none)
    assert same(messages.concat(spec, []), none)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="'until' is missing"):
        messages.from_wire(messages.CLOSED, {"vehicle_id": ["a"]})


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        messages.from_wire(messages.CLOSED, {"vehicle_id": ["a"], "until": []})


def test_null_numbers_are_nan_and_null_integers_minus_one() -> None:
    assert math.isnan(messages.column(Kind.NUMBER, [None])[0])
    assert messages.column(Kind.INT, [None, 0]).tolist() == [-1, 0]


def test_json_values_that_are_lists_stay_one_value_a_row() -> None:
    assert messages.column(Kind.JSON, [[1, 2], [3, 4]]).shape == (2,)
