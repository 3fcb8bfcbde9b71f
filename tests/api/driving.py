"""Recordings driven through both stages into a view of the API."""

from collections.abc import Iterator
from dataclasses import replace

from api.view import View
from streams import messages
from streams.engine.city import City
from streams.engine.stage import Record
from streams.engine.track import Track
from streams.gtfs.describe import describe
from streams.gtfs.network import Network
from streams.replay.run import groups
from streams.settings import Settings
from streams.sources.recording import Recording


def drive(network: Network, recording: Recording, settings: Settings | None = None) -> Iterator[tuple[View, float]]:
    """The view after every second that has pings, and the record time; heartbeats fill a silence of seconds."""
    settings = settings or Settings()
    settings = replace(settings, kafka=replace(settings.kafka, partitions=1))
    track, city = Track(network, settings), City(network, settings)
    track_state, city_state = track.fresh(0), city.fresh(0)
    view = View(settings.api)
    view.apply("network", describe(network), 0.0)
    view.loading(None)
    n = 0

    def say(now: float, value: bytes) -> None:
        nonlocal n
        for found in track.step(track_state, [Record(n, now, value)]):
            if found.topic == "positions":
                view.apply("positions", found.value, now)
                for said in city.step(city_state, [Record(n, now, found.value)]):
                    view.apply(said.topic, said.value, now)
        n += 1

    clock = float("nan")
    for group in groups(recording):
        while clock + 5.0 < group.record_time:
            clock += 5.0
            say(clock, messages.HEARTBEAT)
            view.publish(clock)
            yield view, clock
        clock = group.record_time
        say(clock, messages.encode(messages.PING, group.pings))
        view.publish(clock)
        yield view, clock
