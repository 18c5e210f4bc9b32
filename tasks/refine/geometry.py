"""Distances and bonds between the atoms of a draft, symmetry included."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.sites import site_orders
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import UnitCell
from tasks.refine.draft import DraftAtom

BOND_TOLERANCE_ANGSTROM = 0.4
SHORTEST_BOND_FRACTION = 0.75
SAME_PLACE_ANGSTROM = 0.3


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
    rotations, translations = operations_from_hall(hall)
    orthogonal = orthogonalisation(cell)
    shifts = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
    start = np.asarray(from_positions, dtype=np.float64).reshape(-1, 3)
    target = np.asarray(to_positions, dtype=np.float64).reshape(-1, 3)
    found: dict[tuple[int, int, tuple[int, int, int]], Contact] = {}
    for rotation, translation in zip(rotations, translations, strict=True):
        delta = (target @ rotation.T + translation)[None, :, :] - start[:, None, :]
        delta -= np.round(delta)
        vectors = (delta[:, :, None, :] + shifts) @ orthogonal.T
        distances = np.linalg.norm(vectors, axis=-1)
        for i, j, s in zip(*np.nonzero(distances <= cutoff), strict=True):
            vector = vectors[i, j, s]
            key = (int(i), int(j), tuple(np.round(vector / SAME_PLACE_ANGSTROM).astype(int).tolist()))
            found.setdefault(key, Contact(int(i), int(j), float(distances[i, j, s]), tuple(vector.tolist())))
    distinct = _distinct(list(found.values()))
    if from_positions is not to_positions:
        return distinct
    return [pair for pair in distinct if pair.first != pair.second or pair.distance >= SAME_PLACE_ANGSTROM]


def _distinct(pairs: list[Contact]) -> list[Contact]:
    kept: dict[tuple[int, int], list[Contact]] = {}
    for pair in sorted(pairs, key=lambda contact: contact.distance):
        others = kept.setdefault((pair.first, pair.second), [])
        vector = np.array(pair.vector)
        if all(np.linalg.norm(vector - np.array(other.vector)) >= SAME_PLACE_ANGSTROM for other in others):
            others.append(pair)
    return [pair for pairs_of in kept.values() for pair in pairs_of]


def site_order(position: Sequence[float], hall: str, cell: UnitCell) -> int:
    """Return how many operations of the group leave a place where it is (within 0.1 A), 1 on a general position."""
    return int(site_orders(np.array([position]), operations_from_hall(hall), cell)[0])


def covalent_radius(element: str) -> float:
    """Return the covalent radius in angstrom (Cordero et al., Dalton Trans. 2832, 2008, as in gemmi)."""
    return float(gemmi.Element(element).covalent_r)


def bonds(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[Contact]:
    """Return the bonds: pairs closer than the sum of the covalent radii plus 0.4 A; each is listed from both ends.

    Two hydrogen atoms do not bond, nor do a metal and a hydrogen atom, nor two electropositive atoms: they are near
    each other because both bond to the atom between them.
    """
    radii = np.array([covalent_radius(atom.element) for atom in atoms])
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
    """Return the pairs that are too near to be two atoms: below 0.75 of the sum of covalent radii, each once."""
    radii = np.array([covalent_radius(atom.element) for atom in atoms])
    if not len(radii):
        return []
    positions = np.array([atom.position for atom in atoms])
    near = contacts(positions, positions, hall, cell, cutoff=2.0 * SHORTEST_BOND_FRACTION * float(radii.max()))
    return [
        pair
        for pair in near
        if pair.first <= pair.second
        and pair.distance < SHORTEST_BOND_FRACTION * (radii[pair.first] + radii[pair.second])
    ]
