"""From phases in a space group to atoms: recycling, least squares, pruning, difference maps, elements."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contents import Budget, non_hydrogen, reference_element
from tasks.crystal.symmetry import Symmetry
from tasks.model import Composition
from tasks.solve.building.atoms import Model, multiplicities
from tasks.solve.building.bonds import neighbours, too_close
from tasks.solve.building.density import MapPlan, density, peaks_in_group
from tasks.solve.building.elements import assign_elements, lightest_power
from tasks.solve.building.least_squares import Free, IsotropicFit, refine
from tasks.solve.building.map_coefficients import (
    correlation_coefficient,
    difference_coefficients,
    falloff,
    weak_reflections,
)
from tasks.solve.building.recycling import SHARPNESS, Recycled, recycle_in_group
from tasks.solve.building.weighting import weigh, weighting_of
from tasks.solve.data.observations import GroupAmplitudes

NEAREST_ANGSTROM = 0.95
"""Atoms other than hydrogen are not nearer than this."""
NEW_PEAK_SIGMA = 4.5
"""Of the difference map: noise gives 0.1 such peaks in the 33 000 points of 1000 A^3 at d_min 1 A (normal, one-sided).
Not sensitive: six sets of `python -m tests.benchmarks.solve` are solved alike with 3.5 and 6."""
ROUNDS = 4
"""Of pruning and difference maps. Most models use all four; six sets of `python -m tests.benchmarks.solve` end at the
same R1 with 2."""
GUEST_CORRELATION = 0.85
"""Of E: below, holes in the model are no guests yet. Chosen, not measured: right models of twelve sets of `python -m
tests.benchmarks.solve` have 0.83 to 0.99, so the poorest of them are not looked into."""
GUEST_SIGMA = 6.0
"""Of the difference map. Chosen, not measured: hydrogen and ripples leave up to 7 in right models of these sets (13 in
UiO-66), so height alone does not do: a guest must stand alone, keep a weight in the fit, and lower R1."""
GUEST_DISTANCE_ANGSTROM = 2.1
"""Atoms that fill a site in part stand alone; hydrogen atoms and the ripples about heavy atoms do not."""
GUEST_POWER = 0.6
"""Of the least power of other atoms."""
POWERS = Free(u_common=True, occupancy=True)
ISOTROPIC, WEAKENED = Free(u_iso=True), Free(u_iso=True, extinction=True)
EXTINCTION_GAIN = 0.01
"""Of R1, what extinction must gain to be kept: without any it gains 0.004 at most by chance (6 structures of
tests/unit/solve/building/test_cross_validation.py), in oxides of strong scatterers 0.1 to 0.2."""
ISOTROPIC_CYCLES = 8
"""Of the last fit; steps that gain little end it before."""


class Built(NamedTuple):
    """A model with elements after the isotropic fit."""

    fit: IsotropicFit
    correlation: float
    r_weak: float
    """Mean calculated E^2 of the weakest tenth."""
    hole: float
    """Depth of the deepest hole of the difference map in its standard deviations."""
    residual: float
    """Height of the highest peak of the difference map in its standard deviations."""


class Task(NamedTuple):
    """What stays the same while one model is built."""

    observed: GroupAmplitudes
    symmetry: Symmetry
    plan: MapPlan
    budget: Budget
    composition: Composition | None

    @property
    def reference(self) -> str:
        """The element of the pseudo-atoms."""
        return reference_element(self.composition, self.observed.radiation)


def build(
    task: Task, phases: NDArray[np.complex128], *, cycles: int, least_correlation: float, rng: np.random.Generator
) -> Built | None:
    """Return the best model from unit phases times merit (n,).

    None where no peak stands out or the correlation of E stays below `least_correlation`.
    """
    observed, symmetry = task.observed, task.symmetry
    start = observed.e_value * phases * falloff(observed, symmetry) ** (1.0 - SHARPNESS)
    start = np.concatenate([start, np.zeros(len(observed.missing))])
    recycled = _recycled(task, start, cycles=cycles, rng=rng)
    if len(recycled.model.element) == 0 or recycled.correlation < least_correlation:
        return None
    return complete(task, recycled.model)


def polish(task: Task, model: Model, *, cycles: int, rng: np.random.Generator) -> Recycled:
    """Return the best model of turns that start from the map of a model, nothing left out."""
    weighting = weighting_of(task.observed, task.symmetry, reference=task.reference, sharpness=SHARPNESS)
    return _recycled(task, weigh(weighting, model).coefficients, cycles=cycles, rng=rng)


def _recycled(task: Task, start: NDArray[np.complex128], *, cycles: int, rng: np.random.Generator) -> Recycled:
    return recycle_in_group(
        start, task.observed, task.symmetry, plan=task.plan, budget=task.budget, reference=task.reference,
        cycles=cycles, rng=rng,
    )  # fmt: skip


def complete(task: Task, model: Model) -> Built:
    """Return the model after pruning, difference maps, element assignment and the isotropic fit."""
    observed, symmetry = task.observed, task.symmetry
    fit = refine(model, observed, symmetry, free=Free(position=False, u_common=True, occupancy=True), cycles=3)
    for _ in range(ROUNDS):
        fit = refine(fit.model, observed, symmetry, free=POWERS, cycles=4)
        kept = _pruned(task, fit.model)
        changed = len(kept.element) != len(fit.model.element)
        grown = _with_new_peaks(task, refine(kept, observed, symmetry, free=POWERS, cycles=3) if changed else fit)
        if not changed and len(grown.element) == len(fit.model.element):
            break
        fit = refine(grown, observed, symmetry, free=POWERS, cycles=4)
    fit = refine(_pruned(task, fit.model), observed, symmetry, free=POWERS, cycles=4)
    if correlation_coefficient(observed, fit.calculated, symmetry) >= GUEST_CORRELATION:
        fit = _with_guests(task, fit)
    return _built(task, _with_elements(task, fit.model))


def fitted_as_given(task: Task, model: Model) -> Built:
    """Return a model with elements after the isotropic fit that ends every building."""
    return _built(task, _isotropic(task, model))


def _isotropic(task: Task, model: Model) -> IsotropicFit:
    """Return the fit with displacements of all atoms, and with extinction where that explains more."""
    observed, symmetry = task.observed, task.symmetry
    plain = refine(model, observed, symmetry, free=ISOTROPIC, cycles=ISOTROPIC_CYCLES)
    weakened = refine(plain.model, observed, symmetry, free=WEAKENED, cycles=ISOTROPIC_CYCLES)
    return weakened if weakened.r1 < plain.r1 - EXTINCTION_GAIN else plain


def _built(task: Task, fit: IsotropicFit) -> Built:
    observed, symmetry = task.observed, task.symmetry
    values = _difference_map(task, fit)
    spread = float(values.std()) or 1.0
    return Built(
        fit,
        correlation_coefficient(observed, fit.calculated, symmetry),
        weak_reflections(observed, fit.calculated, symmetry),
        hole=float(-values.min()) / spread,
        residual=float(values.max()) / spread,
    )


def _with_guests(task: Task, fit: IsotropicFit) -> IsotropicFit:
    """Return the fit with what fills voids in part: too weak for an atom, but significant and bonded to nothing."""
    observed, symmetry = task.observed, task.symmetry
    values = _difference_map(task, fit)
    peaks = peaks_in_group(values, symmetry, observed.cell, most=max(4, len(fit.model.element) // 2))
    height = peaks.height / float(values.std())
    rows = np.flatnonzero(height > GUEST_SIGMA)
    least = _least_power(task, fit.model)
    known = len(fit.model.element)
    added = Model(
        (fit.model.element[0],) * len(rows), peaks.position[rows],
        np.full(len(rows), float(np.median(fit.model.u_iso))), np.full(len(rows), least), height[rows],
    )  # fmt: skip
    joined = fit.model.plus(added)
    near = neighbours(joined.position, symmetry, observed.cell, within_angstrom=GUEST_DISTANCE_ANGSTROM)
    rank = np.concatenate([np.full(known, np.inf), height[rows]])
    alone = np.bincount(near.first[near.second < known], minlength=len(rank)) == 0
    alone &= ~too_close(joined.position, rank, symmetry, observed.cell, limit=NEAREST_ANGSTROM)
    alone[:known] = True
    if alone.sum() == known:
        return fit
    grown = refine(joined.take(np.flatnonzero(alone)), observed, symmetry, free=POWERS, cycles=6).model
    strong = grown.occupancy > GUEST_POWER * least
    strong[:known] = True
    fuller = refine(grown.take(np.flatnonzero(strong)), observed, symmetry, free=POWERS, cycles=4)
    return fuller if fuller.r1 < fit.r1 else fit


def _with_elements(task: Task, powers: Model) -> IsotropicFit:
    """Return the isotropic fit with elements: assigned, refined, and assigned once more from the better positions."""
    observed, symmetry = task.observed, task.symmetry

    def fitted(model: Model) -> IsotropicFit:
        named = assign_elements(
            model, symmetry, observed.cell, composition=task.composition, radiation=observed.radiation
        )
        return _isotropic(task, named)

    first = fitted(powers)
    second = fitted(powers._replace(position=first.model.position))
    return second if second.r1 < first.r1 + 0.005 else first


def _pruned(task: Task, model: Model) -> Model:
    """Return the atoms whose scattering power is that of an atom, apart from each other, within the budget."""
    symmetry, cell = task.symmetry, task.observed.cell
    order = np.argsort(-model.occupancy, kind="stable")
    multiplicity = multiplicities(model.position, symmetry, cell)
    inside = np.empty(len(order), dtype=bool)
    inside[order] = np.cumsum(multiplicity[order]) - multiplicity[order] / 2 <= task.budget.high
    close = too_close(model.position, model.occupancy, symmetry, cell, limit=NEAREST_ANGSTROM)
    keep = (model.occupancy > _least_power(task, model)) & ~close & inside
    keep[order[0]] = True
    return model.take(np.flatnonzero(keep))


def _least_power(task: Task, model: Model) -> float:
    """Return the occupancy below which a pseudo-atom is noise: 0.45 of the lightest element, or of the typical atom."""
    multiplicity = multiplicities(model.position, task.symmetry, task.observed.cell)
    if not non_hydrogen(task.composition):
        order = np.argsort(-model.occupancy, kind="stable")
        expected = order[np.cumsum(multiplicity[order]) - multiplicity[order] <= task.budget.expected]
        return 0.4 * float(np.median(model.occupancy[expected]))
    return 0.45 * lightest_power(model, multiplicity, composition=task.composition, radiation=task.observed.radiation)


def _difference_map(task: Task, fit: IsotropicFit) -> NDArray[np.float32]:
    coefficients = difference_coefficients(task.observed, fit.calculated)
    return density(np.concatenate([coefficients, np.zeros(len(task.observed.missing))]), task.plan)


def _with_new_peaks(task: Task, fit: IsotropicFit) -> Model:
    """Return the model with the significant peaks of its difference map, as light pseudo-atoms."""
    values = _difference_map(task, fit)
    room = max(4, len(fit.model.element) // 3)
    peaks = peaks_in_group(values, task.symmetry, task.observed.cell, most=room)
    new = peaks.height > NEW_PEAK_SIGMA * float(values.std())
    count = int(new.sum())
    if count == 0:
        return fit.model
    occupancy = np.full(count, 1.2 * _least_power(task, fit.model))
    added = Model(
        (fit.model.element[0],) * count, peaks.position[new], np.full(count, float(np.median(fit.model.u_iso))),
        occupancy, peaks.height[new] / float(values.std()),
    )  # fmt: skip
    joined = fit.model.plus(added)
    rank = np.concatenate([np.full(len(fit.model.element), 1e9) + fit.model.occupancy, peaks.height[new]])
    close = too_close(joined.position, rank, task.symmetry, task.observed.cell, limit=NEAREST_ANGSTROM)
    close[: len(fit.model.element)] = False
    return joined.take(np.flatnonzero(~close))
