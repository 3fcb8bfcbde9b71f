"""What the answers look like, for OpenAPI: the columns of messages.py in words, with examples.

Answers are bytes made from the records themselves; these models describe them and the tests hold the two together.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from streams import messages
from streams.messages import Kind, Spec

WORDS = {
    "vehicle_id": "the vehicle",
    "timestamp": "time of the newest ping, POSIX seconds",
    "lat": "degrees north, WGS 84",
    "lon": "degrees east, WGS 84",
    "bearing_deg": "reported bearing, degrees clockwise from north",
    "reported_speed_mps": "speed the vehicle reports, m/s",
    "odometer_m": "metres",
    "occupancy_status": "GTFS-Realtime OccupancyStatus",
    "label": "what is written on the vehicle",
    "route_id": "route of the feed; null while undecided",
    "direction_id": "direction of the feed, or told by the order of the stops where it has none; null while undecided",
    "pattern_id": "route, direction and stops it follows",
    "trip_id_performed": "the run: service date, vehicle, number of the day",
    "trip_id_scheduled": "trip_id of the feed; the template trip of frequency-based service",
    "trip_reported": "the vehicle itself names trip_id_scheduled; else it was found by place, time and block",
    "service_date": "service day, YYYY-MM-DD",
    "start_time": "start of the run, HH:MM:SS of the service day",
    "dist_m": "metres along the shape",
    "offset_m": "metres from the reported place to the shape",
    "match_probability": "probability of what is published here",
    "route_candidates": "routes still possible, with probability, while undecided",
    "trip_type": "TIDES trip type: In service, Layover, Deadhead, …; null while undecided",
    "off_route": "on a detour, away from its shape",
    "phase_since": "off its route, a deadhead or at base, and surely so: since when, POSIX seconds; else null",
    "stop_id": "the stop",
    "stop_sequence": "stop_sequence of the feed",
    "scheduled_stop_sequence": "stop_sequence of the feed",
    "current_status": "STOPPED_AT, INCOMING_AT or IN_TRANSIT_TO the stop",
    "speed_mps": "m/s, smoothed, stop dwell left out",
    "h3_cell": "H3 cell, resolution 10",
    "revision": "larger replaces smaller",
    "heading_deg": "of the shape where it is known, else as reported; degrees clockwise from north",
    "congestion_level": "GTFS-Realtime CongestionLevel",
    "headway_s": "seconds behind the vehicle ahead of the same route and direction, at the last gate it passed",
    "scheduled_headway_s": "planned headway, seconds",
    "target_headway_s": "what it is judged against, as set: timetable, legal limit or the last hour; seconds",
    "headway_ratio": "headway over its target",
    "headway_band": "bunched, close, even, wide or gap",
    "band": "bunched, close, even, wide or gap",
    "headway_at": "when it passed that gate, POSIX seconds",
    "leader_id": "the vehicle ahead",
    "stop_ids": "of a gap: the stops that wait, as the next bus comes to them; of a detour: those left out",
    "next_bus_s": "of a gap: seconds until the next bus is at the first of these stops; null while it stands",
    "hold_stop_id": "advice for a bunched vehicle: the stop to hold it at; null: none would help",
    "hold_s": "advice for a bunched vehicle: how long to hold it, seconds",
    "path": "of a detour: the way its newest bus drove, an encoded polyline (5 decimals)",
    "first_seen_at": "of a detour: when the first of its buses left the route",
    "last_seen_at": "of a detour: when the last of its buses came back to the route",
    "hold_wait_change_s": "what the hold does to the mean wait, seconds; negative is less",
    "received_at": "record time of the newest ping, POSIX seconds",
    "stale": "the newest ping is older than KORIDOR_API_STALE_S",
    "age_s": "how old this is, seconds",
    "stated_at": "when it was last stated, POSIX seconds",
    "made_at": "when it was stated, POSIX seconds",
    "event_timestamp": "when the gate was passed, POSIX seconds",
    "arrival_p10": "one in ten buses comes before this, POSIX seconds",
    "arrival_p50": "median, POSIX seconds",
    "arrival_p90": "nine in ten buses come before this, POSIX seconds",
    "arrival_time": "the one time to tell a passenger, POSIX seconds",
    "headsign": "where the bus says it goes",
    "schedule_arrival_time": "by the timetable, POSIX seconds; null for frequency-based service",
    "quality": "good, low (a wide interval), stale (an old position) or scheduled (no bus is tracked)",
    "minutes": "whole minutes until arrival_time",
    "words": "in words: due, 4 min, 3–5 min, at 08:40; not served where buses drive round the stop",
    "note": "what else a passenger should know, in words: 3 min late, last bus today, uncertain, …",
    "is_last": "no later bus of this line comes here today; null where that is not known",
    "skipped": "buses of this route drive round the stop at present: see the alert `detour`",
    "ends_here": "nobody can board: it is the bus's last stop",
    "vehicle_age_s": "age of the vehicle's newest ping, seconds; null when no vehicle is seen",
    "vehicle_stale": "the estimate rests on an old position",
    "lane": "busway or mixed traffic",
    "heading_octant": "0 north, clockwise to 7",
    "window_start": "POSIX seconds",
    "window_s": "seconds",
    "free_flow_mps": "m/s",
    "n_vehicles": "distinct vehicles",
    "n_samples": "traversals; 0: carried over from before",
    "final": "the window is closed",
    "distance_m": "metres that all traversals drove in it",
    "delay_s": "vehicle-seconds lost against free flow in this window",
    "delay_hour_s": "vehicle-seconds lost against free flow in the last hour",
    "segment_id": "from>to",
    "from_stop_id": "where it begins",
    "to_stop_id": "the next stop",
    "from_dist_m": "along the pattern's shape, metres",
    "to_dist_m": "along the pattern's shape, metres",
    "running_s": "seconds from stop to stop at this speed, dwell left out",
    "measured_share": "0 to 1: of its length, driven through in this window",
    "route_ids": "routes that drive it",
    "route_group_id": "routes with their directions that share a corridor",
    "n_headways": "headways behind these figures",
    "headway_mean_s": "seconds",
    "headway_cv": "standard deviation over mean",
    "excess_wait_s": "mean wait beyond the scheduled one, seconds",
    "share_bunched": "0 to 1",
    "share_gapped": "0 to 1",
    "share_regular": "0 to 1: as near to the target as the bands ask for",
    "share_within_limit": "0 to 1: headways not longer than the legal limit; null where none is set",
    "coverage": "calls at stops that were seen over those planned",
    "active_from": "POSIX seconds",
    "active_to": "POSIX seconds; null while active",
    "kind": "bunching, gap, vehicle_lost, source_silent, …",
    "severity": "GTFS-Realtime SeverityLevel",
    "cause": "GTFS-Realtime Cause",
    "effect": "GTFS-Realtime Effect",
}

_TYPES: dict[Kind, Any] = {
    Kind.ID: str | None,
    Kind.TIME: float | None,
    Kind.NUMBER: float | None,
    Kind.INT: int | None,
    Kind.BOOL: bool | None,
    Kind.JSON: Any,
}


def _record(name: str, spec: Spec, without: tuple[str, ...] = (), **more: Any) -> Any:
    fields = {k: _TYPES[kind] for k, kind in spec.items() if k not in without} | more
    described: dict[str, Any] = {k: (t, Field(description=WORDS.get(k, ""))) for k, t in fields.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **described)


Seconds = float | None
Vehicle = _record(
    "Vehicle",
    messages.POSITION,
    ("withdrawn",),
    heading_deg=Seconds,
    congestion_level=str | None,
    headway_s=Seconds,
    scheduled_headway_s=Seconds,
    headway_ratio=Seconds,
    headway_band=str | None,
    headway_at=Seconds,
    leader_id=str | None,
    received_at=float,
    stale=bool,
    age_s=Seconds,
)
Headway = _record("Headway", messages.HEADWAY, ("withdrawn",), age_s=Seconds)
GroupHeadway = _record("GroupHeadway", messages.GROUP_HEADWAY, ("withdrawn",), age_s=Seconds)
Arrival = _record(
    "Arrival",
    messages.ARRIVAL,
    headsign=str | None,
    schedule_arrival_time=Seconds,
    quality=Literal["good", "low", "stale", "scheduled"],
    minutes=int,
    words=str,
    note=str | None,
    is_last=bool | None,
    ends_here=bool,
    skipped=bool,
    vehicle_age_s=Seconds,
    vehicle_stale=bool | None,
    age_s=Seconds,
)
Cell = _record("Cell", messages.CONGESTION, stated_at=float, age_s=Seconds)
Segment = _record("Segment", messages.SEGMENT, route_ids=list[str], stated_at=float, age_s=Seconds)
Indicator = _record("Indicator", messages.INDICATOR, age_s=Seconds)
Alert = _record("Alert", messages.ALERT, lat=Seconds, lon=Seconds, stated_at=float, age_s=Seconds)


class Strict(BaseModel):
    """A model that knows all of its fields."""

    model_config = ConfigDict(extra="forbid")


class Route(Strict):
    """A route of the feed."""

    route_id: str
    short_name: str | None
    long_name: str | None
    color: str | None = Field(description="RRGGBB or empty")
    lane: str = Field(description=WORDS["lane"])


class Stop(Strict):
    """A stop or station of the feed."""

    stop_id: str
    name: str | None
    lat: float
    lon: float
    parent_id: str | None
    route_ids: list[str] = Field(description="routes that serve it")
    distance_m: float | None = Field(None, description="metres from the place asked for")


class Line(Strict):
    """A route towards a headsign, as it runs at a stop today."""

    route_id: str
    direction_id: int | None
    headsign: str | None
    state: Literal["running", "later", "ended", "none"] = Field(
        description="later: its first bus of the day is to come"
    )
    words: str = Field(description="every 8–12 min, next at 07:30, first bus at 05:02, no more buses today, …")
    headway_min_s: float | None = Field(description="shortest planned headway of the next half hour; null by timetable")
    headway_max_s: float | None = Field(description="longest one")
    next_time: float | None = Field(description="next planned bus, POSIX seconds; null where headways say it")
    last_time: float | None = Field(description="today's last planned bus here, POSIX seconds; null when it is over")
    n_live: int = Field(description="buses that are tracked")


class Notice(Strict):
    """An alert in what a passenger needs of it."""

    alert_id: str
    route_id: str | None
    direction_id: int | None
    severity: str | None = Field(description=WORDS["severity"])
    effect: str = Field(description=WORDS["effect"])
    active_from: float
    header: str | None
    description: str | None


class Pattern(Strict):
    """A way of driving a route: its stops in order."""

    pattern_id: str
    direction_id: int | None
    headsign: str | None
    length_m: float
    stop_ids: list[str]
    stop_sequences: list[int]
    stop_dist_m: list[float]


class Answer(Strict):
    """Every answer tells the moment it was true."""

    at: float = Field(description="the moment of this answer, POSIX seconds; ages are counted to it")


class Geometry(Strict):
    """A GeoJSON geometry."""

    type: str
    coordinates: list[Any]


def _list(name: str, item: Any, **more: Any) -> Any:
    return create_model(name, __base__=Answer, data=(list[item], ...), **more)


def _feature(name: str, properties: Any) -> Any:
    return create_model(
        name,
        __base__=Strict,
        type=(str, "Feature"),
        id=(str, ...),
        geometry=(Geometry | None, ...),
        properties=(properties, ...),
    )


class PatternProperties(Strict):
    """What is known of a shape."""

    pattern_id: str
    direction_id: int | None
    headsign: str | None
    length_m: float


ShapeFeature = _feature("ShapeFeature", PatternProperties)
CellFeature = _feature("CellFeature", Cell)
SegmentFeature = _feature("SegmentFeature", Segment)


class Group(Strict):
    """Routes that share a corridor."""

    route_group_id: str
    route_ids: list[str]
    n_vehicles: int


class Shape(Strict):
    """A GeoJSON feature collection with a line per pattern."""

    type: str = "FeatureCollection"
    features: list[ShapeFeature]  # type: ignore[valid-type]


class RouteDetail(Route):
    """A route with its patterns and shape."""

    patterns: list[Pattern]
    shape: Shape


VehicleList = _list("VehicleList", Vehicle)
VehicleAnswer = create_model("VehicleAnswer", __base__=Answer, data=(Vehicle, ...))
RouteList = _list("RouteList", Route)
RouteAnswer = create_model("RouteAnswer", __base__=Answer, data=(RouteDetail, ...))
HeadwayList = _list("HeadwayList", Headway, stops=(list[Headway], ...))  # type: ignore[valid-type]
IndicatorList = _list(
    "IndicatorList",
    Indicator,
    hours=(list[Indicator], ...),  # type: ignore[valid-type]
    hours_from=(
        float | None,
        Field(description="since when this process knows hours of the clock, POSIX seconds; null: of none yet"),
    ),
)
GroupList = _list("GroupList", Group)
GroupHeadwayList = _list("GroupHeadwayList", GroupHeadway)
StopList = _list("StopList", Stop)
ArrivalList = _list("ArrivalList", Arrival, service=(list[Line], ...), alerts=(list[Notice], ...))
AlertList = _list("AlertList", Alert)


class CongestionAnswer(Answer):
    """A GeoJSON feature collection of directed cells."""

    type: str = "FeatureCollection"
    features: list[CellFeature]  # type: ignore[valid-type]


class SegmentAnswer(Answer):
    """A GeoJSON feature collection of the ways from stop to stop."""

    type: str = "FeatureCollection"
    features: list[SegmentFeature]  # type: ignore[valid-type]


class InvalidParameter(Strict):
    """What is wrong with one parameter."""

    parameter: str
    detail: str


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[InvalidParameter] | None = None


class Health(Strict):
    """The process is alive."""

    status: str


class Readiness(Strict):
    """Whether the view is whole."""

    ready: bool
    loading: str | None = Field(description="what it waits for")
    network: str | None = Field(description="hash of the feed in use")
    n_vehicles: int
    pipeline_age_s: float | None = Field(description="since the newest record of `positions`, heartbeats included")


class Reported(Strict):
    """What a ping said of the vehicle."""

    route_id: str | None
    direction_id: int | None
    trip_id: str | None
    bearing_deg: float | None = Field(description=WORDS["bearing_deg"])
    speed_mps: float | None


class Said(Strict):
    """What was published of a ping."""

    trip_type: str | None
    off_route: bool
    route_id: str | None
    direction_id: int | None = Field(description=WORDS["direction_id"])
    pattern_id: str | None
    trip_id_performed: str | None
    trip_id_scheduled: str | None
    dist_m: float | None = Field(description=WORDS["dist_m"])
    offset_m: float | None
    match_probability: float | None


class Hypothesis(Strict):
    """What the vehicle may have been doing."""

    phase: Literal["service", "layover", "deadhead", "off route", "at base"]
    route_id: str | None
    direction_id: int | None
    pattern_id: str | None
    dist_m: float | None
    probability: float = Field(description="those of a ping sum to 1")


class ExplainedPing(Strict):
    """One ping and what became of it."""

    timestamp: float | None
    lat: float | None
    lon: float | None
    reported: Reported
    decision: str = Field(description="service, layover, deadhead, off route, at base, ? (undecided) or rejected")
    reason: str | None = Field(description="name of the reject")
    reason_text: str | None
    said: Said | None = Field(description="the last word on it; null: it is not used")
    said_at_first: Said | None = Field(description="where a late ping changed it: the word before")
    hypotheses: list[Hypothesis] = Field(description="likeliest first")


class Explanation(Strict):
    """What the tracker made of the last pings of one vehicle."""

    vehicle_id: str
    network: str = Field(description="hash of the feed in use")
    pings: list[ExplainedPing] = Field(description="oldest first")


class ExplanationAnswer(Strict):
    """An explanation."""

    at: float
    data: Explanation


VEHICLE_EXAMPLE: dict[str, Any] = {
    "vehicle_id": "TJ-0431",
    "timestamp": 1764288012.0,
    "lat": -6.19503,
    "lon": 106.82312,
    "bearing_deg": 4.0,
    "reported_speed_mps": 8.3,
    "odometer_m": None,
    "occupancy_status": None,
    "label": "TJ-0431",
    "route_id": "1",
    "direction_id": 0,
    "pattern_id": "1:0:5f0c2a",
    "trip_id_performed": "2025-11-28:TJ-0431:3",
    "trip_id_scheduled": "1-R05",
    "trip_reported": False,
    "service_date": "2025-11-28",
    "start_time": "06:41:00",
    "dist_m": 7421.3,
    "offset_m": 4.1,
    "match_probability": 0.998,
    "route_candidates": None,
    "trip_type": "In service",
    "off_route": False,
    "phase_since": None,
    "stop_id": "H00132P",
    "stop_sequence": 11,
    "current_status": "IN_TRANSIT_TO",
    "speed_mps": 7.9,
    "h3_cell": "8a8c10724a5ffff",
    "revision": 0,
    "heading_deg": 2.4,
    "congestion_level": "RUNNING_SMOOTHLY",
    "headway_s": 141.0,
    "scheduled_headway_s": 180.0,
    "headway_ratio": 0.7833,
    "headway_band": "even",
    "headway_at": 1764288001.5,
    "leader_id": "TJ-0112",
    "received_at": 1764288012.6,
    "stale": False,
    "age_s": 1.4,
}
ARRIVAL_EXAMPLE: dict[str, Any] = {
    "made_at": 1764288010.0,
    "trip_id_performed": "2025-11-28:TJ-0431:3",
    "scheduled_stop_sequence": 12,
    "vehicle_id": "TJ-0431",
    "trip_id_scheduled": "1-R05",
    "route_id": "1",
    "direction_id": 0,
    "stop_id": "H00133P",
    "arrival_p10": 1764288201.0,
    "arrival_p50": 1764288240.0,
    "arrival_p90": 1764288312.0,
    "arrival_time": 1764288226.0,
    "headsign": "Kota",
    "schedule_arrival_time": None,
    "quality": "good",
    "minutes": 3,
    "words": "3–5 min",
    "note": None,
    "is_last": False,
    "ends_here": False,
    "skipped": False,
    "vehicle_age_s": 1.4,
    "vehicle_stale": False,
    "age_s": 3.4,
}
EXAMPLES: dict[Any, Any] = {
    VehicleList: {"at": 1764288013.4, "data": [VEHICLE_EXAMPLE]},
    VehicleAnswer: {"at": 1764288013.4, "data": VEHICLE_EXAMPLE},
    ArrivalList: {
        "at": 1764288013.4,
        "data": [ARRIVAL_EXAMPLE],
        "service": [
            {
                "route_id": "1",
                "direction_id": 0,
                "headsign": "Kota",
                "state": "running",
                "words": "every 3–5 min",
                "headway_min_s": 180.0,
                "headway_max_s": 300.0,
                "next_time": None,
                "last_time": 1764345600.0,
                "n_live": 1,
            }
        ],
        "alerts": [
            {
                "alert_id": "gap:1:0:TJ-0431",
                "route_id": "1",
                "direction_id": 0,
                "severity": "WARNING",
                "effect": "SIGNIFICANT_DELAYS",
                "active_from": 1764287900.0,
                "header": "Route 1: gap of 12 min in front of TJ-0431",
                "description": "TJ-0431 is 12 min behind TJ-0112 after Monas; planned every 3 min (400%).",
            }
        ],
    },
    RouteList: {
        "at": 1764288013.4,
        "data": [
            {"route_id": "1", "short_name": "1", "long_name": "Blok M - Kota", "color": "D02027", "lane": "busway"}
        ],
    },
    StopList: {
        "at": 1764288013.4,
        "data": [
            {
                "stop_id": "H00133P",
                "name": "Bundaran HI ASTRA",
                "lat": -6.19307,
                "lon": 106.82289,
                "parent_id": None,
                "route_ids": ["1", "6A"],
                "distance_m": 220.4,
            }
        ],
    },
    GroupList: {
        "at": 1764288013.4,
        "data": [{"route_group_id": "1:0+1A:0", "route_ids": ["1", "1A"], "n_vehicles": 21}],
    },
    IndicatorList: {
        "at": 1764288013.4,
        "data": [
            {
                "made_at": 1764288010.0,
                "window_start": 1764284460.0,
                "window_s": 3600,
                "final": False,
                "route_id": "1",
                "direction_id": 0,
                "n_vehicles": 18,
                "n_headways": 240,
                "headway_mean_s": 188.4,
                "headway_cv": 0.52,
                "scheduled_headway_s": 180.0,
                "excess_wait_s": 29.6,
                "share_bunched": 0.11,
                "share_gapped": 0.06,
                "share_regular": 0.71,
                "share_within_limit": 0.93,
                "coverage": 0.97,
                "age_s": 3.4,
            }
        ],
        "hours": [],
        "hours_from": None,
    },
    HeadwayList: {
        "at": 1764288013.4,
        "data": [
            {
                "trip_id_performed": "2025-11-28:TJ-0431:3",
                "gate_id": "H00132P:0",
                "event_timestamp": 1764288001.5,
                "route_id": "1",
                "direction_id": 0,
                "pattern_id": "1:0:5f0c2a",
                "stop_id": "H00132P",
                "vehicle_id": "TJ-0431",
                "leader_id": "TJ-0112",
                "dist_m": 7340.0,
                "headway_s": 141.0,
                "scheduled_headway_s": 180.0,
                "target_headway_s": 180.0,
                "headway_ratio": 0.7833,
                "band": "even",
                "revision": 0,
                "age_s": 11.9,
            }
        ],
        "stops": [],
    },
    AlertList: {
        "at": 1764288013.4,
        "data": [
            {
                "alert_id": "bunching:1:0:TJ-0431",
                "revision": 1,
                "kind": "bunching",
                "severity": "WARNING",
                "active_from": 1764287900.0,
                "active_to": None,
                "route_id": "1",
                "direction_id": 0,
                "stop_id": "H00132P",
                "vehicle_id": "TJ-0431",
                "leader_id": "TJ-0112",
                "headway_s": 38.0,
                "target_headway_s": 180.0,
                "stop_ids": None,
                "next_bus_s": None,
                "hold_stop_id": "H00134P",
                "hold_s": 96.0,
                "hold_wait_change_s": -34.4,
                "path": None,
                "first_seen_at": None,
                "last_seen_at": None,
                "cause": "OTHER_CAUSE",
                "effect": "OTHER_EFFECT",
                "header": "Route 1: TJ-0431 runs right behind TJ-0112",
                "description": "TJ-0431 is 38 s behind TJ-0112 after Monas; planned every 3 min (21%). Towards Kota, "
                "since 07:11:40. Advice: hold TJ-0431 at Harmoni for 96 s; who waits for it or for the one behind it "
                "then waits 34 s less in the mean.",
                "lat": -6.19503,
                "lon": 106.82312,
                "stated_at": 1764288010.0,
                "age_s": 113.4,
            }
        ],
    },
    CongestionAnswer: {
        "at": 1764288013.4,
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "8a8c10724a5ffff:0:mixed",
                "geometry": {"type": "Polygon", "coordinates": [[[106.823, -6.195], [106.824, -6.195]]]},
                "properties": {
                    "window_start": 1764288000.0,
                    "window_s": 300,
                    "h3_cell": "8a8c10724a5ffff",
                    "heading_octant": 0,
                    "lane": "mixed",
                    "speed_mps": 2.1,
                    "free_flow_mps": 8.7,
                    "congestion_level": "SEVERE_CONGESTION",
                    "n_vehicles": 3,
                    "n_samples": 4,
                    "distance_m": 512.0,
                    "delay_s": 184.9,
                    "delay_hour_s": 2210.4,
                    "final": False,
                    "stated_at": 1764288010.0,
                    "age_s": 3.4,
                },
            }
        ],
    },
    SegmentAnswer: {
        "at": 1764288013.4,
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "H00132P>H00133P",
                "geometry": {"type": "LineString", "coordinates": [[106.8229, -6.1931], [106.8231, -6.1988]]},
                "properties": {
                    "window_start": 1764288000.0,
                    "window_s": 300,
                    "segment_id": "H00132P>H00133P",
                    "from_stop_id": "H00132P",
                    "to_stop_id": "H00133P",
                    "pattern_id": "1:0:4b1f3a",
                    "from_dist_m": 6210.4,
                    "to_dist_m": 6850.9,
                    "speed_mps": 3.2,
                    "free_flow_mps": 8.9,
                    "congestion_level": "CONGESTION",
                    "running_s": 200.2,
                    "delay_s": 512.8,
                    "n_samples": 4,
                    "measured_share": 0.94,
                    "final": False,
                    "route_ids": ["1", "6A"],
                    "stated_at": 1764288010.0,
                    "age_s": 3.4,
                },
            }
        ],
    },
    ExplanationAnswer: {
        "at": 1764288013.2,
        "data": {
            "vehicle_id": "TJ-0431",
            "network": "9f1c04d27ab3",
            "pings": [
                {
                    "timestamp": 1764288012.0,
                    "lat": -6.19503,
                    "lon": 106.82312,
                    "reported": {
                        "route_id": "1",
                        "direction_id": None,
                        "trip_id": None,
                        "bearing_deg": 4.0,
                        "speed_mps": 8.3,
                    },
                    "decision": "service",
                    "reason": None,
                    "reason_text": None,
                    "said": {
                        "trip_type": "In service",
                        "off_route": False,
                        "route_id": "1",
                        "direction_id": 0,
                        "pattern_id": "1:0:5f0c2a",
                        "trip_id_performed": "2025-11-28:TJ-0431:3",
                        "trip_id_scheduled": "1-R05",
                        "dist_m": 4182.6,
                        "offset_m": 6.1,
                        "match_probability": 0.97,
                    },
                    "said_at_first": None,
                    "hypotheses": [
                        {
                            "phase": "service",
                            "route_id": "1",
                            "direction_id": 0,
                            "pattern_id": "1:0:5f0c2a",
                            "dist_m": 4182.6,
                            "probability": 0.97,
                        },
                        {
                            "phase": "off route",
                            "route_id": "1",
                            "direction_id": 0,
                            "pattern_id": "1:0:5f0c2a",
                            "dist_m": 4180.0,
                            "probability": 0.03,
                        },
                    ],
                }
            ],
        },
    },
}
