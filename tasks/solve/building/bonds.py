"""What the distances between atoms say: connected parts, atoms too close, and how bonds agree with radii."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.crystal.contacts import Contacts, contacts_among, covalent_radii
from tasks.crystal.lattice import metric
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell

SELF_ANGSTROM = 0.1
"""Peaks are never nearer to each other: what is, is one atom and its image on a special position."""
TYPICAL_DIFFERENCE_ANGSTROM = -0.06
"""Of bonds to sums of covalent radii: the mean of the 49 organic crystals that set MEAN_LENGTHS of
tasks/refine/bond_scale.py, standard deviation 0.035 between them. The 51 others have -0.05, the ten minerals of
tests/synthetic/structures.py -0.06. It all but cancels in ratios of `axes`; `gain`, which should be small for a right
cell, is 0.30 in the mean of the 51 (0.63 with -0.10, 0.62 with 0)."""
SOFTNESS = 1.0
"""Keeps axes along which there are few bonds from running away."""


class BondFit(NamedTuple):
    """How bonds agree with covalent radii: ``short``, the part of them below 0.8 of the sum of radii.

    ``axes`` (3,): factors of a, b, c with which they would agree best; ``gain``: the part of the squares of the
    differences that these factors remove.
    """

    short: float
    axes: NDArray[np.float64]
    gain: float


def neighbours(
    position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell, *, within_angstrom: float
) -> Contacts:
    """Return all contacts of atoms (m, 3) up to a distance, each image once, an atom with itself left out."""
    return contacts_among(
        position, symmetry.operations(), cell, within_angstrom=within_angstrom, same_angstrom=SELF_ANGSTROM
    )


def fit_of_bonds(near: Contacts, bonds: NDArray[np.bool_], element: tuple[str, ...], cell: UnitCell) -> BondFit:
    """Return how bonds (a mask of the contacts) agree with the sums of covalent radii, and what axes would mend it."""
    rows = np.flatnonzero(bonds)
    if len(rows) == 0:
        return BondFit(0.0, np.ones(3), 0.0)
    radius = covalent_radii(element)
    expected = radius[near.first[rows]] + radius[near.second[rows]]
    difference = near.distance[rows] - expected
    # a factor 1 + e of an axis changes the square of a length by 2 e v_j (G v)_j, the length by half of that over it
    turned = near.vector[rows] @ metric(cell)
    slope = near.vector[rows] * turned / near.distance[rows][:, None]
    centred = difference - TYPICAL_DIFFERENCE_ANGSTROM
    shift, *_ = np.linalg.lstsq(np.vstack([slope, SOFTNESS * np.eye(3)]), np.append(-centred, np.zeros(3)), rcond=None)
    after = centred + slope @ shift
    gain = 1.0 - float(after @ after) / max(float(centred @ centred), 1e-12)
    return BondFit(float((difference < -0.2 * expected).mean()), 1.0 + shift, gain)


def parts(near: Contacts, bonds: NDArray[np.bool_], count: int) -> tuple[int, int]:
    """Return the number of connected parts of `count` atoms (symmetry images joined) and the size of the largest."""
    links = coo_array((np.ones(int(bonds.sum())), (near.first[bonds], near.second[bonds])), shape=(count, count))
    number, member = connected_components(links, directed=False)
    return int(number), int(np.bincount(member).max()) if count else 0


def too_close(
    position: NDArray[np.float64], rank: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell, *, limit: float
) -> NDArray[np.bool_]:
    """Tell which atoms are nearer than `limit` to a higher-ranked atom or to their own image, (m,)."""
    near = neighbours(position, symmetry, cell, within_angstrom=limit)
    drop = np.zeros(len(position), dtype=bool)
    for row in np.argsort(-rank, kind="stable"):
        mine = near.first == row
        others = near.second[mine]
        drop[row] = bool(((others == row) | ((rank[others] > rank[row]) & ~drop[others])).any())
    return drop
