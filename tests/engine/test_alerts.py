from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest

from streams.engine.alerts import RULES, Alerts, _span
from streams.engine.city import City
from streams.engine.headways import Headways
from streams.gtfs.calendar import zone_of
from streams.settings import City as CitySettings
from streams.settings import Settings
from tests.drawing import draw
from tests.engine.driving import Log, rows_of

STREET = "A--------B--------C--------D--------E"


class Watch:
    """A city with headways and alerts that is fed facts in time order and asked on the grid."""

    def __init__(self, hours=("05:00:00", "24:00:00"), **city):
        self.network, self.drawing = draw(STREET, {"R": "ABCDE", "R-back": "EDCBA"}, headway_s=600.0, hours=hours)
        settings = Settings(city=CitySettings(**city))
        headways = Headways(self.network, settings)
        self.city = City(self.network, settings, parts=(headways, Alerts(self.network, settings, headways)))
        self.state = self.city.fresh(0)
        self.log = Log(self.network, self.drawing)

    def drive(self, facts, until, every=None):
        """Alert rows told from the first fact to `until`; `every`: facts sent once in so many seconds."""
        facts = sorted(facts, key=lambda f: f.time)
        out = []
        for f in facts:
            if f.time < until:
                out += self.at(f.time + 0.5, [f])
        return out + self.at(until)

    def at(self, time, facts=None):
        said = self.city.advance(self.state, self.log.record(facts) if facts else None, time)
        return rows_of(said["alerts"]) if "alerts" in said else []


def first_of_each(rows):
    """Rows as first told under each revision: re-statements left out."""
    out = {}
    for row in rows:
        out.setdefault((row["alert_id"], row["revision"]), row)
    return list(out.values())


def kinds(rows, kind):
    return [r for r in first_of_each(rows) if r["kind"] == kind]


def test_every_rule_has_its_own_kind():
    assert [r.kind for r in RULES] == [
        "bunching",
        "gap",
        "vehicle_stopped",
        "no_service",
        "detour",
        "vehicle_lost",
        "source_silent",
    ]


def test_bunching_is_raised_when_it_has_lasted_told_where_and_resolved():
    watch = Watch()
    log = watch.log
    ahead = log.run("v1", "R", "07:00:00")
    behind = log.run("v2", "R", "07:02:00", delays=[(28, 300.0)])
    rows = kinds(watch.drive(ahead + behind, behind[-1].time + 1), "bunching")
    first, last = rows[0], rows[-1]
    assert first["revision"] == 0
    assert first["active_to"] != first["active_to"], "null while active"
    assert first["vehicle_id"] == "v2", "the follower"
    assert (first["route_id"], first["direction_id"], first["stop_id"]) == ("R", 0, "B")
    assert first["header"] == "Route R: v2 runs right behind v1"
    assert "v2 is 2 min behind v1 after Stop B; planned every 10 min (20%). Towards Stop E" in first["description"]
    assert (first["severity"], first["cause"], first["effect"]) == ("WARNING", "OTHER_CAUSE", "OTHER_EFFECT")
    assert len({r["alert_id"] for r in rows}) == 1
    assert [r["revision"] for r in rows] == list(range(len(rows)))
    assert last["active_to"] > last["active_from"]
    assert last["active_to"] <= behind[-1].time
    assert {"B", "C"} <= {r["stop_id"] for r in rows}, "it is told anew where it has moved"


def test_what_does_not_last_is_not_told():
    watch = Watch(alert_after_s=60.0)
    log = watch.log
    ahead = log.run("v1", "R", "07:00:00")
    # 190 s behind; while it stands in front of the next gate it drops back: after 200 s it is no longer bunched
    behind = log.run("v2", "R", "07:03:10", delays=[(9, 250.0)])
    assert not kinds(watch.drive(ahead + behind, behind[-1].time), "bunching")
    watch = Watch(alert_after_s=10.0)
    assert kinds(watch.drive(ahead + behind, behind[-1].time), "bunching")


def test_a_figure_that_hovers_around_its_limit_does_not_flap():
    watch = Watch()
    log = watch.log
    ahead = log.run("v1", "R", "07:00:00")
    # 190 s of 600 is bunched (0.317), 250 s (0.417) only close: the alert stays; 320 s (0.53) resolves it
    behind = log.run("v2", "R", "07:03:10", delays=[(10, 60.0), (15, -60.0), (20, 60.0), (30, 70.0)])
    rows = kinds(watch.drive(ahead + behind, behind[-1].time), "bunching")
    assert len({r["alert_id"] for r in rows}) == 1
    resolved = [r for r in rows if r["active_to"] == r["active_to"]]
    assert [r["revision"] for r in resolved] == [rows[-1]["revision"]]


def test_buses_that_wait_together_at_the_first_stop_are_not_bunched():
    watch = Watch()
    log = watch.log
    ahead, behind = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:01:00")
    rows = watch.drive(ahead[:1] + behind[:1], log.clock("07:02:55"))
    assert not kinds(rows, "bunching")


def test_a_leader_that_went_out_of_service_is_no_longer_bunched_with():
    watch = Watch()
    log = watch.log
    ahead, behind = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:01:00")
    facts = [f for f in ahead + behind if f.time < log.clock("07:04:00")]
    rows = watch.drive(facts, log.clock("07:04:00"))
    assert kinds(rows, "bunching")
    leader = facts[-1].again(vehicle="v1", run=None, time=log.clock("07:04:01"), trip_type="Deadhead")
    watch.at(leader.time, [leader])
    rows = [r for t in range(5, 95, 5) for r in watch.at(log.clock("07:04:00") + t)]
    assert [r["active_to"] for r in kinds(rows, "bunching") if r["active_to"] == r["active_to"]] == [
        log.clock("07:04:05")
    ]


def test_a_gap_is_raised_for_the_bus_behind_it():
    watch = Watch()
    log = watch.log
    ahead, behind = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:25:00")
    rows = kinds(watch.drive(ahead + behind, behind[-1].time), "gap")
    assert rows[0]["vehicle_id"] == "v2"
    assert rows[0]["header"] == "Route R: gap of 25 min in front of v2"
    assert rows[0]["effect"] == "SIGNIFICANT_DELAYS"
    assert (rows[0]["leader_id"], rows[0]["headway_s"], rows[0]["target_headway_s"]) == ("v1", 1500.0, 600.0)
    assert rows[0]["stop_ids"] == ["C", "D", "E"], "the bus ahead has served them, this one has not"
    here = next(f for f in reversed(behind) if f.time + 0.5 <= rows[0]["active_from"] + 60.0)
    assert rows[0]["next_bus_s"] == pytest.approx(next_at(watch, behind, "C") - here.time, abs=1.0)
    said = " Waiting: Stop C, Stop D, Stop E; the next bus is there in "
    assert said in rows[0]["description"]


def clock(watch, posix):
    return datetime.fromtimestamp(posix, zone_of(watch.network.timezone)).strftime("%H:%M:%S")


def next_at(watch, run, stop):
    """When a run passes a stop."""
    network = watch.network
    pattern = run[0].pattern
    stops = slice(network.pstop_start[pattern], network.pstop_start[pattern + 1])
    at = [network.stop_ids[s] for s in network.pstop_stop_ix[stops]].index(stop)
    return next(f.time for f in run if f.seq == network.pstop_gate_seq[stops][at])


def test_a_gap_grows_while_the_bus_behind_it_stands_and_is_told_anew():
    watch = Watch()
    log = watch.log
    ahead, behind = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:22:00")
    stuck = behind[14]
    stands = [stuck.again(passes=False, time=stuck.time + t) for t in range(10, 1800, 10)]
    rows = kinds(watch.drive(ahead + behind[:15] + stands, stuck.time + 1800.0), "gap")
    assert len({r["alert_id"] for r in rows}) == 1
    assert all(r["active_to"] != r["active_to"] for r in rows), "it has not come yet"
    told = [r["headway_s"] for r in rows]
    assert told[0] == 1320.0
    assert all(1.25 <= b / a <= 1.3 for a, b in pairwise(told))
    assert told[-1] >= (stands[-1].time - ahead[15].time) / 1.3
    assert {r["stop_id"] for r in rows} == {"B"}
    assert rows[0]["next_bus_s"] > 0
    assert all(np.isnan(r["next_bus_s"]) for r in rows[1:]), "when a bus comes that stands nobody knows"


def test_a_gap_with_a_bus_in_it_is_none():
    watch = Watch()
    log = watch.log
    ahead, behind = log.run("v1", "R", "07:00:00"), log.run("v2", "R", "07:25:00")
    unseen = log.run("v3", "R", "07:12:00")
    # nobody saw v3 pass its gates (a tunnel, say), but it stands between the two now
    there = [
        f.again(passes=False, time=t) for f in unseen[30:31] for t in np.arange(behind[0].time, behind[28].time, 20.0)
    ]
    assert not kinds(watch.drive(ahead + behind[:28] + there, behind[28].time), "gap")


def test_a_gap_stays_one_alert_when_the_buses_behind_it_overtake_each_other():
    watch = Watch()
    log = watch.log
    ahead = log.run("v1", "R", "07:00:00")
    slow = log.run("v2", "R", "07:25:00", delays=[(18, 40.0)])
    fast = log.run("v3", "R", "07:25:20")
    rows = kinds(watch.drive(ahead + slow + fast, fast[30].time), "gap")
    assert {r["vehicle_id"] for r in rows} == {"v2", "v3"}
    assert len({r["alert_id"] for r in rows}) == 1


def test_a_bunched_bus_gets_advice_to_wait_for_the_one_behind():
    watch = Watch()
    log = watch.log
    runs = [log.run(v, "R", t) for v, t in (("v1", "07:00:00"), ("v2", "07:02:00"), ("v3", "07:12:00"))]
    rows = kinds(watch.drive([f for run in runs for f in run], log.clock("07:05:00")), "bunching")
    row = rows[0]
    assert (row["vehicle_id"], row["leader_id"], row["headway_s"]) == ("v2", "v1", 120.0)
    assert (row["hold_stop_id"], row["hold_s"]) == ("C", 120.0), "half of 600 - 120, but not longer than the cap"
    assert row["hold_wait_change_s"] == -60.0
    assert "Advice: hold v2 at Stop C for 2 min" in row["description"]
    assert "then waits 60 s less in the mean" in row["description"]


def test_a_bus_that_stands_away_from_its_terminals_has_stopped():
    watch = Watch(stopped_after_s=300.0)
    log = watch.log
    run = log.run("v1", "R", "07:00:00", delays=[(20, 600.0)])
    rows = kinds(watch.drive(run, run[-1].time), "vehicle_stopped")
    stood_at = next(f.time for f in run if f.seq == 19)
    assert [(r["vehicle_id"], r["stop_id"], r["revision"]) for r in rows] == [("v1", "C", 0), ("v1", "C", 1)]
    assert 300.0 <= rows[0]["active_from"] - stood_at <= 310.0
    assert rows[0]["header"] == f"Route R: v1 has not moved since {clock(watch, stood_at)}"
    assert rows[1]["active_to"] - stood_at == pytest.approx(610.0, abs=20.0)
    watch = Watch(stopped_after_s=300.0)
    waits = watch.log.run("v1", "R", "07:00:00", delays=[(1, 600.0)])
    assert not kinds(watch.drive(waits, waits[-1].time), "vehicle_stopped"), "at its terminal"


def test_a_route_that_loses_its_last_bus_while_service_is_planned_has_none():
    watch = Watch(no_service_s=600.0)
    log = watch.log
    seven = log.clock("07:00:00")
    run = log.run("v1", "R", seven)
    gone = run[-1].again(time=run[-1].time + 5, run=None, trip_type="Deadhead")
    others = log.run("o", "R-back", seven, first=0, last=1, delays=[(0, 3600.0)])
    rows = kinds(watch.drive([*run, gone, *others], seven + 3000), "no_service")
    assert [(r["route_id"], r["direction_id"], r["revision"]) for r in rows] == [("R", 0, 0)]
    row = rows[0]
    assert row["active_from"] - run[-1].time == pytest.approx(1200.0, abs=15.0), "two planned headways"
    assert row["header"] == "Route R: no bus in service towards Stop E"
    assert "planned every 10 min" in row["description"]
    assert (row["severity"], row["effect"], row["vehicle_id"]) == ("SEVERE", "NO_SERVICE", None)
    back = log.run("v2", "R", seven + 3010)
    rows = [r for f in back[:20] for r in watch.at(f.time, [f])]
    assert [r["revision"] for r in kinds(rows, "no_service") if r["active_to"] == r["active_to"]] == [1]


def test_a_route_without_service_is_not_told_of_while_the_source_is_silent_and_the_plan_ends():
    watch = Watch(hours=("05:00:00", "08:00:00"), no_service_s=600.0, alert_after_s=300.0)
    log = watch.log
    run = log.run("v1", "R", "07:00:00")
    run = [f.again(time=f.time + log.clock("07:37:00") - run[-1].time) for f in run]
    gone = run[-1].again(time=run[-1].time + 5, run=None, trip_type="Deadhead")
    others = log.run("o", "R-back", log.clock("07:30:00"), first=0, last=1, delays=[(0, 3600.0)])
    facts = [f for f in [*run, gone, *others] if f.time < log.clock("07:57:30")]
    rows = watch.drive(facts, log.clock("07:57:30"))
    key = watch.state.parts["alerts"].episodes["no_service"].key
    assert [watch.network.route_dir_direction[k] for k in key] == [0], "it has begun"
    for at in range(int(log.clock("07:57:35")), int(log.clock("08:10:00")), 5):
        rows += watch.at(float(at))
    assert not kinds(rows, "no_service")
    assert kinds(rows, "source_silent")


def test_a_route_without_service_stays_so_while_the_source_is_silent():
    watch = Watch(hours=("05:00:00", "08:00:00"), no_service_s=600.0)
    log = watch.log
    run = log.run("v1", "R", "07:00:00")
    gone = run[-1].again(time=run[-1].time + 5, run=None, trip_type="Deadhead")
    others = log.run("o", "R-back", log.clock("07:00:00"), first=0, last=1, delays=[(0, 3600.0)])
    facts = [f for f in [*run, gone, *others] if f.time < log.clock("07:50:00")]
    rows = watch.drive(facts, log.clock("07:50:00"))
    for at in range(int(log.clock("07:50:05")), int(log.clock("08:10:00")), 5):
        rows += watch.at(float(at))
    assert [(r["direction_id"], r["revision"]) for r in kinds(rows, "no_service")] == [(0, 0)], "nothing is known"


def test_a_span_of_time_is_said_as_one_says_it():
    spans = (45.0, 720.0, 3900.0, 7500.0, float("nan"))
    assert [_span(s) for s in spans] == ["45 s", "12 min", "65 min", "2 h 05", "an unknown time"]


def test_a_vehicle_in_service_that_falls_silent_is_lost_until_it_is_heard_again():
    watch = Watch()
    log = watch.log
    others = [f for i in range(24) for f in log.run("other", "R-back", log.clock("07:00:00") + i * 50, 2000.0)]
    run = log.run("v1", "R", "07:00:00")
    lost_at = run[20].time + 0.5
    facts = run[:21] + [f for f in others if f.time < lost_at + 200]
    rows = kinds(watch.drive(facts, lost_at + 200), "vehicle_lost")
    assert [(r["vehicle_id"], r["revision"], r["stop_id"]) for r in rows] == [("v1", 0, "C")]
    assert 120.0 <= rows[0]["active_from"] - lost_at <= 125.0
    assert rows[0]["header"] == "Route R: v1 is no longer heard of"
    again = run[21].again(time=lost_at + 201)
    rows = watch.at(again.time, [again]) + watch.at(again.time + 5)
    assert [(r["vehicle_id"], r["revision"]) for r in rows if r["active_to"] == r["active_to"]] == [("v1", 1)]


def test_a_vehicle_that_falls_silent_at_its_last_stop_is_not_lost():
    watch = Watch()
    log = watch.log
    others = [f for i in range(24) for f in log.run("other", "R-back", log.clock("07:00:00") + i * 50, 2000.0)]
    run = log.run("v1", "R", "07:00:00")
    facts = run + [f for f in others if f.time < run[-1].time + 200]
    assert not [r for r in kinds(watch.drive(facts, run[-1].time + 200), "vehicle_lost") if r["vehicle_id"] == "v1"]


def test_a_silent_source_is_one_alert_and_loses_no_vehicles():
    watch = Watch()
    log = watch.log
    runs = [log.run(f"v{i}", "R", log.clock("07:00:00") + 20 * i)[:10] for i in range(3)]
    facts = [f for run in runs for f in run]
    heard = max(f.time for f in facts) + 0.5
    assert np.diff(sorted(f.time for f in facts)).max() < 60
    rows = watch.drive(facts, heard)
    rows += [r for t in range(5, 600, 5) for r in watch.at(heard + t)]
    told = first_of_each(rows)
    assert [r["kind"] for r in told if r["active_from"] > heard] == ["source_silent"]
    silent = next(r for r in told if r["kind"] == "source_silent")
    assert 60.0 <= silent["active_from"] - heard <= 65.0
    assert silent["severity"] == "SEVERE"
    assert silent["header"] == f"No pings from this feed since {clock(watch, heard)}"
    assert silent["vehicle_id"] is None
    back = runs[0][-1].again(time=heard + 600)
    rows = [r for t in range(0, 120, 20) for r in watch.at(back.time + t, [back.again(time=back.time + t)])]
    assert [(r["kind"], r["revision"]) for r in rows if r["active_to"] == r["active_to"]] == [("source_silent", 1)]
    assert not kinds(rows, "vehicle_lost"), "the others get time to be heard of again"
    rows = [r for t in range(120, 160, 20) for r in watch.at(back.time + t, [back.again(time=back.time + t)])]
    assert {r["vehicle_id"] for r in kinds(rows, "vehicle_lost")} == {"v1", "v2"}


def test_an_active_alert_is_said_again_every_minute_in_the_same_words():
    watch = Watch()
    rows = [r for t in range(0, 400, 5) for r in watch.at(1000.0 + t)]
    assert {r["kind"] for r in rows} == {"source_silent"}
    assert len(rows) > 5
    assert len({(r["revision"], r["header"], r["description"]) for r in rows}) == 1


@pytest.mark.parametrize("when", [30, 61, 90, 300])
def test_an_alert_outlives_a_crash(when):
    watch = Watch()
    straight = [r for t in range(0, 600, 5) for r in watch.at(1000.0 + t)]
    crashed = Watch()
    rows = []
    for t in range(0, 600, 5):
        if t > when >= t - 5:
            crashed.state = crashed.city.load(crashed.city.dump(crashed.state), 0)
        rows += crashed.at(1000.0 + t)
    assert str(rows) == str(straight)
    assert rows
