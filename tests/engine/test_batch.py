"""Records of `pings` in every form, and what becomes of the ones that are not as they should be."""

import json
import math

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import messages
from streams.engine import batch
from streams.engine.rejects import RAW_BYTES, Reject, raw_of
from streams.engine.stage import Record
from streams.messages import HEARTBEAT, PING

GOOD = {"vehicle_id": "a", "timestamp": 1.77e9, "lat": -6.2, "lon": 106.8, "route_id": "1", "direction_id": 0}


def read(*values):
    return batch.decode([Record(i, 0.0, v if isinstance(v, bytes) else orjson.dumps(v)) for i, v in enumerate(values)])


def many(n):
    return [{**GOOD, "vehicle_id": f"v{i}", "lat": -6.0 - i / 100} for i in range(n)]


def as_columns(pings):
    names = sorted({k for p in pings for k in p})
    return {k: [p.get(k) for p in pings] for k in names}


def test_the_three_forms_say_the_same():
    pings = many(3)
    one_by_one, array, columns = read(*pings), read(pings), read(as_columns(pings))
    for name in PING:
        assert one_by_one.pings[name].tolist() == array.pings[name].tolist() or np.isnan(array.pings[name]).all()
        np.testing.assert_array_equal(array.pings[name], columns.pings[name])
    assert one_by_one.record.tolist() == [0, 1, 2]
    assert array.record.tolist() == [0, 0, 0]
    assert array.index.tolist() == columns.index.tolist() == [0, 1, 2]
    assert array.pings["speed_mps"].dtype == np.float64
    assert math.isnan(array.pings["speed_mps"][0])
    assert array.pings["direction_id"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lat": None}, Reject.MISSING_FIELD),
        ({"lat": "-6.2"}, Reject.WRONG_TYPE),
        ({"timestamp": "2026-01-01T00:00:00Z"}, Reject.WRONG_TYPE),
        ({"route_id": 5}, Reject.WRONG_TYPE),
        ({"lat": True}, Reject.WRONG_TYPE),
        ({"direction_id": 0.5}, Reject.WRONG_TYPE),
        ({"lat": math.nan}, Reject.NOT_A_NUMBER),
        ({"speed_mps": math.inf}, Reject.NOT_A_NUMBER),
        ({"label": "x" * 5000}, Reject.OUT_OF_RANGE),
    ],
)
@pytest.mark.parametrize("form", ["array", "columns", "single"])
def test_one_bad_ping_leaves_its_neighbours(change, reason, form):
    pings = many(5)
    pings[2] |= change
    if form == "array":
        value = json.dumps(pings).encode()  # NaN and Infinity as programs write them
    elif form == "columns":
        value = json.dumps(as_columns(pings)).encode()
    else:
        value = json.dumps(pings[2]).encode()
    found = read(value)
    (refused,) = found.refused
    assert refused.reason is reason
    assert refused.index == (0 if form == "single" else 2)
    assert found.received == (1 if form == "single" else 5)
    assert found.index.tolist() == ([] if form == "single" else [0, 1, 3, 4])
    assert len(refused.raw) > 2


def test_the_bytes_of_a_bad_ping_are_its_own():
    raw = b'{"vehicle_id":"x",  "timestamp":1, "lat":"a","lon":2}'
    found = read(b"[" + orjson.dumps(GOOD) + b"," + raw + b"]")
    assert found.refused[0].raw == raw
    assert found.refused[0].vehicle_id == "x"
    assert found.refused[0].timestamp == 1.0


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe\x00", b"null", b"7", b'"text"', b"[" * 100_000])
def test_what_is_no_record_of_pings(value):
    found = read(value, GOOD)
    assert [r.reason for r in found.refused] == [Reject.NOT_JSON]
    assert found.refused[0].raw == value
    assert found.record.tolist() == [1]


def test_elements_that_are_no_pings():
    found = read([GOOD, 5, None, "x", []])
    assert [r.reason for r in found.refused] == [Reject.NOT_JSON] * 4
    assert found.index.tolist() == [0]


@pytest.mark.parametrize("columns", [{"vehicle_id": ["a", "b"], "lat": [1.0]}, {"vehicle_id": ["a"], "lat": 1.0}])
def test_columns_that_do_not_fit_together(columns):
    assert [r.reason for r in read(columns).refused] == [Reject.COLUMNS_DIFFER]


def test_a_record_of_five_megabytes_is_refused_as_one():
    huge = orjson.dumps([{**GOOD, "label": "x" * (5 << 20)}])
    found = read(huge, GOOD)
    assert [r.reason for r in found.refused] == [Reject.RECORD_TOO_LARGE]
    assert found.record.tolist() == [1]
    kept, length, digest = raw_of(huge)
    assert kept is None
    assert length == len(huge)
    assert len(digest) == 64
    assert raw_of(b"x" * RAW_BYTES)[0] is not None


def test_heartbeats_hold_nothing():
    found = read(HEARTBEAT, GOOD)
    assert found.received == 1
    assert found.record.tolist() == [1]


def test_forwarded_pings_are_known_as_such():
    assert read([{**GOOD, "forwarded": True}, GOOD]).forwarded.tolist() == [True, False]
    assert read({**as_columns(many(2)), "forwarded": True}).forwarded.tolist() == [True, True]
    assert read({**GOOD, "forwarded": True}).forwarded.tolist() == [True]


def test_numbers_that_cannot_be():
    pings = [
        GOOD,
        {**GOOD, "lat": 95.0},
        {**GOOD, "lon": -181.0},
        {**GOOD, "lat": 0.0, "lon": 0.0},
        {**GOOD, "vehicle_id": ""},
        {**GOOD, "lon": 1e300},
        {**GOOD, "timestamp": 12.0},
        {**GOOD, "timestamp": 1.77e12},
    ]
    found = batch.faults(read(pings).pings)
    assert [batch.FAULTS[k] for k in found] == [
        None, Reject.OUT_OF_RANGE, Reject.OUT_OF_RANGE, Reject.NULL_ISLAND, Reject.MISSING_FIELD,
        Reject.OUT_OF_RANGE, Reject.OUT_OF_RANGE, Reject.OUT_OF_RANGE,
    ]  # fmt: skip


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PING, "x"]), inner, max_size=4),
    max_leaves=6,
)


damaged = st.fixed_dictionaries(dict.fromkeys(("lat", "lon", "vehicle_id"), anything))


@given(st.lists(st.one_of(st.just(GOOD), damaged), max_size=6))
def test_every_ping_is_read_or_refused(pings):
    found = read(json.dumps(pings).encode())
    assert messages.rows(found.pings) + len(found.refused) == found.received == len(pings)
    assert sorted([*found.index.tolist(), *(r.index for r in found.refused)]) == list(range(len(pings)))


@given(st.binary(max_size=60))
def test_no_bytes_break_it(value):
    found = read(value)
    assert messages.rows(found.pings) + len(found.refused) == found.received


def test_the_strict_pass_takes_what_is_right():
    assert msgspec.json.Decoder(list[batch._Ping]).decode(orjson.dumps(many(2)))[1].vehicle_id == "v1"


def test_every_reason_is_one_sentence():
    for reason in Reject:
        assert reason.sentence.endswith(".")
        assert reason.sentence[0].isupper()
        assert reason.rule == "" or reason.rule[0] in "EW"
        assert reason.name == reason.name.upper()
