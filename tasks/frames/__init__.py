"""Virtual apertures summed to centred diffraction frames."""
