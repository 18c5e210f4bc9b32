"""Starting densities from the Patterson function."""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.solve.phasing.peak_search import find_peaks
from tasks.solve.phasing.problem import PhaseProblem

SHORTEST_VECTOR_ANGSTROM = 1.1
"""The shortest distance of atoms other than hydrogen (N2): nearer maxima are ripples of the origin peak."""


def sharpened_patterson(problem: PhaseProblem) -> NDArray[np.float32]:
    """Return the Patterson map with coefficients E^1.5 and its origin peak removed on average."""
    known = ~problem.free
    coefficients = np.zeros(len(problem.hkl), dtype=np.complex64)
    power = (problem.e * problem.weight)[known] ** 1.5
    coefficients[np.flatnonzero(known)] = power - power.mean()
    return problem.grid.to_map(coefficients)


def superposition_start(problem: PhaseProblem, rng: np.random.Generator, *, vectors: int = 1) -> NDArray[np.complex64]:
    """Return the coefficients (n,) of a Patterson superposition minimum function with random strong vectors.

    Source: Buerger, Vector Space (1959), ch. 11; as a start of dual-space recycling: Sheldrick, Acta Cryst. A71, 3-8
    (2015). The vector is drawn from the strongest half of the peaks, the stronger the likelier.
    """
    patterson = sharpened_patterson(problem)
    peaks = find_peaks(patterson, problem.cell, count=int(3 * problem.atoms) + 20, distance_angstrom=0.7)
    orthogonal = orthogonalisation(problem.cell)
    nearest = peaks.position - np.round(peaks.position)
    usable = peaks.position[np.linalg.norm(nearest @ orthogonal.T, axis=1) > SHORTEST_VECTOR_ANGSTROM]
    minimum = patterson
    for _ in range(vectors if len(usable) else 0):
        vector = usable[int(0.5 * len(usable) * rng.random() ** 2)]
        steps = np.round(vector * np.array(patterson.shape)).astype(int)
        minimum = np.minimum(minimum, np.roll(patterson, tuple(steps), axis=(0, 1, 2)))
    return problem.grid.to_coefficients(minimum)
