"""Distances and bonds between the atoms of a draft, symmetry included."""

from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import BOND_TOLERANCE_ANGSTROM, SHORTEST_BOND_FRACTION, covalent_radii, shortest_bond
from tasks.crystal.contacts import contacts as find_contacts
from tasks.crystal.sites import site_orders
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import UnitCell
from tasks.refine.draft import DraftAtom

SAME_PLACE_ANGSTROM = 0.3
"""An atom refined to this from its own image is one atom on a special position: no two can be that near."""


class Contact(NamedTuple):
    """Two atoms near each other: `vector` runs in cartesian angstrom from atom `first` to an image of `second`."""

    first: int
    second: int
    distance: float
    vector: tuple[float, float, float]


def contacts(
    from_positions: NDArray[np.float64], to_positions: NDArray[np.float64], hall: str, cell: UnitCell, *, cutoff: float
) -> list[Contact]:
    """Return all pairs up to `cutoff` (angstrom), images of the second atom under the group included.

    Images of one atom within 0.3 A of each other are one. When both lists are the same array, an image of an atom
    within 0.3 A of the atom itself is the atom: it is left out.

    Parameters
    ----------
    from_positions, to_positions
        (n, 3) and (m, 3) fractional coordinates.
    """
    start = np.asarray(from_positions, dtype=np.float64).reshape(-1, 3)
    target = np.asarray(to_positions, dtype=np.float64).reshape(-1, 3)
    near = find_contacts(
        start,
        target,
        operations_from_hall(hall),
        cell,
        within_angstrom=cutoff,
        same_angstrom=SAME_PLACE_ANGSTROM,
    )
    if from_positions is to_positions:
        near = near.where((near.first != near.second) | (near.distance >= SAME_PLACE_ANGSTROM))
    pairs: dict[tuple[int, int], list[Contact]] = {}
    for k in np.lexsort((near.second, near.first, near.operation, near.distance)):
        first, second, vector = int(near.first[k]), int(near.second[k]), tuple(near.cartesian[k].tolist())
        pairs.setdefault((first, second), []).append(Contact(first, second, float(near.distance[k]), vector))
    return [contact for images in pairs.values() for contact in images]


def site_order(position: Sequence[float], hall: str, cell: UnitCell) -> int:
    """Return how many operations of the group leave a place where it is (within 0.1 A), 1 on a general position."""
    return int(site_orders(np.array([position]), operations_from_hall(hall), cell)[0])


def bonds(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[Contact]:
    """Return the bonds: pairs closer than the sum of the covalent radii plus 0.4 A; each is listed from both ends.

    Two hydrogen atoms do not bond, nor do a metal and a hydrogen atom, nor two electropositive atoms: they are near
    each other because both bond to the atom between them.
    """
    radii = covalent_radii([atom.element for atom in atoms])
    if not len(radii):
        return []
    positions = np.array([atom.position for atom in atoms])
    cutoff = 2.0 * float(radii.max()) + BOND_TOLERANCE_ANGSTROM
    near = contacts(positions, positions, hall, cell, cutoff=cutoff)
    return [
        pair
        for pair in near
        if pair.distance <= radii[pair.first] + radii[pair.second] + BOND_TOLERANCE_ANGSTROM
        and not _never_bond(atoms[pair.first].element, atoms[pair.second].element)
    ]


def _never_bond(first: str, second: str) -> bool:
    if electropositive(first) and electropositive(second):
        return True
    if first in {"H", "D"}:
        return second in {"H", "D"} or gemmi.Element(second).is_metal
    return second in {"H", "D"} and gemmi.Element(first).is_metal


def electropositive(element: str) -> bool:
    """Tell whether an element is a metal, or silicon, boron or germanium."""
    return element in {"Si", "B", "Ge"} or bool(gemmi.Element(element).is_metal)


def close_contacts(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[Contact]:
    """Return the pairs that are nearer than the shortest bond of their elements, each once."""
    radii = covalent_radii([atom.element for atom in atoms])
    if not len(radii):
        return []
    positions = np.array([atom.position for atom in atoms])
    near = contacts(positions, positions, hall, cell, cutoff=2.0 * SHORTEST_BOND_FRACTION * float(radii.max()))
    return [
        pair
        for pair in near
        if pair.first <= pair.second
        and pair.distance < shortest_bond(atoms[pair.first].element, atoms[pair.second].element)
    ]
