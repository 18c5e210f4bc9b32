"""Dual-space recycling in a space group: peaks, structure factors, weighted map, peaks.

Source: Sheldrick, Acta Cryst. A71, 3-8 (2015); Sheldrick & Gould, Acta Cryst. B51, 423-431 (1995) for random
omission. Atoms are equal but for an occupancy that follows the height of their peak.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contents import Budget
from tasks.crystal.symmetry import Symmetry
from tasks.solve.building.atoms import START_U, Model, multiplicities
from tasks.solve.building.density import MapPlan, density, peaks_in_group
from tasks.solve.building.weighting import weigh, weighting_of
from tasks.solve.data.observations import GroupAmplitudes
from tasks.solve.groups.origin import FactorTable
from tasks.solve.phasing.peak_search import Peaks

SHARPNESS = 0.6
"""Between F (0) and E (1): narrow peaks against low ripples. Not sensitive: six sets of `python -m
tests.benchmarks.solve` are solved alike with 0.3."""
PATIENCE = 3
"""Turns without gain before atoms are left out. Not sensitive: six sets of `python -m tests.benchmarks.solve` are
solved in as many trials with 1 and with 9."""
TURNS_AFTER_SHAKING = 3
"""A model with atoms left out gets as many turns as patience gives: chosen, not measured."""
OMITTED = 0.3
"""SHELXD's default (WEED 0.3). Not sensitive: the same sets are solved in as many trials with 0.1 and with 0.6."""
GOOD_CORRELATION = 0.93
"""Of E: a model so good needs no patience. Right models of twelve sets end at 0.83 to 0.98, others at 0.37 to 0.83."""
FAIR_CORRELATION = 0.85
"""Such a model is not shaken: least squares mends what is left. Not sensitive: 0.95 gives the same on six sets."""
HOPELESS_CORRELATION = 0.4
"""Ends a run only to save time: wrong models mostly have more, and six sets are solved alike without it."""
TURNS_TO_SHOW = 12
"""Before a run can be hopeless. Chosen, not measured: right models of twelve sets reach their best in 2 to 22 turns."""


class Recycled(NamedTuple):
    """The best model of a run, of equal atoms with occupancies; ``correlation`` of E over all reflections."""

    model: Model
    correlation: float
    cycles: int


def phases_in_group(
    hkl: NDArray[np.int32], p1: FactorTable, symmetry: Symmetry, origin: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return exp(i phi) times a figure of merit in [0, 1] of reflections (n, 3), on the group's origin.

    The mean over the images of each reflection of the P1 structure factors; their scatter lowers the merit.
    """
    total = np.zeros(len(hkl), dtype=np.complex128)
    weight = np.zeros(len(hkl))
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        image = hkl @ rotation
        value = p1.get(image) * np.exp(2j * np.pi * (hkl @ translation - image @ origin))
        total += value
        weight += np.abs(value)
    return total / np.maximum(weight, 1e-30)


def recycle_in_group(
    start: NDArray[np.complex128],
    observed: GroupAmplitudes,
    symmetry: Symmetry,
    *,
    plan: MapPlan,
    budget: Budget,
    reference: str,
    cycles: int,
    rng: np.random.Generator,
) -> Recycled:
    """Return the best of up to `cycles` turns from map coefficients `start`, (n + k,) as of `weigh`.

    When turns bring nothing new, the best model is shaken: a part of its atoms is left out at random.
    """
    weighting = weighting_of(observed, symmetry, reference=reference, sharpness=SHARPNESS)
    coefficients = start
    best = Recycled(empty_model(), -1.0, 0)
    since = 0
    for turn in range(cycles):
        values = density(coefficients, plan)
        peaks = peaks_in_group(values, symmetry, observed.cell, most=_most(budget, symmetry))
        model = model_of_peaks(
            peaks, symmetry, observed, budget=budget, reference=reference, spread=float(values.std())
        )
        if len(model.element) == 0:
            break
        coefficients, correlation = weigh(weighting, model)
        since += 1
        if correlation > best.correlation + 1e-3:
            best, since = Recycled(model, correlation, turn + 1), 0
        if best.correlation > GOOD_CORRELATION and since > 1:
            break
        if best.correlation > FAIR_CORRELATION and since > PATIENCE:
            break
        if turn >= TURNS_TO_SHOW and best.correlation < HOPELESS_CORRELATION:
            break
        if since > PATIENCE:
            shaken = best.model.take(_survivors(best.model, rng))
            coefficients = weigh(weighting, shaken).coefficients
            since = PATIENCE - TURNS_AFTER_SHAKING
    return best


def _survivors(model: Model, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of the atoms that stay: at least one."""
    kept = np.flatnonzero(rng.random(len(model.element)) >= OMITTED)
    return kept if len(kept) else np.array([int(rng.integers(len(model.element)))])


def model_of_peaks(
    peaks: Peaks, symmetry: Symmetry, observed: GroupAmplitudes, *, budget: Budget, reference: str, spread: float
) -> Model:
    """Return equal atoms with occupancies by peak height (the median of the kept ones is 1).

    Peaks are taken from the top until the cell holds the most atoms allowed, or they sink into the noise.
    """
    multiplicity = multiplicities(peaks.position, symmetry, observed.cell)
    inside = np.cumsum(multiplicity) - multiplicity / 2 <= budget.high
    keep = np.flatnonzero(inside & (peaks.height > 1.2 * spread))
    height = peaks.height[keep]
    if len(keep) == 0:
        return empty_model()
    expected = np.cumsum(multiplicity[keep]) <= max(budget.expected, float(multiplicity[keep][0]))
    occupancy = np.clip(height / float(np.median(height[expected])), 0.05, 50.0)
    return Model(
        (reference,) * len(keep), peaks.position[keep], np.full(len(keep), START_U), occupancy, height / spread
    )


def empty_model() -> Model:
    """Return a model without atoms."""
    return Model((), np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0))


def _most(budget: Budget, symmetry: Symmetry) -> int:
    """Return a cap on independent peaks: all may lie on special positions of low multiplicity."""
    return int(np.ceil(budget.high / symmetry.order) * (1.3 if symmetry.order <= 8 else 3.0)) + 10
