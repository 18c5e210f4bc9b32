"""Poisson factorisation of spot counts: positions x spots = weights x patterns + background."""

from typing import Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


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
def _expectation_maximisation(
    indptr: NDArray[np.int32],
    indices: NDArray[np.int32],
    data: NDArray[np.float64],
    amplitude: NDArray[np.float64],
    expected: NDArray[np.float64],
    weights: NDArray[np.float64],
    patterns: NDArray[np.float64],
    free_weights: bool,
    free_patterns: bool,
    iterations: int,
) -> None:
    """Update in place; `patterns` is (n_spots, k) here, columns sum to 1."""
    k = weights.shape[1]
    new_weights = np.empty(k)
    for _ in range(iterations):
        new_patterns = np.zeros_like(patterns)
        for row in range(weights.shape[0]):
            new_weights[:] = 0.0
            for entry in range(indptr[row], indptr[row + 1]):
                spot = indices[entry]
                model = amplitude[row] * expected[spot] + 1e-12
                for c in range(k):
                    model += weights[row, c] * patterns[spot, c]
                ratio = data[entry] / model
                for c in range(k):
                    part = ratio * weights[row, c] * patterns[spot, c]
                    new_weights[c] += part
                    new_patterns[spot, c] += part
            if free_weights:
                for c in range(k):
                    weights[row, c] = new_weights[c]
        if free_patterns:
            _normalise(new_patterns, patterns)


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
    _expectation_maximisation(
        counts.indptr, counts.indices, data, amplitude, expected, weights, patterns,
        held != "weights", held != "patterns", iterations,
    )  # fmt: skip
    return Factors(weights, patterns.T.copy())
