"""Isotropic strain of every map cell, from how far its electrons lie off along the radius.

A lattice that is larger by e has its spots at radii smaller by e. The electrons of all cells, radial distance from
where the spot was predicted, are a profile: one normal density over an even floor (background, tails). An electron
counts with the score of that density for a shift, and a cell's strain is the sum of scores over their information.
Source: one-step estimate of a location, van der Vaart, Asymptotic Statistics (1998), section 5.7.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from tasks.model.arrays import Floats, Integers

FEWEST = 200
"""Electrons that make a profile: its width is known to 5 %. Chosen, not measured."""
WINDOW = 99.0
"""Percent of the distances within the window of the profile: single pixels of long tails make no shape. Chosen, not
measured."""


class Displacements(NamedTuple):
    """Electrons (n,): map ``cell``, ``radius`` of their spot, and how far ``off`` it they lie outwards, px."""

    cell: Integers
    radius: Floats
    off: Floats


class Profile(NamedTuple):
    """A normal density of ``sigma`` px about ``middle`` with the part ``even`` spread over ``+- window``."""

    middle: float
    sigma: float
    even: float
    window: float

    def score(self, off: Floats) -> Floats:
        """Return the derivative (n,) of the log density by an outward shift of the spot; zero outside the window."""
        centred = off - self.middle
        peak = (1 - self.even) * np.exp(-0.5 * (centred / self.sigma) ** 2) / (self.sigma * np.sqrt(2 * np.pi))
        share = peak / (peak + self.even / (2 * self.window))
        return np.where(np.abs(centred) <= self.window, share * centred / self.sigma**2, 0.0)


def profile_of(off: Floats) -> Profile:
    """Return the most likely profile of radial distances (n,)."""
    middle = float(np.median(off))
    window = float(np.percentile(np.abs(off - middle), WINDOW))
    inside = off[np.abs(off - middle) <= window]

    def unlikely(parameters: Floats) -> float:
        profile = Profile(float(parameters[0]), float(np.exp(parameters[1])), float(1 / (1 + np.exp(parameters[2]))), 0)
        z = (inside - profile.middle) / profile.sigma
        peak = (1 - profile.even) * np.exp(-0.5 * z**2) / (profile.sigma * np.sqrt(2 * np.pi))
        return -float(np.log(peak + profile.even / (2 * window)).mean())

    found = minimize(unlikely, np.array([middle, np.log(max(inside.std(), 0.1)), 1.0]), method="Nelder-Mead").x
    return Profile(float(found[0]), float(np.exp(found[1])), float(1 / (1 + np.exp(found[2]))), window)


def cell_strains(seen: Displacements, around: Integers, cells: int) -> tuple[Floats, Floats]:
    """Return the strain (cells,) against the crystal's mean and its sigma, NaN where no electron tells.

    Parameters
    ----------
    around
        (n, 2): pairs of a cell and one whose electrons count for it.
    """
    if len(seen.cell) < FEWEST:
        return np.full(cells, np.nan), np.full(cells, np.nan)
    profile = profile_of(seen.off)
    score = profile.score(seen.off)
    at = np.linspace(-profile.window, profile.window, 801) + profile.middle
    told = float(np.mean(profile.score(seen.off) ** 2))
    bend = np.gradient(profile.score(at), at)
    answer = float(np.mean(np.interp(seen.off, at, bend)))  # mean change of the score when the spot moves
    lever = -seen.radius  # a larger lattice moves its spots inwards
    parts = (lever * score, lever**2 * answer, lever**2 * told)
    own = [np.bincount(seen.cell, weights=part, minlength=cells) for part in parts]
    sums = [np.bincount(around[:, 0], weights=one[around[:, 1]], minlength=cells) for one in own]
    known = sums[1] > 0
    strain, sigma = np.full(cells, np.nan), np.full(cells, np.nan)
    strain[known] = sums[0][known] / sums[1][known]
    sigma[known] = np.sqrt(sums[2][known]) / sums[1][known]
    return strain - np.average(strain[known], weights=sigma[known] ** -2.0), sigma
