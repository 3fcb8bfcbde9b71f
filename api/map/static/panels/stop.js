// One stop: the next buses, the median and how sure it is (p10 to p90).
import { clock, duration, el } from "../format.js";
import { chip } from "./vehicle.js";

const HORIZON_MIN = 30;

/** Arrivals of a stop; null where the service does not answer. */
export async function fetchArrivals(stopId) {
  try {
    const answer = await fetch(`v1/stops/${encodeURIComponent(stopId)}/arrivals?limit=40`);
    return answer.ok ? (await answer.json()).data : null;
  } catch {
    return null;
  }
}

export function stopPanel(id, rows, { network, live, change, close }) {
  const stop = network.stops.get(id);
  const routes = [...(network.routesAt.get(id) ?? [])].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const title = el("header", {}, el("h3", {}, stop?.name || id), close());
  const chips = el("div", {}, routes.slice(0, 30).map((r) => [chip(network, r), " "]));
  if (!stop) return [title, el("p.quiet", {}, "There is no such stop in the feed in use.")];
  if (rows === undefined) return [title, chips, el("p.quiet", {}, "Asking for arrivals…")];
  if (rows === null) return [title, chips, el("p.quiet", {}, "Arrivals cannot be had right now.")];
  if (!rows.length) return [title, chips, el("p.quiet", {}, "No bus is expected in what is known now.")];
  const now = live.now();
  return [title, chips, el("table.arrivals", {}, rows.map((row) => line(row, now, network, change)))];
}

function line(row, now, network, change) {
  const minutes = (t) => (t - now) / 60;
  const [p10, p50, p90] = [row.arrival_p10, row.arrival_p50, row.arrival_p90].map(minutes);
  const whole = (m) => Math.max(0, Math.floor(m));
  const at = (m) => `${(Math.min(Math.max(m, 0), HORIZON_MIN) / HORIZON_MIN) * 100}%`;
  const span = `${whole(p10)}–${Math.max(whole(p10), Math.ceil(p90))} min`;
  const bus = row.vehicle_id
    ? el("button.link", { type: "button", onclick: () => change({ vehicle: row.vehicle_id, stop: null }) }, row.vehicle_id)
    : "no bus seen yet";
  return el(row.vehicle_stale ? "tr.old" : "tr", { "data-trip": row.trip_id_performed },
    el("td", {}, chip(network, row.route_id)),
    el("td", {},
      el("span.to", {}, row.headsign ?? network.routes.get(row.route_id)?.long_name ?? ""),
      el("small", {}, bus, row.vehicle_age_s === null ? "" : ` · seen ${duration(row.vehicle_age_s)} ago`),
      el("div.whisker", { title: `Nine in ten come between ${clock(row.arrival_p10)} and ${clock(row.arrival_p90)} or later` },
        el("i", { style: `left:${at(p10)};right:calc(100% - ${at(p90)})` }), el("b", { style: `left:${at(p50)}` }))),
    el("td.minutes", {}, el("b", {}, p50 < 0.75 ? "now" : whole(p50 + 0.5)), p50 < 0.75 ? "" : " min", el("small", {}, span)));
}
