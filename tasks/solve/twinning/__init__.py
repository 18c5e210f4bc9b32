"""Structures of twins by (pseudo-)merohedry: laws and Laue groups tried, models of two overlapping crystals."""
