// What lies still: routes in their colours, stops as dots.

const EMPTY = { type: "FeatureCollection", features: [] };

export function addLines(map) {
  map.addSource("routes", { type: "geojson", data: EMPTY, tolerance: 0.2 });
  map.addSource("stops", { type: "geojson", data: EMPTY });
  // Directions are drawn side by side, each on the side of the road where it is driven.
  const offset = ["interpolate", ["linear"], ["zoom"], 11, 0, 15, ["*", 2.4, ["get", "side"]]];
  map.addLayer({
    id: "routes-case",
    type: "line",
    source: "routes",
    filter: ["literal", false],
    layout: { "line-cap": "round", "line-join": "round" },
    paint: {
      "line-color": "#e6edf3",
      "line-width": ["interpolate", ["linear"], ["zoom"], 10, 3.5, 15, 8],
      "line-offset": offset,
      "line-opacity": 0.25,
    },
  });
  map.addLayer({
    id: "routes",
    type: "line",
    source: "routes",
    layout: { "line-cap": "round", "line-join": "round" },
    paint: {
      "line-color": ["get", "color"],
      "line-width": ["interpolate", ["linear"], ["zoom"], 9, 0.8, 12, 1.8, 15, 3.6],
      "line-offset": offset,
      "line-opacity": 0.62,
    },
  });
  map.addLayer({
    id: "stops",
    type: "circle",
    source: "stops",
    minzoom: 12,
    paint: {
      "circle-radius": ["interpolate", ["linear"], ["zoom"], 12, 1.6, 14, 3.2, 17, 6],
      "circle-color": "#0a0f15",
      "circle-stroke-color": "#aebccb",
      "circle-stroke-width": ["interpolate", ["linear"], ["zoom"], 12, 0.8, 16, 2],
    },
  });
  map.addLayer({
    id: "stop-chosen",
    type: "circle",
    source: "stops",
    filter: ["literal", false],
    paint: {
      "circle-radius": 9,
      "circle-color": "rgba(90, 209, 196, 0.25)",
      "circle-stroke-color": "#5ad1c4",
      "circle-stroke-width": 2.5,
    },
  });
}

export function setNetwork(map, network) {
  const side = network.drivesOn === "left" ? -1 : 1;
  const features = [];
  for (const p of network.patterns.values()) {
    if (p.polyline.length < 2) continue;
    features.push({
      type: "Feature",
      geometry: { type: "LineString", coordinates: p.polyline },
      properties: { route_id: p.route_id, color: network.routes.get(p.route_id)?.shown ?? "#6d8296", side },
    });
  }
  map.getSource("routes").setData({ type: "FeatureCollection", features });
  const stops = [];
  for (const s of network.stops.values()) {
    const routes = [...(network.routesAt.get(s.stop_id) ?? [])];
    if (!routes.length) continue; // stations are reached through their stops
    stops.push({
      type: "Feature",
      geometry: { type: "Point", coordinates: [s.lon, s.lat] },
      properties: { stop_id: s.stop_id, routes: `|${routes.join("|")}|` },
    });
  }
  map.getSource("stops").setData({ type: "FeatureCollection", features: stops });
}

export function showLines(map, state) {
  const chosen = state.route;
  const visible = (name) => (state.layers.has(name) ? "visible" : "none");
  map.setLayoutProperty("routes", "visibility", visible("routes"));
  map.setLayoutProperty("routes-case", "visibility", visible("routes"));
  map.setLayoutProperty("stops", "visibility", visible("stops"));
  const mine = ["==", ["get", "route_id"], chosen ?? ""];
  map.setFilter("routes-case", chosen ? mine : ["literal", false]);
  map.setPaintProperty("routes", "line-opacity", chosen ? ["case", mine, 1, 0.13] : 0.62);
  const served = ["in", `|${chosen}|`, ["get", "routes"]];
  map.setPaintProperty("stops", "circle-opacity", chosen ? ["case", served, 1, 0.15] : 1);
  map.setPaintProperty("stops", "circle-stroke-opacity", chosen ? ["case", served, 1, 0.15] : 0.8);
  map.setLayerZoomRange("stops", chosen ? 10.5 : 12, 24);
  map.setFilter("stop-chosen", state.stop ? ["==", ["get", "stop_id"], state.stop] : ["literal", false]);
}
