"""Neighbours of the atoms of a draft with the operation that makes each, so that what is turned can be turned along."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import Contacts, contacts_among, is_bond
from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.crystal.symmetry import operations_from_hall
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.geometry import SAME_PLACE_ANGSTROM, electropositive

FURTHEST_BONDS = 3
"""Atoms up to so many bonds apart are near each other for their bonds, as in a torsion angle: molecules do not touch
there."""
SAME_IMAGE_ANGSTROM = 0.05
"""Two ways over bonds to one atom end nearer than this: rounding of coordinates on special positions."""


class Neighbourhood(NamedTuple):
    """Contacts within a distance, which of them are bonds, and the cartesian rotations (g, 3, 3) of the operations."""

    atoms: tuple[DraftAtom, ...]
    near: Contacts
    bonded: NDArray[np.bool_]
    rotations: NDArray[np.float64]

    def bonds(self) -> Contacts:
        """Return the bonds, each from both ends."""
        return self.near.where(self.bonded)


def neighbourhood(draft: Draft, atoms: Sequence[DraftAtom], *, within_angstrom: float) -> Neighbourhood:
    """Return the contacts of some atoms of a draft with each other, images included.

    Bonds are those of `tasks.refine.geometry.bonds`: no longer than the covalent radii and 0.4 A, not between two
    hydrogen atoms, two electropositive atoms, or hydrogen and a metal.
    """
    cell, operations = draft.unit_cell, operations_from_hall(draft.hall)
    orthogonal, fractional = orthogonalisation(cell), fractionalisation(cell)
    rotations = orthogonal @ operations.rotations @ fractional
    places = np.array([atom.position for atom in atoms]).reshape(-1, 3)
    near = contacts_among(places, operations, cell, within_angstrom=within_angstrom, same_angstrom=SAME_PLACE_ANGSTROM)
    elements = [atom.element for atom in atoms]
    hydrogen = np.array([element in {"H", "D"} for element in elements], dtype=bool)
    positive = np.array([electropositive(element) for element in elements], dtype=bool)
    metal = np.array([gemmi.Element(element).is_metal for element in elements], dtype=bool)
    one, other = near.first, near.second
    never = (positive[one] & positive[other]) | (hydrogen[one] & (hydrogen[other] | metal[other]))
    never |= hydrogen[other] & metal[one]
    return Neighbourhood(tuple(atoms), near, is_bond(near, elements) & ~never, rotations)


def within_bonds(around: Neighbourhood) -> NDArray[np.bool_]:
    """Tell which contacts lead to an atom that is reached over at most three bonds, (k,)."""
    bonds = around.bonds()
    rows = [np.flatnonzero(bonds.first == index) for index in range(len(around.atoms))]
    near = around.near
    reached = around.bonded.copy()
    for index in range(len(around.atoms)):
        ends = _reachable(index, bonds, rows, around.rotations)
        mine = np.flatnonzero(near.first == index)
        if len(ends) and len(mine):
            apart = np.linalg.norm(near.cartesian[mine][:, None, :] - ends[None, :, :], axis=2).min(axis=1)
            reached[mine] |= apart < SAME_IMAGE_ANGSTROM
    return reached


def _reachable(
    start: int, bonds: Contacts, rows: Sequence[NDArray[np.int64]], rotations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the vectors (n, 3) from an atom to all that it reaches over at most three bonds."""
    frontier = [(start, np.zeros(3), np.eye(3))]
    ends: list[NDArray[np.float64]] = []
    for _ in range(FURTHEST_BONDS):
        following = []
        for atom, place, turn in frontier:
            for row in rows[atom]:
                end = place + turn @ bonds.cartesian[row]
                ends.append(end)
                following.append((int(bonds.second[row]), end, turn @ rotations[bonds.operation[row]]))
        frontier = _once(following)
    return np.array(ends).reshape(-1, 3)


def _once(
    reached: Sequence[tuple[int, NDArray[np.float64], NDArray[np.float64]]],
) -> list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """Return each place once."""
    places: dict[tuple[int, int, int], tuple[int, NDArray[np.float64], NDArray[np.float64]]] = {}
    for entry in reached:
        x, y, z = np.round(entry[1] / SAME_IMAGE_ANGSTROM).astype(int).tolist()
        places.setdefault((x, y, z), entry)
    return list(places.values())
