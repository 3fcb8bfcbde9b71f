"""What simple means would have said at the same moments: estimates to hold ours against.

Where each bus was is taken from its newest position at that moment, and from there the links ahead are added up, with
the timetable's running times or with the mean of the last three buses that drove them.
"""

from pathlib import Path

import numpy as np
import polars as pl

from streams.gtfs.network import Network
from streams.kernels.arrivals import TOLD_MAX_S, TOLD_SHARE
from streams.replay import tables
from streams.replay.samples import Samples, seconds, table

Array = np.ndarray

LAST_BUSES = 3
TIMETABLE, LAST_THREE, TIMETABLE_TOLD = "timetable", "last three buses", "timetable, told as ours"


def baselines(run: Path, network: Network, samples: Samples, lag_s: float = 0.0) -> dict[str, Array]:
    """Predicted arrival (POSIX seconds) of every sample by each baseline; NaN where it has none.

    lag_s  how much later than its own time a position is there. A run's tables do not tell, and a baseline that knows
           positions before they came looks ahead.
    """
    rows = samples.rows.with_row_index("sample")
    looks = _looks(run, network, rows, lag_s)
    ahead = _Ahead(network, looks)
    places = network.trip_ix
    trip = np.array([places.get(t, -1) for t in looks["trip_id_scheduled"].to_list()], dtype=np.int64)
    planned = _planned(network, trip, looks["pattern"].to_numpy(), ahead)
    recent = _recent(network, samples.visits, looks["made_at"].to_numpy() - lag_s, ahead, planned)
    stop = rows.join(
        looks.select("look", "made_at", "trip_id_performed", "pattern"),
        on=["made_at", "trip_id_performed"],
        how="inner",
    )
    found = _positions_of_stops(network, stop)
    stop = stop.filter(found >= 0)
    row = _row_of(ahead, stop["look"].to_numpy(), found[found >= 0])
    good = row >= 0
    sample = stop["sample"].to_numpy()[good]
    out = {}
    for name, running in ((TIMETABLE, planned), (LAST_THREE, recent)):
        estimate = np.full(rows.height, np.nan)
        estimate[sample] = _arrivals(looks, ahead, running)[row[good]]
        out[name] = np.maximum(estimate, rows["made_at"].to_numpy())
    out[TIMETABLE_TOLD] = told(rows["made_at"].to_numpy(), out[TIMETABLE])
    return out


def told(made_at: Array, estimate: Array) -> Array:
    """The time to tell for an estimate, by the rule that makes `arrival_time` of p50."""
    early: Array = estimate - np.minimum(TOLD_SHARE * (estimate - made_at), TOLD_MAX_S)
    return early


def _looks(run: Path, network: Network, rows: pl.DataFrame, lag_s: float) -> pl.DataFrame:
    """One row per minute and run: look, made_at, trip_id_performed, pattern, trip_id_scheduled, dist_m, seen_at."""
    places = (
        table(run, tables.VEHICLE_LOCATIONS)
        .filter(pl.col("trip_id_performed").is_not_null() & pl.col("dist_m").is_not_null())
        .select(
            "trip_id_performed", "pattern_id", "trip_id_scheduled", "dist_m", seen_at=seconds("event_timestamp")
        )
        .with_columns(known_at=pl.col("seen_at") + lag_s)
        .sort("known_at")
        .collect()
    )  # fmt: skip
    number = pl.DataFrame(
        {"pattern_id": network.pattern_ids, "pattern": np.arange(len(network.pattern_ids), dtype=np.int64)}
    )
    return (
        rows.select("made_at", "trip_id_performed")
        .unique()
        .sort("made_at", "trip_id_performed")
        .join_asof(places, left_on="made_at", right_on="known_at", by="trip_id_performed", check_sortedness=False)
        .join(number, on="pattern_id")
        .sort("made_at", "trip_id_performed")
        .with_row_index("look")
    )


class _Ahead:
    """The links from the one a bus is on to the last, of every look one behind the other."""

    def __init__(self, network: Network, looks: pl.DataFrame) -> None:
        pattern, dist = looks["pattern"].to_numpy(), looks["dist_m"].to_numpy()
        first, end = network.pstop_start[pattern].astype(np.int64), network.pstop_start[pattern + 1].astype(np.int64)
        stride = float(network.pattern_length_m.max(initial=0.0)) + 10_000.0
        owner = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pstop_start))
        key = owner * stride + network.pstop_dist_m
        on = np.searchsorted(key, pattern * stride + np.maximum(dist, 0.0), side="right") - 1
        on = np.clip(on, first, end - 1)
        count = end - 1 - on  # no link begins at the last stop
        self.start = np.concatenate([[0], np.cumsum(count)])
        self.look = np.repeat(np.arange(len(pattern)), count)
        self.pstop = np.arange(len(self.look)) - self.start[self.look] + on[self.look]
        self.pos = self.pstop - first[self.look]  # of the stop that the link begins at
        self.link = network.pstop_link_ix[self.pstop].astype(np.int64)
        length = network.pstop_dist_m[self.pstop + 1] - network.pstop_dist_m[self.pstop]
        gone = np.where(np.diff(self.look, prepend=-1) != 0, dist[self.look] - network.pstop_dist_m[self.pstop], 0.0)
        self.left = 1.0 - np.clip(gone / np.maximum(length, 1.0), 0.0, 1.0)  # share of the link that is to be driven


def _planned(network: Network, trip: Array, pattern: Array, ahead: _Ahead) -> Array:
    """Running time of each link by the trip's own times, else by its pattern's: arrival to arrival."""
    arrival, departure = network.pstop_arrival_s[ahead.pstop + 1], network.pstop_arrival_s[ahead.pstop].copy()
    at_first = ahead.pos == 0
    departure[at_first] = network.pstop_departure_s[ahead.pstop[at_first]]
    out = arrival - departure
    own = (trip >= 0) & (network.trip_pattern_ix[np.maximum(trip, 0)] == pattern)
    own &= ~network.trip_is_frequency[np.maximum(trip, 0)]
    rows = np.flatnonzero(own[ahead.look])
    place = network.trip_time_start[trip[ahead.look[rows]]] + ahead.pos[rows]
    leaves = np.where(at_first[rows], network.trip_time_departure_s[place], network.trip_time_arrival_s[place])
    out[rows] = network.trip_time_arrival_s[place + 1] - leaves
    planned: Array = out
    return planned


def _recent(network: Network, visits: pl.DataFrame, known_at: Array, ahead: _Ahead, otherwise: Array) -> Array:
    """Mean of the last three passages of each link that had ended; `otherwise` where nobody has driven it yet."""
    run = ["trip_id_performed"]
    pairs = (
        visits.sort("trip_id_performed", "scheduled_stop_sequence")
        .with_columns(
            to_stop=pl.col("stop_id").shift(-1).over(run),
            ends=pl.col("arrival").shift(-1).over(run),
            leaves=pl.when(pl.int_range(pl.len()).over(run) == 0).then("departure").otherwise("arrival"),
        )
        .filter(pl.col("to_stop").is_not_null() & (pl.col("ends") > pl.col("leaves")))
        .select("stop_id", "to_stop", "ends", seconds=pl.col("ends") - pl.col("leaves"))
        .sort("stop_id", "to_stop", "ends")
        .with_columns(
            mean=pl.col("seconds").rolling_mean(LAST_BUSES, min_samples=1).over("stop_id", "to_stop"),
            hop=pl.struct("stop_id", "to_stop").rank("dense").cast(pl.Int64) - 1,
        )
    )
    if pairs.is_empty() or not len(ahead.link):
        return otherwise
    hops = pairs.select("stop_id", "to_stop", "hop").unique()
    hop_of = {(a, b): h for a, b, h in hops.iter_rows()}
    links = zip(network.link_from_stop_ix.tolist(), network.link_to_stop_ix.tolist(), strict=True)
    of_link = np.array([hop_of.get((network.stop_ids[a], network.stop_ids[b]), -1) for a, b in links], dtype=np.int64)
    hop = of_link[ahead.link]
    base = float(pairs["ends"].min())  # type: ignore[arg-type]
    stride = float(pairs["ends"].max()) - base + 1e6  # type: ignore[arg-type]
    key = pairs["hop"].to_numpy() * stride + (pairs["ends"].to_numpy() - base)
    asked = hop * stride + np.clip(known_at[ahead.look] - base, -1.0, stride - 1.0)
    place = np.searchsorted(key, asked, side="right") - 1
    known = (hop >= 0) & (place >= 0) & (pairs["hop"].to_numpy()[np.maximum(place, 0)] == hop)
    mean = pairs["mean"].to_numpy()
    out: Array = np.where(known, mean[np.maximum(place, 0)], otherwise)
    return out


def _arrivals(looks: pl.DataFrame, ahead: _Ahead, running: Array) -> Array:
    """When each bus reaches the end of each link ahead of it."""
    total = np.cumsum(np.concatenate([[0.0], running * ahead.left]))
    out: Array = looks["seen_at"].to_numpy()[ahead.look] + total[1:] - total[ahead.start[ahead.look]]
    return out


def _positions_of_stops(network: Network, stop: pl.DataFrame) -> Array:
    """Position of each sample's stop on its look's pattern; -1 where that pattern has no such stop_sequence."""
    owner = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pstop_start))
    known = pl.DataFrame(
        {
            "pattern": owner.astype(np.int64),
            "scheduled_stop_sequence": pl.Series(network.pstop_sequence, dtype=pl.Int32),
            "pos": (np.arange(len(owner)) - network.pstop_start[owner]).astype(np.int64),
        }
    )
    joined = stop.join(known, on=["pattern", "scheduled_stop_sequence"], how="left", maintain_order="left")
    return joined["pos"].fill_null(-1).to_numpy()


def _row_of(ahead: _Ahead, look: Array, pos: Array) -> Array:
    """Row of `ahead` whose link ends at a stop; -1 for a stop that lies behind."""
    start, end = ahead.start[look], ahead.start[look + 1]
    first = np.where(start < end, ahead.pos[np.minimum(start, max(len(ahead.pos) - 1, 0))], np.iinfo(np.int64).max - 1)
    row = start + pos - 1 - first
    found: Array = np.where((pos - 1 >= first) & (row < end), row, -1)
    return found
