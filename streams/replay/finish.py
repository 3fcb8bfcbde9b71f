"""From what the engine said to the tables of a run: the last word on every identity, joined and sorted.

Everything here is a lazy query over part files, so that polars reads what it needs when it needs it.
"""

from collections.abc import Callable
from datetime import date

import polars as pl

from streams import messages
from streams.gtfs.network import Network
from streams.replay import reference, tables
from streams.replay.hindsight import in_hindsight
from streams.replay.parts import Parts
from streams.replay.tables import Table, time_of

_OF_THE_PING = {
    "vehicle_id", "timestamp", "lat", "lon", "bearing_deg", "reported_speed_mps", "odometer_m", "occupancy_status",
    "label", "phase_since", "h3_cell", "revision", "withdrawn",
}  # fmt: skip
_DOING = (*(name for name in messages.POSITION if name not in _OF_THE_PING), "cell_ix")  # what its vehicle does
_STATUS = {"INCOMING_AT": "Incoming at", "STOPPED_AT": "Stopped at", "IN_TRANSIT_TO": "In transit to"}


class Finish:
    """The finished tables of a run, by name."""

    def __init__(self, network: Network, parts: dict[str, Parts], window_s: int) -> None:
        self.network = network
        self.parts = parts
        self.window_s = window_s
        self._cells = reference.Cells(network)
        self._passings = _last_word(parts["passings"].scan(), "trip_id_performed", "gate_seq")
        self._headways = _last_word(parts["headways"].scan(), "trip_id_performed", "gate_id")

    def table(self, table: Table) -> pl.LazyFrame:
        """One finished table: the columns of its contract, sorted by its key."""
        make: dict[str, Callable[[], pl.LazyFrame]] = {
            "vehicle_locations": self._vehicle_locations,
            "stop_visits": self._stop_visits,
            "trips_performed": self._trips_performed,
            "headways": self._headway_rows,
            "group_headways": self._group_headways,
            "congestion": self._congestion,
            "segments": self._segments,
            "indicators": self._indicators,
            "arrival_estimates": self._arrival_estimates,
            "alerts": self._alerts,
            "rejects": self._rejects,
        }
        return table.fit(make[table.name]())

    def accepted(self) -> int:
        """Pings that became positions."""
        return _height(self._positions())

    def trips(self) -> int:
        """Runs with at least one fact."""
        return _height(self._trips_performed())

    def visits(self) -> int:
        """Stop visits, missing and skipped ones too."""
        return _height(self._visits())

    # --- facts

    def _positions(self) -> pl.LazyFrame:
        """The last words, as is known in the end; a run all of whose passings turned out to be another's was none."""
        run = "trip_id_performed"
        told = self.parts["passings"].scan().unique([run, "gate_seq"], keep="last", maintain_order=True)
        void = told.group_by(run).agg(void=pl.col("withdrawn").all()).filter("void")
        last = _last_word(self.parts["positions"].scan(), "vehicle_id", "timestamp")
        return (
            in_hindsight(last, _DOING)
            .join(void, on=run, how="left", maintain_order="left")
            .with_columns(pl.when(pl.col("void").is_null()).then(run).alias(run))
            .drop("void")
        )

    def _vehicle_locations(self) -> pl.LazyFrame:
        last = self._positions()
        headways = self._headways.select(
            "trip_id_performed", "leader_id", "headway_s", "scheduled_headway_s", timestamp="event_timestamp"
        ).sort("timestamp")
        levels = self._windows().select(
            "window_start", "h3_cell", "heading_octant", "lane", "congestion_level"
        ).join(self._cells.frame(), on=["h3_cell", "heading_octant", "lane"]).select(
            "window_start", "cell_ix", "congestion_level"
        )  # fmt: skip
        whole = pl.col("timestamp") == pl.col("timestamp").floor()
        return (
            last.sort("timestamp")
            # The headway that the vehicle has at that moment is the one of the newest place it passed on its run.
            .join_asof(headways, on="timestamp", by="trip_id_performed", strategy="backward", check_sortedness=False)
            .with_columns(window_start=(pl.col("timestamp") / self.window_s).floor() * self.window_s)
            .join(levels, on=["window_start", "cell_ix"], how="left")
            .with_columns(
                location_ping_id=pl.concat_str(
                    "vehicle_id",
                    pl.lit("@"),
                    pl.when(whole)
                    .then(pl.col("timestamp").cast(pl.Int64).cast(pl.String))
                    .otherwise(pl.col("timestamp").round(2).cast(pl.String)),
                ),
                service_date=pl.col("service_date").str.to_date("%Y-%m-%d"),
                event_timestamp=time_of(pl.col("timestamp")),
                speed=pl.coalesce("reported_speed_mps", "speed_mps"),
                current_status=pl.col("current_status").replace(_STATUS),
                route_candidates=pl.col("route_candidates").str.json_decode(tables.CANDIDATES),
            )
            .rename(
                {
                    "lat": "latitude",
                    "lon": "longitude",
                    "bearing_deg": "heading",
                    "odometer_m": "odometer",
                    "stop_sequence": "scheduled_stop_sequence",
                }
            )
        )

    def _visits(self) -> pl.LazyFrame:
        """Passings of stops, with what the pattern says of them."""
        return (
            self._passings.join(reference.pattern_stops(self.network), on=["pattern_id", "gate_seq"])
            .join(reference.patterns(self.network), on="pattern_id")
            .with_columns(service_date=pl.col("trip_id_performed").str.slice(0, 10))
        )

    def _stop_visits(self) -> pl.LazyFrame:
        visits = self._visits().collect().lazy()  # used three times below
        used = visits.select(pl.col("trip_id_scheduled").drop_nulls().unique()).collect().to_series().to_list()
        planned = reference.trip_stops(self.network, used).rename({"trip_id": "trip_id_scheduled"})
        headways = self._headways.select(
            "trip_id_performed", "stop_id", "headway_s", "scheduled_headway_s", "leader_id",
            arrival_ms=_ms("event_timestamp"),
        ).unique(["trip_id_performed", "stop_id", "arrival_ms"], keep="first", maintain_order=True)  # fmt: skip
        return (
            visits.join(self._days(visits), on="service_date", how="left")
            .join(planned, on=["trip_id_scheduled", "stop_pos"], how="left")
            .with_columns(arrival_ms=_ms("arrival_time"))
            .join(headways, on=["trip_id_performed", "stop_id", "arrival_ms"], how="left")
            .select(
                pl.exclude("service_date", "schedule_relationship"),
                service_date=pl.col("service_date").str.to_date("%Y-%m-%d", strict=False),
                trip_stop_sequence=pl.col("stop_pos") + 1,
                scheduled_stop_sequence="stop_sequence",
                actual_arrival_time=time_of(pl.col("arrival_time")),
                actual_departure_time=time_of(pl.col("departure_time")),
                dwell=(pl.col("departure_time") - pl.col("arrival_time")).round(),
                schedule_arrival_time=time_of(pl.col("day_start") + pl.col("arrival_s")),
                schedule_departure_time=time_of(pl.col("day_start") + pl.col("departure_s")),
                schedule_relationship=pl.col("schedule_relationship").fill_null("Scheduled"),
            )
        )

    def _trips_performed(self) -> pl.LazyFrame:
        visits = self._visits()
        run = pl.col("trip_id_performed")
        first_leaves = pl.col("departure_time").filter(pl.col("stop_pos") == 0).first()
        last_reached = pl.col("arrival_time").filter(pl.col("stop_pos") == pl.col("last_pos")).first()
        at_ends = visits.group_by(run).agg(leaves=first_leaves, reaches=last_reached)
        positions = self._positions().filter(run.is_not_null() & (pl.col("trip_type") == "In service"))
        columns = ["trip_id_performed", "vehicle_id", "pattern_id", "trip_id_scheduled", "at"]
        seen = pl.concat(
            [
                self._passings.filter(pl.col("arrival_time").is_not_null()).select(
                    *columns[:-1], at=pl.col("arrival_time")
                ),
                positions.select(*columns[:-1], at=pl.col("timestamp")),
            ]
        ).sort("at", "pattern_id", maintain_order=True)
        runs = (
            seen.group_by(run)
            .agg(
                pl.col("vehicle_id").first(),
                # Recognised late, refined on the way: the last word counts.
                pl.col("pattern_id").drop_nulls().last(),
                pl.col("trip_id_scheduled").drop_nulls().last(),
                seen_from=pl.col("at").min(),
                seen_to=pl.col("at").max(),
            )
            .with_columns(service_date=run.str.slice(0, 10))
        )
        relationship = (
            pl.when(pl.col("trip_id_scheduled").is_null())
            .then(pl.lit("Added"))
            .when(pl.col("by_frequency"))
            .then(pl.lit("Unscheduled"))
            .otherwise(pl.lit("Scheduled"))
        )
        planned = pl.col("by_frequency").not_()
        return (
            runs.join(at_ends, on="trip_id_performed", how="left")
            .join(reference.patterns(self.network), on="pattern_id", how="left")
            .join(
                reference.trips(self.network).rename({"trip_id": "trip_id_scheduled"}),
                on="trip_id_scheduled",
                how="left",
            )
            .join(self._days(runs), on="service_date", how="left")
            .select(
                pl.exclude("service_date"),
                service_date=pl.col("service_date").str.to_date("%Y-%m-%d", strict=False),
                actual_trip_start=time_of(pl.coalesce("leaves", "seen_from")),
                actual_trip_end=time_of(pl.coalesce("reaches", "seen_to")),
                schedule_trip_start=pl.when(planned).then(time_of(pl.col("day_start") + pl.col("first_s"))),
                schedule_trip_end=pl.when(planned).then(time_of(pl.col("day_start") + pl.col("last_s"))),
                trip_type=pl.lit("In service"),
                schedule_relationship=relationship,
            )
        )

    def _headway_rows(self) -> pl.LazyFrame:
        return self._headways.with_columns(event_timestamp=time_of(pl.col("event_timestamp")))

    def _group_headways(self) -> pl.LazyFrame:
        rows = _last_word(self.parts["group_headways"].scan(), "route_group_id", "trip_id_performed", "gate_id")
        return rows.with_columns(event_timestamp=time_of(pl.col("event_timestamp")))

    # --- aggregates and statements

    def _windows(self) -> pl.LazyFrame:
        key = ["window_start", "h3_cell", "heading_octant", "lane"]
        return self.parts["congestion"].scan().filter(pl.col("final")).unique(key, keep="last", maintain_order=True)

    def _congestion(self) -> pl.LazyFrame:
        return self._windows().with_columns(window_start=time_of(pl.col("window_start")))

    def _segments(self) -> pl.LazyFrame:
        finals = self.parts["segments"].scan().filter(pl.col("final"))
        return finals.unique(["window_start", "segment_id"], keep="last", maintain_order=True).with_columns(
            window_start=time_of(pl.col("window_start"))
        )

    def _indicators(self) -> pl.LazyFrame:
        key = ["window_start", "route_id", "direction_id"]
        hours = self.parts["indicators"].scan().filter(pl.col("final"))
        return hours.unique(key, keep="last", maintain_order=True).with_columns(
            window_start=time_of(pl.col("window_start"))
        )

    def _arrival_estimates(self) -> pl.LazyFrame:
        times = ("made_at", "arrival_p10", "arrival_p50", "arrival_p90", "arrival_time")
        key = ["made_at", "trip_id_performed", "scheduled_stop_sequence"]
        return (
            self.parts["arrivals"]
            .scan()
            .unique(key, keep="last", maintain_order=True)
            .with_columns(time_of(pl.col(name)) for name in times)
        )

    def _alerts(self) -> pl.LazyFrame:
        return (
            self.parts["alerts"]
            .scan()
            .unique(["alert_id", "revision"], keep="last", maintain_order=True)
            .with_columns(
                time_of(pl.col("active_from")),
                time_of(pl.col("active_to")),
                time_of(pl.col("first_seen_at")),
                time_of(pl.col("last_seen_at")),
                pl.col("stop_ids").str.json_decode(pl.List(pl.String)),
            )
        )

    def _rejects(self) -> pl.LazyFrame:
        return (
            self.parts["rejects"]
            .scan()
            .rename({"source_index": "index"})
            .with_columns(event_timestamp=time_of(pl.col("event_timestamp")))
        )

    def _days(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        dates = rows.select(pl.col("service_date").unique()).collect().to_series().to_list()
        return reference.service_days(self.network, [d for d in dates if _is_date(d)])


def _last_word(rows: pl.LazyFrame, *identity: str) -> pl.LazyFrame:
    return rows.unique(list(identity), keep="last", maintain_order=True).filter(~pl.col("withdrawn"))


def _ms(name: str) -> pl.Expr:
    return (pl.col(name) * 1000.0).round().cast(pl.Int64)


def _height(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect().item())


def _is_date(text: str | None) -> bool:
    try:
        date.fromisoformat(text or "")
    except ValueError:
        return False
    return True
