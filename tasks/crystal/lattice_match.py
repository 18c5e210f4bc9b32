"""Every way to lay one lattice upon another."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import Matrix, metric
from tasks.model import UnitCell

SEARCH = 2
"""Axes are sought among lattice vectors with coefficients up to this: enough between reduced cells."""


def isometries(cell: UnitCell, onto: UnitCell, *, length_tolerance: float, angle_tolerance_deg: float) -> list[Matrix]:
    """Return the right-handed bases of one primitive cell that look like another, best first.

    These are at once the changes between settings of nearly equal reduced cells and all rotations under which the
    lattice looks the same: every indexing that its metric allows.

    Parameters
    ----------
    length_tolerance
        Of each axis, as a fraction.

    Returns
    -------
    Matrices (3, 3) whose columns are the new axes in terms of those of `cell`: ``hkl_new = hkl @ matrix``.
    """
    tensor = metric(cell)
    wanted = np.array(onto.parameters)
    vectors = np.array([v for v in product(range(-SEARCH, SEARCH + 1), repeat=3) if any(v)], dtype=np.int64)
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", vectors, tensor, vectors))
    close = [vectors[np.abs(lengths / length - 1.0) <= length_tolerance] for length in wanted[:3]]
    found: list[tuple[float, Matrix]] = []
    for a in close[0]:
        for b in _at_angle(close[1], a, tensor, wanted[5], angle_tolerance_deg):
            for c in _at_angle(close[2], a, tensor, wanted[4], angle_tolerance_deg):
                basis = np.stack([a, b, c], axis=1)
                if round(float(np.linalg.det(basis))) == 1 and (
                    abs(_angle(b, c, tensor) - wanted[3]) <= angle_tolerance_deg
                ):
                    found.append((_misfit(basis, tensor, onto), basis))
    return [basis for _, basis in sorted(found, key=lambda pair: (round(pair[0], 9), pair[1].tolist()))]


def _at_angle(
    vectors: NDArray[np.int64], other: NDArray[np.int64], tensor: NDArray[np.float64], wanted: float, tolerance: float
) -> list[NDArray[np.int64]]:
    return [vector for vector in vectors if abs(_angle(vector, other, tensor) - wanted) <= tolerance]


def _angle(a: NDArray[np.int64], b: NDArray[np.int64], tensor: NDArray[np.float64]) -> float:
    cosine = (a @ tensor @ b) / np.sqrt((a @ tensor @ a) * (b @ tensor @ b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _misfit(basis: Matrix, tensor: NDArray[np.float64], onto: UnitCell) -> float:
    target = metric(onto)
    return float(np.abs(basis.T @ tensor @ basis - target).sum() / np.trace(target))
