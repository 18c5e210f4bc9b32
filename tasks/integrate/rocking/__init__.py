"""How much of a reflection each tilt sees, and intensities on one scale over all tilts."""
