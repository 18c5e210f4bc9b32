"""Frames to merged intensities: spots, lattice, integration, scaling, statistics."""
