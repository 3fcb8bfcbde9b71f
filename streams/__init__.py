"""From a GPS ping to headways, congestion and arrival estimates."""
