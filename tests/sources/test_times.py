"""Times as sources write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sources.recording import UnusableSource
from streams.sources.times import posix

T = 1_700_000_000.25


@pytest.mark.parametrize(
    "value",
    [T, "1700000000.25", 1_700_000_000_250, 1_700_000_000_250_000, "2023-11-14T22:13:20.25Z",
     "2023-11-14T23:13:20.250+01:00", "2023-11-15 05:13:20.25+0700", datetime.fromtimestamp(T, UTC)],
)  # fmt: skip
def test_forms_that_carry_their_zone(value: object) -> None:
    assert posix(pl.Series([value])).to_list() == [T]


@pytest.mark.parametrize(
    "value", ["2023-11-14T23:13:20.25", "2023-11-14 23:13:20.25", datetime(2023, 11, 14, 23, 13, 20, 250_000)]
)
def test_local_times_need_a_zone(value: object) -> None:
    assert posix(pl.Series([value]), "Europe/Warsaw").to_list() == [T]
    with pytest.raises(UnusableSource, match="--timezone"):
        posix(pl.Series([value]))


def test_day_before_month_if_the_format_says_so() -> None:
    found = posix(pl.Series(["3/9/2023 20:06:14", "13/9/2023 20:06:14"]), "Asia/Jakarta", "%d/%m/%Y %H:%M:%S")
    assert [datetime.fromtimestamp(t, UTC).isoformat() for t in found] == [
        "2023-09-03T13:06:14+00:00",
        "2023-09-13T13:06:14+00:00",
    ]


def test_a_column_may_mix_forms_and_one_unreadable_time_spoils_no_other() -> None:
    found = posix(
        pl.Series(["1700000000.25", "2023-11-14T22:13:20.25Z", "x", None, "2023-11-14 23:13:20.25"]), "Europe/Warsaw"
    )
    assert found.to_list() == [T, T, None, None, T]


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(UnusableSource, match="time format"):
        posix(pl.Series(["1/2/2023"]), "UTC", "%Q")


# Clocks in Warsaw went from 03:00 back to 02:00 on 2024-10-27: at 00:30 UTC and at 01:30 UTC they showed 02:30.
FIRST, SECOND = 1729989000.0, 1729992600.0


def test_the_hour_that_occurs_twice_is_told_by_a_clock_that_jumps_back() -> None:
    clock = [
        "2024-10-27 02:20:00",
        "2024-10-27 02:30:00",
        "2024-10-27 02:55:00",
        "2024-10-27 02:05:00",
        "2024-10-27 02:30:00",
    ]
    found = posix(pl.Series(clock), "Europe/Warsaw").to_list()
    assert found[1] == FIRST
    assert found[4] == SECOND
    assert found == sorted(found)


def test_the_hour_that_occurs_twice_is_each_vehicles_own() -> None:
    clock = pl.Series(["2024-10-27 02:55:00", "2024-10-27 02:30:00", "2024-10-27 02:05:00"])
    found = posix(clock, "Europe/Warsaw", vehicle_id=pl.Series(["a", "b", "a"])).to_list()
    assert found[1] == FIRST
    assert found[2] > found[0]


def test_the_hour_that_occurs_twice_is_told_by_the_ingest_time() -> None:
    clock = pl.Series(["2024-10-27 02:30:00", "2024-10-27 02:30:00"])
    found = posix(clock, "Europe/Warsaw", record_time=pl.Series([FIRST + 3, SECOND + 3]))
    assert found.to_list() == [FIRST, SECOND]


def test_an_hour_that_never_was_is_unreadable() -> None:
    assert posix(pl.Series(["2024-03-31 02:30:00", "2024-03-31 03:30:00"]), "Europe/Warsaw").to_list()[0] is None


@given(
    st.integers(1_600_000_000, 1_900_000_000), st.sampled_from(["Europe/Warsaw", "America/New_York", "Asia/Jakarta"])
)
def test_local_time_comes_back_but_for_the_hour_that_occurs_twice(t: int, zone: str) -> None:
    local = datetime.fromtimestamp(t, ZoneInfo(zone))
    (found,) = posix(pl.Series([local.strftime("%Y-%m-%d %H:%M:%S")]), zone).to_list()
    assert found == local.replace(fold=0).timestamp()
