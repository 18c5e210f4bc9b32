"""Intensities of predicted reflections on single frames: patches, learned profiles, fits, overlaps."""
