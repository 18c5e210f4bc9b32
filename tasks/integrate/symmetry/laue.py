"""The Laue group that the intensities obey, among those that the lattice allows."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.conventional import conventional_basis, setting_of
from tasks.crystal.lattice import (
    Matrix,
    lattice_rotations,
    primitive_basis,
    reduced_basis,
    symmetrised_cell,
    transformed_cell,
)
from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.reflection_file import Unmerged
from tasks.integrate.symmetry.centring import find_centring
from tasks.integrate.symmetry.laue_score import SymmetryElement, friedel_correlation, rank_subgroups, score_rotations
from tasks.model import UnitCell


class LaueTrial(NamedTuple):
    """One subgroup of the lattice's rotations."""

    symbol: str
    probability: float
    mean_correlation: float | None


class LaueChoice(NamedTuple):
    """The chosen Laue group; ``hkl_conventional = hkl_given @ basis``."""

    laue: gemmi.SpaceGroup
    cell: UnitCell
    basis: NDArray[np.float64]
    """(3, 3): the conventional axes as columns, in terms of the given ones."""
    probability: float
    elements: tuple[SymmetryElement, ...]
    trials: tuple[LaueTrial, ...]
    """All subgroups, most probable first."""

    def reindex(self, hkl: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return indices (n, 3) of the given cell in the conventional one."""
        return np.rint(hkl @ self.basis).astype(np.int32)


def determine_laue_group(data: Unmerged, cell: UnitCell, *, tolerance_deg: float = 3.0, seed: int = 0) -> LaueChoice:
    """Find the Laue group and the conventional cell of intensities in any cell.

    The centring is taken from absent classes, the cell reduced, and every rotation of the lattice scored by the
    correlation of |E| between the reflections it relates, against that of unrelated reflections; the subgroups are
    ranked by Bayes' rule. Source: Evans, Acta Cryst. D67, 282-292 (2011), appendix A1 (POINTLESS). Departures: the
    strain that a symmetry asks of the measured cell counts against it; the correlation of true equivalents is
    integrated over, with a prior about that of Friedel pairs, as electron diffraction data may agree poorly
    throughout; |E| in place of E^2; shells without signal are left out.

    Parameters
    ----------
    tolerance_deg
        Le Page's obliquity up to which the lattice is taken to have an axis; generous, as distorted frames need it.

    Raises
    ------
    ValueError
        If there are no intensities.
    """
    search = _search(data, cell, tolerance_deg, seed)
    conventional = conventional_basis(search.cell, search.rotations)
    basis = search.primitive @ conventional.basis
    return _choice(search, cell, basis, conventional.laue)


def determine_laue_group_in_setting(
    data: Unmerged, cell: UnitCell, *, tolerance_deg: float = 3.0, seed: int = 0
) -> LaueChoice:
    """As `determine_laue_group`, keeping the given axes if the tables know the group with them."""
    search = _search(data, cell, tolerance_deg, seed)
    inverse = np.linalg.inv(search.primitive)
    given = np.rint(inverse).astype(np.int64)
    kept = setting_of(search.rotations, given) if np.abs(inverse - given).max() < 1e-6 else None
    if kept is None:
        conventional = conventional_basis(search.cell, search.rotations)
        return _choice(search, cell, search.primitive @ conventional.basis, conventional.laue)
    return _choice(search, cell, np.eye(3), kept)


class _Search(NamedTuple):
    cell: UnitCell
    primitive: NDArray[np.float64]
    """Reduced axes as columns, in terms of the given cell."""
    rotations: Sequence[Matrix]
    elements: tuple[SymmetryElement, ...]
    groups: Sequence[tuple[Sequence[Matrix], float]]


def _choice(search: _Search, cell: UnitCell, basis: NDArray[np.float64], laue: gemmi.SpaceGroup) -> LaueChoice:
    trials = tuple(
        LaueTrial(
            conventional_basis(search.cell, rotations).laue.xhm(), probability, _mean_cc(rotations, search.elements)
        )
        for rotations, probability in search.groups
    )
    final = symmetrised_cell(transformed_cell(cell, basis), laue)
    return LaueChoice(laue, final, basis, search.groups[0][1], search.elements, trials)


def _search(data: Unmerged, cell: UnitCell, tolerance_deg: float, seed: int) -> _Search:
    if len(data.hkl) == 0:
        raise ValueError("no intensities to find a Laue group for")
    centred = primitive_basis(find_centring(data, cell))
    first = transformed_cell(cell, centred)
    primitive = centred @ reduced_basis(first)
    whole = np.abs(data.hkl @ primitive - np.rint(data.hkl @ primitive)).max(axis=1) < 1e-6
    kept = observations_at(data, whole)
    reduced = transformed_cell(cell, primitive)
    in_reduced = kept._replace(hkl=np.rint(kept.hkl @ primitive).astype(np.int32))
    rotations = lattice_rotations(reduced, tolerance_deg)
    elements = score_rotations(in_reduced, reduced, rotations, seed=seed)
    groups = rank_subgroups(rotations, elements, typical=friedel_correlation(in_reduced, reduced))
    elements = tuple(e._replace(probability=_probability(e, groups)) for e in elements)
    return _Search(reduced, primitive, groups[0][0], elements, groups)


def _mean_cc(rotations: Sequence[Matrix], elements: Sequence[SymmetryElement]) -> float | None:
    keys = {r.tobytes() for r in rotations}
    values = [e.correlation for e in elements if e.rotation.tobytes() in keys and e.correlation is not None]
    return float(np.mean(values)) if values else None


def _probability(element: SymmetryElement, groups: Sequence[tuple[Sequence[Matrix], float]]) -> float:
    key = element.rotation.tobytes()
    return float(sum(p for rotations, p in groups if any(r.tobytes() == key for r in rotations)))
