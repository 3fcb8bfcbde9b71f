"""The peer of the pipeline benchmark: the same job as one would first write it with Faust, shapely and h3.

One ping is one `faust.Record`; an `async for` snaps it to its route's line, looks up its cell, and sends one record.
No state, no beam, no headways: less than a tenth of what Koridor's track stage does with a ping.

    python -m benchmarks.idiomatic BROKER TOPIC_IN TOPIC_OUT FEED
"""

import asyncio
import sys
from pathlib import Path

import faust
import h3
import shapely

from streams.gtfs.compile import load


class Ping(faust.Record, serializer="json"):
    """What a bus reports."""

    vehicle_id: str
    timestamp: float
    lat: float
    lon: float
    route_id: str | None = None


class Position(faust.Record, serializer="json"):
    """Where that is on its route."""

    vehicle_id: str
    timestamp: float
    route_id: str | None
    dist_m: float | None
    offset_m: float | None
    h3_cell: str


def app(broker: str, source: str, target: str, feed: Path) -> faust.App:
    """The Faust app."""
    network = load(feed)
    start = network.shape_start
    lines: dict[str, list[shapely.LineString]] = {}
    for pattern, shape in enumerate(network.pattern_shape_ix):
        points = slice(start[shape], start[shape + 1])
        line = shapely.LineString(list(zip(network.point_x[points], network.point_y[points], strict=True)))
        lines.setdefault(network.route_ids[network.pattern_route_ix[pattern]], []).append(line)

    peer = faust.App(
        f"{target}-peer",
        broker=f"kafka://{broker}",
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    pings = peer.topic(source, value_type=Ping)
    positions = peer.topic(target, value_type=Position)

    @peer.agent(pings)
    async def snap(stream: faust.StreamT[Ping]) -> None:
        async for ping in stream:
            x, y = network.project(ping.lat, ping.lon)
            point = shapely.Point(x, y)
            nearest = min(lines.get(ping.route_id or "", ()), key=point.distance, default=None)
            await positions.send(
                value=Position(
                    vehicle_id=ping.vehicle_id,
                    timestamp=ping.timestamp,
                    route_id=ping.route_id,
                    dist_m=None if nearest is None else nearest.line_locate_point(point),
                    offset_m=None if nearest is None else nearest.distance(point),
                    h3_cell=h3.latlng_to_cell(ping.lat, ping.lon, 10),
                )
            )

    return peer


async def main(arguments: list[str]) -> None:
    """Run the app without Faust's own worker, which would bring a web server along."""
    peer = app(arguments[0], arguments[1], arguments[2], Path(arguments[3]))
    peer.finalize()
    await peer.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
