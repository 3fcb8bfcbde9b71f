"""Route segments, stop to stop: what the directed cells of a street say of the way between two stops.

A segment is a link of the network, shared by every route that drives from one stop to the other alike. Its time is that
of its cells, metre by metre: of a cell that was driven through in the window what was measured there, of another what
the filter of its pace says now. `measured_share` tells how much of its length was measured.
"""

import numpy as np

from streams.gtfs.network import Network
from streams.kernels import cells as kernels
from streams.messages import Columns

Array = np.ndarray


class Segments:
    """The segments of a network, and the cells that they run through."""

    def __init__(self, network: Network, start: Array, cell: Array, metres: Array) -> None:
        """`start`, `cell`, `metres`: CSR by link, see congestion.LinkCells."""
        n = len(start) - 1
        self.link = np.repeat(np.arange(n), np.diff(start))
        self.start, self.cell, self.metres = start, cell, metres
        self.length_m = np.bincount(self.link, metres, n)
        stop_ids = np.array([*network.stop_ids, None], dtype=object)
        self._from, self._to = stop_ids[network.link_from_stop_ix], stop_ids[network.link_to_stop_ix]
        seen: dict[str, int] = {}
        names = []
        for a, b in zip(self._from.tolist(), self._to.tolist(), strict=True):
            seen[f"{a}>{b}"] = again = seen.get(f"{a}>{b}", 0) + 1
            names.append(f"{a}>{b}" if again == 1 else f"{a}>{b}#{again}")
        self._id = np.array([*names, None], dtype=object)
        at = np.flatnonzero(network.pstop_link_ix >= 0)
        first = np.zeros(n, dtype=np.int64)
        first[network.pstop_link_ix[at][::-1]] = at[::-1]  # where the first pattern drives it
        pattern = np.searchsorted(network.pstop_start, first, side="right") - 1
        self._pattern = np.array([*network.pattern_ids, None], dtype=object)[pattern]
        self._from_m = np.round(network.pstop_dist_m[first], 1)
        self._to_m = np.round(network.pstop_dist_m[np.minimum(first + 1, len(network.pstop_dist_m) - 1)], 1)

    def with_any(self, cells: Array) -> Array:
        """Segments (bool) of which some cell is among `cells` (bool by cell)."""
        return np.bincount(self.link, cells[self.cell], len(self.length_m)) > 0

    def columns(
        self, window: float, window_s: float, which: Array, pace: Array, free: Array, samples: Array, final: bool
    ) -> Columns:
        """Rows of the segments `which` (i8) in a window.

        pace, free  f8 s/m by cell: in this window, and when the road is free
        samples     i8 by cell: traversals in this window
        """
        seconds, free_s, measured, driven_m, delay_s = kernels.along(
            which, self.start, self.cell, self.metres, pace, free, samples
        )
        length = self.length_m[which]
        speed, free_mps = length / seconds, length / free_s
        m = len(which)
        return {
            "window_start": np.full(m, window),
            "window_s": np.full(m, int(window_s), dtype=np.int64),
            "segment_id": self._id[which],
            "from_stop_id": self._from[which],
            "to_stop_id": self._to[which],
            "pattern_id": self._pattern[which],
            "from_dist_m": self._from_m[which],
            "to_dist_m": self._to_m[which],
            "speed_mps": np.round(speed, 2),
            "free_flow_mps": np.round(free_mps, 2),
            "congestion_level": LEVELS[kernels.levels(speed, free_mps)],
            "running_s": np.round(seconds, 1),
            "delay_s": np.round(delay_s, 1),
            "n_samples": np.rint(driven_m / length).astype(np.int64),
            "measured_share": np.round(measured / length, 2),
            "final": np.full(m, final),
        }

    def warm_up(self) -> None:
        """Compile the kernel."""
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
        kernels.along(none, self.start, self.cell, self.metres, nothing, nothing, none)


LEVELS = np.array(
    [None, "RUNNING_SMOOTHLY", "STOP_AND_GO", "CONGESTION", "SEVERE_CONGESTION"], dtype=object
)  # by `kernels.levels`
