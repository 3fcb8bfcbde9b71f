"""Why the tracker said what it said of a vehicle."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request

from api import schema
from api.answers import Answer
from api.explain import Explainer, Explanation
from api.problems import Problem
from api.routes.common import PROBLEM, Whole, documented, missing, network_of
from api.snapshot import Snapshot

routes = APIRouter(prefix="/v1", tags=["vehicles"])  # these answers are not the snapshot's: they are not kept with it

Minutes = Annotated[int, Query(ge=1, le=120, description="how far back, minutes")]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    409: {"description": "The API was given another feed than the workers use", **PROBLEM},
    501: {"description": "The API was started without a feed", **PROBLEM},
    504: {"description": "It took too long", **PROBLEM},
}


# Before /vehicles/{vehicle_id}, which would take the rest of the path as part of the id.
@routes.get(
    "/vehicles/{vehicle_id:path}/explain",
    responses={**documented(schema.ExplanationAnswer, missing=True), **PROBLEMS},
)
async def explain(request: Request, now: Whole, vehicle_id: str, minutes: Minutes = 30) -> Answer:
    """Ping by ping: what the tracker believed (hypotheses with their probability), what it decided and said.

    The vehicle's last pings are read from Kafka and go through the tracker once more, which takes some seconds. It
    begins twenty minutes before what is shown; a run that is older may be told apart from what was said live.
    """
    found = await _explained(request, now, vehicle_id, minutes)
    return Answer(b'{"at":%b,"data":%b}' % (orjson.dumps(now.at), found.json))


@routes.get(
    "/vehicles/{vehicle_id:path}/explain.svg",
    responses={
        **documented(None, missing=True),
        **PROBLEMS,
        200: {"description": "The picture", "content": {"image/svg+xml": {}}},
    },
    response_model=None,
)
async def picture(request: Request, now: Whole, vehicle_id: str, minutes: Minutes = 30) -> Answer:
    """The same as a picture: the path on the shapes, and against time what was believed."""
    found = await _explained(request, now, vehicle_id, minutes)
    return Answer(found.svg, b"image/svg+xml")


async def _explained(request: Request, now: Snapshot, vehicle_id: str, minutes: int) -> Explanation:
    if vehicle_id not in now.vehicles:
        raise missing("vehicle", vehicle_id)
    explainer: Explainer = request.app.state.explainer
    found = await explainer.explain(vehicle_id, minutes, request.is_disconnected)
    network = orjson.loads(found.json)["network"]
    if network != network_of(now).hash:
        raise Problem(
            409,
            "another-feed",
            f"The workers use the network {network_of(now).hash}, the feed given to this API is {network}: "
            "give it theirs (`koridor api --gtfs FEED`).",
        )
    return found
