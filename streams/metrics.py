"""What a worker tells Prometheus, on loopback."""

from collections import deque
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

Stop = Callable[[], None]


class StageMetrics:
    """Counters and gauges of one stage in this process.

    Quantiles of the step's duration are those of the last 1,000 steps: the share of old steps in a histogram since
    the start would hide a step that became slow.
    """

    def __init__(self, registry: CollectorRegistry | None, stage: str) -> None:
        self._stage = stage
        self._step_s: deque[float] = deque(maxlen=1000)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"koridor_{stage}_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"koridor_{stage}_{name}", text, labels, registry=registry)

        self.records_in = counter("records_in", "Records taken from the input topic", "partition")
        self.records_out = counter("records_out", "Records sent, by topic", "topic")
        self.bytes_out = counter("bytes_out", "Bytes sent before compression, by topic", "topic")
        self.counted = gauge("counted", "What the stage has counted in its partitions, rejects by reason", "kind")
        self.failures = counter("step_failures", "Steps that raised")
        self.engine_errors = counter("engine_errors", "Records given up after repeated failures")
        self.restores = counter("restores", "States restored from a snapshot or warmed up")
        self.snapshots = counter("snapshots", "Snapshots confirmed by the broker")
        self.lag = gauge("lag_records", "Records between the newest in the partition and the newest done", "partition")
        self.age = gauge("record_age_seconds", "Now minus the record time of the newest record done", "partition")
        self.snapshot_age = gauge("snapshot_age_seconds", "Now minus the time of the newest snapshot", "partition")
        self.snapshot_bytes = gauge("snapshot_bytes", "Size of the newest snapshot", "partition")
        self.owned = gauge("partitions_owned", "Input partitions of this worker")
        quantile = gauge("step_seconds", "Duration of the last 1,000 steps", "quantile")
        quantile.labels("0.5").set_function(lambda: self._quantile(0.5))
        quantile.labels("0.99").set_function(lambda: self._quantile(0.99))

    def step(self, seconds: float) -> None:
        """One step took this long."""
        self._step_s.append(seconds)

    def forget(self, partition: int) -> None:
        """This worker no longer owns the partition: its gauges would stand still."""
        for metric in (self.lag, self.age, self.snapshot_age, self.snapshot_bytes):
            try:
                metric.remove(str(partition))
            except KeyError:
                continue

    def _quantile(self, q: float) -> float:
        ordered = sorted(self._step_s)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")


def serve(registry: CollectorRegistry, port: int) -> tuple[int, Stop]:
    """Serve the metrics on loopback; the port in use and what stops it."""
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, stop
