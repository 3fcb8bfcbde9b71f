// How much the picture may be trusted: is the line up, is the pipeline alive, how old is the data.
import { bandOf } from "../palette.js";
import { clock, duration } from "../format.js";

const LATE_S = 30;
const LOST_S = 120;

export function status(live) {
  const pill = document.getElementById("status");
  const text = document.getElementById("status-text");
  const told = live.known.status.get("koridor");
  // Ages grow between two status records: silence must show by itself.
  const since = told ? live.now() - told.at : 0;
  const data = told?.data_age_s === null || !told ? null : told.data_age_s + since;
  const pipeline = told?.pipeline_age_s === null || !told ? null : told.pipeline_age_s + since;
  let state = "live";
  let words = data === null ? "Live · no buses yet" : `Live · data ${duration(data)} old`;
  if (!live.connected) [state, words] = ["lost", told ? `No connection · data ${duration(data)} old` : "Connecting…"];
  else if (told?.loading) [state, words] = ["late", `Loading: ${told.loading}`];
  else if (pipeline !== null && pipeline > LATE_S) {
    [state, words] = [pipeline > LOST_S ? "lost" : "late", `Worker silent for ${duration(pipeline)} · data ${duration(data)} old`];
  } else if (data !== null && data > LATE_S) {
    [state, words] = [data > LOST_S ? "lost" : "late", `Data ${duration(data)} old`];
  }
  if (!live.connected && !told) state = "connecting";
  pill.dataset.state = state;
  if (text.textContent !== words) text.textContent = words;
  pill.title = "Median age of the buses' newest pings; amber above 30 s, red above 2 min";
  document.getElementById("clock").textContent = clock(live.now());
  let stale = 0;
  let bunched = 0;
  let gaps = 0;
  for (const v of live.known.vehicle.values()) {
    stale += v.stale;
    bunched += bandOf(v) === "bunched";
    gaps += bandOf(v) === "gap";
  }
  const figures = { "n-vehicles": live.known.vehicle.size, "n-stale": stale, "n-bunched": bunched, "n-gaps": gaps };
  for (const [id, n] of Object.entries(figures)) document.getElementById(id).textContent = told ? n : "–";
}
