"""Electrons of a spot from its pixels' counts when these are few: one step of scoring from what is believed.

Counts of pixels are Poisson, of mean ``background + share x electrons``. One step of Fisher scoring on that likelihood
(McCullagh & Nelder, Generalized Linear Models, 1989, section 2.5) from electrons x that its own counts did not choose
is linear in the counts: unbiased whatever x is, negative where fewer were counted than the background lets expect, and
of the least variance possible where x is right. Many steps on each spot alone would be the estimate of highest
likelihood; of no counts it is minus infinity. So all spots of a reflection take their step from one x, and their
weighted mean, with which x is renewed, converges to the estimate of highest likelihood of them together
(`tasks.integrate.rocking.sparse`).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from tasks.integrate.parallel import in_threads
from tasks.integrate.profiles.overlaps import what_others_put
from tasks.integrate.profiles.profile_fit import LEAST_SHARE, row_parts
from tasks.model.arrays import Floats, Image, Integers, Mask


class CountFit(NamedTuple):
    """Per spot (n,): electrons above the background, and their Fisher information at what was believed.

    ``half``: the same from half of the events, with the same weights; None without halves. Spots of which no pixel is
    valid have no information.
    """

    electrons: Floats
    information: Floats
    half: Floats | None


class CountPixels(NamedTuple):
    """Pixels of spots: ``counts``, ``background``, ``valid``, ``share`` (n, m, m); ``half`` of the events or None.

    ``share``: of a spot's electrons in each pixel. ``centre`` (n, 2); ``pointer`` (n + 1,) and ``neighbour`` (k,):
    rows of a sparse matrix, the spots whose patches overlap each one's.
    """

    counts: Image
    background: Image
    valid: Mask
    share: Floats
    centre: Integers
    pointer: Integers
    neighbour: Integers
    half: Image | None = None


def fit_counts(pixels: CountPixels, believed: Floats) -> CountFit:
    """Return the electrons of spots by one step of scoring from those believed, (n,), none negative.

    What neighbours put into a spot's pixels is taken as believed, too.
    """
    number = len(pixels.counts)
    result = np.zeros((3, number))
    half = pixels.counts if pixels.half is None else pixels.half

    def fit(rows: slice) -> None:
        _fit(rows.start, rows.stop, *pixels._replace(half=half), believed, result)

    in_threads(fit, row_parts(number))
    return CountFit(result[0], result[1], None if pixels.half is None else result[2])


@njit(cache=True, nogil=True)
def _fit(
    first: int,
    last: int,
    counts: Image,
    background: Image,
    valid: Mask,
    share: Floats,
    centre: Integers,
    pointer: Integers,
    neighbour: Integers,
    half: Image,
    believed: Floats,
    result: Floats,
) -> None:  # pragma: no cover
    """Fill the columns from ``first`` to ``last`` of electrons, information, electrons of the half."""
    side = counts.shape[1]
    for i in range(first, last):
        least = LEAST_SHARE * share[i].max()
        others = np.zeros((side, side))
        if pointer[i] < pointer[i + 1]:
            others = what_others_put(i, share, centre, pointer, neighbour, believed)
        above, norm, part = 0.0, 0.0, 0.0
        for row in range(side):
            for column in range(side):
                own = share[i, row, column]
                if not valid[i, row, column] or own <= least:
                    continue
                floor = background[i, row, column] + others[row, column]
                weight = own / (floor + believed[i] * own)
                norm += weight * own
                above += weight * (counts[i, row, column] - floor)
                part += weight * (half[i, row, column] - 0.5 * floor)
        if norm > 0:
            result[0, i], result[1, i], result[2, i] = above / norm, norm, part / norm
