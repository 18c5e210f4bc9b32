"""SHELX: inputs, output and the engines."""
