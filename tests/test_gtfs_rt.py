"""One reader of GTFS-Realtime messages: bytes and JSON, strict where somebody checks a feed."""

import pytest
from google.protobuf import json_format
from google.transit import gtfs_realtime_pb2 as pb

from streams.gtfs_rt import decode

MESSAGE = pb.FeedMessage(header={"gtfs_realtime_version": "2.0", "timestamp": 1_768_000_000}, entity=[{"id": "a"}])
TEXT = json_format.MessageToJson(MESSAGE).encode()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("data", [MESSAGE.SerializeToString(), TEXT, b"\xef\xbb\xbf" + TEXT, b" \n" + TEXT])
def test_every_form_is_the_same_message(data, strict):
    assert decode(data, strict=strict) == MESSAGE


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("data", [b"", b"nonsense", b"{", b"\xff\xfe", TEXT[:-9], b'{"entity": [{"id": "a"}]}'])
def test_what_is_no_message_is_refused(data, strict):
    with pytest.raises(ValueError, match="not a GTFS-Realtime message"):
        decode(data, strict=strict)


def test_fields_that_nobody_knows_are_an_error_only_for_one_who_checks():
    more = TEXT.replace(b'"header": {', b'"header": {"madeBy": "x", ')
    assert decode(more) == MESSAGE
    with pytest.raises(ValueError, match="madeBy"):
        decode(more, strict=True)
