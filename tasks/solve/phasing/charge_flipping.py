"""Charge flipping on normalised structure factors."""

import numpy as np
from numpy.typing import NDArray

from tasks.solve.phasing.problem import PhaseProblem


def flip(
    problem: PhaseProblem,
    coefficients: NDArray[np.complex64],
    f000: float,
    *,
    amplitude: NDArray[np.float32],
    threshold: float,
    weak: NDArray[np.bool_],
) -> tuple[NDArray[np.complex64], float]:
    """Do one cycle of charge flipping; return the new coefficients (n,) and F(000).

    Source: Oszlanyi & Suto, Acta Cryst. A60, 134-141 (2004); weak reflections keep their calculated modulus and are
    shifted by pi/2: ibid. A61, 147-152 (2005); E instead of F: ibid. A62, 90-95 (2006). Missing and free reflections
    and F(000) float.

    Parameters
    ----------
    coefficients
        (n,) of the density after the last cycle.
    amplitude
        (measured,) |E| to impose.
    threshold
        In standard deviations of the density: what is below changes its sign.
    weak
        (measured,) reflections treated as weak.
    """
    imposed = coefficients.copy()
    strong = np.flatnonzero(~(problem.free | weak))
    modulus = np.abs(coefficients[strong])
    imposed[strong] *= amplitude[strong] / np.maximum(modulus, np.float32(1e-12))
    imposed[np.flatnonzero(weak & ~problem.free)] *= np.complex64(1j)
    density = problem.grid.to_map(imposed) + np.float32(f000 / np.prod(problem.grid.shape))
    flipped = np.where(density < threshold * density.std(), -density, density)
    return problem.grid.to_coefficients(flipped), float(flipped.sum(dtype=np.float64))
