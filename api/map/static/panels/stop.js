// One stop: the next buses in words, how sure that is (p10 to p90), what runs here when no bus is in sight, and alerts.
import { clock, duration, el } from "../format.js";
import { chip } from "./vehicle.js";

const HORIZON_MIN = 30;
const TICKS_MIN = [0, 10, 20, 30];

/** What `/v1/stops/…/arrivals` answers; null where the service does not. */
export async function fetchArrivals(stopId) {
  try {
    const answer = await fetch(`v1/stops/${encodeURIComponent(stopId)}/arrivals?limit=40`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

export function stopPanel(id, board, { network, live, change, close }) {
  const stop = network.stops.get(id);
  const routes = [...(network.routesAt.get(id) ?? [])].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const title = el("header", {}, el("h3", {}, stop?.name || id), close());
  const chips = el("div", {}, routes.slice(0, 30).map((r) => [chip(network, r), " "]));
  if (!stop) return [title, el("p.quiet", {}, "There is no such stop in the feed in use.")];
  if (board === undefined) return [title, chips, el("p.quiet", {}, "Asking for arrivals…")];
  if (board === null) return [title, chips, el("p.quiet", {}, "Arrivals cannot be had right now.")];
  const now = live.now();
  const key = (row) => `${row.route_id}|${row.direction_id}|${row.headsign}`;
  const shown = new Set(board.data.map(key));
  const lines = board.service.filter((line) => !shown.has(key(line)));
  return [
    title,
    chips,
    board.alerts.length ? el("ul.notices", {}, board.alerts.slice(0, 5).map((a) => el("li", { title: a.description }, a.header))) : null,
    board.data.length ? el("table.arrivals", {},
      board.data.some((row) => row.arrival_p10 !== null) ? scale() : null,
      board.data.map((row) => arrival(row, now, network, change))) : null,
    lines.length ? el("ul.lines", {}, lines.map((line) => service(line, network))) : null,
    board.data.length || lines.length ? null : el("p.quiet", {}, "No bus is expected in what is known now."),
  ];
}

/** What the bars below are measured in. */
function scale() {
  return el("tr.scale", {}, el("td", {}), el("td", {}, el("div", { title: "The bar of a bus is where four in five come; the mark is the time told" },
    TICKS_MIN.map((m) => el("span", { style: `left:${(m / HORIZON_MIN) * 100}%` }, m === 0 ? "now" : m === HORIZON_MIN ? `${m} min` : m)))), el("td", {}));
}

function arrival(row, now, network, change) {
  const minutes = (t) => (t - now) / 60;
  const at = (t) => `${(Math.min(Math.max(minutes(t), 0), HORIZON_MIN) / HORIZON_MIN) * 100}%`;
  const bus = row.vehicle_id
    ? el("button.link", { type: "button", onclick: () => change({ vehicle: row.vehicle_id, stop: null }) }, row.vehicle_id)
    : null;
  const seen = row.vehicle_age_s === null || row.quality === "stale" ? null : `seen ${duration(row.vehicle_age_s)} ago`;
  const notes = [bus, seen, row.note].filter(Boolean).flatMap((part, i) => (i ? [" · ", part] : [part]));
  return el(`tr.${row.quality}`, { "data-trip": row.trip_id_performed ?? row.trip_id_scheduled },
    el("td", {}, chip(network, row.route_id)),
    el("td", {}, el("span.to", {}, towards(row, network)), el("small", {}, notes),
      row.arrival_p10 === null ? null
        : el("div.whisker", { role: "img", "aria-label": range(row), title: range(row) },
          el("i", { style: `left:${at(row.arrival_p10)};right:calc(100% - ${at(row.arrival_p90)})` }),
          el("b", { style: `left:${at(row.arrival_time)}` }))),
    el("td.minutes", {}, el("b", {}, row.words),
      el("small", {}, row.arrival_p10 === null ? `${minute(row.arrival_time)} planned` : `${minute(row.arrival_p10)}–${minute(row.arrival_p90)}`)));
}

const minute = (t) => clock(t).slice(0, 5);
const range = (row) => `Four in five come between ${minute(row.arrival_p10)} and ${minute(row.arrival_p90)}; told is ${minute(row.arrival_time)}`;

function service(line, network) {
  return el(`li.${line.state}`, {}, chip(network, line.route_id), el("span.to", {}, towards(line, network)), el("b", {}, line.words));
}

const towards = (of, network) => of.headsign || network.routes.get(of.route_id)?.long_name || "";
