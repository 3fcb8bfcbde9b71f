// Routes that share a corridor are one line of buses to those who wait there: how far apart they come, whatever their route.
import { clock, duration, el, short } from "../format.js";
import { BANDS, bandOf } from "../palette.js";
import { chip } from "./vehicle.js";

const SHOWN = 8;

/** The groups that a route belongs to, each with its newest headways; none where the service does not answer. */
export async function fetchGroups(routeId) {
  try {
    const answer = await fetch("v1/groups");
    if (!answer.ok) return [];
    const mine = (await answer.json()).data.filter((group) => group.route_ids.includes(routeId));
    return await Promise.all(mine.slice(0, 4).map(async (group) => {
      const rows = await fetch(`v1/groups/${encodeURIComponent(group.route_group_id)}/headways`);
      return { ...group, headways: rows.ok ? (await rows.json()).data : [] };
    }));
  } catch {
    return [];
  }
}

export function groupsPanel(routeId, groups, network, change) {
  const told = groups.filter((group) => group.route_ids.length > 1 && group.headways.length);
  if (!told.length) return null;
  return el("section.groups", { "aria-label": "Shared corridors" }, told.map((group) => {
    const known = group.headways.map((row) => row.headway_s).filter((s) => s !== null).sort((a, b) => a - b);
    const middle = known.length ? known[Math.floor((known.length - 1) / 2)] : null;
    const own = group.headways.find((row) => row.route_id === routeId);
    const towards = own && network.mainPattern(routeId, own.direction_id)?.headsign;
    const others = group.route_ids.filter((id) => id !== routeId);
    return el("details", { "data-group": group.route_group_id },
      el("summary", {}, towards ? `→ ${towards}, with ` : "With ", others.map((id) => [chip(network, id), " "]),
        el("b", {}, middle === null ? "headway unknown" : `a bus every ${duration(middle)}`)),
      el("table.measures", {}, group.headways.slice(0, SHOWN).map((row) => el("tr", {},
        el("td", {}, clock(row.event_timestamp)),
        el("td", {}, chip(network, row.route_id)),
        el("td", {}, el("button.link", { type: "button", onclick: () => change({ vehicle: row.vehicle_id, stop: null }) }, row.vehicle_id)),
        el("td", {}, el("span.band", { "--c": BANDS[bandOf(row)].color }, short(row.headway_s)))))));
  }));
}
