"""GTFS-Realtime out: VehiclePositions, TripUpdates and Alerts of the current view."""
