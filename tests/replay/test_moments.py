"""What explain tells of each ping is what the track stage publishes."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.rejects import Reject
from streams.replay.moments import DEADHEAD, LAYOVER, OFF_ROUTE, REJECTED, SERVICE, Moment, explain, run_number, way
from streams.settings import Settings
from streams.sources.recording import Recording
from streams.sources.rows import Options, pings_of
from tests.engine.pinging import Ping, last_words, ride, rows, run, seven, stand, town

AWAY = (-6.5, 106.8)  # some 33 km off


def recording(pings: list[Ping]) -> Recording:
    """Pings in the order of their arrival, each a second after it was made, or as `arrived` says."""
    table = [{k: v for k, v in p.items() if k != "arrived"} for p in pings]
    now, record_time = 0.0, []
    for ping in pings:
        now = max(now, ping.get("arrived", ping["timestamp"] + 1.0))
        record_time.append(now)
    return pings_of(pl.DataFrame(table).with_columns(record_time=pl.Series(record_time)), "pings", Options())


def explained(pings: list[Ping]) -> list[Moment]:
    return explain(recording(pings).frame, town()[0])


def there_and_back() -> list[Ping]:
    """A to D, a wait, and back."""
    network, drawing = town()
    pings = ride(drawing, "R", seven(network), every_s=10.0, route_id="R", bearing_deg=90.0)
    pings += stand(drawing.at("D"), pings[-1]["timestamp"] + 10.0, 240.0, every_s=10.0, route_id="R", speed_mps=0.0)
    back = pings[-1]["timestamp"] + 10.0
    pings += ride(drawing, "R-back", back, every_s=10.0, route_id="R", bearing_deg=270.0)
    return [{"speed_mps": 8.0, **p} for p in pings]


@settings(max_examples=8)
@given(st.data())
def test_what_is_told_is_what_is_published(data: st.DataObject) -> None:
    """Also when pings come late, twice, from elsewhere, or with a place that cannot be."""
    pings = there_and_back()
    order = list(range(len(pings)))
    for k in data.draw(st.sets(st.integers(3, len(pings) - 4), max_size=6)):
        order.insert(max(0, order.index(k) + data.draw(st.integers(-2, 5))), order.pop(order.index(k)))
    given_pings = [dict(pings[k]) for k in order]
    for k in data.draw(st.sets(st.integers(2, len(pings) - 2), max_size=4)):
        how = data.draw(st.sampled_from(("away", "twice", "other", "nowhere")))
        if how == "away":
            given_pings[k]["lat"] = AWAY[0]
        elif how == "nowhere":
            given_pings[k]["lat"] = 91.0
        else:
            again = dict(given_pings[k])
            again["lat"] += 0.0 if how == "twice" else data.draw(st.sampled_from((-0.0003, 0.0003)))
            given_pings.append(again | {"arrived": given_pings[k]["timestamp"]})
    published = run(town()[0], given_pings)
    moments = explained(given_pings)
    words: dict[Any, Any] = {}
    for moment in moments:
        if moment.words is not None:
            said = {k: v for k, v in moment.words.items() if k not in ("revision", "withdrawn")}
            words["bus", moment.words["timestamp"]] = said
    left = last_words(published)["positions"]
    assert words.keys() == left.keys()
    for key, said in words.items():
        for name, value in said.items():
            expected = left[key][name]
            whole = name in ("direction_id", "stop_sequence")
            assert value == (None if whole and expected == -1 else expected), (key, name)
    reasons = sorted(m.reason for m in moments if m.reason is not None)
    assert reasons == sorted(r["reason"] for r in rows(published["rejects"]))
    assert all((m.words is None) == (m.what == REJECTED) for m in moments)


def test_hypotheses_are_all_that_is_believed() -> None:
    for moment in explained(there_and_back()):
        found = moment.hypotheses
        assert sum(h.probability for h in found) == pytest.approx(1.0, abs=1e-3)
        assert [h.probability for h in found] == sorted((h.probability for h in found), reverse=True)
        said = moment.words
        assert said is not None
        if said["pattern_id"] is not None and said["dist_m"] is not None:
            same = [h for h in found if h.pattern_id == said["pattern_id"] and h.phase == SERVICE]
            assert min(abs(h.dist_m - said["dist_m"]) for h in same if h.dist_m is not None) < 150.0
            route_dir = (said["route_id"], said["direction_id"])
            mass = sum(
                h.probability
                for h in found
                if (h.route_id, h.direction_id) == route_dir and h.phase in (SERVICE, OFF_ROUTE)
            )
            assert mass == pytest.approx(said["match_probability"], abs=1e-3)
        for h in found:
            assert (h.pattern_id is None) == (h.phase not in (SERVICE, LAYOVER, OFF_ROUTE))
            assert (h.dist_m is None) == (h.phase in (LAYOVER, DEADHEAD, "at base"))


def test_a_day_of_a_bus_is_service_layover_service() -> None:
    what = [m.what for m in explained(there_and_back())]
    assert what[10] == SERVICE
    assert LAYOVER in what
    assert what[-5] == SERVICE


def test_a_fix_from_elsewhere_has_its_reason() -> None:
    pings = there_and_back()
    pings[30]["lat"] = AWAY[0]
    moments = explained(pings)
    assert [k for k, m in enumerate(moments) if m.what == REJECTED] == [30]
    assert moments[30].reason == Reject.IMPOSSIBLE_SPEED.name
    assert moments[30].said is None


def test_the_last_fix_is_not_left_without_a_reason() -> None:
    pings = there_and_back()
    pings[-1]["lat"] = AWAY[0]
    assert explained(pings)[-1].reason == Reject.IMPOSSIBLE_SPEED.name


def test_a_late_ping_changes_what_was_said() -> None:
    """At C the two routes part; the ping that shows which way the bus went comes after the next one."""
    network, drawing = town()
    pings = ride(drawing, "S", seven(network))
    at = next(k for k, p in enumerate(pings) if p["lat"] > drawing.at("C")[0] + 0.0004)
    moments = explained([*pings[:at], *pings[at + 1 : at + 3], pings[at], *pings[at + 3 :]])
    late = moments[at + 2]
    assert late.words is not None
    assert late.words["timestamp"] == pings[at]["timestamp"]
    assert [k for k, m in enumerate(moments) if m.later is not None] == [at, at + 1]


def test_nothing_comes_of_nothing() -> None:
    assert explain(recording(there_and_back()).frame.clear(), town()[0], Settings()) == []


def test_names() -> None:
    assert (way("190", 0), way("190", None), way(None, 1)) == ("190:0", "190", "")
    assert (run_number("2026-03-10:v:12"), run_number(None)) == ("12", "")
