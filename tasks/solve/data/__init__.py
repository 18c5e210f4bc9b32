"""What the intensities are brought to before phasing: amplitudes, normalised, judged for trouble."""
