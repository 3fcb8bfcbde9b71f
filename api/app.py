"""The HTTP service: REST, the live stream and the map, all answered from one view in memory.

Requests meet, in this order: metrics, answers that stand ready (api.answers), then FastAPI. One task publishes the
view on its tick, one reads Kafka.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click
import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from api import consumer, problems, schema
from api.answers import Shortcut
from api.explain import Explainer
from api.gtfs_rt.feeds import Feeds
from api.live import Hub
from api.metrics import Measured, Metrics
from api.routes import explain, gtfs_rt, health, map, routes, stops, traffic, vehicles
from api.view import View
from streams.settings import Settings, WrongSetting

MAP = Path(__file__).parent / "map" / "static"
DESCRIPTION = """\
Where each bus is, how far apart the buses are, where traffic crawls, and when the bus reaches the stop.

Times are POSIX seconds, units stand in the names, unknown is null. Every record tells its age. Errors are RFC 9457
problem details. An answer is one moment: what it lists was all true at its `at`."""


class Service:
    """The ASGI application: FastAPI inside, what is quick outside."""

    def __init__(self, settings: Settings, view: View, hub: Hub, api: FastAPI) -> None:
        self.settings, self.view, self.hub, self.api = settings, view, hub, api
        app: ASGIApp = Shortcut(api, view)
        if settings.api.cors_origins:
            origins = [o.strip() for o in settings.api.cors_origins.split(",")]
            app = CORSMiddleware(
                app, allow_origins=origins, allow_methods=["GET", "HEAD"], expose_headers=["etag", "last-modified"]
            )
        self._app = Measured(app, api.state.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


class Page(StaticFiles):
    """The map's files, asked for again each time (mostly answered by 304): modules of two versions do not fit."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, or that it is known already."""
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(
    settings: Settings,
    view: View | None = None,
    clock: Callable[[], float] = time.time,
    explainer: Explainer | None = None,
) -> Service:
    """The service. With a `view` of the caller's own it reads no Kafka and publishes only what the caller publishes."""
    if settings.api.drives_on not in ("left", "right"):
        raise WrongSetting(f"KORIDOR_API_DRIVES_ON={settings.api.drives_on!r}: must be left or right")
    own = view is None
    view = view or View(settings.api)
    hub = Hub(settings.api.live_backlog_kb * 1024, settings.api.keep_alive_s)
    view.subscribe(hub.publish)
    feeds = Feeds(settings.api.gtfs_rt_s)
    explainer = explainer or Explainer(None, settings.api.explain_s)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = []
        if own:
            tasks = [
                asyncio.create_task(_tick(view, settings.api.tick_s, clock)),
                asyncio.create_task(consumer.follow(settings, view, clock)),
                asyncio.create_task(feeds.refresh(lambda: view.snapshot)),
            ]
            for task in tasks:
                task.add_done_callback(_end_with)
        yield
        hub.close()
        await explainer.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    api = FastAPI(
        title="Koridor",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
        separate_input_output_schemas=False,
    )
    api.state.settings, api.state.hub, api.state.metrics = settings, hub, Metrics(view, hub, feeds)
    api.state.feeds, api.state.explainer = feeds, explainer
    problems.install(api)
    for module in (explain, vehicles, routes, stops, traffic, gtfs_rt, map, health):
        api.include_router(module.routes)
    api.mount("/", Page(directory=MAP, html=True))
    _document(api)
    return Service(settings, view, hub, api)


def _document(api: FastAPI) -> None:
    """Add the problem document to the schemas, which no route has as its model."""
    plain: Callable[[], dict[str, Any]] = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "ProblemDetails" not in schemas:
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            problem = schema.ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs")
            schemas["ProblemDetails"] = problem
        return document

    api.openapi = openapi  # type: ignore[method-assign]


async def _tick(view: View, every_s: float, clock: Callable[[], float]) -> None:
    while True:
        view.publish(clock())
        await asyncio.sleep(every_s)


def _end_with(task: asyncio.Task[None]) -> None:
    # A view that no longer moves must not go on answering as if it did.
    if not task.cancelled() and (error := task.exception()) is not None:
        logging.getLogger("koridor.api").critical("the view stopped", exc_info=error)
        raise SystemExit(1)


class Server(uvicorn.Server):
    """uvicorn that ends the live streams when it is told to stop: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self.hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams, then stop."""
        self.hub.close()
        super().handle_exit(sig, frame)


def server(service: Service, host: str, port: int) -> Server:
    """A uvicorn server of the service."""
    config = uvicorn.Config(service, host=host, port=port, log_level="warning", access_log=False)
    return Server(config, service.hub)


@click.command()
@click.option("--host", help="address to bind; default KORIDOR_API_HOST")
@click.option("--port", type=click.IntRange(0, 65535), help="port; 0: any free one; default KORIDOR_API_PORT")
@click.option(
    "--gtfs", type=click.Path(exists=True, path_type=Path), help="the workers' feed, to explain vehicles; else optional"
)
def command(host: str | None, port: int | None, gtfs: Path | None) -> None:
    """Start the HTTP service and the map.

    It learns routes, stops and everything live from Kafka. Only /v1/vehicles/ID/explain needs --gtfs, and then the
    KORIDOR_TRACK settings of the workers.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of every topic that is being made
    try:
        settings = Settings.from_env()
        service = create_app(settings, explainer=Explainer(gtfs, settings.api.explain_s))
    except WrongSetting as error:
        raise click.ClickException(str(error)) from None
    host = host or settings.api.host
    running = server(service, host, settings.api.port if port is None else port)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has stopped in good order
        asyncio.run(_serve(running, host))


async def _serve(running: Server, host: str) -> None:
    serving = asyncio.create_task(running.serve())
    while not (running.started or serving.done()):
        await asyncio.sleep(0.02)
    if running.started:
        port = running.servers[0].sockets[0].getsockname()[1]
        click.echo(f"API and map: http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/")
    await serving
