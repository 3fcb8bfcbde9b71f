"""Gates: directed places that every route driving through them passes."""

from dataclasses import dataclass

import h3
import numpy as np

from streams.gtfs.shapes import Shapes
from streams.kernels.laying import lay_gates

SAMPLE_M = 10.0
STOP_REUSE_M = 60.0  # shapes of two routes at one stop may be drawn this far apart
STOP_REUSE_COS = float(np.cos(np.radians(45.0)))

Array = np.ndarray


@dataclass(frozen=True)
class Gates:
    """Columns `gate_*`, `pgate_*` and `slot_*` of the network."""

    x: Array
    y: Array
    heading_deg: Array
    stop_ix: Array
    busway: Array
    start: Array
    gate_ix: Array
    dist_m: Array
    stop_pos: Array
    slot_ix: Array
    slot_gate_ix: Array
    slot_route_dir_ix: Array
    gate_slot_start: Array
    pstop_gate_seq: Array


def lay(
    shapes: Shapes,
    pattern_shape_ix: Array,
    pattern_busway: Array,
    pattern_route_dir_ix: Array,
    pstop_start: Array,
    pstop_stop_ix: Array,
    pstop_dist_m: Array,
) -> Gates:
    """All gates of a network, and every pattern's list of them."""
    pattern_of = np.repeat(np.arange(len(pattern_shape_ix), dtype=np.int32), np.diff(pstop_start))
    shape_of = pattern_shape_ix[pattern_of]
    px, py = shapes.place_at(shape_of, pstop_dist_m)
    phx, phy = shapes.heading_at(shape_of, pstop_dist_m)
    stop_gate, made = _stop_gates(pstop_stop_ix, pattern_busway[pattern_of], px, py, phx, phy)
    sample_start, sample_shape, sample_dist = shapes.samples(SAMPLE_M)
    sample = np.stack([*shapes.place_at(sample_shape, sample_dist), *shapes.heading_at(sample_shape, sample_dist)], 1)
    lane = pattern_busway.astype(np.int32)
    place, lanes, start, dist, rows = lay_gates(
        sample_start,
        sample,
        SAMPLE_M,
        pattern_shape_ix,
        lane,
        pstop_start,
        pstop_dist_m,
        stop_gate,
        np.stack([px, py, phx, phy], 1)[made],
        lane[pattern_of][made],
    )
    gate_ix, stop_pos = rows[:, 0].copy(), rows[:, 1].copy()
    gate_stop = np.full(len(place), -1, dtype=np.int32)
    gate_stop[: len(made)] = pstop_stop_ix[made]
    n_route_dirs = int(pattern_route_dir_ix.max()) + 1
    pgate_pattern = np.repeat(np.arange(len(pattern_shape_ix)), np.diff(start))
    slot_key, slot_ix = np.unique(
        gate_ix.astype(np.int64) * n_route_dirs + pattern_route_dir_ix[pgate_pattern], return_inverse=True
    )
    slot_gate = (slot_key // n_route_dirs).astype(np.int32)
    is_stop = stop_pos >= 0
    gate_seq = np.arange(len(gate_ix)) - start[pgate_pattern]
    return Gates(
        x=place[:, 0].copy(),
        y=place[:, 1].copy(),
        heading_deg=(np.degrees(np.arctan2(place[:, 2], place[:, 3])) % 360.0).astype(np.float32),
        stop_ix=gate_stop,
        busway=lanes == 1,
        start=start,
        gate_ix=gate_ix,
        dist_m=dist.copy(),
        stop_pos=stop_pos,
        slot_ix=slot_ix.astype(np.int32),
        slot_gate_ix=slot_gate,
        slot_route_dir_ix=(slot_key % n_route_dirs).astype(np.int32),
        gate_slot_start=np.searchsorted(slot_gate, np.arange(len(place) + 1)).astype(np.int32),
        # stops of a pattern keep their order in its list of gates, so the rows line up
        pstop_gate_seq=gate_seq[is_stop].astype(np.int32),
    )


def octant_of(heading_deg: Array) -> Array:
    """0 north (337.5 to 22.5 degrees), clockwise to 7 (i1)."""
    return (np.floor(heading_deg / 45.0 + 0.5).astype(np.int64) % 8).astype(np.int8)


def gate_ids(gates: Gates, stop_ids: list[str], lat: Array, lon: Array) -> list[str]:
    """Names that the same place keeps from feed to feed: `<stop_id>:<octant>`, else `<h3 res 12>:<octant>`.

    A `b` marks the busway lane; a further gate of the same name gets `.2`, `.3` in the network's order.
    """
    octants = octant_of(gates.heading_deg).tolist()
    lanes = np.where(gates.busway, "b", "").tolist()
    seen: dict[str, int] = {}
    out = []
    for stop, octant, lane, a, o in zip(
        gates.stop_ix.tolist(), octants, lanes, lat.tolist(), lon.tolist(), strict=True
    ):
        place = stop_ids[stop] if stop >= 0 else h3.latlng_to_cell(a, o, 12)
        name = f"{place}:{octant}{lane}"
        count = seen[name] = seen.get(name, 0) + 1
        out.append(name if count == 1 else f"{name}.{count}")
    return out


def _stop_gates(stop_ix: Array, busway: Array, x: Array, y: Array, hx: Array, hy: Array) -> tuple[Array, Array]:
    """Gate of each stop position, and the positions that made a gate, in gate order."""
    known: dict[tuple[int, bool], list[int]] = {}
    made: list[int] = []
    gate = np.empty(len(stop_ix), dtype=np.int32)
    columns = (stop_ix.tolist(), busway.tolist(), x.tolist(), y.tolist(), hx.tolist(), hy.tolist())
    _, _, xs, ys, hxs, hys = columns
    for i, (stop, lane, xi, yi, hxi, hyi) in enumerate(zip(*columns, strict=True)):
        candidates = known.setdefault((stop, lane), [])
        for g in candidates:
            m = made[g]
            near = (xs[m] - xi) ** 2 + (ys[m] - yi) ** 2 <= STOP_REUSE_M**2
            if near and hxs[m] * hxi + hys[m] * hyi >= STOP_REUSE_COS:
                gate[i] = g
                break
        else:
            gate[i] = len(made)
            candidates.append(len(made))
            made.append(i)
    return gate, np.array(made, dtype=np.int64)
