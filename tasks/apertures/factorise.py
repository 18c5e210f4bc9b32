"""Poisson factorisation of spot counts: positions x spots = weights x patterns + background."""

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.apertures.at_once import in_turn_or_at_once

ROWS = 16384
"""Positions whose parts of the patterns are added up in a thread: the same blocks in the same order, however many
threads there are. Chosen: a scan of up to 128 x 128 positions is one block, added up as it always was."""


class Factors(NamedTuple):
    """``weights`` (n_positions, k) electrons per position and component; ``patterns`` (k, n_spots), rows sum to 1."""

    weights: NDArray[np.float64]
    patterns: NDArray[np.float64]


@njit(cache=True, nogil=True)
def _normalise(found: NDArray[np.float64], patterns: NDArray[np.float64]) -> None:
    for c in range(patterns.shape[1]):
        total = found[:, c].sum()
        if total > 0:
            patterns[:, c] = found[:, c] / total


@njit(cache=True, nogil=True)
def _step(
    first: int,
    last: int,
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    data: NDArray[np.float64],
    amplitude: NDArray[np.float64],
    expected: NDArray[np.float64],
    weights: NDArray[np.float64],
    patterns: NDArray[np.float64],
    free_weights: bool,
    new_patterns: NDArray[np.float64],
) -> None:
    """Add what some rows make of the patterns, (n_spots, k), and update their weights in place.

    What has no weight in a row takes no part there, and takes no time.
    """
    k = weights.shape[1]
    new_weights = np.empty(k)
    there = np.empty(k, dtype=np.int64)
    for row in range(first, last):
        number = 0
        for c in range(k):
            if weights[row, c] > 0.0:
                there[number] = c
                number += 1
        if number == 0:
            continue
        new_weights[:] = 0.0
        for entry in range(indptr[row], indptr[row + 1]):
            spot = indices[entry]
            model = amplitude[row] * expected[spot] + 1e-12
            for at in range(number):
                c = there[at]
                model += weights[row, c] * patterns[spot, c]
            ratio = data[entry] / model
            for at in range(number):
                c = there[at]
                part = ratio * weights[row, c] * patterns[spot, c]
                new_weights[c] += part
                new_patterns[spot, c] += part
        if free_weights:
            for c in range(k):
                weights[row, c] = new_weights[c]


def factorise(
    counts: csr_matrix,
    amplitude: NDArray[np.float64],
    expected: NDArray[np.float64],
    *,
    start: Factors,
    iterations: int,
    held: Literal["weights", "patterns"] | None = None,
) -> Factors:
    """Refine weights and patterns to a maximum of the Poisson likelihood by expectation maximisation.

    These are the multiplicative updates of non-negative matrix factorisation with the Kullback-Leibler divergence
    (Lee & Seung, NIPS 13, 556 (2001)) with one fixed component, the background; they touch non-zero counts only.

    Parameters
    ----------
    counts
        (n_positions, n_spots) electrons.
    amplitude
        (n_positions,) share of each position in the background; sums to 1 over the scan.
    expected
        (n_spots,) background electrons in each spot over the whole scan.
    start
        Zero weights and patterns stay zero.
    held
        What stays as it is in `start`.
    """
    weights = np.ascontiguousarray(start.weights, dtype=np.float64).copy()
    patterns = np.ascontiguousarray(start.patterns.T, dtype=np.float64).copy()
    data = counts.data.astype(np.float64)
    bounds = [*range(0, len(weights), ROWS), len(weights)]

    def step(rows: tuple[int, int]) -> NDArray[np.float64]:
        found = np.zeros_like(patterns)
        _step(
            *rows, counts.indptr, counts.indices, data, amplitude, expected, weights, patterns, held != "weights", found
        )
        return found

    with in_turn_or_at_once(len(bounds) - 1) as each:
        for _ in range(iterations):
            found = each(step, list(pairwise(bounds)))
            if held != "patterns" and found:
                _normalise(sum(found[1:], found[0]), patterns)
    return Factors(weights, patterns.T.copy())
