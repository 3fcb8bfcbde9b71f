"""GTFS-Realtime for other programs: three feeds, each as protobuf and as JSON."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import Answer, KeptRoute
from api.gtfs_rt.feeds import MEDIA, NAMES, Feeds, Format, Kind, Name
from api.routes.common import PROBLEM, Whole

routes = APIRouter(prefix="/gtfs-rt", route_class=KeptRoute, tags=["gtfs-realtime"])
Flavored = Annotated[
    Literal["otp"] | None,
    Query(
        description="`otp`: for OpenTripPlanner, which takes no frequency-based trips; they are ADDED with a trip_id "
        "of their own, and every stop has an arrival and a departure"
    ),
]
ABOUT: dict[Name, str] = {
    "vehicle-positions": "Where the vehicles are, with trip, stop, congestion and occupancy; none older than 90 s.",
    "trip-updates": "When each bus reaches the stops ahead of it. `uncertainty` is the width of the central 80 % "
    "interval in seconds; stops beyond the horizon say NO_DATA.",
    "alerts": "What passengers should know: long gaps, detours.",
}


def _feed(name: Name, format: Format) -> Callable[..., Coroutine[Any, Any, Answer]]:
    async def feed(request: Request, now: Whole, flavor: Flavored = None) -> Answer:
        feeds: Feeds = request.app.state.feeds
        return feeds.answer(now, Kind(name, format, flavor))

    feed.__doc__ = ABOUT[name]
    return feed


for _name in NAMES:
    for _format, _media in MEDIA.items():
        routes.add_api_route(
            f"/{_name}.{_format}",
            _feed(_name, _format),
            name=f"{_name}.{_format}",
            responses={
                200: {"content": {_media.decode(): {}}, "description": "A FULL_DATASET FeedMessage, version 2.0"},
                304: {"description": "Not changed since (If-None-Match, If-Modified-Since)"},
                503: {"description": "The view is not whole yet", **PROBLEM},
            },
            response_class=Response,
        )
