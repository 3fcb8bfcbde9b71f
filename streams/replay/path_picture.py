"""One vehicle's path on the shapes as a picture: SVG, written as text.

Above a map: fixes coloured by what was said, tied to the place on the shape that was said; the shapes that were
believed; stops; beginnings and ends of runs. Below it the same against time: metres along, and how likely what was.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from streams.gtfs.network import Network
from streams.replay.moments import (
    AT_BASE,
    DEADHEAD,
    LAYOVER,
    OFF_ROUTE,
    REJECTED,
    SERVICE,
    UNDECIDED,
    Hypothesis,
    Moment,
    run_number,
    way,
)  # fmt: skip
from streams.service_day import zone_of

Array = np.ndarray
Places = tuple[Array, Array]  # pixels right and down

WIDTH, PAD = 1200.0, 16.0
MAP_LOW, MAP_HIGH = 320.0, 760.0
ALONG, BELIEF, AXIS = 190.0, 90.0, 46.0
WAYS = (
    "#1565c0", "#00796b", "#8e24aa", "#6d4c41", "#c2185b", "#5c6bc0", "#7c8c00", "#0097a7", "#37474f", "#ad8b00",
    "#4a148c", "#33691e", "#ad1457", "#0d47a1",
)  # fmt: skip
COLORS = {
    LAYOVER: "#f9a825", OFF_ROUTE: "#e64a19", DEADHEAD: "#9e9e9e", AT_BASE: "#5f6368", UNDECIDED: "#fff",
    REJECTED: "#d50000",
}  # fmt: skip
OTHER = "#dcdcdc"
INK, FAINT, GROUND = "#222", "#8a8a8a", "#fafafa"
BELIEVED = 0.2  # a way is drawn when it was this likely at some ping
GAP_S = 120.0  # nothing is drawn on over a longer silence
COLUMN_PX = 1.5
LABEL_PX, ARROW_PX = 90.0, 110.0
TICKS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600)


class _Believed:
    """Which patterns were said and which only believed, and the colour of every way."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        said = [m.words for m in moments]
        self.said = list(dict.fromkeys(s["pattern_id"] for s in said if s and s["pattern_id"] is not None))
        self.best: dict[str, tuple[float, Hypothesis]] = {}
        ways = dict.fromkeys(way(s["route_id"], s["direction_id"]) for s in said if s and s["pattern_id"])
        for moment in moments:
            for h in moment.hypotheses:
                if h.pattern_id is None or h.probability < BELIEVED or h.pattern_id in self.said:
                    continue
                if h.probability > self.best.get(h.pattern_id, (0.0, h))[0]:
                    self.best[h.pattern_id] = (h.probability, h)
        more = sorted(self.best.values(), key=lambda b: -b[0])
        ways |= dict.fromkeys(way(h.route_id, h.direction_id) for _, h in more)
        self.color = {name: WAYS[k] if k < len(WAYS) else FAINT for k, name in enumerate(ways)}

    def of(self, moment: Moment) -> str:
        """The colour of what was said."""
        said = moment.words
        if said is None or moment.what != SERVICE:
            return COLORS[moment.what]
        return self.color.get(way(said["route_id"], said["direction_id"]), COLORS[UNDECIDED])


def picture(moments: Sequence[Moment], network: Network) -> str:
    """The path of these pings (of one vehicle) as SVG."""
    moments = [m for m in moments if m.ping["lat"] is not None and m.ping["timestamp"] is not None]
    zone, believed = zone_of(network.timezone), _Believed(moments)
    legend, top = _legend(moments, believed, zone, network)
    plan = _Plan(moments, network, top)
    below = plan.top + plan.height + 30.0
    height = below + ALONG + BELIEF + 60.0
    parts = [
        *legend,
        *plan.draw(moments, believed, zone),
        *_against_time(moments, believed, zone, below),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" width="{WIDTH:.0f}" '
        f'height="{height:.0f}" font-family="sans-serif" font-size="12" fill="{INK}">\n'
        "<style>.h{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}</style>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _legend(
    moments: Sequence[Moment], believed: _Believed, zone: ZoneInfo, network: Network
) -> tuple[list[str], float]:
    """The title and what the colours mean, and where they end."""
    vehicle = moments[0].ping["vehicle_id"] if moments else ""
    times = [m.ping["timestamp"] for m in moments]
    span = "no fix with a place"
    if times:
        first, last = datetime.fromtimestamp(min(times), zone), datetime.fromtimestamp(max(times), zone)
        span = f"{first:%Y-%m-%d %H:%M:%S} to {last:%H:%M:%S} ({network.timezone}), {len(times):,} pings"
    parts = [
        f'<text x="{PAD}" y="28" font-size="17" font-weight="bold">Vehicle {escape(vehicle)}'
        f'<tspan font-size="12" font-weight="normal" dx="12" fill="#555">{escape(span)}</tspan></text>'
    ]
    x, y = PAD + 5.0, 50.0
    seen = {m.what for m in moments} | {UNDECIDED for m in moments if believed.of(m) == COLORS[UNDECIDED]}
    only = {way(h.route_id, h.direction_id) for _, h in believed.best.values()}
    said = {way(s["route_id"], s["direction_id"]) for s in (m.words for m in moments) if s is not None}
    items = [(f"{name} believed" if name in only - said else name, c, name) for name, c in believed.color.items()]
    items += [
        ("undecided" if name == UNDECIDED else name, color, name) for name, color in COLORS.items() if name in seen
    ]
    for text, color, name in items:
        if x + 7.0 * len(text) + 26.0 > WIDTH:
            x, y = PAD + 5.0, y + 20.0
        parts.append(_cross(x, y - 4.0, color) if name == REJECTED else _dot(x, y - 4.0, 5.0, color))
        parts.append(_text(x + 10.0, y, text))
        x += 7.0 * len(text) + 36.0
    return parts, y + 14.0


class _Plan:
    """The map: north is up, all used fixes are in it."""

    def __init__(self, moments: Sequence[Moment], network: Network, top: float) -> None:
        self.network, self.top = network, top
        self.x, self.y = network.project(
            np.array([m.ping["lat"] for m in moments], dtype=float),
            np.array([m.ping["lon"] for m in moments], dtype=float),
        )
        used = np.array([m.words is not None for m in moments], dtype=bool)
        chosen = used if used.any() else ~used
        x, y = (self.x[chosen], self.y[chosen]) if len(moments) else (np.zeros(1), np.zeros(1))
        width, height = max(np.ptp(x), 300.0) * 1.12, max(np.ptp(y), 200.0) * 1.12
        room = WIDTH - 2.0 * PAD
        self.scale = min(room / width, MAP_HIGH / height)  # pixels per metre
        self.height = min(MAP_HIGH, max(MAP_LOW, height * self.scale))
        self.left = PAD + room / 2.0 - self.scale * (x.max() + x.min()) / 2.0
        self.foot = top + self.height / 2.0 + self.scale * (y.max() + y.min()) / 2.0

    def px(self, x: Array, y: Array) -> Places:
        """Places in metres as pixels."""
        return self.left + self.scale * np.asarray(x), self.foot - self.scale * np.asarray(y)

    def shape(self, pattern_id: str) -> Places:
        """The shape of a pattern."""
        n = self.network
        s = n.pattern_shape_ix[n.pattern_ix[pattern_id]]
        rows = slice(n.shape_start[s], n.shape_start[s + 1])
        return self.px(n.point_x[rows], n.point_y[rows])

    def along(self, pattern_id: str, dist_m: float) -> tuple[float, float]:
        """A place on a pattern."""
        n = self.network
        s = n.pattern_shape_ix[n.pattern_ix[pattern_id]]
        rows = slice(n.shape_start[s], n.shape_start[s + 1])
        x = np.interp(dist_m, n.point_dist_m[rows], n.point_x[rows])
        y = np.interp(dist_m, n.point_dist_m[rows], n.point_y[rows])
        across, down = self.px(x, y)
        return float(across), float(down)

    def inside(self, x: float, y: float) -> bool:
        """Whether these pixels are on the map."""
        return PAD < x < WIDTH - PAD and self.top < y < self.top + self.height

    def draw(self, moments: Sequence[Moment], believed: _Believed, zone: ZoneInfo) -> list[str]:
        """Shapes, stops, fixes, runs, scale."""
        frame = f'x="{PAD}" y="{self.top:.1f}" width="{WIDTH - 2 * PAD:.1f}" height="{self.height:.1f}"'
        fx, fy = self.px(self.x, self.y)
        parts = [
            f'<clipPath id="map"><rect {frame}/></clipPath><rect {frame} fill="{GROUND}" stroke="#ddd"/>',
            '<g clip-path="url(#map)">',
        ]
        for pattern, (probability, h) in believed.best.items():
            color = believed.color[way(h.route_id, h.direction_id)]
            title = f"{way(h.route_id, h.direction_id)}, believed at most {100 * probability:.0f} %"
            line = _line(*self.shape(pattern), color, 2.0, 'stroke-dasharray="5 5" opacity="0.75"', title)
            parts.append(line)
        for pattern in believed.said:
            parts += self._route(pattern, believed)
        for some in _unbroken(moments):
            parts.append(_line(fx[some], fy[some], FAINT, 0.8))
        labels: list[tuple[float, float]] = []
        for x, y, moment in zip(fx.tolist(), fy.tolist(), moments, strict=True):
            color, said = believed.of(moment), moment.words
            if said is not None and said["dist_m"] is not None and said["pattern_id"] is not None:
                to = self.along(said["pattern_id"], said["dist_m"])
                parts.append(
                    f'<path d="M{x:.1f} {y:.1f}L{to[0]:.1f} {to[1]:.1f}" stroke="{color}" stroke-width="0.8"/>'
                )
        for x, y, moment in zip(fx.tolist(), fy.tolist(), moments, strict=True):
            color = believed.of(moment)
            if moment.what == REJECTED:
                parts.append(_cross(x, y, color, _told(moment, zone)))
            else:
                parts.append(_dot(x, y, 3.2, color, _told(moment, zone)))
        parts += self._runs(moments, fx, fy, believed, labels)
        for x, y, moment in zip(fx.tolist(), fy.tolist(), moments, strict=True):
            if moment.words is not None and all(abs(x - a) + abs(y - b) > LABEL_PX for a, b in labels):
                labels.append((x, y))
                clock = datetime.fromtimestamp(moment.ping["timestamp"], zone)
                parts.append(_text(x + 6.0, y + 12.0, f"{clock:%H:%M}", size=10, fill="#444", halo=True))
        for _, (_, h) in sorted(believed.best.items()):
            name = way(h.route_id, h.direction_id)
            if h.dist_m is not None and h.pattern_id is not None:
                x, y = self.along(h.pattern_id, h.dist_m)
                if all(abs(x - a) + abs(y - b) > LABEL_PX / 3.0 for a, b in labels):
                    labels.append((x, y))
                    parts.append(_text(x - 6.0, y - 8.0, name, "end", 10, believed.color[name], halo=True))
        lost = sum(not self.inside(x, y) for x, y in zip(fx.tolist(), fy.tolist(), strict=True))
        parts += ["</g>", *self._scale_bar()]
        if lost:
            at = WIDTH - PAD - 8.0
            parts.append(_text(at, self.top + self.height - 8.0, f"{lost} outside the map", "end", 11, FAINT))
        return parts

    def _route(self, pattern: str, believed: _Believed) -> Iterable[str]:
        n = self.network
        p = n.pattern_ix[pattern]
        direction = int(n.pattern_direction[p])
        name = way(n.route_ids[n.pattern_route_ix[p]], direction if direction >= 0 else None)
        color = believed.color[name]
        x, y = self.shape(pattern)
        yield _line(x, y, color, 6.0, 'opacity="0.28"', f"{name} to {n.pattern_headsign[p]}")
        # Which way it leads: a chevron now and then.
        length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        for at in np.arange(ARROW_PX / 2.0, length[-1], ARROW_PX):
            a, b = (float(np.interp(at + d, length, x)) for d in (-4.0, 4.0))
            c, d = (float(np.interp(at + d, length, y)) for d in (-4.0, 4.0))
            if self.inside(a, c) and np.hypot(b - a, d - c) > 4.0:
                turn = np.degrees(np.arctan2(d - c, b - a))
                yield (
                    f'<path d="M-4-4L3 0L-4 4" transform="translate({(a + b) / 2:.1f} {(c + d) / 2:.1f}) '
                    f'rotate({turn:.0f})" fill="none" stroke="{color}" stroke-width="1.6" opacity="0.8"/>'
                )
        stops = range(n.pstop_start[p], n.pstop_start[p + 1])
        for k in stops:
            stop = n.pstop_stop_ix[k]
            sx, sy = self.px(*n.project(n.stop_lat[stop], n.stop_lon[stop]))
            if self.inside(float(sx), float(sy)):
                title = f"<title>{escape(n.stop_name[stop])}</title>"
                yield (
                    f'<rect x="{sx - 3:.1f}" y="{sy - 3:.1f}" width="6" height="6" rx="1.5" fill="#fff" '
                    f'stroke="{color}">{title}</rect>'
                )
                if k in (stops[0], stops[-1]):
                    yield _text(float(sx) + 7.0, float(sy) - 6.0, n.stop_name[stop], size=11, fill=color, halo=True)

    def _runs(
        self,
        moments: Sequence[Moment],
        fx: Array,
        fy: Array,
        believed: _Believed,
        labels: list[tuple[float, float]],
    ) -> Iterable[str]:
        ends: dict[str, list[int]] = {}
        for k, moment in enumerate(moments):
            if moment.words is not None and moment.words["trip_id_performed"] is not None:
                ends.setdefault(moment.words["trip_id_performed"], [k, k])[1] = k
        for run, (first, last) in ends.items():
            for k, mark in ((first, "▶"), (last, "■")):
                x, y = float(fx[k]), float(fy[k])
                row = sum(abs(x - a) + abs(y - b) < 16.0 for a, b in labels)
                labels.append((x, y))
                said = moments[last].words
                name = way(said["route_id"], said["direction_id"]) if said is not None else ""
                text, color = f"{mark} {run_number(run)}", believed.color.get(name, INK)
                wide = 10.0 + 7.0 * len(text)
                across, down = x - wide - 8.0, y - 22.0 - 19.0 * row
                yield (
                    f'<path d="M{x:.1f} {y:.1f}L{across + wide:.1f} {down + 12:.1f}" stroke="{color}"/>'
                    f'<rect x="{across:.1f}" y="{down:.1f}" width="{wide:.1f}" height="16" rx="8" fill="{color}"/>'
                )
                yield _text(across + wide / 2.0, down + 12.0, text, "middle", 11, "#fff")

    def _scale_bar(self) -> Iterable[str]:
        for metres in (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000):
            if metres * self.scale >= 60.0:
                break
        x, y, wide = PAD + 12.0, self.top + self.height - 12.0, metres * self.scale
        yield f'<path d="M{x} {y - 5:.1f}V{y:.1f}H{x + wide:.1f}V{y - 5:.1f}" fill="none" stroke="{INK}"/>'
        text = f"{metres} m" if metres < 1000 else f"{metres // 1000} km"
        yield _text(x + wide / 2.0, y - 5.0, text, "middle", 10, halo=True)


def _unbroken(moments: Sequence[Moment]) -> list[slice]:
    """The fixes between silences."""
    times = np.array([m.ping["timestamp"] for m in moments], dtype=float)
    cuts = [0, *(np.flatnonzero(np.abs(np.diff(times)) > GAP_S) + 1).tolist(), len(moments)]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _against_time(moments: Sequence[Moment], believed: _Believed, zone: ZoneInfo, top: float) -> list[str]:
    """Metres along what was said, and below it how likely what was."""
    if not moments:
        return []
    times = [m.ping["timestamp"] for m in moments]
    begin, end = min(times), max(max(times), min(times) + 60.0)
    left, right = PAD + AXIS, WIDTH - PAD
    per_s = (right - left) / (end - begin)
    along = [s["dist_m"] for s in (m.words for m in moments) if s is not None and s["dist_m"] is not None]
    longest = 1.05 * max([100.0, *along])
    foot, base = top + ALONG, top + ALONG + BELIEF + 14.0
    parts = [
        _text(PAD, top - 8.0, "along the route, km", size=11, fill="#555"),
        _text(PAD, foot + 11.0, "belief", size=11, fill="#555"),
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{ALONG}" fill="{GROUND}"/>',
        f'<rect x="{left}" y="{base - BELIEF}" width="{right - left}" height="{BELIEF}" fill="{GROUND}"/>',
    ]
    step = next((s for s in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0) if longest / 1000.0 / s <= 6.0), 50.0)
    for km in np.arange(0.0, longest / 1000.0 + 1e-9, step):
        y = foot - ALONG * km * 1000.0 / longest
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#e4e4e4"/>')
        parts.append(_text(left - 6.0, y + 4.0, f"{km:g}", "end", 10, "#555"))
    tick = next((t for t in TICKS_S if (end - begin) / t <= 14.0), 43_200)
    # On round times of the wall clock: zones are whole quarters of an hour off.
    offset = datetime.fromtimestamp(begin, zone).utcoffset()
    shift = offset.total_seconds() if offset is not None else 0.0
    for t in np.arange(np.ceil((begin + shift) / tick) * tick - shift, end, tick):
        x = left + (t - begin) * per_s
        parts.append(f'<path d="M{x:.1f} {top}V{base}" stroke="#e4e4e4"/>')
        parts.append(_text(x, base + 14.0, f"{datetime.fromtimestamp(float(t), zone):%H:%M}", "middle", 10, "#555"))
    parts += ['<g shape-rendering="crispEdges">', *_belief(moments, believed, begin, per_s, left, base), "</g>"]
    for t, moment in zip(times, moments, strict=True):
        x, said = left + (t - begin) * per_s, moment.words
        if moment.what == REJECTED:
            parts.append(_cross(x, top + 6.0, COLORS[REJECTED], _told(moment, zone)))
        elif said is not None and said["dist_m"] is not None:
            y = foot - ALONG * said["dist_m"] / longest
            parts.append(_dot(x, y, 2.2, believed.of(moment), _told(moment, zone)))
        elif moment.what != SERVICE:
            parts.append(
                f'<rect x="{x - 1:.1f}" y="{foot - 5:.1f}" width="2.5" height="5" fill="{believed.of(moment)}"/>'
            )
    return parts


def _belief(
    moments: Sequence[Moment], believed: _Believed, begin: float, per_s: float, left: float, base: float
) -> Iterable[str]:
    """Probabilities, one on top of the other; one column for what lies nearer together than can be seen."""
    heap = [m for m in moments if m.hypotheses]
    heap.sort(key=lambda m: m.ping["timestamp"])
    order = {color: k for k, color in enumerate([*believed.color.values(), *COLORS.values(), OTHER])}
    at = 0
    while at < len(heap):
        t = heap[at].ping["timestamp"]
        ahead = at + 1
        while ahead < len(heap) and (heap[ahead].ping["timestamp"] - t) * per_s < COLUMN_PX:
            ahead += 1
        until = heap[ahead].ping["timestamp"] if ahead < len(heap) else t + 10.0
        mass: dict[str, float] = {}
        for h in heap[ahead - 1].hypotheses:
            color = COLORS.get(h.phase) or believed.color.get(way(h.route_id, h.direction_id), OTHER)
            mass[color] = mass.get(color, 0.0) + h.probability
        y = base
        for color in sorted(mass, key=order.__getitem__):
            high = BELIEF * mass[color]
            y -= high
            if high >= 0.3:
                x = left + (t - begin) * per_s
                wide = min(min(GAP_S, until - t) * per_s + 0.2, WIDTH - PAD - x)
                yield (f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{color}"/>')
        at = ahead


def _told(moment: Moment, zone: ZoneInfo) -> str:
    """What a reader sees when he points at a fix."""
    clock = datetime.fromtimestamp(moment.ping["timestamp"], zone)
    out = [f"{clock:%H:%M:%S} {moment.what if moment.what != UNDECIDED else 'undecided'}"]
    said = moment.words
    if said is None:
        out[0] += f" {moment.reason or ''}"
    else:
        dist = "" if said["dist_m"] is None else f" at {said['dist_m']:,.0f} m"
        out[0] += f" {way(said['route_id'], said['direction_id'])}{dist}, {100 * said['match_probability']:.0f} %"
        out += [
            f"{way(h.route_id, h.direction_id)} {h.phase} {100 * h.probability:.0f} %".strip()
            for h in moment.hypotheses[:4]
            if h.probability >= 0.005
        ]
    if moment.ping["route_id"] is not None:
        out.append(f"reported: {way(moment.ping['route_id'], moment.ping['direction_id'])}")
    return "\n".join(out)


def _text(
    x: float, y: float, text: str, anchor: str = "start", size: int = 12, fill: str = INK, halo: bool = False
) -> str:
    mark = ' class="h"' if halo else ""
    return (
        f'<text{mark} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">'
        f"{escape(text)}</text>"
    )


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _dot(x: float, y: float, r: float, color: str, title: str = "") -> str:
    edge = INK if color == COLORS[UNDECIDED] else "#fff"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{color}" stroke="{edge}" stroke-width="0.6">'
        f"{_title(title)}</circle>"
    )


def _cross(x: float, y: float, color: str, title: str = "") -> str:
    return (
        f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8" stroke="{color}" stroke-width="2" fill="none">'
        f"{_title(title)}</path>"
    )


def _line(x: Array, y: Array, color: str, width: float, more: str = "", title: str = "") -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}" stroke-linejoin="round" '
        f"{more}>{_title(title)}</polyline>"
    )
