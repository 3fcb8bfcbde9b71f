"""What `koridor explain` knows of a vehicle, as JSON: for every ping the decision, what was said, what was believed."""

from collections.abc import Sequence
from typing import Any

from streams.gtfs.network import Network
from streams.replay.moments import Moment

REPORTED = ("route_id", "direction_id", "trip_id", "bearing_deg", "speed_mps")
SAID = (
    "trip_type", "off_route", "route_id", "direction_id", "pattern_id", "trip_id_performed", "trip_id_scheduled",
    "dist_m", "offset_m", "match_probability",
)  # fmt: skip


WITHDRAWN: tuple[str, str] = ("WITHDRAWN", "a ping that came late shows that it cannot be")


def explanation(moments: Sequence[Moment], network: Network) -> dict[str, Any]:
    """{"vehicle_id", "network", "pings": [...]}, oldest first.

    A ping is {"timestamp", "lat", "lon", "reported", "decision", "reason", "reason_text", "said", "said_at_first",
    "hypotheses"}: decision one of moments.PHASES, "?" or "rejected"; reason the name of the reject; said the last word
    on it, said_at_first another word before that, where a late ping changed it; hypotheses likeliest first, their
    probabilities sum to 1. Unknown is None.
    """
    return {
        "vehicle_id": moments[0].ping["vehicle_id"] if moments else None,
        "network": network.hash,
        "pings": [_ping(m) for m in moments],
    }


def _ping(m: Moment) -> dict[str, Any]:
    from streams.engine.rejects import Reject

    reason, text = m.reason, Reject[m.reason].sentence if m.reason else None
    if m.words is None and reason is None:
        reason, text = WITHDRAWN
    return {
        **{name: m.ping[name] for name in ("timestamp", "lat", "lon")},
        "reported": {name: m.ping[name] for name in REPORTED},
        "decision": m.what,
        "reason": reason,
        "reason_text": text,
        "said": _said(m.words),
        "said_at_first": _said(m.said) if m.later is not None and m.said is not None else None,
        "hypotheses": [
            {
                "phase": h.phase,
                "route_id": h.route_id,
                "direction_id": h.direction_id,
                "pattern_id": h.pattern_id,
                "dist_m": None if h.dist_m is None else round(h.dist_m, 1),
                "probability": round(h.probability, 4),
            }
            for h in m.hypotheses
        ],
    }


def _said(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in SAID}
