"""Pings from outside: one file per format, each of them giving a `Recording` (recording.py)."""
