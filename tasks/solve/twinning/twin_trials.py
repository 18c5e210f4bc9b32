"""Trials of dual-space direct methods against the intensities of two crystals.

As `tasks.solve.search.group_search`, but in every turn the intensities are shared out between the crystals by the atoms
of that turn, and what is compared with them is calculated for both.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.correlation import correlation
from tasks.crystal.symmetry import epsilon
from tasks.crystal.twin_laws import twin_indices
from tasks.solve.building.atoms import START_U, Model, site_orders
from tasks.solve.building.density import density, peaks_in_group
from tasks.solve.building.equal_atoms import EqualAtoms, arrange, structure_factors_of
from tasks.solve.building.recycling import Recycled, empty_model, model_of_peaks
from tasks.solve.building.weighting import weigh, weighting_of
from tasks.solve.data.observations import shell_mean
from tasks.solve.search.group_search import (
    CONVERGED_CORRELATION,
    NEAREST_ANGSTROM,
    OMITTED,
    PEAKS_PER_ATOM,
    POWER,
    SEARCH_SHARPNESS,
    random_start,
)
from tasks.solve.twinning.twin_model import TwinTask


def search_twin(twin: TwinTask, fraction: float, *, turns: int, rng: np.random.Generator) -> Recycled:
    """Return the pseudo-atoms of the best turn, by the correlation of E of both crystals.

    Parameters
    ----------
    fraction
        Of the second crystal, as it is thought to be.
    """
    task = twin.task
    observed, symmetry = task.observed, task.symmetry
    most = PEAKS_PER_ATOM * task.budget.expected
    count = int(np.ceil(most / symmetry.order)) * (1 if symmetry.order <= 8 else 3) + 4
    weighting = weighting_of(observed, symmetry, reference=task.reference, sharpness=SEARCH_SHARPNESS)
    crystals = _crystals(twin)
    best = Recycled(empty_model(), -1.0, 0)
    coefficients = random_start(task, rng)
    for turn in range(turns):
        values = density(coefficients, task.plan)
        peaks = peaks_in_group(values, symmetry, observed.cell, most=count, nearest_angstrom=NEAREST_ANGSTROM)
        model = model_of_peaks(
            peaks, symmetry, observed, budget=task.budget._replace(high=most), reference=task.reference,
            spread=float(values.std()),
        )  # fmt: skip
        kept = np.flatnonzero(rng.random(len(model.element)) >= OMITTED)
        if len(kept) == 0:
            coefficients = random_start(task, rng)
            continue
        model = model.take(kept)
        model = model._replace(occupancy=model.occupancy**POWER)
        agreement, share = _shared(twin, crystals, model, fraction)
        if agreement > best.correlation:
            best = Recycled(model, agreement, turn + 1)
        if agreement > CONVERGED_CORRELATION:
            break
        own = observed._replace(e_value=observed.e_value * np.sqrt(share))
        coefficients = weigh(weighting._replace(observed=own), model).coefficients
    return best


def _crystals(twin: TwinTask) -> tuple[EqualAtoms, EqualAtoms]:
    observed = twin.observed
    first, second = (
        arrange(
            hkl, twin.task.symmetry, element=twin.task.reference, u_iso=START_U, d_star_sq=observed.d_star_sq,
            radiation=observed.radiation,
        )
        for hkl in (observed.hkl, twin_indices(observed.hkl, twin.law))
    )  # fmt: skip
    return first, second


def _shared(
    twin: TwinTask, crystals: tuple[EqualAtoms, EqualAtoms], model: Model, fraction: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the correlation of E measured and of both crystals, and the share of the first in each intensity, (n,)."""
    observed, symmetry = twin.observed, twin.task.symmetry
    power = model.occupancy / site_orders(model.position, symmetry, observed.cell)
    first, second = (np.abs(structure_factors_of(atoms, model.position, power)) ** 2 for atoms in crystals)
    both = (1.0 - fraction) * first + fraction * second
    reduced = np.maximum(both, 1e-12 * float(both.max())) / epsilon(observed.hkl, symmetry)
    e_both = np.sqrt(reduced / shell_mean(reduced, observed.d_star_sq))
    return correlation(observed.e_value, e_both) or 0.0, first / np.maximum(both, 1e-12 * float(both.max()))
