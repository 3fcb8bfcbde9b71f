"""For whoever runs this: is it alive, is it whole, how is it doing."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api import schema
from api.answers import Answer, KeptRoute
from api.problems import Problem
from api.routes.common import PROBLEM
from api.snapshot import Snapshot

routes = APIRouter(tags=["operations"], route_class=KeptRoute)


@routes.get("/health", responses={200: {"model": schema.Health}})
async def health() -> Answer:
    """Alive: the process answers."""
    return Answer(b'{"status":"ok"}')


@routes.get(
    "/ready",
    responses={200: {"model": schema.Readiness}, 503: {"description": "Not whole yet", **PROBLEM}},
)
async def ready(request: Request) -> Answer:
    """Whole: everything current was read back and the network is known."""
    snapshot: Snapshot = request.scope["koridor.snapshot"]
    body: dict[str, Any] = {
        "ready": snapshot.loading is None,
        "loading": snapshot.loading,
        "network": snapshot.network.hash if snapshot.network else None,
        "n_vehicles": len(snapshot.vehicles),
        "pipeline_age_s": snapshot.status.data.get("pipeline_age_s"),
    }
    if snapshot.loading is not None:
        raise Problem(503, "loading", f"The view is not whole yet: {snapshot.loading}", **body)
    return Answer(orjson.dumps(body))


@routes.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
async def metrics(request: Request) -> Response:
    """Prometheus metrics of this process."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
