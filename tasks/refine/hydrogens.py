"""Hydrogen atoms that the geometry of the others leaves no doubt about."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.contacts import covalent_radius
from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.scattering import Radiation
from tasks.model import Composition, UnitCell
from tasks.refine.draft import Draft, DraftAtom, RidingGroup, RidingKind
from tasks.refine.geometry import Contact, bonds, contacts, site_order

NEUTRON_LENGTHS_ANGSTROM = {"C": 1.09, "N": 1.02, "O": 0.98}
"""Electrons see the nucleus: Allen & Bruno, Acta Cryst. B66, 380-386 (2010), rounded."""
XRAY_LENGTHS_ANGSTROM: dict[tuple[str, RidingKind], float] = {
    ("C", "tertiary-xh"): 0.98,
    ("C", "secondary-xh2"): 0.97,
    ("C", "planar-xh"): 0.93,
    ("C", "methyl"): 0.96,
    ("C", "terminal-planar-xh2"): 0.93,
    ("C", "linear-xh"): 0.93,
    ("N", "planar-xh"): 0.86,
    ("N", "methyl"): 0.89,
    ("N", "terminal-planar-xh2"): 0.86,
    ("O", "hydroxyl"): 0.82,
}
"""At room temperature, as in SHELXL."""
SINGLE_RADII_ANGSTROM = {"C": 0.765, "N": 0.705, "O": 0.66}
"""Half of a single bond: C-C 1.53, C-N 1.47, C-O 1.425 (Allen et al., J. Chem. Soc. Perkin Trans. 2, S1, 1987)."""
TETRAHEDRAL = np.radians(109.47)
"""Angle of a regular tetrahedron, arccos(-1/3)."""
NON_METALS = frozenset({"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "I"})

Point = NDArray[np.float64]


class BondedAtom(NamedTuple):
    """One atom with its bonds to non-hydrogen atoms: unit vectors (k, 3) and lengths (k,)."""

    number: int
    element: str
    neighbours: tuple[int, ...]
    directions: Point
    lengths: Point

    def shortening(self, elements: Sequence[str]) -> float:
        """How much the bonds are shorter than single bonds, mean, angstrom."""
        single = [_single_radius(self.element) + _single_radius(elements[j]) for j in self.neighbours]
        return float(np.mean(np.array(single) - self.lengths))


def _single_radius(element: str) -> float:
    return SINGLE_RADII_ANGSTROM.get(element, covalent_radius(element))


def with_hydrogens(draft: Draft, radiation: Radiation, composition: Composition | None) -> Draft:
    """Return the draft with riding hydrogen atoms added where the geometry of C, N and O demands them.

    C-H everywhere; N-H of amides, anilines and alpha-amino acids; O-H of alcohols and phenols, turned towards an
    acceptor. No hydrogen is added if the composition has none, and none at all if the geometry asks for more than
    the composition holds (then elements are wrong, or the molecule is). Atoms bonded to metals get none.
    """
    if composition is not None and not {"H", "D"} & set(composition.counts):
        return draft
    heavy = [atom for atom in draft.atoms if atom.element not in {"H", "D"}]
    sites = surroundings(heavy, draft.hall, draft.unit_cell)
    elements = [atom.element for atom in heavy]
    orthogonal = orthogonalisation(draft.unit_cell)
    added: list[DraftAtom] = []
    groups: list[RidingGroup] = []
    for site in sites:
        kind = riding_kind(site, sites, elements)
        if len({heavy[j].part for j in site.neighbours} - {0, heavy[site.number].part}) > 1:
            continue  # two surroundings: hydrogen would have two places as well
        if kind is None or (
            _special(heavy[site.number], draft) and kind not in {"tertiary-xh", "planar-xh", "linear-xh"}
        ):
            continue
        length = (
            NEUTRON_LENGTHS_ANGSTROM[site.element]
            if radiation == "electron"
            else XRAY_LENGTHS_ANGSTROM.get((site.element, kind), 0.93)
        )
        acceptors = _acceptors(site.number, heavy, draft) if kind == "hydroxyl" else np.empty((0, 3))
        pivot = heavy[site.number]
        labels = []
        for letter, vector in zip("ABC", placed(kind, site, sites, acceptors), strict=False):
            label = f"H{pivot.label}{letter}"
            place = np.array(pivot.position) + np.linalg.solve(orthogonal, vector * length)
            labels.append(label)
            added.append(
                DraftAtom(
                    label=label,
                    element="H",
                    position=(float(place[0]), float(place[1]), float(place[2])),
                    u_iso_angstrom2=min(0.3, 1.2 * pivot.u_iso_angstrom2),
                    refine_u=False,
                    occupancy=pivot.occupancy,
                    part=pivot.part,
                    occupancy_group=pivot.occupancy_group,
                )
            )
        ratio = 1.5 if kind in {"methyl", "hydroxyl"} else 1.2
        groups.append(
            RidingGroup(
                kind=kind, pivot=pivot.label, hydrogens=tuple(labels), bond_length_angstrom=length, u_ratio=ratio
            )
        )
    if composition is not None and _too_many(len(added), len(heavy), composition):
        return draft.model_copy(update={"atoms": tuple(heavy), "riding": ()})
    return draft.model_copy(update={"atoms": (*heavy, *added), "riding": tuple(groups)})


def hydrogen_places(
    atoms: Sequence[DraftAtom], candidates: Sequence[str], hall: str, cell: UnitCell, radiation: Radiation
) -> dict[tuple[int, str], Point]:
    """Return where each atom would carry hydrogen if it were C, N or O: fractional (k, 3) by atom and element."""
    sites = surroundings(atoms, hall, cell)
    elements = [atom.element for atom in atoms]
    orthogonal = orthogonalisation(cell)
    places: dict[tuple[int, str], Point] = {}
    for element in sorted(set(candidates) & {"C", "N", "O"}):
        for site in sites:
            assumed = [element if i == site.number else other for i, other in enumerate(elements)]
            trial = site._replace(element=element)
            kind = riding_kind(trial, sites, assumed)
            if kind is None:
                continue
            length = NEUTRON_LENGTHS_ANGSTROM[element] if radiation == "electron" else 0.95
            vectors = np.array(placed(kind, trial, sites, np.empty((0, 3)))) * length
            places[site.number, element] = (
                np.array(atoms[site.number].position) + np.linalg.solve(orthogonal, vectors.T).T
            )
    return places


def _too_many(hydrogens: int, others: int, composition: Composition) -> bool:
    allowed = sum(composition.counts.get(element, 0.0) for element in ("H", "D"))
    heavy = sum(count for element, count in composition.counts.items() if element not in {"H", "D"})
    return heavy > 0 and hydrogens > 1.15 * allowed / heavy * others + 1


def surroundings(heavy: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[BondedAtom]:
    """Return each atom with its bonds."""
    by_atom: dict[int, list[Contact]] = {}
    for bond in bonds(heavy, hall, cell):
        by_atom.setdefault(bond.first, []).append(bond)
    sites = []
    for index, atom in enumerate(heavy):
        own = by_atom.get(index, [])
        vectors = np.array([bond.vector for bond in own]).reshape(-1, 3)
        lengths = np.linalg.norm(vectors, axis=1)
        sites.append(
            BondedAtom(index, atom.element, tuple(bond.second for bond in own), vectors / lengths[:, None], lengths)
        )
    return sites


def riding_kind(site: BondedAtom, sites: Sequence[BondedAtom], elements: Sequence[str]) -> RidingKind | None:
    """Return which hydrogen atoms an atom must carry, None where there is none or doubt."""
    if any(elements[j] not in NON_METALS for j in site.neighbours) or not 1 <= len(site.neighbours) <= 3:
        return None
    rules = {"C": _carbon, "N": _nitrogen, "O": _oxygen}
    rule = rules.get(site.element)
    return None if rule is None else rule(site, sites, elements)


def _carbon(site: BondedAtom, _sites: Sequence[BondedAtom], elements: Sequence[str]) -> RidingKind | None:
    short = site.shortening(elements)
    if len(site.neighbours) == 3:
        return "tertiary-xh" if angle_sum_deg(site) < 345 else None
    if len(site.neighbours) == 2:
        angle = float(np.degrees(np.arccos(np.clip(site.directions[0] @ site.directions[1], -1, 1))))
        if angle > 155:
            return None
        # shortening 0.15 A and 120 degrees say aromatic, 0 A and 111 degrees say sp3: the middle decides
        return "planar-xh" if short / 0.15 + (angle - 111.0) / 9.0 > 1.0 else "secondary-xh2"
    if short < 0.10:
        return "methyl"
    return "linear-xh" if short > 0.27 else "terminal-planar-xh2"


def _nitrogen(site: BondedAtom, sites: Sequence[BondedAtom], elements: Sequence[str]) -> RidingKind | None:
    carbonyl = any(_terminal_oxygens(sites[j], sites, elements) == 1 for j in site.neighbours if elements[j] == "C")
    short = site.shortening(elements)
    if len(site.neighbours) == 2:
        return "planar-xh" if carbonyl and all(elements[j] == "C" for j in site.neighbours) else None
    if len(site.neighbours) != 1 or elements[site.neighbours[0]] != "C":
        return None
    carrier = sites[site.neighbours[0]]
    if angle_sum_deg(carrier) > 350 and 0.06 < short < 0.24 and len(carrier.neighbours) == 3:
        return "terminal-planar-xh2" if carbonyl or _aromatic(carrier, site.number, sites, elements) else None
    acid = any(_terminal_oxygens(sites[j], sites, elements) == 2 for j in carrier.neighbours if elements[j] == "C")
    return "methyl" if acid and short < 0.08 else None


def _oxygen(site: BondedAtom, sites: Sequence[BondedAtom], elements: Sequence[str]) -> RidingKind | None:
    if len(site.neighbours) != 1 or elements[site.neighbours[0]] != "C":
        return None
    carrier = sites[site.neighbours[0]]
    if _terminal_oxygens(carrier, sites, elements) != 1:
        return None
    short = site.shortening(elements)
    flat = len(carrier.neighbours) == 3 and angle_sum_deg(carrier) > 350
    if not flat:
        return "hydroxyl" if short < 0.06 else None
    return "hydroxyl" if short < 0.09 and _aromatic(carrier, site.number, sites, elements) else None


def _aromatic(carrier: BondedAtom, without: int, sites: Sequence[BondedAtom], elements: Sequence[str]) -> bool:
    """Tell whether the two other neighbours of a flat atom are C or N at aromatic distances."""
    others = [(j, d) for j, d in zip(carrier.neighbours, carrier.lengths, strict=True) if j != without]
    return len(others) == 2 and all(
        elements[j] in {"C", "N"} and d < 1.46 and len(sites[j].neighbours) >= 2 for j, d in others
    )


def _terminal_oxygens(site: BondedAtom, sites: Sequence[BondedAtom], elements: Sequence[str]) -> int:
    return sum(1 for j in site.neighbours if elements[j] == "O" and len(sites[j].neighbours) == 1)


def angle_sum_deg(site: BondedAtom) -> float:
    """Return the sum of the three angles at an atom with three bonds, 360 when it is flat; 0 with fewer bonds."""
    if len(site.neighbours) != 3:
        return 0.0
    cosines = [site.directions[i] @ site.directions[j] for i, j in ((0, 1), (0, 2), (1, 2))]
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).sum())


def placed(kind: RidingKind, site: BondedAtom, sites: Sequence[BondedAtom], acceptors: Point) -> list[Point]:
    """Return unit vectors from an atom to its hydrogen atoms."""
    outward = -_unit(site.directions.sum(axis=0))
    if kind in {"tertiary-xh", "planar-xh", "linear-xh"}:
        return [outward]
    if kind == "secondary-xh2":
        across = _unit(np.cross(site.directions[0], site.directions[1]))
        half = TETRAHEDRAL / 2
        return [np.cos(half) * outward + np.sin(half) * across, np.cos(half) * outward - np.sin(half) * across]
    axis, reference = -site.directions[0], _reference(site, sites)
    side = _unit(reference - (reference @ axis) * axis)
    if kind == "terminal-planar-xh2":
        return [0.5 * axis + np.sqrt(0.75) * side, 0.5 * axis - np.sqrt(0.75) * side]
    if kind == "hydroxyl" and len(acceptors):
        to_acceptor = acceptors[0] - (acceptors[0] @ axis) * axis
        if np.linalg.norm(to_acceptor) > 0.3:
            side = -_unit(to_acceptor)
    third = np.cross(axis, side)
    turns = [np.pi + turn for turn in (0.0, 2 * np.pi / 3, 4 * np.pi / 3)]
    rise, out = np.cos(np.pi - TETRAHEDRAL), np.sin(np.pi - TETRAHEDRAL)
    around = [rise * axis + out * (np.cos(turn) * side + np.sin(turn) * third) for turn in turns]
    return around[:1] if kind == "hydroxyl" else around


def _reference(site: BondedAtom, sites: Sequence[BondedAtom]) -> Point:
    """Return the direction from the neighbour of an end atom to one of its other neighbours, for the torsion."""
    carrier = sites[site.neighbours[0]]
    axis = -site.directions[0]
    off = [direction for direction in carrier.directions if np.linalg.norm(np.cross(direction, axis)) > 0.2]
    if off:
        return off[0]
    return np.eye(3)[int(np.argmin(np.abs(axis)))]


def _acceptors(index: int, heavy: Sequence[DraftAtom], draft: Draft) -> Point:
    place = np.array([heavy[index].position])
    others = [atom for j, atom in enumerate(heavy) if atom.element in {"N", "O", "F", "Cl"}]
    near = contacts(place, np.array([atom.position for atom in others]), draft.hall, draft.unit_cell, cutoff=3.1)
    far_enough = sorted((pair for pair in near if pair.distance > 2.4), key=lambda pair: pair.distance)
    return np.array([pair.vector for pair in far_enough]).reshape(-1, 3)


def _special(atom: DraftAtom, draft: Draft) -> bool:
    return site_order(atom.position, draft.hall, draft.unit_cell) > 1


def _unit(vector: Point) -> Point:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])
