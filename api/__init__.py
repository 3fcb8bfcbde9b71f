"""The HTTP service: a view of the live network, fed by Kafka alone."""
