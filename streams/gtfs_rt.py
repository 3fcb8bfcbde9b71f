"""A GTFS-Realtime message, as it is sent or as JSON: the one reader of both."""

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.transit import gtfs_realtime_pb2

BOM = b"\xef\xbb\xbf"


def decode(data: bytes, *, strict: bool = False) -> Any:
    """The FeedMessage of its bytes or its JSON; with `strict` JSON must not hold fields that there are none of.

    Raises ValueError.
    """
    message = gtfs_realtime_pb2.FeedMessage()
    text = data.removeprefix(BOM).lstrip()
    try:
        if text[:1] == b"{":
            json_format.Parse(text, message, ignore_unknown_fields=not strict)
        else:
            message.ParseFromString(data)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a GTFS-Realtime message: {error}") from None
    if not message.HasField("header"):
        raise ValueError("not a GTFS-Realtime message: it has no header")
    return message
