"""Sets of Miller indices: hemispheres, Laue orbits, missing reflections."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.model import UnitCell

ASSUMED_LARGEST = 4096  # |h|, |k|, |l| below this: packs an index into one integer


def rotations_of(operations: gemmi.GroupOps) -> NDArray[np.int32]:
    """Return the rotation parts of the symmetry operations, (k, 3, 3); ``hkl @ rotation`` is equivalent to ``hkl``."""
    return np.array([operation.rot for operation in operations.sym_ops], dtype=np.int32) // gemmi.Op.DEN


def to_hemisphere(hkl: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return each index or its Friedel mate, whichever has the last non-zero of (h, k, l) positive, and who flipped."""
    h, k, l = hkl.T
    flipped = (l < 0) | ((l == 0) & ((k < 0) | ((k == 0) & (h < 0))))
    return np.where(flipped[:, None], -hkl, hkl).astype(np.int32), flipped


def pack(hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return one integer per index, (n,): equal exactly for equal indices."""
    wide = np.asarray(hkl, dtype=np.int64) + ASSUMED_LARGEST
    return (wide[:, 0] * (2 * ASSUMED_LARGEST) + wide[:, 1]) * (2 * ASSUMED_LARGEST) + wide[:, 2]


def expand_to_p1(hkl: NDArray[np.int32], operations: gemmi.GroupOps) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the P1 hemisphere (n, 3) of the orbits of `hkl` (m, 3), and for each the row of `hkl` it came from.

    Where two rows are equivalent the first one counts.
    """
    images = np.einsum("mi,kij->kmj", hkl, rotations_of(operations)).reshape(-1, 3)
    images, _ = to_hemisphere(images)
    parent = np.tile(np.arange(len(hkl)), len(images) // max(1, len(hkl)))
    order = np.lexsort((parent, pack(images)))
    images, parent = images[order], parent[order]
    first = np.ones(len(images), dtype=bool)
    first[1:] = np.diff(pack(images)) != 0
    return images[first], parent[first]


def sphere(cell: UnitCell, operations: gemmi.GroupOps, d_min_angstrom: float) -> NDArray[np.int32]:
    """Return all indices of the P1 hemisphere down to `d_min_angstrom` that the centring allows, without 0 0 0."""
    reciprocal = fractionalisation(cell)
    direct = orthogonalisation(cell)
    limit = np.floor(np.linalg.norm(direct, axis=0) / d_min_angstrom + 1e-9).astype(int)
    h, k, l = (np.arange(-top, top + 1) for top in limit)
    grid = np.stack(np.meshgrid(h, k, l[l >= 0], indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[~to_hemisphere(grid)[1] & grid.any(axis=1)]
    grid = grid[np.linalg.norm(grid @ reciprocal, axis=1) <= 1.0 / d_min_angstrom * (1 + 1e-9)]
    return grid[centring_allows(grid, operations)].astype(np.int32)


def centring_allows(hkl: NDArray[np.int32], operations: gemmi.GroupOps) -> NDArray[np.bool_]:
    """Tell which indices (n, 3) are not extinguished by the lattice centring."""
    allowed = np.ones(len(hkl), dtype=bool)
    for vector in operations.cen_ops:
        allowed &= (hkl @ np.array(vector, dtype=np.int64)) % gemmi.Op.DEN == 0
    return allowed


def general_class(hkl: NDArray[np.int32], operations: gemmi.GroupOps) -> NDArray[np.int64]:
    """Return how many Laue rotations map each index (n, 3) on itself, (n,): 1 for a general reflection."""
    images = np.einsum("ni,kij->kni", hkl, rotations_of(operations).transpose(0, 2, 1))
    return (images == hkl).all(axis=2).sum(axis=0)
