"""How well a row of a scan fits another row at every shift along it: of its neighbour, and of registered scans."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LARGEST = 11
"""Columns by which a row is looked for, at most, to either side of its registered place. Two shifts that lie on either
side of that place are then told up to 22 columns apart. Chosen, not measured: more costs time and invites chance."""
SURE = 0.99
"""Correlation beyond which a row says no more: the logarithm of none goes to infinity."""


def row_correlations(own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (ny, 2 LARGEST + 1): correlation of column j of a row with column j + shift of the other's, 0 at least.

    ``own`` and ``other`` are (channels, ny, nx); all channels of a row move together.
    """
    curves = _correlations(np.ascontiguousarray(own, np.float64), np.ascontiguousarray(other, np.float64), LARGEST)
    return np.asarray(np.maximum(curves, 0.0))


def evidence(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-likelihood ratio of a correlation r over none, per sample: -log(1 - r^2) / 2.

    For Gaussian noise of unknown strength.
    """
    return np.asarray(-0.5 * np.log1p(-np.square(np.minimum(correlation, SURE))))


@njit(cache=True, nogil=True)
def _correlations(own: NDArray[np.float64], other: NDArray[np.float64], largest: int) -> NDArray[np.float64]:
    """Correlate rows over the columns that overlap, each with its mean over them: edges then draw nothing to zero."""
    channels, rows, columns = own.shape
    out = np.zeros((rows, 2 * largest + 1))
    for row in range(rows):
        for shift in range(-largest, largest + 1):
            first, last = max(0, -shift), min(columns, columns - shift)
            if last - first < 3:
                continue
            product, one, two = 0.0, 0.0, 0.0
            for channel in range(channels):
                mean_one, mean_two = 0.0, 0.0
                for column in range(first, last):
                    mean_one += own[channel, row, column]
                    mean_two += other[channel, row, column + shift]
                mean_one /= last - first
                mean_two /= last - first
                for column in range(first, last):
                    x = own[channel, row, column] - mean_one
                    y = other[channel, row, column + shift] - mean_two
                    product += x * y
                    one += x * x
                    two += y * y
            if one * two > 0:  # of variances next to nothing the product may underflow
                out[row, shift + largest] = product / np.sqrt(one * two)
    return out


@njit(cache=True, nogil=True)
def best_path(
    against: NDArray[np.float64], between: NDArray[np.float64], levels: NDArray[np.int64]
) -> tuple[float, NDArray[np.int64]]:
    """Return the best sum of evidence if every row has one of some shifts, and the shift of each row, (ny,).

    Dynamic programming (Viterbi). ``against`` (ny, n) is the evidence of the rows' own shifts, ``between`` (ny - 1, n)
    that of a shift less that of the next row; `levels` are indices into the n shifts.
    """
    rows, middle = against.shape[0], (between.shape[1] - 1) // 2
    score = np.zeros((rows, len(levels)))
    origin = np.zeros((rows, len(levels)), dtype=np.int64)
    for row in range(rows):
        for here in range(len(levels)):
            best = 0.0
            if row > 0:
                best = -np.inf
                for before in range(len(levels)):
                    place = middle + levels[before] - levels[here]
                    step = between[row - 1, place] if 0 <= place < between.shape[1] else 0.0
                    if score[row - 1, before] + step > best:
                        best = score[row - 1, before] + step
                        origin[row, here] = before
            score[row, here] = best + against[row, levels[here]]
    chosen = int(np.argmax(score[-1]))
    total = score[-1, chosen]
    path = np.zeros(rows, dtype=np.int64)
    for row in range(rows - 1, -1, -1):
        path[row] = levels[chosen]
        chosen = origin[row, chosen]
    return total, path


@njit(cache=True, nogil=True)
def best_two(against: NDArray[np.float64], between: NDArray[np.float64], least: int) -> tuple[float, NDArray[np.int64]]:
    """Return the best sum of evidence over all pairs of shifts at least so far apart, and the pair."""
    best = -np.inf
    pair = np.zeros(2, dtype=np.int64)
    for one in range(against.shape[1]):
        for other in range(one + least, against.shape[1]):
            total, _ = best_path(against, between, np.array([one, other]))
            if total > best:
                best, pair = total, np.array([one, other])
    return best, pair


def best_more(
    against: NDArray[np.float64], between: NDArray[np.float64], levels: NDArray[np.int64], least: int
) -> tuple[float, NDArray[np.int64]]:
    """Return the best sum of evidence with one shift more, at least so far from all others, and the shifts."""
    free = [index for index in range(against.shape[1]) if np.abs(levels - index).min() >= least]
    totals = [(best_path(against, between, np.append(levels, index))[0], -index) for index in free]
    best, index = max(totals, default=(-np.inf, 0))
    return best, np.sort(np.append(levels, -index))


@njit(cache=True, nogil=True)
def best_slope(
    against: NDArray[np.float64], between: NDArray[np.float64], steepest: int
) -> tuple[float, NDArray[np.int64]]:
    """Return the best sum of evidence if the rows' shifts rise or fall evenly over the scan, and the path, (ny,)."""
    rows, number = against.shape
    middle = (between.shape[1] - 1) // 2
    best, path = -np.inf, np.zeros(rows, dtype=np.int64)
    for rise in range(-steepest, steepest + 1):
        for start in range(number):
            total, before = 0.0, 0
            for row in range(rows):
                here = int(np.round(start + rise * (row / (rows - 1.0) - 0.5))) if rows > 1 else start
                if here < 0 or here >= number:
                    total = -np.inf
                    break
                total += against[row, here]
                if row > 0:
                    total += between[row - 1, middle + before - here]
                before = here
            if total > best:
                best = total
                for row in range(rows):
                    path[row] = int(np.round(start + rise * (row / max(rows - 1.0, 1.0) - 0.5)))
    return best, path
