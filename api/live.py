"""The live stream: `reset`, then `add`, `update`, `remove`, in the words of MBTA's V3 API.

One diff per distinct query and snapshot, made once and shared as bytes by every client of that query. A client that
does not keep up gets a new `reset` instead of a queue that grows.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import NamedTuple

import orjson

from api.entity import Entity
from api.snapshot import Snapshot

Key = tuple[str, str]  # kind, id
State = Mapping[Key, Entity]
KINDS = ("vehicle", "alert", "congestion")
KEEP_ALIVE = b": keep-alive\n\n"


class Query(NamedTuple):
    """What a client wants to see. `bbox` is (min_lon, min_lat, max_lon, max_lat) in degrees."""

    kinds: tuple[str, ...] = KINDS
    bbox: tuple[float, float, float, float] | None = None
    route_id: str | None = None


class Event(NamedTuple):
    """One event: `reset` tells all, `add` and `update` one entity; `remove` names one that is gone."""

    name: str
    entities: tuple[Entity, ...] = ()
    key: Key = ("", "")

    def encode(self) -> bytes:
        """The event on the wire of server-sent events."""
        if self.name == "reset":
            data = b"[%b]" % b",".join(e.resource() for e in self.entities)
        elif self.name == "remove":
            data = orjson.dumps({"type": self.key[0], "id": self.key[1]})
        else:
            data = self.entities[0].resource()
        return b"event: %b\ndata: %b\n\n" % (self.name.encode(), data)


def inside(entity: Entity, bbox: tuple[float, float, float, float]) -> bool:
    """Whether it lies in the box, edges included; what has no place lies in none."""
    if entity.lat is None or entity.lon is None:
        return False
    return bbox[0] <= entity.lon <= bbox[2] and bbox[1] <= entity.lat <= bbox[3]


def select(snapshot: Snapshot, query: Query) -> State:
    """What of a snapshot a query sees; the status record always.

    An alert without a place concerns every box; cells know no route, so `route_id` does not filter them.
    """
    found: dict[Key, Entity] = {snapshot.status.key: snapshot.status}
    homes = {"vehicle": snapshot.vehicles, "alert": snapshot.alerts, "congestion": snapshot.congestion}
    for kind in query.kinds:
        entities: Iterable[Entity] = homes[kind].values()
        if query.bbox is not None:
            box = query.bbox
            entities = [e for e in entities if inside(e, box) or (kind == "alert" and e.lat is None)]
        if query.route_id is not None and kind != "congestion":
            entities = [e for e in entities if e.route_id == query.route_id]
        found.update((e.key, e) for e in entities)
    return found


def diff(old: State, new: State) -> list[Event]:
    """What changed from `old` to `new`; a single `reset` when telling all is shorter. `apply(diff(a, b), a) == b`."""
    events = [Event("remove", key=key) for key in old if key not in new]
    for key, entity in new.items():
        known = old.get(key)
        if known is None:
            events.append(Event("add", (entity,)))
        elif known is not entity and known != entity:
            events.append(Event("update", (entity,)))
    if len(events) > len(new):
        return [reset(new)]
    return events


def reset(state: State) -> Event:
    """Everything, for a client that knows nothing."""
    return Event("reset", tuple(state.values()))


def apply(events: Iterable[Event], state: State) -> State:
    """What a client knows after `events`."""
    known = dict(state)
    for event in events:
        if event.name == "reset":
            known.clear()
        if event.name == "remove":
            known.pop(event.key, None)
        known.update((e.key, e) for e in event.entities)
    return known


class Mailbox:
    """What waits for one client: never more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lost = True  # a new client knows nothing: its first event is a reset
        self.closed = False
        self.resets = 0
        self._waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self._news = asyncio.Event()

    def put(self, chunk: bytes) -> None:
        """Leave a chunk; if too much waits already, forget it all and let the client start anew."""
        if not self.lost:
            if self.waiting_bytes + len(chunk) > self.limit:
                self.lost = True
                self._waiting.clear()
                self.waiting_bytes = 0
            else:
                self._waiting.append(chunk)
                self.waiting_bytes += len(chunk)
        self._news.set()

    def close(self) -> None:
        """No more will come."""
        self.closed = True
        self._news.set()

    async def wait(self, timeout_s: float) -> bool:
        """Whether there is news before the timeout."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def take(self) -> bytes:
        """Everything that waits."""
        self._news.clear()
        chunks = b"".join(self._waiting)
        self._waiting.clear()
        self.waiting_bytes = 0
        return chunks


class Channel:
    """One distinct query, its present state, and the clients that share it."""

    def __init__(self, query: Query, snapshot: Snapshot) -> None:
        self.query = query
        self.state = select(snapshot, query)
        self.clients: set[Mailbox] = set()
        self._reset: bytes | None = None

    def advance(self, snapshot: Snapshot) -> None:
        """Diff once, share with all."""
        new = select(snapshot, self.query)
        events = diff(self.state, new)
        self.state = new
        if events:
            self._reset = None
            chunk = b"".join(event.encode() for event in events)
            for client in self.clients:
                client.put(chunk)

    def reset_bytes(self) -> bytes:
        """The present state as one `reset`, made once for all who ask before the next change."""
        if self._reset is None:
            self._reset = reset(self.state).encode()
        return self._reset


class Hub:
    """Every channel with at least one client."""

    def __init__(self, backlog_bytes: int, keep_alive_s: float) -> None:
        self.backlog_bytes = backlog_bytes
        self.keep_alive_s = keep_alive_s
        self.channels: dict[Query, Channel] = {}
        self.resets = 0  # of clients that did not keep up
        self.closed = False

    def publish(self, snapshot: Snapshot) -> None:
        """Tell every channel; called by the view with each snapshot."""
        if snapshot.loading is None:
            for channel in self.channels.values():
                channel.advance(snapshot)

    @property
    def n_clients(self) -> int:
        """Clients connected now."""
        return sum(len(c.clients) for c in self.channels.values())

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self.closed = True
        for channel in self.channels.values():
            for client in channel.clients:
                client.close()

    async def stream(self, query: Query, snapshot: Snapshot) -> AsyncIterator[bytes]:
        """The bytes for one client: a reset, then what changes, until it or the server goes away."""
        channel = self.channels.get(query)
        if channel is None:
            channel = self.channels[query] = Channel(query, snapshot)
        client = Mailbox(self.backlog_bytes)
        channel.clients.add(client)
        try:
            first = True
            while not (self.closed or client.closed):
                if client.lost:
                    client.lost = False
                    client.take()
                    self.resets += not first
                    first = False
                    yield channel.reset_bytes()
                elif await client.wait(self.keep_alive_s):
                    if not client.lost:
                        chunk = client.take()
                        if chunk:
                            yield chunk
                else:
                    yield KEEP_ALIVE
        finally:
            channel.clients.discard(client)
            if not channel.clients and self.channels.get(query) is channel:
                del self.channels[query]
