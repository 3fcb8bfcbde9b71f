// Segments: the way from one stop to the next in the colour of its traffic, thick where it is slow; detours beside them.
import { decode } from "../network.js";
import { LEVELS } from "../palette.js";

const EMPTY = { type: "FeatureCollection", features: [] };

export function addSegments(map) {
  map.addSource("segments", { type: "geojson", data: EMPTY });
  map.addSource("detours", { type: "geojson", data: EMPTY });
  const color = ["match", ["get", "congestion_level"]];
  for (const [level, { color: shown }] of Object.entries(LEVELS)) color.push(level, shown);
  color.push("#44525f");
  const side = ["get", "side"];
  map.addLayer({
    id: "segments",
    type: "line",
    source: "segments",
    layout: { "line-cap": "butt", "line-join": "round" },
    paint: {
      "line-color": color,
      "line-width": ["interpolate", ["linear"], ["zoom"], 10, 1.5, 15, 6],
      "line-offset": ["interpolate", ["linear"], ["zoom"], 11, 0, 15, ["*", 4, side]],
      "line-opacity": ["case", [">", ["get", "measured_share"], 0.3], 0.95, 0.4],
    },
  });
  map.addLayer({
    id: "detours",
    type: "line",
    source: "detours",
    layout: { "line-cap": "round", "line-join": "round" },
    paint: {
      "line-color": "#ffb454",
      "line-width": ["interpolate", ["linear"], ["zoom"], 10, 2.5, 15, 5],
      "line-dasharray": [1.2, 1.8],
    },
  });
}

/** GeoJSON of what the service says of the segments of a route (or all); null where it does not answer. */
export async function fetchSegments(route) {
  try {
    const answer = await fetch(route ? `v1/segments?route_id=${encodeURIComponent(route)}` : "v1/segments");
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

export function setSegments(map, found, drivesOn) {
  const side = drivesOn === "left" ? -1 : 1;
  for (const feature of found.features) feature.properties.side = side;
  map.getSource("segments").setData(found);
}

/** The ways that buses drive round a closed stretch, as they were learned from those that did. */
export function setDetours(map, alerts, chosen) {
  const features = [];
  for (const alert of alerts.values()) {
    if (!alert.path || (chosen && alert.route_id !== chosen)) continue;
    features.push({ type: "Feature", geometry: { type: "LineString", coordinates: decode(alert.path) }, properties: { alert_id: alert.alert_id } });
  }
  map.getSource("detours").setData({ type: "FeatureCollection", features });
}

export function showSegments(map, state) {
  map.setLayoutProperty("segments", "visibility", state.layers.has("segments") ? "visible" : "none");
}

/** What a segment under the pointer says, in words. */
export function segmentWords(properties, network) {
  const name = (id) => network.stops.get(id)?.name ?? id;
  const speed = properties.speed_mps === null || properties.speed_mps === undefined ? null : Math.round(properties.speed_mps * 3.6);
  const free = properties.free_flow_mps === null || properties.free_flow_mps === undefined ? null : Math.round(properties.free_flow_mps * 3.6);
  const pace = speed === null ? "speed unknown" : `${speed} km/h${free === null ? "" : ` of ${free}`}`;
  const seen = `${Math.round((properties.measured_share ?? 0) * 100)} % of it measured`;
  return `${name(properties.from_stop_id)} → ${name(properties.to_stop_id)}: ${pace}, ${seen}`;
}
