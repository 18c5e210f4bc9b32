"""How far intensities agree with a structure that was refined against others: nothing is refined but the scale."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.integrate import Merged, Reflections, Unmerged, merge_equivalents
from tasks.model import InputError, UnitCell
from tasks.refine.observed import reindexed
from tasks.solve import Solution

SAME_CELL = 1e-3
"""Relative difference of lengths, and of angles in radians, up to which a refinement kept the axes of its solution:
least squares on intensities does not move the cell."""


class CalculatedIntensities(NamedTuple):
    """F(calc)^2 of a refined structure in its cell: hkl (n, 3) int32, the rest (n,)."""

    unit_cell: UnitCell
    hkl: NDArray[np.int32]
    f_squared: NDArray[np.float64]


class Agreement(NamedTuple):
    """R1 on F, for I > 2 sigma, and of how many unique reflections."""

    r1: float
    reflections: int


def agreement(data: Reflections, solution: Solution, calculated: CalculatedIntensities) -> Agreement:
    """Return R1 = sum ||Fo| - k |Fc|| / sum |Fo| of intensities that the structure was not refined against.

    k is fitted by least squares on F. Reflections that the structure's table does not hold are left out.

    Parameters
    ----------
    data
        In the axes of those that led to `solution`.

    Raises
    ------
    InputError
        If the refined structure is in other axes than its solution, or has no reflection in common with the data.
    """
    if not _same_axes(solution.unit_cell, calculated.unit_cell):
        raise InputError(f"{data.id}: the structure is in other axes than it was solved in", "compare it by hand")
    laue = _laue_class(solution.hall)
    if laue is None:
        raise InputError(f"{data.id}: {solution.hall} has a setting without a name", "compare it by hand")
    given = reindexed(data, solution)
    observed = _merged(given.hkl, given.intensity, given.sigma, laue)
    model = _merged(calculated.hkl, calculated.f_squared, np.ones(len(calculated.hkl)), laue)
    table = {tuple(row): value for row, value in zip(model.hkl.tolist(), model.intensity.tolist(), strict=True)}
    f_squared = np.array([table.get(tuple(row), np.nan) for row in observed.hkl.tolist()])
    used = np.isfinite(f_squared) & (observed.intensity > 2.0 * observed.sigma)
    if not used.any():
        raise InputError(f"{data.id}: no reflection with I > 2 sigma is in the table of the structure", "")
    fo, fc = np.sqrt(observed.intensity[used]), np.sqrt(np.maximum(f_squared[used], 0.0))
    scale = float(fo @ fc / (fc @ fc))
    return Agreement(float(np.abs(fo - scale * fc).sum() / fo.sum()), int(used.sum()))


def _merged(
    hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64], laue: gemmi.SpaceGroup
) -> Merged:
    zero = np.zeros(len(hkl))
    return merge_equivalents(Unmerged(hkl, intensity, sigma, zero, zero.astype(np.int32)), laue)


def _same_axes(solved: UnitCell, refined: UnitCell) -> bool:
    first, second = np.array(solved.parameters), np.array(refined.parameters)
    lengths = np.abs(first[:3] / second[:3] - 1.0).max()
    angles = np.radians(np.abs(first[3:] - second[3:])).max()
    return bool(max(lengths, angles) < SAME_CELL)


def _laue_class(hall: str) -> gemmi.SpaceGroup | None:
    operations = gemmi.symops_from_hall(hall).derive_symmorphic()
    operations.add_inversion()
    return gemmi.find_spacegroup_by_ops(operations)
