"""What the wires know of a stage: records in, outputs out, and a state that goes to bytes and back.

A stage never asks what time it is, knows no Kafka, and is deterministic: the same state and the same records
give the same outputs, byte for byte, however the records were split into calls. Every output belongs to exactly
one input record (`Output.offset`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Record(NamedTuple):
    """One Kafka record of the stage's input partition."""

    offset: int
    record_time: float  # POSIX seconds, Kafka's LogAppendTime
    value: bytes


class Output(NamedTuple):
    """One record to send; `topic` is a name of topics.py without the prefix."""

    topic: str
    value: bytes
    offset: int  # of the input record it belongs to
    partition: int | None = None  # None: partition 0, or the input's own partition for `rejects`


class Stage(Protocol):
    """A step of the pipeline with one state per input partition."""

    name: str  # "track" or "city": its state topic is koridor-state-<name>
    version: int  # of the state's layout
    source: str  # name of the input topic

    def fresh(self, partition: int) -> Any:
        """An empty state for this input partition."""

    def step(self, state: Any, records: Sequence[Record]) -> list[Output]:
        """Advance `state` in place. If it raises, the state is lost and must be dropped by the caller."""

    def dump(self, state: Any) -> bytes | bytearray:
        """The state's bytes."""

    def load(self, data: bytes | bytearray, partition: int) -> Any:
        """The state of `dump`'s bytes; of another network, what can be carried over by ids.

        ValueError when it cannot go on with them: then the state is warmed up from the log.
        """

    def warm_up(self) -> None:
        """Compile every kernel, so that nothing is compiled once the group is joined."""
