"""From mixture weights to masks: where a crystal is, and where it is alone."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PRESENT = 0.15
"""Share of a crystal's typical signal above which a position is taken to belong to it."""
TRACE = 0.05
"""Share of another crystal's typical signal that spoils a position."""


class Masks(NamedTuple):
    """Of one tilt, (k, ny, nx): where each crystal is, and the part of it that no other touches."""

    present: NDArray[np.bool_]
    clean: NDArray[np.bool_]


def masks_of(weights: NDArray[np.float64], scan_shape: tuple[int, int], *, good: NDArray[np.bool_]) -> Masks:
    """Decide from the electrons per position and crystal, (n_positions, k).

    A position belongs to a crystal if its pooled weight exceeds `PRESENT` of the crystal's typical weight; it is
    spoiled if the pooled weight of another exceeds `TRACE` of that one's typical weight and three standard
    deviations of the weights where that crystal is not. Thin bridges are cut by an opening; the largest connected
    part counts.
    """
    images = np.moveaxis(weights.reshape(*scan_shape, -1), -1, 0)
    present, trace = np.zeros(images.shape, dtype=bool), np.zeros(images.shape, dtype=bool)
    for index, image in enumerate(images):
        pooled = ndimage.gaussian_filter(image, 0.8)
        wide = ndimage.uniform_filter(image, 3)
        level = typical_weight(pooled)
        present[index] = largest_part(pooled > PRESENT * level)
        outside = wide[~ndimage.binary_dilation(pooled > TRACE * level, iterations=2)]
        floor = outside.mean() + 3.0 * outside.std() if outside.size > 20 else 0.0
        trace[index] = (wide > max(TRACE * level, floor)) & ndimage.binary_dilation(present[index], iterations=3)
    others = trace.sum(axis=0) - trace
    clean = present & (others == 0) & good
    return Masks(present, clean)


def typical_weight(image: NDArray[np.float64]) -> float:
    """Return the 90th percentile of the positions that hold the upper 90 % of the signal."""
    values = np.sort(image.ravel())[::-1]
    total = np.cumsum(values)
    count = int(np.searchsorted(total, 0.9 * total[-1])) + 1 if total[-1] > 0 else 1
    return float(np.percentile(values[:count], 90))


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part after cutting bridges thinner than three positions."""
    opened = ndimage.binary_opening(mask, ndimage.generate_binary_structure(2, 1))
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel())[1:]
    core = labels == 1 + int(np.argmax(sizes))
    return np.asarray(ndimage.binary_dilation(core) & mask)
