import h3
import numpy as np
import pytest

from streams.gtfs.cells import SHORTEST_SPAN_M
from tests.drawing import draw

PICTURE = """
A-----B-----C
            |
            |
            |
D-----E-----F
"""


@pytest.fixture(scope="module")
def network():
    return draw(PICTURE, {"R": "ABCFED", "R-back": "DEFCBA", "S": "ABC"}, metres_per_char=100)[0]


def spans(network, p):
    mine = slice(network.span_start[p], network.span_start[p + 1])
    end = [*network.span_dist_m[mine][1:], network.pattern_length_m[p]]
    return list(zip(network.span_dist_m[mine], end, network.span_cell_ix[mine], strict=True))


def test_the_middle_of_a_span_lies_in_its_cell(network):
    for p in range(len(network.pattern_ids)):
        shape = network.pattern_shape_ix[p]
        points = slice(network.shape_start[shape], network.shape_start[shape + 1])
        for begin, end, cell in spans(network, p):
            middle = (begin + end) / 2
            x, y = (
                np.interp(middle, network.point_dist_m[points], v[points]) for v in (network.point_x, network.point_y)
            )
            lat, lon = network.unproject(x, y)
            assert h3.latlng_to_cell(lat, lon, 10) == h3.int_to_str(int(network.cell_h3[cell]))


def test_spans_are_long_enough_to_time(network):
    for p in range(len(network.pattern_ids)):
        assert all(end - begin >= SHORTEST_SPAN_M for begin, end, _ in spans(network, p)[:-1])


def test_octants_are_those_of_the_street(network):
    octants = {int(o) for o in network.cell_octant[[c for *_, c in spans(network, 0)]]}
    assert octants >= {2, 4, 6}
    back = {int(o) for o in network.cell_octant[[c for *_, c in spans(network, 1)]]}
    assert back >= {6, 0, 2}


def test_routes_on_one_street_share_its_cells_and_directions_do_not(network):
    r, back, s = ({c for *_, c in spans(network, p)} for p in range(3))
    assert len(s & r) >= len(s) - 1  # S ends where R turns
    assert not (r & back) & s


def test_a_directed_cell_stands_once(network):
    keys = list(zip(network.cell_h3.tolist(), network.cell_octant.tolist(), network.cell_busway.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
