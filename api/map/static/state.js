// What is looked at, kept in the address, so that a view can be sent to a colleague.

export const LAYERS = ["routes", "stops", "congestion", "segments", "buses"];
const FIRST = LAYERS.filter((name) => name !== "segments"); // cells and segments say the same of a street
const listeners = [];
export const state = { map: null, route: null, vehicle: null, stop: null, layers: new Set(FIRST), why: null };

/** Change some of the state; those who listen are told once. */
export function change(part) {
  const before = write();
  Object.assign(state, part);
  const after = write();
  if (before === after) return;
  history.replaceState(null, "", `#${after}`);
  tell();
}

export function onChange(listener) {
  listeners.push(listener);
}

export function read() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const place = (asked.get("map") ?? "").split("/").map(Number);
  state.map = place.length === 3 && place.every(Number.isFinite) ? place : null;
  state.route = asked.get("route");
  state.vehicle = asked.get("vehicle");
  state.stop = asked.get("stop");
  const layers = asked.get("layers");
  state.why = asked.get("why");
  state.layers = new Set(layers === null ? FIRST : layers.split(",").filter((name) => LAYERS.includes(name)));
}

function write() {
  const said = new URLSearchParams();
  if (state.map) said.set("map", `${state.map[0].toFixed(2)}/${state.map[1].toFixed(5)}/${state.map[2].toFixed(5)}`);
  for (const name of ["route", "vehicle", "stop", "why"]) if (state[name]) said.set(name, state[name]);
  if (LAYERS.some((name) => state.layers.has(name) !== FIRST.includes(name))) said.set("layers", LAYERS.filter((name) => state.layers.has(name)).join(","));
  return said.toString().replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%3A", ":");
}

function tell() {
  for (const listener of listeners) listener(state);
}

addEventListener("hashchange", () => {
  read();
  tell();
});
read();
