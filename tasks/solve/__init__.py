"""Intensities to a first structure."""
