"""The JSON forms of the topic `pings`, and what is none of them."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sources.json_file import flat, open_json, read_rows, unfold
from streams.sources.rows import Options

A = {"vehicle_id": "a", "timestamp": 1.0, "lat": 1.0, "lon": 2.0}
B = {"vehicle_id": "b", "timestamp": 2.0, "lat": 1.5, "lon": 2.5, "route_id": "7"}
COLUMNS = {k: [A.get(k), B.get(k)] for k in B}


@pytest.mark.parametrize(
    "text",
    [
        orjson.dumps([A, B]),
        orjson.dumps(A) + b"\n" + orjson.dumps(B) + b"\n",
        orjson.dumps(COLUMNS),
        orjson.dumps([A]) + b"\n" + orjson.dumps({k: [v] for k, v in B.items()}),
        orjson.dumps({"data": [A, B]}, option=orjson.OPT_INDENT_2),
        b"\xef\xbb\xbf" + orjson.dumps([A, B], option=orjson.OPT_INDENT_2),
    ],
    ids=["array", "lines", "columns", "lines of batches", "wrapped", "with a BOM"],
)
def test_all_forms_say_the_same(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(text)
    frame = open_json(path, Options()).frame
    assert frame["vehicle_id"].to_list() == ["a", "b"]
    assert frame["route_id"].to_list() == [None, "7"]
    assert frame["source_index"].to_list() == [0, 1]
    assert frame["lat"].to_list() == [1.0, 1.5]


def test_a_line_that_is_not_json_is_a_reject_and_the_others_are_used(tmp_path: Path) -> None:
    path = tmp_path / "p.ndjson"
    lines = [
        orjson.dumps(A),
        b'{"vehicle_id": "x", "lat": NaN}',
        b"17",
        orjson.dumps({**B, "lat": "north"}),
        orjson.dumps(B),
    ]
    path.write_bytes(b"\n".join(lines))
    recording = open_json(path, Options())
    assert recording.frame["source_index"].to_list() == [0, 4]
    rejects = {r["source_index"]: (r["reason"], r["raw"]) for r in recording.rejects.to_dicts()}
    assert rejects[1] == ("NOT_JSON", lines[1].decode())
    assert rejects[2] == ("NOT_JSON", "17")
    assert rejects[3][0] == "WRONG_TYPE"


def test_objects_within_a_row_have_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(orjson.dumps([{"id": "a", "when": 1, "at": {"place": {"y": 1.0, "x": 2.0}}}]))
    names = {"vehicle_id": "id", "timestamp": "when", "lat": "at.place.y", "lon": "at.place.x"}
    assert open_json(path, Options(names)).frame["lon"].to_list() == [2.0]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers() | st.text(max_size=3)), max_size=5))
def test_rows_come_back_from_any_number_of_lines(rows: list[dict]) -> None:
    rows = [r for r in rows if r]
    text = b"\n".join(
        orjson.dumps({"x": 0, **r}, default=str, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
        for r in rows
        if all(not isinstance(v, int) or abs(v) < 2**63 for v in r.values())
    )
    found, index, rejects = read_rows(text, "f") if text else ([], [], [])
    assert rejects == []
    assert index == list(range(len(found)))
    assert found == [{"x": 0, **r} for r in rows if all(not isinstance(v, int) or abs(v) < 2**63 for v in r.values())]


def test_columns_of_different_length_leave_the_rest_unknown() -> None:
    assert unfold({"a": [1, 2], "b": [3]}) == [{"a": 1, "b": 3}, {"a": 2, "b": None}]


def test_flat_leaves_a_flat_row_alone() -> None:
    assert flat({"a": 1, "b": [1]}) == {"a": 1, "b": [1]}
