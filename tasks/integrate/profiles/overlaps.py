"""Spots that share pixels: their intensities fitted together, each less what its neighbours put into its patch.

The least-squares problem of all spots of a frame with Poisson weights is solved by Gauss-Seidel sweeps (Golub & Van
Loan, Matrix Computations, section 11.2): only neighbours couple, so few sweeps do. The variance grows by what a
neighbour's profile has in common with a spot's own.
"""

from itertools import pairwise

import numpy as np
from numba import njit
from scipy.spatial import cKDTree

from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.parallel import in_threads
from tasks.integrate.profiles.profile_fit import BACKGROUND_PIXELS, LEAST_SHARE, Measured
from tasks.model.arrays import Floats, Image, Integers, Mask

SWEEPS = 8
"""After them the weak spots of tests/unit/integrate/profiles/test_overlaps.py (1.2 px wide) are within 0.002 of their
sigma of convergence if set 2 px apart, within 0.08 if 1.2 px apart; after four within 0.2 and 1.4."""
LEAST_FREE = 0.05
"""The variance of a spot that its neighbours can make grows twenty times at most. Chosen, not measured: two spots reach
it 0.3 of their own sigma apart; less, and rounding decides."""


def separated(
    measured: Measured,
    counts: Image,
    background: Image,
    *,
    valid: Mask,
    expected: Floats,
    centre: Integers,
    predictions: Predictions,
    near: Mask,
) -> Measured:
    """Return the measurements with those that share pixels fitted together.

    Parameters
    ----------
    counts, background, valid, expected
        (n, m, m) patches and the fraction of each spot's counts that each pixel should hold.
    centre
        (n, 2), the pixel in the middle of each patch.
    near
        (n,) predictions near enough to the sphere to put counts anywhere; the others are nobody's neighbours.
    """
    pointer, neighbour = neighbours_of(predictions, centre, near, counts.shape[1])
    if not len(neighbour):
        return measured
    intensity, noise = measured.intensity.copy(), measured.noise.copy()
    bounds = np.flatnonzero(np.diff(predictions.frame)) + 1  # predictions are sorted by frame
    edges = np.concatenate([[0], bounds, [len(counts)]]).tolist()

    def fit(rows: tuple[int, int]) -> None:
        _sweep(rows[0], rows[1], counts, background, valid, expected, centre, pointer, neighbour, intensity, noise)

    in_threads(fit, pairwise(edges))
    return measured._replace(intensity=intensity, noise=noise)


def neighbours_of(predictions: Predictions, centre: Integers, near: Mask, side: int) -> tuple[Integers, Integers]:
    """Return, as rows of a sparse matrix, the predictions on the same frame whose patches overlap each one's."""
    apart = 4.0 * side  # frames are kept apart by a coordinate of their own
    place = np.column_stack([centre, apart * predictions.frame]).astype(np.float64)
    rows = np.flatnonzero(near)
    if not len(rows):
        return np.zeros(len(centre) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    found = cKDTree(place).sparse_distance_matrix(cKDTree(place[rows]), 0.75 * side, output_type="coo_matrix")
    one, other = found.row.astype(np.int64), rows[found.col]
    own = one == other
    one, other = one[~own], other[~own]
    order = np.lexsort((other, one))
    count = np.bincount(one, minlength=len(centre))
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64), other[order]


@njit(cache=True, nogil=True)
def _free(
    i: int, expected: Floats, centre: Integers, pointer: Integers, neighbour: Integers
) -> float:  # pragma: no cover
    """Return the share of a profile that its neighbours' profiles cannot make: one if none overlaps."""
    side = expected.shape[1]
    left = 1.0
    own = (expected[i] ** 2).sum()
    for at in range(pointer[i], pointer[i + 1]):
        j = neighbour[at]
        down, across = centre[i, 0] - centre[j, 0], centre[i, 1] - centre[j, 1]
        common = 0.0
        for row in range(max(0, -down), min(side, side - down)):
            for column in range(max(0, -across), min(side, side - across)):
                common += expected[i, row, column] * expected[j, row + down, column + across]
        left -= common**2 / max(own * (expected[j] ** 2).sum(), 1e-30)
    return max(left, LEAST_FREE)


@njit(cache=True, nogil=True)
def what_others_put(
    i: int, expected: Floats, centre: Integers, pointer: Integers, neighbour: Integers, intensity: Floats
) -> Floats:  # pragma: no cover
    """Return what the neighbours put into the pixels (m, m) of a patch."""
    side = expected.shape[1]
    result = np.zeros((side, side))
    for at in range(pointer[i], pointer[i + 1]):
        j = neighbour[at]
        down, across = centre[i, 0] - centre[j, 0], centre[i, 1] - centre[j, 1]
        for row in range(max(0, -down), min(side, side - down)):
            for column in range(max(0, -across), min(side, side - across)):
                result[row, column] += intensity[j] * expected[j, row + down, column + across]
    return result


@njit(cache=True, nogil=True)
def one_spot(
    counts: Image, floor: Floats, valid: Mask, expected: Floats, intensity: float
) -> tuple[float, float]:  # pragma: no cover
    """Return the intensity of one spot over what lies under it, and the variance that this gives."""
    least = LEAST_SHARE * expected.max()
    above, norm, flat, pixels = 0.0, 0.0, 0.0, 0
    for row in range(len(counts)):
        for column in range(len(counts)):
            share = expected[row, column]
            if valid[row, column] and share > least:
                under = max(floor[row, column], 1e-3)
                weight = share / (under + max(intensity, 0.0) * share)
                norm += weight * share
                above += weight * (counts[row, column] - under)
                flat += share * share / under
                pixels += 1
    return above / max(norm, 1e-9), (1.0 + pixels / BACKGROUND_PIXELS) / max(flat, 1e-9)


@njit(cache=True, nogil=True)
def _sweep(
    first: int,
    last: int,
    counts: Image,
    background: Image,
    valid: Mask,
    expected: Floats,
    centre: Integers,
    pointer: Integers,
    neighbour: Integers,
    intensity: Floats,
    noise: Floats,
) -> None:  # pragma: no cover
    """Fit the predictions from ``first`` to ``last``, in place, as long as their patches have anything in common."""
    for sweep in range(SWEEPS):
        for i in range(first, last):
            if pointer[i] == pointer[i + 1]:
                continue
            floor = background[i] + what_others_put(i, expected, centre, pointer, neighbour, intensity)
            intensity[i], variance = one_spot(counts[i], floor, valid[i], expected[i], intensity[i])
            if sweep == SWEEPS - 1:
                noise[i] = variance / _free(i, expected, centre, pointer, neighbour)
