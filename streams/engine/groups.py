"""Route groups: routes that share a corridor and are one line of buses to those who wait there.

A group is of routes with their directions, for a street is driven one way. By default those are together that share
most of their stops with the longest of them; or the setting names the routes, and their directions find each other by
the stops they share. A group's headways are told at the gates where its routes run, each bus behind the last one of
any of them; what is planned is what all of them plan together.
"""

from collections.abc import Iterable

import numpy as np

from streams.engine.headways import Changes, Headways, State
from streams.engine.part import CityState, Facts, Observed
from streams.engine.silence import Heard
from streams.gtfs.network import Network
from streams.messages import Columns
from streams.settings import Settings, WrongSetting

Array = np.ndarray

AUTO = "auto"
SHARED = 0.7  # of the stops of the shorter of two routes: one corridor
LISTED_SHARED = 0.2  # the same for routes that a setting puts together: enough to tell their directions


class Groups:
    """The groups of a network: `of` the group of each route direction (-1 none), `members` their route directions."""

    def __init__(self, network: Network, text: str) -> None:
        """`text`: auto, routes as 1,1A;2,2A,2B, or empty for none. Raises WrongSetting."""
        stops = _stops(network)
        if text == AUTO:
            clusters = _clusters(stops, range(len(stops)), SHARED)
        else:
            clusters = []
            for routes in filter(None, (part.strip() for part in text.split(";"))):
                ids = [r.strip() for r in routes.split(",")]
                unknown = [r for r in ids if r not in network.route_ix]
                if unknown:
                    raise WrongSetting(
                        f"KORIDOR_CITY_ROUTE_GROUPS={text!r}: the feed has no route {', '.join(unknown)}; must "
                        f"be {AUTO}, empty, or route_ids such as 1,1A;2,2A,2B"
                    )
                chosen = np.isin(network.route_dir_route_ix, [network.route_ix[r] for r in ids])
                clusters += _clusters(stops, np.flatnonzero(chosen).tolist(), LISTED_SHARED)
        self.members = [sorted(c) for c in clusters if len(c) > 1]
        self.of: Array = np.full(len(stops), -1, dtype=np.int64)
        for g, members in enumerate(self.members):
            self.of[members] = g
        names = [network.route_ids[r] for r in network.route_dir_route_ix.tolist()]
        direction = network.route_dir_direction.tolist()
        said = [f"{r}:{d}" if d >= 0 else r for r, d in zip(names, direction, strict=True)]
        self.ids = ["+".join(said[m] for m in members) for members in self.members]


class GroupHeadways(Headways):
    """The part of the city that knows how far apart the buses of a group are."""

    name = "group_headways"

    def __init__(self, network: Network, settings: Settings) -> None:
        self.groups = Groups(network, settings.city.route_groups)
        super().__init__(network, settings)
        self._group_id = np.array([*self.groups.ids, None], dtype=object)

    def observe(self, city: CityState, facts: Facts) -> Observed:
        """Headway rows of the records' passings of grouped routes."""
        if not len(self.rings):
            return {}
        said = super().observe(city, facts)
        return {"group_headways": said["headways"]} if said else {}

    # --- inside

    def _owner(self) -> Array | None:
        return self.groups.of

    def _route_dir(self, city: CityState, ring: Array, run: Array) -> Array:
        found: Array = self.network.pattern_route_dir_ix[city.runs.pattern[run]]
        return found

    def _heard(self, city: CityState) -> Heard:
        other: State = city.parts[Headways.name]
        return other.heard

    def _spans(self, city: CityState, state: State, facts: Facts) -> list[tuple[int, Array]]:
        other: State = city.parts[Headways.name]  # it has heard of the records before
        return other.spans

    def _remember(self, state: State, city: CityState, c: Changes) -> None:
        """The newest headway of a vehicle is that of its own route."""

    def _columns(self, city: CityState, c: Changes) -> Columns:
        return {"route_group_id": self._group_id[self.rings.route_dir[c.ring]], **super()._columns(city, c)}


def _stops(network: Network) -> list[set[int]]:
    """The gates at which the patterns of each route direction stop."""
    pattern = np.repeat(np.arange(len(network.pattern_ids)), np.diff(network.pgate_start))
    at = np.flatnonzero(network.pgate_stop_pos >= 0)
    out: list[set[int]] = [set() for _ in network.route_dir_route_ix]
    owners = network.pattern_route_dir_ix[pattern[at]].tolist()
    for owner, gate in zip(owners, network.pgate_gate_ix[at].tolist(), strict=True):
        out[owner].add(gate)
    return out


def _clusters(stops: list[set[int]], among: Iterable[int], shared: float) -> list[list[int]]:
    """Route directions put together: each with the longest one of which it shares enough, if there is such."""
    out: list[list[int]] = []
    for r in sorted(among, key=lambda r: (-len(stops[r]), r)):
        best, most = None, shared
        for cluster in out:
            core = stops[cluster[0]]
            share = len(core & stops[r]) / max(min(len(core), len(stops[r])), 1)
            if share >= most and (best is None or share > most):
                best, most = cluster, share
        if best is None:
            out.append([r])
        else:
            best.append(r)
    return out
