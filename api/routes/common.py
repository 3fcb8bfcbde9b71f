"""What every resource needs: the moment a request sees, its filters, its documentation."""

from collections.abc import Iterable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request

from api import schema
from api.answers import Answer, KeptRoute
from api.entity import Entity
from api.network import NetworkView
from api.problems import Problem
from api.snapshot import Snapshot

Box = tuple[float, float, float, float]
PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}}


def router() -> APIRouter:
    """A router whose answers are kept with their snapshot."""
    return APIRouter(prefix="/v1", route_class=KeptRoute)


def documented(model: Any, *, missing: bool = False, geojson: bool = False) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of a route that answers with `model`."""
    media = "application/geo+json" if geojson else "application/json"
    example = {"example": schema.EXAMPLES[model]} if model in schema.EXAMPLES else {}
    out: dict[int | str, dict[str, Any]] = {
        200: {"model": model, "content": {media: example}},
        422: {"description": "A parameter cannot be used", **PROBLEM},
        503: {"description": "The view is not whole yet", **PROBLEM},
    }
    if missing:
        out[404] = {"description": "There is none of this id", **PROBLEM}
    return out


# Dependencies are coroutines: FastAPI calls plain functions in a thread, which costs more than they do.
async def whole(request: Request) -> Snapshot:
    """The snapshot this request sees; a problem while it is not whole."""
    snapshot: Snapshot = request.scope["koridor.snapshot"]
    if snapshot.loading is not None:
        raise Problem(503, "loading", f"The view is not whole yet: {snapshot.loading}")
    return snapshot


Whole = Annotated[Snapshot, Depends(whole)]


def network_of(snapshot: Snapshot) -> NetworkView:
    """The network of a whole snapshot."""
    assert snapshot.network is not None
    return snapshot.network


async def bbox(
    bbox: Annotated[
        str | None,
        Query(
            description="min_lon,min_lat,max_lon,max_lat in degrees, edges included",
            examples=["106.7,-6.3,106.95,-6.1"],
        ),
    ] = None,
) -> Box | None:
    """The box of a request."""
    if bbox is None:
        return None
    numbers = _numbers("bbox", bbox, 4)
    if not (numbers[0] <= numbers[2] and numbers[1] <= numbers[3]):
        raise invalid("bbox", "must be min_lon,min_lat,max_lon,max_lat with each minimum at most its maximum")
    return numbers[0], numbers[1], numbers[2], numbers[3]


async def near(
    near: Annotated[
        str | None, Query(description="lat,lon in degrees: nearest first, with distance_m", examples=["-6.195,106.823"])
    ] = None,
) -> tuple[float, float] | None:
    """The place of a request."""
    if near is None:
        return None
    lat, lon = _numbers("near", near, 2)
    if abs(lat) > 90.0:
        raise invalid("near", "must be lat,lon: a latitude is at most 90")
    return lat, lon


InBox = Annotated[Box | None, Depends(bbox)]
Near = Annotated[tuple[float, float] | None, Depends(near)]
RouteId = Annotated[str | None, Query(description="only of this route", examples=["1"])]
MaxAge = Annotated[float | None, Query(ge=0, description="only with a ping at most this old, seconds", examples=[60])]
Limit = Annotated[int, Query(ge=1, le=10_000, description="at most so many")]


def invalid(parameter: str, detail: str) -> Problem:
    """The problem of a parameter that cannot be used."""
    return Problem(
        422, "invalid-parameter", f"{parameter}: {detail}", errors=[{"parameter": parameter, "detail": detail}]
    )


def missing(kind: str, id: str) -> Problem:
    """The problem of an id that is not there."""
    return Problem(404, "not-found", f"There is no {kind} {id!r}")


def listed(entities: Iterable[Entity], at: float) -> Answer:
    """`{"at", "data": [...]}` of entities, each with its age."""
    return Answer(b'{"at":%b,"data":[%b]}' % (orjson.dumps(at), b",".join(e.aged_json(at) for e in entities)))


def _numbers(name: str, text: str, n: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n or not all(abs(x) <= 360.0 for x in numbers):  # NaN is not <= anything
        raise invalid(name, f"needs {n} numbers in degrees, separated by commas")
    return numbers
