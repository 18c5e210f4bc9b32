"""A non-merohedral twin: its observations as they were measured, each the sum over domains of fraction x F^2."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import d_star_squared
from tasks.integrate import DomainOverlaps, Reflections, read_overlaps, separated, write_overlaps
from tasks.model import InputError
from tasks.refine.draft import Draft, UniqueIntensities
from tasks.solve import Solution

LIMIT_TOLERANCE = 1e-6
"""Relative, of a resolution limit: rounding."""


def with_overlaps(found: UniqueIntensities, data: Reflections, solution: Solution) -> UniqueIntensities:
    """Return the intensities with the observations of all domains beside them, if the data are a non-merohedral twin's.

    In the axes of the solution, to the same resolution, without observations that its space group forbids; the
    reflection that stands for an observation is the last of its rows: of the first domain that may have it.

    Raises
    ------
    InputError
        If the solution's setting gives indices that are not whole.
    """
    if data.overlaps is None:
        return found
    overlaps = in_axes(read_overlaps(data.overlaps), solution)
    inner = d_star_squared(overlaps.hkl, solution.unit_cell) <= (1 + LIMIT_TOLERANCE) / found.d_min_angstrom**2
    absent = systematically_absent(overlaps.hkl, solution.hall)
    count = len(overlaps.intensity)
    whole = np.bincount(overlaps.observation, ~inner, count) == 0
    allowed = np.bincount(overlaps.observation, ~absent, count) > 0
    order = np.lexsort((-overlaps.domain, ~absent, overlaps.observation))
    ranked = overlaps._replace(
        hkl=overlaps.hkl[order], domain=overlaps.domain[order], observation=overlaps.observation[order]
    )
    path = found.table.path.with_name("overlaps.npz")
    return found.model_copy(update={"overlaps": write_overlaps(ranked.chosen(whole & allowed), path)})


def in_axes(overlaps: DomainOverlaps, solution: Solution) -> DomainOverlaps:
    """Return the observations indexed in the cell of a solution.

    Raises
    ------
    InputError
        If that gives indices that are not whole.
    """
    exact = overlaps.hkl @ np.array(solution.to_solution_cell, dtype=np.float64).T
    hkl = np.rint(exact)
    if len(hkl) and float(np.abs(exact - hkl).max()) > 1e-3:
        raise InputError(f"the setting of {solution.space_group} turns hkl of a twin domain into fractions")
    return overlaps.reindexed(hkl.astype(np.int32))


def systematically_absent(hkl: NDArray[np.int32], hall: str) -> NDArray[np.bool_]:
    """Return which reflections (n, 3) a space group forbids, (n,)."""
    operations = gemmi.symops_from_hall(hall)
    return np.array([operations.is_systematically_absent(row) for row in hkl.tolist()], dtype=np.bool_)


def with_domains(draft: Draft, intensities: UniqueIntensities) -> Draft:
    """Return the draft with the fractions of the domains to start from, if the intensities are of several."""
    if intensities.overlaps is None:
        return draft
    return draft.model_copy(update={"domains": separated(read_overlaps(intensities.overlaps)).fractions})
