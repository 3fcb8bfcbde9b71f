"""Answers as bytes: made once per snapshot, served to all who ask the same, with ETag and gzip."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Coroutine
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.snapshot import Snapshot
from api.view import View

ZIP_FROM = 1024  # bytes; a smaller body fits in one packet anyway
ZIP_ASIDE = 65_536  # bytes; a larger body is zipped in a thread, or every other request would wait for it
JSON = b"application/json"
GEOJSON = b"application/geo+json"


class Answer(Response):
    """A ready body that can be sent any number of times; answers 304 to one who has it already."""

    def __init__(
        self,
        body: bytes,
        media_type: bytes = JSON,
        *,
        lasting: bool = False,
        last_modified: int | None = None,
        max_age_s: int = 0,
    ) -> None:
        super().__init__()
        self.body = body
        self.last_modified = last_modified  # POSIX seconds
        self.lasting = lasting  # true as long as the network is, not just for this snapshot
        self.etag = b'W/"%b"' % hashlib.blake2b(body, digest_size=8).hexdigest().encode()
        self._base = [
            (b"content-type", media_type),
            (b"etag", self.etag),
            (b"cache-control", b"public, max-age=%d" % max_age_s if max_age_s else b"no-cache"),
            (b"vary", b"accept-encoding"),
        ]
        if last_modified is not None:
            self._base.append((b"last-modified", formatdate(last_modified, usegmt=True).encode()))
        self._plain = [*self._base, (b"content-length", str(len(body)).encode())]
        self._zipped: bytes | None = None
        self._zipping: asyncio.Future[bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer in the form that the request's headers ask for."""
        known = since = zips = b""
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                known = value
            elif name == b"if-modified-since":
                since = value
            elif name == b"accept-encoding":
                zips = value
        if self._is_known(known, since):
            await send({"type": "http.response.start", "status": 304, "headers": self._base[1:]})
            await send({"type": "http.response.body", "body": b""})
            return
        body, headers = self.body, self._plain
        if b"gzip" in zips and len(body) >= ZIP_FROM:
            body = await self._zip()
            headers = [*self._base, (b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_known(self, etags: bytes, since: bytes) -> bool:
        # The tag goes before the date: it is the finer one.
        if etags:
            return etags == b"*" or self.etag in etags
        if not since or self.last_modified is None:
            return False
        try:
            return parsedate_to_datetime(since.decode("latin-1")).timestamp() >= self.last_modified
        except ValueError:
            return False

    async def _zip(self) -> bytes:
        if self._zipped is None:
            if len(self.body) < ZIP_ASIDE:
                self._zipped = zipped(bytes(self.body))
            else:
                if self._zipping is None:
                    self._zipping = asyncio.ensure_future(asyncio.to_thread(zipped, bytes(self.body)))
                # Shielded: one who goes away must not take the answer from the others who wait for it.
                self._zipped = await asyncio.shield(self._zipping)
        return self._zipped


def zipped(body: bytes) -> bytes:
    """The body for `content-encoding: gzip`; quick rather than small."""
    return gzip.compress(body, 1, mtime=0)


def answer(content: Any, media_type: bytes = JSON, *, lasting: bool = False) -> Answer:
    """An answer of anything that orjson can write."""
    return Answer(orjson.dumps(content), media_type, lasting=lasting)


class KeptRoute(APIRoute):
    """A route whose answers are kept with the snapshot they were made from."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, and a hand that keeps what it made."""
        handle = super().get_route_handler()

        async def keep(request: Request) -> Response:
            response = await handle(request)
            if isinstance(response, Answer):
                snapshot: Snapshot = request.scope["koridor.snapshot"]
                key = (request.scope["path"], request.scope["query_string"])
                (snapshot.network.keep if response.lasting and snapshot.network else snapshot.keep)(key, response)
            return response

        return keep


class Shortcut:
    """Sends an answer that the present snapshot (or its network) holds already, past all routing and validation."""

    def __init__(self, app: ASGIApp, view: View) -> None:
        self.app, self.view = app, view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a kept answer, else ask the app and keep what it says. HEAD is GET without the body."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", "koridor.head": True}
            send = _headers_only(send)
        snapshot = self.view.snapshot
        scope["koridor.snapshot"] = snapshot
        key = (scope["path"], scope["query_string"])
        kept: Any = snapshot.answers.get(key)
        if kept is None and snapshot.network is not None and snapshot.loading is None:
            kept = snapshot.network.answers.get(key)
        if kept is None:
            await self.app(scope, receive, send)
        else:
            await kept(scope, receive, send)


def _headers_only(send: Send) -> Send:
    async def without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            if message.get("more_body"):
                return
            message = {**message, "body": b""}
        await send(message)

    return without_body
