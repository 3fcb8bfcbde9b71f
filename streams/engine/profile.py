"""A profile: what recordings have taught about a city, carried between runs and between versions of its feed.

Running times of links, pace of cells, waits at terminals and departures from them, and the residuals of estimates, all
by ids that feeds share (stops, routes, H3 cells). A profile knows how much it has seen, and of which network.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streams.engine import state as codec
from streams.settings import Settings

VERSION = 7
_MAGIC = b"koridor profile\n"


class UnusableProfile(ValueError):
    """Bytes are no profile, or one of another version; the message says which."""


@dataclass(frozen=True, slots=True)
class About:
    """What a profile was learned from."""

    network: str  # hash of the compiled feed
    feed_version: str
    timezone: str
    seen_from: float  # record time, POSIX seconds
    seen_to: float
    pings: int
    links: int  # that have been driven
    passages: int  # of links, about: a sum of seconds over the timetable's
    cells: int  # that have seen a bus
    terminals: int  # at which a wait was seen
    residuals: int  # estimates that were judged, alike ones together


def pack(about: About, learned: dict[str, Any]) -> bytes:
    """The bytes of a profile; `learned` is City.learned's."""
    return _MAGIC + codec.pack({"version": VERSION, "about": asdict(about), "learned": learned})


def unpack(data: bytes) -> tuple[About, dict[str, Any]]:
    """What `pack` was given. Raises UnusableProfile."""
    if not data.startswith(_MAGIC):
        raise UnusableProfile("this is no profile; `koridor learn` writes one")
    try:
        tree = codec.unpack(data[len(_MAGIC) :])
        version = tree["version"]
    except (ValueError, KeyError, TypeError):
        raise UnusableProfile("the profile is cut short or damaged; learn it anew with `koridor learn`") from None
    if version != VERSION:
        raise UnusableProfile(
            f"the profile is of version {version}, this program reads {VERSION}; learn it anew with `koridor learn`"
        )
    return About(**tree["about"]), tree["learned"]


def read_profile(path: Path) -> tuple[About, dict[str, Any]]:
    """A profile's file. Raises UnusableProfile with the file's name."""
    try:
        return unpack(path.read_bytes())
    except OSError as error:
        raise UnusableProfile(f"{path}: {error.strerror}") from None
    except UnusableProfile as wrong:
        raise UnusableProfile(f"{path}: {wrong}") from None


def learned_of(settings: Settings) -> dict[str, Any] | None:
    """What the profile that the settings name has taught; None where they name none. Raises as `read_profile`."""
    return read_profile(Path(settings.city.profile))[1] if settings.city.profile else None


def counts(learned: dict[str, Any]) -> dict[str, int]:
    """How much a profile holds, as About has it."""
    arrivals, congestion = learned["arrivals"], learned["congestion"]
    running = arrivals["running"]
    return {
        "links": len(running["key"]),
        "passages": int(np.rint((running["sum_prior_s"] / running["prior_s"]).sum())),
        "cells": len(congestion["h3"]),
        "terminals": len(arrivals["terminal"]),
        "residuals": int(np.rint(arrivals["residuals"]["count"].sum())),
    }
