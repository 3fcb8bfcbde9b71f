"""A tracker's state under another network: what pattern ids tell is carried over, the rest begins anew."""

from collections.abc import Sequence

import numpy as np

from streams.gtfs.network import Network
from streams.kernels import matching, tracking


def carry_over(fleet: tracking.Fleet, vehicles: int, pattern_ids: Sequence[str], network: Network) -> None:
    """Forget the beams, keep the rings' watermarks, the count of runs and each vehicle's remembered route.

    Places along a pattern and gates may have moved, so that a beam is found again from the next ping on; a run under
    way ends, and what it passes next belongs to a new one. `pattern_ids` are those of the network before.
    """
    route_of = {}
    for old, name in enumerate(pattern_ids):
        new = network.pattern_ix.get(name)
        if new is not None:
            route_of[old] = int(network.pattern_route_ix[new])
    fi = fleet.state.fi
    for v in range(vehicles):
        head = fi[tracking.STATES * v + tracking.HEAD].copy()
        run = int(head[matching.RUN_PATTERN])
        for s in range(tracking.STATES * v, tracking.STATES * (v + 1)):
            fi[s] = -1
            fi[s, matching.N] = 0
            fi[s, matching.VOIDS] = fleet.tally[v, tracking.VOIDED]
            fi[s, matching.LAST_ROUTE] = route_of.get(run, -1)
            fi[s, matching.RUN_N] = head[matching.RUN_N]
            fi[s, matching.LAST_DAY] = head[matching.LAST_DAY]
        newest = fleet.clock[v, tracking.NEWEST]
        if np.isfinite(newest):
            fleet.clock[v, tracking.UNTIL] = newest + 0.99
        fleet.tally[v, tracking.RINGED] = 0
        fleet.tally[v, tracking.MIDDLE] = 0
        fleet.tally[v, tracking.JUDGED] = 0
        fleet.tally[v, tracking.TRAILED] = 0
