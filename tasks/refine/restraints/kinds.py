"""Which atoms are chemically beyond doubt, by the bonds, angles and hydrogen atoms of the model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.refine.restraints.bond_lengths import AtomKind
from tasks.refine.restraints.bonded import Bond

FLAT_DEG = 345.0
"""Sum of three angles from which an atom is flat: the middle between 328.5 (tetrahedral) and 360 is 344."""
RING_LENGTH_ANGSTROM = (1.33, 1.45)
"""Mean length of the bonds of an aromatic ring (1.34 to 1.39 A by Allen et al., 1987) with 0.05 A for badly refined
models; six-membered rings of sp3 atoms have 1.53."""
RING_FLAT_ANGSTROM = 0.15
"""Root mean square distance of the atoms of an aromatic ring from its plane: a chair has 0.23 to 0.25 A, badly refined
flat rings 0.05 to 0.1."""
LINEAR_DEG = 160.0
"""Angle at an sp atom: the middle between 120 and 180 plus 10, so that no bent atom is called linear."""


class Surroundings(NamedTuple):
    """What kinds are told from: elements, hydrogen atoms (number of them) and bonds of each atom."""

    elements: Sequence[str]
    positions: NDArray[np.float64]
    """(n, 3) cartesian, angstrom."""
    hydrogens: Sequence[int]
    bonds: Sequence[Sequence[Bond]]

    def around(self, atom: int) -> list[str]:
        """Return the elements that an atom is bonded to."""
        return [self.elements[bond.other] for bond in self.bonds[atom]]

    def angle_sum_deg(self, atom: int) -> float:
        """Return the sum of the three angles at an atom with three bonds; 0 with another number of them."""
        if len(self.bonds[atom]) != 3:
            return 0.0
        unit = np.array([bond.vector / bond.length for bond in self.bonds[atom]])
        cosines = [unit[i] @ unit[j] for i, j in ((0, 1), (0, 2), (1, 2))]
        return float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).sum())

    def flat(self, atom: int) -> bool:
        """Tell whether an atom has three bonds in a plane."""
        return self.angle_sum_deg(atom) >= FLAT_DEG

    def ends(self, atom: int, element: str) -> list[int]:
        """Return the neighbours of an element that are bonded to nothing else, hydrogen included."""
        return [
            bond.other
            for bond in self.bonds[atom]
            if self.elements[bond.other] == element
            and len(self.bonds[bond.other]) == 1
            and not self.hydrogens[bond.other]
        ]


def kinds_of(site: Surroundings) -> dict[int, AtomKind]:
    """Return the kinds of the atoms that leave no doubt; atoms bonded to a metal have none."""
    found: dict[int, AtomKind] = {}
    sure = [not any(gemmi.Element(name).is_metal for name in site.around(i)) for i in range(len(site.elements))]
    for ring in aromatic_rings(site):
        found.update({i: "C aromatic" if site.elements[i] == "C" else "N aromatic" for i in ring if sure[i]})
    for i, element in enumerate(site.elements):
        if sure[i] and i not in found:
            found.update(_carbon(site, i) if element == "C" else _nitrogen(site, i) if element == "N" else {})
    found = {i: kind for i, kind in found.items() if sure[i]}
    if not _ionised(site, found):
        acid = {"C carboxylate", "O carboxylate"}
        found = {i: kind for i, kind in found.items() if kind not in acid}
    for i, element in enumerate(site.elements):
        if sure[i] and i not in found and (kind := _end(site, i, element, found)) is not None:
            found[i] = kind
    return found


def _ionised(site: Surroundings, found: Mapping[int, AtomKind]) -> bool:
    """Tell whether every acid group has given its proton away: as many ammonium groups as there are of them."""
    kinds = list(found.values())
    return kinds.count("N ammonium") >= kinds.count("C carboxylate") and not any(
        site.hydrogens[i] for i, kind in found.items() if kind == "O carboxylate"
    )


def _carbon(site: Surroundings, i: int) -> dict[int, AtomKind]:
    bonds, around = site.bonds[i], sorted(site.around(i))
    if len(bonds) + site.hydrogens[i] == 4 or (len(bonds) == 3 and 0 < site.angle_sum_deg(i) < FLAT_DEG):
        return {i: "C sp3"}
    if len(bonds) == 2 and _opposite(bonds) and (ends := site.ends(i, "N")):
        return {i: "C nitrile", ends[0]: "N nitrile"}
    if not site.flat(i):
        return {}
    oxygen = site.ends(i, "O")
    if around == ["C", "O", "O"] and len(oxygen) == 2:
        return {i: "C carboxylate", **dict.fromkeys(oxygen, "O carboxylate")}
    nitrogen = [bond.other for bond in bonds if site.elements[bond.other] == "N"]
    if around == ["C", "N", "O"] and len(oxygen) == 1 and _amide_nitrogen(site, nitrogen[0]):
        return {i: "C amide", oxygen[0]: "O amide", nitrogen[0]: "N amide"}
    return {}


def _amide_nitrogen(site: Surroundings, i: int) -> bool:
    carried = len(site.bonds[i]) + site.hydrogens[i] == 3
    return carried and set(site.around(i)) == {"C"} and (len(site.bonds[i]) < 3 or site.flat(i))


def _nitrogen(site: Surroundings, i: int) -> dict[int, AtomKind]:
    around = sorted(site.around(i))
    if around == ["C"] and site.hydrogens[i] == 3:
        return {i: "N ammonium"}
    if around == ["C", "C", "C"] and 0 < site.angle_sum_deg(i) < FLAT_DEG:
        return {i: "N amine"}
    oxygen = site.ends(i, "O")
    if around == ["C", "O", "O"] and len(oxygen) == 2:
        return {i: "N nitro", **dict.fromkeys(oxygen, "O nitro")}
    return {}


def _end(site: Surroundings, i: int, element: str, found: Mapping[int, AtomKind]) -> AtomKind | None:
    bonds = site.bonds[i]
    carriers = {found.get(bond.other) for bond in bonds}
    if element in {"F", "Cl", "Br"} and len(bonds) == 1:
        halogens: dict[str, AtomKind] = {"F": "F", "Cl": "Cl", "Br": "Br"}
        return halogens[element]
    if element != "O" or not bonds:
        return None
    if len(bonds) == 2 and carriers == {"C sp3"}:
        return "O ether"
    if len(bonds) == 1 and carriers == {"C sp3"}:
        return "O hydroxyl"
    return "O phenol" if len(bonds) == 1 and carriers == {"C aromatic"} and site.hydrogens[i] == 1 else None


def _opposite(bonds: Sequence[Bond]) -> bool:
    cosine = float(bonds[0].vector @ bonds[1].vector / (bonds[0].length * bonds[1].length))
    return bool(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))) > LINEAR_DEG)


def aromatic_rings(site: Surroundings) -> tuple[tuple[int, ...], ...]:
    """Return the flat six-membered rings of C and N with bonds of aromatic length, atoms in the order of the ring.

    Hydrogen is not asked: with few data it is placed wrongly where the ring is distorted. Rings that an operation
    closes are not among them.
    """
    return tuple(ring for ring in _rings(site, 6) if _is_aromatic(site, ring))


def _is_aromatic(site: Surroundings, ring: tuple[int, ...]) -> bool:
    for i in ring:
        carbon = site.elements[i] == "C" and len(site.bonds[i]) <= 3
        if not (carbon or (site.elements[i] == "N" and len(site.bonds[i]) == 2)):
            return False
        if len(site.bonds[i]) == 3 and not site.flat(i):
            return False
    places = site.positions[list(ring)]
    lengths = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
    low, high = RING_LENGTH_ANGSTROM
    off = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)[-1] / np.sqrt(len(ring))
    return bool(low <= lengths.mean() <= high and off <= RING_FLAT_ANGSTROM)


def small_ring_angles(site: Surroundings) -> frozenset[tuple[int, int, int]]:
    """Return the angles (end, middle, end) inside rings of three to five atoms, both ways round."""
    found: set[tuple[int, int, int]] = set()
    for size in (3, 4, 5):
        for ring in _rings(site, size):
            for k in range(size):
                one, middle, other = ring[k - 2], ring[k - 1], ring[k]
                found |= {(one, middle, other), (other, middle, one)}
    return frozenset(found)


def _rings(site: Surroundings, size: int) -> Iterator[tuple[int, ...]]:
    """Yield each ring of so many atoms once, beginning with its first atom; bonds in the asymmetric unit only."""
    near = [sorted({bond.other for bond in bonds if bond.whole}) for bonds in site.bonds]

    def grown(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(path) == size:
            if path[0] in near[path[-1]] and path[1] < path[-1]:
                yield path
            return
        for following in near[path[-1]]:
            if following > path[0] and following not in path:
                yield from grown((*path, following))

    for start in range(len(near)):
        yield from grown((start,))
