// Why the tracker says what it says of a bus: its last half hour, tracked once more, as a picture and ping by ping.
import { clock, duration, el, percent } from "../format.js";

const MINUTES = 30;
const SHOWN = 60; // pings, the newest first

/** {data} of `explain`, or {problem}: words on why there is none. */
export async function fetchWhy(vehicleId) {
  try {
    const answer = await fetch(`v1/vehicles/${encodeURIComponent(vehicleId)}/explain?minutes=${MINUTES}`);
    const body = await answer.json();
    return answer.ok ? { data: body.data, at: body.at } : { problem: body.detail };
  } catch {
    return { problem: "The service does not answer." };
  }
}

export function whyPanel(vehicleId, found, network, close) {
  const head = el("header", {}, el("h3", {}, `Why: bus ${vehicleId}`), close());
  if (!found) return [head, el("p.quiet.flush", {}, `Reading this bus's last ${MINUTES} minutes and tracking them once more. This takes some seconds…`)];
  if (found.problem) return [head, el("p.quiet.flush", {}, found.problem)];
  const way = (of) => (of.route_id === null ? "" : `${network.routes.get(of.route_id)?.name ?? of.route_id}${of.direction_id === null ? "" : ` · ${headed(of, network)}`}`);
  const pings = [...found.data.pings].reverse();
  return [
    head,
    el("p.quiet.flush", {}, "The way it drove, on the shapes of the routes that were believed; below, ping by ping from the newest, what was said and what was believed."),
    el("img.path", { src: `v1/vehicles/${encodeURIComponent(vehicleId)}/explain.svg?minutes=${MINUTES}`, alt: "The path of the bus on the shapes of the routes that were believed" }),
    el("table.why-pings", {},
      el("tr", {}, ["Time", "Reported", "Said", "Sure", "Believed"].map((name) => el("th", {}, name))),
      pings.slice(0, SHOWN).map((ping) => el(`tr${ping.said ? "" : ".rejected"}`, {},
        el("td", {}, clock(ping.timestamp)),
        el("td", {}, ping.reported.route_id ?? "–"),
        el("td", {}, ping.said ? `${ping.decision} ${way(ping.said)}` : ping.reason_text ?? ping.reason),
        el("td", {}, ping.said ? percent(ping.said.match_probability) : ""),
        el("td", {}, ping.hypotheses.slice(0, 3).filter((h) => h.probability >= 0.01)
          .map((h) => `${percent(h.probability)} ${h.phase} ${way(h)}`).join(", "))))),
    pings.length > SHOWN ? el("p.quiet.flush", {}, `and ${pings.length - SHOWN} before, back to ${duration(found.at - found.data.pings[0].timestamp)} ago`) : null,
  ];
}

function headed(of, network) {
  const pattern = network.patterns.get(of.pattern_id) ?? network.mainPattern(of.route_id, of.direction_id);
  return `to ${pattern?.headsign || network.stops.get(pattern?.stop_ids.at(-1))?.name || of.direction_id}`;
}
