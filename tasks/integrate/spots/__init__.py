"""Spots on counted frames: background, maxima, significance."""
