"""The molecular graph of a draft: who is bonded to whom, under which operation."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM, contacts_among, covalent_radii
from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import operations_of
from tasks.model import UnitCell

IDENTITY = gemmi.Op("x,y,z")
SAME_ANGSTROM = 0.3
"""Images of an atom nearer than this are one atom on a special position, as in `tasks.refine.geometry`."""


class Bond(NamedTuple):
    """From one atom to an image of another; `vector` in cartesian angstrom, `operation` makes the image."""

    other: int
    operation: gemmi.Op
    vector: NDArray[np.float64]

    @property
    def length(self) -> float:
        """In angstrom."""
        return float(np.linalg.norm(self.vector))

    @property
    def whole(self) -> bool:
        """Whether the other atom is that of the asymmetric unit."""
        return self.operation == IDENTITY


def bonded(
    elements: Sequence[str], positions: NDArray[np.float64], hall: str, cell: UnitCell
) -> tuple[tuple[Bond, ...], ...]:
    """Return the bonds of each atom: distances up to the sum of the covalent radii and 0.4 A.

    Parameters
    ----------
    positions
        (n, 3) fractional coordinates, without hydrogen.
    """
    if not len(elements):
        return ()
    group = gemmi.symops_from_hall(hall)
    radii = covalent_radii(elements)
    reach = 2.0 * float(radii.max()) + BOND_TOLERANCE_ANGSTROM
    operations = operations_of(group)
    near = contacts_among(positions, operations, cell, within_angstrom=reach, same_angstrom=SAME_ANGSTROM)
    near = near.where(near.distance <= radii[near.first] + radii[near.second] + BOND_TOLERANCE_ANGSTROM)
    listed = list(group)
    orthogonal = orthogonalisation(cell)
    found: list[list[Bond]] = [[] for _ in elements]
    for row in np.lexsort((near.distance, near.second, near.first)):
        first, second = int(near.first[row]), int(near.second[row])
        wanted = positions[first] + near.vector[row]
        if np.linalg.norm(orthogonal @ (wanted - positions[second])) < SAME_ANGSTROM:
            operation = IDENTITY
        else:
            operation = _shifted(listed[int(near.operation[row])], positions[second], wanted)
        found[first].append(Bond(second, operation, near.cartesian[row]))
    return tuple(tuple(bonds) for bonds in found)


def _shifted(operation: gemmi.Op, position: NDArray[np.float64], wanted: NDArray[np.float64]) -> gemmi.Op:
    """Return the operation with the lattice vector that takes a position to the image that is wanted."""
    image = np.array(operation.apply_to_xyz(position.tolist()))
    shift = np.round(wanted - image).astype(int)
    return operation.translated([int(x) * gemmi.Op.DEN for x in shift])
