"""The tables of a run, from facts and statements written down by hand."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from streams import messages
from streams.gtfs.network import Network
from streams.messages import Columns, Kind, Spec
from streams.replay import tables
from streams.replay.finish import Finish
from streams.replay.parts import Parts, frame_of, schema_of
from streams.replay.reference import Cells
from streams.sources.recording import REJECTS
from tests.drawing import draw

STREET = """
  A--------B--------C
"""
T0 = datetime(2026, 3, 10, 0, 0, tzinfo=UTC).timestamp()  # 07:00 in Jakarta
DAY = "2026-03-10"


@pytest.fixture(scope="module")
def network() -> Network:
    found, _ = draw(STREET, {"R": "ABC", "S": "ABC"}, trips={"S": ["07:00:00"]}, blocks={"S": ["b1"]}, headway_s=600)
    return found


def columns(spec: Spec, rows: list[dict[str, Any]]) -> Columns:
    """Columns of rows of which only what matters is written down."""
    unknown = {Kind.BOOL: False, Kind.INT: None}
    return messages.from_wire(spec, {n: [r.get(n, unknown.get(k)) for r in rows] for n, k in spec.items()})


class Run:
    """Facts put aside as the engine would have said them."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        specs = {
            "positions": messages.POSITION,
            "passings": messages.PASSING,
            "headways": messages.HEADWAY,
            "group_headways": messages.GROUP_HEADWAY,
            "arrivals": messages.ARRIVAL,
            "congestion": messages.CONGESTION,
            "segments": messages.SEGMENT,
            "indicators": messages.INDICATOR,
            "alerts": messages.ALERT,
        }
        self.specs = specs
        self.parts = {name: Parts(folder, name, schema_of(spec)) for name, spec in specs.items()}
        self.parts["positions"].schema["cell_ix"] = pl.Int64()
        self.parts["rejects"] = Parts(folder, "rejects", dict(REJECTS))

    def say(self, name: str, *rows: dict[str, Any]) -> None:
        if name == "rejects":
            self.parts[name].add(pl.DataFrame(list(rows), schema=REJECTS))
            return
        said = columns(self.specs[name], list(rows))
        frame = frame_of(self.specs[name], said)
        if name == "positions":
            frame = frame.with_columns(pl.Series("cell_ix", Cells(self.network).of(said)))
        self.parts[name].add(frame)

    def table(self, name: str) -> list[dict[str, Any]]:
        finish = Finish(self.network, self.parts, window_s=300)
        return finish.table(tables.BY_NAME[name]).collect().to_dicts()


@pytest.fixture
def run(network: Network, tmp_path: Path) -> Run:
    return Run(network, tmp_path)


def pattern_of(network: Network, route: str) -> str:
    return next(p for p in network.pattern_ids if p.startswith(f"{route}:"))


def gate_of(network: Network, route: str, stop_pos: int) -> int:
    p = network.pattern_ix[pattern_of(network, route)]
    return int(network.pstop_gate_seq[network.pstop_start[p] + stop_pos])


def passing(network: Network, vehicle: str, stop_pos: int, at: float, route: str = "R", **more: Any) -> dict[str, Any]:
    trip = next(
        t
        for t, p in zip(network.trip_ids, network.trip_pattern_ix, strict=True)
        if network.pattern_ids[p] == pattern_of(network, route)
    )
    return {
        "vehicle_id": vehicle,
        "trip_id_performed": f"{DAY}:{vehicle}:1",
        "trip_id_scheduled": trip,
        "pattern_id": pattern_of(network, route),
        "gate_seq": gate_of(network, route, stop_pos),
        "arrival_time": T0 + at,
        "departure_time": T0 + at + 10.4,
        "schedule_relationship": "Scheduled",
        "determined_at": T0 + at,
        "revision": 0,
        **more,
    }


def when(at: float) -> datetime:
    return datetime.fromtimestamp(T0 + at, UTC)


def test_a_table_without_rows_has_its_columns(run: Run) -> None:
    finish = Finish(run.network, run.parts, 300)
    for table in tables.ALL:
        frame = finish.table(table).collect()
        assert frame.height == 0
        assert dict(frame.schema) == table.columns


def test_types_are_those_of_the_contract() -> None:
    for table in tables.ALL:
        assert set(table.key) <= set(table.columns)
        for name, dtype in table.columns.items():
            if name.endswith(("_s", "_m", "_mps")) or name == "match_probability":
                assert dtype == pl.Float64, name
            if name.endswith(("_id", "_id_performed", "_id_scheduled")) and name != "direction_id":
                assert dtype == pl.String, name
            if "time" in name.split("_") or name.endswith(
                ("_timestamp", "_at", "active_from", "active_to", "window_start")
            ):
                assert dtype == pl.Datetime("ms", "UTC"), name
    assert tables.STOP_VISITS.columns["dwell"] == pl.Int32
    assert tables.STOP_VISITS.columns["service_date"] == pl.Date


def test_a_visit_has_its_times_dwell_stop_and_headway(run: Run) -> None:
    n = run.network
    run.say("passings", passing(n, "v1", 1, 100.0), passing(n, "v2", 1, 400.0, departure_time=None))
    first, second = run.table("stop_visits")
    assert first["service_date"] == date(2026, 3, 10)
    assert (first["stop_id"], first["trip_stop_sequence"]) == ("B", 2)
    assert first["scheduled_stop_sequence"] == int(
        n.pstop_sequence[n.pstop_start[n.pattern_ix[first["pattern_id"]]] + 1]
    )
    assert (first["actual_arrival_time"], first["dwell"]) == (when(100.0), 10)
    assert (second["actual_departure_time"], second["dwell"]) == (None, None)
    assert second["schedule_arrival_time"] is None  # by frequency: there is no planned time


def test_a_timetable_trip_has_its_planned_times(run: Run) -> None:
    n = run.network
    run.say("passings", passing(n, "v1", 0, 5.0, route="S"), passing(n, "v1", 2, 300.0, route="S"))
    start, end = run.table("stop_visits")
    assert start["schedule_departure_time"] == when(0.0)
    assert end["schedule_arrival_time"] > when(0.0)
    (trip,) = run.table("trips_performed")
    assert trip["schedule_trip_start"] == when(0.0)
    assert trip["schedule_trip_end"] == end["schedule_arrival_time"]
    assert (trip["block_id"], trip["schedule_relationship"]) == ("b1", "Scheduled")
    assert (trip["actual_trip_start"], trip["actual_trip_end"]) == (when(15.4), when(300.0))


def test_the_last_word_on_a_passing_counts_and_a_withdrawn_one_is_gone(run: Run) -> None:
    n = run.network
    run.say("passings", passing(n, "v1", 0, 10.0), passing(n, "v1", 1, 100.0, departure_time=None))
    run.say("passings", passing(n, "v1", 1, 103.0, revision=1))
    run.say("passings", passing(n, "v1", 0, 10.0, revision=1, withdrawn=True))
    (visit,) = run.table("stop_visits")
    assert (visit["stop_id"], visit["actual_arrival_time"]) == ("B", when(103.0))


def test_a_run_all_whose_passings_were_another_ones_was_none(run: Run) -> None:
    n = run.network
    for trip, at in ((f"{DAY}:v1:1", 10.0), (f"{DAY}:v1:2", 20.0)):
        run.say(
            "positions",
            {"vehicle_id": "v1", "timestamp": T0 + at, "lat": -6.2, "lon": 106.8, "trip_id_performed": trip,
             "service_date": DAY, "pattern_id": pattern_of(n, "R"), "trip_type": "In service"},
        )  # fmt: skip
    run.say("passings", passing(n, "v1", 0, 10.0))
    run.say("passings", passing(n, "v1", 0, 12.0, route="S", trip_id_performed=f"{DAY}:v1:2"))
    run.say("passings", passing(n, "v1", 0, 10.0, revision=1, withdrawn=True))
    assert [row["trip_id_performed"] for row in run.table("trips_performed")] == [f"{DAY}:v1:2"]
    assert [row["trip_id_performed"] for row in run.table("vehicle_locations")] == [None, f"{DAY}:v1:2"]


def test_a_visit_not_seen_has_a_row_without_times(run: Run) -> None:
    unseen = {"arrival_time": None, "departure_time": None, "schedule_relationship": "Missing"}
    run.say("passings", passing(run.network, "v1", 0, 0.0), passing(run.network, "v1", 1, 0.0, **unseen))
    missing = run.table("stop_visits")[1]
    assert (missing["stop_id"], missing["schedule_relationship"]) == ("B", "Missing")
    assert missing["actual_arrival_time"] is missing["headway_s"] is missing["dwell"] is None


def test_headways_of_visits_are_those_of_the_city(run: Run) -> None:
    n = run.network
    run.say("passings", passing(n, "v1", 1, 100.0), passing(n, "v1", 2, 300.0))
    run.say(
        "headways",
        {
            "trip_id_performed": f"{DAY}:v1:1",
            "gate_id": "g",
            "stop_id": "B",
            "event_timestamp": T0 + 100.0,
            "headway_s": 290.0,
            "scheduled_headway_s": 600.0,
            "leader_id": "v0",
            "vehicle_id": "v1",
        },
    )
    b, c = run.table("stop_visits")
    assert (b["headway_s"], b["scheduled_headway_s"], b["leader_id"]) == (290.0, 600.0, "v0")
    assert (c["headway_s"], c["scheduled_headway_s"], c["leader_id"]) == (None, None, None)


def test_a_trip_without_its_ends_begins_and_ends_where_it_was_seen(run: Run) -> None:
    n = run.network
    trip = f"{DAY}:v1:1"
    run.say("passings", passing(n, "v1", 1, 100.0))
    run.say(
        "positions",
        {
            "vehicle_id": "v1",
            "timestamp": T0 + 40,
            "trip_id_performed": trip,
            "trip_type": "In service",
            "service_date": DAY,
        },
        {
            "vehicle_id": "v1",
            "timestamp": T0 + 160,
            "trip_id_performed": trip,
            "trip_type": "In service",
            "service_date": DAY,
        },
        {
            "vehicle_id": "v1",
            "timestamp": T0 + 500,
            "trip_id_performed": trip,
            "trip_type": "Layover",
            "service_date": DAY,
        },
    )
    (found,) = run.table("trips_performed")
    assert (found["actual_trip_start"], found["actual_trip_end"]) == (when(40), when(160))
    assert found["route_id"] == "R"
    assert (found["schedule_relationship"], found["schedule_trip_start"]) == ("Unscheduled", None)
    assert found["shape_id"] in n.shape_ids


def test_positions_between_leaving_the_route_and_seeing_it_are_off_it(run: Run) -> None:
    n = run.network
    base = {
        "vehicle_id": "v1",
        "lat": -6.2,
        "lon": 106.8,
        "trip_id_performed": f"{DAY}:v1:1",
        "service_date": DAY,
        "pattern_id": pattern_of(n, "R"),
        "trip_type": "In service",
    }
    for k in range(3):
        run.say("positions", {**base, "timestamp": T0 + 5.0 * k, "dist_m": 40.0 * k, "match_probability": 0.9})
    run.say("positions", {**base, "timestamp": T0 + 15.0, "off_route": True, "phase_since": T0 + 10.0})
    found = run.table("vehicle_locations")
    assert [r["off_route"] for r in found] == [False, False, True, True]
    assert [r["dist_m"] for r in found] == [0.0, 40.0, None, None]
    assert {r["trip_id_performed"] for r in found} == {f"{DAY}:v1:1"}


def test_a_position_has_identity_words_and_the_newest_headway(run: Run) -> None:
    n = run.network
    trip = f"{DAY}:v1:1"
    base = {
        "vehicle_id": "v1",
        "lat": -6.2,
        "lon": 106.8,
        "trip_id_performed": trip,
        "service_date": DAY,
        "pattern_id": pattern_of(n, "R"),
        "current_status": "STOPPED_AT",
    }
    run.say("positions", {**base, "timestamp": T0, "dist_m": 10.0, "speed_mps": 3.0, "revision": 0})
    run.say("positions", {**base, "timestamp": T0 + 200.5, "reported_speed_mps": 7.0, "speed_mps": 3.0})
    run.say(
        "positions",
        {
            **base,
            "timestamp": T0,
            "dist_m": 12.0,
            "speed_mps": 3.0,
            "revision": 1,
            "route_candidates": [{"route_id": "R", "direction_id": 0, "probability": 0.6}],
        },
    )
    for at, headway, leader in ((50.0, 300.0, "v0"), (150.0, 280.0, "v0"), (250.0, 100.0, "x")):
        run.say(
            "headways",
            {
                "trip_id_performed": trip,
                "gate_id": f"g{at}",
                "event_timestamp": T0 + at,
                "vehicle_id": "v1",
                "headway_s": headway,
                "leader_id": leader,
            },
        )
    first, second = run.table("vehicle_locations")
    assert first["location_ping_id"] == f"v1@{T0:.0f}"
    assert second["location_ping_id"] == f"v1@{T0 + 200.5}"
    assert (first["dist_m"], first["current_status"], first["speed"]) == (12.0, "Stopped at", 3.0)
    assert first["route_candidates"] == [{"route_id": "R", "direction_id": 0, "probability": 0.6}]
    assert (first["headway_s"], second["headway_s"], second["leader_id"]) == (None, 280.0, "v0")
    assert second["speed"] == 7.0
    assert second["event_timestamp"] == when(200.5)


def test_a_position_has_the_congestion_of_its_cell_and_window(run: Run) -> None:
    n = run.network
    p = n.pattern_ix[pattern_of(n, "R")]
    cell = int(n.span_cell_ix[n.span_start[p] + 1])
    middle = float((n.span_dist_m[n.span_start[p] + 1] + n.span_dist_m[n.span_start[p] + 2]) / 2)
    row = {
        "window_s": 300,
        "h3_cell": f"{int(n.cell_h3[cell]):x}",
        "heading_octant": int(n.cell_octant[cell]),
        "lane": "busway" if n.cell_busway[cell] else "mixed",
        "speed_mps": 3.0,
        "n_samples": 1,
        "n_vehicles": 1,
    }
    run.say("congestion", {**row, "window_start": T0, "congestion_level": "CONGESTION", "final": True})
    run.say("congestion", {**row, "window_start": T0, "congestion_level": "STOP_AND_GO", "final": False})
    run.say("congestion", {**row, "window_start": T0 + 300, "congestion_level": "RUNNING_SMOOTHLY", "final": True})
    at = {"vehicle_id": "v1", "pattern_id": pattern_of(n, "R"), "dist_m": middle}
    run.say("positions", {**at, "timestamp": T0 + 299}, {**at, "timestamp": T0 + 300}, {**at, "timestamp": T0 + 700})
    levels = [r["congestion_level"] for r in run.table("vehicle_locations")]
    assert levels == ["CONGESTION", "RUNNING_SMOOTHLY", None]
    final = run.table("congestion")
    assert [r["congestion_level"] for r in final] == ["CONGESTION", "RUNNING_SMOOTHLY"]
    assert final[0]["window_s"] == 300.0


def test_statements_are_all_kept_and_sorted_by_key(run: Run) -> None:
    run.say(
        "arrivals",
        {"made_at": T0 + 5, "trip_id_performed": "b", "scheduled_stop_sequence": 2, "arrival_p50": T0 + 60},
        {"made_at": T0 + 5, "trip_id_performed": "a", "scheduled_stop_sequence": 9, "arrival_p50": None},
        {"made_at": T0, "trip_id_performed": "b", "scheduled_stop_sequence": 2, "arrival_p50": T0 + 70},
    )
    found = [(r["made_at"], r["trip_id_performed"], r["arrival_p50"]) for r in run.table("arrival_estimates")]
    assert found == [(when(0), "b", when(70)), (when(5), "a", None), (when(5), "b", when(60))]
    run.say(
        "alerts",
        {"alert_id": "x", "revision": 1, "active_from": T0},
        {"alert_id": "x", "revision": 0, "active_from": T0},
    )
    assert [r["revision"] for r in run.table("alerts")] == [0, 1]


def test_indicators_are_those_of_the_hours_that_closed(run: Run) -> None:
    row = {"route_id": "R", "direction_id": 0, "n_vehicles": 3, "n_headways": 9, "window_s": 3600, "coverage": 0.9}
    hour = {**row, "window_start": T0, "final": True, "made_at": T0 + 3900}
    run.say("indicators", {**row, "window_start": T0 + 60, "final": False, "made_at": T0 + 3660}, hour)
    run.say("indicators", {**hour, "made_at": T0 + 3900})
    (told,) = run.table("indicators")
    assert (told["window_start"], told["window_s"], told["coverage"], told["headway_cv"]) == (
        when(0.0),
        3600.0,
        0.9,
        None,
    )


def test_rejects_are_known_by_their_place_in_the_file(run: Run) -> None:
    run.say(
        "rejects",
        {"source": "f", "source_index": 7, "reason": "TOO_LATE", "event_timestamp": T0},
        {"source": "f", "source_index": 2, "reason": "WRONG_TYPE"},
    )
    assert [(r["index"], r["reason"]) for r in run.table("rejects")] == [(2, "WRONG_TYPE"), (7, "TOO_LATE")]


def test_cells_agree_with_the_spans_of_a_pattern(network: Network) -> None:
    cells = Cells(network)
    for pattern_id, p in network.pattern_ix.items():
        lo, hi = network.span_start[p], network.span_start[p + 1]
        dist = np.append(network.span_dist_m[lo:hi] + 0.01, np.nan)
        found = cells.of({"pattern_id": np.array([pattern_id] * len(dist), dtype=object), "dist_m": dist})
        assert found.tolist() == [*network.span_cell_ix[lo:hi].tolist(), -1]
    assert cells.of({"pattern_id": np.array(["none", None], dtype=object), "dist_m": np.zeros(2)}).tolist() == [-1, -1]
