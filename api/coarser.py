"""Directed cells put together to coarser ones: H3 resolution 9, 8 or 7, each heading and lane for itself."""

from collections.abc import Iterable, Mapping
from typing import Any

import h3

from api.entity import Entity, hexagon

FINEST = 10
LEVELS = (
    (0.67, "RUNNING_SMOOTHLY"),
    (0.5, "STOP_AND_GO"),
    (0.3, "CONGESTION"),
    (0.0, "SEVERE_CONGESTION"),
)  # speed over free flow, as of the cells themselves


def coarser(cells: Iterable[Entity], resolution: int) -> list[Entity]:
    """One entity per parent cell, heading octant and lane.

    Speed is all metres over all seconds; where nobody drove in the window every cell counts alike. A vehicle may have
    been in several of the cells: `n_vehicles` is the most that one of them saw.
    """
    groups: dict[tuple[str, int, str], list[Entity]] = {}
    for cell in cells:
        parent = h3.cell_to_parent(cell.data["h3_cell"], resolution)
        groups.setdefault((parent, cell.data["heading_octant"], cell.data["lane"]), []).append(cell)
    return [_together(parent, octant, lane, group) for (parent, octant, lane), group in groups.items()]


def _together(parent: str, octant: int, lane: str, group: list[Entity]) -> Entity:
    rows = [cell.data for cell in group]
    driven = [row for row in rows if row["n_samples"]]
    weights = [(row, row["distance_m"]) for row in driven] if driven else [(row, 1.0) for row in rows]
    speed, free = (_mean_speed(weights, name) for name in ("speed_mps", "free_flow_mps"))
    level = None
    if speed is not None and free:
        level = next(word for ratio, word in LEVELS if speed / free >= ratio)
    lat, lon, geometry = hexagon(parent)
    stated_at = max(row["stated_at"] for row in rows)
    data = {
        "window_start": max(row["window_start"] for row in rows),
        "window_s": rows[0]["window_s"],
        "h3_cell": parent,
        "heading_octant": octant,
        "lane": lane,
        "speed_mps": speed,
        "free_flow_mps": free,
        "congestion_level": level,
        "n_vehicles": max(row["n_vehicles"] for row in rows),
        "n_samples": sum(row["n_samples"] for row in rows),
        "distance_m": round(sum(row["distance_m"] for row in rows), 1),
        "delay_s": round(sum(row["delay_s"] for row in rows), 1),
        "delay_hour_s": round(sum(row["delay_hour_s"] for row in rows), 1),
        "final": False,
        "stated_at": stated_at,
    }
    return Entity(
        "congestion", f"{parent}:{octant}:{lane}", data, lat=lat, lon=lon, timestamp=stated_at, geometry=geometry
    )


def _mean_speed(weights: list[tuple[Mapping[str, Any], float]], name: str) -> float | None:
    """Metres over seconds of rows with so many metres each."""
    known = [(metres, row[name]) for row, metres in weights if row[name]]
    seconds = sum(metres / speed for metres, speed in known)
    return round(sum(metres for metres, _ in known) / seconds, 2) if seconds > 0 else None
