"""A forward model of tilt series, for the demo and the tests."""
