"""What the beam did to the crystal while its series was measured: its fall-off, and where to stop."""
