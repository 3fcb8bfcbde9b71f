"""A small correct feed as tables, to be spoilt one field at a time."""

import copy

from fixtures.feed import write_feed
from streams.gtfs.compile import compile_feed
from streams.gtfs.feed import Feed

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

TABLES = {
    "agency": [
        {"agency_id": "T", "agency_name": "Test", "agency_url": "https://x.invalid/", "agency_timezone": "Asia/Jakarta"}
    ],
    "routes": [{"route_id": "1", "agency_id": "T", "route_short_name": "1", "route_type": 3, "route_color": "aa00Ff"}],
    "stops": [
        {"stop_id": "A", "stop_name": "Alun", "stop_lat": -6.2, "stop_lon": 106.800},
        {"stop_id": "B", "stop_name": "Balai", "stop_lat": -6.2, "stop_lon": 106.805},
        {"stop_id": "C", "stop_name": "Cawang", "stop_lat": -6.2, "stop_lon": 106.810},
    ],
    "trips": [
        {"trip_id": "t", "route_id": "1", "service_id": "D", "direction_id": 0, "shape_id": "s", "trip_headsign": "C"}
    ],
    "stop_times": [
        {"trip_id": "t", "arrival_time": "05:00:00", "departure_time": "05:00:00", "stop_id": "A", "stop_sequence": 1},
        {"trip_id": "t", "arrival_time": "05:02:00", "departure_time": "05:02:20", "stop_id": "B", "stop_sequence": 2},
        {"trip_id": "t", "arrival_time": "05:04:00", "departure_time": "05:04:00", "stop_id": "C", "stop_sequence": 5},
    ],
    "shapes": [
        {"shape_id": "s", "shape_pt_lat": -6.2, "shape_pt_lon": 106.800, "shape_pt_sequence": 0},
        {"shape_id": "s", "shape_pt_lat": -6.2, "shape_pt_lon": 106.810, "shape_pt_sequence": 1},
    ],
    "frequencies": [
        {"trip_id": "t", "start_time": "05:00:00", "end_time": "29:00:00", "headway_secs": 600, "exact_times": 0}
    ],
    "calendar": [{"service_id": "D", **dict.fromkeys(DAYS, 1), "start_date": "20260101", "end_date": "20261231"}],
}


def tables():
    """A copy to change."""
    return copy.deepcopy(TABLES)


def compiled(folder, changed=None, name="feed"):
    """The network of these tables."""
    with Feed(write_feed(folder / name, changed or TABLES)) as feed:
        return compile_feed(feed)
