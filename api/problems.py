"""Errors as RFC 9457 problem details, whatever went wrong and wherever."""

from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    409: "Another feed is in use",
    406: "Not acceptable",
    422: "A parameter cannot be used",
    500: "Something broke in here",
    501: "Not set up for this",
    503: "Still loading",
    504: "It took too long",
}


class Problem(Exception):
    """An error to be told to the client."""

    def __init__(self, status: int, name: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.name, self.detail, self.more = status, name, detail, more


def response(
    status: int, name: str, detail: str, instance: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """A problem document. `name` becomes the type `urn:koridor:problem:<name>`."""
    body = {
        "type": f"urn:koridor:problem:{name}",
        "title": TITLES.get(status, "Request failed"),
        "status": status,
        "detail": detail,
        "instance": instance,
        **more,
    }
    # What is unknown now may be there in a second: a cache would keep a 404 for as long as it thinks right.
    headers = {"cache-control": "no-store", **(headers or {})}
    return Response(orjson.dumps(body), status, headers, "application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        headers = {"retry-after": "2"} if error.status == 503 else None
        return response(error.status, error.name, error.detail, request.url.path, headers, **error.more)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        name = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http")
        headers = dict(error.headers) if error.headers else None
        return response(error.status_code, name, str(error.detail), request.url.path, headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # where it stands: ("query", name), and the place in it where a parameter may be given several times
        errors = [{"parameter": str(e["loc"][1]), "detail": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{e['parameter']}: {e['detail']}" for e in errors)
        return response(422, "invalid-parameter", detail, request.url.path, errors=errors)

    async def broken(request: Request, error: Exception) -> Response:
        return response(500, "internal", "The error is in this service's log.", request.url.path)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, broken)
