"""Why a ping was not used. Nothing is dropped without one of these names and a count."""

import base64
from enum import Enum
from hashlib import sha256
from typing import Any

import orjson

RAW_BYTES = 64 * 1024  # of a ping are kept beside the reason; of a longer one its length and hash


class Reject(Enum):
    """A reason: its name stands on the wire.

    The value is one sentence, and the rule of MobilityData's GTFS-Realtime validator that it is akin to, if any.
    """

    NOT_JSON = ("The record is not JSON, or not an object or array of pings.", "")
    NOT_A_FEED = ("The file is no GTFS-Realtime message.", "")
    RECORD_TOO_LARGE = ("The record is larger than any source would send.", "")
    COLUMNS_DIFFER = ("The columns of the record are not lists of one length.", "")
    MISSING_FIELD = ("A required field (vehicle_id, timestamp, lat, lon) is missing, null or empty.", "W001")
    WRONG_TYPE = ("A field holds something else than it should: text for a number, a number for text.", "")
    NOT_A_NUMBER = ("A number is NaN or infinite.", "")
    OUT_OF_RANGE = ("A latitude, longitude, bearing, speed or time that cannot be.", "E026")
    NULL_ISLAND = ("The position is (0, 0): the receiver had no fix.", "E026")
    FROM_THE_FUTURE = ("The ping is dated later than it arrived, by more than clocks may differ.", "E050")
    TOO_LATE = ("Older than the vehicle's newest ping by more than the lateness.", "E018")
    DUPLICATE = ("The vehicle already has a ping of this second.", "W007")
    IMPOSSIBLE_SPEED = ("Farther away than the vehicle can have driven, and no second fix agrees.", "W004")
    FROZEN = ("The coordinates have not changed for half a minute although the vehicle reports that it moves.", "")
    ENGINE_ERROR = ("The record broke the engine again and again.", "")

    @property
    def sentence(self) -> str:
        """What happened, in one sentence."""
        return self.value[0]

    @property
    def rule(self) -> str:
        """Akin to this rule of the validator; empty if to none."""
        return self.value[1]


def raw_of(data: bytes) -> tuple[str | None, int, str]:
    """The three raw columns of a reject: base64 (None above 64 kB), length, SHA-256."""
    kept = base64.b64encode(data).decode() if len(data) <= RAW_BYTES else None
    return kept, len(data), sha256(data).hexdigest()


def canonical(ping: dict[str, Any]) -> bytes:
    """A ping as JSON: known fields that are not null, in the order of the record's definition."""
    return orjson.dumps({k: v for k, v in ping.items() if v is not None})
