import math

import numpy as np
import pytest

from streams.engine import indicators as module
from streams.engine.city import City
from streams.engine.headways import Headways
from streams.engine.indicators import FIGURES, Indicators, figures
from streams.settings import City as CitySettings
from streams.settings import Settings
from tests.drawing import draw
from tests.engine.driving import Log, rows_of

STREET = "A----B----C"


def sums_of(headways, planned, limit=None):
    """Sums of a hand-written sequence, as the part keeps them: hundredths of a second. The plan is the target."""
    row = np.zeros(module.SUMS, dtype=np.int64)
    for h, p in zip(headways, planned, strict=True):
        h, p = round(h * 100), None if p is None else round(p * 100)
        row[module.N] += 1
        row[module.SEEN] += 1
        if limit is not None:
            row[module.LIMITED] += 1
            row[module.WITHIN] += h <= limit * 100
        row[module.H] += h
        row[module.HH] += h * h
        if p is not None:
            row[module.N_PLAN] += 1
            row[module.H_PLAN] += h
            row[module.HH_PLAN] += h * h
            row[module.P] += p
            row[module.PP] += p * p
            row[module.JUDGED] += 1
            row[module.REGULAR] += 0.5 < h / p < 1.5
            row[module.BUNCH] += h / p <= 0.33
            row[module.GAPPED] += h / p >= 2.0
    return row


def worked(headways, planned, vehicles=3, calls=0.0, limit=None):
    row = figures(sums_of(headways, planned, limit)[None, :], np.array([vehicles]), np.array([calls]))[0]
    return dict(zip(FIGURES, row.tolist(), strict=True))


def test_an_even_service_has_no_variation_and_no_excess_wait():
    row = worked([600.0] * 4, [600.0] * 4)
    assert row["headway_mean_s"] == 600.0
    assert row["headway_cv"] == 0.0
    assert row["excess_wait_s"] == 0.0
    assert row["share_bunched"] == row["share_gapped"] == 0.0


def test_pairs_of_buses_by_hand():
    # headways 2 and 18 minutes, planned 10. Mean 10; sigma 8; CV 0.8. Wait (4 + 324) / (2 x 20) = 8.2 min against
    # 5 planned: 3.2 min = 192 s more. 2/10 = 0.2 is bunched, 18/10 = 1.8 no gap yet.
    row = worked([120.0, 1080.0], [600.0, 600.0])
    assert row["headway_mean_s"] == 600.0
    assert row["headway_cv"] == pytest.approx(0.8)
    assert row["excess_wait_s"] == 192.0
    assert row["scheduled_headway_s"] == 600.0
    assert row["share_bunched"] == 0.5
    assert row["share_gapped"] == 0.0


def test_a_missing_bus_by_hand():
    # every 10 minutes, one of four is missing: 10, 20, 10. Wait (100 + 400 + 100) / (2 x 40) = 7.5 min; planned 5.
    row = worked([600.0, 1200.0, 600.0], [600.0] * 3)
    assert row["excess_wait_s"] == 150.0
    assert row["headway_cv"] == pytest.approx(math.sqrt(2) / 4, abs=1e-4)
    assert row["share_gapped"] == pytest.approx(1 / 3, abs=1e-4)


def test_what_has_no_plan_counts_for_the_mean_only():
    row = worked([300.0, 900.0], [None, 600.0])
    assert row["headway_mean_s"] == 600.0
    assert row["scheduled_headway_s"] == 600.0
    assert row["excess_wait_s"] == 150.0, "450 s of 900 against 300 of 600"
    assert row["share_bunched"] == 0.0


def test_one_headway_has_no_variation_and_none_has_nothing():
    assert math.isnan(worked([300.0], [300.0])["headway_cv"])
    empty = worked([], [])
    assert empty["n_headways"] == 0
    assert all(math.isnan(empty[name]) for name in FIGURES[2:])


def test_compliance_regularity_and_coverage_by_hand():
    # planned and allowed every 10 minutes: 4, 9, 10, 11, 16; five of the six buses that were planned were seen
    row = worked([240.0, 540.0, 600.0, 660.0, 960.0], [600.0] * 5, calls=6.0, limit=600.0)
    assert row["share_within_limit"] == 0.6
    assert row["share_regular"] == 0.6, "4 is close and 16 wide"
    assert row["coverage"] == pytest.approx(5 / 6, abs=1e-4)
    nothing = worked([600.0], [None])
    assert math.isnan(nothing["share_regular"])
    assert math.isnan(nothing["share_within_limit"])
    assert math.isnan(nothing["coverage"])


def city_of(network, **city):
    settings = Settings(city=CitySettings(**city))
    headways = Headways(network, settings)
    return City(network, settings, parts=(headways, Indicators(network, settings, headways)))


def drive(starts, key="R"):
    network, drawing = draw(STREET, {"R": "ABC", "R-back": "CBA"}, headway_s=600.0)
    log = Log(network, drawing)
    facts = [f for i, at in enumerate(starts) for f in log.run(f"v{i}", key, at)]
    return network, log, sorted(facts, key=lambda f: f.time)


def advance(city, state, log, facts, at):
    return city.advance(state, log.record(facts) if facts else None, at)


def test_a_city_states_the_last_hour_of_each_route_and_direction():
    network, log, facts = drive(["07:00:00", "07:02:00", "07:20:00"])
    city = city_of(network)
    state = city.fresh(0)
    advance(city, state, log, facts, log.clock("07:22:00"))
    rows = rows_of(advance(city, state, log, [], log.clock("07:22:05"))["indicators"])
    assert [(r["route_id"], r["direction_id"]) for r in rows] == [("R", 0)]
    row = rows[0]
    # stops B and C: twice 2 and 18 minutes; the first stop, where buses wait, is left out
    assert row["n_headways"] == 4
    assert row["headway_mean_s"] == 600.0
    assert row["headway_cv"] == pytest.approx(0.8)
    assert row["excess_wait_s"] == 192.0
    assert row["n_vehicles"] == 3
    assert row["made_at"] == log.clock("07:22:05")


def test_a_withdrawn_passing_is_taken_out_again_exactly():
    network, log, facts = drive(["07:00:00", "07:02:00", "07:20:00"])
    without = [f for f in facts if f.vehicle != "v1"]
    city = city_of(network)
    state, other = city.fresh(0), city.fresh(0)
    advance(city, state, log, facts, log.clock("07:22:00"))
    advance(city, state, log, [f.again(withdrawn=True) for f in facts if f.vehicle == "v1"], log.clock("07:22:01"))
    advance(city, other, log, without, log.clock("07:22:00"))
    assert (state.parts["indicators"].sums == other.parts["indicators"].sums).all()
    assert other.parts["indicators"].sums.any()


def test_what_is_older_than_the_window_no_longer_counts():
    network, log, facts = drive(["07:00:00", "07:05:00", "08:10:00", "08:20:00"])
    city = city_of(network)
    state = city.fresh(0)
    early = [f for f in facts if f.time < log.clock("08:00:00")]
    advance(city, state, log, early, log.clock("07:06:00"))
    seen = rows_of(advance(city, state, log, [], log.clock("07:07:00"))["indicators"])[-1]
    assert seen["n_headways"] == 2
    advance(city, state, log, [f for f in facts if f not in early], log.clock("08:22:00"))
    row = rows_of(advance(city, state, log, [], log.clock("08:23:00"))["indicators"])[-1]
    assert row["n_headways"] == 4
    assert row["headway_mean_s"] == pytest.approx((65 + 10) * 60 / 2)


def test_nothing_is_said_twice_but_once_a_minute_everything():
    network, log, facts = drive(["07:00:00", "07:02:00"])
    city = city_of(network, lost_after_s=600.0)
    state = city.fresh(0)
    advance(city, state, log, facts, log.clock("07:04:02"))
    assert "indicators" in advance(city, state, log, [], log.clock("07:04:05"))
    assert "indicators" not in advance(city, state, log, [], log.clock("07:04:55"))
    assert "indicators" in advance(city, state, log, [], log.clock("07:05:00"))


def test_a_state_of_another_window_starts_anew():
    network, log, facts = drive(["07:00:00", "07:02:00"])
    city = city_of(network)
    state = city.fresh(0)
    advance(city, state, log, facts, log.clock("07:04:00"))
    again = city_of(network, indicator_window_s=7200.0).load(city.dump(state), 0)
    assert again.parts["indicators"].sums.shape[1] == 120 + module.SPARE_MINUTES
    assert not again.parts["indicators"].sums.any()
    assert city.load(city.dump(state), 0).parts["indicators"].sums.any()


def test_an_hour_of_the_clock_is_told_once_it_has_closed_and_stays():
    starts = [f"07:{m:02}:00" for m in range(5, 60, 10)] + ["08:03:00"]
    network, log, facts = drive(starts)
    city = city_of(network, legal_limits="300,540,540,1200")
    state = city.fresh(0)
    eight = log.clock("08:00:00")
    told = []
    for f in facts:
        told += rows_of(advance(city, state, log, [f], f.time).get("indicators", {"final": np.empty(0)}))
    assert not [r for r in told if r["final"]]
    rows = rows_of(advance(city, state, log, [], eight + 305.0)["indicators"])
    hour = next(r for r in rows if r["final"])
    assert (hour["window_start"], hour["window_s"], hour["made_at"]) == (eight - 3600.0, 3600, eight + 300.0)
    assert hour["n_headways"] == 10, "stops B and C, five headways each"
    assert (hour["headway_mean_s"], hour["excess_wait_s"], hour["share_within_limit"]) == (600.0, 0.0, 0.0)
    assert hour["share_regular"] == 1.0
    # from 07:05 on there were 5.5 planned headways, and six buses came
    assert hour["coverage"] == pytest.approx(12 / 11, abs=0.05)
    again = city.load(city.dump(state), 0)
    rows = rows_of(advance(city, again, log, [], eight + 360.0)["indicators"])
    assert [r for r in rows if r["final"] and r["direction_id"] == 0] == [hour]


def test_a_route_that_nobody_saw_has_a_coverage_of_none():
    network, log, facts = drive(["07:00:00", "07:10:00", "07:20:00"])
    city = city_of(network)
    state = city.fresh(0)
    advance(city, state, log, facts, log.clock("06:59:00"))
    rows = rows_of(advance(city, state, log, [], log.clock("07:30:00"))["indicators"])
    coverage = {(r["route_id"], r["direction_id"]): r["coverage"] for r in rows}
    assert coverage["R", 0] == pytest.approx(1.0, abs=0.05)
    assert coverage.get(("R-back", 0), 0.0) == 0.0
