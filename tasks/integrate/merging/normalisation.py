"""Intensities over their mean at the same resolution."""

import numpy as np
from numpy.typing import NDArray

from tasks.model import ScienceError

MAX_BINS = 20
"""Chosen, not measured: as many as follow the fall of intensities over resolution; more follow its noise, fewer leave
ridges in E^2 between the centres of bins."""
MIN_PER_BIN = 40
"""By Wilson's statistics the mean of 40 acentric intensities is known to 1 / sqrt(40) = 16 %, of centric to 22 %."""


def normalised_intensities(intensity: NDArray[np.float64], d_star_sq: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factors (n,) by which to multiply intensities so that their mean is one at every resolution.

    The mean of equal-count bins of 1/d^2 (at least 40 reflections, at most 20 bins) is interpolated linearly; a bin
    whose mean is not positive takes the nearest positive one. The factor times the intensity is E^2 up to the
    symmetry enhancement of special reflections.

    Raises
    ------
    ScienceError
        If no bin has a positive mean.
    """
    order = np.argsort(d_star_sq, kind="stable")
    bins = np.array_split(order, int(np.clip(len(order) // MIN_PER_BIN, 1, MAX_BINS)))
    centre = np.array([d_star_sq[rows].mean() for rows in bins])
    mean = np.array([intensity[rows].mean() for rows in bins])
    usable = mean > 0
    if not np.any(usable):
        raise ScienceError(
            "the intensities are zero or negative on average at every resolution", "there is no diffraction in them"
        )
    expected = np.interp(d_star_sq, centre[usable], mean[usable])
    return np.asarray(1.0 / expected)
