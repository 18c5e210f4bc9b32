"""Pixels that always or never count, told from their neighbours. Bragg spots and beams are wider than one pixel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

HOT_RATIO = 6.0
"""Of the highest neighbour: a spot in the middle of a pixel does so only if its standard deviation is below 0.53 px."""
DEAD_RATIO = 0.1
"""Of the lowest neighbour; chosen, not measured."""
SIGNIFICANCE = 8.0
"""Standard deviations: by chance once in 10^15 pixels, which no series has."""
LEAST_COUNTS = 40.0
"""Of the neighbours: where 40 are expected, fewer than a tenth come by chance once in 10^13 pixels."""
NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
"""The eight pixels around one."""
MOST_FRACTION = 0.01
"""More bad pixels than this fraction are not bad pixels but another kind of image."""


def hot_pixels(groups: Sequence[NDArray[np.floating | np.integer]]) -> NDArray[np.bool_]:
    """Return the pixels, (slow, fast), that in every group of exposures count far more than all their neighbours.

    A pixel must exceed the highest of its eight neighbours 6 times and by 8 standard deviations of a count in every
    sum of `groups`; a reflection does so in none, because it is wider, and not in all, because it comes and goes.
    """
    found = np.ones(groups[0].shape, dtype=bool)
    for group in groups:
        counts = np.asarray(group, dtype=np.float64)
        beside = ndimage.maximum_filter(counts, footprint=NEIGHBOURS)
        found &= (counts > HOT_RATIO * beside) & (counts - beside > SIGNIFICANCE * np.sqrt(np.maximum(beside, 1.0)))
    return _few(found)


def dead_pixels(total: NDArray[np.floating | np.integer]) -> NDArray[np.bool_]:
    """Return the pixels, (slow, fast), that count less than a tenth of each neighbour, where those count enough."""
    counts = np.asarray(total, dtype=np.float64)
    beside = ndimage.minimum_filter(counts, footprint=NEIGHBOURS)
    return _few((beside > LEAST_COUNTS) & (counts < DEAD_RATIO * beside))


def _few(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return found if found.mean() <= MOST_FRACTION else np.zeros_like(found)
