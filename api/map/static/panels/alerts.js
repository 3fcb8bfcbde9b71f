// What needs attention, severest and newest first; a click shows where.
import { duration, el } from "../format.js";
import { SEVERITIES } from "../palette.js";

const RANK = { SEVERE: 0, WARNING: 1, INFO: 2 };

/** Advice to hold a bus, if the alert gives any: where, for how long, and what waiting passengers win. */
export function advice(alert, network) {
  if (!alert.hold_stop_id) return null;
  const stop = network.stops.get(alert.hold_stop_id)?.name ?? alert.hold_stop_id;
  const change = alert.hold_wait_change_s;
  return el("span.advice", {}, el("b", {}, `Hold ${duration(alert.hold_s)} at ${stop}`),
    change === null ? null : ` · mean wait ${change < 0 ? "−" : "+"}${duration(Math.abs(change))}`);
}

export function alerts(live, state, network, show) {
  const found = [...live.known.alert.values()].filter((a) => !state.route || a.route_id === state.route);
  found.sort((a, b) => (RANK[a.severity] ?? 3) - (RANK[b.severity] ?? 3) || b.active_from - a.active_from);
  const list = document.getElementById("alert-list");
  const focused = document.activeElement?.dataset?.alert;
  list.replaceChildren(...found.slice(0, 200).map((alert) =>
    el("li", {},
      el("button", { type: "button", "data-alert": alert.alert_id, onclick: () => show(alert) },
        el("span.edge", { "--c": SEVERITIES[alert.severity] ?? SEVERITIES.INFO }),
        el("span", {},
          el("strong", {}, alert.header ?? alert.kind),
          el("small", {}, alert.hold_stop_id ? (alert.description ?? "").split(" Advice: ")[0] : alert.description ?? ""),
          advice(alert, network),
          el("small", {}, `for ${duration(live.now() - alert.active_from)}`))))));
  if (focused) list.querySelector(`[data-alert="${CSS.escape(focused)}"]`)?.focus();
  document.getElementById("n-alerts").textContent = found.length;
  document.getElementById("no-alerts").hidden = found.length > 0;
}
