"""Arithmetic on arrays: no clock, no I/O, no strings."""
