// The feed as the map needs it: routes, stops, and a place for every distance along a pattern.
import { routeColor } from "./palette.js";

const RADIANS = Math.PI / 180;
export const mercatorX = (lon) => (lon + 180) / 360;
export const mercatorY = (lat) => 0.5 - Math.log(Math.tan(Math.PI / 4 + (lat * RADIANS) / 2)) / (2 * Math.PI);

/** The [lon, lat] points of an encoded polyline (Google's, five decimals). */
export function decode(text) {
  const points = [];
  const last = [0, 0]; // lat, lon
  let at = 0;
  while (at < text.length) {
    for (const axis of [0, 1]) {
      let value = 0;
      let five;
      for (let shift = 0; ; shift += 5) {
        five = text.charCodeAt(at++) - 63;
        value |= (five & 31) << shift;
        if (five < 32) break;
      }
      last[axis] += value & 1 ? ~(value >> 1) : value >> 1;
    }
    points.push([last[1] / 1e5, last[0] / 1e5]);
  }
  return points;
}

/** Fetch until it is there; `waiting` is told why it is not. */
export async function loadNetwork(waiting) {
  for (;;) {
    try {
      const answer = await fetch("v1/network");
      if (answer.ok) return new Network(await answer.json());
      waiting((await answer.json()).detail ?? `The service says ${answer.status}.`);
    } catch {
      waiting("The service does not answer. Trying again…");
    }
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

export class Network {
  constructor(raw) {
    this.hash = raw.hash;
    this.timezone = raw.timezone;
    this.drivesOn = raw.drives_on;
    this.routes = new Map(raw.routes.map((r) => [r.route_id, { ...r, shown: routeColor(r), name: r.short_name || r.route_id }]));
    this.stops = new Map(raw.stops.map((s) => [s.stop_id, s]));
    this.patterns = new Map();
    this.patternsOf = new Map();
    this.routesAt = new Map();
    this.headingsAt = new Map(); // where the buses go that stop there, or at one of its platforms, and go on
    for (const p of raw.patterns) {
      p.polyline = decode(p.polyline);
      if (p.polyline.length > 1) {
        p.x = p.polyline.map(([lon]) => mercatorX(lon));
        p.y = p.polyline.map(([, lat]) => mercatorY(lat));
      }
      this.patterns.set(p.pattern_id, p);
      if (!this.patternsOf.has(p.route_id)) this.patternsOf.set(p.route_id, []);
      this.patternsOf.get(p.route_id).push(p);
      for (const stop_id of p.stop_ids) {
        if (!this.routesAt.has(stop_id)) this.routesAt.set(stop_id, new Set());
        this.routesAt.get(stop_id).add(p.route_id);
      }
      for (const stop_id of p.stop_ids.slice(0, -1)) {
        for (const id of [stop_id, this.stops.get(stop_id)?.parent_id]) {
          if (!id) continue;
          if (!this.headingsAt.has(id)) this.headingsAt.set(id, new Set());
          this.headingsAt.get(id).add(this.headsign(p));
        }
      }
    }
    this.order = [...this.routes.values()].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  }

  /** The longest pattern of a route in a direction: what its ladder is drawn along. */
  mainPattern(routeId, directionId) {
    const found = (this.patternsOf.get(routeId) ?? []).filter((p) => p.direction_id === directionId);
    return found.sort((a, b) => b.stop_ids.length - a.stop_ids.length || b.length_m - a.length_m)[0];
  }

  headsign(pattern) {
    return pattern.headsign || this.stops.get(pattern.stop_ids.at(-1))?.name || "–";
  }

  directions(routeId) {
    const found = new Set((this.patternsOf.get(routeId) ?? []).map((p) => p.direction_id));
    return [...found].sort((a, b) => (a ?? 0) - (b ?? 0));
  }

  /** [west, south, east, north] of a route, or of everything. */
  bounds(routeId) {
    const box = [180, 90, -180, -90];
    for (const p of routeId ? (this.patternsOf.get(routeId) ?? []) : this.patterns.values()) {
      for (const [lon, lat] of p.polyline) {
        box[0] = Math.min(box[0], lon);
        box[1] = Math.min(box[1], lat);
        box[2] = Math.max(box[2], lon);
        box[3] = Math.max(box[3], lat);
      }
    }
    return box[0] <= box[2] ? box : null;
  }

  /** Write mercator x, y and heading (radians, clockwise from north) at `dist` of a pattern into `out`. */
  placeAt(pattern, dist, out) {
    const d = pattern.dist_m;
    let low = 0;
    let high = d.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (d[middle] <= dist) low = middle;
      else high = middle - 1;
    }
    const span = d[low + 1] - d[low];
    const t = span > 0 ? Math.min(Math.max((dist - d[low]) / span, 0), 1) : 0;
    const dx = pattern.x[low + 1] - pattern.x[low];
    const dy = pattern.y[low + 1] - pattern.y[low];
    out.x = pattern.x[low] + dx * t;
    out.y = pattern.y[low] + dy * t;
    if (dx || dy) out.heading = Math.atan2(dx, -dy);
    return out;
  }
}
