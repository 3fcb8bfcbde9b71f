"""Results of a replay as text that a person can read and a diff can compare: rounded to what matters."""

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from streams.gtfs.network import Network
from streams.replay.run import replay
from streams.sources.recording import Recording

EVERY_S = 300  # estimates are shown as they stood at every so many seconds
SHOWN = 80  # lines of a diff

Rows = Iterable[dict[str, Any]]
_TOKEN = re.compile(r"\d\d:\d\d:\d\d|-?\d+\.\d+|-?\d+")


def told(title: str, network: Network, recording: Recording, folder: Path) -> str:
    """The text of a recording's replay; tables go to `folder`."""
    counts = replay(recording, network, folder)
    zone = ZoneInfo(network.timezone)

    def table(name: str) -> pl.DataFrame:
        return pl.read_parquet(folder / f"{name}.parquet")

    def clock(time: datetime | None) -> str:
        return "-" if time is None else (time.astimezone(zone) + timedelta(seconds=0.5)).strftime("%H:%M:%S")

    visits = table("stop_visits")
    rejects = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.rejects.items())) or "none"
    parts = [
        f"{title}\n{counts.pings} pings, {counts.accepted} accepted; rejected: {rejects}",
        _section("runs", _runs(table("trips_performed"), visits, clock)),
        _section("visits", _visits(visits, clock)),
        _section("headways", _headways(table("headways"))),
        _section("phases", _phases(table("vehicle_locations"))),
        _section("estimates", _estimates(table("arrival_estimates"), clock)),
        _section("congestion", _congestion(table("congestion"), clock)),
        _section("alerts", _alerts(table("alerts"), clock)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(name: str, rows: list[tuple[Any, ...]]) -> str:
    text = [tuple("-" if v is None else str(v) for v in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in text]
    return "\n".join([f"== {name}", *lines])


def _run(trip_id_performed: str | None) -> str:
    return "-" if trip_id_performed is None else trip_id_performed.split(":", 1)[1]


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _runs(trips: pl.DataFrame, visits: pl.DataFrame, clock: Any) -> list[tuple[Any, ...]]:
    seen = dict(
        visits.filter(pl.col("schedule_relationship") == "Scheduled").group_by("trip_id_performed").len().rows()
    )
    out: list[tuple[Any, ...]] = [("run", "trip", "pattern", "relationship", "first", "last", "visits")]
    for r in trips.sort("trip_id_performed").iter_rows(named=True):
        run = r["trip_id_performed"]
        first, last = clock(r["actual_trip_start"]), clock(r["actual_trip_end"])
        relationship = r["schedule_relationship"]
        out.append((_run(run), r["trip_id_scheduled"], r["pattern_id"], relationship, first, last, seen.get(run, 0)))
    return out


def _visits(visits: pl.DataFrame, clock: Any) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = [("run", "stop", "arrival", "dwell", "planned", "headway", "leader", "relationship")]
    for r in visits.sort("trip_id_performed", "trip_stop_sequence").iter_rows(named=True):
        arrival, planned = clock(r["actual_arrival_time"]), clock(r["schedule_arrival_time"])
        behind = (_whole(r["headway_s"]), r["leader_id"])
        relationship = r["schedule_relationship"]
        out.append((_run(r["trip_id_performed"]), r["stop_id"], arrival, r["dwell"], planned, *behind, relationship))
    return out


def _headways(headways: pl.DataFrame) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = [("route", "direction", "places", "known", "median", "bands")]
    for (route, direction), rows in sorted(headways.group_by("route_id", "direction_id"), key=lambda g: str(g[0])):
        bands = sorted(rows["band"].drop_nulls().value_counts().rows())
        said = " ".join(f"{band}:{n}" for band, n in bands) or "-"
        known = rows["headway_s"].drop_nulls()
        out.append((route, direction, rows.height, len(known), _whole(known.median()), said))  # type: ignore[arg-type]
    return out


def _phases(locations: pl.DataFrame) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = [("vehicle", "pings", "off_route", "trip_type")]
    for (vehicle,), rows in sorted(locations.group_by("vehicle_id")):
        kinds = rows["trip_type"].fill_null("undecided").value_counts().rows()
        said = " ".join(f"{kind.replace(' ', '_')}:{n}" for kind, n in sorted(kinds))
        out.append((vehicle, rows.height, int(rows["off_route"].sum()), said))
    return out


def _estimates(estimates: pl.DataFrame, clock: Any) -> list[tuple[Any, ...]]:
    """At every EVERY_S: of each run the next stop and the last one that is estimated, as it stood then."""
    out: list[tuple[Any, ...]] = [("at", "run", "stop", "told", "p10", "p50", "p90")]
    if not estimates.height:
        return out
    begin, end = (estimates["made_at"].min(), estimates["made_at"].max())
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    at = datetime.fromtimestamp(begin.timestamp() // EVERY_S * EVERY_S + EVERY_S, UTC)
    while at <= end:
        fresh = estimates.filter((pl.col("made_at") <= at) & (pl.col("made_at") > at - timedelta(seconds=60)))
        key = ["trip_id_performed", "scheduled_stop_sequence"]
        stood = fresh.sort("made_at").group_by(key, maintain_order=True).last().drop_nulls("arrival_p50").sort(key)
        for (run,), rows in stood.group_by("trip_id_performed", maintain_order=True):
            for r in rows[[0, -1]].unique(maintain_order=True).iter_rows(named=True):
                times = (clock(r[f"arrival_{name}"]) for name in ("time", "p10", "p50", "p90"))
                out.append((clock(at), _run(str(run)), r["stop_id"], *times))
        at += timedelta(seconds=EVERY_S)
    return out


def _congestion(congestion: pl.DataFrame, clock: Any) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = [("window", "cells", "samples", "mean_mps", "levels")]
    for (start,), rows in sorted(congestion.group_by("window_start")):
        levels = rows["congestion_level"].fill_null("UNKNOWN").value_counts().rows()
        said = " ".join(f"{level}:{n}" for level, n in sorted(levels))
        speed = rows["speed_mps"].mean()
        out.append((clock(start), rows.height, rows["n_samples"].sum(), f"{speed:.1f}", said))
    return out


def _alerts(alerts: pl.DataFrame, clock: Any) -> list[tuple[Any, ...]]:
    last = alerts.sort("revision").group_by("alert_id", maintain_order=True).last().sort("active_from", "alert_id")
    return [("kind", "from", "to", "header")] + [
        (r["kind"], clock(r["active_from"]), clock(r["active_to"]), r["header"]) for r in last.iter_rows(named=True)
    ]


# --- comparing


def compare(expected: str, found: str) -> str:
    """What changed, by section and then line by line; empty when nothing did.

    A number or time that differs by its last digit only is the same: another machine may round it the other way.
    """
    old, new = expected.splitlines(), settled(expected, found).splitlines()
    if old == new:
        return ""
    lines = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
    heads = {i: line[3:] for i, line in enumerate(old) if line.startswith("== ")}
    counts: dict[str, list[int]] = {}
    section = "counts"
    for line in lines:
        if line.startswith("@@"):
            at = int(re.findall(r"\d+", line)[0])
            section = next((heads[i] for i in sorted(heads, reverse=True) if i < max(at, 1)), "counts")
        else:
            counts.setdefault(section, [0, 0])[line.startswith("+")] += 1
    said = [f"{name}: {gone} lines gone, {came} came" for name, (gone, came) in counts.items()]
    body = [line for line in lines if not line.startswith("@@")]
    more = [f"... and {len(body) - SHOWN} lines more"] if len(body) > SHOWN else []
    return "\n".join([*said, *body[:SHOWN], *more])


def settled(expected: str, found: str) -> str:
    """The found text, with the expected lines where they are the same but for rounding; it is what is kept."""
    old, new = expected.splitlines(), found.splitlines()
    out = list(new)
    matcher = difflib.SequenceMatcher(None, [_shape(x) for x in old], [_shape(x) for x in new], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        for i in range(size):
            if _same(old[a + i], new[b + i]):
                out[b + i] = old[a + i]
    return "\n".join(out) + "\n"


def _shape(line: str) -> str:
    return " ".join(_TOKEN.sub("#", line).split())


def _same(a: str, b: str) -> bool:
    x, y = _TOKEN.findall(a), _TOKEN.findall(b)
    return _shape(a) == _shape(b) and all(_near(p, q) for p, q in zip(x, y, strict=True))


def _near(a: str, b: str) -> bool:
    if ":" in a or ":" in b:
        return a.count(":") == b.count(":") == 2 and abs(_seconds(a) - _seconds(b)) <= 1
    if "." in a and "." in b:
        return abs(float(a) - float(b)) < 0.11
    return a == b


def _seconds(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return hours * 3600 + minutes * 60 + seconds
