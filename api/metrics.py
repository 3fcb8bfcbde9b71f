"""Prometheus metrics of the API process: requests by route, the view's contents and age, the live stream's clients."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.gtfs_rt.feeds import Feeds
from api.live import Hub
from api.view import View

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """One registry per app, so that tests and several apps in a process do not meet."""

    def __init__(self, view: View, hub: Hub, feeds: Feeds) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("koridor_api_requests", "Answers sent", ("resource", "status"), registry=self.registry)
        self.seconds = Histogram(
            "koridor_api_request_seconds", "Time to answer", ("resource",), buckets=BUCKETS_S, registry=self.registry
        )
        self.registry.register(_ViewCollector(view, hub, feeds))


class _ViewCollector:
    """Reads the view when it is asked: nothing is counted twice."""

    def __init__(self, view: View, hub: Hub, feeds: Feeds) -> None:
        self.view, self.hub, self.feeds = view, hub, feeds

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        view, snapshot, now = self.view, self.view.snapshot, time.time()
        rows = CounterMetricFamily("koridor_api_rows_in", "Rows applied to the view", labels=["topic"])
        for topic, n in view.rows_in.items():
            rows.add_metric([topic], n)
        yield rows
        bad = CounterMetricFamily("koridor_api_bad_records", "Records left out as unreadable", labels=["topic"])
        for topic, n in view.bad_records.items():
            bad.add_metric([topic], n)
        yield bad
        yield CounterMetricFamily(
            "koridor_api_foreign_records", "Position records of another network", value=view.foreign_records
        )
        things = GaugeMetricFamily("koridor_api_entities", "What the view holds", labels=["kind"])
        for kind, n in (
            ("vehicle", len(snapshot.vehicles)),
            ("alert", len(snapshot.alerts)),
            ("congestion", len(snapshot.congestion)),
            ("arrival", sum(map(len, snapshot.arrivals.values()))),
        ):
            things.add_metric([kind], n)
        yield things
        yield GaugeMetricFamily("koridor_api_ready", "1 when the view is whole", value=snapshot.loading is None)
        yield GaugeMetricFamily("koridor_api_snapshot_age_seconds", "Since the last snapshot", value=now - snapshot.at)
        if view.record_time is not None:
            yield GaugeMetricFamily(
                "koridor_api_pipeline_age_seconds", "Since the newest record of positions", value=now - view.record_time
            )
        newest = max((e.timestamp for e in snapshot.vehicles.values() if e.timestamp is not None), default=None)
        if newest is not None:
            yield GaugeMetricFamily("koridor_api_data_age_seconds", "Since the newest ping shown", value=now - newest)
        yield CounterMetricFamily(
            "koridor_api_gtfs_rt_bad_entities",
            "Entities left out of a GTFS-Realtime feed",
            value=self.feeds.bad_entities,
        )
        yield GaugeMetricFamily("koridor_api_live_clients", "Clients of the live stream", value=self.hub.n_clients)
        yield GaugeMetricFamily("koridor_api_live_queries", "Distinct queries they share", value=len(self.hub.channels))
        yield CounterMetricFamily(
            "koridor_api_live_resets", "Clients told everything again as they did not keep up", value=self.hub.resets
        )


RESOURCES = frozenset(
    (
        "vehicles",
        "routes",
        "stops",
        "congestion",
        "alerts",
        "network",
        "live",
        "segments",
        "headways",
        "indicators",
        "arrivals",
    )
)


def resource_of(path: str) -> str:
    """The resource a path belongs to: ids and what strangers ask for do not become labels."""
    parts = path.split("/", 5)
    if parts[1] == "gtfs-rt":
        return "gtfs-rt"
    if parts[1] != "v1":
        return parts[1] if parts[1] in ("health", "ready", "metrics", "openapi.json") else "map"
    return "/".join(p for p in (*parts[2:3], *parts[4:5]) if p in RESOURCES) or "other"


class Measured:
    """Counts and times every answer by its resource; outermost, so that shortcuts count too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics
        self._seen: dict[tuple[str, int], tuple[Counter, Histogram]] = {}  # finding a child by its labels is slow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the clock before and after."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        resource = resource_of(scope["path"])
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                key = resource, message["status"]
                if key not in self._seen:
                    self._seen[key] = self.metrics.requests.labels(*key), self.metrics.seconds.labels(resource)
                requests, seconds = self._seen[key]
                requests.inc()
                seconds.observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, counted)
