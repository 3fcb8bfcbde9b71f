import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import messages
from streams.engine.arrivals import Arrivals, trip_scales
from streams.engine.city import City
from streams.engine.congestion import Congestion
from streams.kernels import turns as kernel_turns
from streams.kernels import waits as kernel_waits
from streams.settings import Settings
from tests.drawing import draw
from tests.engine import pinging, riding
from tests.engine.riding import MIDNIGHT

SETTINGS = Settings()
EIGHT = MIDNIGHT + 8 * 3600.0
TIMES = ("arrival_p10", "arrival_p50", "arrival_p90", "arrival_time")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return riding.street(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="module")
def again(network):
    """The same street, driven again and again from its first stop."""
    return replace(network, pattern_partner_ix=np.zeros_like(network.pattern_partner_ix))


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """The same street by a timetable: T0 at 8:00, T1 at 8:20."""
    return riding.street(tmp_path_factory.mktemp("planned"), frequency=False, departures=("08:00:00", "08:20:00"))


def city_of(network):
    return City(network, SETTINGS, (Congestion(network, SETTINGS), Arrivals(network, SETTINGS)))


def run(network, records, state=None, city=None):
    """The statements as dicts, in order, and the state."""
    city = city or city_of(network)
    state = state or city.fresh(0)
    said = [city.advance(state, columns, at).get("arrivals") for at, columns in records]
    table = messages.concat(messages.ARRIVAL, [s for s in said if s is not None])
    names = list(table)
    return [dict(zip(names, row, strict=True)) for row in zip(*table.values(), strict=True)], state


def held(rows):
    return [row for row in rows if not np.isnan(row["arrival_p50"])]


def at(rows, made_at, vehicle="A"):
    """What stands stated at a moment: {stop_sequence: row}."""
    out = {}
    for row in rows:
        if row["vehicle_id"] == vehicle and row["made_at"] <= made_at:
            out[row["scheduled_stop_sequence"]] = row
    return {k: v for k, v in out.items() if not np.isnan(v["arrival_p50"])}


def left(rows, made_at, stop, vehicle="A", column="arrival_p50"):
    return at(rows, made_at, vehicle)[stop][column] - made_at


# --- laws of statements


@st.composite
def services(draw):
    """A few buses on the street, each with its own speed, some of them standing in a jam or waiting at the start."""
    out = []
    for i in range(draw(st.integers(1, 2))):
        out.append(
            {
                "vehicle_id": "ABC"[i],
                "start": EIGHT + draw(st.integers(0, 600)),
                "link_s": draw(st.lists(st.integers(40, 400), min_size=5, max_size=5)),
                "jam": draw(st.one_of(st.none(), st.tuples(st.floats(100, 2900), st.integers(60, 900)))),
            }
        )
    return out, draw(st.sampled_from([5.0, 10.0, 20.0, 60.0]))


def rides_of(network, service):
    out = []
    for bus in service:
        r = riding.ride(network, bus["vehicle_id"], bus["start"], bus["link_s"])
        out.append(riding.waits(r, *bus["jam"]) if bus["jam"] else r)
    return out


@settings(max_examples=8)
@given(services())
def test_laws_of_what_is_stated(network, case):
    service, ping_s = case
    rides = rides_of(network, service)
    records = riding.records(network, rides, ping_s)
    rows, _ = run(network, records)
    passed_at = {}  # when the city was told that a bus had come to a stop
    for record_time, columns in records:
        p = columns["passings"]
        for run_id, seq in zip(p["trip_id_performed"], p["gate_seq"], strict=True):
            stop = int(np.flatnonzero(network.pstop_gate_seq == seq)[0])
            passed_at.setdefault((run_id, stop), record_time)
    stated, at_once, unasked = {}, defaultdict(list), []
    for row in rows:
        key = (row["trip_id_performed"], row["scheduled_stop_sequence"])
        p10, p50, p90, told = (row[name] for name in TIMES)
        made = row["made_at"]
        assert made % 5 == 0
        if np.isnan(p50):
            assert np.isnan([p10, p90, told]).all()
            assert key in stated, "withdrawn, but nothing was held"
            del stated[key]
            continue
        assert made <= passed_at.get(key, np.inf), "an estimate for a stop already passed"
        assert made < p10 <= p50 <= p90
        assert max(p10, p50 - 120) - 0.011 <= told <= p50
        assert p50 <= made + 3600 + 900
        if key in stated:
            old = stated[key]
            moved = abs(p50 - old["arrival_p50"]) > max(15.0, 0.05 * (p50 - made)) - 0.1
            again = made - old["made_at"] >= 30
            if not (moved or again):
                unasked.append((row, dict(stated)))
            assert made - old["made_at"] <= 30, "not repeated in time"
        stated[key] = row
        at_once[row["trip_id_performed"], made].append((key[1], p10, p50, p90, told))
    for several in at_once.values():
        ordered = sorted(several)
        for a, b in itertools.pairwise(ordered):
            assert all(later - earlier >= 0.99 for earlier, later in zip(a[1:], b[1:], strict=True))
    assert not stated, "every bus has come, every estimate is withdrawn"
    for row, before in unasked:  # said though it had not moved: beside the others it would not rise any more
        run_id, made = row["trip_id_performed"], row["made_at"]
        told = {k[1]: v["arrival_time"] for k, v in before.items() if k[0] == run_id}
        mine = row["scheduled_stop_sequence"]
        told |= {stop: said for stop, _, _, _, said in at_once[run_id, made] if stop != mine}
        beside = [made, *(told[stop] for stop in sorted(told) if told[stop] >= made or stop == mine)]
        assert any(b - a < 1.11 for a, b in itertools.pairwise(beside))  # memory is in tenths of a second


@settings(max_examples=5)
@given(services(), st.lists(st.integers(0, 150), min_size=1, max_size=3))
def test_statements_are_the_same_after_any_crash(network, case, crashes):
    service, ping_s = case
    records = riding.records(network, rides_of(network, service), max(ping_s, 10.0))
    city = city_of(network)

    def play(crashes):
        out, state = [], city.fresh(0)
        for i, (record_time, columns) in enumerate(records):
            if i in crashes:
                state = city.load(city.dump(state), 0)
            said = city.advance(state, columns, record_time)
            out += [messages.encode(messages.ARRIVAL, said["arrivals"])] if "arrivals" in said else []
        return out, city.dump(state)

    assert play(crashes)[0] == play([])[0]


@settings(max_examples=5)
@given(services(), st.randoms(use_true_random=False), st.data())
def test_learning_does_not_depend_on_order_batches_or_repeats(network, case, random, data):
    """The same closed passings, each vehicle's within its watermark, shuffled, batched otherwise, some twice."""
    service, _ = case
    rides = rides_of(network, service)
    learned = []
    for ping_s, shuffle in ((10.0, False), (10.0, True)):
        records = riding.records(network, rides, ping_s, until=EIGHT + 4800)
        if shuffle:
            records = [(t, shuffled(columns, random)) for t, columns in records]
            repeated = data.draw(st.lists(st.integers(0, len(records) - 2), max_size=5))
            for i in sorted(repeated, reverse=True):  # a tracker that crashed says its last records again
                records.insert(i + 1, (records[i + 1][0], records[i][1]))
        _, state = run(network, records)
        part = state.parts["arrivals"]
        learned.append([getattr(part.running, f).tobytes() for f in ("sum_s", "hour_s", "recent_s", "net_s", "fits")])
        of_terminals = ("waits", "departures_today", "clock", "gaps", "turns")
        learned[-1] += [getattr(part.terminals, f).tobytes() for f in of_terminals]
        assert part.running.sum_s.sum() > 0
    assert learned[0] == learned[1]


def shuffled(columns, random):
    out = {}
    for name, group in columns.items():
        order = list(range(messages.rows(group)))
        random.shuffle(order)
        out[name] = messages.take(group, np.array(order, dtype=np.int64))
    return out


# --- drawn cases


def test_before_any_data_the_timetable_speaks(network):
    rows, _ = run(network, riding.records(network, [riding.ride(network, "A", EIGHT, 120.0)]))
    now = at(rows, EIGHT + 180)  # a minute past the second stop
    assert sorted(now) == [2, 3, 4, 5]
    for stop, row in now.items():
        assert row["arrival_p50"] == pytest.approx(EIGHT + 120 * stop, abs=30)
        assert (row["stop_id"], row["route_id"], row["direction_id"]) == (f"S{stop}", "R", 0)


def test_a_trip_that_the_timetable_gives_more_time_takes_more_time(tmp_path):
    """Rush hour in the timetable: T1 has 180 s for each hop that T0 has 120 for. Both keep to it, so nothing is learned
    about the links but that the timetable is right."""
    network = riding.street(
        tmp_path, frequency=False, departures=("08:00:00", "08:20:00", "09:00:00"), paces=(1.0, 1.5, 1.5)
    )
    assert trip_scales(network, np.full(5, 120.0)).tolist() == [1.0, 1.5, 1.5]
    rides = [
        riding.ride(network, "A", EIGHT, 120.0, trip="T0"),
        riding.ride(network, "B", EIGHT + 1200, 180.0, trip="T1"),
        riding.ride(network, "C", EIGHT + 3600, 180.0, trip="T2"),
    ]
    rows, state = run(network, riding.records(network, rides))
    for vehicle, start, hop in (("A", EIGHT, 120), ("B", EIGHT + 1200, 180), ("C", EIGHT + 3600, 180)):
        assert left(rows, start + 10, 5, vehicle) == pytest.approx(5 * hop - 10, abs=25)
    running = state.parts["arrivals"].running
    assert running.usual == pytest.approx(city_of(network).parts[1].running.prior_s, rel=0.02)


def test_running_times_are_learned_from_the_buses_ahead(network):
    rides = [riding.ride(network, f"B{i}", EIGHT + 240 * i, 200.0) for i in range(6)]
    rides.append(riding.ride(network, "A", EIGHT + 3600, 200.0))
    rows, state = run(network, riding.records(network, rides))
    running = state.parts["arrivals"].running
    assert running.expected == pytest.approx(np.full(5, 200.0), rel=0.08)
    assert left(rows, EIGHT + 3610, 5) == pytest.approx(990, rel=0.1)
    first = at(rows, EIGHT + 15, "B0")
    assert first[5]["arrival_p50"] - EIGHT < 700  # nobody had driven yet


def test_a_jam_ahead_lengthens_the_estimate_of_the_bus_behind(network):
    """Five buses crawl through the third link, at a tenth of the usual speed; the sixth has not got there."""
    crawl = [120.0, 120.0, 1200.0, 120.0, 120.0]
    follower = riding.ride(network, "A", EIGHT + 1800, 120.0)
    free, _ = run(network, riding.records(network, [follower]))
    rides = [riding.ride(network, f"B{i}", EIGHT + 60 * i, crawl) for i in range(5)]
    jammed, _ = run(network, riding.records(network, [*rides, follower]))
    now = EIGHT + 1830
    assert left(jammed, now, 2) == pytest.approx(left(free, now, 2), abs=40)
    assert left(jammed, now, 3) > left(free, now, 3) + 150
    width = [at(rows, now)[3]["arrival_p90"] - at(rows, now)[3]["arrival_p10"] for rows in (free, jammed)]
    assert width[1] > width[0] + 100


def test_twenty_minutes_of_standing_widen_but_do_not_vanish(network):
    r = riding.waits(riding.ride(network, "A", EIGHT, 120.0), 900.0, 1200.0)
    rows, _ = run(network, riding.records(network, [r]))
    early, late = EIGHT + 200, EIGHT + 1300
    for moment in np.arange(EIGHT + 200, EIGHT + 1350, 30.0):
        now = at(rows, moment)
        assert sorted(now) == [2, 3, 4, 5]
        assert all(moment - row["made_at"] <= 30 for row in now.values())
    for stop in (2, 5):
        before, after = at(rows, early)[stop], at(rows, late)[stop]
        assert after["arrival_p50"] - late > before["arrival_p50"] - early + 100
        assert after["arrival_p90"] - after["arrival_p10"] > before["arrival_p90"] - before["arrival_p10"] + 600


def test_a_bus_that_waits_for_its_departure(planned):
    """On the terminal from 7:50, planned to leave at 8:00: told from then on, and that it leaves at eight."""
    r = riding.ride(planned, "A", EIGHT, 120.0, trip="T0", layover_until=EIGHT)
    r.time[0] = EIGHT - 600
    rows, _ = run(planned, riding.records(planned, [r]))
    now = at(rows, EIGHT - 300)
    assert sorted(now) == [1, 2, 3, 4, 5]
    assert left(rows, EIGHT - 300, 1) == pytest.approx(420, abs=60)
    early = riding.ride(planned, "A", EIGHT, 120.0, trip="T0", layover_until=EIGHT - 590)
    early.time[0] = EIGHT - 600  # the tracker thinks it is in service already
    same, _ = run(planned, riding.records(planned, [early]))
    assert left(same, EIGHT - 300, 1) == pytest.approx(420, abs=60)


def test_without_a_timetable_the_wait_is_that_of_the_runs_before(network):
    def rides(n):
        for i in range(n):
            r = riding.ride(network, "A", EIGHT + 1800 * i, 120.0, run=i, layover_until=EIGHT + 1800 * i)
            r.time[0] = EIGHT + 1800 * i - 1150  # it came to the terminal 50 s after its last run's end
            if i == 0:
                r.time[0] = EIGHT - 20
            yield r

    rows, state = run(network, riding.records(network, list(rides(6))))
    assert state.parts["arrivals"].terminals.waits.sum() == 5  # of 1200 s each
    last = EIGHT + 1800 * 5
    assert 120 + 150 < left(rows, last - 600, 1) < 120 + 900


def test_without_a_timetable_a_bus_leaves_when_buses_left_on_days_before(network):
    """Every day buses leave at the full quarters of an hour, however long they have waited; another city's leave
    minutes off it, a different number each time."""

    def told(off):
        city = city_of(network)
        state = city.fresh(0)
        terminals, mine = city.parts[1].terminals, state.parts["arrivals"].terminals
        terminals.grow(mine, 1)
        first = np.full(16, np.flatnonzero(terminals.of == 0)[0])
        none, unknown = np.zeros(16, np.int64), np.full(16, np.nan)
        random = np.random.default_rng(1)
        for day in range(6, 0, -1):
            leaves = EIGHT - day * 86_400.0 + 900.0 * np.arange(16) + off * random.integers(0, 15, 16) * 60.0
            terminals.learn(mine, none, none, first, np.sort(leaves), unknown)
        waits = [60.0 * k for k in range(1, 21)] * 4
        kernel_waits.learn(np.zeros(80, np.int64), np.full(80, 1), np.array(waits), mine.waits)
        r = riding.ride(network, "A", EIGHT + 900, 120.0, layover_until=EIGHT + 900)
        r.time[0] = EIGHT + 30
        rows, _ = run(network, riding.records(network, [r], until=EIGHT + 880), state, city)
        return left(rows, EIGHT + 300, 1) - 120.0

    assert told(0) == pytest.approx(600.0, abs=90)
    assert abs(told(1) - 600.0) > 100


@pytest.fixture(scope="module")
def pairs(network):
    """Buses come to the terminal in pairs, and one leaves every ten minutes: what is told when a pair stands there."""
    rides = []
    for k in range(12):
        r = riding.ride(network, f"V{k:02}", EIGHT + 600.0 * k, 120.0, layover_until=EIGHT + 600.0 * k)
        r.time[0] = EIGHT + 600.0 * (k - k % 2) - 300.0 + k % 2
        rides.append(r)
    return run(network, riding.records(network, rides))


def test_a_bus_behind_another_one_leaves_a_gap_later(pairs):
    """It came a second after the one before it: by its own wait it would leave with that one."""
    rows, state = pairs
    part = state.parts["arrivals"].terminals
    assert part.gaps[0, 0] == pytest.approx(600.0 * part.gaps[0, 1])
    assert kernel_turns.weights(part.turns)[1] > kernel_turns.weights(np.zeros((2, 2)))[1]
    first, second = (left(rows, EIGHT + 5900.0, 1, vehicle) for vehicle in ("V10", "V11"))
    assert second - first > 300.0


def test_what_a_turn_is_worth_outlasts_the_day(network, pairs):
    arrivals = Arrivals(network, SETTINGS)
    part = pairs[1].parts["arrivals"].terminals
    again = arrivals.begin(arrivals.learned(pairs[1].parts["arrivals"])).terminals
    for name in ("turns", "gaps"):
        assert (getattr(again, name) == getattr(part, name)).all()
    assert (again.turns[:, 1] > 0.0).all()
    assert np.isinf(again.left_at).all()  # the day over again: nobody has left yet


def unnamed(records):
    """As the tracker says it: a run has no name and no place before it begins."""
    for record_time, columns in records:
        columns = {name: dict(group) for name, group in columns.items()}
        positions, passings = columns["positions"], columns["passings"]
        waits = positions["trip_type"] == "Layover"
        for name, nothing in (("trip_id_performed", None), ("trip_id_scheduled", None), ("dist_m", np.nan)):
            positions[name] = positions[name].copy()
            positions[name][waits] = nothing
        waiting = set(positions["vehicle_id"][waits])
        begun = np.array([v not in waiting for v in passings["vehicle_id"]], dtype=np.bool_)
        columns["passings"] = messages.take(passings, begun)
        yield record_time, columns


def test_the_next_run_is_told_under_the_id_that_it_will_have(again):
    """Run 1 ends at 600 s, the bus stands at the first stop from 700 to 1200 s and leaves as run 2: from 700 s on the
    stops of run 2 are told, and nothing is taken back when it begins."""
    first = riding.records(again, [riding.ride(again, "A", EIGHT, 120.0)], until=EIGHT + 680)
    ride = riding.ride(again, "A", EIGHT + 1200, 120.0, run=2, layover_until=EIGHT + 1200)
    ride.time[0] = EIGHT + 700
    rows, state = run(again, [r for r in first if r[0] < EIGHT + 690] + list(unnamed(riding.records(again, [ride]))))
    second = [row for row in rows if row["trip_id_performed"] == ride.run_id]
    assert {row["trip_id_performed"] for row in rows} == {"2023-11-20:A:1", ride.run_id}
    assert second[0]["made_at"] < EIGHT + 720
    assert sorted(at(rows, EIGHT + 800)) == [1, 2, 3, 4, 5]
    gone = [row for row in second if np.isnan(row["arrival_p50"])]
    assert all(row["made_at"] > EIGHT + 1200 for row in gone)
    assert sorted(row["scheduled_stop_sequence"] for row in gone) == [1, 2, 3, 4, 5]  # each when the bus has come
    assert (state.parts["arrivals"].vehicles["next_run"] == -1).all()


def test_a_bus_that_waits_at_the_end_is_not_told_to_leave_the_start(network):
    """Nothing follows the street's only pattern: the tracker's wait at its end carries the pattern just driven."""
    first = riding.records(network, [riding.ride(network, "A", EIGHT, 120.0)], until=EIGHT + 680)
    rest = riding.ride(network, "A", EIGHT + 1200, 120.0, run=2, layover_until=EIGHT + 1200)
    rest.time[0] = EIGHT + 700
    rows, _ = run(network, [r for r in first if r[0] < EIGHT + 690] + list(unnamed(riding.records(network, [rest]))))
    assert [row for row in held(rows) if EIGHT + 690 < row["made_at"] < EIGHT + 1200] == []
    assert sorted(at(rows, EIGHT + 1230)) == [1, 2, 3, 4, 5]  # it has left again


def test_a_bus_that_was_on_no_run_begins_with_the_first_of_the_day(network):
    ride = riding.ride(network, "A", EIGHT + 500, 120.0, run=1, layover_until=EIGHT + 500)
    ride.time[0] = EIGHT
    rows, _ = run(network, list(unnamed(riding.records(network, [ride]))))
    assert {row["trip_id_performed"] for row in rows} == {ride.run_id}
    assert left(rows, EIGHT + 15, 1) > 240  # five minutes is what anybody waits before anything is known


def test_a_run_that_passed_no_gate_has_had_its_number_too(network):
    seen = riding.records(network, [riding.ride(network, "A", EIGHT, 120.0, run=1)], until=EIGHT + 20)
    for _, columns in seen:
        columns["passings"] = messages.take(columns["passings"], np.empty(0, np.int64))
    ride = riding.ride(network, "A", EIGHT + 500, 120.0, run=2, layover_until=EIGHT + 500)
    ride.time[0] = EIGHT + 100
    seen = [(t, columns) for t, columns in seen if t < EIGHT + 50]
    rows, _ = run(network, seen + list(unnamed(riding.records(network, [ride]))))
    assert {row["trip_id_performed"] for row in rows if row["made_at"] > EIGHT + 110} == {ride.run_id}


def test_what_was_wrong_about_the_next_run_is_taken_back(network):
    """The tracker names it otherwise (it saw a run in between that it withdrew)."""
    ride = riding.ride(network, "A", EIGHT + 500, 120.0, run=4, layover_until=EIGHT + 500)
    ride.time[0] = EIGHT
    rows, _ = run(network, list(unnamed(riding.records(network, [ride]))))
    guessed = [row for row in rows if row["trip_id_performed"] == "2023-11-20:A:1"]
    taken_back = [row for row in guessed if np.isnan(row["arrival_p50"])]
    assert [row["scheduled_stop_sequence"] for row in taken_back] == [1, 2, 3, 4, 5]
    assert taken_back[0]["made_at"] < EIGHT + 520
    assert sorted(at(held(rows), EIGHT + 530)) == [1, 2, 3, 4, 5]


def test_a_bus_parked_at_the_terminal_is_not_told(network):
    ride = riding.ride(network, "A", EIGHT + 9000, 120.0, layover_until=EIGHT + 9000)
    ride.time[0] = EIGHT
    rows, _ = run(network, list(unnamed(riding.records(network, [ride], 30.0))))
    assert at(rows, EIGHT + 3000) != {}
    assert at(rows, EIGHT + 3700) == {}
    assert sorted(at(rows, EIGHT + 9060)) == [1, 2, 3, 4, 5]


def test_the_block_says_when_the_next_run_leaves(tmp_path):
    """Two trips of one block, at 8:00 and 8:20: who has driven the first is told to leave for the second on time."""
    network = riding.street(tmp_path, frequency=False, departures=("08:00:00", "08:20:00"), block="B")
    first = riding.records(network, [riding.ride(network, "A", EIGHT, 120.0, trip="T0")], until=EIGHT + 680)
    ride = riding.ride(network, "A", EIGHT + 1200, 120.0, run=2, trip="T1", layover_until=EIGHT + 1200)
    ride.time[0] = EIGHT + 700
    rows, _ = run(network, [r for r in first if r[0] < EIGHT + 690] + list(unnamed(riding.records(network, [ride]))))
    now = at(rows, EIGHT + 800)
    assert now[1]["arrival_p50"] - EIGHT == pytest.approx(1320, abs=40)
    assert {row["trip_id_scheduled"] for row in now.values()} == {"T1"}


def test_a_bus_that_has_missed_its_departure_by_an_hour_is_parked(planned):
    ride = riding.ride(planned, "A", EIGHT + 9000, 120.0, trip="T0", layover_until=EIGHT + 9000)
    ride.time[0] = EIGHT - 600
    rows, _ = run(planned, riding.records(planned, [ride], 30.0))
    assert sorted(at(rows, EIGHT + 3500)) == [1, 2, 3, 4, 5]
    assert at(rows, EIGHT + 3700) == {}
    assert sorted(at(rows, EIGHT + 9060)) == [1, 2, 3, 4, 5]


def test_who_waits_overnight_begins_the_next_day_with_its_first_run(again):
    """The last run ends at 21:10; at midnight the next one gets another day's name, which it keeps when it begins."""
    evening, morning = MIDNIGHT + 21 * 3600, MIDNIGHT + 24 * 3600 + 1800
    first = riding.records(again, [riding.ride(again, "A", evening, 120.0, run=7)], until=evening + 680)
    ride = riding.ride(again, "A", morning, 120.0, day="2023-11-21", run=1, layover_until=morning)
    ride.time[0] = evening + 700
    rest = list(unnamed(riding.records(again, [ride], 30.0)))
    city = city_of(again)
    _, state = run(
        again, [r for r in first if r[0] < evening + 690] + [r for r in rest if r[0] < morning - 1860], None, city
    )
    named = state.parts["arrivals"].vehicles["next_run"]
    assert state.runs.names.name(named[0]) == "2023-11-20:A:8"
    rows, state = run(again, [r for r in rest if morning - 1860 < r[0] < morning - 60], state, city)
    assert state.runs.names.name(state.parts["arrivals"].vehicles["next_run"][0]) == ride.run_id
    rows, _ = run(again, [r for r in rest if r[0] > morning - 60], state, city)
    assert {row["trip_id_performed"] for row in held(rows)} == {ride.run_id}


def test_nothing_is_told_of_a_stop_at_which_the_bus_stands(network):
    """The passing of the last stop may be told only when the run has ended."""
    last = int(network.pstop_gate_seq[-1])
    late = []
    for record_time, columns in riding.records(network, [riding.ride(network, "A", EIGHT, 120.0)]):
        at_last = columns["passings"]["gate_seq"] == last
        columns = {**columns, "passings": messages.take(columns["passings"], ~at_last)}
        dist = columns["positions"]["dist_m"]
        columns["positions"]["dist_m"] = np.minimum(dist, network.pstop_dist_m[-1] - 12.0)
        late.append((record_time, columns))
    rows, _ = run(network, late)
    assert 5 in at(rows, EIGHT + 590)
    assert 5 not in at(rows, EIGHT + 600 + 30)


def test_a_moving_bus_has_not_come_because_its_pings_are_rare(network):
    """At 120 s it drives 10 m before the stop, and nothing more is heard until 140 s."""
    ride = riding.ride(network, "A", EIGHT + 2, 120.0, dwell_s=0.0)
    rows, _ = run(network, riding.records(network, [ride], 20.0))
    assert 1 in at(rows, EIGHT + 140)
    assert 1 not in at(rows, EIGHT + 145)


def test_a_detour_is_estimated_from_where_it_began(network):
    r = riding.ride(network, "A", EIGHT, 120.0, off_route=(EIGHT + 200, EIGHT + 320))
    rows, _ = run(network, riding.records(network, [r]))
    now = at(rows, EIGHT + 290)
    assert set(now) >= {3, 4, 5}
    assert now[5]["arrival_p90"] - now[5]["arrival_p10"] > 200


def test_a_silent_bus_is_withdrawn_once_and_comes_back(network):
    r = riding.ride(network, "A", EIGHT, 120.0, quiet=(EIGHT + 100, EIGHT + 470))
    beat = riding.ride(network, "Z", EIGHT, 2000.0)  # time goes on
    rows, _ = run(network, riding.records(network, [r, beat]))
    mine = [row for row in rows if row["vehicle_id"] == "A"]
    assert sorted(at(rows, EIGHT + 390)) == [1, 2, 3, 4, 5]
    assert at(rows, EIGHT + 400) == {}
    gone = [row for row in mine if EIGHT + 390 < row["made_at"] < EIGHT + 470]
    assert [row["scheduled_stop_sequence"] for row in gone] == [1, 2, 3, 4, 5]
    assert all(np.isnan(row["arrival_time"]) for row in gone)
    assert 5 in at(rows, EIGHT + 485)


def test_the_next_run_has_its_own_ids_and_the_old_one_is_withdrawn(network):
    first = riding.records(network, [riding.ride(network, "A", EIGHT, 120.0)])
    second = riding.records(network, [riding.ride(network, "A", EIGHT + 700, 120.0, run=2)])
    rows, _ = run(network, [(t, columns) for t, columns in first if t < EIGHT + 500] + second)
    ids = [row["trip_id_performed"] for row in held(rows)]
    assert set(ids) == {"2023-11-20:A:1", "2023-11-20:A:2"}
    gone = [row for row in rows if np.isnan(row["arrival_p50"]) and row["made_at"] > EIGHT + 600]
    assert gone[0]["trip_id_performed"] == "2023-11-20:A:1"
    assert gone[0]["scheduled_stop_sequence"] == 5


def test_a_bus_that_made_a_false_start_is_told_under_the_id_that_it_leaves_with():
    street, drawing = draw("A-----B-----------C----------------D", routes={"R": "ABCD"}, metres_per_char=70)
    begin = pinging.seven(street)
    waits = pinging.stand(drawing.at("A"), begin, 300.0, route_id="R")
    creep = pinging.ride(drawing, "R", begin + 300.0, to_m=90.0, speed_mps=2.0, route_id="R")
    bay = pinging.stand(drawing.along("R", 90.0), begin + 350.0, 600.0, route_id="R")
    goes = pinging.ride(drawing, "R", begin + 950.0, from_m=90.0, route_id="R")
    track = pinging.tracker(street)
    tracked, records = track.fresh(0), []
    for ping in [*waits, *creep, *bay, *goes]:
        facts, _ = track.advance(tracked, pinging.columns([ping]), ping["timestamp"] + 1.0)
        records.append((ping["timestamp"] + 1.0, facts))
    void = [t for t, facts in records if facts["passings"]["withdrawn"].any()]
    assert begin + 350.0 < void[0] < begin + 500.0
    rows, _ = run(street, records)
    assert {row["trip_id_performed"] for row in held(rows)} == {"2026-03-10:bus:1"}
    for now in np.arange(begin + 60.0, goes[-1]["timestamp"] - 60.0, 30.0):
        assert 4 in at(rows, now, "bus")
    assert set(at(rows, begin + 900.0, "bus")) == {2, 3, 4}  # it has not passed B


def test_nothing_is_said_of_buses_that_carry_nobody(network):
    records = riding.records(network, [riding.ride(network, "A", EIGHT, 120.0)])
    for _, columns in records:
        columns["positions"]["trip_type"][:] = "Deadhead"
    assert run(network, records)[0] == []


def test_runs_and_vehicles_may_be_renumbered(network):
    """Buses that came and went are forgotten in between; what is said of those that stay is the same."""
    early = [riding.ride(network, f"Z{i}", EIGHT - 90_000, 120.0) for i in range(3)]
    late = [riding.ride(network, v, EIGHT + 100 * i, 150.0) for i, v in enumerate("AB")]
    rows, state = run(network, riding.records(network, early, 60.0) + riding.records(network, late, until=EIGHT + 1500))
    assert state.fleet.names.to_list() == ["A", "B"]
    assert sorted(at(rows, EIGHT + 320, "A")) == [3, 4, 5]
    assert state.parts["arrivals"].running.sum_s.tolist() == [3 * 120.0 + 2 * 150.0] * 5
    assert state.parts["arrivals"].vehicles["said_run"][:2].tolist() == [-1, -1]


def test_another_feed_keeps_what_its_links_have_learned(network, tmp_path):
    rides = [riding.ride(network, f"B{i}", EIGHT + 240 * i, 200.0) for i in range(6)]
    _, state = run(network, riding.records(network, rides, until=EIGHT + 3600))
    city = city_of(network)
    longer = riding.street(tmp_path, stops=8)
    other = city_of(longer)
    moved = other.load(city.dump(state), 0).parts["arrivals"].running
    ends = [
        (longer.stop_ids[a], longer.stop_ids[b])
        for a, b in zip(longer.link_from_stop_ix, longer.link_to_stop_ix, strict=True)
    ]
    for end, total in zip(ends, moved.sum_s, strict=True):
        assert (total > 0) == (end[1] <= "S5")


def test_residuals_are_judged(network):
    """Buses a fifth slower than the timetable, hour after hour: the quantiles follow what is left of the error."""
    rides = [riding.ride(network, f"B{i}", EIGHT + 300 * i, 100.0 + 40.0 * (i % 2)) for i in range(36)]
    _, state = run(network, riding.records(network, rides, 20.0, until=EIGHT + 4 * 3600))
    part = state.parts["arrivals"].residuals
    assert part.count[0].sum() > 300
    assert len(part.samples["run"]) == 0
    assert not np.isnan(part.tracked).any()
