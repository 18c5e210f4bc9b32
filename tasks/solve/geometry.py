"""Distances between atoms with symmetry: neighbours, bonds, connected parts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.crystal.lattice import fractionalisation, metric, orthogonalisation
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell
from tasks.solve.contents import covalent_radius

BOND_TOLERANCE_ANGSTROM = 0.4
SELF_ANGSTROM = 0.1
TYPICAL_DIFFERENCE_ANGSTROM = -0.10
SOFTNESS = 1.0
"""Keeps axes along which there are few bonds from running away."""


class Contacts(NamedTuple):
    """Pairs of an atom and an image of an atom (or of itself): rows ``first``, ``second`` (k,), and ``distance``.

    ``vector`` (k, 3): from the first to the second, fractional.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]
    vector: NDArray[np.float64]


class BondFit(NamedTuple):
    """How bonds agree with covalent radii: ``short``, the part of them below 0.8 of the sum of radii.

    ``axes`` (3,): factors of a, b, c with which they would agree best; ``gain``: the part of the squares of the
    differences that these factors remove.
    """

    short: float
    axes: NDArray[np.float64]
    gain: float


def contacts(position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell, *, within_angstrom: float) -> Contacts:
    """Return all contacts of atoms (m, 3) up to a distance, each image once, an atom with itself left out."""
    rotations, translations = symmetry.operations()
    orthogonal = orthogonalisation(cell)
    images = np.einsum("oij,mj->moi", rotations, position) + translations
    images -= np.floor(images)
    shifts = _lattice_shifts(cell, within_angstrom)
    first, second, distance, vector = [], [], [], []
    for row, centre in enumerate(position):
        delta = images - (centre - np.floor(centre))
        delta -= np.round(delta)
        fractional = delta[:, :, None, :] + shifts
        spread = fractional @ orthogonal.T
        length = np.linalg.norm(spread, axis=-1)
        atom, op, shift = np.nonzero((length < within_angstrom) & (length > SELF_ANGSTROM))
        vectors = np.round(spread[atom, op, shift] / SELF_ANGSTROM).astype(np.int64)
        # an atom on a special position has coincident images: count each once
        _, once = np.unique(np.column_stack([atom, vectors]), axis=0, return_index=True)
        first.append(np.full(len(once), row))
        second.append(atom[once])
        distance.append(length[atom, op, shift][once])
        vector.append(fractional[atom, op, shift][once])
    if not first:
        return Contacts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 3)))
    return Contacts(np.concatenate(first), np.concatenate(second), np.concatenate(distance), np.concatenate(vector))


def fit_of_bonds(near: Contacts, bonded: NDArray[np.bool_], element: tuple[str, ...], cell: UnitCell) -> BondFit:
    """Return how bonds (a mask of the contacts) agree with the sums of covalent radii, and what axes would mend it."""
    rows = np.flatnonzero(bonded)
    if len(rows) == 0:
        return BondFit(0.0, np.ones(3), 0.0)
    radius = np.array([covalent_radius(name) for name in element])
    expected = radius[near.first[rows]] + radius[near.second[rows]]
    difference = near.distance[rows] - expected
    # a factor 1 + e of an axis changes the square of a length by 2 e v_j (G v)_j, the length by half of that over it
    turned = near.vector[rows] @ metric(cell)
    slope = near.vector[rows] * turned / near.distance[rows][:, None]
    # bonds between carbon and oxygen atoms are shorter than their single bonds by a tenth of an angstrom on average
    centred = difference - TYPICAL_DIFFERENCE_ANGSTROM
    shift, *_ = np.linalg.lstsq(np.vstack([slope, SOFTNESS * np.eye(3)]), np.append(-centred, np.zeros(3)), rcond=None)
    after = centred + slope @ shift
    gain = 1.0 - float(after @ after) / max(float(centred @ centred), 1e-12)
    return BondFit(float((difference < -0.2 * expected).mean()), 1.0 + shift, gain)


def _lattice_shifts(cell: UnitCell, reach: float) -> NDArray[np.float64]:
    """Return lattice vectors to be added to a shortest-by-axis vector so that none within reach is missed."""
    reciprocal = np.linalg.norm(fractionalisation(cell), axis=1)
    most = np.ceil(reach * reciprocal + 0.5).astype(int)
    axes = [np.arange(-n, n + 1) for n in most]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float64)


def bonds(near: Contacts, element: tuple[str, ...]) -> NDArray[np.bool_]:
    """Tell which contacts are bonds: not longer than the covalent radii and 0.4 A, (k,)."""
    radius = np.array([covalent_radius(name) for name in element])
    if len(near.first) == 0:
        return np.zeros(0, dtype=bool)
    return near.distance < radius[near.first] + radius[near.second] + BOND_TOLERANCE_ANGSTROM


def parts(near: Contacts, bonded: NDArray[np.bool_], count: int) -> tuple[int, int]:
    """Return the number of connected parts of `count` atoms (symmetry images joined) and the size of the largest."""
    links = coo_array((np.ones(int(bonded.sum())), (near.first[bonded], near.second[bonded])), shape=(count, count))
    number, member = connected_components(links, directed=False)
    return int(number), int(np.bincount(member).max()) if count else 0


def too_close(
    position: NDArray[np.float64], rank: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell, *, limit: float
) -> NDArray[np.bool_]:
    """Tell which atoms are nearer than `limit` to a higher-ranked atom or to their own image, (m,)."""
    near = contacts(position, symmetry, cell, within_angstrom=limit)
    drop = np.zeros(len(position), dtype=bool)
    for row in np.argsort(-rank, kind="stable"):
        mine = near.first == row
        others = near.second[mine]
        drop[row] = bool(((others == row) | ((rank[others] > rank[row]) & ~drop[others])).any())
    return drop
