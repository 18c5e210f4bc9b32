"""From scattering vectors to a lattice: axis sense, bases, scores, a known cell, distortion."""
