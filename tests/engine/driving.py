"""Facts as the tracker would send them, without a tracker: runs that pass the gates of a drawn network.

log = Log(network, drawing)
run = log.run("A1", "R", at="07:00:00", speed_mps=5.0)     # the columns of its passings and positions, in time order
record = log.record(run[:10] + other[:10])                 # a `positions` record's columns
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import orjson

from streams import messages
from streams.engine.city import IN
from streams.engine.stage import Record
from streams.gtfs.calendar import day_start, zone_of

DAY = date(2026, 3, 4)


@dataclass(frozen=True)
class Fact:
    """What one ping gave: gate `seq` of the pattern passed, or only a position. Time NaN: a stop that was missed."""

    time: float
    vehicle: str
    run: str | None
    pattern: int
    seq: int
    departure: float = float("nan")
    revision: int = 0
    withdrawn: bool = False
    trip_type: str | None = "In service"
    passes: bool = True  # False: it stands behind gate `seq`
    off_route: bool = False

    def again(self, **changes):
        """The same fact told anew."""
        return replace(self, revision=self.revision + 1, **changes)


class Log:
    """Makes facts and records on one drawn network."""

    def __init__(self, network, drawing, day=DAY):
        self.network, self.drawing, self.day = network, drawing, day
        self.midnight = day_start(day, zone_of(network.timezone))
        self._runs = {}

    def clock(self, text):
        """POSIX seconds of HH:MM:SS on the service day."""
        h, m, s = (int(v) for v in text.split(":"))
        return self.midnight + h * 3600 + m * 60 + s

    def run(self, vehicle, key, at, speed_mps=5.0, first=0, last=None, delays=()):
        """A run from gate `first` to `last` (seq); in front of gates in `delays` (seq, seconds) it stands so long."""
        start = at if isinstance(at, int | float) else self.clock(at)
        n = self._runs[vehicle] = self._runs.get(vehicle, 0) + 1
        pattern = self.drawing.pattern_ix(key)
        gates = slice(int(self.network.pgate_start[pattern]), int(self.network.pgate_start[pattern + 1]))
        dist = self.network.pgate_dist_m[gates]
        last = len(dist) if last is None else last
        lost = dict(delays)
        facts, late = [], 0.0
        name = f"{self.day}:{vehicle}:{n}"
        for seq in range(first, last):
            time = start + late + (dist[seq] - dist[first]) / speed_mps
            stands = np.arange(time, time + lost.get(seq, 0.0), 10.0)
            facts += [Fact(round(float(t), 2), vehicle, name, pattern, max(seq - 1, 0), passes=False) for t in stands]
            late += lost.get(seq, 0.0)
            time = round(float(time + lost.get(seq, 0.0)), 2)
            facts.append(Fact(time, vehicle, name, pattern, seq, time))
        return facts

    def record(self, facts, closed=()):
        """Columns of one record: for every fact a passing and a position."""
        network = self.network
        passings, positions = [], []
        for f in facts:
            gate = int(network.pgate_start[f.pattern]) + f.seq
            route = network.route_ids[network.pattern_route_ix[f.pattern]]
            common = {
                "vehicle_id": f.vehicle,
                "trip_id_performed": f.run,
                "trip_id_scheduled": network.trip_ids[int(np.argmax(network.trip_pattern_ix == f.pattern))],
                "pattern_id": network.pattern_ids[f.pattern],
                "revision": f.revision,
            }
            if f.run is not None and f.passes:
                passings.append(
                    common
                    | {
                        "gate_seq": f.seq,
                        "gate_ix": int(network.pgate_gate_ix[gate]),
                        "arrival_time": f.time,
                        "departure_time": f.departure,
                        "schedule_relationship": "Scheduled",
                        "determined_at": f.time,
                        "withdrawn": f.withdrawn,
                    }
                )
            if f.time != f.time:
                continue
            x, y = network.gate_x[network.pgate_gate_ix[gate]], network.gate_y[network.pgate_gate_ix[gate]]
            lat, lon = network.unproject(x, y)
            positions.append(
                common
                | {
                    "timestamp": f.time,
                    "lat": round(float(lat), 6),
                    "lon": round(float(lon), 6),
                    "route_id": route,
                    "direction_id": int(network.pattern_direction[f.pattern]),
                    "service_date": str(self.day),
                    "dist_m": round(float(network.pgate_dist_m[gate]), 1),
                    "offset_m": 0.0,
                    "match_probability": 0.99,
                    "trip_type": f.trip_type,
                    "current_status": "IN_TRANSIT_TO",
                    "speed_mps": 5.0,
                    "off_route": f.off_route,
                }
            )
        return {
            "positions": columns(messages.POSITION, positions),
            "passings": columns(messages.PASSING, passings),
            "traversals": messages.empty(messages.TRAVERSAL),
            "closed": columns(messages.CLOSED, [{"vehicle_id": v, "until": t} for v, t in closed]),
        }

    def value(self, record):
        """The bytes that track would send."""
        parts = {name: messages.to_wire(spec, record[name]) for name, spec in IN.items()}
        return orjson.dumps({"network": self.network.hash, **parts}, option=orjson.OPT_SERIALIZE_NUMPY)

    def records(self, batches):
        """Kafka records of (record_time, facts) pairs; facts None: a heartbeat."""
        return [
            Record(100 + i, at, messages.HEARTBEAT if facts is None else self.value(self.record(facts)))
            for i, (at, facts) in enumerate(batches)
        ]


def columns(spec, rows):
    """Columns of rows; what a row does not name is unknown (false, if it is a truth value)."""
    return {
        name: messages.column(kind, [row.get(name, False if kind is messages.Kind.BOOL else None) for row in rows])
        for name, kind in spec.items()
    }


def rows_of(table):
    """A list of dictionaries, one per row."""
    names = list(table)
    return [dict(zip(names, row, strict=True)) for row in zip(*(table[n].tolist() for n in names), strict=True)]


def final(told, key=("trip_id_performed", "gate_id")):
    """Rows overwritten by identity, the highest revision last; withdrawn ones gone. NaN becomes None."""
    out = {}
    for row in told:
        identity = tuple(row[k] for k in key)
        if identity in out and out[identity]["revision"] > row["revision"]:
            continue
        out[identity] = {k: None if v != v else v for k, v in row.items()}
    return {k: row for k, row in out.items() if not row.get("withdrawn", False)}
