"""Where traffic crawls, and what needs attention."""

from collections.abc import Iterable
from typing import Annotated, Literal

import orjson
from fastapi import Query
from pydantic import Field

from api import schema
from api.answers import GEOJSON, Answer
from api.coarser import FINEST, coarser
from api.entity import Entity, touches
from api.routes.common import InBox, RouteId, Whole, documented, listed, router

routes = router()
Octant = Annotated[int, Field(ge=0, le=7)]
Level = Literal["RUNNING_SMOOTHLY", "STOP_AND_GO", "CONGESTION", "SEVERE_CONGESTION"]


@routes.get("/congestion", responses=documented(schema.CongestionAnswer, geojson=True), tags=["traffic"])
async def congestion(
    now: Whole,
    bbox: InBox,
    level: Annotated[list[Level] | None, Query(description="only of these levels")] = None,
    lane: Annotated[Literal["busway", "mixed"] | None, Query(description="only of this lane")] = None,
    resolution: Annotated[int, Query(ge=7, le=10, description="of the H3 cells; below 10 they are put together")] = 10,
    heading: Annotated[
        list[Octant] | None, Query(description="only of these heading octants: 0 north, clockwise to 7")
    ] = None,
) -> Answer:
    """Directed cells as GeoJSON: an H3 cell, a heading octant and a lane, with the speed in it and free flow.

    One hexagon carries up to eight headings and two lanes; each is a feature of its own. `delay_hour_s` is what all
    vehicles lost in it against free flow in the last hour, in vehicle-seconds.
    """
    found: Iterable[Entity] = now.congestion.values()
    if lane is not None:
        found = [e for e in found if e.data["lane"] == lane]
    if heading is not None:
        found = [e for e in found if e.data["heading_octant"] in heading]
    if resolution < FINEST:
        found = coarser(found, resolution)
    if bbox is not None:
        found = [e for e in found if touches(e, bbox)]
    if level is not None:
        found = [e for e in found if e.data["congestion_level"] in level]
    return _features(found, now.at)


@routes.get("/segments", responses=documented(schema.SegmentAnswer, geojson=True), tags=["traffic"])
async def segments(
    now: Whole,
    bbox: InBox,
    route_id: RouteId = None,
    level: Annotated[list[Level] | None, Query(description="only of these levels")] = None,
) -> Answer:
    """The way from one stop to the next as GeoJSON lines: how long it takes now, without dwell, and on a free road.

    Shared by every route that drives it alike. `measured_share` says how much of its length was driven through in the
    window; elsewhere the pace is the one expected now.
    """
    found: Iterable[Entity] = now.segments.values()
    if route_id is not None:
        found = [e for e in found if route_id in e.data["route_ids"]]
    if bbox is not None:
        found = [e for e in found if touches(e, bbox)]
    if level is not None:
        found = [e for e in found if e.data["congestion_level"] in level]
    return _features(found, now.at)


@routes.get("/alerts", responses=documented(schema.AlertList), tags=["traffic"])
async def alerts(
    now: Whole,
    route_id: RouteId = None,
    ended: Annotated[bool, Query(description="also those that ended in the last hour")] = False,
) -> Answer:
    """Active alerts, severest and newest first.

    Bunching (with advice to hold), gaps (with the stops that wait and the next bus), detours (with the stops left out
    and the way driven), stopped and lost vehicles, routes without service, silent sources.
    """
    found = [*now.alerts.values(), *(now.ended_alerts.values() if ended else ())]
    if route_id is not None:
        found = [e for e in found if e.route_id == route_id]
    rank = {"SEVERE": 0, "WARNING": 1, "INFO": 2}
    found.sort(key=lambda e: (e.id in now.ended_alerts, rank.get(e.data["severity"], 3), -(e.timestamp or 0.0), e.id))
    return listed(found, now.at)


def _features(found: Iterable[Entity], at: float) -> Answer:
    features = b",".join(e.feature(at) for e in found)
    return Answer(b'{"at":%b,"type":"FeatureCollection","features":[%b]}' % (orjson.dumps(at), features), GEOJSON)
