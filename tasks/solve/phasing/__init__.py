"""Phases in P1: the problem, methods, seeded trials, figures of merit."""
