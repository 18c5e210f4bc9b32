"""From mixture weights to masks: where a crystal is, and where it is alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from tasks.apertures.window import Window, window_of

SHARPNESS = ((0.0, 0.15), (0.5, 0.4), (0.8, 0.5), (1.2, 0.55), (2.0, 0.6))
"""Smoothing in positions, and the share of the typical weight from which on a position is inside."""
TRACE = 0.05
"""Share of another crystal's typical weight, in the mean of 3 x 3 positions, that spoils a position."""
MIN_OUTSIDE = 20
"""Positions away from a crystal that tell the noise of its image: its deviation is known to 1 / sqrt(40) = 16 %. With 5
`python -m tests.benchmarks.apertures weak --seeds 1` has one swap, with 20 and 100 none."""


class Masks(NamedTuple):
    """Of one tilt, (k, ny, nx).

    Where each crystal is; the part of it that no other touches; and all positions that diffract within its outline.
    """

    present: NDArray[np.bool_]
    clean: NDArray[np.bool_]
    whole: NDArray[np.bool_]


def masks_of(images: Sequence[NDArray[np.float64]], windows: Sequence[Window], *, good: NDArray[np.bool_]) -> Masks:
    """Decide from images (ny, nx) of the electrons of every crystal, each in the window that it was fitted in.

    Thin bridges are cut by an opening; the largest connected part of a crystal counts. A position is clean if no
    trace of another crystal is found in the 3 x 3 positions around it.
    """
    present, trace = np.zeros((2, len(images), *good.shape), dtype=bool)
    for index, (image, window) in enumerate(zip(images, windows, strict=True)):
        here = image[window.slices]
        if not here.size:
            continue
        mine = outline_of(here)
        near = ndimage.binary_dilation(mine, iterations=3)
        present[index][window.slices] = mine
        trace[index][window.slices] = _traces(here, near) & near
    touched = trace.sum(axis=0, dtype=np.uint16)
    anything = present.any(axis=0) & good
    whole = np.zeros_like(present)
    for one, hull in zip(present, whole, strict=True):
        if one.any():
            around = window_of(one).slices
            hull[around] = convex_hull_image(one[around]) & anything[around]
    return Masks(present, present & (touched - trace == 0) & good, whole)


def outline_of(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a crystal is by its image (ny, nx): one connected part, or nothing where all may be noise."""
    return largest_part(_inside(image))


def _inside(image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a crystal is: as sharp as the noise of its image allows.

    Smoothing blurs a sharp edge over the positions outside, by a share that the threshold must exceed; so the least
    smoothing is taken that brings the noise away from the crystal to a third of the threshold.
    """
    wide = ndimage.gaussian_filter(image, 2.0)
    away = ~ndimage.binary_dilation(wide > 0.25 * typical_weight(wide), iterations=3)
    for sigma, share in SHARPNESS:
        smooth = ndimage.gaussian_filter(image, sigma) if sigma else image
        level = typical_weight(ndimage.gaussian_filter(image, max(sigma, 0.8)))
        outside = smooth[away]
        floor = outside.mean() + 3.0 * outside.std() if outside.size > MIN_OUTSIDE else 0.0
        if floor <= share * level:
            return np.asarray(ndimage.median_filter(smooth > share * level, size=3))
    return np.zeros(image.shape, dtype=bool)


def _traces(image: NDArray[np.float64], near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where the mean of 3 x 3 positions exceeds `TRACE` of the typical weight and the noise away from it."""
    wide = ndimage.uniform_filter(image, 3)
    level = typical_weight(ndimage.gaussian_filter(image, 0.8))
    outside = wide[~near]
    floor = outside.mean() + 3.0 * outside.std() if outside.size > MIN_OUTSIDE else 0.0
    return np.asarray(wide > max(TRACE * level, floor))


def typical_weight(image: NDArray[np.float64]) -> float:
    """Return the weight above which the brightest positions hold 30 % of the signal.

    For a crystal of even thickness this is its weight per position; a weak haze over the field does not change it.
    """
    values = np.sort(image.ravel())[::-1]
    total = np.cumsum(values)
    return float(values[int(np.searchsorted(total, 0.3 * total[-1]))]) if total[-1] > 0 else 0.0


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part after cutting bridges thinner than three positions."""
    opened = ndimage.binary_opening(mask, ndimage.generate_binary_structure(2, 1))
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel())[1:]
    core = labels == 1 + int(np.argmax(sizes))
    return np.asarray(ndimage.binary_dilation(core) & mask)
