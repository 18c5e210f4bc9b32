"""Centring, Laue group and candidate space groups, from intensities."""
