"""Special positions: which operations leave an atom where it is, and how many images of it a cell holds."""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import Operations
from tasks.model import UnitCell

SITE_ANGSTROM = 0.1
"""An image nearer than this to its atom is the atom: refined coordinates leave a special position by less, and no two
atoms are that near."""


def stabilised(
    position: NDArray[np.float64], operations: Operations, cell: UnitCell, *, within_angstrom: float = SITE_ANGSTROM
) -> NDArray[np.bool_]:
    """Tell which of the operations leave each position (m, 3) where it is, (m, operations)."""
    images = np.einsum("oij,mj->moi", operations.rotations, position) + operations.translations
    delta = images - position[:, None, :]
    delta -= np.round(delta)
    return np.asarray(np.linalg.norm(delta @ orthogonalisation(cell).T, axis=2) < within_angstrom)


def site_orders(position: NDArray[np.float64], operations: Operations, cell: UnitCell) -> NDArray[np.float64]:
    """Return how many operations leave each position (m, 3) where it is, (m,): 1 on a general position."""
    return stabilised(position, operations, cell).sum(axis=1).astype(np.float64)


def site_multiplicities(position: NDArray[np.float64], operations: Operations, cell: UnitCell) -> NDArray[np.float64]:
    """Return how many distinct images each position (m, 3) has in the cell, (m,)."""
    return len(operations.rotations) / site_orders(position, operations, cell)
