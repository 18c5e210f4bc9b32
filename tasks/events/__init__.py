"""The arithmetic of electron events: sums, virtual detectors, halves, and where the direct beam lies."""
