"""Streets drawn in ASCII, lettered stops, numbered pings: a `Network` for one test, at once.

    from tests.drawing import draw

    network, drawing = draw('''
              1
        A-----2-B
                |
                3
                C
    ''', routes={"R": "ABC", "R-back": "CBA"}, metres_per_char=50, headway_s=600)

    lat, lon = drawing.at("1")               # where ping 1 was (any character that occurs once)
    lat, lon = drawing.along("R", 420.0)     # 420 m along the pattern of that key
    p = drawing.pattern_ix("R")              # row of network.pattern_*

The picture: `-` `|` `/` `\\` are streets, `+` joins streets in every direction. An upper-case letter is a stop (its
stop_id), a lower-case one a place that a route may be led through, a digit a ping; all three may stand in a street
(then they join every direction) or beside it. One character is `metres_per_char` wide and high.

A key of `routes` is `route_id`, for direction 1 `route_id-back`, for a further pattern of the same route and direction
`route_id/anything`; the value is the way, letter by letter, along the drawn streets. A letter may return: `"ABCBA"`
drives out and back, `"ABCA"` a loop.
"""

import heapq
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import cos, hypot, pi, radians
from pathlib import Path
from typing import Any

import numpy as np

from fixtures.feed import write_feed
from streams.gtfs.compile import compile_feed
from streams.gtfs.feed import Feed
from streams.gtfs.network import EARTH_RADIUS_M, Network

ALL = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
WAYS = {"-": [(1, 0), (-1, 0)], "|": [(0, 1), (0, -1)], "/": [(1, -1), (-1, 1)], "\\": [(1, 1), (-1, -1)]}

Cell = tuple[int, int]  # column, row


@dataclass(frozen=True)
class Drawing:
    """Where the characters lie, and the feed that was made of them."""

    cells: dict[str, list[Cell]]
    patterns: dict[str, int]  # key of `routes` -> pattern_ix
    tables: dict[str, list[dict[str, Any]]]  # as `write_feed` takes them
    network: Network
    metres_per_char: float
    origin: tuple[float, float]

    def at(self, character: str) -> tuple[float, float]:
        """Latitude and longitude of a character that was drawn once."""
        (cell,) = self.cells[character]
        return self.place(*cell)

    def place(self, column: float, row: float) -> tuple[float, float]:
        """Latitude and longitude of a place in the picture, also between characters."""
        return _place(column, row, self.metres_per_char, self.origin)

    def pattern_ix(self, key: str) -> int:
        """The pattern of this key of `routes`."""
        return self.patterns[key]

    def along(self, key: str, dist_m: float) -> tuple[float, float]:
        """Latitude and longitude `dist_m` along the pattern of this key of `routes`."""
        n = self.network
        shape = n.pattern_shape_ix[self.patterns[key]]
        rows = slice(n.shape_start[shape], n.shape_start[shape + 1])
        x = np.interp(dist_m, n.point_dist_m[rows], n.point_x[rows])
        y = np.interp(dist_m, n.point_dist_m[rows], n.point_y[rows])
        lat, lon = n.unproject(x, y)
        return float(lat), float(lon)


def draw(
    picture: str,
    routes: Mapping[str, str],
    *,
    metres_per_char: float = 50.0,
    headway_s: float | Mapping[str, float] = 600.0,
    trips: Mapping[str, Sequence[str]] | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
    windows: Mapping[str, Sequence[tuple[str, str, float]]] | None = None,
    hours: tuple[str, str] = ("05:00:00", "24:00:00"),
    speed_mps: float = 5.0,
    dwell_s: float = 10.0,
    stations: str = "",
    shapes: bool = True,
    timezone: str = "Asia/Jakarta",
    days: tuple[str, str] = ("20260101", "20261231"),
    origin: tuple[float, float] = (-6.2, 106.8),
) -> tuple[Network, Drawing]:
    """The network of a picture (see the module), and the helper that finds places in it.

    headway_s  of the one frequency window `hours` that every pattern gets; a mapping gives keys their own (else 600)
    windows    own frequency windows of a key: (start, end, headway_s)
    trips      departures of a key that runs by timetable instead, `{"R": ["07:00:00", "07:10:00"]}`
    blocks     block_id of each of those trips
    speed_mps  mean running speed, dwell apart; `dwell_s` at every stop but the last
    stations   letters with a parent station (`P` + letter): a route most of whose stops have one is a busway
    shapes     False leaves shapes.txt out, so that the compiler draws stop to stop
    origin     latitude and longitude of the picture's upper left corner

    Calls with equal arguments share one network: never write to it.
    """
    freeze = tuple(
        (
            key,
            way,
            tuple((trips or {}).get(key, ())),
            tuple((blocks or {}).get(key, ())),
            tuple(
                (windows or {}).get(
                    key, [(*hours, headway_s if isinstance(headway_s, int | float) else headway_s.get(key, 600.0))]
                )
            ),
        )
        for key, way in routes.items()
    )
    return _draw(picture, freeze, metres_per_char, speed_mps, dwell_s, stations, shapes, timezone, days, origin)


@lru_cache(maxsize=256)
def _draw(
    picture: str,
    routes: tuple[Any, ...],
    metres: float,
    speed_mps: float,
    dwell_s: float,
    stations: str,
    with_shapes: bool,
    timezone: str,
    days: tuple[str, str],
    origin: tuple[float, float],
) -> tuple[Network, Drawing]:
    grid = {
        (c, r): char for r, line in enumerate(picture.splitlines()) for c, char in enumerate(line) if not char.isspace()
    }
    cells: dict[str, list[Cell]] = {}
    for cell, char in grid.items():
        cells.setdefault(char, []).append(cell)
    for letter in {x for _, way, *_ in routes for x in way}:
        if len(cells.get(letter, ())) != 1:
            raise ValueError(f"{letter!r} is on a route's way and must be drawn exactly once")

    def degrees(cell: Cell) -> tuple[float, float]:
        return _place(*cell, metres, origin)

    tables: dict[str, list[dict[str, Any]]] = {
        "agency": [
            {"agency_id": "D", "agency_name": "Drawn", "agency_url": "https://x.invalid/", "agency_timezone": timezone}
        ],
        "calendar": [
            {
                "service_id": "daily",
                **dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), 1),
                "start_date": days[0],
                "end_date": days[1],
            }
        ],
        "stops": [],
        "routes": [],
        "trips": [],
        "stop_times": [],
    }
    for char in sorted(c for c in cells if c.isalpha() and c.isupper()):
        (cell,) = cells[char]
        lat, lon = degrees(cell)
        row = {"stop_id": char, "stop_name": f"Stop {char}", "stop_lat": f"{lat:.7f}", "stop_lon": f"{lon:.7f}"}
        if char in stations:
            tables["stops"].append({**row, "stop_id": f"P{char}", "location_type": 1})
            tables["stops"].append({**row, "location_type": 0, "parent_station": f"P{char}"})
        else:
            tables["stops"].append({**row, "location_type": 0})
    shape_rows: list[dict[str, Any]] = []
    frequencies: list[dict[str, Any]] = []
    known_routes: set[str] = set()
    for key, way, departures, block, windows in routes:
        direction = int("-back" in key)
        route = key.split("/")[0].removesuffix("-back")
        if route not in known_routes:
            known_routes.add(route)
            tables["routes"].append({"route_id": route, "agency_id": "D", "route_short_name": route, "route_type": 3})
        line, at = _way(grid, [cells[x][0] for x in way], way)
        # As in real feeds, there are points between stops too: a line through stops alone would be no drawn shape.
        middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in pairwise(line)]
        for i, cell in enumerate([line[0], *(c for pair in zip(middles, line[1:], strict=True) for c in pair)]):
            lat, lon = degrees(cell)
            shape_rows.append(
                {
                    "shape_id": key,
                    "shape_pt_lat": f"{lat:.7f}",
                    "shape_pt_lon": f"{lon:.7f}",
                    "shape_pt_sequence": i,
                }
            )
        length = [0.0]
        for (ac, ar), (bc, br) in pairwise(line):
            length.append(length[-1] + metres * hypot(bc - ac, br - ar))
        stops = [(letter, length[i]) for letter, i in zip(way, at, strict=True) if letter.isupper()]
        for t, departure in enumerate(departures or [windows[0][0]]):
            trip = f"{key}.{t}" if departures else key
            tables["trips"].append(
                {
                    "trip_id": trip,
                    "route_id": route,
                    "service_id": "daily",
                    "direction_id": direction,
                    "trip_headsign": f"to {stops[-1][0]}",
                    "shape_id": key if with_shapes else "",
                    "block_id": block[t] if block else "",
                }
            )
            clock = _seconds(departure)
            for i, (letter, metres_along) in enumerate(stops):
                arrival = clock + metres_along / speed_mps + i * dwell_s
                tables["stop_times"].append(
                    {
                        "trip_id": trip,
                        "arrival_time": _hms(arrival if i else clock),
                        "departure_time": _hms(arrival + (dwell_s if 0 < i < len(stops) - 1 else 0.0) if i else clock),
                        "stop_id": letter,
                        "stop_sequence": i + 1,
                    }
                )
        if not departures:
            frequencies += [
                {"trip_id": key, "start_time": a, "end_time": b, "headway_secs": f"{h:g}", "exact_times": 0}
                for a, b, h in windows
            ]
    if with_shapes:
        tables["shapes"] = shape_rows
    if frequencies:
        tables["frequencies"] = frequencies
    with tempfile.TemporaryDirectory() as folder, Feed(write_feed(Path(folder) / "drawn", tables)) as feed:
        network = compile_feed(feed)
    patterns = {
        key: int(network.trip_pattern_ix[network.trip_ix[f"{key}.0" if departures else key]])
        for key, _, departures, *_ in routes
    }
    return network, Drawing(cells, patterns, tables, network, metres, origin)


def _way(grid: dict[Cell, str], letters: list[Cell], names: str) -> tuple[list[Cell], list[int]]:
    """The corners of the way through these cells, and which corner each of them is."""
    line, at = [letters[0]], [0]
    for i, (a, b) in enumerate(pairwise(letters)):
        path = _shortest(grid, a, b)
        if path is None:
            raise ValueError(f"no street leads from {names[i]} to {names[i + 1]}")
        for j, cell in enumerate(path[1:], 1):
            ends = j == len(path) - 1
            before = path[j - 1]
            straight = not ends and (cell[0] - before[0], cell[1] - before[1]) == (
                path[j + 1][0] - cell[0],
                path[j + 1][1] - cell[1],
            )
            if not straight:
                line.append(cell)
        at.append(len(line) - 1)
    return line, at


def _shortest(grid: dict[Cell, str], a: Cell, b: Cell) -> list[Cell] | None:
    queue: list[tuple[float, Cell, list[Cell]]] = [(0.0, a, [a])]
    done: set[Cell] = set()
    while queue:
        length, cell, path = heapq.heappop(queue)
        if cell == b:
            return path
        if cell in done:
            continue
        done.add(cell)
        for dx, dy in WAYS.get(grid[cell], ALL):
            to = (cell[0] + dx, cell[1] + dy)
            if to in grid and to not in done and (dx, dy) in WAYS.get(grid[to], ALL):
                heapq.heappush(queue, (length + hypot(dx, dy), to, [*path, to]))
    return None


def _place(column: float, row: float, metres: float, origin: tuple[float, float]) -> tuple[float, float]:
    k = pi / 180.0 * EARTH_RADIUS_M
    return origin[0] - row * metres / k, origin[1] + column * metres / (k * cos(radians(origin[0])))


def _seconds(text: str) -> float:
    hours, minutes, seconds = (int(v) for v in text.split(":"))
    return hours * 3600.0 + minutes * 60.0 + seconds


def _hms(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
