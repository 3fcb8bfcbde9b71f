// Numbers and times as a dispatcher says them, and elements made without innerHTML: names come from feeds.

/** `el("b.big", {title: "x"}, "text", child, …)` */
export function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const svg = ["svg", "line", "circle", "text", "g", "path", "rect"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** 8 s, 2 min 05 s, 1 h 10 min */
export function duration(s) {
  if (s === null || s === undefined || Number.isNaN(s)) return "–";
  const t = Math.round(Math.abs(s));
  const sign = s < 0 && t > 0 ? "−" : "";
  if (t < 60) return `${sign}${t} s`;
  if (t < 3600) return `${sign}${Math.floor(t / 60)} min ${String(t % 60).padStart(2, "0")} s`;
  return `${sign}${Math.floor(t / 3600)} h ${String(Math.floor((t % 3600) / 60)).padStart(2, "0")} min`;
}

/** 2:05 for the ladder and the table of a route, where there is little room */
export function short(s) {
  if (s === null || s === undefined) return "–";
  const t = Math.round(Math.abs(s));
  return `${s < 0 && t > 0 ? "−" : ""}${Math.floor(t / 60)}:${String(t % 60).padStart(2, "0")}`;
}

export const percent = (x) => (x === null || x === undefined ? "–" : `${Math.round(x * 100)} %`);
export const fixed = (x, digits) => (x === null || x === undefined ? "–" : x.toFixed(digits));
export const kmh = (mps) => (mps === null || mps === undefined ? "–" : `${Math.round(mps * 3.6)} km/h`);

let clockFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
/** Times are told in the city's zone, wherever the reader sits. */
export function setTimezone(timeZone) {
  clockFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone });
}
export const clock = (s) => (s === null || s === undefined ? "–" : clockFormat.format(new Date(s * 1000)));
