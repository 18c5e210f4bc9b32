"""Dual-space direct methods in a given space group, from random phases.

Source: SHELXD's scheme (Usón & Sheldrick, Curr. Opin. Struct. Biol. 9, 643-648, 1999): peaks, some of them left out
at random in every turn, structure factors, map. Departure: the maps are 2 m Eo - D Ec with the missing reflections
filled in (`weigh`) in place of tangent refinement, which keeps wrong peaks from confirming themselves.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.solve.building.density import density, peaks_in_group
from tasks.solve.building.map_coefficients import falloff
from tasks.solve.building.model_building import Task
from tasks.solve.building.recycling import Recycled, empty_model, model_of_peaks
from tasks.solve.building.weighting import weigh, weighting_of
from tasks.solve.data.observations import GroupAmplitudes

OMITTED = 0.3
"""SHELXD's default (WEED 0.3); measured together with `POWER`."""
POWER = 0.7
"""Of peak heights, as occupancies: twice as many trials solve a structure as with 0.15 left out and heights as they are
(41 of 200 trials in place of 21 of 190 on seven sets, the same CPU time; six of them were not used to choose it)."""
PEAKS_PER_ATOM = 1.1
"""Atoms expected by volume are right to some 10 % (`atom_budget`): rather too many than too few."""
SEARCH_SHARPNESS = 0.8
"""Nearer to E (1) than when models are built: a random start has no peaks to keep apart from ripples yet. Chosen, not
measured: the sets that were tried are solved before this search decides."""
NEAREST_ANGSTROM = 0.9
"""Below the shortest distance of atoms other than hydrogen (1.10 A, N2) by as much as peaks of a search are off."""
CONVERGED_CORRELATION = 0.74
"""Wrong structures stay below 0.70 while atoms are being left out; beyond this the search has an end."""


def search_in_group(task: Task, *, turns: int, rng: np.random.Generator) -> Recycled:
    """Return the best model of one trial of up to `turns` turns."""
    observed, symmetry = task.observed, task.symmetry
    most = PEAKS_PER_ATOM * task.budget.expected
    budget = task.budget._replace(high=most)
    count = int(np.ceil(most / symmetry.order)) * (1 if symmetry.order <= 8 else 3) + 4
    best = Recycled(empty_model(), -1.0, 0)
    weighting = weighting_of(observed, symmetry, reference=task.reference, sharpness=SEARCH_SHARPNESS)
    coefficients = random_start(task, rng)
    for turn in range(turns):
        values = density(coefficients, task.plan)
        peaks = peaks_in_group(values, symmetry, observed.cell, most=count, nearest_angstrom=NEAREST_ANGSTROM)
        model = model_of_peaks(
            peaks, symmetry, observed, budget=budget, reference=task.reference, spread=float(values.std())
        )
        kept = np.flatnonzero(rng.random(len(model.element)) >= OMITTED)
        if len(kept) == 0:
            coefficients = random_start(task, rng)
            continue
        model = model.take(kept)
        model = model._replace(occupancy=model.occupancy**POWER)
        coefficients, correlation = weigh(weighting, model)
        if correlation > best.correlation:
            best = Recycled(model, correlation, turn + 1)
        if correlation > CONVERGED_CORRELATION:
            break
    return best


def random_start(task: Task, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return map coefficients of measured E with random phases, (n + k,)."""
    observed: GroupAmplitudes = task.observed
    phase = np.exp(2j * np.pi * rng.random(len(observed.hkl)))
    shape = falloff(observed, task.symmetry) ** (1.0 - SEARCH_SHARPNESS)
    return np.concatenate([observed.e_value * shape * phase, np.zeros(len(observed.missing))])
