// What needs attention, severest and newest first; a click shows where.
import { duration, el } from "../format.js";
import { SEVERITIES } from "../palette.js";

const RANK = { SEVERE: 0, WARNING: 1, INFO: 2 };

export function alerts(live, state, show) {
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
          el("small", {}, alert.description ?? ""),
          el("small", {}, `for ${duration(live.now() - alert.active_from)}`))))));
  if (focused) list.querySelector(`[data-alert="${CSS.escape(focused)}"]`)?.focus();
  document.getElementById("n-alerts").textContent = found.length;
  document.getElementById("no-alerts").hidden = found.length > 0;
}
