"""Streets that buses drive round: the whole engine on drawn drives."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from streams import messages, polyline
from streams.engine.alerts import Alerts
from streams.engine.city import IN, City
from streams.engine.detours import Detours
from streams.engine.headways import Headways
from streams.engine.part import CityState
from streams.engine.stage import Record
from tests.drawing import Drawing, draw
from tests.engine.driving import rows_of
from tests.engine.pinging import ONE, Ping, columns, ride, seven, stand, tracker

NETWORK, DRAWING = draw("A-----B-----C-----D-----E", routes={"R": "ABCDE"}, metres_per_char=150, headway_s=600)
LEFT_M, BACK_M = 700.0, 1720.0  # B, at 900 m, is left out
ASIDE_DEG = 0.002


def round_the_block(drawing: Drawing, start: float, name: str, to_m: float | None = None) -> list[Ping]:
    """A bus that leaves the street before B and comes back before C."""
    report = {"vehicle_id": name, "route_id": "R"}
    before = ride(drawing, "R", start, to_m=LEFT_M, **report)
    t, aside = before[-1]["timestamp"], []
    for k in range(1, 51):
        lat, lon = drawing.along("R", LEFT_M + 20.0 * k)
        lat += ASIDE_DEG * min(1.0, k / 5, (51 - k) / 5)
        aside.append({**before[-1], "timestamp": t + 5.0 * k, "lat": lat, "lon": lon})
    return [*before, *aside, *ride(drawing, "R", t + 255.0, from_m=BACK_M, to_m=to_m, **report)]


def to_the_depot(drawing: Drawing, start: float, name: str) -> list[Ping]:
    """A bus that leaves the street before B for good."""
    before = ride(drawing, "R", start, to_m=LEFT_M, vehicle_id=name, route_id="R")
    lat, lon = before[-1]["lat"], before[-1]["lon"]
    away = [{**before[-1], "timestamp": before[-1]["timestamp"] + 5.0 * k, "lat": lat + 4e-4 * k} for k in range(1, 60)]
    return [
        *away[:0],
        *before,
        *away,
        *stand((away[-1]["lat"], lon), away[-1]["timestamp"] + 5, 900.0, vehicle_id=name),
    ]


def facts_of(pings: Sequence[Ping]) -> list[tuple[float, dict[str, Any]]]:
    """What the tracker makes of the pings, in records of ten seconds."""
    track = tracker(NETWORK)
    state, out = track.fresh(0), []
    pings = sorted(pings, key=lambda p: p["timestamp"])
    end = pings[-1]["timestamp"] + 300.0
    now, at = pings[0]["timestamp"], 0
    while now < end:
        now += 10.0
        upto = at
        while upto < len(pings) and pings[upto]["timestamp"] < now:
            upto += 1
        out.append((now, track.advance(state, columns(pings[at:upto]), now)[0]))
        at = upto
    return out


def told(records: Sequence[tuple[float, dict[str, Any]]], crash: random.Random | None = None) -> list[dict[str, Any]]:
    """Alerts of detours, first words of each revision."""
    headways = Headways(NETWORK, ONE)
    city = City(NETWORK, ONE, (headways, Detours(NETWORK), Alerts(NETWORK, ONE, headways)))
    state, rows = city.fresh(0), {}
    for now, facts in records:
        said = city.advance(state, facts, now)
        for row in rows_of(said["alerts"]) if "alerts" in said else []:
            if row["kind"] == "detour":
                rows.setdefault((row["alert_id"], row["revision"]), row)
        if crash is not None and crash.random() < 0.3:
            state = city.load(city.dump(state), 0)
    return list(rows.values())


@pytest.fixture(scope="module")
def closed_street() -> list[tuple[float, dict[str, Any]]]:
    """Two buses drive round B, one follows a while later, then two drive through it again."""
    t0 = seven(NETWORK)
    pings = [p for k in (0, 1, 3) for p in round_the_block(DRAWING, t0 + 400.0 * k, f"b{k}")]
    for k in (5, 6):
        pings += ride(DRAWING, "R", t0 + 400.0 * k, vehicle_id=f"b{k}", route_id="R", speed_mps=8.0)
    return facts_of(pings)


@pytest.fixture(scope="module")
def alerts(closed_street: list[Any]) -> list[dict[str, Any]]:
    """What is told of the closed street."""
    return told(closed_street)


def test_two_buses_that_drive_round_a_stretch_make_a_detour(alerts: list[dict[str, Any]]) -> None:
    rows = alerts
    first, last = rows[0], rows[-1]
    t0 = seven(NETWORK)
    assert len({r["alert_id"] for r in rows}) == 1
    assert (first["route_id"], first["direction_id"], first["effect"], first["severity"]) == (
        "R",
        0,
        "DETOUR",
        "WARNING",
    )
    assert first["header"] == "Route R: detour between Stop A and Stop C"
    assert first["stop_ids"] == ["B"]
    assert "2 buses have driven round it" in first["description"]
    assert "Not served: Stop B." in first["description"]
    assert first["first_seen_at"] == pytest.approx(t0 + LEFT_M / 8.0, abs=45.0)
    # the second one is back at its 255 + 88 s; the tracker needs some pings to be sure of it
    back = t0 + 400.0 + LEFT_M / 8.0 + 255.0
    assert back - 30.0 <= first["active_from"] <= back + 60.0
    assert last["active_to"] == pytest.approx(t0 + 6 * 400.0 + BACK_M / 8.0, abs=150.0)


def test_a_detour_is_told_with_the_way_that_buses_drive(alerts: list[dict[str, Any]]) -> None:
    way = np.array(polyline.decode(alerts[0]["path"]))
    street = DRAWING.along("R", 1000.0)[0]
    assert 0.8 * ASIDE_DEG < way[:, 0].max() - street < 1.2 * ASIDE_DEG
    ends = [DRAWING.along("R", m)[1] for m in (LEFT_M, BACK_M)]
    assert way[0, 1] == pytest.approx(ends[0], abs=0.001)
    assert way[-1, 1] == pytest.approx(ends[1], abs=0.001)


def test_another_bus_keeps_it_up_and_is_told(alerts: list[dict[str, Any]]) -> None:
    rows = alerts
    assert [r["vehicle_id"] for r in rows][:2] == ["b1", "b3"]
    assert "3 buses" in rows[1]["description"]
    assert rows[1]["last_seen_at"] > rows[0]["last_seen_at"]


def test_one_bus_alone_or_the_same_one_twice_makes_none() -> None:
    t0 = seven(NETWORK)
    assert not told(facts_of(round_the_block(DRAWING, t0, "b")))
    twice = [*round_the_block(DRAWING, t0, "b"), *round_the_block(DRAWING, t0 + 900.0, "b")]
    assert not told(facts_of(twice))


def test_buses_that_come_too_long_after_each_other_make_none() -> None:
    t0 = seven(NETWORK)
    pings = [*round_the_block(DRAWING, t0, "b1"), *round_the_block(DRAWING, t0 + 1500.0, "b2")]
    assert not told(facts_of(pings))


def test_runs_to_the_depot_make_none() -> None:
    t0 = seven(NETWORK)
    pings = [p for k in range(3) for p in to_the_depot(DRAWING, t0 + 300.0 * k, f"b{k}")]
    assert not told(facts_of(pings))


def test_nobody_on_it_for_an_hour_ends_it() -> None:
    t0 = seven(NETWORK)
    records = facts_of([p for k in (0, 1) for p in round_the_block(DRAWING, t0 + 400.0 * k, f"b{k}")])
    now = records[-1][0]
    records += [(now + 60.0 * k, messages_of_nothing()) for k in range(1, 70)]
    rows = told(records)
    assert rows[-1]["active_to"] == pytest.approx(rows[0]["last_seen_at"] + 3600.0, abs=10.0)


def messages_of_nothing() -> dict[str, Any]:
    """A record without facts."""
    return tracker(NETWORK).advance(tracker(NETWORK).fresh(0), columns([]), 0.0)[0]


@pytest.mark.parametrize("seed", range(2))
def test_a_crash_changes_nothing(closed_street: list[Any], alerts: list[dict[str, Any]], seed: int) -> None:
    assert repr(told(closed_street, random.Random(seed))) == repr(alerts)


def test_records_observed_together_say_what_they_say_one_by_one(closed_street: list[Any]) -> None:
    """Between two grid points that are far apart."""
    city = City(NETWORK, replace(ONE, city=replace(ONE.city, statement_s=300.0)))
    records = []
    for offset, (now, facts) in enumerate(closed_street):
        parts = {name: messages.to_wire(spec, facts[name]) for name, spec in IN.items()}
        value = orjson.dumps({"network": NETWORK.hash, **parts}, option=orjson.OPT_SERIALIZE_NUMPY)
        records.append(Record(offset, now, value))
    state, together = city.fresh(0), city.fresh(0)
    one_by_one = [output for record in records for output in city.step(state, [record])]
    assert city.step(together, records) == one_by_one
    assert last_moves(together) == last_moves(state)
    assert {"headways", "alerts"} <= {output.topic for output in one_by_one}


def last_moves(state: CityState) -> dict[str, str]:
    """When and where each vehicle moved last: what a stopped one is told by."""
    alerts = state.parts["alerts"]
    names = enumerate(state.fleet.names.to_list())
    return {name: f"{alerts.moved_at[v]} {alerts.moved_m[v]}" for v, name in names}


def test_every_alert_fits_the_wire(alerts: list[dict[str, Any]]) -> None:
    for row in alerts:
        assert set(row) == set(messages.ALERT)


@pytest.mark.parametrize("seq", [-1, 10_000])
def test_passings_of_gates_that_the_pattern_has_not_are_left_out(
    closed_street: list[Any], alerts: list[dict[str, Any]], seq: int
) -> None:
    """Each part looks gates up; one bad row must not take the record with it, nor count for another pattern's gate."""
    others = []
    for now, facts in closed_street:
        bad = {name: column.copy() for name, column in facts["passings"].items()}
        bad["gate_seq"][:] = seq
        bad["revision"] += 1
        others.append((now, {**facts, "passings": messages.concat(messages.PASSING, [facts["passings"], bad])}))
    assert repr(told(others)) == repr(alerts)
