"""How calculated and observed structure factors agree, and difference coefficients."""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.symmetry import Symmetry, epsilon
from tasks.solve.data.observations import GroupAmplitudes, shell_mean


def correlation_coefficient(observed: GroupAmplitudes, calculated: NDArray[np.complex128], symmetry: Symmetry) -> float:
    """Return the correlation of E observed and calculated over all reflections, in [-1, 1]."""
    e_calculated = _normalise(np.abs(calculated), observed, symmetry)
    a, b = observed.e_value - observed.e_value.mean(), e_calculated - e_calculated.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else 0.0


def weak_reflections(observed: GroupAmplitudes, calculated: NDArray[np.complex128], symmetry: Symmetry) -> float:
    """Return the mean calculated E^2 of the tenth of reflections weakest in E: 0 if perfect, about 1 at random."""
    e_calculated = _normalise(np.abs(calculated), observed, symmetry)
    weak = observed.e_value <= np.quantile(observed.e_value, 0.1)
    return float((e_calculated[weak] ** 2).mean())


def difference_coefficients(observed: GroupAmplitudes, calculated: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return (Fo - Fc) exp(i phi), (n,), zero where Fc is much smaller than Fo and its phase means nothing."""
    modulus = np.abs(calculated)
    phase = calculated / np.maximum(modulus, 1e-30)
    trusted = modulus > 0.15 * observed.amplitude
    return np.where(trusted, (observed.amplitude - modulus) * phase, 0.0)


def falloff(observed: GroupAmplitudes, symmetry: Symmetry) -> NDArray[np.float64]:
    """Return sqrt(epsilon <F^2 / epsilon>) on the scale of its mean, (n,): what turns E into F."""
    factor = epsilon(observed.hkl, symmetry)
    shape = np.sqrt(factor * shell_mean(observed.amplitude**2 / factor, observed.d_star_sq))
    return np.asarray(shape / shape.mean())


def _normalise(modulus: NDArray[np.float64], observed: GroupAmplitudes, symmetry: Symmetry) -> NDArray[np.float64]:
    factor = epsilon(observed.hkl, symmetry)
    reduced = modulus**2 / factor
    return np.sqrt(reduced / shell_mean(reduced, observed.d_star_sq))
