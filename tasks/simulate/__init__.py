"""The forward model: a structure to a tilt series of electron-counted 4D-STEM scans with known truth."""
