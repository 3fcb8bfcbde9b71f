import numpy as np
import pytest

from streams.engine.city import City
from streams.engine.headways import Headways
from streams.engine.indicators import Indicators
from streams.engine.targets import legal_limits, peak_hours
from streams.settings import City as CitySettings
from streams.settings import Settings, WrongSetting
from tests.drawing import draw
from tests.engine.driving import Log, rows_of

STREET = "A----B----C"


def told(starts, **city):
    """Headway rows at stop C of buses that start at these times; planned every 10 minutes."""
    network, drawing = draw(STREET, {"R": "ABC"}, headway_s=600.0)
    settings = Settings(city=CitySettings(hole_s=1e6, **city))
    headways = Headways(network, settings)
    stage = City(network, settings, parts=(headways, Indicators(network, settings, headways)))
    state, log, out = stage.fresh(0), Log(network, drawing), []
    for i, at in enumerate(starts):
        for f in log.run(f"v{i}", "R", at):
            out += rows_of(stage.advance(state, log.record([f]), f.time).get("headways", {"stop_id": np.empty(0)}))
    return [r for r in out if r["stop_id"] == "C"][1:]


def test_the_timetable_is_the_target_unless_set_otherwise():
    (row,) = told(["07:00:00", "07:05:00"])
    assert (row["scheduled_headway_s"], row["target_headway_s"], row["headway_ratio"]) == (600.0, 600.0, 0.5)


def test_a_legal_limit_depends_on_the_time_of_day_and_the_plan_stays_beside_it():
    rows = told(["08:50:00", "08:55:00", "09:00:00"], headway_target="legal", legal_limits="pergub-2-2024")
    # C is 100 s away: 08:57 is in the peak, 09:02 is not
    assert [r["target_headway_s"] for r in rows] == [600.0, 1200.0]
    assert [r["headway_ratio"] for r in rows] == [0.5, 0.25]
    assert [r["band"] for r in rows] == ["close", "bunched"]
    assert {r["scheduled_headway_s"] for r in rows} == {600.0}


def test_a_rolling_target_is_the_routes_own_mean_once_enough_is_known():
    starts = [f"0{7 + m // 60}:{m % 60:02}:00" for m in range(0, 100, 5)]
    rows = told(starts, headway_target="rolling")
    assert rows[0]["target_headway_s"] == 600.0, "nothing known yet: the plan"
    assert rows[-1]["target_headway_s"] == 300.0
    assert rows[-1]["headway_ratio"] == 1.0


def test_peaks_are_hours_of_a_weekday():
    peak = peak_hours("6-9,16-20").reshape(7, 24)
    assert np.flatnonzero(peak[0]).tolist() == [6, 7, 8, 16, 17, 18, 19]
    assert (peak[:5] == peak[0]).all()
    assert not peak[5:].any()
    assert not peak_hours("").any()


@pytest.mark.parametrize("text", ["pergub", "300,600", "0,1,2,3", "a,b,c,d"])
def test_limits_that_make_no_sense_are_refused_with_what_would_be_right(text):
    with pytest.raises(WrongSetting, match="pergub-2-2024"):
        legal_limits(text)


@pytest.mark.parametrize("text", ["6", "9-6", "6-25", "a-b"])
def test_peaks_that_make_no_sense_are_refused(text):
    with pytest.raises(WrongSetting, match="6-9,16-20"):
        peak_hours(text)


@pytest.mark.parametrize("wrong", [{"headway_target": "mean"}, {"headway_target": "legal"}])
def test_a_target_that_cannot_be_used_is_refused(wrong):
    network, _ = draw(STREET, {"R": "ABC"})
    with pytest.raises(WrongSetting, match="KORIDOR_CITY_"):
        Headways(network, Settings(city=CitySettings(**wrong)))
