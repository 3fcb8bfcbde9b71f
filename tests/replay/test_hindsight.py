"""The words of a position that hold in the end."""

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.replay.hindsight import in_hindsight

WORDS = ["trip_type", "off_route", "dist_m"]


def frame(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    """Positions; times are counted up where a row gives none."""
    blank = {"vehicle_id": "v1", "trip_type": "In service", "off_route": False, "phase_since": None, "dist_m": None}
    some = [{**blank, "timestamp": float(t), **row} for t, row in enumerate(rows)]
    schema = {"phase_since": pl.Float64, "dist_m": pl.Float64, "trip_type": pl.String}
    return pl.LazyFrame(some, schema_overrides=schema)


def in_the_end(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return in_hindsight(frame(rows), WORDS).select(WORDS).collect().rows()


ON = {"dist_m": 5.0}
OFF = {"off_route": True}


def test_positions_since_a_bus_left_its_route_are_off_it_once_that_is_sure():
    said = in_the_end([ON, ON, ON, OFF, {**OFF, "phase_since": 1.0}, ON])
    assert [off for _, off, _ in said] == [False, True, True, True, True, False]
    assert [dist for *_, dist in said] == [5.0, None, None, None, None, 5.0]


def test_what_was_never_sure_changes_nothing():
    rows = [ON, ON, OFF, OFF, ON]
    assert in_the_end(rows) == frame(rows).select(WORDS).collect().rows()


def test_undecided_positions_are_part_of_what_follows():
    dead = {"trip_type": "Deadhead", "phase_since": 1.0}
    said = in_the_end([ON, ON, {"trip_type": None}, dead])
    assert [kind for kind, *_ in said] == ["In service", "Deadhead", "Deadhead", "Deadhead"]


def test_of_two_that_knew_better_the_later_one_holds():
    dead = {"trip_type": "Deadhead", "phase_since": 1.0}
    said = in_the_end([ON, ON, ON, {**OFF, "phase_since": 2.0}, {"trip_type": "Layover"}, dead])
    assert [(kind, off) for kind, off, _ in said] == [("In service", False)] + [("Deadhead", False)] * 5


def test_one_vehicle_says_nothing_of_another():
    rows = [{**ON, "vehicle_id": v, "timestamp": t} for v in ("v1", "v2") for t in (1.0, 2.0, 3.0)]
    rows[4] |= {**OFF, "dist_m": None, "phase_since": 1.0}
    said = in_the_end(rows[::-1])
    assert [off for _, off, _ in said] == [False, False, False, True, True, False]


KINDS = [
    ("In service", False),
    ("In service", True),
    ("Deadhead", False),
    ("Other not in service", False),
    (None, False),
]


def naive(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The same of one vehicle: stretches of rows that say the same, each with since when it surely was so."""
    stretches: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        does = (row["trip_type"], row["off_route"])
        if row["trip_type"] is not None and (not stretches or stretches[-1]["does"] != does):
            stretches.append({"does": does, "begin": i, "since": None})
        if stretches and stretches[-1]["since"] is None:
            stretches[-1]["since"] = row["phase_since"]
    out = []
    for i, row in enumerate(rows):
        begins = [s["begin"] for s in stretches if s["since"] is not None and row["timestamp"] >= s["since"]]
        out.append(tuple(rows[max([i, *begins])][word] for word in WORDS))
    return out


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.one_of(st.none(), st.integers(0, 12))), max_size=14))
def test_it_is_what_walking_back_finds(drawn: list[Any]):
    rows = [
        {
            "vehicle_id": "v1",
            "timestamp": float(t),
            "trip_type": kind,
            "off_route": off,
            "phase_since": None if back is None or kind is None or (kind, off) == KINDS[0] else float(max(0, t - back)),
            "dist_m": float(t),
        }
        for t, ((kind, off), back) in enumerate(drawn)
    ]
    if rows:
        assert in_the_end(rows) == naive(rows)
