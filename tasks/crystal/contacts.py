"""Atoms near each other, symmetry included, and which of them are bonded."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.crystal.symmetry import Operations
from tasks.model import UnitCell

BOND_TOLERANCE_ANGSTROM = 0.4
"""What a bond may be longer than the sum of the covalent radii, as in the connectivity rules of the CSD."""
SHORTEST_BOND_FRACTION = 0.75
"""Of the sum of covalent radii: nearer atoms are no bonded pair (the triple bond of nitrogen has 0.77)."""
OXO_FRACTION = 0.66
"""The same of a metal and oxygen or nitrogen, which bind by multiple bonds: uranyl has 0.67 (1.76 A: Burns, Can.
Mineral. 43, 1839, 2005), nitrides of vanadium 0.70, vanadyl of V2O5 0.72 (1.58 A)."""
MOST_BONDS = {"C": 4, "N": 4, "O": 2, "F": 1, "Cl": 1, "Br": 1, "I": 1}
"""Bonds that an atom forms to atoms other than metals, by its valence; more are unlikely."""
COINCIDENT_ANGSTROM = 0.01
"""Grid on which images of an atom on a special position fall together, up to rounding errors."""
FEW_IMAGES = 100
"""Atoms times operations, up to which all are looked at: a tree costs more than it saves. Contacts of 300 atoms of P 21
took 0.23 CPU s without one."""


class Contacts(NamedTuple):
    """Pairs of an atom and an image of an atom: rows ``first``, ``second`` (k,), and ``distance`` (k,) in angstrom.

    ``vector`` (k, 3): from the first to the second, fractional; ``cartesian`` (k, 3): the same in angstrom;
    ``operation`` (k,): which operation makes the image, up to a lattice vector.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]
    vector: NDArray[np.float64]
    cartesian: NDArray[np.float64]
    operation: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> "Contacts":
        """Return some of the pairs."""
        return Contacts(
            self.first[chosen],
            self.second[chosen],
            self.distance[chosen],
            self.vector[chosen],
            self.cartesian[chosen],
            self.operation[chosen],
        )


def contacts(
    start: NDArray[np.float64],
    target: NDArray[np.float64],
    operations: Operations,
    cell: UnitCell,
    *,
    within_angstrom: float,
    same_angstrom: float,
) -> Contacts:
    """Return all pairs of an atom of `start` (n, 3) and an image of one of `target` (m, 3) up to a distance.

    An atom of both lists is paired with itself at distance zero.

    Parameters
    ----------
    same_angstrom
        Images of one atom nearer to each other than this are one: the atom is on a special position, or close to it.
    """
    orthogonal = orthogonalisation(cell)
    images = np.einsum("oij,mj->moi", operations.rotations, target) + operations.translations
    shifts = _lattice_shifts(cell, within_angstrom)
    within_reach = _images_near(start, images, cell, within_angstrom)
    found = []
    for row, centre in enumerate(start):
        near_atom, near_op = within_reach(row)
        delta = images[near_atom, near_op] - centre
        delta -= np.round(delta)
        fractional = delta[:, None, :] + shifts
        spread = fractional @ orthogonal.T
        length = np.linalg.norm(spread, axis=-1)
        pair, shift = np.nonzero(length <= within_angstrom)
        atom, op = near_atom[pair], near_op[pair]
        once = _distinct(atom, spread[pair, shift], length[pair, shift], same_angstrom)
        rows = pair[once], shift[once]
        first = np.full(len(once), row)
        found.append((first, atom[once], length[rows], fractional[rows], spread[rows], op[once]))
    if not found:
        none, nowhere = np.zeros(0, np.int64), np.zeros((0, 3))
        return Contacts(none, none, np.zeros(0), nowhere, nowhere, none)
    return Contacts(*(np.concatenate(column) for column in zip(*found, strict=True)))


def contacts_among(
    position: NDArray[np.float64],
    operations: Operations,
    cell: UnitCell,
    *,
    within_angstrom: float,
    same_angstrom: float,
) -> Contacts:
    """Return the contacts of atoms (m, 3) with each other and with their own images, from both ends.

    What is nearer than `same_angstrom` counts as one atom and is left out.
    """
    near = contacts(position, position, operations, cell, within_angstrom=within_angstrom, same_angstrom=same_angstrom)
    return near.where(near.distance > same_angstrom)


def covalent_radius(element: str) -> float:
    """Return the covalent radius in angstrom (Cordero et al., Dalton Trans. 2832-2838, 2008, as tabulated by gemmi)."""
    return float(gemmi.Element(element).covalent_r)


def covalent_radii(elements: Sequence[str]) -> NDArray[np.float64]:
    """Return the covalent radii in angstrom, (n,)."""
    return np.array([covalent_radius(element) for element in elements], dtype=np.float64)


def shortest_bond(one: str, other: str) -> float:
    """Return the least distance in angstrom at which atoms of two elements are a bonded pair."""
    metal = gemmi.Element(one).is_metal != gemmi.Element(other).is_metal
    fraction = OXO_FRACTION if metal and {one, other} & {"N", "O"} else SHORTEST_BOND_FRACTION
    return fraction * (covalent_radius(one) + covalent_radius(other))


def is_bond(near: Contacts, elements: Sequence[str]) -> NDArray[np.bool_]:
    """Tell which contacts of atoms of these elements are no longer than a bond, (k,): covalent radii and 0.4 A."""
    radii = covalent_radii(elements)
    return near.distance <= radii[near.first] + radii[near.second] + BOND_TOLERANCE_ANGSTROM


def _images_near(
    start: NDArray[np.float64], images: NDArray[np.float64], cell: UnitCell, reach: float
) -> Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return what tells for an atom of `start` which images (m, o, 3) may come within reach by a lattice vector.

    Of few images all; of many those that a tree of their places finds, so that the work grows with the number of atoms
    and not with its square.
    """
    count, operations = images.shape[:2]
    if count * operations <= FEW_IMAGES:
        every = np.divmod(np.arange(count * operations), max(operations, 1))
        return lambda _: every
    from scipy import spatial  # of large structures only

    orthogonal = orthogonalisation(cell)
    margin = reach * np.linalg.norm(fractionalisation(cell), axis=1) + 1e-6
    shifts = _lattice_shifts(cell, 2.0 * reach + 1e-3)
    wrapped = images.reshape(-1, 3) % 1.0
    places = wrapped[:, None, :] + shifts
    inside = ((places > -margin) & (places < 1.0 + margin)).all(axis=2)
    number = np.nonzero(inside)[0]
    tree = spatial.cKDTree(places[inside] @ orthogonal.T)
    hits = tree.query_ball_point((start % 1.0) @ orthogonal.T, reach + 1e-6)
    return lambda row: np.divmod(np.unique(number[np.asarray(hits[row], dtype=np.int64)]), operations)


def _lattice_shifts(cell: UnitCell, reach: float) -> NDArray[np.float64]:
    """Return lattice vectors to be added to a shortest-by-axis vector so that none within reach is missed."""
    reciprocal = np.linalg.norm(fractionalisation(cell), axis=1)
    most = np.ceil(reach * reciprocal + 0.5).astype(int)
    axes = [np.arange(-n, n + 1) for n in most]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float64)


def _distinct(
    atom: NDArray[np.int64], vector: NDArray[np.float64], length: NDArray[np.float64], same_angstrom: float
) -> NDArray[np.int64]:
    """Return one row of each distinct image, sorted by atom: of images that are one, the nearest."""
    grid = np.round(vector / COINCIDENT_ANGSTROM).astype(np.int64)
    _, rows = np.unique(np.column_stack([atom, grid]), axis=0, return_index=True)
    apart = np.linalg.norm(vector[rows, None, :] - vector[None, rows, :], axis=-1)
    close = (apart < same_angstrom) & (atom[rows, None] == atom[None, rows])
    np.fill_diagonal(close, val=False)
    kept = ~close.any(axis=1)
    for row in np.flatnonzero(~kept)[np.argsort(length[rows][~kept], kind="stable")]:
        kept[row] = not kept[close[row]].any()
    return rows[kept]
