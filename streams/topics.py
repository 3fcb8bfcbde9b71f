"""Every topic on one screen: name, partitions, how long it is kept, what a record is."""

from dataclasses import dataclass

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic of one network. On the broker it is called `<prefix>-<name>`."""

    name: str
    record: str
    kept_s: int = DAY_S
    partitions: int | None = 1  # None: as `pings`, settings.kafka.partitions
    log_append_time: bool = False
    compacted: bool = False
    max_message_bytes: int = 8 << 20

    def config(self) -> dict[str, str]:
        """The topic's configuration on the broker."""
        out = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime" if self.log_append_time else "CreateTime",
        }
        if self.compacted:
            # Only closed segments are compacted, and a snapshot every few seconds fills them fast.
            segment = self.max_message_bytes + (1 << 20)
            out |= {"segment.ms": "600000", "segment.bytes": str(segment), "min.cleanable.dirty.ratio": "0.1"}
        else:
            out["retention.ms"] = str(self.kept_s * 1000)
        return out


PINGS = Topic("pings", "one ping, an array of pings, or columns (PING)", 3 * DAY_S, None, True)
POSITIONS = Topic("positions", "POSITION, PASSING, TRAVERSAL, CLOSED columns", 3 * DAY_S, 1, True)
HEADWAYS = Topic("headways", "HEADWAY columns")
GROUP_HEADWAYS = Topic("group_headways", "GROUP_HEADWAY columns: of routes that share a corridor")
ARRIVALS = Topic("arrivals", "ARRIVAL columns")
CONGESTION = Topic("congestion", "CONGESTION columns")
SEGMENTS = Topic("segments", "SEGMENT columns")
INDICATORS = Topic("indicators", "INDICATOR columns")
ALERTS = Topic("alerts", "ALERT columns")
REJECTS = Topic("rejects", "REJECT columns", 7 * DAY_S, None)
NETWORK = Topic("network", "routes, stops and shapes of the feed in use", compacted=True, max_message_bytes=64 << 20)
STATE_TRACK = Topic(
    "state-track", "snapshot of the track stage", partitions=None, compacted=True, max_message_bytes=64 << 20
)
STATE_CITY = Topic("state-city", "snapshot of the city stage", compacted=True, max_message_bytes=64 << 20)

ALL = (
    PINGS, POSITIONS, HEADWAYS, GROUP_HEADWAYS, ARRIVALS, CONGESTION, SEGMENTS, INDICATORS, ALERTS, REJECTS, NETWORK,
    STATE_TRACK, STATE_CITY,
)  # fmt: skip
BY_NAME = {topic.name: topic for topic in ALL}


def full_name(prefix: str, name: str) -> str:
    """A topic's name on the broker: `koridor-pings`."""
    return f"{prefix}-{BY_NAME[name].name}"
