// The control room's map: network and live stream in, layers and panels out. Each part is a file of its own:
// layers/ draw on the map, panels/ beside it, state.js keeps what is looked at in the address.
import * as maplibre from "./vendor/maplibre-gl.mjs";
import { duration, el, setTimezone } from "./format.js";
import { Buses } from "./layers/buses.js";
import { addCells, setCells, showCells } from "./layers/cells.js";
import { addLines, setNetwork, showLines } from "./layers/lines.js";
import { addSegments, fetchSegments, segmentWords, setDetours, setSegments, showSegments } from "./layers/segments.js";
import { Live } from "./live.js";
import { loadNetwork } from "./network.js";
import { alerts } from "./panels/alerts.js";
import { busHits, findBuses, findStops, stopHits } from "./panels/finder.js";
import { fetchGroups } from "./panels/groups.js";
import { legend, showLayers } from "./panels/legend.js";
import { fetchIndicators, routeDetail, routeList } from "./panels/routes.js";
import { status } from "./panels/status.js";
import { fetchArrivals, stopPanel } from "./panels/stop.js";
import { vehiclePanel } from "./panels/vehicle.js";
import { fetchWhy, whyPanel } from "./panels/why.js";
import { change, onChange, state } from "./state.js";

const $ = (id) => document.getElementById(id);
const veil = $("veil");
let network = null;
let live = null;
let arrivals; // of the stop shown: undefined while asked for, null when they cannot be had
let indicators = [];
let groups = [];
let why = null; // of the bus asked about: null while asked for
let segmentsAt = 0; // when they were asked for, and of which route
let segmentsOf;

const map = new maplibre.Map({
  container: "map",
  style: { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": "#0a0f15" } }] },
  center: state.map ? [state.map[2], state.map[1]] : [106.82, -6.2],
  zoom: state.map ? state.map[0] : 11,
  minZoom: 7,
  maxZoom: 19,
  maxPitch: 0,
  dragRotate: false,
  pitchWithRotate: false,
  touchPitch: false,
  attributionControl: false,
  fadeDuration: 0,
});
map.touchZoomRotate.disableRotation();
map.keyboard.disableRotation();
map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
map.addControl(new maplibre.ScaleControl({ maxWidth: 110 }), "bottom-right");
const buses = new Buses(map, $("buses"), state);
const loaded = new Promise((resolve) => map.once("load", resolve));

function say(words) {
  veil.hidden = false;
  $("veil-text").textContent = words;
}

async function takeNetwork() {
  network = await loadNetwork(say);
  setTimezone(network.timezone);
  buses.network = network;
  await loaded;
  setNetwork(map, network);
  veil.hidden = true;
  document.title = `Koridor · ${network.timezone.split("/").at(-1).replaceAll("_", " ")}`;
}

async function start() {
  legend();
  await loaded;
  addLines(map);
  addCells(map);
  addSegments(map);
  map.moveLayer("routes-case", "stops");
  map.moveLayer("routes", "stops");
  await takeNetwork();
  let home = state.map === null; // nobody asked for a place: show where the buses are
  if (home) fit(network.bounds(state.route));
  live = new Live("v1/live");
  live.addEventListener("reset", () => {
    if (home && !state.route) fit(bulk([...live.known.vehicle.values()]));
    home = false;
    buses.clear();
    for (const [id, vehicle] of live.known.vehicle) buses.put(id, vehicle);
    later("cells", "alerts", "routes", "detail");
  });
  live.addEventListener("vehicle", ({ detail: { id, attributes } }) => {
    if (attributes) buses.put(id, attributes);
    else buses.remove(id);
    if (id === state.vehicle) later("detail");
    later("routes");
  });
  live.addEventListener("congestion", () => later("cells"));
  live.addEventListener("alert", () => later("alerts"));
  live.addEventListener("line", () => status(live));
  live.addEventListener("status", async ({ detail: { attributes } }) => {
    if (attributes.network && attributes.network !== network.hash) {
      await takeNetwork();
      live.connect();
    }
  });
  setInterval(() => status(live), 500);
  setInterval(ages, 1000);
  setInterval(refresh, 5000);
  wire();
  onChange(show);
  show();
  window.koridor = { map, buses, live, state }; // for tests and curious people
}

function fit(box) {
  if (box) map.fitBounds(box, { padding: 50, animate: false, maxZoom: 15 });
}

/** The box of most buses: one far out on a line to the next town must not make the city small. */
function bulk(vehicles) {
  if (vehicles.length < 20) return null;
  const quantile = (name, q) => vehicles.map((v) => v[name]).sort((a, b) => a - b)[Math.floor(q * (vehicles.length - 1))];
  return [quantile("lon", 0.03), quantile("lat", 0.03), quantile("lon", 0.97), quantile("lat", 0.97)];
}

// --- panels are drawn again at most a few times a second, however many records come

const drawn = {
  cells: [700, () => setCells(map, live.known.congestion, network.drivesOn)],
  alerts: [300, () => {
    alerts(live, state, network, showAlert);
    setDetours(map, live.known.alert, state.route);
  }],
  routes: [900, () => {
    routeList(network, live, state, change, $("search").value.trim());
    routeDetail(state.route, indicators, groups, network, live, change);
  }],
  detail: [200, detail],
};
const due = new Map();

function later(...names) {
  for (const name of names) {
    if (due.has(name)) continue;
    due.set(name, setTimeout(() => {
      due.delete(name);
      drawn[name][1]();
    }, drawn[name][0]));
  }
}

function at(name) {
  clearTimeout(due.get(name));
  due.delete(name);
  drawn[name][1]();
}

// --- what is looked at

let before = { route: null, vehicle: null, stop: null, why: null };

function show() {
  showLines(map, state);
  showCells(map, state);
  showSegments(map, state);
  showLayers();
  buses.wake();
  if (state.route !== before.route) {
    indicators = [];
    groups = [];
    if (state.route) {
      const box = network.bounds(state.route);
      if (box && before.shown) map.fitBounds(box, { padding: 60, maxZoom: 15, duration: 700 });
    }
    refresh();
    at("routes");
    at("alerts");
  }
  if (state.vehicle !== before.vehicle || state.stop !== before.stop) {
    arrivals = undefined;
    refresh();
    at("detail");
    if (before.shown) bringIntoView();
    if (innerWidth <= 980 && !state.why) open("alerts-panel", Boolean(state.vehicle || state.stop));
  }
  if (!before.shown) {
    at("routes");
    at("alerts");
  }
  if (state.why !== before.why) explain();
  segments();
  before = { route: state.route, vehicle: state.vehicle, stop: state.stop, why: state.why, shown: true };
}

function bringIntoView() {
  const v = state.vehicle && live.known.vehicle.get(state.vehicle);
  const place = v ?? (state.stop && network.stops.get(state.stop));
  if (!place) return;
  const inView = map.getBounds().contains([place.lon, place.lat]);
  if (!inView || map.getZoom() < 12.5) map.easeTo({ center: [place.lon, place.lat], zoom: Math.max(map.getZoom(), 14), duration: 600 });
}

/** Segments come by request, not by the stream: every quarter of a minute, while they are shown. */
async function segments() {
  const { route } = state;
  const wanted = state.layers.has("segments");
  if (!wanted || (route === segmentsOf && performance.now() - segmentsAt < 15_000)) return;
  [segmentsAt, segmentsOf] = [performance.now(), route];
  const found = await fetchSegments(route);
  if (found && route === state.route) setSegments(map, found, network.drivesOn);
}

async function explain() {
  const asked = state.why;
  why = null;
  const draw = () => {
    const box = $("why");
    box.hidden = !asked;
    const close = () => el("button.close", { type: "button", "aria-label": "Close", onclick: () => change({ why: null }) }, "×");
    box.replaceChildren(...(asked ? whyPanel(asked, why, network, close).filter(Boolean) : []));
  };
  draw();
  if (!asked) return;
  if (innerWidth <= 980) open("alerts-panel", false); // they would hide what was asked for
  $("why").focus();
  const found = await fetchWhy(asked);
  if (asked !== state.why) return;
  why = found;
  draw();
}

async function refresh() {
  const { stop, route } = state;
  segments();
  if (stop) {
    const found = await fetchArrivals(stop);
    if (stop === state.stop) {
      arrivals = found;
      at("detail");
    }
  }
  if (route) {
    const found = await Promise.all([fetchIndicators(route), fetchGroups(route)]);
    if (route === state.route) {
      [indicators, groups] = found;
      later("routes");
    }
  }
}

function detail() {
  const box = $("detail");
  const close = () => el("button.close", { type: "button", "aria-label": "Close", onclick: () => change({ vehicle: null, stop: null }) }, "×");
  const tools = { network, live, change, close };
  const hadFocus = box.contains(document.activeElement);
  box.hidden = !(state.vehicle || state.stop);
  if (state.vehicle) box.replaceChildren(...vehiclePanel(state.vehicle, live.known.vehicle.get(state.vehicle), tools).filter(Boolean));
  else if (state.stop) box.replaceChildren(...stopPanel(state.stop, arrivals, tools).filter(Boolean));
  if (hadFocus) box.focus();
}

/** Ages are counted on by the second, so that silence shows. */
function ages() {
  for (const node of document.querySelectorAll("[data-since]")) {
    node.textContent = duration(live.now() - Number(node.dataset.since));
  }
}

function showAlert(alert) {
  if (alert.lat !== null) map.easeTo({ center: [alert.lon, alert.lat], zoom: Math.max(map.getZoom(), 14), duration: 700 });
  if (alert.vehicle_id && live.known.vehicle.has(alert.vehicle_id)) change({ vehicle: alert.vehicle_id, stop: null });
  else if (alert.stop_id) change({ stop: alert.stop_id, vehicle: null });
  else if (alert.route_id) change({ route: alert.route_id });
}

// --- hands: mouse, touch, keys

function stopAt(point) {
  if (!state.layers.has("stops")) return null;
  const r = 9;
  const found = map.queryRenderedFeatures([[point.x - r, point.y - r], [point.x + r, point.y + r]], { layers: ["stops"] });
  return found[0]?.properties.stop_id ?? null;
}

function open(id, on) {
  $(id).classList.toggle("open", on);
  $(id === "routes-panel" ? "toggle-routes" : "toggle-alerts").setAttribute("aria-expanded", String(on));
}

function wire() {
  map.on("click", ({ point }) => {
    const bus = buses.at(point);
    const stop = bus ? null : stopAt(point);
    change({ vehicle: bus?.id ?? null, stop });
  });
  map.on("mousemove", ({ point }) => {
    const over = buses.at(point) || stopAt(point);
    map.getCanvas().style.cursor = over ? "pointer" : "";
    const segment = over || !state.layers.has("segments") ? null : map.queryRenderedFeatures([[point.x - 4, point.y - 4], [point.x + 4, point.y + 4]], { layers: ["segments"] })[0];
    const tip = $("tip");
    tip.hidden = !segment;
    if (segment) {
      tip.textContent = segmentWords(segment.properties, network);
      tip.style.left = `${Math.min(point.x + 14, map.getContainer().clientWidth - 260)}px`;
      tip.style.top = `${point.y + 14}px`;
    }
  });
  map.on("moveend", () => {
    const c = map.getCenter();
    change({ map: [map.getZoom(), c.lat, c.lng] });
  });
  onChange(({ map: place }) => {
    if (!place) return;
    const c = map.getCenter();
    const moved = Math.abs(c.lat - place[1]) + Math.abs(c.lng - place[2]) > 1e-4 || Math.abs(map.getZoom() - place[0]) > 0.02;
    if (moved && !map.isMoving()) map.jumpTo({ center: [place[2], place[1]], zoom: place[0] });
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      open("routes-panel", true);
      $("search").focus();
    }
    if (event.key === "Escape") {
      if (typing && $("search").value) {
        $("search").value = "";
        search();
      } else if (state.why) change({ why: null });
      else if (state.vehicle || state.stop) change({ vehicle: null, stop: null });
      else if (state.route) change({ route: null });
      open("routes-panel", false);
      open("alerts-panel", false);
    }
  });
  for (const [button, panel] of [["toggle-routes", "routes-panel"], ["toggle-alerts", "alerts-panel"]]) {
    $(button).addEventListener("click", () => open(panel, !$(panel).classList.contains("open")));
  }
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", async (event) => {
    if (event.key === "Enter" && (await search())) openBest();
  });
}

let asked = 0;
/** Show what the words find; whether that is still what is asked for. */
async function search() {
  const words = $("search").value.trim();
  at("routes");
  const turn = ++asked;
  $("bus-hits").replaceChildren(...busHits(findBuses(words, live), { network, change }));
  const stops = await findStops(words);
  if (turn !== asked) return false;
  $("stop-hits").replaceChildren(...stopHits(stops, { network, change }));
  return words.length > 0;
}

/** Open a route of exactly this name, else the first bus, the first stop, the first route. */
function openBest() {
  const words = $("search").value.trim().toLowerCase();
  const route = network.order.find((r) => r.name.toLowerCase() === words);
  if (route) return change({ route: route.route_id });
  for (const list of ["bus-hits", "stop-hits", "route-list"]) {
    const first = $(list).querySelector("button");
    if (first) return first.click();
  }
}

start();
