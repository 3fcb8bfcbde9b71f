import urllib.request

from prometheus_client import CollectorRegistry, generate_latest

from streams.metrics import StageMetrics, serve


def text(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def test_quantiles_are_those_of_the_last_thousand_steps():
    registry = CollectorRegistry()
    metrics = StageMetrics(registry, "track")
    assert 'koridor_track_step_seconds{quantile="0.5"} NaN' in text(registry)
    for _ in range(5000):
        metrics.step(7.0)
    for i in range(1000):
        metrics.step(float(i))
    assert 'koridor_track_step_seconds{quantile="0.5"} 500.0' in text(registry)
    assert 'koridor_track_step_seconds{quantile="0.99"} 990.0' in text(registry)


def test_a_partition_that_moved_away_is_not_shown():
    registry = CollectorRegistry()
    metrics = StageMetrics(registry, "track")
    metrics.lag.labels("3").set(5)
    metrics.lag.labels("4").set(6)
    metrics.forget(3)
    metrics.forget(3)
    assert 'koridor_track_lag_records{partition="3"}' not in text(registry)
    assert 'koridor_track_lag_records{partition="4"} 6.0' in text(registry)


def test_served_on_loopback():
    registry = CollectorRegistry()
    StageMetrics(registry, "city").records_out.labels("alerts").inc()
    port, stop = serve(registry, 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert 'koridor_city_records_out_total{topic="alerts"} 1.0' in answer.read().decode()
    finally:
        stop()
