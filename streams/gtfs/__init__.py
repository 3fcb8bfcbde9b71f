"""The schedule, before any bus moves."""
