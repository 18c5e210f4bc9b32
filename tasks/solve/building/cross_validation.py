"""R1 of reflections that the fit has not seen: what tells symmetry from noise that extra atoms can fit."""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import fractionalisation
from tasks.crystal.symmetry import Symmetry, epsilon
from tasks.solve.building.atoms import Model, calculate, stabilisers
from tasks.solve.building.least_squares import Free, IsotropicFit, attenuation, refine
from tasks.solve.data.observations import GroupAmplitudes, shell_mean

FOLDS = 5
"""Each fit sees 80 % of the reflections. R1 of the models that `python -m tests.benchmarks.solve` finds differs by up
to 0.034 between 2, 3, 5 and 10 for cinchonine, by 0.012 at most for the others."""
ENOUGH_TESTED = 400
"""Reflections after which no further part is left out: R1 of so many scatters by less than 0.01."""
CYCLES = 8
"""Until R1 rests: 16 change it by 0.002 at most, 4 by 0.004, on the same models."""
SHAKE_ANGSTROM = 0.08
"""Root mean square move of an atom: well beyond its error, well within the reach of the fit. R1 differs by 0.011 at
most between 0 and 0.3, on the same models."""
SEED = 20150101
"""Any number, the same for all models, so that a verdict does not change between runs; others move R1 of a model by up
to 0.017 (cinchonine)."""
FILLS = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.2)
"""Of the mean intensity, added to all by multiple scattering."""


def free_r(model: Model, observed: GroupAmplitudes, symmetry: Symmetry, *, extinction: float = 0.0) -> float:
    """Return R1 on F, for I > 2 sigma(I), of reflections left out of the isotropic fit; 1 if there is none.

    Source: Brunger, Nature 355, 472-475 (1992), as a cross-validation over fifths of the reflections: a fifth is left
    out, the atoms are shaken, fitted to the rest and tested on it. A model in a subgroup of the true group, or one
    with wrong atoms, fits the errors of the data it sees and fails on the rest.

    Multiple scattering fills weak reflections. A model without centre fits that fill, on average even where it was
    not seen, since two independent parts of a structure factor are rarely both small; one with a centre cannot. So
    that both are judged alike, a fill in proportion to the mean intensity at the same resolution is added to the
    calculated intensities (fitted to the seen reflections too). Extinction stays as it was found with all reflections:
    one parameter tells a fit nothing of those left out, and from shaken atoms it would go astray.
    """
    rng = np.random.default_rng(SEED)
    fold = rng.permutation(len(observed.hkl)) % FOLDS
    shaken = shaken_atoms(model, observed, symmetry, rng)
    mean = _mean_intensity(observed, symmetry)
    difference, total, tested = 0.0, 0.0, 0
    for number in range(FOLDS):
        test = fold == number
        seen = rows_of(observed, ~test)
        fit = refine(shaken, seen, symmetry, free=Free(u_iso=True), cycles=CYCLES, extinction=extinction)
        calculated = _filled(fit, observed, symmetry, mean=mean, seen=~test & observed.strong)
        judged = test & observed.strong
        difference += float(np.abs(observed.amplitude - calculated)[judged].sum())
        total += float(observed.amplitude[judged].sum())
        tested += int(judged.sum())
        if tested >= ENOUGH_TESTED:
            break
    return difference / total if total > 0 else 1.0


def r1_without_structure(observed: GroupAmplitudes, symmetry: Symmetry) -> float:
    """Return R1 on F, for I > 2 sigma(I), of amplitudes that depend on resolution and multiplicity alone; 1 if none.

    What flat intensities give any model: 0.4 for random acentric and 0.6 for centric amplitudes (Wilson), less for
    those that multiple scattering or a twin has made alike.
    """
    factor = np.sqrt(epsilon(observed.hkl, symmetry))
    smooth = factor * shell_mean(observed.amplitude / factor, observed.d_star_sq)
    total = float(observed.amplitude[observed.strong].sum())
    return float(np.abs(observed.amplitude - smooth)[observed.strong].sum()) / total if total > 0 else 1.0


def rows_of(observed: GroupAmplitudes, rows: NDArray[np.bool_]) -> GroupAmplitudes:
    """Return some of the reflections, by a mask (n,)."""
    return observed._replace(
        hkl=observed.hkl[rows],
        amplitude=observed.amplitude[rows],
        sigma=observed.sigma[rows],
        strong=observed.strong[rows],
        d_star_sq=observed.d_star_sq[rows],
        e_value=observed.e_value[rows],
        centric=observed.centric[rows],
    )


def _mean_intensity(observed: GroupAmplitudes, symmetry: Symmetry) -> NDArray[np.float64]:
    factor = epsilon(observed.hkl, symmetry)
    return np.asarray(factor * shell_mean(observed.amplitude**2 / factor, observed.d_star_sq))


def _filled(
    fit: IsotropicFit,
    observed: GroupAmplitudes,
    symmetry: Symmetry,
    *,
    mean: NDArray[np.float64],
    seen: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the calculated amplitudes (n,) with the fill and the scale that suit the `seen` ones best."""
    value = calculate(
        observed.hkl, fit.model, symmetry, cell=observed.cell, radiation=observed.radiation,
        d_star_sq=observed.d_star_sq,
    )  # fmt: skip
    square = np.abs(value) ** 2
    square *= attenuation(square, fit.extinction) ** 2
    square *= mean[seen].sum() / max(float(square[seen].sum()), 1e-30)
    best, least = np.zeros(len(square)), np.inf
    for fill in FILLS:
        trial = np.sqrt(square + fill * mean)
        trial *= (observed.amplitude @ (trial * seen)) / max(float(trial[seen] @ trial[seen]), 1e-30)
        misfit = float(np.abs(observed.amplitude - trial)[seen].sum())
        if misfit < least:
            best, least = trial, misfit
    return best


def shaken_atoms(model: Model, observed: GroupAmplitudes, symmetry: Symmetry, rng: np.random.Generator) -> Model:
    """Return the model with its atoms moved at random, special positions kept, and one U for all."""
    fractional = fractionalisation(observed.cell)
    _, bases = stabilisers(model.position, symmetry, observed.cell)
    moves = rng.normal(size=model.position.shape) * (SHAKE_ANGSTROM / np.sqrt(3.0)) @ fractional.T
    allowed = np.array([basis @ (basis.T @ move) for basis, move in zip(bases, moves, strict=True)])
    u_iso = np.full(len(model.u_iso), float(np.median(model.u_iso)))
    return model._replace(position=model.position + allowed.reshape(-1, 3), u_iso=u_iso)
