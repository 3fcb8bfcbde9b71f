"""Where the buses are."""

from collections.abc import Iterable

import orjson

from api import schema
from api.answers import Answer
from api.entity import Entity
from api.live import inside
from api.routes.common import InBox, MaxAge, RouteId, Whole, documented, listed, missing, router

routes = router()


@routes.get("/vehicles", responses=documented(schema.VehicleList), tags=["vehicles"])
async def vehicles(now: Whole, bbox: InBox, route_id: RouteId = None, max_age: MaxAge = None) -> Answer:
    """Every vehicle seen in the last ten minutes, with headway and age.

    A vehicle not heard of for a minute says `stale`; narrow the list by box, route or age.
    """
    found: Iterable[Entity] = now.vehicles.values()
    if route_id is not None:
        found = [e for e in found if e.route_id == route_id]
    if bbox is not None:
        found = [e for e in found if inside(e, bbox)]
    if max_age is not None:
        found = [e for e in found if e.timestamp is not None and now.at - e.timestamp <= max_age]
    return listed(found, now.at)


@routes.get("/vehicles/{vehicle_id:path}", responses=documented(schema.VehicleAnswer, missing=True), tags=["vehicles"])
async def vehicle(now: Whole, vehicle_id: str) -> Answer:
    """One vehicle."""
    entity = now.vehicles.get(vehicle_id)
    if entity is None:
        raise missing("vehicle", vehicle_id)
    return Answer(b'{"at":%b,"data":%b}' % (orjson.dumps(now.at), entity.aged_json(now.at)))
