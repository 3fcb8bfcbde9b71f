"""Where traffic crawls, and what needs attention."""

from collections.abc import Iterable
from typing import Annotated, Literal

import orjson
from fastapi import Query

from api import schema
from api.answers import GEOJSON, Answer
from api.entity import Entity
from api.live import inside
from api.routes.common import InBox, RouteId, Whole, documented, listed, router

routes = router()
Level = Literal["RUNNING_SMOOTHLY", "STOP_AND_GO", "CONGESTION", "SEVERE_CONGESTION"]


@routes.get("/congestion", responses=documented(schema.CongestionAnswer, geojson=True), tags=["traffic"])
async def congestion(
    now: Whole,
    bbox: InBox,
    level: Annotated[list[Level] | None, Query(description="only of these levels")] = None,
    lane: Annotated[Literal["busway", "mixed"] | None, Query(description="only of this lane")] = None,
) -> Answer:
    """Directed cells as GeoJSON: an H3 cell, a heading octant and a lane, with the speed in it and free flow.

    One hexagon carries up to eight headings and two lanes; each is a feature of its own.
    """
    found: Iterable[Entity] = now.congestion.values()
    if bbox is not None:
        found = [e for e in found if inside(e, bbox)]
    if level is not None:
        found = [e for e in found if e.data["congestion_level"] in level]
    if lane is not None:
        found = [e for e in found if e.data["lane"] == lane]
    features = b",".join(e.feature(now.at) for e in found)
    return Answer(b'{"at":%b,"type":"FeatureCollection","features":[%b]}' % (orjson.dumps(now.at), features), GEOJSON)


@routes.get("/alerts", responses=documented(schema.AlertList), tags=["traffic"])
async def alerts(
    now: Whole,
    route_id: RouteId = None,
    ended: Annotated[bool, Query(description="also those that ended in the last hour")] = False,
) -> Answer:
    """Active alerts, severest and newest first: bunching, gaps, lost vehicles, silent sources."""
    found = [*now.alerts.values(), *(now.ended_alerts.values() if ended else ())]
    if route_id is not None:
        found = [e for e in found if e.route_id == route_id]
    rank = {"SEVERE": 0, "WARNING": 1, "INFO": 2}
    found.sort(key=lambda e: (e.id in now.ended_alerts, rank.get(e.data["severity"], 3), -(e.timestamp or 0.0), e.id))
    return listed(found, now.at)
