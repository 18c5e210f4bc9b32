"""How the indices of one cell may be those of another."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import primitive_basis, reduced_basis, transformed_cell
from tasks.crystal.lattice_match import isometries
from tasks.model import UnitCell

LENGTH_TOLERANCE, ANGLE_TOLERANCE_DEG = 0.03, 2.5
"""As two crystals of one form may differ (`crystal_match` of integration); wider ones only add changes."""
WHOLE = 1e-3
"""How far a whole index may be from what a change of axes gives: its entries are ratios of small whole numbers."""

Change = NDArray[np.float64]
"""(3, 3): ``hkl_new = hkl @ change``, indices as rows."""


def index_changes(cell: UnitCell, centring: str, onto: UnitCell, onto_centring: str) -> list[Change]:
    """Return all changes of right-handed axes that lay one lattice upon another, best first; none if they differ.

    Parameters
    ----------
    centring, onto_centring
        Letters of the lattices, P to F.
    """
    first, second = _reduced(cell, centring), _reduced(onto, onto_centring)
    found = isometries(
        transformed_cell(cell, first),
        transformed_cell(onto, second),
        length_tolerance=LENGTH_TOLERANCE,
        angle_tolerance_deg=ANGLE_TOLERANCE_DEG,
    )
    return [first @ basis @ np.linalg.inv(second) for basis in found]


def changed(hkl: NDArray[np.int32], change: Change) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the indices (n, 3) that a change gives, rounded, and which of them are whole, (n,)."""
    exact = hkl.astype(np.float64) @ change
    whole = np.abs(exact - np.rint(exact)).max(axis=1, initial=0.0) <= WHOLE
    return np.rint(exact).astype(np.int32), whole


def orbit(hkl: tuple[int, int, int], operations: gemmi.GroupOps) -> NDArray[np.int32]:
    """Return the reflections (k, 3) that the rotations of a group make of one, each once, the one itself first."""
    images = {tuple(operation.apply_to_hkl(hkl)) for operation in operations.sym_ops} - {hkl}
    return np.array([hkl, *sorted(images)], dtype=np.int32)


def _reduced(cell: UnitCell, centring: str) -> Change:
    primitive = primitive_basis(centring)
    return primitive @ reduced_basis(transformed_cell(cell, primitive))
