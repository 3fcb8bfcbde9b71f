"""The tables of a run: names, columns, types and keys. Other programs read them: a change is a line in the CHANGELOG.

TIDES's names and values wherever TIDES has the thing; ours, with the unit in the name, where it has not. Times are
`timestamp[ms, UTC]`, unknown is null, rows are sorted by the key, and a table without rows still has its columns.
"""

from dataclasses import dataclass

import polars as pl

TIME = pl.Datetime("ms", "UTC")
DATE = pl.Date()
ID = pl.String()
REAL = pl.Float64()
SMALL = pl.Int8()
WHOLE = pl.Int32()
LONG = pl.Int64()
FLAG = pl.Boolean()
CANDIDATES = pl.List(pl.Struct({"route_id": pl.String, "direction_id": pl.Int8, "probability": pl.Float64}))


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its columns in order with their types, and the columns by which a row is known."""

    name: str
    key: tuple[str, ...]
    columns: dict[str, pl.DataType]

    def empty(self) -> pl.DataFrame:
        """No rows."""
        return pl.DataFrame(schema=self.columns)

    def fit(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The columns in order, cast to their types, sorted by the key."""
        return rows.select(pl.col(name).cast(dtype) for name, dtype in self.columns.items()).sort(*self.key)


VEHICLE_LOCATIONS = Table(
    "vehicle_locations",
    ("location_ping_id",),
    {
        "location_ping_id": ID,  # vehicle_id@timestamp
        "service_date": DATE,
        "event_timestamp": TIME,
        "vehicle_id": ID,
        "latitude": REAL,
        "longitude": REAL,
        "heading": REAL,  # degrees, as reported
        "speed": REAL,  # m/s, as reported; of a source that reports none, smoothed along the pattern
        "odometer": REAL,
        "route_id": ID,
        "direction_id": SMALL,
        "pattern_id": ID,
        "trip_id_performed": ID,
        "trip_id_scheduled": ID,
        "trip_type": ID,
        "current_status": ID,
        "stop_id": ID,
        "scheduled_stop_sequence": WHOLE,
        "dist_m": REAL,
        "offset_m": REAL,
        "match_probability": REAL,
        "route_candidates": CANDIDATES,
        "off_route": FLAG,
        "h3_cell": ID,
        "headway_s": REAL,
        "scheduled_headway_s": REAL,
        "leader_id": ID,
        "congestion_level": ID,
    },
)

STOP_VISITS = Table(
    "stop_visits",
    ("service_date", "trip_id_performed", "trip_stop_sequence"),
    {
        "service_date": DATE,
        "trip_id_performed": ID,
        "trip_stop_sequence": WHOLE,  # 1 is the pattern's first stop
        "trip_id_scheduled": ID,
        "scheduled_stop_sequence": WHOLE,
        "route_id": ID,
        "direction_id": SMALL,
        "pattern_id": ID,
        "vehicle_id": ID,
        "stop_id": ID,
        "actual_arrival_time": TIME,
        "actual_departure_time": TIME,
        "dwell": WHOLE,
        "schedule_arrival_time": TIME,
        "schedule_departure_time": TIME,
        "headway_s": REAL,
        "scheduled_headway_s": REAL,
        "leader_id": ID,
        "schedule_relationship": ID,
    },
)

TRIPS_PERFORMED = Table(
    "trips_performed",
    ("service_date", "trip_id_performed"),
    {
        "service_date": DATE,
        "trip_id_performed": ID,
        "trip_id_scheduled": ID,
        "vehicle_id": ID,
        "route_id": ID,
        "direction_id": SMALL,
        "pattern_id": ID,
        "shape_id": ID,
        "block_id": ID,
        "actual_trip_start": TIME,
        "actual_trip_end": TIME,
        "schedule_trip_start": TIME,
        "schedule_trip_end": TIME,
        "trip_type": ID,
        "schedule_relationship": ID,
    },
)

HEADWAYS = Table(
    "headways",
    ("trip_id_performed", "gate_id"),
    {
        "trip_id_performed": ID,
        "gate_id": ID,
        "event_timestamp": TIME,
        "route_id": ID,
        "direction_id": SMALL,
        "vehicle_id": ID,
        "leader_id": ID,
        "dist_m": REAL,
        "headway_s": REAL,
        "scheduled_headway_s": REAL,
        "target_headway_s": REAL,
        "headway_ratio": REAL,
        "band": ID,
    },
)

GROUP_HEADWAYS = Table(
    "group_headways",
    ("route_group_id", *HEADWAYS.key),
    {"route_group_id": ID, **HEADWAYS.columns},
)

CONGESTION = Table(
    "congestion",
    ("window_start", "h3_cell", "heading_octant", "lane"),
    {
        "window_start": TIME,
        "h3_cell": ID,
        "heading_octant": SMALL,
        "lane": ID,
        "window_s": REAL,
        "speed_mps": REAL,
        "free_flow_mps": REAL,
        "congestion_level": ID,
        "n_vehicles": WHOLE,
        "n_samples": WHOLE,
        "distance_m": REAL,
        "delay_s": REAL,
    },
)

ARRIVAL_ESTIMATES = Table(
    "arrival_estimates",
    ("made_at", "trip_id_performed", "scheduled_stop_sequence"),
    {
        "made_at": TIME,
        "trip_id_performed": ID,
        "scheduled_stop_sequence": WHOLE,
        "vehicle_id": ID,
        "trip_id_scheduled": ID,
        "route_id": ID,
        "direction_id": SMALL,
        "stop_id": ID,
        "arrival_p10": TIME,
        "arrival_p50": TIME,
        "arrival_p90": TIME,
        "arrival_time": TIME,
    },
)

SEGMENTS = Table(
    "segments",
    ("window_start", "segment_id"),
    {
        "window_start": TIME,
        "segment_id": ID,
        "window_s": REAL,
        "from_stop_id": ID,
        "to_stop_id": ID,
        "pattern_id": ID,
        "from_dist_m": REAL,
        "to_dist_m": REAL,
        "speed_mps": REAL,
        "free_flow_mps": REAL,
        "congestion_level": ID,
        "running_s": REAL,
        "delay_s": REAL,
        "n_samples": WHOLE,
        "measured_share": REAL,
    },
)

INDICATORS = Table(
    "indicators",
    ("window_start", "route_id", "direction_id"),
    {
        "window_start": TIME,
        "window_s": REAL,
        "route_id": ID,
        "direction_id": SMALL,
        "n_vehicles": WHOLE,  # in service in the mean
        "n_headways": WHOLE,
        "headway_mean_s": REAL,
        "headway_cv": REAL,
        "scheduled_headway_s": REAL,
        "excess_wait_s": REAL,
        "share_bunched": REAL,
        "share_gapped": REAL,
        "share_regular": REAL,
        "share_within_limit": REAL,
        "coverage": REAL,
    },
)

ALERTS = Table(
    "alerts",
    ("alert_id", "revision"),
    {
        "alert_id": ID,
        "revision": WHOLE,
        "kind": ID,
        "severity": ID,
        "active_from": TIME,
        "active_to": TIME,
        "route_id": ID,
        "direction_id": SMALL,
        "stop_id": ID,
        "vehicle_id": ID,
        "leader_id": ID,
        "headway_s": REAL,
        "target_headway_s": REAL,
        "stop_ids": pl.List(pl.String),
        "next_bus_s": REAL,
        "hold_stop_id": ID,
        "hold_s": REAL,
        "hold_wait_change_s": REAL,
        "path": ID,
        "first_seen_at": TIME,
        "last_seen_at": TIME,
        "cause": ID,
        "effect": ID,
        "header": ID,
        "description": ID,
    },
)

REJECTS = Table(
    "rejects",
    ("source", "index"),
    {
        "source": ID,  # name of the file
        "index": LONG,  # row of the file, from 0
        "event_timestamp": TIME,
        "vehicle_id": ID,
        "reason": ID,
        "raw": ID,
    },
)

ALL = (
    VEHICLE_LOCATIONS,
    STOP_VISITS,
    TRIPS_PERFORMED,
    HEADWAYS,
    GROUP_HEADWAYS,
    CONGESTION,
    SEGMENTS,
    INDICATORS,
    ARRIVAL_ESTIMATES,
    ALERTS,
    REJECTS,
)
BY_NAME = {table.name: table for table in ALL}


def time_of(seconds: pl.Expr) -> pl.Expr:
    """A column of POSIX seconds as a time."""
    return (seconds * 1000.0).round().cast(pl.Int64).cast(TIME)
