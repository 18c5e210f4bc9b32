"""Which scan positions belong to which crystal, at every tilt."""
