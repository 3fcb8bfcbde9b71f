"""Stops, and when the next bus comes."""

from typing import Annotated, Any

from fastapi import Query

from api import schema
from api.answers import Answer, answer
from api.board import alerts, board
from api.network import NetworkView
from api.routes.common import Limit, Near, RouteId, Whole, documented, missing, network_of, router

routes = router()
Minutes = Annotated[int, Query(ge=1, le=240, description="how far ahead timetabled buses are told")]
Words = Annotated[
    str | None, Query(max_length=100, description="words of the stop's name or id", examples=["bundaran"])
]
Radius = Annotated[float, Query(gt=0, le=20_000, description="metres around `near`")]


@routes.get("/stops", responses=documented(schema.StopList), tags=["stops"])
async def stops(
    now: Whole, near: Near, q: Words = None, radius_m: Radius = 500.0, route_id: RouteId = None, limit: Limit = 100
) -> Answer:
    """Stops by name, near a place, or of a route."""
    network = network_of(now)
    every = len(network.stop_order)
    away: dict[str, float] = dict(network.stops_near(*near, radius_m, every)) if near else {}
    found = list(away) if near else network.search_stops(q or "", every)
    if near and q:
        named = set(network.search_stops(q, every))
        found = [s for s in found if s in named]
    if route_id is not None:
        found = [s for s in found if route_id in network.routes_at.get(s, ())]
    data = [_stop(network, s, away.get(s)) for s in found[:limit]]
    return answer({"at": now.at, "data": data}, lasting=True)


@routes.get("/stops/{stop_id:path}/arrivals", responses=documented(schema.ArrivalList, missing=True), tags=["stops"])
async def arrivals(
    now: Whole, stop_id: str, route_id: RouteId = None, limit: Limit = 50, minutes: Minutes = 60
) -> Answer:
    """The next buses at a stop (at a station: at all of its stops), soonest first, and the lines that serve it.

    `arrival_time` is the one time to tell a passenger; the quantiles say how sure it is, `words` and `note` say both.
    An estimate that has not been repeated for a minute is not shown. Timetabled buses that are not tracked yet stand
    among the live ones with `quality` `scheduled`; frequency-based service that is not tracked is told by `service`:
    "every 8–12 min", "first bus at 05:02", "no more buses today". `alerts` are those that its passengers feel.
    """
    network = network_of(now)
    if stop_id not in network.stops:
        raise missing("stop", stop_id)
    rows, lines = board(now, network, stop_id, 60.0 * minutes)
    if route_id is not None:
        rows = [r for r in rows if r["route_id"] == route_id]
        lines = [line for line in lines if line["route_id"] == route_id]
    known = [a for a in alerts(now, network, stop_id) if route_id in (None, a["route_id"])]
    return answer({"at": now.at, "data": rows[:limit], "service": lines, "alerts": known})


def _stop(network: NetworkView, stop_id: str, away_m: float | None) -> dict[str, Any]:
    stop = network.stops[stop_id]
    return {
        "stop_id": stop_id,
        "name": stop["name"],
        "lat": stop["lat"],
        "lon": stop["lon"],
        "parent_id": stop["parent_id"],
        "route_ids": network.routes_at.get(stop_id, []),
        "distance_m": None if away_m is None else round(away_m, 1),
    }
