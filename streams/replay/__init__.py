"""Recordings: played into Kafka, or run through the engine without it."""
