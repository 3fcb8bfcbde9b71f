"""Every setting: unit, default, reason. Read once from the environment, then passed in as a value.

The variable of `settings.track.lateness_s` is `KORIDOR_TRACK_LATENESS_S`; those of the first group carry no group
name (`KORIDOR_BROKERS`). A value that cannot be used is refused at the start, with the setting's name and what
would be right.
"""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, get_type_hints


class WrongSetting(ValueError):
    """A setting cannot be used; the message names it and says what would be right."""


def setting(default: Any, reason: str, unit: str = "", low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its reason, unit and bounds."""
    return field(default=default, metadata={"reason": reason, "unit": unit, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Kafka:
    """How to reach the broker; names and sizes of topics."""

    brokers: str = setting("", "host:port[,host:port…]; empty: `koridor broker` starts an embedded one")
    prefix: str = setting("koridor", "first part of every topic and group name: one per network")
    partitions: int = setting(16, "of `pings`: the most track workers that can share the load", low=1, high=1024)
    security_protocol: str = setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    ssl_cafile: str = setting("", "file with the broker's CA certificates")
    ssl_certfile: str = setting("", "client certificate, for mutual TLS")
    ssl_keyfile: str = setting("", "key of the client certificate")
    sasl_mechanism: str = setting("PLAIN", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    sasl_username: str = setting("", "user name")
    sasl_password: str = setting("", "password")


@dataclass(frozen=True, slots=True)
class Worker:
    """Batches, snapshots and recovery of the Faust worker."""

    batch_records: int = setting(50, "records a step takes at the most", "records", low=1)
    batch_bytes: int = setting(2 << 20, "bytes of records a step takes at the most, if it is not one", "bytes", low=1)
    snapshot_every_s: float = setting(5.0, "work that a crash repeats at the most", "s", low=0.1)
    heartbeat_s: float = setting(
        1.0, "silence moves time too: one small record per partition; 0: none, for recordings stamped by their sender",
        "s", low=0.0,
    )  # fmt: skip
    session_timeout_s: float = setting(10.0, "a dead worker's partitions move after this", "s", low=1.0)
    warm_up_s: float = setting(1800.0, "how far back in record time to start without a snapshot", "s", low=0.0)
    max_failures: int = setting(3, "failures on one offset before it is rejected", low=1)
    metrics_port: int = setting(
        0, "loopback port of this worker's Prometheus metrics; 0: any free one", low=0, high=65535
    )


@dataclass(frozen=True, slots=True)
class Track:
    """The tracker: one vehicle at a time."""

    lateness_s: float = setting(30.0, "order of a vehicle's pings does not matter within this", "s", low=0.0, high=30.0)
    future_s: float = setting(60.0, "event time may be ahead of record time by this", "s", low=0.0)
    silent_s: float = setting(120.0, "a vehicle's facts close after this much record time without a ping", "s", low=1.0)
    sigma_m: float = setting(15.0, "GPS error across the street, one standard deviation", "m", low=1.0)
    offset_tempering_s: float = setting(
        120.0, "GPS error is correlated: a fix is independent evidence after twice its correlation time", "s", low=1.0
    )
    heading_tempering_s: float = setting(15.0, "the same for the heading, which forgets sooner", "s", low=1.0)
    heading_kappa: float = setting(4.0, "concentration of the heading around the shape's (von Mises)", low=0.1)
    off_network: float = setting(
        -3.5, "log-density of a fix off every shape beside one right on it: 30 m of street against 1 km", high=0.0
    )
    off_heading: float = setting(-0.6, "what a good heading costs on a shape in the mean, charged off it too", high=0.0)
    max_speed_mps: float = setting(25.0, "no bus progresses faster along its route", "m/s", low=1.0)
    back_m: float = setting(30.0, "GPS error may move a bus back along its route by this", "m", low=0.0)
    gain_s: float = setting(7.0, "time constant of the filter along the route where no speed is reported", "s", low=0.1)
    odometry_m2_s: float = setting(
        1.0, "a way summed from reported speeds goes wrong by this variance a second", "m²/s", low=0.001
    )
    stop_pull: float = setting(
        0.5, "a vehicle that comes to stand near a stop is moved so far towards it, as a share", low=0.0, high=1.0
    )
    stale: float = setting(0.03, "share of reported routes that are wrong", low=0.0001, high=0.5)
    depart_standing_s: float = setting(900.0, "a layover ends unseen after this, in the mean", "s", low=1.0)
    depart_moving_s: float = setting(10.0, "a vehicle that moves has left its layover after this", "s", low=1.0)
    terminal_s: float = setting(45.0, "a vehicle at its terminal is in layover after this", "s", low=1.0)
    loiter_s: float = setting(180.0, "one that stands for longer than this is less likely in service", "s", low=1.0)
    waiting_odds: float = setting(
        5.0, "a vehicle that stands at a terminal is so much likelier to wait there than to pass by", low=0.01
    )
    leave_s: float = setting(400.0, "a vehicle beside its route has left it after this", "s", low=1.0)
    retire_s: float = setting(
        300.0, "a vehicle that drives away from a terminal is on its way to the depot after this", "s", low=1.0
    )
    stray_s: float = setting(900.0, "a vehicle off its route has given it up after this", "s", low=1.0)
    deadhead_s: float = setting(
        50_000.0, "mean time until a vehicle turns to something that is no service", "s", low=1.0
    )
    pick_up_s: float = setting(600.0, "a vehicle without service begins one after this", "s", low=1.0)
    rejoin_s: float = setting(30.0, "a vehicle back on its route has rejoined it after this", "s", low=1.0)
    jump_s: float = setting(30_000.0, "mean time until what was believed turns out to be wrong", "s", low=1.0)
    inject_s: float = setting(25.0, "how often what passes near is considered", "s", low=1.0)
    beam: int = setting(16, "hypotheses of a vehicle that reports no route", low=1, high=16)
    beam_known: int = setting(8, "hypotheses of a vehicle that reports its route", low=1, high=16)
    depth: float = setting(
        7.0, "another hypothesis of a phase is dropped if it is this much less likely (log) than the best one", low=1.0
    )
    depth_sure: float = setting(5.0, "the same while the best one has 99 % of the weight", low=1.0)
    merge_m: float = setting(60.0, "hypotheses of one pattern and phase this near are one", "m", low=0.0)
    match_threshold: float = setting(0.6, "below this probability no route is said, only candidates", low=0.0, high=1.0)
    gate_speed_mps: float = setting(40.0, "a fix farther away than this speed allows is a bad one", "m/s", low=1.0)
    gate_m: float = setting(400.0, "and this much more; two fixes that agree open the gate again", "m", low=0.0)
    forget_s: float = setting(1200.0, "after a silence this long matching begins anew", "s", low=1.0)
    stand_mps: float = setting(0.5, "a vehicle that reports less stands", "m/s", low=0.0)
    gap_s: float = setting(180.0, "stops passed in a silence longer than this were not seen", "s", low=1.0)


@dataclass(frozen=True, slots=True)
class City:
    """Headways, congestion, estimates, alerts: all vehicles of a network."""

    profile: str = setting("", "file of `koridor learn` that a worker without a snapshot begins with; empty: none")
    statement_s: float = setting(5.0, "grid of record time on which statements are made", "s", low=1.0)
    restate_s: float = setting(
        60.0, "everything current is said again this often, for an API that starts", "s", low=5.0
    )
    window_s: int = setting(300, "congestion window", "s", low=60)
    estimate_silent_s: float = setting(
        300.0, "estimates of a vehicle without a ping for so long are withdrawn; until then they widen", "s", low=30.0
    )
    headway_bands: str = setting(
        "skate",
        "headway / planned below which buses are bunched and close, from which wide and gap: "
        "skate (0.33,0.5,1.5,2), swiftly (0.75,0.75,1.25,1.25) or four numbers",
    )
    route_groups: str = setting(
        "auto",
        "routes that are one line of buses to those who wait: auto (those that share most of their stops), route_ids "
        "as 1,1A;2,2A,2B, or empty for none",
    )
    headway_target: str = setting(
        "timetable", "what headways are judged against: timetable, legal (KORIDOR_CITY_LEGAL_LIMITS) or rolling: the "
        "route's own mean of an hour, half an hour ago",
    )  # fmt: skip
    legal_limits: str = setting(
        "",
        "the longest headway that is allowed: pergub-2-2024 (Jakarta) or four numbers of seconds: busway in and "
        "outside the peak, other routes in and outside it; empty: none",
    )
    peak_hours: str = setting("6-9,16-20", "hours of a weekday in which the legal limit of the peak holds")
    gate_every: int = setting(4, "between stops, headways are told at every so many gates (~50 m each)", low=1)
    overnight_s: float = setting(
        7200.0, "a bus of yesterday's service leads today's only if it passed this shortly before", "s", low=0.0
    )
    hole_s: float = setting(
        300.0, "a headway is unknown if nearly all vehicles were silent for so long since the bus ahead", "s", low=120.0
    )
    indicator_window_s: float = setting(3600.0, "rolling window of the route indicators", "s", low=60.0, high=7200.0)
    alert_after_s: float = setting(60.0, "bunching and gaps are told once they have lasted this long", "s", low=0.0)
    lost_after_s: float = setting(120.0, "a vehicle in service is lost after so long without a ping", "s", low=5.0)
    stopped_after_s: float = setting(
        600.0, "a vehicle in service that has not moved for so long has stopped, away from its terminals", "s", low=60.0
    )
    no_service_s: float = setting(
        900.0, "a route without a bus for so long, and two planned headways, is without service", "s", low=60.0
    )
    hold_most_s: float = setting(120.0, "the longest hold that is advised for a bunched bus", "s", low=0.0)
    hold_routes: int = setting(
        8, "no hold is advised at a stop where more routes and directions call: a waiting bus is in their way", low=1
    )
    source_silent_s: float = setting(60.0, "no pings of any vehicle for this long: the source is silent", "s", low=5.0)


@dataclass(frozen=True, slots=True)
class Api:
    """The HTTP service."""

    host: str = setting("127.0.0.1", "loopback unless set otherwise")
    port: int = setting(8080, "HTTP port; 0: any free one", low=0, high=65535)
    tick_s: float = setting(0.2, "how often the view publishes what came in", "s", low=0.02, high=5.0)
    look_back_s: float = setting(300.0, "how far back an API that starts reads the output topics", "s", low=0.0)
    stale_s: float = setting(60.0, "a vehicle whose newest ping is older is marked stale", "s", low=1.0)
    drop_s: float = setting(600.0, "a vehicle whose newest ping is older is no longer shown", "s", low=1.0)
    arrival_lapse_s: float = setting(60.0, "an arrival estimate not repeated for this long has lapsed", "s", low=1.0)
    lapse_s: float = setting(180.0, "other statements not repeated for this long: three restatements", "s", low=1.0)
    keep_alive_s: float = setting(15.0, "a live stream without news sends a comment this often", "s", low=0.1)
    live_backlog_kb: int = setting(
        2048, "a slow client of the live stream is reset when more waits for it", "kB", low=1
    )
    gtfs_rt_s: float = setting(5.0, "how often the GTFS-Realtime feeds are made anew", "s", low=1.0, high=30.0)
    explain_s: float = setting(60.0, "why a vehicle was tracked so is told within this, or not", "s", low=1.0)
    cors_origins: str = setting("", "origins that may call from a browser: empty none, * all, else a,b,c")
    drives_on: str = setting("left", "side of the road that congestion is drawn on: left or right")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, grouped by the step that uses them."""

    kafka: Kafka = field(default_factory=Kafka)
    worker: Worker = field(default_factory=Worker)
    track: Track = field(default_factory=Track)
    city: City = field(default_factory=City)
    api: Api = field(default_factory=Api)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Settings of the environment; raises WrongSetting, also for a KORIDOR_ variable that is none."""
        env = os.environ if env is None else env
        known = {name: (group, f) for name, group, f in _variables()}
        for name in env:
            if name.startswith("KORIDOR_") and name not in known and name not in NOT_SETTINGS:
                raise WrongSetting(f"{name}: there is no such setting; `koridor settings` lists them all")
        values: dict[str, dict[str, Any]] = {}
        for name, (group, f) in known.items():
            if name in env:
                values.setdefault(group, {})[f.name] = _parse(name, env[name], _types(group)[f.name], f)
        groups = {f.name: f.default_factory for f in fields(cls)}
        return cls(**{g: groups[g](**v) for g, v in values.items()})  # type: ignore[operator]


NOT_SETTINGS = frozenset({"KORIDOR_HOME"})  # where the embedded broker and caches keep their files
_GROUPS = {"kafka": Kafka, "worker": Worker, "track": Track, "city": City, "api": Api}


def _types(group: str) -> dict[str, Any]:
    return get_type_hints(_GROUPS[group])


def _variables() -> Iterator[tuple[str, str, Field[Any]]]:
    for group, cls in _GROUPS.items():
        for f in fields(cls):
            middle = "" if group == "kafka" else f"{group.upper()}_"
            yield f"KORIDOR_{middle}{f.name.upper()}", group, f


def _parse(name: str, text: str, kind: type, f: Field[Any]) -> Any:
    try:
        value: Any = text if kind is str else kind(text)
    except ValueError:
        whole = "a whole number" if kind is int else "a number"
        raise WrongSetting(f"{name}={text!r}: needs {whole}, for example {f.default}") from None
    if kind is float and math.isinf(value):
        raise WrongSetting(f"{name}={text!r}: needs a finite number, for example {f.default}")
    low, high = f.metadata["low"], f.metadata["high"]
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = " and ".join(
            f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
        )
        raise WrongSetting(f"{name}={text!r}: must be {bounds} (default {f.default})")
    return value


def table() -> list[tuple[str, str, str, str]]:
    """Variable, default, unit and reason of every setting, for the README and `koridor settings`."""
    return [(name, str(f.default), f.metadata["unit"], f.metadata["reason"]) for name, _, f in _variables()]
