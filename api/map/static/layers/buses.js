// The buses, drawn on a canvas over the map: a city's fleet moves at every frame, and text needs no glyph files.
//
// A bus glides from where it is shown to where its newest ping says it was, along its pattern where it has one, in
// about the time between its pings. It is never moved beyond its data.
import { mercatorX, mercatorY } from "../network.js";
import { BANDS, bandOf } from "../palette.js";

const SIZE = 26; // of a bus, CSS pixels
const JUMP_M = 1500; // farther than this is not driven, it is corrected
const REACH = 16; // of a click, CSS pixels
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Buses {
  constructor(map, canvas, state) {
    this.map = map;
    this.canvas = canvas;
    this.state = state;
    this.network = null;
    this.fleet = new Map();
    this.sprites = new Map();
    this.frame = 0;
    this.place = { x: 0, y: 0, heading: 0 };
    map.on("render", () => this.draw());
    map.on("resize", () => this.fit());
    this.fit();
  }

  fit() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.map.getContainer();
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    this.ratio = ratio;
    this.draw();
  }

  clear() {
    this.fleet.clear();
    this.wake();
  }

  remove(id) {
    this.fleet.delete(id);
    this.wake();
  }

  put(id, vehicle) {
    const now = performance.now();
    const known = this.fleet.get(id);
    const pattern = vehicle.off_route ? undefined : this.network?.patterns.get(vehicle.pattern_id);
    const along = pattern?.x && vehicle.dist_m !== null;
    const bus = known ?? { x: 0, y: 0, heading: null, start: 0, span: 0 };
    const target = along
      ? this.network.placeAt(pattern, vehicle.dist_m, { x: 0, y: 0, heading: null })
      : { x: mercatorX(vehicle.lon), y: mercatorY(vehicle.lat), heading: null };
    if (!along && vehicle.heading_deg !== null) target.heading = (vehicle.heading_deg * Math.PI) / 180;
    const apart = known ? Math.hypot(target.x - bus.x, target.y - bus.y) * 40_075_017 : Infinity;
    const news = known && vehicle.timestamp > known.vehicle.timestamp;
    const glide = news && apart < JUMP_M && !calm.matches;
    if (glide) {
      if (along && known.pattern === pattern && vehicle.dist_m > known.shownDist - 60) {
        bus.fromDist = known.shownDist;
      } else {
        bus.fromDist = null;
      }
      Object.assign(bus, { fromX: bus.x, fromY: bus.y, fromHeading: bus.heading ?? target.heading });
      bus.start = now;
      bus.span = Math.min(Math.max((vehicle.timestamp - known.vehicle.timestamp) * 1000, 400), 12_000);
    } else if (!known || news || known.pattern !== pattern) {
      Object.assign(bus, { x: target.x, y: target.y, heading: target.heading ?? bus.heading, span: 0 });
      bus.shownDist = along ? vehicle.dist_m : null;
    }
    Object.assign(bus, { id, vehicle, pattern: along ? pattern : null, target, band: bandOf(vehicle) });
    this.fleet.set(id, bus);
    this.wake();
  }

  /** Draw with the next frame. The map below is not drawn again for it: it does not move when buses do. */
  wake() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  advance(bus, now) {
    if (!bus.span) return false;
    const t = (now - bus.start) / bus.span;
    if (t >= 1) {
      bus.x = bus.target.x;
      bus.y = bus.target.y;
      bus.heading = bus.target.heading ?? bus.heading;
      bus.shownDist = bus.pattern ? bus.vehicle.dist_m : null;
      bus.span = 0;
      return false;
    }
    if (bus.fromDist !== null && bus.pattern) {
      bus.shownDist = bus.fromDist + (bus.vehicle.dist_m - bus.fromDist) * t;
      this.network.placeAt(bus.pattern, bus.shownDist, this.place);
      bus.x = this.place.x;
      bus.y = this.place.y;
      bus.heading = this.place.heading;
    } else {
      bus.x = bus.fromX + (bus.target.x - bus.fromX) * t;
      bus.y = bus.fromY + (bus.target.y - bus.fromY) * t;
      bus.heading = bus.target.heading ?? bus.fromHeading;
    }
    return true;
  }

  /** Mercator to CSS pixels: the map is never tilted, so three points tell all. */
  affine() {
    const c = this.map.getCenter();
    const cx = mercatorX(c.lng);
    const cy = mercatorY(c.lat);
    const scale = 512 * 2 ** this.map.getZoom();
    return { cx, cy, scale, width: this.canvas.width / this.ratio, height: this.canvas.height / this.ratio };
  }

  draw() {
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const { cx, cy, scale, width, height } = this.affine();
    ctx.clearRect(0, 0, width, height);
    this.stopNames(ctx, cx, cy, scale, width, height);
    if (!this.state.layers.has("buses")) return;
    const now = performance.now();
    const zoom = this.map.getZoom();
    const size = SIZE * Math.min(Math.max((zoom - 7.5) / 5.5, 0.36), 1.12);
    let moving = false;
    const labels = [];
    for (const bus of this.fleet.values()) {
      moving = this.advance(bus, now) || moving;
      bus.sx = (bus.x - cx) * scale + width / 2;
      bus.sy = (bus.y - cy) * scale + height / 2;
      bus.seen = bus.sx > -30 && bus.sy > -30 && bus.sx < width + 30 && bus.sy < height + 30;
      if (!bus.seen) continue;
      const chosen = bus.id === this.state.vehicle;
      const aside = this.state.route && bus.vehicle.route_id !== this.state.route && !chosen;
      ctx.globalAlpha = aside ? 0.14 : 1;
      if (chosen) this.ring(ctx, bus.sx, bus.sy, size);
      this.stamp(ctx, bus, size);
      if (chosen || (zoom >= 14 && !aside)) labels.push(bus);
    }
    ctx.globalAlpha = 1;
    for (const bus of labels) this.label(ctx, bus, size);
    if (moving) this.wake();
  }

  ring(ctx, x, y, size) {
    ctx.beginPath();
    ctx.arc(x, y, size * 0.85, 0, 2 * Math.PI);
    ctx.lineWidth = 2.5;
    ctx.strokeStyle = "#ffffff";
    ctx.stroke();
  }

  stamp(ctx, bus, size) {
    const sprite = this.sprite(bus.band, bus.vehicle.stale, bus.heading !== null && bus.heading !== undefined);
    ctx.translate(bus.sx, bus.sy);
    if (bus.heading) ctx.rotate(bus.heading);
    ctx.drawImage(sprite, -size, -size, 2 * size, 2 * size);
    if (bus.heading) ctx.rotate(-bus.heading);
    ctx.translate(-bus.sx, -bus.sy);
  }

  /** A disc with a nose that points ahead; hollow when stale. */
  sprite(band, stale, pointed) {
    const key = `${band}|${stale}|${pointed}`;
    if (this.sprites.has(key)) return this.sprites.get(key);
    const n = 128;
    const sprite = Object.assign(document.createElement("canvas"), { width: n, height: n });
    const ctx = sprite.getContext("2d");
    const color = BANDS[band].color;
    const r = 25;
    ctx.translate(n / 2, n / 2);
    ctx.beginPath();
    if (pointed) {
      ctx.moveTo(0, -r - 21);
      ctx.lineTo(r * 0.74, -r * 0.67);
      ctx.arc(0, 0, r, -0.73, Math.PI + 0.73);
      ctx.closePath();
    } else {
      ctx.arc(0, 0, r, 0, 2 * Math.PI);
    }
    ctx.lineJoin = "round";
    ctx.lineWidth = stale ? 16 : 11;
    ctx.strokeStyle = "#0a0f15";
    ctx.stroke();
    ctx.fillStyle = stale ? "#0a0f15" : color;
    ctx.fill();
    if (stale) {
      ctx.lineWidth = 7;
      ctx.strokeStyle = color;
      ctx.stroke();
    }
    this.sprites.set(key, sprite);
    return sprite;
  }

  label(ctx, bus, size) {
    const name = this.network?.routes.get(bus.vehicle.route_id)?.name ?? "?";
    ctx.font = "600 11px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    const text = bus.id === this.state.vehicle ? `${name} · ${bus.vehicle.label ?? bus.id}` : name;
    const x = bus.sx + size * 0.75;
    const width = ctx.measureText(text).width + 10;
    ctx.fillStyle = "rgba(10, 15, 21, 0.82)";
    ctx.beginPath();
    ctx.roundRect(x, bus.sy - 9, width, 18, 5);
    ctx.fill();
    ctx.fillStyle = "#e6edf3";
    ctx.fillText(text, x + 5, bus.sy + 0.5);
  }

  stopNames(ctx, cx, cy, scale, width, height) {
    if (!this.network || !this.state.layers.has("stops") || this.map.getZoom() < 14.6) return;
    ctx.font = "12px system-ui, sans-serif";
    ctx.textBaseline = "middle";
    ctx.lineWidth = 3;
    ctx.strokeStyle = "#0a0f15";
    ctx.fillStyle = "#aebccb";
    const taken = [];
    for (const stop of this.network.stops.values()) {
      stop.x ??= mercatorX(stop.lon);
      stop.y ??= mercatorY(stop.lat);
      const x = (stop.x - cx) * scale + width / 2;
      const y = (stop.y - cy) * scale + height / 2;
      if (x < 0 || y < 0 || x > width || y > height || !stop.name) continue;
      if (taken.some(([tx, ty]) => Math.abs(tx - x) < 110 && Math.abs(ty - y) < 15)) continue;
      taken.push([x, y]);
      ctx.strokeText(stop.name, x + 10, y);
      ctx.fillText(stop.name, x + 10, y);
    }
  }

  /** The bus nearest to a point of the screen, if one is near enough. */
  at(point) {
    if (!this.state.layers.has("buses")) return null;
    let best = null;
    let away = REACH;
    for (const bus of this.fleet.values()) {
      if (!bus.seen) continue;
      const d = Math.hypot(bus.sx - point.x, bus.sy - point.y);
      if (d < away) [best, away] = [bus, d];
    }
    return best;
  }
}
