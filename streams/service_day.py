"""The clock of a timetable: a service day's zero, and the date on the city's wall.

Times of a timetable are seconds after "noon minus 12 hours" of the service date in the agency's zone: midnight on most
days, an hour off it where the clocks change. They run past 24:00.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this IANA name; ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is not a time zone; write an IANA name such as Asia/Jakarta") from None


def day_start(day: date, zone: ZoneInfo) -> float:
    """POSIX second of "noon minus 12 hours" of a service date."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    return (noon.astimezone(UTC) - timedelta(hours=12)).timestamp()


def local_date(posix: float, zone: ZoneInfo) -> date:
    """The calendar date on the city's wall at that moment."""
    return datetime.fromtimestamp(posix, zone).date()
