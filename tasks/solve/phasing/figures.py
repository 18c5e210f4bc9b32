"""Figures of merit of a phase set that do not measure the phases' fit to themselves."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.crystal.correlation import correlation
from tasks.solve.phasing.peak_search import Peaks, find_peaks
from tasks.solve.phasing.problem import PhaseProblem

WEAK_FRACTION = 0.10
"""As in R(weak) of SHELXT (Sheldrick, Acta Cryst. A71, 3-8, 2015)."""
PEAK_DISTANCE_ANGSTROM = 0.8
"""Below the shortest distance of atoms other than hydrogen (1.10 A, N2), beyond the ripples about a peak. Not
sensitive: six sets of `python -m tests.benchmarks.solve` are solved in as many trials with 0.5 and with 1.1."""


def figures_of_merit(problem: PhaseProblem, phase_rad: NDArray[np.float32]) -> dict[str, float]:
    """Return the figures of phases (measured,), all from point atoms at the highest peaks of the E map.

    - ``cc``: correlation of observed |E| with those of the peaks, over measured, not held-out reflections;
    - ``cc_free``: the same over the held-out reflections, which no phasing method used;
    - ``r_weak``: mean calculated E^2 of the tenth of reflections with the lowest |E|, 0 for a perfect and about 1
      for a random model (Sheldrick, Acta Cryst. A71, 3-8, 2015);
    - ``skewness`` of the E map;
    - ``peakiness``: height of the last expected peak over that of the highest of the rest of the map, beyond one
      when the model stands out;
    - ``cfom``: cc - r_weak, by which SHELXT ranks.
    """
    density = e_map(problem, phase_rad)
    peaks = find_peaks(
        density, problem.cell, count=round(1.3 * problem.atoms) + 2, distance_angstrom=PEAK_DISTANCE_ANGSTROM
    )
    number = max(1, min(round(problem.atoms), len(peaks.height)))
    model = Peaks(peaks.position[:number], peaks.height[:number])
    calculated = np.abs(point_atoms(problem.hkl[: problem.measured], model.position, model.height))
    calculated /= np.sqrt(max(1e-12, float((calculated**2).mean())))
    observed = problem.e.astype(np.float64)
    used = ~problem.free
    weak = observed <= np.quantile(observed, WEAK_FRACTION)
    cc = correlation(observed[used], calculated[used]) or 0.0
    r_weak = float((calculated[weak] ** 2).mean())
    following = peaks.height[number] if len(peaks.height) > number else 0.0
    return {
        "cc": cc,
        "cc_free": correlation(observed[problem.free], calculated[problem.free]) or 0.0,
        "r_weak": r_weak,
        "skewness": float(((density - density.mean()) ** 3).mean() / density.std() ** 3),
        "peakiness": float(model.height[-1] / following) if following > 0 else 0.0,
        "cfom": cc - r_weak,
    }


def e_map(problem: PhaseProblem, phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the E map of phases (measured,), held-out reflections left out."""
    coefficients = np.zeros(len(problem.hkl), dtype=np.complex64)
    amplitude = np.where(problem.free, 0.0, problem.e * problem.weight)
    coefficients[: problem.measured] = amplitude * np.exp(1j * phase_rad)
    return problem.grid.to_map(coefficients)


@njit(cache=True)
def point_atoms(
    hkl: NDArray[np.int32], position: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return sum over atoms of weight exp(2 pi i h.x), (n,)."""
    total = np.zeros(len(hkl), dtype=np.complex128)
    for row in range(len(hkl)):
        real, imaginary = 0.0, 0.0
        for atom in range(len(position)):
            turn = 2.0 * np.pi * (
                hkl[row, 0] * position[atom, 0] + hkl[row, 1] * position[atom, 1] + hkl[row, 2] * position[atom, 2]
            )  # fmt: skip
            real += weight[atom] * np.cos(turn)
            imaginary += weight[atom] * np.sin(turn)
        total[row] = complex(real, imaginary)
    return total
