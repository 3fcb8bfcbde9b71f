"""What the map draws before any bus moves, and the stream that moves it."""

from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from api import live
from api.answers import Answer, answer
from api.routes.common import PROBLEM, InBox, RouteId, Whole, invalid, network_of, router

routes = router()
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: one `reset` with everything, then `add`, `update`, `remove`",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": "event: reset\n"
                'data: [{"type":"vehicle","id":"TJ-0431","attributes":{"vehicle_id":"TJ-0431","lat":-6.19503}}]\n\n'
                "event: update\n"
                'data: {"type":"vehicle","id":"TJ-0431","attributes":{"vehicle_id":"TJ-0431","lat":-6.19498}}\n\n'
                "event: remove\n"
                'data: {"type":"vehicle","id":"TJ-0431"}\n\n',
            }
        },
    },
    422: {"description": "A parameter cannot be used", **PROBLEM},
    503: {"description": "The view is not whole yet", **PROBLEM},
}


@routes.get("/network", tags=["map"], responses={503: {"description": "No network yet", **PROBLEM}})
async def network(request: Request, now: Whole) -> Answer:
    """Routes, stops and polylines of the feed in use, in one piece for a map; changes only with the feed."""
    raw = network_of(now).raw
    return answer({**raw, "drives_on": request.app.state.settings.api.drives_on}, lasting=True)


@routes.get("/live", tags=["map"], responses=_STREAM, response_class=StreamingResponse)
async def stream(
    request: Request,
    now: Whole,
    bbox: InBox,
    route_id: RouteId = None,
    types: Annotated[
        str,
        Query(description="vehicle, alert, congestion: those wanted, separated by commas", examples=["vehicle,alert"]),
    ] = ",".join(live.KINDS),
) -> Response:
    """Vehicles, alerts and congestion cells as they change, as server-sent events in MBTA's words.

    A resource is `{"type", "id", "attributes"}` (a cell has its `geometry` too); the resource of type `status` is
    sent every few seconds and tells this service's clock and how old the data is. Records carry times, not ages:
    an age would change without news. A client that does not keep up gets a new `reset`.
    """
    wanted = tuple(kind for kind in live.KINDS if kind in types.split(","))
    if not wanted or set(types.split(",")) - set(live.KINDS):
        raise invalid("types", f"must be some of {', '.join(live.KINDS)}, separated by commas")
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}  # a proxy that buffers would hold the news
    if request.scope.get("koridor.head"):  # a stream has no end that one could wait for
        return Response(headers=headers, media_type="text/event-stream")
    hub: live.Hub = request.app.state.hub
    chunks = hub.stream(live.Query(wanted, bbox, route_id), now)
    return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)
