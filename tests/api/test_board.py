"""What stands on a stop's board: words, timetabled buses among live ones, headways, the last bus of the day."""

from datetime import date
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.board import alerts, board, every, words
from api.view import View
from streams import messages
from streams.settings import Api
from tests.api import factory
from tests.api.factory import NOW, alert, arrival, bus, positions, record

SEVEN = NOW  # 07:00 in Jakarta
RUN_9 = "2025-11-28:B9:1"


def at(clock: str) -> float:
    hours, minutes = clock.split(":")
    return SEVEN + (int(hours) - 7) * 3600.0 + int(minutes) * 60.0


def stop(stop_id="A", clock="07:00", rows=(), buses=(), within_s=3600.0, starts=(), days="ff" * 128, **changed):
    """The board of a stop of the factory's network at a time of 28 November; `starts` of the trips of route 2."""
    raw = orjson.loads(factory.network())
    raw["calendar"]["services"][0]["days"] = days
    raw["patterns"][2]["trips"]["start_s"] = list(starts) or raw["patterns"][2]["trips"]["start_s"]
    for pattern_id, frequencies in changed.items():
        pattern = next(p for p in raw["patterns"] if p["pattern_id"].startswith(pattern_id.replace("_", ":")))
        pattern["frequencies"] = frequencies
    now = at(clock)
    view = View(Api())
    view.apply("network", orjson.dumps(raw), now)
    view.apply("positions", positions(*[b | {"timestamp": now - b.get("age", 0.0)} for b in buses]), now)
    view.apply("arrivals", record(messages.ARRIVAL, *[r | {"made_at": now} for r in rows]), now)
    view.loading(None)
    snapshot = view.publish(now)
    return board(snapshot, snapshot.network, stop_id, within_s)


def windows(*rows):
    """The frequencies of a pattern's first trip: start, end (seconds of the day), headway."""
    return {
        "trip": [0] * len(rows),
        "start_s": [r[0] for r in rows],
        "end_s": [r[1] for r in rows],
        "headway_s": [r[2] for r in rows],
        "exact": [0] * len(rows),
    }


def said(lines, route="1"):
    [line] = [line for line in lines if line["route_id"] == route]
    return line["state"], line["words"]


@pytest.mark.parametrize(
    ("left", "early", "late", "found"),
    [
        (20, -10, 70, "due"),
        (59, 30, 119, "due"),
        (30, 0, 300, "1–5 min"),
        (200, 190, 230, "3 min"),
        (240, 185, 290, "3–5 min"),
        (600, 480, 960, "8–16 min"),
        (3599, 3000, 4000, "50–67 min"),
        (3601, 3000, 4000, "at 08:40"),
        (-40, -90, 200, "1–4 min"),  # late, and not here yet
    ],
)
def test_a_wait_in_words(left, early, late, found):
    assert words(left, early, late, "08:40") == found


@given(st.floats(-300, 3600), st.floats(0, 1200), st.floats(0, 3600))
def test_minutes_that_are_said_hold_what_was_estimated(left, before, after):
    text = words(left, left - before, left + after, "?")
    if text == "due":
        assert left + after <= 120
        return
    low, high = [int(n) for n in text.removesuffix(" min").split("–") * 2][:2]
    assert 1 <= low <= high
    if low != high:
        assert high >= (left + after) / 60.0
        assert low == 1 or low <= (left - before) / 60.0


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(600, 600, "every 10 min"), (480, 720, "every 8–12 min"), (20, 20, "every 1 min"), (5400, 5400, "every 90 min")],
)
def test_a_headway_in_words(low, high, found):
    assert every(low, high) == found


def test_a_bus_that_drives_round_the_stop_does_not_come(view):
    view.apply("alerts", record(messages.ALERT, alert("detour:1", kind="detour", effect="DETOUR", stop_ids=["D"])), NOW)
    snapshot = view.publish(NOW)
    [row, *_] = [r for r in board(snapshot, snapshot.network, "D", 3600.0)[0] if r["route_id"] == "1"]
    assert row["skipped"]
    assert (row["words"], row["note"]) == ("not served", "detour: buses do not stop here at present")
    [row, *_] = [r for r in board(snapshot, snapshot.network, "C", 3600.0)[0] if r["route_id"] == "1"]
    assert not row["skipped"]
    assert row["words"] != "not served"


@pytest.mark.parametrize(
    ("clock", "stop_id", "state", "found"),
    [
        ("04:10", "A", "later", "first bus at 05:00"),
        ("04:10", "C", "later", "first bus at 05:04"),
        ("05:00", "A", "running", "every 5 min"),
        ("12:00", "A", "running", "every 5 min"),
        ("21:54", "A", "running", "every 5 min"),
        ("21:56", "A", "ended", "no more buses today"),
        ("21:58", "C", "running", "every 5 min"),  # the last one passes C at 21:59
        ("23:30", "A", "ended", "no more buses today"),
    ],
)
def test_a_frequency_through_the_day(clock, stop_id, state, found):
    rows, lines = stop(stop_id, clock)
    [line] = [line for line in lines if line["headsign"] == "Eboni"]
    assert (line["state"], line["words"]) == (state, found)
    assert rows == []
    assert (line["last_time"] is None) == (state == "ended")
    if state == "later":
        assert line["next_time"] == at(found[-5:])


def test_headways_that_change_within_half_an_hour_are_a_span():
    changed = windows((18_000, 26_400, 480), (26_400, 79_200, 720))  # until 07:20 every 8 minutes
    assert said(stop("A", "07:00", **{"1_0": changed})[1]) == ("running", "every 8–12 min")
    assert said(stop("A", "08:00", **{"1_0": changed})[1]) == ("running", "every 12 min")


def test_trips_of_a_line_that_run_beside_each_other_come_more_often():
    both = windows((18_000, 79_200, 600), (18_000, 79_200, 600))
    assert said(stop("A", "12:00", **{"1_0": both})[1]) == ("running", "every 5 min")


def test_service_past_midnight_is_yesterdays_until_it_ends():
    night = {"1_0": windows((18_000, 93_600, 1800))}  # to 26:00
    assert said(stop("A", "01:00", **night)[1]) == ("running", "every 30 min")
    assert said(stop("A", "02:10", **night)[1]) == ("later", "first bus at 05:00")


@pytest.mark.parametrize(
    ("clock", "window", "within_s", "state", "found"),
    [
        ("23:55", (0, 86_400, 600), 3600.0, "running", "every 10 min"),  # around the clock
        ("23:58", (300, 86_400, 600), 60.0, "running", "every 10 min"),  # tomorrow's first is a headway away
        ("23:57", (600, 86_100, 300), 3600.0, "running", "next at 00:10"),
        ("23:57", (600, 86_100, 300), 300.0, "ended", "no more buses today"),
        ("22:30", (600, 79_200, 300), 3600.0, "ended", "no more buses today"),
    ],
)
def test_a_frequency_goes_on_past_midnight(clock, window, within_s, state, found):
    rows, lines = stop("A", clock, within_s=within_s, **{"1_0": windows(window)})
    assert rows == []
    [line] = [line for line in lines if line["headsign"] == "Eboni"]
    assert (line["state"], line["words"]) == (state, found)
    assert line["last_time"] is None or line["last_time"] < at("24:00")
    if found.startswith("next"):
        assert line["next_time"] == at("24:10")


def test_a_timetable_goes_on_past_midnight():
    def seen(clock, within_s=3600.0, **more):
        rows, lines = stop("W", clock, within_s=within_s, starts=(600, 85_800), **more)  # 00:10 and 23:50
        return [(r["arrival_time"], r["words"], r["note"], r["is_last"]) for r in rows], said(lines, "2")

    last = (at("23:50"), "10 min", "last bus today, by timetable", True)
    first = (at("24:10"), "30 min", "by timetable", None)
    assert seen("23:40") == ([last, first], ("running", "next at 23:50"))
    assert seen("23:40", 1200.0) == ([last], ("running", "next at 23:50"))
    assert seen("23:52")[1] == ("running", "next at 00:10")
    assert seen("23:52", 600.0) == ([], ("ended", "no more buses today"))
    rows, lines = stop("W", "21:00", starts=(50_000, 91_800))  # today's last bus is at 25:30
    assert (rows, said(lines, "2"), lines[0]["last_time"]) == ([], ("running", "next at 01:30"), at("25:30"))
    only_tomorrow = bytearray(128)
    day = date(2025, 11, 29).toordinal() - date(2025, 1, 1).toordinal()
    only_tomorrow[day >> 3] = 0x80 >> (day & 7)
    rows, service = seen("23:40", days=only_tomorrow.hex())
    assert (rows, service) == ([first], ("later", "first bus at 00:10"))


def test_a_line_that_does_not_run_today_says_so():
    assert said(stop("A", days="00" * 128)[1]) == ("none", "no buses today")


def test_timetabled_buses_stand_there_until_they_are_tracked():
    rows, lines = stop("W", "06:50", within_s=7200.0)
    assert [(r["words"], r["quality"], r["trip_id_scheduled"], r["note"]) for r in rows] == [
        ("10 min", "scheduled", "2-a", "by timetable"),
        ("40 min", "scheduled", "2-b", "last bus today, by timetable"),
    ]
    assert said(lines, "2") == ("later", "first bus at 07:00")
    tracked = bus("B9", route_id="2", pattern_id="2:0:cccccc", trip_id_scheduled="2-a", stop_id="C2", stop_sequence=2)
    live = arrival("B9", "C2", 2, 3.0, route_id="2", trip_id_scheduled="2-a", trip_id_performed=RUN_9)
    rows, lines = stop("C2", "07:00", [live], [tracked])
    assert [(r["quality"], r["trip_id_scheduled"], r["vehicle_id"]) for r in rows] == [
        ("good", "2-a", "B9"),
        ("scheduled", "2-b", None),
    ]
    assert rows[0]["schedule_arrival_time"] == at("07:02")
    assert rows[0]["headsign"] == "Jati"
    assert said(lines, "2") == ("later", "first bus at 07:02")
    assert lines[0]["n_live"] == 1
    rows, _ = stop("W", "07:00", [live], [tracked])
    assert [r["trip_id_scheduled"] for r in rows] == ["2-b"]  # the tracked one has left W before its time


def test_a_bus_that_stands_at_its_first_stop_is_still_to_come_there():
    run = {"route_id": "2", "trip_id_scheduled": "2-a", "trip_id_performed": RUN_9}
    place = {"pattern_id": "2:0:cccccc", "stop_id": "W", "stop_sequence": 1, "dist_m": 0.0}
    standing = bus("B9", current_status="STOPPED_AT", **run, **place)
    rows, _ = stop("W", "06:55", (), [standing])
    assert [(r["trip_id_scheduled"], r["words"], r["quality"]) for r in rows] == [
        ("2-a", "5 min", "scheduled"),
        ("2-b", "35 min", "scheduled"),
    ]
    rows, _ = stop("W", "06:55", [arrival("B9", "W", 1, 1.0, **run)], [standing])
    assert [(r["trip_id_scheduled"], r["vehicle_id"]) for r in rows] == [("2-a", "B9"), ("2-b", None)]  # never twice


@pytest.mark.parametrize(
    ("told", "note"),
    [("07:01", "1 min early"), ("07:02", None), ("07:03", None), ("07:04", "2 min late"), ("07:31", "29 min late")],
)
def test_a_bus_off_its_timetable_says_by_how_much(told, note):
    tracked = bus("B9", route_id="2", pattern_id="2:0:cccccc", trip_id_scheduled="2-a", stop_id="C2", stop_sequence=2)
    times = {name: at(told) for name in ("arrival_p10", "arrival_p50", "arrival_p90", "arrival_time")}
    live = arrival("B9", "C2", 2, 0.0, route_id="2", trip_id_scheduled="2-a", trip_id_performed=RUN_9, **times)
    rows, _ = stop("C2", "07:00", [live], [tracked])
    [row] = [row for row in rows if row["vehicle_id"] == "B9"]
    assert (row["note"], row["schedule_arrival_time"]) == (note, at("07:02"))


def test_nobody_boards_where_a_line_ends():
    rows, lines = stop("X", "06:50")
    assert (rows, lines) == ([], [])
    live = arrival("B9", "X", 3, 4.5, route_id="2", trip_id_scheduled="2-a", trip_id_performed=RUN_9)
    [row], _ = stop("X", "07:00", [live])
    assert (row["ends_here"], row["note"]) == (True, "ends here, not seen now")


def frequent(start_time, vehicle_id="B1", **more):
    return bus(vehicle_id, start_time=start_time, **more)


def test_the_last_bus_is_marked():
    def marked(clock, start_time):
        late = (at(clock) - NOW) / 60.0
        [row], _ = stop("C", clock, [arrival("B1", "C", 3, late + 4.0)], [frequent(start_time)])
        return row["is_last"], row["note"]

    assert marked("21:50", "21:46:00") == (False, None)
    assert marked("21:50", "21:52:00") == (False, None)
    assert marked("21:56", "21:56:10") == (True, "last bus today")


def test_what_is_old_or_unsure_says_so():
    wide = arrival("B1", "C", 3, 8.0, arrival_p10=NOW + 240.0, arrival_p90=NOW + 900.0)
    [row], _ = stop("C", "07:00", [wide], [frequent("06:50:00")])
    assert (row["quality"], row["words"], row["note"]) == ("low", "4–15 min", "uncertain")
    [row], _ = stop("C", "07:00", [arrival("B1", "C", 3, 4.0)], [frequent("06:50:00", age=150.0)])
    assert (row["quality"], row["note"], row["words"]) == ("stale", "last seen 2 min ago", "3–6 min")


def test_a_bus_that_waits_for_its_next_run_is_told_with_it():
    waiting = frequent(None, trip_id_performed=None, trip_id_scheduled=None, trip_type="Layover", dist_m=0.0)
    next_run = arrival("B1", "C", 3, 12.0, trip_id_performed="2025-11-28:B1:2", trip_id_scheduled=None)
    [row], lines = stop("C", "07:00", [next_run], [waiting])
    assert (row["headsign"], row["note"], row["is_last"]) == ("Eboni", "not departed yet", None)
    assert {line["headsign"]: line["n_live"] for line in lines} == {"Eboni": 1, "Akasia": 0}
    [row], _ = stop("C", "07:00", [next_run], [frequent("06:40:00")])  # still on the run before
    assert (row["headsign"], row["note"]) == (None, None)


def test_alerts_of_the_lines_that_stop_here():
    view = View(Api())
    view.apply("network", factory.network(), NOW)
    felt = {"effect": "SIGNIFICANT_DELAYS"}
    rows = [
        alert("older", active_from=NOW - 600.0, **felt),
        alert("newer", active_from=NOW - 60.0, **felt),
        alert("here", stop_ids=["C", "D"], **felt),
        alert("there", stop_ids=["D", "E"], **felt),
        alert("back", direction_id=1, **felt),
        alert("both", direction_id=None, **felt),
        alert("elsewhere", route_id="2", **felt),
        alert("ours", effect="OTHER_EFFECT"),
    ]
    view.apply("alerts", record(messages.ALERT, *rows), NOW)
    snapshot = view.publish(NOW)
    told = [a["alert_id"] for a in alerts(snapshot, snapshot.network, "C")]
    assert told == ["newer", "back", "both", "here", "older"]
    assert [a["alert_id"] for a in alerts(snapshot, snapshot.network, "C2")] == ["elsewhere"]


def test_late_buses_keep_a_line_running_after_its_hours():
    late = (at("22:10") - NOW) / 60.0
    _, lines = stop("C", "22:10", [arrival("B1", "C", 3, late + 4.0)], [frequent("21:55:00")])
    found = {line["headsign"]: (line["state"], line["words"]) for line in lines}
    assert found["Eboni"] == ("running", "last buses")
    assert found["Akasia"] == ("ended", "no more buses today")


def test_soonest_first_whoever_it_is():
    live = [arrival("B1", "C", 3, 29.0), arrival("B2", "C", 3, 40.0), arrival("B3", "C", 3, 2.0)]
    rows, lines = stop("T", "07:00", live)
    assert len(rows) == 5
    assert {r["quality"] for r in rows} == {"stale", "scheduled"}
    assert all(a["arrival_time"] <= b["arrival_time"] for a, b in pairwise(rows))
    assert {(line["route_id"], line["direction_id"]) for line in lines} == {("1", 0), ("1", 1), ("2", 0)}
    assert sum(line["n_live"] for line in lines) == 3
