"""The background of a counted frame: a clipped mean on rings, times a smooth local ratio; and how noisy it is."""

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import ndimage

from tasks.model.arrays import Floats, Image, Integers, Mask

LEAST_BACKGROUND = 1e-3
"""Counts per pixel; keeps logarithms and ratios finite where nothing was counted. A disc of 20 pixels then holds 0.02,
the least that `find_spots` takes for expected."""
CLIP_DEVIATIONS, CLIP_COUNTS = 3.5, 2.0
"""Pixels above the level by so many Poisson deviations, plus so many counts, are spots. The clipped mean of Poisson
counts is then low by 0.1 % at most from 0.02 to 50 counts; without the added counts by 1.5 % at 1, and zero at 0.05."""
BLOCK_PX = 8
"""Edge of the blocks on which the local ratio is known: wider than most spots, narrower than a flare of the beam. Was 4
until the blocks were summed in compiled kernels; chosen, not measured."""
MEDIAN_BLOCKS, BOX_BLOCKS = 5, 4
"""Windows of the local ratio, 5 blocks or 40 px each (the box is one block wider than it says). Chosen, not measured: a
median of 25 bears 12 blocks with spots; a wider window misses flares. 3 to 9 and 2 to 8 pass test_spots.py."""
RATIO_PRIOR_COUNTS = 10.0
"""Counts with which the ratio of a box is drawn to one: as many leave a Poisson error of 32 % on it. Chosen, not
measured: 1 and 100 pass tests/unit/integrate/spots too."""
SPOT_DEVIATIONS = 10.0
"""Poisson deviations at which a box holds a spot, not noise: six of its own deviations where one electron leaves three
counts (variance 2.5 in a box of 5 px). At 4 the noise itself is cut: test_spots.py fails; it was 6 once."""
LEAST_BOXES = 200
"""Boxes from whose quartiles a variance is known to 16 % (drawn from a normal distribution), the median of ten frames
to 6 %: less than NOISE_FACTOR_LEAST."""
LEAST_FOR_MEDIAN = 4.0
"""Counts in a block from which medians count, in full from twice as many: the median of 25 Poisson blocks lies 3 %
below their mean at 4 counts, 2 % at 8, and 6 % at 1 (drawn). Below, the moving box must do."""


class _Survey(NamedTuple):
    """Sums over valid pixels, with the pixels that clipping may take out of them.

    ``number`` and ``total`` (rings,), ``seen`` (blocks, blocks); ``place`` (k, 2) and ``value`` (k,) of the pixels
    above CLIP_COUNTS: no other ever lies above a limit.
    """

    number: Floats
    total: Floats
    seen: Floats
    place: Integers
    value: Floats


def ring_background(image: Image, valid: Mask, radius: Floats | Image) -> Image:
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
    rings = int(radius.max()) + 2
    survey = _Survey(*_surveyed(image, valid, radius, rings))
    at = survey.place[:, 0], survey.place[:, 1]
    ring = radius[at].astype(np.int64)
    level = _ring_level(survey, ring)
    whole = _level_sums(valid, radius, level)
    block = at[0] // BLOCK_PX, at[1] // BLOCK_PX
    ratio = _median_ratio(survey.seen, whole)
    for _ in range(2):
        seen, model = survey.seen.copy(), whole.copy()
        _take_out(seen, model, block, survey.value, level[ring], ratio)
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


def _ring_level(survey: _Survey, ring: Integers) -> Floats:
    """Return the clipped mean (rings,) of each ring, smoothed over three, filled where a ring has no pixels.

    Parameters
    ----------
    ring
        (k,) of the bright pixels.
    """
    size = len(survey.number)
    limit = np.full(size, np.inf)
    level = np.zeros(size)
    for _ in range(3):
        out = survey.value > limit[ring]
        number = survey.number - np.bincount(ring[out], minlength=size)
        total = survey.total - np.bincount(ring[out], weights=survey.value[out], minlength=size)
        known = np.flatnonzero(number > 8)
        mean = total / np.maximum(number, 1)
        filled = np.interp(np.arange(size), known, mean[known]) if len(known) else mean
        level = np.maximum(ndimage.uniform_filter1d(filled, 3), LEAST_BACKGROUND)
        limit = level + CLIP_DEVIATIONS * np.sqrt(level) + CLIP_COUNTS
    return level


def _take_out(
    seen: Floats, model: Floats, block: tuple[Integers, Integers], value: Floats, expected: Floats, ratio: Floats
) -> None:
    """Take the pixels above the level times ``ratio`` out of sums over blocks, in place."""
    local = expected * ratio[block]
    out = value > local + CLIP_DEVIATIONS * np.sqrt(local) + CLIP_COUNTS
    at = block[0][out], block[1][out]
    np.subtract.at(seen, at, value[out])
    np.subtract.at(model, at, expected[out])


def _median_ratio(seen: Floats, model: Floats) -> Floats:
    mean = ndimage.uniform_filter(model, MEDIAN_BLOCKS)
    # the median of few counts is not their mean: there the moving box must do
    share = np.clip((mean - LEAST_FOR_MEDIAN) / 4.0, 0.0, 1.0)
    result = np.ones(model.shape)
    rows, columns = np.nonzero(share > 0)
    if not len(rows):
        return result
    reach = MEDIAN_BLOCKS // 2
    padded = np.pad((seen + 0.5) / (model + 0.5), reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (MEDIAN_BLOCKS, MEDIAN_BLOCKS))[rows, columns]
    ratio = np.median(windows.reshape(len(rows), -1), axis=1)
    result[rows, columns] += share[rows, columns] * (np.clip(ratio, 0.1, 10.0) - 1.0)
    return result


@njit(cache=True, nogil=True)
def _surveyed(
    image: Image, valid: Mask, radius: Image, rings: int
) -> tuple[Floats, Floats, Floats, Integers, Floats]:  # pragma: no cover
    """Return the columns of `_Survey`."""
    number, total = np.zeros(rings), np.zeros(rings)
    seen = np.zeros((-(-image.shape[0] // BLOCK_PX), -(-image.shape[1] // BLOCK_PX)))
    place = np.empty((image.size, 2), dtype=np.int64)
    bright = 0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            if not valid[row, column]:
                continue
            value = image[row, column]
            ring = int(radius[row, column])
            number[ring] += 1.0
            if value == 0:
                continue
            total[ring] += value
            seen[row // BLOCK_PX, column // BLOCK_PX] += value
            if value > CLIP_COUNTS:
                place[bright, 0], place[bright, 1] = row, column
                bright += 1
    place = place[:bright].copy()
    values = np.empty(bright)
    for k in range(bright):
        values[k] = image[place[k, 0], place[k, 1]]
    return number, total, seen, place, values


@njit(cache=True, nogil=True)
def _level_sums(valid: Mask, radius: Image, level: Floats) -> Floats:  # pragma: no cover
    """Return the sums (blocks, blocks) of the rings' level over valid pixels."""
    model = np.zeros((-(-valid.shape[0] // BLOCK_PX), -(-valid.shape[1] // BLOCK_PX)))
    for row in range(valid.shape[0]):
        for block in range(model.shape[1]):
            part = 0.0
            for column in range(block * BLOCK_PX, min((block + 1) * BLOCK_PX, valid.shape[1])):
                if valid[row, column]:
                    part += level[int(radius[row, column])]
            model[row // BLOCK_PX, block] += part
    return model


@njit(cache=True, nogil=True)
def _interpolated(radius: Image, level: Floats, ratio: Floats) -> Image:  # pragma: no cover
    """Return level times ratio, the ratio interpolated between block centres, the level between rings."""
    result = np.empty(radius.shape, dtype=np.float32)
    rows, columns = ratio.shape
    line = np.empty(columns)
    across = np.empty(radius.shape[1])
    for row in range(radius.shape[0]):
        y = min(max((row + 0.5) / BLOCK_PX - 0.5, 0.0), rows - 1.0)
        top = min(int(y), max(rows - 2, 0))
        bottom = min(top + 1, rows - 1)
        for block in range(columns):
            line[block] = ratio[top, block] * (1 - (y - top)) + ratio[bottom, block] * (y - top)
        for column in range(radius.shape[1]):
            x = min(max((column + 0.5) / BLOCK_PX - 0.5, 0.0), columns - 1.0)
            left = min(int(x), max(columns - 2, 0))
            across[column] = line[left] + (line[min(left + 1, columns - 1)] - line[left]) * (x - left)
        for column in range(radius.shape[1]):
            inner = max(radius[row, column] - np.float32(0.5), np.float32(0.0))
            ring = int(inner)
            rings = level[ring] + (level[ring + 1] - level[ring]) * (inner - ring)
            result[row, column] = max(rings * across[column], LEAST_BACKGROUND)
    return result
