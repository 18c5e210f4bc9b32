"""Where reflections lie: pixels and reciprocal space, predictions, least squares on positions."""
