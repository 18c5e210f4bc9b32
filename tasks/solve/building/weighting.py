"""Weighted Fourier coefficients from equal pseudo-atoms, at every turn of a search.

Source: Sim, Acta Cryst. 13, 511-512 (1960); Read, Acta Cryst. A42, 140-149 (1986). The variance is estimated from
the correlation of E^2 observed and calculated, in shells, rather than by maximum likelihood.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tasks.crystal.correlation import correlation
from tasks.crystal.scattering import d_star_squared
from tasks.crystal.symmetry import Symmetry, epsilon
from tasks.solve.building.atoms import START_U, Model, site_orders
from tasks.solve.building.equal_atoms import EqualAtoms, arrange, structure_factors_of
from tasks.solve.building.map_coefficients import falloff
from tasks.solve.data.observations import GroupAmplitudes, Shells, shells_of, smooth_mean

SIGMA_A_REFLECTIONS = 150
"""In a shell: the error of a correlation is then 0.08. Not sensitive: six sets of `python -m tests.benchmarks.solve`
are solved in as many trials with 50 and with 450."""
MOST_FILLED = 2.0
"""|E| that a missing reflection is given at most."""


class Weighting(NamedTuple):
    """What stays the same while models are weighed against one set of reflections: n observed, k missing."""

    observed: GroupAmplitudes
    symmetry: Symmetry
    atoms: EqualAtoms
    """Of the observed, then the missing reflections, (n + k,)."""
    factor: NDArray[np.float64]
    """(n,) epsilon."""
    shells: Shells
    coarse: Shells
    """Of sigma-A."""
    spread: NDArray[np.float64]
    """Of the observed E^2 in the coarse shells, and below their deviations from the mean, in the order of these."""
    deviation: NDArray[np.float64]
    shape: NDArray[np.float64]
    """(n + k,) the fall-off that `sharpness` leaves."""
    factor_missing: NDArray[np.float64]
    order: NDArray[np.int64]
    """(n,) by resolution."""
    sharp_missing: NDArray[np.float64]
    """(k,) 1/d^2 of the missing reflections."""


def weighting_of(observed: GroupAmplitudes, symmetry: Symmetry, *, reference: str, sharpness: float) -> Weighting:
    """Return the weighting for pseudo-atoms of the element `reference`.

    `sharpness` 1 gives coefficients on the scale of E, 0 on that of F, 0.5 the geometric mean.
    """
    missing_sq = d_star_squared(observed.missing, observed.cell)
    hkl, d_star_sq = np.concatenate([observed.hkl, observed.missing]), np.concatenate([observed.d_star_sq, missing_sq])
    coarse = shells_of(observed.d_star_sq, int(np.clip(len(observed.hkl) // SIGMA_A_REFLECTIONS, 1, 8)))
    shape = falloff(observed, symmetry)
    order = np.argsort(observed.d_star_sq, kind="stable")
    at_missing = np.interp(missing_sq, observed.d_star_sq[order], shape[order])
    square = (observed.e_value**2)[coarse.order]
    deviation = square - np.repeat(coarse.mean(square), coarse.size)
    return Weighting(
        observed=observed,
        symmetry=symmetry,
        atoms=arrange(
            hkl, symmetry, element=reference, u_iso=START_U, d_star_sq=d_star_sq, radiation=observed.radiation
        ),
        factor=epsilon(observed.hkl, symmetry),
        shells=shells_of(observed.d_star_sq),
        coarse=coarse,
        spread=np.sqrt(coarse.mean(deviation**2)),
        deviation=deviation,
        shape=np.concatenate([shape, at_missing]) ** (1.0 - sharpness),
        factor_missing=epsilon(observed.missing, symmetry),
        order=order,
        sharp_missing=missing_sq,
    )


class Weighed(NamedTuple):
    """Map coefficients (n + k,), and the correlation of E observed and calculated over all observed reflections."""

    coefficients: NDArray[np.complex128]
    correlation: float


def weigh(weighting: Weighting, model: Model) -> Weighed:
    """Return 2 m Eo - D Ec (m Eo for centric reflections), then D Ec for the missing ones, (n + k,)."""
    observed = weighting.observed
    power = model.occupancy / site_orders(model.position, weighting.symmetry, observed.cell)
    value = structure_factors_of(weighting.atoms, model.position, power)
    calculated, filled = value[: len(observed.hkl)], value[len(observed.hkl) :]
    modulus = np.abs(calculated)
    reduced = modulus**2 / weighting.factor
    mean = smooth_mean(weighting.shells, reduced)
    e_calculated = np.sqrt(reduced / mean)
    trust = _sigma_a(weighting, e_calculated)
    argument = 2.0 * trust * observed.e_value * e_calculated / (1.0 - trust**2)
    merit = np.where(
        observed.centric, np.tanh(argument / 2), special.i1e(argument) / np.maximum(special.i0e(argument), 1e-300)
    )
    best = np.where(observed.centric, 1.0, 2.0) * merit * observed.e_value
    best -= np.where(observed.centric, 0.0, trust * e_calculated)
    measured = best * calculated / np.maximum(modulus, 1e-30)
    coefficients = np.concatenate([measured, _filled(weighting, filled, mean=mean, trust=trust)])
    coefficients *= weighting.shape
    return Weighed(coefficients, correlation(observed.e_value, e_calculated) or 0.0)


def _sigma_a(weighting: Weighting, e_calculated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of observed and calculated E, (n,), from that of E^2 in a few shells; 0.05 to 0.98."""
    coarse = weighting.coarse
    square = (e_calculated**2)[coarse.order]
    mean = coarse.mean(square)
    spread = np.sqrt(np.maximum(coarse.mean(square**2) - mean**2, 0.0)) * weighting.spread
    product = coarse.mean(square * weighting.deviation)
    correlation = np.where(spread > 0, product / np.maximum(spread, 1e-30), 0.0)
    return coarse.between(np.sqrt(np.clip(correlation, 0.0025, 0.96)))


def _filled(
    weighting: Weighting, value: NDArray[np.complex128], *, mean: NDArray[np.float64], trust: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return D Ec of the missing reflections, (k,), by the fall-off of those measured."""
    order = weighting.order
    known = weighting.observed.d_star_sq[order]
    expected = np.interp(weighting.sharp_missing, known, mean[order]) * weighting.factor_missing
    e_value = value / np.sqrt(expected)
    e_value *= np.minimum(1.0, MOST_FILLED / np.maximum(np.abs(e_value), 1e-30))
    return e_value * np.interp(weighting.sharp_missing, known, trust[order])
