"""A stage for the failure tests: per vehicle a count and a running sum, and orders to fail.

A record is a JSON list of [vehicle, number]. Orders come through files in a folder, so that a test can give them to
a worker in another process: `raise-once` and `raise-always` hold the number of a value on which `step` raises,
`hang-in-dump` makes `dump` say so and never return.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from streams.engine import state as codec
from streams.engine.stage import Output, Record
from streams.messages import HEARTBEAT


class Counting:
    """Counts numbers per vehicle; every output says count and sum after its record."""

    name = "track"
    version = 1
    source = "pings"

    def __init__(self, orders: Path | None = None) -> None:
        self._orders = orders

    def fresh(self, partition: int) -> dict[str, Any]:
        return {"vehicles": [], "count": np.zeros(0, np.int64), "sum": np.zeros(0, np.int64)}

    def step(self, state: dict[str, Any], records: Sequence[Record]) -> list[Output]:
        outputs = []
        index = {v: i for i, v in enumerate(state["vehicles"])}
        for record in records:
            if record.value == HEARTBEAT:
                continue
            rows = []
            for vehicle, number in orjson.loads(record.value):
                if vehicle not in index:
                    index[vehicle] = len(index)
                    state["vehicles"].append(vehicle)
                    state["count"] = np.append(state["count"], 0)
                    state["sum"] = np.append(state["sum"], 0)
                i = index[vehicle]
                state["count"][i] += 1
                self._maybe_raise(number)
                state["sum"][i] += number
                rows.append([vehicle, int(state["count"][i]), int(state["sum"][i])])
            outputs.append(Output("positions", orjson.dumps(rows), record.offset))
        return outputs

    def dump(self, state: dict[str, Any]) -> bytes:
        if self._orders is not None and (self._orders / "hang-in-dump").exists():
            (self._orders / "hanging").touch()
            time.sleep(3600)
        return codec.pack(state)

    def load(self, data: bytes, partition: int) -> dict[str, Any]:
        return codec.unpack(data)

    def warm_up(self) -> None:
        pass

    def _maybe_raise(self, number: int) -> None:
        if self._orders is None:
            return
        once, always = self._orders / "raise-once", self._orders / "raise-always"
        if always.exists() and int(always.read_text()) == number:
            raise RuntimeError(f"ordered to raise on {number} always")
        if once.exists() and int(once.read_text()) == number:
            once.unlink()
            raise RuntimeError(f"ordered to raise on {number} once")
