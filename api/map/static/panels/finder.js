// What the words in the search box find beside routes: buses by their number, stops by their name.
import { duration, el } from "../format.js";
import { BANDS, bandOf } from "../palette.js";
import { chip } from "./vehicle.js";

const LEAST = 2; // letters
const MOST_BUSES = 8;
const MOST_STOPS = 30;

/** Buses on the map whose number or label holds the words; the shortest number first, so that a whole one leads. */
export function findBuses(words, live) {
  if (words.length < LEAST) return [];
  const wanted = words.toLowerCase();
  return [...live.known.vehicle]
    .filter(([id, v]) => id.toLowerCase().includes(wanted) || (v.label ?? "").toLowerCase().includes(wanted))
    .sort(([a], [b]) => a.length - b.length || a.localeCompare(b, "en", { numeric: true }))
    .slice(0, MOST_BUSES);
}

/** What `/v1/stops?q=` answers; nothing where the service does not: the status pill says that it is away. */
export async function findStops(words) {
  if (words.length < LEAST) return [];
  try {
    const answer = await fetch(`v1/stops?limit=${MOST_STOPS}&q=${encodeURIComponent(words)}`);
    return answer.ok ? (await answer.json()).data : [];
  } catch {
    return [];
  }
}

export function busHits(found, { network, change }) {
  return section("Buses", found.map(([id, v]) => el("button", { type: "button", "data-bus-hit": id, onclick: () => change({ vehicle: id, stop: null }) },
    chip(network, v.route_id),
    el("span.name", {}, v.label ?? id, el("small", {}, to(network.patterns.get(v.pattern_id), network))),
    el("span.tally", { title: BANDS[bandOf(v)].label }, v.headway_s === null ? "" : duration(v.headway_s),
      el("span.dots", { "aria-hidden": "true" }, el("i", { "--c": BANDS[bandOf(v)].color }))))));
}

export function stopHits(found, { network, change }) {
  return section("Stops", found.map((stop) => el("button", { type: "button", "data-stop": stop.stop_id, onclick: () => change({ stop: stop.stop_id, vehicle: null }) },
    stop.route_ids.length ? chip(network, stop.route_ids[0]) : el("span.chip", {}, "–"),
    el("span.name", {}, stop.name ?? stop.stop_id, el("small", {}, heading(network.headingsAt.get(stop.stop_id)))),
    el("span.tally", {}, stop.route_ids.length > 1 ? `+${stop.route_ids.length - 1}` : ""))));
}

const section = (title, buttons) => (buttons.length ? [el("li", {}, el("h2", {}, title)), ...buttons.map((button) => el("li", {}, button))] : []);
const to = (pattern, network) => (pattern ? `→ ${network.headsign(pattern)}` : "");

/** Platforms of one name differ in where their buses go. */
function heading(headings) {
  const [first, second, ...others] = [...(headings ?? [])];
  if (!first) return "";
  return `→ ${first}${second ? `, ${second}` : ""}${others.length ? ` and ${others.length} more` : ""}`;
}
