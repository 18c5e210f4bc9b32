"""Positions that were not measured, filled for the pictures: a lost frame is neither vacuum nor the edge of a crystal.

Only pictures are filled. No electron is made: such positions are not good, belong to no aperture, and are never summed.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.apertures.factorise import Factors

SPREAD = 1.0
"""Standard deviation in positions of the mean that fills: the narrowest that reaches over a hole of 3 x 3, of which the
middle then rests on 0.17 of the full weight (the integral of the Gaussian beyond 1.5 on either axis, times two)."""
LEAST = 0.15
"""Of the full weight that the good positions around must have. A hole of 3 x 3 is filled, see `SPREAD`, wider ones
from their rim only: inside there, nothing is known."""


def fill_holes(factors: Factors, good: NDArray[np.bool_]) -> Factors:
    """Return the factors with the weights of positions that are not good, (ny, nx), as the good ones around have them.

    Positions with too few good ones around stay as they are; so does everything where all are good.
    """
    if good.all() or not good.any() or not factors.weights.shape[1]:
        return factors
    weight = ndimage.gaussian_filter(good.astype(np.float64), SPREAD)
    hole = ~good & (weight > LEAST)
    images = np.moveaxis(factors.weights.reshape(*good.shape, -1), -1, 0)
    around = ndimage.gaussian_filter(images * good, (0, SPREAD, SPREAD)) / np.maximum(weight, 1e-12)
    filled = np.where(hole, around, images)
    return factors._replace(weights=np.ascontiguousarray(np.moveaxis(filled, 0, -1)).reshape(factors.weights.shape))
