// Every route with its buses as a row of bands; a chosen one with its figures and its ladder.
import { duration, el, fixed, percent, short } from "../format.js";
import { BANDS, bandOf } from "../palette.js";
import { groupsPanel } from "./groups.js";
import { chip } from "./vehicle.js";

const ORDER = ["bunched", "gap", "close", "wide", "even", "unknown"];

export function routeList(network, live, state, change, words) {
  const buses = new Map();
  for (const v of live.known.vehicle.values()) {
    if (v.route_id === null) continue;
    if (!buses.has(v.route_id)) buses.set(v.route_id, []);
    buses.get(v.route_id).push(bandOf(v));
  }
  const wanted = words.toLowerCase();
  const routes = network.order.filter((r) => !wanted || `${r.name} ${r.long_name ?? ""}`.toLowerCase().includes(wanted));
  // Routes with buses first: at night most of a feed sleeps.
  routes.sort((a, b) => (buses.has(b.route_id) ? 1 : 0) - (buses.has(a.route_id) ? 1 : 0));
  const list = document.getElementById("route-list");
  const focused = document.activeElement?.dataset?.route;
  list.replaceChildren(...routes.map((route) => {
    const bands = (buses.get(route.route_id) ?? []).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
    return el("li", {},
      el("button", {
        type: "button",
        "data-route": route.route_id,
        "aria-current": String(route.route_id === state.route),
        onclick: () => change({ route: route.route_id === state.route ? null : route.route_id }),
      },
      chip(network, route.route_id),
      el("span.name", { title: route.long_name }, route.long_name ?? ""),
      el("span.tally", {},
        el("span.dots", { "aria-hidden": "true" }, bands.slice(0, 7).map((band) => el("i", { "--c": BANDS[band].color }))),
        bands.length || "")));
  }));
  if (focused) list.querySelector(`[data-route="${CSS.escape(focused)}"]`)?.focus();
}

export async function fetchIndicators(routeId) {
  try {
    const answer = await fetch(`v1/routes/${encodeURIComponent(routeId)}/indicators`);
    return answer.ok ? (await answer.json()).data : [];
  } catch {
    return [];
  }
}

export function routeDetail(routeId, indicators, groups, network, live, change) {
  const box = document.getElementById("route-detail");
  const route = network.routes.get(routeId);
  box.hidden = !routeId;
  if (!routeId) return;
  const focused = document.activeElement?.dataset?.bus;
  const unfolded = new Set([...box.querySelectorAll("details[open]")].map((node) => node.dataset.group));
  const head = el("div.route-head", {}, chip(network, routeId), el("h3", {}, route?.long_name || "Not a route of this feed"),
    el("button.close", { type: "button", "aria-label": "Show all routes", onclick: () => change({ route: null }) }, "×"));
  box.replaceChildren(head, ...(indicators.length ? [measures(indicators, network)] : []),
    ...[groupsPanel(routeId, groups, network, change)].filter(Boolean), ladder(routeId, network, live, change));
  for (const node of box.querySelectorAll("details")) node.open = unfolded.has(node.dataset.group);
  if (focused) box.querySelector(`[data-bus="${CSS.escape(focused)}"]`)?.focus();
}

const FEW = 5; // headways on which no figure of a route should rest

function measures(indicators, network) {
  const directions = indicators.map((i) => {
    const pattern = network.mainPattern(i.route_id, i.direction_id);
    return pattern?.headsign || `direction ${i.direction_id ?? "–"}`;
  });
  const cell = (i, shown) => (i.n_headways < FEW ? el("td.few", { title: "of few headways: hardly to go by" }, shown) : el("td", {}, shown));
  const row = (name, show, title) => el("tr", { title }, el("td", {}, name), indicators.map((i) => cell(i, show(i))));
  return el("table.measures", {},
    el("tr", {}, el("th", {}), directions.map((d) => el("th", { title: d }, `→ ${d.length > 9 ? `${d.slice(0, 8)}…` : d}`))),
    row("Headway", (i) => short(i.headway_mean_s), "mean, min:s"),
    row("Planned", (i) => short(i.scheduled_headway_s), "min:s"),
    row("Headway CV", (i) => fixed(i.headway_cv, 2), "standard deviation of headways over their mean; 0 is even, 1 is random"),
    row("Excess wait", (i) => short(i.excess_wait_s), "mean wait beyond the planned one, min:s"),
    row("Bunched", (i) => percent(i.share_bunched)),
    row("Gaps", (i) => percent(i.share_gapped)),
    row("Headways seen", (i) => i.n_headways, "headways these figures rest on"));
}

/** The corridor as a ladder: stops as rungs, one rail per direction, buses where they are. */
function ladder(routeId, network, live, change) {
  const rails = network.directions(routeId).map((d) => ({ direction: d, pattern: network.mainPattern(routeId, d) })).filter((r) => r.pattern).slice(0, 2);
  if (!rails.length) return el("p.quiet", {}, "No shape is known.");
  const top = 22;
  const height = Math.max(220, Math.min(560, rails[0].pattern.stop_ids.length * 24));
  const width = 262;
  const svg = el("svg.ladder", { viewBox: `0 0 ${width} ${height + top + 16}`, role: "group", "aria-label": "Buses along the route" });
  const color = network.routes.get(routeId)?.shown ?? "#6d8296";
  rails.forEach(({ direction, pattern }, i) => {
    const x = rails.length === 1 ? width / 2 : i === 0 ? 52 : width - 52;
    const out = i === 0 ? -1 : 1;
    // The second direction is driven upward: a bus that turns at the end stays at the end.
    const y = (dist) => top + height * (i === 0 ? dist / pattern.length_m : 1 - dist / pattern.length_m);
    const end = i === 0 ? { x: 4, y: 10 } : { x: width - 4, y: height + top + 14, "text-anchor": "end" };
    svg.append(el("text", end, `${i === 0 ? "↓" : "↑"} ${(pattern.headsign || "").slice(0, 40)}`));
    svg.append(el("line.rail", { x1: x, x2: x, y1: top, y2: top + height, stroke: color }));
    const every = Math.max(1, Math.ceil(pattern.stop_ids.length / 26));
    pattern.stop_ids.forEach((id, k) => {
      const at = y(pattern.stop_dist_m[k]);
      svg.append(el("circle.tick", { cx: x, cy: at, r: 2.6 }));
      if (i === 0 && k % every === 0) {
        svg.append(el("text", { x: width / 2, y: at + 3, "text-anchor": "middle" }, (network.stops.get(id)?.name ?? "").slice(0, 20)));
      }
    });
    const labels = [];
    for (const [id, v] of live.known.vehicle) {
      if (v.route_id !== routeId || v.direction_id !== direction || v.dist_m === null) continue;
      const at = y(distOn(pattern, v, network));
      const room = labels.every((other) => Math.abs(other - at) > 10);
      if (room) labels.push(at);
      const band = BANDS[bandOf(v)].color;
      const choose = () => change({ vehicle: id, stop: null });
      svg.append(el("g.bus", {
        tabindex: 0,
        role: "button",
        "data-bus": id,
        "aria-label": `Bus ${v.label ?? id}, ${v.headway_s === null ? "headway unknown" : `${duration(v.headway_s)} behind`}, ${BANDS[bandOf(v)].label}${v.stale ? ", stale" : ""}`,
        onclick: choose,
        onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose()),
      },
      el("circle", { cx: x, cy: at, r: 6.5, fill: v.stale ? "#0f161e" : band, stroke: v.stale ? band : "#0f161e", "stroke-width": 2 }),
      el("text", { x: x + out * 11, y: at + 3.5, "text-anchor": out < 0 ? "end" : "start" }, room ? short(v.headway_s) : "")));
    }
  });
  return svg;
}

/** Where a bus is along the ladder's pattern; one of another variant is placed by its next stop. */
function distOn(pattern, vehicle, network) {
  const own = network.patterns.get(vehicle.pattern_id);
  if (!own || own === pattern) return Math.min(vehicle.dist_m, pattern.length_m);
  const here = pattern.stop_ids.indexOf(vehicle.stop_id);
  const there = own.stop_ids.indexOf(vehicle.stop_id);
  if (here < 0 || there < 0) return (vehicle.dist_m / own.length_m) * pattern.length_m;
  const dist = pattern.stop_dist_m[here] - (own.stop_dist_m[there] - vehicle.dist_m);
  return Math.min(Math.max(dist, 0), pattern.length_m);
}
