"""Crystallography that more than one stage needs, written once."""
