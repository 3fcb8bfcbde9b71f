"""Against what a headway is judged: the timetable, a legal limit by class of route and time of day, or the last hour.

The legal preset is Jakarta's minimum service standard (Peraturan Gubernur DKI Jakarta 2/2024): a bus every 5 minutes in
the peak and every 10 outside it on busways, every 10 and 20 on other routes.
"""

import numpy as np

from streams.engine.hours import hours_of_week
from streams.engine.part import CityState
from streams.gtfs.network import Network
from streams.kernels import indicators as kernels
from streams.settings import Settings, WrongSetting

Array = np.ndarray

KINDS = {
    "timetable": "planned every",
    "legal": "at most allowed",
    "rolling": "in the hour before every",
}
LIMITS = {"pergub-2-2024": (300.0, 600.0, 600.0, 1200.0)}  # busway in and outside the peak, other routes in and outside
ROLLING_FROM_MIN, ROLLING_TO_MIN = 90, 30  # minutes before a passing: what was then is final now
ROLLING_LEAST = 5  # headways that make a mean


def legal_limits(text: str) -> tuple[float, float, float, float] | None:
    """The four limits of a setting, None without one; raises WrongSetting."""
    if not text:
        return None
    if text in LIMITS:
        return LIMITS[text]
    try:
        limits = tuple(float(v) for v in text.split(","))
    except ValueError:
        limits = ()
    if len(limits) != 4 or not min(limits) > 0:
        raise WrongSetting(
            f"KORIDOR_CITY_LEGAL_LIMITS={text!r}: must be one of {', '.join(LIMITS)} or four numbers of seconds: "
            "busway in and outside the peak, other routes in and outside it, for example 300,600,600,1200"
        )
    return limits


def peak_hours(text: str) -> Array:
    """Whether each hour of the week (168, Monday 00:00 first) is in the peak; raises WrongSetting."""
    peak = np.zeros((7, 24), dtype=np.bool_)
    try:
        for span in filter(None, text.split(",")):
            first, last = (int(v) for v in span.split("-"))
            if not 0 <= first < last <= 24:
                raise ValueError
            peak[:5, first:last] = True
    except ValueError:
        raise WrongSetting(
            f"KORIDOR_CITY_PEAK_HOURS={text!r}: must be spans of whole hours of a weekday, for example 6-9,16-20"
        ) from None
    return peak.reshape(-1)


class Targets:
    """The target of a network's headways."""

    def __init__(self, network: Network, settings: Settings) -> None:
        city = settings.city
        if city.headway_target not in KINDS:
            raise WrongSetting(
                f"KORIDOR_CITY_HEADWAY_TARGET={city.headway_target!r}: must be one of {', '.join(KINDS)}"
            )
        self.kind = city.headway_target
        self.limits = legal_limits(city.legal_limits)
        self.peak = peak_hours(city.peak_hours)
        if self.kind == "legal" and self.limits is None:
            raise WrongSetting(
                f"KORIDOR_CITY_HEADWAY_TARGET=legal needs KORIDOR_CITY_LEGAL_LIMITS, for example {next(iter(LIMITS))}"
            )
        self.timezone = network.timezone
        self.busway = network.route_busway[network.route_dir_route_ix]

    def limit_s(self, route_dir: Array, time: Array) -> Array:
        """The longest headway (s) that is allowed at each passing; NaN where no limit is set."""
        if self.limits is None or not len(time):
            return np.full(len(time), np.nan)
        peak = self.peak[hours_of_week(time, self.timezone)]
        limits = np.array(self.limits).reshape(2, 2)  # busway or not, peak or not
        found: Array = limits[np.where(self.busway[route_dir], 0, 1), np.where(peak, 0, 1)]
        return found

    def of(self, city: CityState, route_dir: Array, time: Array, planned_s: Array) -> Array:
        """The target (s) of each passing; NaN where there is none. Too little known of the last hour: the plan."""
        if self.kind == "legal":
            return self.limit_s(route_dir, time)
        if self.kind == "rolling" and "indicators" in city.parts:
            state = city.parts["indicators"]
            minute = (time // 60).astype(np.int64)
            mean = kernels.means(
                state.minute, state.sums, route_dir, minute - ROLLING_FROM_MIN, minute - ROLLING_TO_MIN, ROLLING_LEAST
            )
            return np.where(np.isnan(mean), planned_s, mean)
        return planned_s
