"""`koridor feed`: what a feed holds and what is odd about it, and what is wrong with its live messages."""

import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import numpy as np
import orjson

from streams.gtfs.compile import compile_feed
from streams.gtfs.feed import COLUMNS, Feed, FeedError
from streams.gtfs.network import Network

# every count in Network.oddities, and two that depend on the file or the day; in words
ODDITIES = {
    "trips_under_two_stops": "trips with fewer than two stops; left out",
    "trips_without_a_day": "trips whose service never runs",
    "trips_past_midnight": "trips that arrive at or after 24:00 (frequency windows are counted apart)",
    "trips_with_times_going_back": "trips whose times go back; held at the latest so far",
    "trips_with_other_stop_sequence_than_their_pattern": "trips that number the same stops differently",
    "stop_times_interpolated": "stop times that the feed leaves out; interpolated by distance",
    "stops_unused": "stops that no trip serves",
    "stations_without_stops": "stations that are no stop's parent_station",
    "stops_far_from_their_shape": "stops more than 60 m from the shape of a trip that serves them",
    "stops_against_their_shape": "stops that their shape passes in another order; put where the order allows",
    "shapes_missing": "shape_ids of trips that shapes.txt lacks; drawn from stop to stop",
    "shapes_of_one_point": "shapes without two different points; drawn from stop to stop",
    "shapes_elsewhere": "patterns whose shape lies elsewhere than their stops; drawn from stop to stop",
    "shapes_unused": "shapes that no pattern uses, or that repeat another one",
    "patterns_drawn_stop_to_stop": "patterns drawn from stop to stop",
    "frequency_windows_overlapping": "frequency windows of one trip that overlap",
    "patterns_direction_inferred": "patterns without direction_id; told apart by the order of their stops",
    "loops": "patterns that end where they begin",
    "files_with_byte_order_mark": "files that begin with a byte order mark",
    "services_over": "services whose last day has passed",
}


def inspect(path: Path | str, today: date) -> dict[str, Any]:
    """What `koridor feed check --json` prints. Raises FeedError for a feed that cannot be used."""
    with Feed(path) as feed:
        network = compile_feed(feed)
        rows = {file: feed.table(file).height for file in COLUMNS if feed.has(file)}
        kinds = feed.table("stops.txt")["location_type"].fill_null("0").to_list()
        marked = len(feed.marked())
    services = _services(network, today)
    odd = {**network.oddities, "files_with_byte_order_mark": marked, "services_over": sum(s["over"] for s in services)}
    return {
        "feed": str(path),
        "network": network.hash,
        "feed_version": network.feed_version,
        "timezone": network.timezone,
        "rows": rows,
        "stops_by_type": {
            name: kinds.count(str(kind))
            for kind, name in enumerate(("stop", "station", "entrance", "node", "boarding_area"))
            if kinds.count(str(kind))
        },
        "counts": _counts(network),
        "lengths": _lengths(network),
        "services": services,
        "odd": {name: odd[name] for name in ODDITIES if odd.get(name)},
    }


def _counts(n: Network) -> dict[str, int]:
    station = np.zeros(len(n.stop_ids), dtype=np.bool_)
    station[n.stop_parent_ix[n.stop_parent_ix >= 0]] = True
    return {
        "routes": len(n.route_ids),
        "busway_routes": int(n.route_busway.sum()),
        "route_directions": len(n.route_dir_route_ix),
        "trips": len(n.trip_ids),
        "frequency_trips": int(n.trip_is_frequency.sum()),
        "frequency_windows": len(n.freq_trip_ix),
        "frequency_windows_exact": int(n.freq_exact.sum()),
        "blocks": len(n.block_ids),
        "patterns": len(n.pattern_ids),
        "shapes": len(n.shape_ids),
        "stops_served": len(np.unique(n.pstop_stop_ix)),
        "stations_of_stops": int(station.sum()),
        "stop_times": len(n.trip_time_arrival_s),
        "links": len(n.link_length_m),
        "gates": len(n.gate_ids),
        "gates_on_patterns": len(n.pgate_gate_ix),
        "directed_cells": len(n.cell_h3),
    }


def _lengths(n: Network) -> dict[str, float]:
    def at(values: np.ndarray, share: float) -> float:
        return round(float(np.percentile(values, share)), 1)

    stops = np.diff(n.pstop_start)
    out = {
        "pattern_km": round(float(n.pattern_length_m.sum()) / 1000, 1),
        "pattern_median_km": round(at(n.pattern_length_m, 50) / 1000, 1),
        "pattern_longest_km": round(at(n.pattern_length_m, 100) / 1000, 1),
        "stops_of_a_pattern_median": at(stops, 50),
        "stops_of_a_pattern_most": at(stops, 100),
        "first_departure_s": round(float(n.trip_start_s.min()), 0),
        "last_arrival_s": round(float(n.trip_time_arrival_s.max()), 0),
    }
    if len(n.freq_headway_s):
        out |= {
            "headway_least_s": at(n.freq_headway_s, 0),
            "headway_median_s": at(n.freq_headway_s, 50),
            "headway_most_s": at(n.freq_headway_s, 100),
            "last_frequency_end_s": round(float(n.freq_end_s.max()), 0),
        }
    return out


def _services(n: Network, today: date) -> list[dict[str, Any]]:
    out = []
    trips = np.bincount(n.trip_service_ix, minlength=len(n.service_ids)).tolist()
    for service, active, count in zip(n.service_ids, n.service_active, trips, strict=True):
        days = np.flatnonzero(active) + n.first_day
        out.append(
            {
                "service_id": service,
                "trips": count,
                "days": len(days),
                "first": date.fromordinal(int(days[0])).isoformat() if len(days) else None,
                "last": date.fromordinal(int(days[-1])).isoformat() if len(days) else None,
                "over": bool(len(days) and days[-1] < today.toordinal()),
            }
        )
    return out


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look into a GTFS feed."""


@command.command("check")
@click.argument("feed", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="Day by which a service counts as over. [default: today]",
)
def check(feed: Path, as_json: bool, day: Any) -> None:
    """Say what FEED (a GTFS zip or folder) holds and what is odd about it.

    A feed that cannot be used is refused with the file, row and field that are wrong and the repair.
    """
    try:
        found = inspect(feed, day.date() if day is not None else date.today())
    except FeedError as wrong:
        raise click.ClickException(str(wrong)) from None
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(found)


@command.command("check-rt")
@click.argument("feed", type=click.Path(path_type=Path))
@click.argument("messages", nargs=-1, required=True)
def check_rt(feed: Path, messages: tuple[str, ...]) -> None:
    """Say what is wrong with GTFS-Realtime MESSAGES (files or http addresses, .pb or JSON) that speak of FEED.

    VehiclePositions, TripUpdates and Alerts of one moment are looked at together. The rules and their numbers are those
    of MobilityData's validator; an address is also asked whether its header is fresh. Ends with 1 if there is an error.
    """
    from streams.gtfs.check_rt import check as find
    from streams.gtfs.compile import load
    from streams.gtfs_rt import decode

    try:
        network = load(feed)
        made = [decode(_fetch(place), strict=True) for place in messages]
    except (FeedError, OSError, ValueError) as wrong:
        raise click.ClickException(str(wrong)) from None
    live = all(place.startswith(("http://", "https://")) for place in messages)
    found = find(network, *made, now=time.time() if live else None)
    for problem in sorted(found):
        click.echo(str(problem))
    errors = sum(p.is_error for p in found)
    said = [f"{n or 'no'} {word}s" for n, word in ((errors, "error"), (len(found) - errors, "warning"))]
    click.echo(f"{sum(len(m.entity) for m in made)} entities, {', '.join(said)}")
    if errors:
        raise SystemExit(1)


def _fetch(place: str) -> bytes:
    if not place.startswith(("http://", "https://")):
        return Path(place).read_bytes()
    with urlopen(place, timeout=30.0) as answer:  # scheme checked above
        data: bytes = answer.read()
        return data


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{found['feed']}[/]: version {found['feed_version']}, {found['timezone']}", highlight=False)

    def show(title: str, rows: Sequence[tuple[str, ...]], *columns: str) -> None:
        table = Table(*columns, title=title, title_justify="left", show_header=bool(columns), box=None, pad_edge=False)
        if not columns:
            table.add_column()
            table.add_column(justify="right")
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)

    show("Rows", [(file, f"{n:,}") for file, n in found["rows"].items()])
    show("In it", [(_words(k), f"{v:,}") for k, v in {**found["stops_by_type"], **found["counts"]}.items()])
    show("Measures", [(_words(k), _value(k, v)) for k, v in found["lengths"].items()])
    columns = ("service", "trips", "days", "first", "last", "")
    show(
        "Services",
        [
            (
                s["service_id"],
                f"{s['trips']:,}",
                f"{s['days']:,}",
                s["first"] or "",
                s["last"] or "",
                "over" * s["over"],
            )
            for s in found["services"]
        ],
        *columns,
    )
    odd = [(f"{count:,}", ODDITIES[name]) for name, count in found["odd"].items()]
    show("Odd", odd or [("0", "nothing")])


def _words(name: str) -> str:
    for unit in ("_km", "_s"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _value(name: str, value: float) -> str:
    if name.startswith(("first_", "last_")):
        whole = int(value)
        return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    unit = " km" if name.endswith("_km") else " s" if name.endswith("_s") else ""
    return f"{value:,g}{unit}"
