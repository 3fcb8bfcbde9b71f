"""The tracker's cases, drawn, from simple to hard: read from the top, this is a tutorial."""

import numpy as np

from streams import messages
from tests.drawing import draw
from tests.engine.pinging import fork, last_words, ride, rows, run, seven, stand, stops_of, town


def parked(drawing, stop, pings, seconds=60.0):
    """The pings, and then the bus stands at a stop."""
    return [*pings, *stand(drawing.at(stop), pings[-1]["timestamp"] + 5.0, seconds, route_id=pings[-1].get("route_id"))]


def positions(said):
    return list(last_words(said)["positions"].values())


def said_of(said, name):
    return [p[name] for p in positions(said)]


def test_a01_straight_street():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=70)
    t0 = seven(network)
    said = run(network, parked(drawing, "D", ride(drawing, "R", t0, route_id="R", speed_mps=7.0), 30.0))
    length = float(network.pattern_length_m[0])
    truth = [min(length, 7.0 * (p["timestamp"] - t0)) for p in positions(said)]
    for p, d in list(zip(positions(said), truth, strict=True))[2:]:
        if p["dist_m"] is not None:
            assert abs(p["dist_m"] - d) < 15.0
    decided = positions(said)[3:-6]
    assert {p["trip_type"] for p in decided} == {"In service"}
    assert {p["trip_id_performed"] for p in decided} == {"2026-03-10:bus:1"}
    assert {p["start_time"] for p in decided} == {"07:00:00"}
    visits = stops_of(network, said)
    assert [stop for _, stop, _, _ in visits] == ["A", "B", "C", "D"]
    for _, stop, arrival, _ in visits[1:3]:
        place = network.pstop_dist_m[["A", "B", "C"].index(stop)]
        assert abs(arrival - t0 - place / 7.0) < 3.0
    assert {p["stop_id"] for p in decided} == {"B", "C", "D"}


def test_a02_a_stop_on_the_way():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC"}, metres_per_char=100)
    t0 = seven(network)
    place = float(network.pstop_dist_m[1])
    said = run(network, ride(drawing, "R", t0, route_id="R", speed_mps=10.0, stops=[(place, 40.0)]))
    arrival, departure = next((a, d) for _, stop, a, d in stops_of(network, said) if stop == "B")
    assert abs(arrival - t0 - place / 10.0) < 6.0
    assert abs(departure - arrival - 40.0) < 8.0
    assert "STOPPED_AT" in said_of(said, "current_status")


def test_a03_out_and_back_on_one_shape():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCDCBA"}, metres_per_char=70)
    length = float(network.pattern_length_m[0])
    said = run(network, parked(drawing, "A", ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0), 20.0))
    along = [p["dist_m"] for p in positions(said) if p["dist_m"] is not None]
    assert along == sorted(along)
    assert along[-1] > length - 60.0
    assert len({p["trip_id_performed"] for p in positions(said)[3:-8]}) == 1
    assert [stop for _, stop, _, _ in stops_of(network, said)] == list("ABCDCBA")


def test_a04_loop():
    network, drawing = draw(
        """
        A---B
        |   |
        D---C
        """,
        routes={"R": "ABCDA"},
        metres_per_char=120,
    )
    t0 = seven(network)
    first = ride(drawing, "R", t0, route_id="R", speed_mps=8.0)
    second = ride(drawing, "R", first[-1]["timestamp"] + 90.0, route_id="R", speed_mps=8.0)
    wait = stand(drawing.at("A"), first[-1]["timestamp"] + 5.0, 80.0, route_id="R")
    visits = stops_of(network, run(network, parked(drawing, "A", [*first, *wait, *second])))
    runs = {trip for trip, *_ in visits}
    assert runs == {"2026-03-10:bus:1", "2026-03-10:bus:2"}
    for trip in runs:
        assert [s for t, s, _, _ in visits if t == trip] == list("ABCDA")


def test_a05_a_way_that_crosses_itself():
    network, drawing = draw(
        """
            E
            |
        A---x---B
            |   |
            D---C
        """,
        routes={"R": "AxBCDxE"},
        metres_per_char=120,
    )
    said = run(network, parked(drawing, "E", ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)))
    along = [p["dist_m"] for p in positions(said) if p["dist_m"] is not None]
    assert along == sorted(along), "at the crossing it neither jumps ahead nor back"
    assert np.diff(along).max() < 100.0
    assert [stop for _, stop, _, _ in stops_of(network, said)] == list("ABCDE")


def test_a06_a_short_turn_beside_the_whole_route():
    ways = {"R": "ABCD", "R/short": "ABC", "R-back": "DCBA", "R-back/short": "CBA"}
    network, drawing = draw("A-----B-----C-----D", routes=ways, metres_per_char=100)
    out = ride(drawing, "R/short", seven(network), route_id="R", speed_mps=8.0)
    wait = stand(drawing.at("C"), out[-1]["timestamp"] + 5.0, 300.0, route_id="R", speed_mps=0.0)
    home = ride(drawing, "R-back/short", wait[-1]["timestamp"] + 5.0, route_id="R", speed_mps=8.0)
    said = run(network, parked(drawing, "A", [*out, *wait, *home]))
    visits = stops_of(network, said)
    assert [stop for trip, stop, _, _ in visits if trip.endswith(":1")] == list("ABC")
    assert [stop for trip, stop, _, _ in visits if trip.endswith(":2")] == list("CBA")
    assert "Skipped" not in {row["schedule_relationship"] for row in last_words(said)["passings"].values()}


def test_a07_an_express_on_the_street_of_a_route_that_stops_everywhere():
    network, drawing = draw("A---B---C---D---E", routes={"L": "ABCDE", "X": "ACE"}, metres_per_char=100)
    for key, stops in (("L", "ABCDE"), ("X", "ACE")):
        said = run(network, parked(drawing, "E", ride(drawing, key, seven(network), route_id=key, speed_mps=8.0)))
        assert {p["route_id"] for p in positions(said)[3:-13]} == {key}
        assert [stop for _, stop, _, _ in stops_of(network, said)] == list(stops)


def test_a08_a_terminal_of_two_routes():
    network, drawing = draw(
        """
        A-----B-----T
                    |
                    |
                    C
                    |
                    D
        """,
        routes={"R": "ABT", "R-back": "TBA", "S": "DCT", "S-back": "TCD"},
        metres_per_char=100,
    )
    comes = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    waits = stand(drawing.at("T"), comes[-1]["timestamp"] + 5.0, 400.0, route_id="R", speed_mps=0.0)
    goes = ride(drawing, "S-back", waits[-1]["timestamp"] + 5.0, route_id="S", speed_mps=8.0)
    said = run(network, parked(drawing, "D", [*comes, *waits, *goes]))
    visits = stops_of(network, said)
    assert [stop for trip, stop, _, _ in visits if trip.endswith(":1")] == list("ABT")
    assert [stop for trip, stop, _, _ in visits if trip.endswith(":2")] == list("TCD")
    assert "Layover" in said_of(said, "trip_type")
    assert [p for p in positions(said) if p["trip_id_performed"]][-1]["route_id"] == "S"


def test_b01_parallel_streets():
    network, drawing = draw(
        """
        A-----B-----C


        D-----E-----F
        """,
        routes={"R": "ABC", "S": "DEF"},
        metres_per_char=60,
    )
    for key in ("R", "S"):
        said = run(network, ride(drawing, key, seven(network), from_m=60.0, speed_mps=8.0))
        assert {p["route_id"] for p in positions(said)[2:-2]} == {key}


def test_b02_a_shared_street_until_it_parts():
    network, drawing = town()
    said = run(network, ride(drawing, "S", seven(network), from_m=100.0, speed_mps=8.0))
    places = positions(said)
    assert places[-1]["route_id"] == "S"
    open_ones = [p for p in places if p["route_candidates"]]
    assert open_ones
    for p in open_ones:
        assert p["trip_id_performed"] is None
        assert p["dist_m"] is None
        assert len({c["route_id"] for c in p["route_candidates"]}) > 1 or p["route_id"] is not None


def test_b03_the_direction_is_that_of_driving_whatever_is_reported():
    network, drawing = town()
    said = run(network, ride(drawing, "R-back", seven(network), from_m=50.0, route_id="R", direction_id=0))
    last = [p for p in positions(said) if p["trip_id_performed"]][-1]
    assert (last["route_id"], last["direction_id"]) == ("R", 1)


def test_c01_layover_at_the_terminal():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC", "R-back": "CBA"}, metres_per_char=100)
    t0 = seven(network)
    out = ride(drawing, "R", t0, route_id="R", speed_mps=8.0)
    wait = stand(drawing.at("C"), out[-1]["timestamp"] + 5.0, 400.0, route_id="R", speed_mps=0.0)
    home = parked(drawing, "A", ride(drawing, "R-back", wait[-1]["timestamp"] + 5.0, route_id="R", speed_mps=8.0))
    said = run(network, [*out, *wait, *home])
    types = said_of(said, "trip_type")
    layover = [i for i, kind in enumerate(types) if kind == "Layover"]
    assert len(layover) > 0.7 * len(wait)
    assert types[len(out) + len(wait) + 6] == "In service"
    assert all(positions(said)[i]["trip_id_performed"] is None for i in layover)
    visits = stops_of(network, said)
    assert [s for t, s, _, _ in visits if t.endswith(":1")] == ["A", "B", "C"]
    assert [s for t, s, _, _ in visits if t.endswith(":2")] == ["C", "B", "A"]


def test_c02_a_jam_on_the_way_is_no_layover():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC", "R-back": "CBA"}, metres_per_char=100)
    out = ride(drawing, "R", seven(network), route_id="R", to_m=850.0, speed_mps=8.0)
    jam = stand(drawing.along("R", 850.0), out[-1]["timestamp"] + 5.0, 1200.0, route_id="R")
    said = run(network, [*out, *jam])
    assert set(said_of(said, "trip_type")[4:]) == {"In service"}
    assert len({p["trip_id_performed"] for p in positions(said)[4:]}) == 1


def test_d01_a_detour_and_back_again():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=150)
    t0 = seven(network)
    before = ride(drawing, "R", t0, route_id="R", to_m=700.0, speed_mps=8.0)
    t, aside = before[-1]["timestamp"], []
    for k in range(1, 51):
        lat, lon = drawing.along("R", 700.0 + 20.0 * k)
        aside.append(
            {**before[-1], "timestamp": t + 5.0 * k, "lat": lat + 0.002 * min(1.0, k / 5, (51 - k) / 5), "lon": lon}
        )
    after = parked(drawing, "D", ride(drawing, "R", t + 255.0, from_m=1720.0, route_id="R", speed_mps=8.0))
    said = run(network, [*before, *aside, *after])
    places = positions(said)
    away = [p for p in places if p["off_route"]]
    assert len(away) > 10
    assert all(p["dist_m"] is None and p["trip_type"] == "In service" for p in away)
    assert len({p["trip_id_performed"] for p in places[4:] if p["trip_type"] == "In service"}) == 1
    relation = {
        network.stop_ids[network.pstop_stop_ix[network.pgate_stop_pos[row["gate_seq"]]]]: row["schedule_relationship"]
        for row in last_words(said)["passings"].values()
        if network.pgate_stop_pos[row["gate_seq"]] >= 0
    }
    assert relation["B"] == "Skipped"
    assert relation["C"] == "Scheduled"  # it was back on its route before C
    assert relation["D"] == "Scheduled"


def test_d02_a_detour_is_seen_at_one_ping_a_second_too():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=150)
    t0 = seven(network)
    every = {"every_s": 1.0, "route_id": "R", "speed_mps": 8.0}
    before = ride(drawing, "R", t0, to_m=704.0, **every)
    t, aside = before[-1]["timestamp"], []
    for k in range(1, 131):
        lat, lon = drawing.along("R", 704.0 + 8.0 * k)
        lat += 120.0 / 111_195.0 * min(1.0, k / 15, (131 - k) / 15)
        aside.append({**before[-1], "timestamp": t + k, "lat": lat, "lon": lon})
    after = ride(drawing, "R", t + 131.0, from_m=1752.0, **every)
    said = positions(run(network, [*before, *aside, *after]))
    assert sum(p["off_route"] for p in said) > 40
    assert not said[-20]["off_route"]
    assert len({p["trip_id_performed"] for p in said[10:] if p["trip_type"] == "In service"} - {None}) == 1


def test_d03_the_last_stop_is_reached_no_sooner_than_a_bus_can_drive_there():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=150)
    length = float(network.pattern_length_m[0])
    drives = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0, to_m=length - 250.0)
    t = drives[-1]["timestamp"]
    waits = stand(drawing.at("D"), t + 100.0, 300.0, route_id="R", speed_mps=0.0)
    said = run(network, [*drives, *waits])
    arrival = next(a for _, stop, a, _ in stops_of(network, said) if stop == "D")
    assert t + 250.0 / 25.0 <= arrival <= t + 130.0


def test_d04_a_bus_that_comes_back_to_its_route_at_a_stop_visits_it():
    network, drawing = draw("A-----B-----C-----D-----E", routes={"R": "ABCDE"}, metres_per_char=150)
    place = float(network.pstop_dist_m[3])
    drives = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0, to_m=place - 300.0)
    t = drives[-1]["timestamp"] + 240.0  # unseen for longer than the tracker believes in between
    stands = stand(drawing.at("D"), t, 60.0, route_id="R", speed_mps=0.0)
    on = ride(drawing, "R", t + 60.0, route_id="R", from_m=place, speed_mps=8.0)
    said = last_words(run(network, [*drives, *stands, *on]))["passings"].values()
    at_d = [r for r in said if network.pgate_stop_pos[r["gate_seq"]] == 3]
    assert [r["schedule_relationship"] for r in at_d] == ["Scheduled"]
    assert at_d[0]["departure_time"] - at_d[0]["arrival_time"] > 30.0


def turns_off(drawing, t0, after_m, far_m, **report):
    """The street to `after_m`, then off it to the north at 8 m/s, a ping every 5 s."""
    before = ride(drawing, "R", t0, to_m=after_m, speed_mps=8.0, **report)
    lat, lon = drawing.along("R", after_m)
    t = before[-1]["timestamp"]
    steps = range(1, int(far_m / 40.0) + 1)
    north = [
        {**before[-1], "timestamp": t + 5.0 * k, "lat": lat + 40.0 * k / 111_195.0, "lon": lon, "bearing_deg": 0.0}
        for k in steps
    ]
    return before, north


def test_d05_a_bus_that_turns_off_its_street_is_off_route_at_once():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=150)
    before, north = turns_off(drawing, seven(network), 700.0, 280.0, route_id="R")
    places = positions(run(network, [*before, *north]))[len(before) :]
    assert all(p["off_route"] for p in places[2:])  # 120 m from its street, 15 s after it left it
    assert {p["phase_since"] for p in places[3:]} == {north[0]["timestamp"]}  # and then it is known since when


def test_d06_a_fix_that_jumps_aside_is_no_detour():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=150)
    pings = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    for k in (20, 40, 41):
        pings[k]["lat"] += 200.0 / 111_195.0
    places = positions(run(network, pings))
    assert not any(p["off_route"] for p in places)
    assert len({p["trip_id_performed"] for p in places[3:-3]}) == 1


def test_d07_a_bus_of_unknown_route_is_seen_to_leave_it_too():
    network, drawing = town()
    before, north = turns_off(drawing, seven(network), 300.0, 280.0)
    places = positions(run(network, [*before, *north]))
    aside = places[len(before) + 2 :]
    assert all(p["route_id"] is None or p["off_route"] for p in aside)
    assert all(p["off_route"] and p["trip_type"] == "In service" for p in aside)


def test_d08_a_bus_that_stands_off_its_route_is_no_more_on_a_detour_than_it_was():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=250)
    before, north = turns_off(drawing, seven(network), 900.0, 600.0, route_id="R")
    aside = (north[-1]["lat"], north[-1]["lon"])
    wait = stand(aside, north[-1]["timestamp"] + 5.0, 200.0, route_id="R")
    on = [
        {**wait[0], "timestamp": wait[-1]["timestamp"] + 5.0 * k, "lon": aside[1] + 8.0 * 5.0 * k / 111_195.0}
        for k in range(1, 76)
    ]
    places = positions(run(network, [*before, *north, *wait, *on]))
    assert all(p["off_route"] for p in places[len(before) + 4 : len(before) + len(north)])  # as for a detour
    assert {p["trip_type"] for p in places[-5:]} == {"Deadhead"}  # but this one drives on for 3 km
    first = [p["trip_type"] for p in places].index("Deadhead")
    assert {p["trip_type"] for p in places[first:]} == {"Deadhead"}
    assert north[0]["timestamp"] <= places[-1]["phase_since"] < places[first]["timestamp"]


def test_d09_who_drives_beside_its_street_for_long_is_on_a_detour_later_in_its_run_alone():
    network, drawing = draw("A-----B-----C-----D-----E-----F", routes={"R": "ABCDEF"}, metres_per_char=150)
    every = {"route_id": "R", "speed_mps": 8.0}
    last = {}
    for from_m in (400.0, 2400.0):
        before = ride(drawing, "R", seven(network), to_m=from_m, **every)
        t, aside = before[-1]["timestamp"], []
        for k in range(1, 42):  # 1.6 km, 280 m beside its street
            lat, lon = drawing.along("R", from_m + 40.0 * k)
            aside.append(
                {**before[-1], "timestamp": t + 5.0 * k, "lat": lat + 280.0 / 111_195.0 * min(1.0, k / 7), "lon": lon}
            )
        places = positions(run(network, [*before, *aside]))
        assert places[len(before) + 10]["off_route"]
        last[from_m] = places[-1]["trip_type"]
    assert last == {400.0: "Deadhead", 2400.0: "In service"}  # runs to the depot begin at terminals


def test_d10_a_bus_that_stays_at_its_depot_was_at_base_since_it_came():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=250)
    lat, lon = drawing.at("A")
    there = (lat + 3_000.0 / 111_195.0, lon)
    comes = [
        {**ping, "lat": lat + (1_000.0 + 40.0 * k) / 111_195.0}
        for k, ping in enumerate(stand(there, seven(network), 250.0))
    ]
    stays = stand(there, comes[-1]["timestamp"] + 5.0, 480.0)
    places = positions(run(network, [*comes, *stays]))
    assert {p["trip_type"] for p in places[: len(comes)]} == {"Deadhead"}
    assert {p["trip_type"] for p in places[-12:]} == {"Other not in service"}
    assert abs(places[-1]["phase_since"] - stays[0]["timestamp"]) <= 10.0


def test_e01_bad_fixes_are_kept_out_and_told_by_name():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC"}, metres_per_char=100)
    pings = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    pings[5] = {**pings[5], "lat": pings[5]["lat"] + 0.2}
    pings[9] = {**pings[9], "lat": 0.0, "lon": 0.0}
    pings.insert(12, dict(pings[11]))
    pings.insert(15, {**pings[14], "timestamp": pings[14]["timestamp"] - 45.0})
    pings.insert(18, {**pings[17], "timestamp": pings[17]["timestamp"] + 400.0, "arrived": pings[17]["timestamp"] + 1})
    pings[21] = {**pings[21], "lat": float("nan")}
    said = run(network, pings)
    assert sorted(r["reason"] for r in rows(said["rejects"])) == [
        "DUPLICATE", "FROM_THE_FUTURE", "IMPOSSIBLE_SPEED", "MISSING_FIELD", "NULL_ISLAND", "TOO_LATE",
    ]  # fmt: skip
    assert messages.rows(said["positions"]) == len(pings) - 6
    along = [p["dist_m"] for p in positions(said) if p["dist_m"] is not None]
    assert along == sorted(along)


def test_e02_one_id_used_by_two_buses():
    network, drawing = draw("A" + "-" * 40 + "B" + "-" * 40 + "C", routes={"R": "ABC"}, metres_per_char=200)
    here = ride(drawing, "R", seven(network), from_m=500.0, to_m=1500.0, route_id="R", every_s=10.0)
    there = ride(drawing, "R", seven(network) + 5.0, from_m=15_000.0, to_m=15_900.0, route_id="R", every_s=10.0)
    both = sorted([*here, *there], key=lambda p: p["timestamp"])
    said = run(network, both)
    assert {r["reason"] for r in rows(said["rejects"])} == {"IMPOSSIBLE_SPEED"}
    assert messages.rows(said["rejects"]) == len(there)


def test_e03_an_unknown_route_is_an_unassigned_vehicle():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC"}, metres_per_char=100)
    said = run(network, ride(drawing, "R", seven(network), route_id="D21.003", trip_id="none", speed_mps=8.0))
    assert not messages.rows(said["rejects"])
    assert positions(said)[5]["route_id"] == "R"


def test_e04_a_tunnel_leaves_stops_unseen():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD"}, metres_per_char=300)
    pings = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    place = network.pstop_dist_m[1] / 8.0
    t0 = pings[0]["timestamp"]
    seen = [p for p in pings if not place - 100 < p["timestamp"] - t0 < place + 150]
    said = run(network, seen)
    found = {row["schedule_relationship"] for row in last_words(said)["passings"].values()}
    assert found == {"Scheduled", "Missing"}
    assert len({p["trip_id_performed"] for p in positions(said)[4:-2]}) == 1


def test_f01_a_bus_that_is_first_seen_at_its_terminal_waits_there():
    network, drawing = town()
    t0 = seven(network)
    lat, lon = drawing.at("A")
    bay = (lat + 80.0 / 111_195.0, lon)  # beside the street, within the terminal
    waits = stand(bay, t0, 300.0, route_id="R", direction_id=0, speed_mps=0.0)
    goes = ride(drawing, "R", t0 + 300.0, route_id="R", direction_id=0, speed_mps=8.0)
    said = positions(run(network, [*waits, *goes]))
    assert {p["trip_type"] for p in said[2:55]} == {"Layover"}
    assert {p["route_id"] for p in said[2:55]} == {"R"}
    assert {p["trip_type"] for p in said[70:85]} == {"In service"}


def test_f02_a_bus_that_stands_long_where_others_pass_waits_at_its_terminal():
    network, drawing = draw(
        "A-----B-----C-----D", routes={"R": "ABC", "R-back": "CBA", "S": "ABCD"}, metres_per_char=100
    )
    arrives = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    t1 = arrives[-1]["timestamp"] + 5.0
    waits = stand(drawing.at("C"), t1, 900.0, route_id="R", speed_mps=0.0)
    said = positions(run(network, [*arrives, *waits]))
    assert {p["trip_type"] for p in said[len(arrives) + 30 :]} == {"Layover"}


def test_f03_a_jam_between_terminals_is_no_layover():
    network, drawing = draw("A" + "-" * 30 + "B" + "-" * 30 + "C", routes={"R": "ABC"}, metres_per_char=100)
    place = float(network.pstop_dist_m[1]) - 900.0
    pings = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0, stops=[(place, 1800.0)])
    said = positions(run(network, pings))
    assert "Layover" not in {p["trip_type"] for p in said[3:-5]}
    assert len({p["trip_id_performed"] for p in said[3:-5]}) == 1


def test_f04_a_bus_that_no_longer_shows_its_route_and_drives_off_is_not_in_service():
    network, drawing = draw(
        """
        A-----B-----C
                    |
                    |
                    D-----E-----F
        """,
        routes={"R": "ABC", "S": "FEDC"},
        metres_per_char=150,
    )
    arrives = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    away = ride(drawing, "S", arrives[-1]["timestamp"] + 5.0, speed_mps=8.0)
    there = [
        drawing.along("S", float(network.pattern_length_m[drawing.pattern_ix("S")]) - 8.0 * k * 5.0) for k in range(60)
    ]
    away = [{**ping, "lat": lat, "lon": lon} for ping, (lat, lon) in zip(away, there, strict=False)]
    said = positions(run(network, [*arrives, *away]))
    assert {p["trip_type"] for p in said[-15:]} == {"Deadhead"}


def test_f05_a_street_that_stops_are_only_joined_by_is_no_detour():
    network, drawing = draw("A----------B----------C", routes={"R": "ABC"}, metres_per_char=100, shapes=False)
    pings = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    half = float(network.pstop_dist_m[1])
    for ping in pings:  # the street bows out to one side, 120 m at the most
        done = 8.0 * (ping["timestamp"] - pings[0]["timestamp"])
        ping["lat"] += 120.0 * abs(float(np.sin(np.pi * done / half))) / 111_195.0
    said = positions(run(network, pings))
    assert not any(p["off_route"] for p in said)
    assert {p["trip_type"] for p in said[3:-5]} == {"In service"}


def test_f06_a_bus_that_crept_forward_and_stands_waits():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC", "R-back": "CBA"}, metres_per_char=100)
    t0 = seven(network)
    out = ride(drawing, "R", t0, route_id="R", speed_mps=8.0, every_s=60.0)
    t = out[-1]["timestamp"]
    lat, lon = drawing.at("C")
    crept = [0.0, 12.0, 24.0, 36.0, *[36.0] * 12]  # metres, a ping a minute; no speed is reported
    wait = [
        {**out[-1], "timestamp": t + 60.0 * (k + 1), "lat": lat, "lon": lon - m / 111_195.0}
        for k, m in enumerate(crept)
    ]
    pings = [{k: v for k, v in ping.items() if k not in ("speed_mps", "bearing_deg")} for ping in [*out, *wait]]
    types = said_of(run(network, pings), "trip_type")
    assert set(types[-10:]) == {"Layover"}


def test_f07_a_bus_that_leaves_its_terminal_slowly_has_left_it():
    network, drawing = draw("A-----B-----C", routes={"R": "ABC", "R-back": "CBA"}, metres_per_char=100)
    t0 = seven(network)
    wait = stand(drawing.at("A"), t0 - 600.0, 600.0, route_id="R")
    leaves = ride(drawing, "R", t0 + 60.0, from_m=60.0, route_id="R", speed_mps=1.6, every_s=60.0)
    pings = [{k: v for k, v in p.items() if k not in ("speed_mps", "bearing_deg")} for p in [*wait, *leaves]]
    types = said_of(run(network, pings), "trip_type")
    assert types[len(wait) - 1] == "Layover"
    assert set(types[len(wait) + 1 : len(wait) + 5]) == {"In service"}


def test_f08_a_bus_that_creeps_from_its_last_stop_to_a_bay_waits_there():
    network, drawing = draw("A-----B-----C-----D", routes={"R": "ABCD", "R-back": "DCBA"}, metres_per_char=100)
    report = {"route_id": "R"}
    there = parked(drawing, "D", ride(drawing, "R", seven(network), speed_mps=8.0, **report), 20.0)
    t, (lat, lon) = there[-1]["timestamp"], drawing.at("D")
    creep = [
        {**there[-1], "timestamp": t + 5.0 * k, "lat": lat - 3.4 * 5.0 * k / 111_195.0, "speed_mps": 3.4}
        for k in range(1, 7)
    ]
    bay = stand((creep[-1]["lat"], lon), creep[-1]["timestamp"] + 5.0, 200.0, speed_mps=0.0, **report)
    places = positions(run(network, [*there, *creep, *bay]))[-len(bay) - 3 :]
    assert {p["trip_type"] for p in places} == {"Layover"}


def test_g01_a_bus_that_names_no_route_has_served_the_stops_before_the_fork():
    network, drawing = fork()
    t0 = seven(network)
    at_b = float(network.pstop_dist_m[1])
    said = run(network, ride(drawing, "S", t0, speed_mps=8.0, stops=[(at_b, 30.0)]))
    assert said_of(said, "route_id")[:20] == [None] * 20  # nothing tells them apart yet
    visits = stops_of(network, said)
    assert [stop for _, stop, _, _ in visits][:5] == ["A", "B", "X", "Y", "C"]
    assert {p["route_id"] for p in positions(said)} == {None, "S"}
    for (_, stop, arrival, departure), dwell in zip(visits[:4], (0.0, 30.0, 0.0, 0.0), strict=True):
        place = float(network.pstop_dist_m["ABXY".index(stop)])
        truth = t0 + place / 8.0 + (30.0 if stop in "XY" else 0.0)
        assert abs(arrival - truth) < 8.0
        assert abs(departure - arrival - dwell) < 15.0


def test_g02_what_was_told_of_a_stale_route_is_withdrawn_and_sent_again():
    network, drawing = fork()
    said = run(network, ride(drawing, "S", seven(network), route_id="R", speed_mps=8.0))
    told = {row["pattern_id"].split(":")[0] for row in rows(said["passings"]) if not row["withdrawn"]}
    assert told == {"R", "S"}  # until the fork it was on R, as it said
    left = last_words(said)["passings"].values()
    assert {row["pattern_id"].split(":")[0] for row in left} == {"S"}
    assert len({row["trip_id_performed"] for row in left}) == 1
    assert [stop for _, stop, _, _ in stops_of(network, said)][:5] == ["A", "B", "X", "Y", "C"]
    for row in rows(said["passings"]):
        assert row["withdrawn"] or row["arrival_time"] is not None


def test_g03_a_finished_run_is_not_taken_back_by_the_next_one():
    network, drawing = town()
    there = ride(drawing, "R", seven(network), route_id="R", speed_mps=8.0)
    back = ride(drawing, "R-back", there[-1]["timestamp"] + 5.0, route_id="R", speed_mps=8.0)
    said = run(network, [*there, *back])
    left = [stop for _, stop, _, _ in stops_of(network, said)]
    assert left == ["A", "B", "C", "D", "D", "C", "B", "A"]
    assert not [row for row in rows(said["passings"]) if row["withdrawn"]]


def test_g04_a_bus_that_moves_about_at_its_terminal_has_not_begun_a_run():
    network, drawing = draw("A-----B-----------C----------------D", routes={"R": "ABCD"}, metres_per_char=70)
    t0 = seven(network)
    report = {"route_id": "R"}
    up = ride(drawing, "R", t0, to_m=250.0, speed_mps=4.0, **report)
    bay = stand((up[-1]["lat"], up[-1]["lon"]), up[-1]["timestamp"] + 5.0, 1500.0, **report)
    goes = ride(drawing, "R", bay[-1]["timestamp"] + 60.0, speed_mps=8.0, **report)
    said = run(network, [*up, *bay, *goes])
    runs = {row["trip_id_performed"] for row in last_words(said)["passings"].values()}
    assert len(runs) == 1
    assert min(r["arrival_time"] for r in last_words(said)["passings"].values()) >= goes[0]["timestamp"] - 30.0


def test_g05_a_bus_that_creeps_away_from_its_terminal_leaves_under_the_id_it_had():
    network, drawing = draw("A-----B-----------C----------------D", routes={"R": "ABCD"}, metres_per_char=70)
    report = {"route_id": "R"}
    waits = stand(drawing.at("A"), seven(network), 300.0, **report)
    creep = ride(drawing, "R", waits[-1]["timestamp"] + 5.0, to_m=90.0, speed_mps=2.0, **report)
    bay = stand((creep[-1]["lat"], creep[-1]["lon"]), creep[-1]["timestamp"] + 5.0, 900.0, **report)
    goes = ride(drawing, "R", bay[-1]["timestamp"] + 5.0, from_m=90.0, speed_mps=8.0, **report)
    said = run(network, [*waits, *creep, *bay, *goes])
    told = rows(said["passings"])
    assert {row["trip_id_performed"] for row in told} == {"2026-03-10:bus:1"}
    assert any(row["withdrawn"] for row in told)
    assert [stop for _, stop, _, _ in stops_of(network, said)] == ["A", "B", "C", "D"]
    assert min(row["arrival_time"] for row in last_words(said)["passings"].values()) >= goes[0]["timestamp"] - 30.0


def variants(at_c):
    """Two patterns of one route and direction that part at C, the second one rare; up to there its way is `at_c`."""
    return draw(
        """
                                     E
                                     |
                                     |
                                     |
                                     |
        A-----B------X-----Y---------C--------D
        """,
        routes={"R": "ABXYCD", "R/e": f"{at_c}E"},
        metres_per_char=50,
        headway_s={"R": 300, "R/e": 1200},
    )


def test_g06_a_bus_on_another_variant_of_its_route_drives_on_with_the_same_run():
    network, drawing = variants("ABXYC")
    pings = ride(drawing, "R/e", seven(network), route_id="R", speed_mps=8.0)
    said = run(network, parked(drawing, "E", pings, 20.0))
    patterns = [p["pattern_id"] for p in positions(said) if p["pattern_id"]]
    assert len(set(patterns)) == 2  # the frequent one until the fork, then its own
    assert {p["trip_id_performed"] for p in positions(said)[3:]} == {"2026-03-10:bus:1"}
    assert {p["start_time"] for p in positions(said)[3:]} == {"07:00:00"}
    assert not any(row["withdrawn"] for row in rows(said["passings"]))
    visits = stops_of(network, said)
    assert [stop for _, stop, _, _ in visits] == list("ABXYCE")
    assert len({run_id for run_id, _, _, _ in visits}) == 1
    along = [p["dist_m"] for p in positions(said) if p["dist_m"] is not None]
    assert along == sorted(along)


def test_g07_a_variant_that_began_elsewhere_is_another_run():
    network, drawing = variants("XYC")
    north = ride(drawing, "R/e", seven(network) + 600.0, from_m=1050.0, route_id="R", speed_mps=8.0)
    there = ride(drawing, "R", seven(network), to_m=1700.0, route_id="R", speed_mps=8.0)
    north = [{**p, "timestamp": there[-1]["timestamp"] + 5.0 * (k + 1)} for k, p in enumerate(north)]
    said = run(network, [*there, *north])
    numbers = {}
    for row in last_words(said)["passings"].values():
        numbers.setdefault(row["trip_id_performed"], set()).add(row["pattern_id"])
    assert all(
        len(patterns) == 1 for patterns in numbers.values()
    )  # gates of one are not counted as gates of the other
