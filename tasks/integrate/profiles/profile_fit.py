"""Profile fitting and summation of patches of pixels, one spot at a time.

After Diamond, Acta Cryst. A25, 43-55 (1969) and Rossmann, J. Appl. Cryst. 12, 225-238 (1979), with Poisson weights from
the model itself, so that it becomes summation where there is no background.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.integrate.parallel import in_threads, threads
from tasks.model.arrays import Floats, Image, Mask

BACKGROUND_PIXELS = 1000.0
"""A background is a mean of 40 x 40 pixels (`ring_background`) less those that spots take out. Chosen, not measured, as
how many these are depends on the frame: the error is 0.1 % of a spot's background variance for each of its pixels."""
LEAST_SHARE = 0.002
"""Of the highest pixel: a normal spot falls to it at 3.5 sigma, and 0.2 % of it lies beyond. Further out there is only
background, which adds its noise to sums."""


class Measured(NamedTuple):
    """Per prediction (n,): profile-fitted intensity, summed one, and the fraction of the spot on valid pixels.

    ``noise`` is the variance that the background alone gives: the variance of an intensity I is noise + I.
    """

    intensity: Floats
    noise: Floats
    summed: Floats
    summed_variance: Floats
    seen: Floats


def fit_patches(counts: Floats | Image, background: Floats | Image, valid: Mask, expected: Floats) -> Measured:
    """Fit expected shapes (n, m, m) to patches.

    The variance is Poisson's for spot and background, with the error of a background from BACKGROUND_PIXELS pixels.
    """
    result = np.zeros((5, len(counts)))

    def fit(rows: slice) -> None:
        _fit(counts[rows], background[rows], valid[rows], expected[rows], result[:, rows])

    in_threads(fit, row_parts(len(counts)))
    return Measured(*result)


@njit(cache=True, nogil=True)
def _fit(counts: Image, background: Image, valid: Mask, expected: Floats, result: Floats) -> None:  # pragma: no cover
    """Fill the rows of ``result`` (5, n) with the columns of `Measured`."""
    for i in range(len(counts)):
        core = np.argwhere(valid[i] & (expected[i] > LEAST_SHARE * expected[i].max()))
        pixels = len(core)
        seen, net, level, gross = 0.0, 0.0, 0.0, 0.0
        for row, column in core:
            seen += expected[i, row, column]
            net += counts[i, row, column] - background[i, row, column]
            level += background[i, row, column]
            gross += counts[i, row, column]
        safe = max(seen, 1e-3)
        fitted = net / safe
        result[2, i] = fitted
        result[3, i] = max((gross + level * pixels / BACKGROUND_PIXELS) / safe**2, 1.0)
        result[4, i] = seen
        flat = 0.0
        for cycle in range(4):
            intensity = max(fitted, 0.0) if cycle < 3 else 0.0
            above, norm = 0.0, 0.0
            for row, column in core:
                share = expected[i, row, column]
                floor = background[i, row, column]
                weight = share / max(floor + intensity * share, 1e-3)
                norm += weight * share
                above += weight * (counts[i, row, column] - floor)
            if cycle < 3:
                fitted = above / max(norm, 1e-9)
            else:
                flat = norm
        result[0, i] = fitted
        result[1, i] = (1.0 + pixels / BACKGROUND_PIXELS) / max(flat, 1e-9)


def core_pixels(valid: Mask, expected: Floats) -> Mask:
    """Return the pixels (n, m, m) that a spot is measured from: the valid ones that hold more than background.

    The same that `fit_patches` takes, one spot at a time.
    """
    highest = expected.max(axis=(1, 2), keepdims=True)
    return np.asarray(valid & (expected > LEAST_SHARE * highest))


def row_parts(number: int) -> list[slice]:
    """Return slices that share so many rows evenly among the threads."""
    edges = np.linspace(0, number, threads() + 1).astype(int).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]
