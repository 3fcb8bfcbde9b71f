"""An archive of a served feed: what an agency told its passengers and where its vehicles were, as files.

    ARCHIVE/trip-updates/1768500000.pb        a GTFS-Realtime message, named by when it was fetched (POSIX seconds)
    ARCHIVE/vehicle-positions/1768500000.pb

Other tools keep feeds like this too; any folder of this shape can be scored. A message that is the one before is a
link to it: what was told then still stood.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streams.gtfs_rt import decode
from streams.sources.files import gunzip
from streams.sources.poll import Url
from streams.sources.recording import UnusableSource

UPDATES, POSITIONS = "trip-updates", "vehicle-positions"
FEEDS = (UPDATES, POSITIONS)
OWN = "gtfs-rt"  # where our own API serves them
MOST_WAIT_S = 300.0


class UnusableArchive(ValueError):
    """A folder is no archive, or an address is no feed; the message says what would be."""


def is_archive(folder: Path) -> bool:
    """Whether a folder holds messages of both feeds."""
    return all((folder / name).is_dir() for name in FEEDS)


def addresses(updates: str, positions: str | None) -> tuple[str, str]:
    """Where the two feeds are; `updates` may be the address of our API. Raises UnusableArchive."""
    root = updates.rstrip("/")
    if positions is not None:
        return updates, positions
    if root.endswith(f"/{OWN}/{UPDATES}.pb"):
        root = root.removesuffix(f"/{OWN}/{UPDATES}.pb")
    elif root.endswith((".pb", ".json")) or root.count("/") != 2:
        raise UnusableArchive(
            f"{updates}: where are the vehicles? Give --positions URL too (VehiclePositions of the same feed)"
        )
    return f"{root}/{OWN}/{UPDATES}.pb", f"{root}/{OWN}/{POSITIONS}.pb"


@dataclass(slots=True)
class Feed:
    """One of the feeds as it comes in."""

    name: str
    source: Url
    fetched: int = 0
    told: int = 0  # entities of the newest message
    failure: str = ""  # of the last request
    _failures: int = 0
    _due: float = float("-inf")
    _newest: Path | None = None

    def due(self, now: float) -> bool:
        """Whether it is to be asked again."""
        return now >= self._due

    def fetch(self, folder: Path, now: float, every_s: float) -> None:
        """One request, and the message as a file. Never raises for what the other side does."""
        answer = self.source.ask(now)
        self.failure = answer.failure
        if not answer.failure and answer.data is not None:
            try:
                data = gunzip(answer.data, self.source.url)
                self.told = len(decode(data).entity)
            except (UnusableSource, ValueError) as error:
                self.failure = str(error)
        if self.failure:
            self._failures += 1
            wait = min(every_s * 2.0 ** min(self._failures, 16), MOST_WAIT_S)
            self._due = now + max(wait, answer.retry_after_s)
            return
        self._failures, self._due = 0, now + every_s
        path = folder / self.name / f"{int(now)}.pb"
        if answer.data is not None:
            unfinished = path.with_name(f".{path.name}")
            unfinished.write_bytes(data)
            unfinished.replace(path)
            self.source.keep(answer)
        elif self._newest is not None and self._newest != path:
            _again(self._newest, path)
        self._newest = path
        self.fetched += 1


@dataclass(slots=True)
class Collector:
    """Fetches both feeds into a folder every few seconds."""

    folder: Path
    updates: str
    positions: str
    every_s: float = 20.0
    headers: Mapping[str, str] = field(default_factory=dict)
    feeds: tuple[Feed, Feed] = field(init=False)

    def __post_init__(self) -> None:
        """Raises UnusableSource for a URL that is none."""
        urls = (self.updates, self.positions)
        updates, positions = (Feed(name, Url(url, headers=self.headers)) for name, url in zip(FEEDS, urls, strict=True))
        self.feeds = (updates, positions)

    def collect(
        self,
        seconds: float,
        tell: Callable[[float], None] = lambda _gone_s: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Fetch for so long; `tell` hears every second how long it has been. Raises OSError when a file cannot be
        written; KeyboardInterrupt leaves what was gathered."""
        for name in FEEDS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        begun = clock()
        while (now := clock()) < begun + seconds:
            for feed in self.feeds:
                if feed.due(now):
                    feed.fetch(self.folder, now, self.every_s)
            tell(now - begun)
            sleep(1.0)


def _again(before: Path, path: Path) -> None:
    try:
        os.link(before, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        shutil.copyfile(before, path)


def fetched_at(name: str, header_s: float) -> float:
    """When a message was fetched: its file's name where that is a number, else when it was made."""
    stem = Path(name).stem
    return float(stem) if stem.isdigit() else header_s


def failures(feeds: Iterable[Feed]) -> list[str]:
    """What is wrong with the feeds now, to be told."""
    return [f"{feed.source.url}: {feed.failure}" for feed in feeds if feed.failure]
