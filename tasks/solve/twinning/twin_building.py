"""Models of twins: built on shared-out intensities, judged on those measured."""

from typing import NamedTuple

import numpy as np

from tasks.crystal.contents import non_hydrogen
from tasks.crystal.scattering import scattering_factor
from tasks.crystal.twin_laws import orbit_number
from tasks.solve.building.atoms import Model
from tasks.solve.building.cross_validation import CYCLES, ENOUGH_TESTED, FOLDS, SEED, rows_of, shaken_atoms
from tasks.solve.building.least_squares import Free, r_factor, refine
from tasks.solve.building.map_coefficients import correlation_coefficient, weak_reflections
from tasks.solve.building.model_building import Built, complete, fitted_as_given
from tasks.solve.building.ranking import Judgement, judge_built
from tasks.solve.twinning.twin_model import Mixture, TwinTask, detwinned, mixture

BUILDINGS = 2
"""Of a model: once from the atoms of a trial, once more from the better shared-out intensities. The four twins of
tests/synthetic/twins.py have all atoms after the first or the second."""
FITS = 6
"""Least squares between two sharings, at most; a model that gains no more ends it before. R1 of the same four falls
from 0.05 after the first building to 0.015."""
LEAST_GAIN = 0.002
"""Of R1 in one of these."""
HOPELESS_R1 = 0.45
"""After the first building: right models of the same four had 0.26 at most, with elements still exchanged."""
WELL_NAMED_R1 = 0.04
"""Below, other elements are not tried: right models of the same four have 0.01 to 0.02, those with one wrong element
more than 0.06."""
RENAMING_GAIN = 0.005
"""Of R1 by another element of one atom; calcium in place of tungsten gains 0.1 in scheelite, chosen well below."""
ROUNDS_LEFT_OUT = 3
"""Of sharing out and fitting without a fifth of the reflections. Chosen, not measured: the shaken atoms move by 0.1 A,
which the second round has taken back."""


class BuiltTwin(NamedTuple):
    """A model of a twin: its figures are those of both crystals against what was measured."""

    built: Built
    fraction: float
    """Of the second crystal."""


def build_twin(twin: TwinTask, start: Model) -> BuiltTwin:
    """Return the best model that pseudo-atoms lead to, by R1 of both crystals."""
    best: BuiltTwin | None = None
    model = start
    for _ in range(BUILDINGS):
        found = _fitted(twin, complete(detwinned(twin, mixture(twin, model)), model))
        if best is None or found.built.fit.r1 < best.built.fit.r1:
            best = found
        if found.built.fit.r1 > HOPELESS_R1:
            break
        model = _as_powers(twin, best.built.fit.model)
    if best is None:
        raise ValueError("a model is built at least once")
    return _renamed(twin, best) if best.built.fit.r1 < HOPELESS_R1 else best


def _renamed(twin: TwinTask, start: BuiltTwin) -> BuiltTwin:
    """Return the model with other elements of the composition where R1 of both crystals is lower with them.

    Intensities that were shared out by a model with wrong elements ask for these again.
    """
    elements = sorted(non_hydrogen(twin.task.composition))
    best = start
    for row in range(len(start.built.fit.model.element)):
        if best.built.fit.r1 < WELL_NAMED_R1:
            break
        for name in elements:
            model = best.built.fit.model
            if name == model.element[row]:
                continue
            other = model._replace(element=(*model.element[:row], name, *model.element[row + 1 :]))
            trial = _measured(twin, fitted_as_given(detwinned(twin, mixture(twin, other)), other))
            if trial.built.fit.r1 < best.built.fit.r1 - RENAMING_GAIN:
                best = trial
    return best if best is start else _fitted(twin, best.built)


def _fitted(twin: TwinTask, built: Built) -> BuiltTwin:
    """Return a model after fits to intensities that are shared out anew each time, until R1 rests."""
    best = _measured(twin, built)
    for _ in range(FITS if best.built.fit.r1 < HOPELESS_R1 else 0):
        again = fitted_as_given(detwinned(twin, mixture(twin, best.built.fit.model)), best.built.fit.model)
        trial = _measured(twin, again)
        gain = best.built.fit.r1 - trial.built.fit.r1
        if gain <= 0:
            break
        best = trial
        if gain < LEAST_GAIN:
            break
    return best


def _measured(twin: TwinTask, built: Built) -> BuiltTwin:
    """Return a model with R1 and correlations of both crystals against the intensities as they were measured."""
    found: Mixture = mixture(twin, built.fit.model)
    observed, symmetry = twin.observed, twin.task.symmetry
    calculated = found.calculated
    fit = built.fit._replace(calculated=calculated, r1=r_factor(observed, calculated))
    figures = {
        "correlation": correlation_coefficient(observed, calculated, symmetry),
        "r_weak": weak_reflections(observed, calculated, symmetry),
    }
    return BuiltTwin(built._replace(fit=fit, **figures), found.fraction)


def _as_powers(twin: TwinTask, model: Model) -> Model:
    """Return a model with elements as pseudo-atoms of the reference element, their powers as occupancies."""
    at = np.array([float(np.median(twin.observed.d_star_sq))])
    radiation, reference = twin.observed.radiation, twin.task.reference
    unit = float(scattering_factor(reference, at, radiation)[0])
    power = np.array([float(scattering_factor(name, at, radiation)[0]) / unit for name in model.element])
    return model._replace(element=(reference,) * len(model.element), occupancy=model.occupancy * power)


def judge_twin(twin: TwinTask, found: BuiltTwin) -> Judgement:
    """Return the verdict on the model of a twin, by the rules for any first model."""
    return judge_built(twin.task, found.built, left_out=lambda: free_r_of_twin(twin, found.built.fit.model))


def free_r_of_twin(twin: TwinTask, model: Model) -> float:
    """Return R1 on F, for I > 2 sigma(I), of reflections left out of the fit of a twin; 1 if there is none.

    As `tasks.solve.building.cross_validation.free_r`. Reflections that symmetry or the law relate are left out
    together: each tells what the other is. What is left out is shared out by no one, and compared as measured.
    """
    observed, symmetry = twin.observed, twin.task.symmetry
    rng = np.random.default_rng(SEED)
    orbit = orbit_number(observed.hkl, symmetry.hall, (np.eye(3), twin.law))
    fold = (rng.permutation(int(orbit.max()) + 1) % FOLDS)[orbit]
    shaken = shaken_atoms(model, observed, symmetry, rng)
    difference, total, tested = 0.0, 0.0, 0
    for number in range(FOLDS):
        seen = fold != number
        fitted = shaken
        for _ in range(ROUNDS_LEFT_OUT):
            shared = detwinned(twin, mixture(twin, fitted, seen)).observed
            fitted = refine(fitted, rows_of(shared, seen), symmetry, free=Free(u_iso=True), cycles=CYCLES).model
        calculated = np.abs(mixture(twin, fitted, seen).calculated)
        judged = ~seen & observed.strong
        difference += float(np.abs(observed.amplitude - calculated)[judged].sum())
        total += float(observed.amplitude[judged].sum())
        tested += int(judged.sum())
        if tested >= ENOUGH_TESTED:
            break
    return difference / total if total > 0 else 1.0
