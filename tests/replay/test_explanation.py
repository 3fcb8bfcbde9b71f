"""An explanation as JSON says what the moments say."""

import orjson
import pytest

from streams.engine.rejects import Reject
from streams.replay.explanation import WITHDRAWN, explanation
from streams.replay.moments import PHASES, REJECTED, UNDECIDED, Moment
from tests.engine.pinging import town
from tests.replay.test_moments import AWAY, explained, there_and_back


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    pings = there_and_back()
    pings[30]["lat"] = AWAY[0]
    return explained(pings)


def test_every_ping_with_its_decision_and_what_was_believed(moments):
    network, _ = town()
    told = orjson.loads(orjson.dumps(explanation(moments, network)))
    assert (told["vehicle_id"], told["network"]) == (moments[0].ping["vehicle_id"], network.hash)
    assert len(told["pings"]) == len(moments)
    for ping, moment in zip(told["pings"], moments, strict=True):
        assert ping["timestamp"] == moment.ping["timestamp"]
        assert ping["decision"] == moment.what
        assert ping["decision"] in (*PHASES, UNDECIDED, REJECTED)
        assert (ping["said"] is None) == (moment.words is None) == (ping["reason"] is not None)
        assert sum(h["probability"] for h in ping["hypotheses"]) == pytest.approx(1.0, abs=0.01)
        assert ping["hypotheses"] == sorted(ping["hypotheses"], key=lambda h: -h["probability"])
    refused = told["pings"][30]
    assert (refused["reason"], refused["reason_text"]) == ("IMPOSSIBLE_SPEED", Reject.IMPOSSIBLE_SPEED.sentence)


def test_a_ping_that_was_taken_back_says_so(moments):
    network, _ = town()
    good = next(m for m in moments if m.said is not None)
    taken_back = Moment(good.ping, good.said, {**good.said, "withdrawn": True}, None, good.hypotheses)
    (ping,) = explanation([taken_back], network)["pings"]
    assert (ping["reason"], ping["reason_text"]) == WITHDRAWN
    assert ping["said"] is None
    assert ping["said_at_first"]["dist_m"] == good.said["dist_m"]
    assert explanation([], network)["pings"] == []
