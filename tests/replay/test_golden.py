"""Golden replays: what recordings and drawn cases come to, kept as text in fixtures/golden.

A change of behaviour shows here as a diff. `make golden` accepts it; the diff of fixtures/golden is what to review.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from streams.gtfs.compile import load
from streams.gtfs.network import EARTH_RADIUS_M, Network
from streams.sources.recording import Recording
from streams.sources.registry import open_source
from streams.sources.rows import Options, pings_of
from tests.drawing import draw
from tests.engine.pinging import Ping, ride, seven, stand
from tests.replay.golden import compare, settled, told

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
GOLDEN = FIXTURES / "golden"

Case = Callable[[Path], tuple[Network, Recording]]


def recorded(pings: list[Ping]) -> Recording:
    return pings_of(pl.DataFrame(pings).sort("timestamp", "vehicle_id"), "pings", Options())


def stops_of(network: Network, pattern: int, seconds: float) -> list[tuple[float, float]]:
    """Stops of a pattern but the last, and how long a bus stands there."""
    rows = slice(network.pstop_start[pattern], network.pstop_start[pattern + 1] - 1)
    return [(float(d), seconds) for d in network.pstop_dist_m[rows]]


def parked(pings: list[Ping], place: tuple[float, float]) -> list[Ping]:
    """The pings of a bus, and then it stands at its last stop for half a minute."""
    fields = {name: value for name, value in pings[-1].items() if name in ("vehicle_id", "route_id")}
    return [*pings, *stand(place, pings[-1]["timestamp"] + 5.0, 30.0, **fields)]


def through(way: list[tuple[float, float]], start: float, speed_mps: float = 7.0, **fields: str) -> list[Ping]:
    """A bus that drives straight from place to place, whatever routes there are; a ping every 5 s."""
    lat, lon = np.array(way).T
    metres = np.pi / 180.0 * EARTH_RADIUS_M
    steps = np.hypot(np.diff(lat), np.diff(lon) * np.cos(np.radians(lat[0]))) * metres
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.arange(0.0, along[-1], 5.0 * speed_mps)
    places = zip(np.interp(at, along, lat).tolist(), np.interp(at, along, lon).tolist(), strict=True)
    return [{"timestamp": start + 5.0 * k, "lat": a, "lon": o, **fields} for k, (a, o) in enumerate(places)]


def a_bunched_pair(_: Path) -> tuple[Network, Recording]:
    """Every five minutes; the second bus catches up with the first one, which stands longer at every stop."""
    network, drawing = draw(
        "A--------B--------C--------D--------E--------F", routes={"R": "ABCDEF"}, metres_per_char=80, headway_s=300
    )
    t0 = seven(network)
    pings = []
    for vehicle, start, dwell in (("b0", 0.0, 20.0), ("b1", 300.0, 100.0), ("b2", 600.0, 15.0), ("b3", 900.0, 20.0)):
        stops = stops_of(network, 0, dwell)
        bus = ride(drawing, "R", t0 + start, vehicle_id=vehicle, route_id="R", stops=stops, speed_mps=7.0)
        pings += parked(bus, drawing.at("F"))
    return network, recorded(pings)


def a_late_timetable(_: Path) -> tuple[Network, Recording]:
    """Three trips by timetable; the second bus is held for four minutes at C, the third is on time."""
    network, drawing = draw(
        "A--------B--------C--------D--------E",
        routes={"R": "ABCDE"},
        trips={"R": ["07:00:00", "07:10:00", "07:20:00"]},
        metres_per_char=80,
    )
    t0 = seven(network)
    pings = []
    for vehicle, start, hold in (("b0", 0.0, 0.0), ("b1", 600.0, 240.0), ("b2", 1200.0, 0.0)):
        stops = [(m, 10.0 + hold * (i == 2)) for i, (m, _) in enumerate(stops_of(network, 0, 10.0))]
        bus = ride(drawing, "R", t0 + start, vehicle_id=vehicle, route_id="R", stops=stops, speed_mps=5.0)
        pings += parked(bus, drawing.at("E"))
    return network, recorded(pings)


def layover_and_back(_: Path) -> tuple[Network, Recording]:
    """Out, five minutes at the terminal, and back; the bus does not say its route."""
    network, drawing = draw(
        "A--------B--------C--------D", routes={"R": "ABCD", "R-back": "DCBA"}, metres_per_char=80, headway_s=600
    )
    out = ride(drawing, "R", seven(network), vehicle_id="b0", speed_mps=7.0, stops=stops_of(network, 0, 15.0))
    wait = stand(drawing.at("D"), out[-1]["timestamp"] + 5.0, 300.0, vehicle_id="b0")
    back = ride(drawing, "R-back", wait[-1]["timestamp"] + 5.0, vehicle_id="b0", speed_mps=7.0)
    return network, recorded([*out, *wait, *parked(back, drawing.at("A"))])


def a_detour(_: Path) -> tuple[Network, Recording]:
    """Two buses; the second one drives around stop C by another street."""
    network, drawing = draw(
        """
                      d--------e
                      |        |
        A--------B----f---C----g---D--------E
        """,
        routes={"R": "ABfCgDE"},
        metres_per_char=80,
        headway_s=600,
    )
    t0 = seven(network)
    first = ride(drawing, "R", t0, vehicle_id="b0", route_id="R", speed_mps=7.0)
    way = [drawing.at(letter) for letter in "ABfdegDE"]
    around = through(way, t0 + 300.0, vehicle_id="b1", route_id="R")
    return network, recorded([*parked(first, way[-1]), *parked(around, way[-1])])


def small_city(cache: Path) -> tuple[Network, Recording]:
    """The bundled recording: 25 buses of a generated city for twenty minutes."""
    network = load(FIXTURES / "data" / "city.zip", cache)
    return network, open_source(FIXTURES / "data" / "small" / "pings.parquet")


CASES: dict[str, Case] = {
    case.__name__: case for case in (a_bunched_pair, a_late_timetable, layover_and_back, a_detour, small_city)
}


@pytest.mark.parametrize("name", CASES)
def test_a_replay_comes_to_what_it_came_to(name, tmp_path, request):
    network, recording = CASES[name](tmp_path)
    found = told(f"{name}: {CASES[name].__doc__}", network, recording, tmp_path / "run")
    file = GOLDEN / f"{name}.txt"
    expected = file.read_text() if file.exists() else ""
    if request.config.getoption("--regolden"):
        file.write_text(settled(expected, found))
        return
    changed = compare(expected, found)
    if changed:
        pytest.fail(f"{name} comes to something else. If that is meant: make golden\n{changed}", pytrace=False)


def test_nothing_is_kept_of_a_case_that_is_gone():
    assert {file.stem for file in GOLDEN.glob("*.txt")} == CASES.keys()


KEPT = """counts 5

== visits
b0:1  A  07:00:05  20  4.1
b0:1  B  07:01:05  20  4.2

== alerts
gap   07:00:00
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("07:00:05", "07:00:06", ""),
        ("4.1", "4.2", ""),
        ("07:00:05", "07:00:07", "visits: 1 lines gone, 1 came"),
        ("A  07:00:05  20", "A  07:00:05  21", "visits: 1 lines gone, 1 came"),
        ("b0:1  B  07:01:05  20  4.2\n", "", "visits: 1 lines gone, 0 came"),
        ("counts 5", "counts 6", "counts: 1 lines gone, 1 came"),
        ("gap   07:00:00", "gap   07:00:00\ngap   07:09:00", "alerts: 0 lines gone, 1 came"),
    ],
)
def test_what_changed_is_said_by_section(old, new, said):
    found = KEPT.replace(old, new)
    assert found != KEPT
    diff = compare(KEPT, found)
    assert diff.partition("\n")[0] == said
    if said:
        for line in set(found.splitlines()) - set(KEPT.splitlines()):
            assert f"+{line}" in diff.splitlines()
    else:
        assert settled(KEPT, found) == KEPT
