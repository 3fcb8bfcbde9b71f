// What the colours mean, and which layers are shown.
import { el } from "../format.js";
import { BANDS, LEVELS } from "../palette.js";
import { LAYERS, change, state } from "../state.js";

const NAMES = { routes: "Routes", stops: "Stops", congestion: "Congestion", segments: "Segments", buses: "Buses" };

export function legend() {
  const key = (kind, color, label) => el("span.key", {}, el(`i${kind}`, { "--c": color, "aria-hidden": "true" }), label);
  document.getElementById("legend").replaceChildren(
    el("div.legend-row", {}, el("b", {}, "Headway"),
      Object.values(BANDS).map(({ color, label }) => key("", color, label)), key(".hollow", BANDS.unknown.color, "stale")),
    el("div.legend-row", {}, el("b", {}, "Traffic"), Object.values(LEVELS).map(({ color, label }) => key(".bar", color, label))),
  );
  const buttons = LAYERS.map((name) =>
    el("button", {
      type: "button",
      "data-layer": name,
      onclick: () => {
        const layers = new Set(state.layers);
        if (!layers.delete(name)) layers.add(name);
        change({ layers });
      },
    }, NAMES[name]));
  document.getElementById("layers").replaceChildren(...buttons);
}

export function showLayers() {
  for (const button of document.querySelectorAll("[data-layer]")) {
    button.setAttribute("aria-pressed", String(state.layers.has(button.dataset.layer)));
  }
}
