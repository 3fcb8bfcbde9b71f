"""The network as data frames, for joining what the engine says with what the feed plans."""

from datetime import date

import numpy as np
import polars as pl

from streams.gtfs.calendar import day_start, zone_of
from streams.gtfs.network import Network
from streams.messages import Columns, rows

Array = np.ndarray


def _ids(names: list[str], ix: Array) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(pl.Series(np.where(ix >= 0, ix, 0))).set(pl.Series(ix < 0), None)


def _known(values: Array) -> pl.Series:
    series = pl.Series(np.asarray(values, dtype=np.int64))
    return series.set(series < 0, None)


def patterns(network: Network) -> pl.LazyFrame:
    """One row per pattern: pattern_id, route_id, direction_id, shape_id, last_pos (of its stops)."""
    return pl.LazyFrame(
        {
            "pattern_id": pl.Series(network.pattern_ids, dtype=pl.String),
            "route_id": _ids(network.route_ids, network.pattern_route_ix),
            "direction_id": _known(network.pattern_direction),
            "shape_id": _ids(network.shape_ids, network.pattern_shape_ix),
            "last_pos": np.diff(network.pstop_start).astype(np.int64) - 1,
        }
    )


def pattern_stops(network: Network) -> pl.LazyFrame:
    """One row per stop of a pattern: pattern_id, gate_seq, stop_pos (from 0), stop_id, stop_sequence."""
    counts = np.diff(network.pstop_start)
    pattern = np.repeat(np.arange(len(counts)), counts)
    return pl.LazyFrame(
        {
            "pattern_id": _ids(network.pattern_ids, pattern),
            "gate_seq": network.pstop_gate_seq.astype(np.int64),
            "stop_pos": (np.arange(len(pattern)) - network.pstop_start[pattern]).astype(np.int64),
            "stop_id": _ids(network.stop_ids, network.pstop_stop_ix),
            "stop_sequence": network.pstop_sequence.astype(np.int64),
        }
    )


def trips(network: Network) -> pl.LazyFrame:
    """One row per trip of the feed: trip_id, block_id, by_frequency, first and last time in s of the service day."""
    start, end = network.trip_time_start[:-1], network.trip_time_start[1:]
    return pl.LazyFrame(
        {
            "trip_id": pl.Series(network.trip_ids, dtype=pl.String),
            "block_id": _ids(network.block_ids, network.trip_block_ix) if network.block_ids else None,
            "by_frequency": network.trip_is_frequency,
            "first_s": network.trip_time_departure_s[start].astype(np.float64),
            "last_s": network.trip_time_arrival_s[end - 1].astype(np.float64),
        },
        schema_overrides={"block_id": pl.String},
    )


def trip_stops(network: Network, trip_ids: list[str]) -> pl.LazyFrame:
    """One row per stop of these trips, timetable trips only: trip_id, stop_pos, planned arrival_s and departure_s."""
    chosen = [network.trip_ix[t] for t in trip_ids if t in network.trip_ix]
    ix = np.array([t for t in chosen if not network.trip_is_frequency[t]], dtype=np.int64)
    start, count = network.trip_time_start[ix], network.trip_time_start[ix + 1] - network.trip_time_start[ix]
    trip = np.repeat(ix, count)
    pos = np.arange(len(trip)) - np.repeat(np.cumsum(count) - count, count)
    row = np.repeat(start, count) + pos
    return pl.LazyFrame(
        {
            "trip_id": _ids(network.trip_ids, trip),
            "stop_pos": pos.astype(np.int64),
            "arrival_s": network.trip_time_arrival_s[row].astype(np.float64),
            "departure_s": network.trip_time_departure_s[row].astype(np.float64),
        }
    )


def service_days(network: Network, dates: list[str | None]) -> pl.LazyFrame:
    """One row per service date: service_date (YYYY-MM-DD) and day_start, POSIX seconds of noon minus 12 hours."""
    zone = zone_of(network.timezone)
    known = sorted({d for d in dates if d is not None})
    return pl.LazyFrame(
        {"service_date": known, "day_start": [day_start(date.fromisoformat(d), zone) for d in known]},
        schema={"service_date": pl.String, "day_start": pl.Float64},
    )


class Cells:
    """Which directed cell a position on a pattern lies in."""

    def __init__(self, network: Network) -> None:
        self._network = network
        counts = np.diff(network.span_start)
        self._stride = float(np.max(network.pattern_length_m, initial=0.0)) + 1000.0
        self._key = np.repeat(np.arange(len(counts)), counts) * self._stride + network.span_dist_m

    def of(self, positions: Columns) -> Array:
        """Number of the cell (i8) of each row, -1 where it is on no pattern."""
        n = rows(positions)
        find = self._network.pattern_ix
        pattern = np.fromiter([find.get(p, -1) for p in positions["pattern_id"]], dtype=np.int64, count=n)
        dist = positions["dist_m"]
        known = (pattern >= 0) & np.isfinite(dist)
        pattern, dist = np.where(known, pattern, 0), np.where(known, np.maximum(dist, 0.0), 0.0)
        if not len(self._key):
            return np.full(n, -1, dtype=np.int64)
        at = np.searchsorted(self._key, pattern * self._stride + dist, side="right") - 1
        at = np.maximum(at, self._network.span_start[pattern])
        cell: Array = np.where(known, self._network.span_cell_ix[at], -1).astype(np.int64)
        return cell

    def frame(self) -> pl.LazyFrame:
        """One row per cell: cell_ix, h3_cell, heading_octant, lane, as in the table `congestion`."""
        network = self._network
        return pl.LazyFrame(
            {
                "cell_ix": np.arange(len(network.cell_h3), dtype=np.int64),
                "h3_cell": [f"{int(c):x}" for c in network.cell_h3],
                "heading_octant": network.cell_octant.astype(np.int64),
                "lane": np.where(network.cell_busway, "busway", "mixed").astype(object).tolist(),
            },
            schema={"cell_ix": pl.Int64, "h3_cell": pl.String, "heading_octant": pl.Int64, "lane": pl.String},
        )
