"""What the tracker made of each ping of one vehicle, and what it believed meanwhile.

The pings go through the track stage one at a time, as in a replay; after each one the beam of hypotheses is read from
the stage's state, beside what was published.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from streams import messages
from streams.gtfs.network import Network
from streams.messages import PING, Kind
from streams.replay.run import QUIET_S, Tell
from streams.settings import Settings
from streams.sources.recording import to_columns

SERVICE, LAYOVER, DEADHEAD, OFF_ROUTE, AT_BASE = PHASES = "service", "layover", "deadhead", "off route", "at base"
UNDECIDED, REJECTED = "?", "rejected"
_WHAT = {"In service": SERVICE, "Layover": LAYOVER, "Deadhead": DEADHEAD, "Other not in service": AT_BASE}


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the vehicle may be doing."""

    phase: str  # one of PHASES, which are in the order of kernels/matching.py
    pattern_id: str | None  # None off the routes
    route_id: str | None
    direction_id: int | None
    dist_m: float | None  # along the pattern; None where a place on it means nothing
    probability: float  # all of a ping together are 1


@dataclass(slots=True)
class Moment:
    """One ping, what was made of it, and what was believed once it was known."""

    ping: dict[str, Any]  # PING; None is unknown
    said: dict[str, Any] | None = None  # POSITION, as published first; None: the ping was not used
    later: dict[str, Any] | None = None  # as published last, if a late ping changed it
    reason: str | None = None  # Reject: why it was not used
    hypotheses: tuple[Hypothesis, ...] = ()  # likeliest first

    @property
    def words(self) -> dict[str, Any] | None:
        """The last word on this ping, None if it is not (or no longer) used."""
        said = self.later or self.said
        return None if said is None or said["withdrawn"] or self.reason else said

    @property
    def what(self) -> str:
        """One of PHASES, UNDECIDED, or REJECTED."""
        said = self.words
        if said is None:
            return REJECTED
        if said["off_route"]:
            return OFF_ROUTE
        return _WHAT.get(said["trip_type"] or "", UNDECIDED)


def explain(
    pings: pl.DataFrame,
    network: Network,
    settings: Settings | None = None,
    tell: Tell = lambda _what, _done, _all: None,
) -> list[Moment]:
    """What the track stage makes of the pings of one vehicle (rows of Recording.frame), in this order."""
    from streams.engine import batch  # kernels behind them: --help does without
    from streams.engine.track import Track

    settings = settings or Settings()
    track = Track(network, replace(settings, kafka=replace(settings.kafka, partitions=1)))
    tell("compiling the kernels", 0, 1)
    track.warm_up()
    state = track.fresh(0)
    columns, record_time = to_columns(pings), pings["record_time"].to_list()
    moments = [Moment(batch.ping_at(columns, row)) for row in range(pings.height)]
    used: dict[float, Moment] = {}  # by timestamp, as it is published

    def hear(facts: dict[str, messages.Columns], rejects: messages.Columns) -> None:
        for row, reason in zip(rejects["source_offset"].tolist(), rejects["reason"].tolist(), strict=True):
            moments[row].reason = reason
        for said in _rows(facts["positions"]):
            moment = used[said["timestamp"]]
            if moment.said is None:
                moment.said = said
            else:
                moment.later = said

    for row, moment in enumerate(moments):
        given = messages.take(columns, slice(row, row + 1))
        facts, rejects = track.advance(state, given, record_time[row], row)
        if row not in rejects["source_offset"]:
            used[round(moment.ping["timestamp"], 2)] = moment
        hear(facts, rejects)
        moment.hypotheses = _hypotheses(state, network, moment.ping["vehicle_id"])
        if row % 500 == 0:
            tell("explaining", row, pings.height)
    if moments:
        # Silence: a fix that no second one has confirmed is told as a reject.
        hear(*track.advance(state, messages.empty(PING), record_time[-1] + settings.track.silent_s + 2.0 * QUIET_S, -1))
    return moments


def _hypotheses(state: Any, network: Network, vehicle_id: str) -> tuple[Hypothesis, ...]:
    """The beam of the vehicle, from the track stage's state."""
    from streams.kernels import matching as m
    from streams.kernels import tracking

    v = state.vehicles.find(vehicle_id)
    if v < 0:
        return ()
    head = tracking.STATES * v + tracking.HEAD
    beam = state.fleet.state.h[head, : state.fleet.state.fi[head, m.N]].astype(float)
    out = []
    for h in beam[np.argsort(-beam[:, m.LOG], kind="stable")]:
        p, phase = int(h[m.H_PATTERN]), int(h[m.H_PHASE])
        direction = int(network.pattern_direction[p]) if p >= 0 else -1
        out.append(
            Hypothesis(
                PHASES[phase],
                network.pattern_ids[p] if p >= 0 else None,
                network.route_ids[network.pattern_route_ix[p]] if p >= 0 else None,
                direction if direction >= 0 else None,
                float(h[m.DIST]) if phase in (m.IN_SERVICE, m.OFF_ROUTE) else None,
                float(np.exp(h[m.LOG])),
            )
        )
    return tuple(out)


def _rows(positions: messages.Columns) -> Iterator[dict[str, Any]]:
    """Rows of POSITION; unknown is None."""
    whole = {name for name, kind in messages.POSITION.items() if kind is Kind.INT}
    for values in zip(*(v.tolist() for v in positions.values()), strict=True):
        row = dict(zip(positions, values, strict=True))
        yield {k: None if v != v or (v == -1 and k in whole) else v for k, v in row.items()}


def way(route_id: str | None, direction_id: int | None) -> str:
    """A route and direction as it is written here: `190:0`."""
    if route_id is None:
        return ""
    return route_id if direction_id is None else f"{route_id}:{direction_id}"


def run_number(trip_id_performed: str | None) -> str:
    """The number of a run of the vehicle on its service day."""
    return (trip_id_performed or "").rpartition(":")[2]
