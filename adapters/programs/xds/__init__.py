"""XDS: inputs, output and the engine."""
