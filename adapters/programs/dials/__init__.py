"""DIALS: inputs, output and the engine."""
