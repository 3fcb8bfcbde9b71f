"""GTFS-Realtime VehiclePositions: messages as sent (.pb) and their JSON form, single, in folders or in zips.

A message's header says when it was made: the ingest time. Fields the sender left out are unknown; a vehicle without
a timestamp of its own has the header's, one without an id goes by its label or licence plate.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
from google.transit import gtfs_realtime_pb2

from streams.engine.rejects import Reject
from streams.gtfs_rt import decode
from streams.sources.files import members
from streams.sources.recording import REJECTS, Recording, UnusableSource
from streams.sources.rows import Options, pings_of, reject

# The table that a message is: its fields' own names, for --columns (a sender of km/h: speed_kmh=speed).
_FIELDS = {
    "header_timestamp": pl.Int64,
    "entity_id": pl.String,
    "vehicle_id": pl.String,
    "label": pl.String,
    "timestamp": pl.Int64,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "bearing": pl.Float64,
    "speed": pl.Float64,
    "odometer": pl.Float64,
    "trip_id": pl.String,
    "route_id": pl.String,
    "direction_id": pl.Int64,
    "start_date": pl.String,
    "start_time": pl.String,
    "occupancy_status": pl.String,
}
_DEFAULTS = {"record_time": "header_timestamp", "speed_mps": "speed"}


def open_gtfs_rt(path: Path, options: Options) -> Recording:
    """The pings of a message, or of every message in a folder or zip. Raises UnusableSource."""
    return parse(members(path), options, str(path))


def parse(messages: Iterable[tuple[str, bytes]], options: Options, name: str) -> Recording:
    """The pings of named messages; one that is none is a reject, and UnusableSource if all are."""
    columns: dict[str, list[Any]] = {field: [] for field in _FIELDS}
    sources: list[str] = []
    index: list[int] = []
    rejects: list[dict[str, object]] = []
    read = 0
    for source, data in messages:
        try:
            message = decode(data)
        except ValueError:
            rejects.append(reject(source, 0, Reject.NOT_A_FEED, data))
            continue
        read += 1
        for at, entity in enumerate(message.entity):
            if entity.HasField("vehicle") and not entity.is_deleted:
                for field, value in zip(_FIELDS, _row(message.header, entity), strict=True):
                    columns[field].append(value)
                sources.append(source)
                index.append(at)
    if not read:
        raise UnusableSource(f"{name}: holds no GTFS-Realtime message")
    taken = set(options.columns.values())
    defaults = {
        ours: theirs for ours, theirs in _DEFAULTS.items() if ours not in options.columns and theirs not in taken
    }
    table = pl.DataFrame({f: pl.Series(f, columns[f], dtype=t) for f, t in _FIELDS.items()})
    if table["header_timestamp"].null_count():
        defaults.pop("record_time", None)
        table = table.drop("header_timestamp")
    return pings_of(
        table,
        pl.Series(sources, dtype=pl.String),
        Options({**defaults, **options.columns}, options.timezone, options.time_format),
        index=pl.Series(index, dtype=pl.Int64),
        rejects=pl.DataFrame(rejects, schema=REJECTS, orient="row"),
    )


def _row(header: Any, entity: Any) -> tuple[Any, ...]:
    v = entity.vehicle
    made = header.timestamp or None

    def of(part: Any, field: str) -> Any:
        return getattr(part, field) if part.HasField(field) else None

    occupancy = None
    if v.HasField("occupancy_status"):
        occupancy = gtfs_realtime_pb2.VehiclePosition.OccupancyStatus.Name(v.occupancy_status)
    place = v.position if v.HasField("position") else None
    return (
        made,
        entity.id,
        v.vehicle.id or v.vehicle.label or v.vehicle.license_plate or None,
        v.vehicle.label or None,
        v.timestamp or made,
        None if place is None else place.latitude,
        None if place is None else place.longitude,
        None if place is None else of(place, "bearing"),
        None if place is None else of(place, "speed"),
        None if place is None else of(place, "odometer"),
        v.trip.trip_id or None,
        v.trip.route_id or None,
        of(v.trip, "direction_id"),
        v.trip.start_date or None,
        v.trip.start_time or None,
        occupancy,
    )
