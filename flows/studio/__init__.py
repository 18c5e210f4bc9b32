"""The aperture studio: draw, look, correct and approve in a browser."""
