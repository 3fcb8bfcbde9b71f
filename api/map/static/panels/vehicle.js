// One bus: which route, how far behind the one ahead, how much of this is known.
import { clock, duration, el, fixed, kmh, percent } from "../format.js";
import { BANDS, LEVELS, bandOf, inkOn } from "../palette.js";
import { advice } from "./alerts.js";

const GO = { STOPPED_AT: "Standing at", INCOMING_AT: "Arriving at", IN_TRANSIT_TO: "On the way to" };

export function chip(network, routeId) {
  const route = network.routes.get(routeId);
  const color = route?.shown ?? "#4a5a69";
  return el("span.chip", { "--c": color, "--on": inkOn(color) }, route?.name ?? routeId ?? "?");
}

export function vehiclePanel(id, vehicle, { network, live, change, close }) {
  const title = el("header", {}, vehicle ? chip(network, vehicle.route_id) : null, el("h3", {}, vehicle?.label ?? id), close());
  if (!vehicle) return [title, el("p.quiet", {}, "No ping of this bus in the last ten minutes.")];
  const age = live.now() - vehicle.timestamp;
  const pattern = network.patterns.get(vehicle.pattern_id);
  const stop = network.stops.get(vehicle.stop_id);
  const band = bandOf(vehicle);
  const flags = [];
  if (vehicle.stale) flags.push(["stale", "#ff5d5d"]);
  const since = vehicle.phase_since ? ` since ${clock(vehicle.phase_since)}` : "";
  if (vehicle.off_route) flags.push([`off route${since}`, "#ffb454"]);
  if (vehicle.trip_type && vehicle.trip_type !== "In service") flags.push([vehicle.trip_type + since, "#5fa8ff"]);
  if (!vehicle.route_id) flags.push(["route undecided", "#ffb454"]);
  const fact = (name, value) => [el("dt", {}, name), el("dd", {}, value)];
  const leader = vehicle.leader_id
    ? el("button.link", { type: "button", onclick: () => change({ vehicle: vehicle.leader_id, stop: null }) }, vehicle.leader_id)
    : "–";
  const candidates = (vehicle.route_candidates ?? []).map((c) => `${network.routes.get(c.route_id)?.name ?? c.route_id ?? "none"} ${percent(c.probability)}`);
  return [
    title,
    flags.length ? el("div", {}, flags.map(([words, color]) => el("span.flag", { "--c": color }, words))) : null,
    pattern ? el("div.name", {}, `to ${network.headsign(pattern)}`) : null,
    stop ? el("div", {}, `${GO[vehicle.current_status] ?? "Next"} `, el("button.link", { type: "button", onclick: () => change({ stop: vehicle.stop_id, vehicle: null }) }, stop.name || vehicle.stop_id)) : null,
    gauge(vehicle, band),
    [...live.known.alert.values()].filter((a) => a.vehicle_id === id).map((a) => advice(a, network)),
    el("dl.facts", {},
      fact("Data age", el("span", { "data-since": vehicle.timestamp }, duration(age))),
      fact("Newest ping", clock(vehicle.timestamp)),
      fact("Bus ahead", leader),
      fact("Speed", kmh(vehicle.speed_mps ?? vehicle.reported_speed_mps)),
      fact("Traffic here", LEVELS[vehicle.congestion_level]?.label ?? "–"),
      fact("Route is certain", vehicle.match_probability === null ? "–" : percent(vehicle.match_probability)),
      candidates.length ? fact("Could be", candidates.join(", ")) : [],
      fact("Along the route", vehicle.dist_m === null ? "–" : `${fixed(vehicle.dist_m / 1000, 2)} km`),
      fact("From the line", vehicle.offset_m === null ? "–" : `${Math.round(vehicle.offset_m)} m`),
      vehicle.occupancy_status ? fact("Occupancy", vehicle.occupancy_status.toLowerCase().replaceAll("_", " ")) : [],
      fact("Run", vehicle.trip_id_performed ?? "–"),
      vehicle.trip_id_scheduled ? fact("Trip", `${vehicle.trip_id_scheduled}${vehicle.trip_reported ? "" : " (found, not reported)"}`) : []),
    el("button.link", { type: "button", onclick: () => change({ why: id }) }, "Why does Koridor say so?"),
  ].flat();
}

function gauge(vehicle, band) {
  if (vehicle.headway_s === null) return el("p.quiet.flush", {}, "No bus ahead is known yet.");
  const planned = vehicle.scheduled_headway_s;
  const ratio = vehicle.headway_ratio ?? (planned ? vehicle.headway_s / planned : null);
  const stops = ["bunched", "close", "even", "even", "wide", "gap"].map((name) => BANDS[name].color).join(", ");
  return el("div.gauge", {},
    el("div.headline", {}, duration(vehicle.headway_s), el("small", {}, ` behind · ${BANDS[band].label}`)),
    ratio === null ? null : el("div.gauge-track", { "--stops": stops, role: "img", "aria-label": `${percent(ratio)} of the planned headway` },
      el("span.gauge-pin", { style: `left:${Math.min(Math.max(ratio / 2, 0), 1) * 100}%` })),
    el("div.gauge-words", {}, el("span", {}, "on top of it"), el("span", {}, planned ? `planned ${duration(planned)}` : "no plan"), el("span", {}, "twice")));
}
