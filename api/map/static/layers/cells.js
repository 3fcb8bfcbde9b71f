// Congestion: of each hexagon the half on the side of the road where its heading is driven, so that the two
// directions of a street lie beside each other and make a ribbon.
import { LEVELS } from "../palette.js";

export function addCells(map) {
  map.addSource("cells", { type: "geojson", data: { type: "FeatureCollection", features: [] } });
  const color = ["match", ["get", "level"]];
  for (const [level, { color: shown }] of Object.entries(LEVELS)) color.push(level, shown);
  color.push("#44525f");
  // What flows is only hinted at; what does not must be seen from across the room.
  const smooth = ["==", ["get", "level"], "RUNNING_SMOOTHLY"];
  map.addLayer({
    id: "cells",
    type: "fill",
    source: "cells",
    paint: {
      "fill-color": color,
      "fill-opacity": ["*", ["case", smooth, 0.16, 0.5], ["case", ["get", "measured"], 1, 0.55]],
    },
  });
  map.addLayer({
    id: "cells-edge",
    type: "line",
    source: "cells",
    minzoom: 13,
    filter: ["!=", ["get", "level"], "RUNNING_SMOOTHLY"],
    paint: { "line-color": color, "line-width": 1, "line-opacity": 0.55 },
  });
}

export function showCells(map, state) {
  for (const id of ["cells", "cells-edge"]) {
    map.setLayoutProperty(id, "visibility", state.layers.has("congestion") ? "visible" : "none");
  }
}

export function setCells(map, cells, drivesOn) {
  const features = [];
  for (const cell of cells.values()) {
    const half = halfOf(cell.geometry.coordinates[0], cell.heading_octant, drivesOn);
    if (half.length < 4) continue;
    features.push({
      type: "Feature",
      geometry: { type: "Polygon", coordinates: [half] },
      properties: { level: cell.congestion_level, measured: cell.n_samples > 0 },
    });
  }
  map.getSource("cells").setData({ type: "FeatureCollection", features });
}

/** The part of a ring (first point = last) beside the line through its middle with this heading. */
export function halfOf(ring, octant, drivesOn) {
  const corners = ring.slice(0, -1);
  const lon0 = corners.reduce((sum, c) => sum + c[0], 0) / corners.length;
  const lat0 = corners.reduce((sum, c) => sum + c[1], 0) / corners.length;
  const narrow = Math.cos((lat0 * Math.PI) / 180);
  const angle = (octant * Math.PI) / 4;
  const side = drivesOn === "left" ? 1 : -1;
  // Positive left of the heading (sin, cos), for `left`.
  const depth = ([lon, lat]) => side * (Math.sin(angle) * (lat - lat0) - Math.cos(angle) * (lon - lon0) * narrow);
  const out = [];
  for (let i = 0; i < corners.length; i++) {
    const a = corners[i];
    const b = corners[(i + 1) % corners.length];
    const da = depth(a);
    const db = depth(b);
    if (da >= 0) out.push(a);
    if (da >= 0 !== db >= 0) {
      const t = da / (da - db);
      out.push([a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]);
    }
  }
  if (out.length) out.push(out[0]);
  return out;
}
