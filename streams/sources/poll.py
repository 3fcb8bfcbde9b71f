"""A live feed behind a URL, asked again and again: only when it changed, politely when it fails.

`Poller.fetch(now)` does one request and says what came of it and how long to wait; the loop and the clock are the
caller's. Pings that were there in an earlier answer are left out: most feeds repeat a vehicle until it moves.
"""

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

import polars as pl

from streams.sources import gtfs_rt, transjakarta
from streams.sources.files import gunzip
from streams.sources.recording import Recording, UnusableSource
from streams.sources.rows import Options

_FORGET_S = 3600.0
_MAX_WAIT_S = 300.0


class Status(StrEnum):
    """What came of one request."""

    NEW = "new"  # pings that were not there before
    UNCHANGED = "unchanged"  # not modified, or the same content
    STALE = "stale"  # answered, but by the same or an older state of the feed for too long
    UNREACHABLE = "unreachable"  # no answer, or an error instead of one
    UNREADABLE = "unreadable"  # an answer that is no feed


@dataclass(frozen=True, slots=True)
class Poll:
    """The outcome of one request; `wait_s` is how long to wait before the next."""

    status: Status
    wait_s: float
    recording: Recording | None = None  # only when status is NEW
    detail: str = ""


class Answer(NamedTuple):
    """What a server sent."""

    data: bytes | None  # None: the same as before, or nothing
    failure: str = ""  # why nothing; empty: it is the same
    retry_after_s: float = 0.0
    digest: bytes = b""
    conditions: Mapping[str, str] = {}


@dataclass(slots=True)
class Url:
    """An address, asked for what has changed since the last answer that was kept."""

    url: str
    timeout_s: float = 10.0
    headers: Mapping[str, str] = field(default_factory=dict)
    _conditions: Mapping[str, str] = field(default_factory=dict, init=False)
    _digest: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        """Raises UnusableSource for a URL that is none."""
        if urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise UnusableSource(f"{self.url}: needs an http or https address")

    def ask(self, now: float) -> Answer:
        """One request. `now` is POSIX seconds. Never raises for what the other side does."""
        request = urllib.request.Request(
            self.url, headers={"Accept-Encoding": "gzip", **self.headers, **self._conditions}
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                data = answer.read()
                conditions = {
                    ask: answer.headers[given]
                    for ask, given in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
                    if answer.headers[given]
                }
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304:
                    return Answer(None)
                return Answer(None, f"HTTP {error.code}", _retry_after(error.headers.get("Retry-After", ""), now))
        except (OSError, ValueError) as error:
            return Answer(None, str(error) or type(error).__name__)
        digest = hashlib.sha256(data).digest()
        if digest == self._digest:
            self._conditions = conditions
            return Answer(None)
        return Answer(data, digest=digest, conditions=conditions)

    def keep(self, answer: Answer) -> None:
        """This answer was of use: the next one is to be another."""
        self._digest, self._conditions = answer.digest, answer.conditions


@dataclass(slots=True)
class Poller:
    """Asks one URL. Format: `gtfs-rt` (bytes or JSON) or `transjakarta`."""

    url: str
    format: str = "gtfs-rt"
    options: Options = field(default_factory=Options)
    every_s: float = 10.0
    timeout_s: float = 10.0
    stale_s: float = 120.0
    headers: Mapping[str, str] = field(default_factory=dict)
    _source: Url = field(init=False)
    _newest: float = field(default=float("-inf"), init=False)  # the feed's own time
    _moved_at: float | None = field(default=None, init=False)  # ours, when that last grew
    _failures: int = field(default=0, init=False)
    _seen: dict[str, float] = field(default_factory=dict, init=False)  # vehicle -> its newest timestamp

    def __post_init__(self) -> None:
        """Raises UnusableSource for a URL that is none or a format without a live form."""
        self._source = Url(self.url, self.timeout_s, self.headers)
        if self.format not in ("gtfs-rt", "transjakarta"):
            raise UnusableSource(f"format {self.format!r} cannot be polled; gtfs-rt and transjakarta can")

    def fetch(self, now: float) -> Poll:
        """One request. `now` is POSIX seconds. Never raises for what the other side does."""
        if self._moved_at is None:
            self._moved_at = now
        answer = self._source.ask(now)
        if answer.failure:
            return self._failed(Status.UNREACHABLE, answer.failure, answer.retry_after_s)
        if answer.data is None:
            self._failures = 0
            return self._nothing_new(now)
        try:
            recording = self._parse(gunzip(answer.data, self.url))
        except UnusableSource as error:
            return self._failed(Status.UNREADABLE, str(error))
        self._failures = 0
        self._source.keep(answer)
        fresh = self._unseen(recording, now)
        if fresh.frame.is_empty() and fresh.rejects.is_empty():
            return self._nothing_new(now)
        newest = fresh.frame["record_time"].max()
        if isinstance(newest, float) and newest > self._newest:
            self._newest, self._moved_at = newest, now
        return Poll(Status.NEW, self.every_s, fresh)

    def _parse(self, data: bytes) -> Recording:
        if self.format == "transjakarta":
            return transjakarta.parse(data, self.url, self.options)
        return gtfs_rt.parse([(self.url, data)], self.options, self.url)

    def _unseen(self, recording: Recording, now: float) -> Recording:
        frame = recording.frame
        before = [self._seen.get(v, float("-inf")) for v in frame["vehicle_id"].to_list()]
        frame = frame.filter(pl.Series(frame["timestamp"] > pl.Series(before, dtype=pl.Float64)))
        for vehicle, timestamp in zip(frame["vehicle_id"].to_list(), frame["timestamp"].to_list(), strict=True):
            # A clock in the future must not hide the vehicle's next pings.
            if timestamp <= now + _FORGET_S:
                self._seen[vehicle] = max(timestamp, self._seen.get(vehicle, float("-inf")))
        self._seen = {v: t for v, t in self._seen.items() if t > now - _FORGET_S}
        return Recording(frame, recording.rejects, recording.ordered_by, recording.notes)

    def _nothing_new(self, now: float) -> Poll:
        assert self._moved_at is not None
        age = now - self._moved_at
        if age > self.stale_s:
            return Poll(Status.STALE, self.every_s, detail=f"nothing new for {age:.0f} s")
        return Poll(Status.UNCHANGED, self.every_s)

    def _failed(self, status: Status, detail: str, retry_after_s: float = 0.0) -> Poll:
        self._failures += 1
        wait = min(self.every_s * 2.0 ** min(self._failures, 16), _MAX_WAIT_S)
        return Poll(status, max(wait, retry_after_s), detail=detail)


def header_pairs(texts: Iterable[str]) -> dict[str, str]:
    """`NAME: VALUE` texts as headers of a request. Raises UnusableSource."""
    pairs = [text.partition(":") for text in texts]
    for name, sep, _ in pairs:
        if not sep:
            raise UnusableSource(f"--header {name!r}: needs 'NAME: VALUE'")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _retry_after(text: str, now: float) -> float:
    """Seconds that the server asks us to wait, 0 if it does not say."""
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0
