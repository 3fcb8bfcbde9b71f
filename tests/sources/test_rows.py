"""Rows of any table: names, text that should be numbers, and what is rejected."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.messages import PING, Kind
from streams.sources.recording import UnusableSource
from streams.sources.rows import NAMES, Options, parse_columns, pings_of

GOOD = {"vehicle_id": "a", "timestamp": "1700000000", "lat": "-6.2", "lon": "106.8"}


def one(**values: object) -> pl.DataFrame:
    return pl.DataFrame([{**GOOD, **values}])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("vehicle_id", "", "MISSING_FIELD"),
        ("vehicle_id", "  ", "MISSING_FIELD"),
        ("timestamp", None, "MISSING_FIELD"),
        ("timestamp", "yesterday", "WRONG_TYPE"),
        ("lat", "", "MISSING_FIELD"),
        ("lat", "six", "WRONG_TYPE"),
        ("lat", "nan", "NOT_A_NUMBER"),
        ("lon", "inf", "NOT_A_NUMBER"),
    ],
)
def test_a_row_without_a_required_field_is_a_reject_with_its_row(field: str, value: str, reason: str) -> None:
    table = pl.concat([one(), one(**{field: value}), one()], how="vertical_relaxed")
    recording = pings_of(table, "file", Options())
    assert recording.frame["source_index"].to_list() == [0, 2]
    (reject,) = recording.rejects.to_dicts()
    assert (reject["source"], reject["source_index"], reject["reason"]) == ("file", 1, reason)
    assert '"lon"' in reject["raw"]


def test_an_optional_field_that_cannot_be_read_is_unknown_and_counted() -> None:
    recording = pings_of(one(bearing_deg="north", direction_id="7", speed_mps=""), "file", Options())
    row = recording.frame.row(0, named=True)
    assert (row["bearing_deg"], row["direction_id"], row["speed_mps"]) == (None, None, None)
    assert recording.notes == {"bearing_deg cannot be read": 1, "direction_id cannot be read": 1}


def test_zero_is_zero_and_not_unknown() -> None:
    row = pings_of(one(bearing_deg="0", direction_id="0", speed_mps="0"), "f", Options()).frame.row(0, named=True)
    assert (row["bearing_deg"], row["direction_id"], row["speed_mps"]) == (0.0, 0, 0.0)


def test_ids_keep_their_zeros_and_lose_a_writers_decimal_point() -> None:
    assert pings_of(one(vehicle_id="0079"), "f", Options()).frame["vehicle_id"].to_list() == ["0079"]
    assert pings_of(one(route_id="12.0"), "f", Options()).frame["route_id"].to_list() == ["12"]
    assert pings_of(one(route_id="1.5"), "f", Options()).frame["route_id"].to_list() == ["1.5"]
    table = pl.DataFrame({"vehicle_id": [7.0, None], "timestamp": [1.0, 2.0], "lat": [0.0, 0.0], "lon": [0.0, 0.0]})
    assert pings_of(table, "f", Options()).frame["vehicle_id"].to_list() == ["7"]


def test_units_are_converted_by_name() -> None:
    row = pings_of(one(V="36", D="1.5"), "f", Options({"speed_kmh": "V", "odometer_km": "D"})).frame.row(0, named=True)
    assert row["speed_mps"] == pytest.approx(10.0)
    assert row["odometer_m"] == 1500.0


def test_a_start_date_is_written_as_gtfs_realtime_does() -> None:
    assert pings_of(one(start_date="2026-01-15"), "f", Options()).frame["start_date"].to_list() == ["20260115"]


def test_a_mapped_name_wins_over_a_known_one() -> None:
    table = one(x="1").with_columns(latitude=pl.lit("5"))
    assert pings_of(table, "f", Options()).frame["lat"].to_list() == [-6.2]
    assert pings_of(table, "f", Options({"lat": "latitude"})).frame["lat"].to_list() == [5.0]


def test_missing_columns_are_named_with_what_is_there() -> None:
    with pytest.raises(UnusableSource, match=r"no column for timestamp, lat; it has bus, lon.*--columns timestamp="):
        pings_of(pl.DataFrame({"bus": ["1"], "lon": ["2"]}), "f", Options({"vehicle_id": "bus"}))
    with pytest.raises(UnusableSource, match="no column 'Bus'"):
        pings_of(one(), "f", Options({"vehicle_id": "Bus"}))


@pytest.mark.parametrize("text", ["vehicle_id", "vehicle_id=", "bus=VehicleNumber"])
def test_a_wrong_mapping_is_refused(text: str) -> None:
    with pytest.raises(UnusableSource, match="--columns"):
        parse_columns(text)


@given(st.dictionaries(st.sampled_from(NAMES), st.from_regex(r"[A-Za-z_]{1,8}", fullmatch=True), max_size=5))
def test_a_mapping_is_read_as_written(mapping: dict[str, str]) -> None:
    assert parse_columns(" , ".join(f"{ours} = {theirs}" for ours, theirs in mapping.items())) == mapping


_cell = st.none() | st.sampled_from(["", "x", "0", "1", "-6.2", "nan", "1700000000", "2026-01-15T10:00:00Z"])


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(PING, _cell)), max_size=8))
def test_no_row_is_lost(rows: list[dict[str, str | None]]) -> None:
    table = pl.DataFrame(rows, schema=dict.fromkeys(PING, pl.String))
    recording = pings_of(table, "f", Options())
    assert recording.rows == len(rows)
    indices = [*recording.frame["source_index"], *recording.rejects["source_index"]]
    assert sorted(indices) == list(range(len(rows)))
    for batch in recording.batches(3):
        for name, kind in PING.items():
            array = batch.pings[name]
            assert len(array) == len(batch.record_time)
            assert (array.dtype == object) == (kind is Kind.ID)
