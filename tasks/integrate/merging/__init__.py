"""Symmetry equivalents to unique intensities, and what their agreement says."""
