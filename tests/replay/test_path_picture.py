"""The picture of one vehicle's path, read back from its SVG."""

from xml.etree import ElementTree

import pytest

from streams.replay.moments import LAYOVER, Moment
from streams.replay.path_picture import COLORS, picture
from tests.engine.pinging import ride, seven, town
from tests.replay.test_moments import AWAY, explained, there_and_back

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    pings = there_and_back()
    pings[30]["lat"] = AWAY[0]
    return explained(pings)


def drawn(moments: list[Moment]) -> ElementTree.Element:
    return ElementTree.fromstring(picture(moments, town()[0]))


def titles(root: ElementTree.Element, tag: str) -> list[tuple[ElementTree.Element, str]]:
    return [(e, title) for e in root.iter(SVG + tag) if (title := e.findtext(SVG + "title"))]


def test_every_used_fix_is_a_dot_in_the_colour_of_what_was_said(moments: list[Moment]) -> None:
    root = drawn(moments)
    dots = [(e, title) for e, title in titles(root, "circle") if e.get("r") == "3.2"]
    used = [m for m in moments if m.words is not None]
    assert len(dots) == len(used)
    waits = {e.get("fill") for e, title in dots if " layover " in title.splitlines()[0]}
    assert waits == {COLORS[LAYOVER]}
    ways = {title.splitlines()[0].split()[2].rstrip(","): e.get("fill") for e, title in dots if " service R" in title}
    assert ways.keys() == {"R:0", "R:1"}
    assert ways["R:0"] != ways["R:1"]


def test_a_rejected_fix_is_a_cross_with_its_reason(moments: list[Moment]) -> None:
    root = drawn(moments)
    crosses = [title for _, title in titles(root, "path") if "IMPOSSIBLE_SPEED" in title]
    assert len(crosses) == 2  # on the map (though outside), and against time
    assert "1 outside the map" in [t.text for t in root.iter(SVG + "text")]


def test_runs_stops_and_shapes_have_their_names(moments: list[Moment]) -> None:
    root = drawn(moments)
    texts = [t.text for t in root.iter(SVG + "text")]
    assert [t for t in texts if t and t[0] in "▶■"] == ["▶ 1", "■ 1", "▶ 2", "■ 2"]
    assert {title for _, title in titles(root, "rect")} == {f"Stop {x}" for x in "ABCD"}
    assert {"R:0 to to D", "R:1 to to A"} <= {title for _, title in titles(root, "polyline")}


def test_belief_adds_up_at_every_ping(moments: list[Moment]) -> None:
    """Bars that begin together are 90 pixels high together, less what is too thin to be drawn."""
    group = next(g for g in drawn(moments).iter(SVG + "g") if g.get("shape-rendering"))
    high: dict[str, float] = {}
    for bar in group:
        x = bar.get("x", "")
        high[x] = high.get(x, 0.0) + float(bar.get("height", "0"))
    assert len(high) > 40
    assert all(88.0 <= h <= 90.4 for h in high.values())


def test_a_bus_that_is_nowhere_and_one_that_stands_have_pictures(moments: list[Moment]) -> None:
    assert "no fix with a place" in picture([], town()[0])
    assert "1 pings" in picture(moments[:1], town()[0])
    network, drawing = town()
    hidden = explained(ride(drawing, "R", seven(network), to_m=400.0))
    assert "undecided" in picture(hidden, network)
