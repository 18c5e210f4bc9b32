"""Weighted Fourier coefficients from a partial or imperfect model.

Source: Sim, Acta Cryst. 13, 511-512 (1960); Read, Acta Cryst. A42, 140-149 (1986). The variance is estimated from
the correlation of E^2 observed and calculated, in shells, rather than by maximum likelihood.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tasks.model.scattering import d_star_squared
from tasks.solve.atoms import Model, Observed, calculate
from tasks.solve.observations import shell_mean
from tasks.solve.symmetry import Symmetry, epsilon


def sigma_a(observed: Observed, e_calculated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of observed and calculated E, (n,), from that of E^2 in a few shells; 0.05 to 0.98."""
    count = int(np.clip(len(e_calculated) // 150, 1, 8))
    shells = np.array_split(np.argsort(observed.d_star_sq, kind="stable"), count)
    centre, value = [], []
    for shell in shells:
        a, b = observed.e_value[shell] ** 2, e_calculated[shell] ** 2
        spread = float(a.std() * b.std())
        correlation = float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0
        centre.append(float(observed.d_star_sq[shell].mean()))
        value.append(np.sqrt(np.clip(correlation, 0.0025, 0.96)))
    return np.interp(observed.d_star_sq, centre, value)


def correlation_coefficient(observed: Observed, calculated: NDArray[np.complex128], symmetry: Symmetry) -> float:
    """Return the correlation of E observed and calculated over all reflections, in [-1, 1]."""
    e_calculated = _normalise(np.abs(calculated), observed, symmetry)
    a, b = observed.e_value - observed.e_value.mean(), e_calculated - e_calculated.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread > 0 else 0.0


def weak_reflections(observed: Observed, calculated: NDArray[np.complex128], symmetry: Symmetry) -> float:
    """Return the mean calculated E^2 of the tenth of reflections weakest in E: 0 if perfect, about 1 at random."""
    e_calculated = _normalise(np.abs(calculated), observed, symmetry)
    weak = observed.e_value <= np.quantile(observed.e_value, 0.1)
    return float((e_calculated[weak] ** 2).mean())


def weighted_coefficients(
    observed: Observed, calculated: NDArray[np.complex128], model: Model, symmetry: Symmetry, *, sharpness: float
) -> NDArray[np.complex128]:
    """Return 2 m Eo - D Ec (m Eo for centric reflections), then D Ec for the missing ones, (n + k,).

    `sharpness` 1 gives coefficients on the scale of E, 0 on that of F, 0.5 the geometric mean.
    """
    e_calculated = _normalise(np.abs(calculated), observed, symmetry)
    trust = sigma_a(observed, e_calculated)
    argument = 2.0 * trust * observed.e_value * e_calculated / (1.0 - trust**2)
    merit = np.where(
        observed.centric, np.tanh(argument / 2), special.i1e(argument) / np.maximum(special.i0e(argument), 1e-300)
    )
    best = np.where(observed.centric, 1.0, 2.0) * merit * observed.e_value
    best = best - np.where(observed.centric, 0.0, trust * e_calculated)
    phase = calculated / np.maximum(np.abs(calculated), 1e-30)
    shape = falloff(observed, symmetry)
    measured = best * phase * shape ** (1.0 - sharpness)
    if len(observed.missing) == 0:
        return measured
    return np.concatenate([measured, _filled(observed, model, symmetry, trust, calculated, sharpness)])


def difference_coefficients(observed: Observed, calculated: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return (Fo - Fc) exp(i phi), (n,), zero where Fc is much smaller than Fo and its phase means nothing."""
    modulus = np.abs(calculated)
    phase = calculated / np.maximum(modulus, 1e-30)
    trusted = modulus > 0.15 * observed.amplitude
    return np.where(trusted, (observed.amplitude - modulus) * phase, 0.0)


def falloff(observed: Observed, symmetry: Symmetry) -> NDArray[np.float64]:
    """Return sqrt(epsilon <F^2 / epsilon>) on the scale of its mean, (n,): what turns E into F."""
    factor = epsilon(observed.hkl, symmetry)
    shape = np.sqrt(factor * shell_mean(observed.amplitude**2 / factor, observed.d_star_sq))
    return np.asarray(shape / shape.mean())


def _normalise(modulus: NDArray[np.float64], observed: Observed, symmetry: Symmetry) -> NDArray[np.float64]:
    factor = epsilon(observed.hkl, symmetry)
    reduced = modulus**2 / factor
    return np.sqrt(reduced / shell_mean(reduced, observed.d_star_sq))


def _filled(
    observed: Observed,
    model: Model,
    symmetry: Symmetry,
    trust: NDArray[np.float64],
    calculated: NDArray[np.complex128],
    sharpness: float,
) -> NDArray[np.complex128]:
    """Return D Ec of the missing reflections, by the fall-off of those measured; at most 2 in E."""
    d_star_sq = d_star_squared(observed.missing, observed.cell)
    value = calculate(
        observed.missing, model, symmetry, cell=observed.cell, radiation=observed.radiation, d_star_sq=d_star_sq
    )
    order = np.argsort(observed.d_star_sq, kind="stable")
    known = observed.d_star_sq[order]
    factor = epsilon(observed.hkl, symmetry)
    mean_calculated = shell_mean(np.abs(calculated) ** 2 / factor, observed.d_star_sq)[order]
    reference = np.abs(
        calculate(
            observed.hkl, model, symmetry, cell=observed.cell, radiation=observed.radiation,
            d_star_sq=observed.d_star_sq,
        )
    )  # fmt: skip
    scale = float(np.abs(calculated).sum()) / max(float(reference.sum()), 1e-30)
    e_value = (
        scale * value / np.sqrt(np.interp(d_star_sq, known, mean_calculated) * epsilon(observed.missing, symmetry))
    )
    e_value *= np.minimum(1.0, 2.0 / np.maximum(np.abs(e_value), 1e-30))
    shape = np.interp(d_star_sq, known, falloff(observed, symmetry)[order])
    return e_value * np.interp(d_star_sq, known, trust[order]) * shape ** (1.0 - sharpness)
