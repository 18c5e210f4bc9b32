"""The background of a counted frame: a clipped mean on rings, times a smooth local ratio; and how noisy it is."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_BACKGROUND = 1e-3
CLIP_DEVIATIONS = 3.5
CLIP_COUNTS = 2.0
BLOCK_PX = 8
MEDIAN_BLOCKS = 5
BOX_BLOCKS = 4
RATIO_PRIOR_COUNTS = 10.0
SPOT_DEVIATIONS = 10.0
LEAST_BOXES = 200
LEAST_FOR_MEDIAN = 4.0


def ring_background(image: Image, valid: Mask, radius: Floats) -> Image:
    """Return the background (slow, fast) in counts.

    Rings are one pixel wide. The ratio follows what is not round, such as a tilted halo or flares of the beam: first
    the median of blocks, where they hold enough counts to have one, then a clipped mean of a moving box of blocks.

    Parameters
    ----------
    image, valid
        (slow, fast).
    radius
        (slow, fast), distance from the beam in px.
    """
    level = _ring_level(image, valid, radius)
    everywhere = np.full(_block_shape(image.shape), np.inf)
    seen, model = _block_sums(image, valid, radius, level, everywhere)
    ratio = _median_ratio(seen, model)
    for _ in range(2):
        seen, model = _block_sums(image, valid, radius, level, ratio)
        size = BOX_BLOCKS + 1
        above = ndimage.uniform_filter(seen, size, mode="nearest") * size**2
        below = ndimage.uniform_filter(model * ratio, size, mode="nearest") * size**2
        # shrunk to one where few counts are there to tell the ratio
        ratio = ratio * np.clip((above + RATIO_PRIOR_COUNTS) / (below + RATIO_PRIOR_COUNTS), 0.5, 2.0)
    background: Image = _interpolated(radius, level, ratio)
    return background


def noise_factor(image: Image, valid: Mask, background: Image, box_px: int) -> float | None:
    """Return the variance of box sums over the background in units of Poisson's; None where too little is known.

    Above one if one electron leaves counts in several pixels, or if the gain is not what it is said to be.
    """
    area = box_px**2
    total = ndimage.uniform_filter(np.where(valid, image, 0.0), box_px) * area
    expected = ndimage.uniform_filter(np.where(valid, background, 0.0), box_px) * area
    deviation = (total - expected) / np.sqrt(np.maximum(expected, 1.0))
    spots = ndimage.maximum_filter(deviation > SPOT_DEVIATIONS, 2 * box_px + 1)
    whole = ndimage.uniform_filter(valid.astype(np.float64), box_px) > 0.999
    known = deviation[::box_px, ::box_px][(whole & ~spots & (expected > 4.0))[::box_px, ::box_px]]
    if len(known) < LEAST_BOXES:
        return None
    low, high = np.quantile(known, (0.25, 0.75))
    return float(((high - low) / 1.349) ** 2)


def _ring_level(image: Image, valid: Mask, radius: Floats) -> Floats:
    """Return the clipped mean (rings + 1,) of each ring, smoothed over three, filled where a ring has no pixels."""
    size = int(radius.max()) + 2
    limit = np.full(size, np.inf)
    level = np.zeros(size)
    for _ in range(3):
        number, total = _ring_sums(image, valid, radius, limit)
        known = np.flatnonzero(number > 8)
        mean = total / np.maximum(number, 1)
        filled = np.interp(np.arange(size), known, mean[known]) if len(known) else mean
        level = np.maximum(ndimage.uniform_filter1d(filled, 3), LEAST_BACKGROUND)
        limit = level + CLIP_DEVIATIONS * np.sqrt(level) + CLIP_COUNTS
    return level


def _median_ratio(seen: Floats, model: Floats) -> Floats:
    if model.max() < LEAST_FOR_MEDIAN:
        return np.ones(model.shape)
    ratio = ndimage.median_filter((seen + 0.5) / (model + 0.5), size=MEDIAN_BLOCKS, mode="nearest")
    # the median of few counts is not their mean: there the moving box must do
    share = np.clip((ndimage.uniform_filter(model, MEDIAN_BLOCKS) - LEAST_FOR_MEDIAN) / 4.0, 0.0, 1.0)
    return np.asarray(1.0 + share * (np.clip(ratio, 0.1, 10.0) - 1.0))


def _block_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    return -(-shape[0] // BLOCK_PX), -(-shape[1] // BLOCK_PX)


@njit(cache=True, nogil=True)
def _ring_sums(image: Image, valid: Mask, radius: Floats, limit: Floats) -> tuple[Floats, Floats]:  # pragma: no cover
    number = np.zeros(len(limit))
    total = np.zeros(len(limit))
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            ring = int(radius[row, column])
            if valid[row, column] and image[row, column] <= limit[ring]:
                number[ring] += 1.0
                total[ring] += image[row, column]
    return number, total


@njit(cache=True, nogil=True)
def _block_sums(
    image: Image, valid: Mask, radius: Floats, level: Floats, ratio: Floats
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Sum image and ring level over blocks, without pixels above the level times ``ratio`` (blocks, blocks)."""
    seen = np.zeros(ratio.shape)
    model = np.zeros(ratio.shape)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if not valid[row, column]:
                continue
            block = (row // BLOCK_PX, column // BLOCK_PX)
            expected = level[int(radius[row, column])]
            local = expected * ratio[block]
            if image[row, column] <= local + CLIP_DEVIATIONS * np.sqrt(local) + CLIP_COUNTS:
                seen[block] += image[row, column]
                model[block] += expected
    return seen, model


@njit(cache=True, nogil=True)
def _interpolated(radius: Floats, level: Floats, ratio: Floats) -> Image:  # pragma: no cover
    """Return level times ratio, the ratio interpolated between block centres, the level between rings."""
    result = np.empty(radius.shape, dtype=np.float32)
    last_row, last_column = ratio.shape[0] - 1, ratio.shape[1] - 1
    for row in range(radius.shape[0]):
        y = min(max((row + 0.5) / BLOCK_PX - 0.5, 0.0), float(last_row))
        top = min(int(y), max(last_row - 1, 0))
        bottom = min(top + 1, last_row)
        down = y - top
        for column in range(radius.shape[1]):
            x = min(max((column + 0.5) / BLOCK_PX - 0.5, 0.0), float(last_column))
            left = min(int(x), max(last_column - 1, 0))
            right = min(left + 1, last_column)
            across = x - left
            upper = ratio[top, left] * (1 - across) + ratio[top, right] * across
            lower = ratio[bottom, left] * (1 - across) + ratio[bottom, right] * across
            inner = max(radius[row, column] - 0.5, 0.0)
            ring = int(inner)
            part = inner - ring
            rings = level[ring] * (1 - part) + level[min(ring + 1, len(level) - 1)] * part
            result[row, column] = max(rings * (upper * (1 - down) + lower * down), LEAST_BACKGROUND)
    return result
