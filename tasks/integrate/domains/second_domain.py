"""Whether the spots that a lattice leaves over are of the same lattice in another orientation."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice_match import isometries
from tasks.integrate.geometry.mapping import Crystal
from tasks.integrate.geometry.refinement import Refined, refine_geometry
from tasks.integrate.geometry.state import CrystalSystem, Freedom
from tasks.integrate.indexing.axis_search import index_with
from tasks.integrate.indexing.lattice_score import cell_parameters, reduced
from tasks.integrate.indexing.lattice_search import FURTHER_FRACTION, FURTHER_SCORE, index_predicted
from tasks.integrate.settings import IntegrationSettings
from tasks.integrate.spots.spot_search import Spots
from tasks.model import NotIndexedError, UnitCell
from tasks.model.arrays import Floats, Integers

SAME_LENGTH, SAME_ANGLE_DEG = 0.02, 2.0
"""Within which a lattice is the same as another of the same frames, relative and in degrees: one camera length measured
both, so that only the errors of the spots count. Chosen, not measured: other lattices of a mixture hardly ever come so
near."""
ROUNDS = 2
"""Of refinement, each with the spots indexed by the one before, as for the first lattice."""


class SecondDomain(NamedTuple):
    """The second lattice: ``refined`` in the cell and the geometry of the first; ``spots`` that it alone explains.

    ``choices``: matrices (3, 3), ``hkl @ matrix`` are the indices in every way that the lattice allows, of which the
    intensities must choose; the first is the identity.
    """

    refined: Refined
    spots: int
    choices: tuple[Integers, ...]

    def turn_from(self, first: Refined) -> Rotation:
        """Return the rotation from the first domain to this one, at goniometer zero."""
        left, _, right = np.linalg.svd(self.refined.crystal.basis @ np.linalg.inv(first.crystal.basis))
        return Rotation.from_matrix(left @ right)


def second_domain(
    first: Refined, primitive: Floats, spots: Spots, *, system: CrystalSystem, settings: IntegrationSettings
) -> SecondDomain | None:
    """Return the second domain of a non-merohedral twin, None where the rest of the spots shows none.

    Parameters
    ----------
    first
        The refined lattice in its conventional cell.
    primitive
        (3, 3): hkl_conventional = hkl_primitive @ primitive.
    """
    rest = spots.where(~index_predicted(first, spots)[1])
    if len(rest.frame) < max(settings.min_spots, FURTHER_FRACTION * len(spots.frame)):
        return None
    found = index_with(first.geometry, rest, settings.max_cell_angstrom)
    if found is None or found.lattice.score < FURTHER_SCORE:
        return None
    bases = _laid_upon(found.lattice.basis, first.crystal.basis @ primitive.T)
    if not bases:
        return None
    in_conventional = [basis @ np.linalg.inv(primitive.T) for basis in bases]
    try:
        refined = _oriented(first, in_conventional[0], rest, system)
    except NotIndexedError:
        return None
    count = int(np.count_nonzero(index_predicted(refined, rest)[1]))
    if count < max(settings.min_spots, FURTHER_FRACTION * len(spots.frame) * FURTHER_SCORE):
        return None
    return SecondDomain(refined, count, _choices(in_conventional))


def _laid_upon(found: Floats, wanted: Floats) -> list[Floats]:
    """Return the bases (columns a*, b*, c*) of a lattice that look like another's, best first."""
    own, other = reduced(np.asarray(np.linalg.inv(found))), reduced(np.asarray(np.linalg.inv(wanted)))
    matrices = isometries(
        UnitCell.of(cell_parameters(own)),
        UnitCell.of(cell_parameters(other)),
        length_tolerance=SAME_LENGTH,
        angle_tolerance_deg=SAME_ANGLE_DEG,
    )
    # rows of `wanted` in terms of its reduced cell: direct axes = change @ reduced axes
    change = np.rint(np.linalg.inv(wanted) @ np.linalg.inv(other))
    return [np.asarray(np.linalg.inv(change @ (matrix.T @ own))) for matrix in matrices]


def _oriented(first: Refined, basis: Floats, rest: Spots, system: CrystalSystem) -> Refined:
    """Return the first lattice's cell in the orientation of a basis, refined against the spots that are left over."""
    left, _, right = np.linalg.svd(basis @ np.linalg.inv(first.crystal.basis))
    crystal = Crystal(left @ right @ first.crystal.basis, first.crystal.correction)
    refined = first._replace(crystal=crystal)
    for _ in range(ROUNDS):
        hkl, indexed = index_predicted(refined, rest)
        held = Freedom(system=system, cell=False, axis=False, frames=False)
        moved = refine_geometry(first.geometry, refined.crystal, rest.where(indexed), hkl[indexed], freedom=held)
        refined = first._replace(crystal=moved.crystal._replace(correction=first.crystal.correction))
    return refined


def _choices(bases: list[Floats]) -> tuple[Integers, ...]:
    """Return how indices in the first of several bases of one lattice turn into those of each."""
    found = [np.rint(np.linalg.inv(basis) @ bases[0]).T.astype(np.int64) for basis in bases]
    return tuple({matrix.tobytes(): matrix for matrix in found}.values())
