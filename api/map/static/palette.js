// What colours mean. Bands run from too close (magenta) over even (green) to too far (red-orange); they differ in
// lightness too, so that they can be told apart without seeing red and green.
export const BANDS = {
  bunched: { color: "#ff4fa3", label: "bunched" },
  close: { color: "#b98cff", label: "close" },
  even: { color: "#46c37b", label: "even" },
  wide: { color: "#ffc44d", label: "wide" },
  gap: { color: "#ff6b3d", label: "gap" },
  unknown: { color: "#8b9bab", label: "unknown" },
};
export const LEVELS = {
  RUNNING_SMOOTHLY: { color: "#2c8f7b", label: "smooth" },
  STOP_AND_GO: { color: "#e2c044", label: "stop and go" },
  CONGESTION: { color: "#ef7f2d", label: "congested" },
  SEVERE_CONGESTION: { color: "#e5303f", label: "severe" },
};
export const SEVERITIES = { SEVERE: "#ff5d5d", WARNING: "#ffb454", INFO: "#5fa8ff" };

export const bandOf = (vehicle) => (BANDS[vehicle.headway_band] ? vehicle.headway_band : "unknown");

function rgb(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}
const luminance = (hex) => {
  const [r, g, b] = rgb(hex).map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};

/** A route's colour, lifted where it would drown in the dark ground. */
export function routeColor(route) {
  let color = /^[0-9a-f]{6}$/i.test(route?.color ?? "") ? `#${route.color}` : "#6d8296";
  for (let i = 0; i < 8 && luminance(color) < 0.09; i++) {
    color = `#${rgb(color).map((v) => Math.round(v + (255 - v) * 0.18 + 4).toString(16).padStart(2, "0")).join("")}`;
  }
  return color;
}

/** Black or white, whichever is read better on `color`. */
export const inkOn = (color) => (luminance(color) > 0.3 ? "#0a0f15" : "#ffffff");
