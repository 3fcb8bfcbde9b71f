import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gtfs.gates import octant_of
from tests.drawing import draw


def gates_of(network, pattern):
    mine = slice(network.pgate_start[pattern], network.pgate_start[pattern + 1])
    return network.pgate_gate_ix[mine].tolist()


@given(st.floats(0, 360, exclude_max=True))
def test_octants(heading):
    octant = int(octant_of(np.array([heading]))[0])
    assert 0 <= octant <= 7
    away = abs((heading - octant * 45 + 180) % 360 - 180)
    assert away <= 22.5 + 1e-9


@pytest.mark.parametrize(
    ("heading", "octant"), [(337.5, 0), (0, 0), (22.4, 0), (22.5, 1), (90, 2), (180, 4), (337.4, 7)]
)
def test_octant_borders(heading, octant):
    assert octant_of(np.array([heading]))[0] == octant


def test_routes_on_one_street_share_its_gates():
    network, drawing = draw("A---B---C---D", {"R": "ABCD", "S": "ABD"})
    r, s = (gates_of(network, drawing.pattern_ix(k)) for k in "RS")
    assert r == s
    # S drives through the gate of C without stopping there
    mine = slice(*network.pgate_start[drawing.pattern_ix("S") :][:2])
    through = [g for g, pos in zip(r, network.pgate_stop_pos[mine], strict=True) if pos < 0]
    assert network.stop_ids.index("C") in network.gate_stop_ix[through]


def test_the_way_back_passes_other_gates():
    network, drawing = draw("A---B---C", {"R": "ABC", "R-back": "CBA"})
    assert not set(gates_of(network, drawing.pattern_ix("R"))) & set(gates_of(network, drawing.pattern_ix("R-back")))


def test_the_busway_has_gates_of_its_own():
    network, drawing = draw("A---B---C---D\n    P---Q", {"R": "ABCD", "S": "BQ"} | {"S": "BC"}, stations="AD")
    assert not network.route_busway.any()
    network, drawing = draw("A---B---C---D", {"R": "ABCD", "S": "BCA"}, stations="ABC")
    assert network.route_busway.all()
    network, drawing = draw("A---B-C-D-E-F", {"R": "AB", "S": "BCDEF"}, stations="AB")
    assert network.route_busway.tolist() == [True, False]
    shared = set(gates_of(network, drawing.pattern_ix("R"))) & set(gates_of(network, drawing.pattern_ix("S")))
    assert not shared


def test_a_street_driven_twice_is_passed_twice():
    network, drawing = draw("A---B---C", {"R": "ABCBA", "S": "ABABA"}, metres_per_char=60)
    gates = gates_of(network, drawing.pattern_ix("S"))
    repeated = [g for g in set(gates) if gates.count(g) == 2]
    assert len(repeated) >= 3
    assert len(set(gates_of(network, drawing.pattern_ix("R")))) == len(gates_of(network, drawing.pattern_ix("R")))


def test_slots_keep_route_directions_apart():
    network, drawing = draw("A---B---C", {"R": "ABC", "S": "ABC", "R/b": "AC"})
    r, s, b = (slice(*network.pgate_start[drawing.pattern_ix(k) :][:2]) for k in ("R", "S", "R/b"))
    assert network.pgate_slot_ix[r].tolist() == network.pgate_slot_ix[b].tolist()
    assert not set(network.pgate_slot_ix[r]) & set(network.pgate_slot_ix[s])
    for g in range(len(network.gate_ids)):
        mine = slice(network.gate_slot_start[g], network.gate_slot_start[g + 1])
        assert (network.slot_gate_ix[mine] == g).all()


def test_ids_name_the_place():
    network, _ = draw("A---B---C", {"R": "ABC", "R-back": "CBA"})
    assert {"A:2", "B:2", "C:2", "A:6", "B:6", "C:6"} <= set(network.gate_ids)
    moved, _ = draw("    A---B---C", {"S": "ABC", "R": "CBA"}, origin=(-6.2, 106.8 - 4 * 50 / 110_544))
    between = {g for g, s in zip(network.gate_ids, network.gate_stop_ix, strict=True) if s < 0}
    # a metre of rounding may move a gate over the border of its little hexagon
    assert len(between & set(moved.gate_ids)) >= 0.5 * len(between)
