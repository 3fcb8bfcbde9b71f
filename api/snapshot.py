"""What a request sees: one moment of the view, from its first line to its last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp

from api.entity import Entity
from api.network import NetworkView

Row = tuple[Any, ...]
RouteDirection = tuple[str | None, int | None]
MAX_ANSWERS = 512  # a snapshot lives for a fraction of a second: enough for its hot requests, bounded for the rest


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An immutable moment of the view. The mappings belong to it alone; nothing in them changes any more."""

    seq: int
    at: float  # POSIX seconds
    loading: str | None  # why it is not whole yet; None when it is
    network: NetworkView | None = None
    vehicles: Mapping[str, Entity] = field(default_factory=dict)
    alerts: Mapping[str, Entity] = field(default_factory=dict)  # active
    ended_alerts: Mapping[str, Entity] = field(default_factory=dict)  # of the last hour
    congestion: Mapping[str, Entity] = field(default_factory=dict)
    segments: Mapping[str, Entity] = field(default_factory=dict)
    indicators: Mapping[RouteDirection, Mapping[str, Any]] = field(default_factory=dict)  # of the last hour, rolling
    indicator_hours: Mapping[RouteDirection, Mapping[float, Mapping[str, Any]]] = field(default_factory=dict)
    headways: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # vehicle_id -> newest HEADWAY row
    group_headways: Mapping[tuple[str, str], Mapping[str, Any]] = field(
        default_factory=dict
    )  # group, vehicle -> newest
    stop_headways: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # route|direction|stop -> newest
    arrivals: Mapping[str, Mapping[Row, Row]] = field(default_factory=dict)  # stop_id -> (trip, sequence) -> ARRIVAL
    status: Entity = field(default_factory=lambda: Entity("status", "koridor", {}))
    answers: dict[tuple[str, bytes], ASGIApp] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)  # what several requests work out of it

    def keep(self, key: tuple[str, bytes], answer: ASGIApp) -> None:
        """Keep an answer for the next one who asks the same of this moment."""
        if len(self.answers) < MAX_ANSWERS:
            self.answers[key] = answer
