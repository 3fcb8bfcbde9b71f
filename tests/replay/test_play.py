"""The player, with a clock of its own and no broker."""

import asyncio
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from streams import messages
from streams.messages import PING
from streams.partition import Partitioner, partition_of
from streams.replay.play import ROUND_GAP_S, Player, command, follow, records_of
from streams.sources.poll import Poll, Poller, Status
from streams.sources.recording import Recording, to_columns
from streams.sources.rows import Options, pings_of

PARTITIONS = 4


class World:
    """A clock that moves when somebody sleeps, and a topic."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self.at = at
        self.sent: list[tuple[float, int, dict[str, np.ndarray]]] = []

    def clock(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        await asyncio.sleep(0)

    async def send(self, partition: int, value: bytes) -> None:
        self.sent.append((self.at, partition, messages.decode(PING, value)))


def recording(times: Sequence[float], vehicles: int = 5) -> Recording:
    n = len(times)
    table = pl.DataFrame(
        {"vehicle_id": [f"v{i % vehicles}" for i in range(n)], "timestamp": list(map(float, times)), "lat": [0.0] * n,
         "lon": [float(i) for i in range(n)], "start_date": ["20260101"] * n}
    )  # fmt: skip
    return pings_of(table, "f", Options())


def play(world: World, times: Sequence[float], **how: object) -> Player:
    player = Player(recording(times), world.send, Partitioner(PARTITIONS), clock=world.clock, sleep=world.sleep, **how)  # type: ignore[arg-type]
    asyncio.run(player.play())
    return player


@given(st.lists(st.text(min_size=1, max_size=4), max_size=40), st.integers(1, 7))
def test_records_hold_one_partitions_pings_in_order(vehicles: list[str], size: int) -> None:
    table = pl.DataFrame(
        {"vehicle_id": vehicles, "timestamp": [float(i) for i in range(len(vehicles))],
         "lat": [0.0] * len(vehicles), "lon": [0.0] * len(vehicles)},
        schema={"vehicle_id": pl.String, "timestamp": pl.Float64, "lat": pl.Float64, "lon": pl.Float64},
    )  # fmt: skip
    frame = pings_of(table, "f", Options()).frame
    found: dict[int, list[tuple[str, float]]] = {}
    for partition, value, rows in records_of(to_columns(frame), Partitioner(PARTITIONS), size):
        pings = messages.decode(PING, value)
        assert 1 <= rows == len(pings["vehicle_id"]) <= size
        found.setdefault(partition, []).extend(zip(pings["vehicle_id"], pings["timestamp"], strict=True))
    expected: dict[int, list[tuple[str, float]]] = {}
    for vehicle, t in zip(frame["vehicle_id"], frame["timestamp"], strict=True):
        expected.setdefault(partition_of(vehicle, PARTITIONS), []).append((vehicle, t))
    assert found == expected


@pytest.mark.parametrize("speed", [0.5, 1.0, 10.0])
def test_pings_go_out_when_their_time_has_come(speed: float) -> None:
    world = World()
    begun = world.at
    player = play(world, [100.0, 101.0, 130.0, 130.0, 190.0], speed=speed)
    assert player.shown.rows == 5
    for at, _, pings in world.sent:
        for t in pings["timestamp"]:
            assert 0 <= at - begun - (t - 100.0) / speed <= 1.0
    assert [t for _, _, p in world.sent for t in sorted(p["timestamp"])] == [100.0, 101.0, 130.0, 130.0, 190.0]


def test_event_times_move_to_the_present() -> None:
    world = World()
    begun = world.at
    play(world, [100.0, 160.0], now=True)
    assert [p["timestamp"].tolist() for _, _, p in world.sent] == [[begun], [begun + 60.0]]
    assert all(p["start_date"].tolist() == [None] for _, _, p in world.sent)


@pytest.mark.parametrize("speed", [0.5, 1.0])
def test_what_has_passed_is_sent_at_once_and_the_rest_in_its_time(speed: float) -> None:
    world = World()
    begun = world.at
    play(world, [100.0, 101.0, 130.0, 190.0], now=True, past=30.0, speed=speed)
    told = [(at - begun, t - begun) for at, _, pings in world.sent for t in pings["timestamp"].tolist()]
    assert sorted(t for at, t in told if at == 0.0) == [-30.0, -29.0, 0.0]
    ((late, last),) = [(at, t) for at, t in told if at > 0.0]
    assert last == 60.0
    assert late == pytest.approx(60.0 / speed, abs=1.0)


def test_faster_than_time_the_end_is_in_the_present_whatever_has_passed() -> None:
    world = World()
    play(world, [100.0, 101.0, 130.0, 190.0], now=True, past=30.0, speed=10.0)
    at, _, pings = world.sent[-1]
    assert pings["timestamp"].max() == pytest.approx(at, abs=1.0)


def test_faster_than_time_the_end_meets_the_present() -> None:
    world = World()
    play(world, [100.0, 160.0, 200.0], now=True, speed=10.0)
    assert all(t <= at + 0.01 for at, _, p in world.sent for t in p["timestamp"])
    at, _, pings = world.sent[-1]
    assert pings["timestamp"][-1] == pytest.approx(at, abs=1.0)


def test_a_round_follows_the_other_and_time_goes_on() -> None:
    world = World()
    sent: list[float] = []

    async def main() -> None:
        stop = asyncio.Event()

        async def send(partition: int, value: bytes) -> None:
            sent.extend(messages.decode(PING, value)["timestamp"])
            if len(sent) >= 6:
                stop.set()

        player = Player(
            recording([100.0, 160.0], vehicles=1), send, Partitioner(1), loop=True, clock=world.clock, sleep=world.sleep
        )
        await player.play(stop)

    asyncio.run(main())
    length = 60.0 + ROUND_GAP_S
    assert sent == [100.0, 160.0, 100.0 + length, 160.0 + length, 100.0 + 2 * length, 160.0 + 2 * length]


def test_a_stop_ends_it_between_two_ticks() -> None:
    world = World()

    async def main() -> Player:
        stop = asyncio.Event()

        async def sleep(seconds: float) -> None:
            await world.sleep(seconds)
            if world.at > 1_800_000_030:
                stop.set()

        player = Player(
            recording(range(0, 600, 5)), world.send, Partitioner(PARTITIONS), clock=world.clock, sleep=sleep
        )
        await player.play(stop)
        return player

    player = asyncio.run(main())
    assert 5 <= player.shown.rows <= 8


def test_a_slow_broker_shows_as_being_behind() -> None:
    world = World()

    async def send(partition: int, value: bytes) -> None:
        world.at += 100.0

    player = Player(recording([0.0, 1.0]), send, Partitioner(1), clock=world.clock, sleep=world.sleep)
    asyncio.run(player.play())
    assert player.shown.behind_s > 90.0


def test_an_empty_recording_ends_at_once() -> None:
    assert play(World(), []).shown.rows == 0


class Feed(Poller):
    """A live feed that says what it is told to."""

    def __init__(self, polls: list[Poll]) -> None:
        super().__init__("http://127.0.0.1/")
        self.polls = polls

    def fetch(self, now: float) -> Poll:
        return self.polls.pop(0)


def test_a_live_feed_is_sent_and_its_troubles_are_told() -> None:
    world, told = World(), []

    async def main() -> int:
        stop = asyncio.Event()

        def tell(text: str) -> None:
            told.append(text)
            if "unreachable" in text:
                stop.set()

        polls = [
            Poll(Status.NEW, 0.0, recording([1.0, 2.0])),
            Poll(Status.UNCHANGED, 0.0),
            Poll(Status.NEW, 0.0, recording([3.0])),
            Poll(Status.UNREACHABLE, 0.0, detail="HTTP 503"),
        ]
        shown = await follow(Feed(polls), world.send, Partitioner(PARTITIONS), 100, stop, tell, world.clock)
        return shown.rows

    assert asyncio.run(main()) == 3
    assert told == ["http://127.0.0.1/: new", "http://127.0.0.1/: unreachable (HTTP 503)"]
    assert sorted(t for _, _, p in world.sent for t in p["timestamp"]) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "either --pings FILE or --url URL"),
        (["--pings", "a", "--url", "http://x"], "either --pings FILE or --url URL"),
        (["--pings", "a", "--speed", "0"], "above 0"),
        (["--pings", "a", "--max-batch", "0"], "at least 1"),
        (["--pings", "a", "--past", "-1"], "not be below 0"),
        (["--pings", "a", "--now", "--loop", "--speed", "2"], "--speed 1"),
        (["--pings", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--url", "http://127.0.0.1/", "--header", "Key"], "NAME: VALUE"),
    ],
)
def test_wrong_use_is_refused_with_the_repair(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code != 0
    assert says in result.output
