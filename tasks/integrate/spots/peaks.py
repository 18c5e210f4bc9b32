"""Maxima of a smoothed frame, and what lies in discs around them: compiled kernels of the search for spots."""

import numpy as np
from numba import njit

from tasks.model.arrays import Floats, Image, Integers, Mask

TRUNCATED_AT = 4.0
"""Deviations at which the Gaussian ends, as by default in scipy.ndimage.gaussian_filter: 6e-5 of it lies beyond."""


def disc_offsets(radius: float) -> Integers:
    """Return the offsets (k, 2) of the pixels of a disc from its centre."""
    reach = int(np.ceil(radius))
    slow, fast = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.argwhere(np.hypot(slow, fast) <= radius + 0.25) - reach


def smoothed(image: Image, valid: Mask, sigma: float) -> Image:
    """Return the image (slow, fast) under a Gaussian of ``sigma`` px; invalid pixels count as empty."""
    reach = int(TRUNCATED_AT * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    result: Image = _convolved(image, valid, (kernel / kernel.sum()).astype(np.float32))
    return result


@njit(cache=True, nogil=True)
def _convolved(image: Image, valid: Mask, kernel: Image) -> Image:  # pragma: no cover
    """Convolve along both axes with one kernel (odd length); the edges repeat."""
    rows, columns = image.shape
    reach = len(kernel) // 2
    result = np.zeros(image.shape, dtype=np.float32)
    line = np.zeros(columns + 2 * reach, dtype=np.float32)
    for row in range(rows):
        line[:] = 0.0
        for k in range(len(kernel)):
            source = min(max(row + k - reach, 0), rows - 1)
            weight = kernel[k]
            for column in range(columns):
                line[reach + column] += weight * (image[source, column] if valid[source, column] else np.float32(0.0))
        line[:reach] = line[reach]
        line[reach + columns :] = line[reach + columns - 1]
        for k in range(len(kernel)):
            weight = kernel[k]
            for column in range(columns):
                result[row, column] += weight * line[column + k]
    return result


@njit(cache=True, nogil=True)
def peaks(
    smooth: Image, background: Image, inside: Mask, window: int, least: float, deviations: float
) -> Integers:  # pragma: no cover
    """Return the places (n, 2) of maxima that exceed the background by ``least`` and by so many times its root."""
    rows, columns = smooth.shape
    place = np.empty((smooth.size, 2), dtype=np.int64)
    number = 0
    for row in range(rows):
        for column in range(columns):
            value, floor = smooth[row, column], background[row, column]
            if value - floor <= least or not inside[row, column] or value - floor <= deviations * np.sqrt(floor):
                continue
            highest = True
            for y in range(max(0, row - window), min(rows, row + window + 1)):
                for x in range(max(0, column - window), min(columns, column + window + 1)):
                    if smooth[y, x] > value:
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                place[number, 0], place[number, 1] = row, column
                number += 1
    return place[:number].copy()


@njit(cache=True, nogil=True)
def disc_sums(
    image: Image, valid: Mask, background: Image, place: Integers, offsets: Integers
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Sum image and background (n,) over the valid pixels of discs around places (n, 2)."""
    total = np.zeros(len(place))
    expected = np.zeros(len(place))
    for i in range(len(place)):
        for k in range(len(offsets)):
            slow, fast = place[i, 0] + offsets[k, 0], place[i, 1] + offsets[k, 1]
            if 0 <= slow < image.shape[0] and 0 <= fast < image.shape[1] and valid[slow, fast]:
                total[i] += image[slow, fast]
                expected[i] += background[slow, fast]
    return total, expected


@njit(cache=True, nogil=True)
def masked_share(valid: Mask, place: Integers, offsets: Integers) -> Floats:  # pragma: no cover
    """Return the share (n,) of the pixels of discs around places (n, 2) that are masked; not of what lies outside."""
    share = np.zeros(len(place))
    for i in range(len(place)):
        inside = 0
        for k in range(len(offsets)):
            slow, fast = place[i, 0] + offsets[k, 0], place[i, 1] + offsets[k, 1]
            if 0 <= slow < valid.shape[0] and 0 <= fast < valid.shape[1]:
                inside += 1
                if not valid[slow, fast]:
                    share[i] += 1.0
        share[i] /= max(inside, 1)
    return share


@njit(cache=True, nogil=True)
def centroids(
    image: Image, valid: Mask, background: Image, position: Floats, offsets: Integers
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Return the centres (n, 2) of the counts above background in discs, moved there twice, and the counts (n,)."""
    rows, columns = image.shape
    centre = position.copy()
    counts = np.zeros(len(position))
    for i in range(len(position)):
        for _ in range(2):
            middle_slow, middle_fast = round(centre[i, 0]), round(centre[i, 1])
            total, above_slow, above_fast = 0.0, 0.0, 0.0
            for k in range(len(offsets)):
                slow, fast = int(middle_slow + offsets[k, 0]), int(middle_fast + offsets[k, 1])
                if not (0 <= slow < rows and 0 <= fast < columns and valid[slow, fast]):
                    continue
                net = max(image[slow, fast] - background[slow, fast], 0.0)
                total += net
                above_slow += net * slow
                above_fast += net * fast
            counts[i] = total
            if total > 0:
                centre[i, 0], centre[i, 1] = above_slow / total, above_fast / total
    return centre, counts
