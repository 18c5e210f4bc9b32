"""The restraints that the chemistry of a model calls for: distances, planes, displacements."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import gemmi
import numpy as np

from tasks.crystal.lattice import orthogonalisation
from tasks.model import UnitCell
from tasks.refine.bond_scale import bond_scale, scaled_cell
from tasks.refine.draft import Draft, DraftAtom
from tasks.refine.restraint_models import RestrainedPair, Restraint
from tasks.refine.restraints.bond_lengths import AtomKind, angle_deg, bond_length_angstrom
from tasks.refine.restraints.bonded import IDENTITY, Bond, bonded
from tasks.refine.restraints.kinds import Surroundings, aromatic_rings, kinds_of, small_ring_angles

LENGTH_ESD_ANGSTROM = 0.02
"""SHELXL's default of DFIX and SADI."""
ONE_THREE_ESD_ANGSTROM = 0.04
"""SHELXL's default of DANG."""
PLANE_ESD_ANGSTROM3 = 0.1
"""SHELXL's default of FLAT, of the volume that four atoms span: 0.02 A of an atom above BASE_ANGSTROM2."""
BASE_ANGSTROM2 = 2.5
"""Area of the triangle that a plane's other atoms are measured from: that of every second atom of a benzene ring, which
three atoms of an acid group come near to. A larger one makes the same volume a smaller distance: with the largest of a
phenol, 8 A^2, tyrosine's ring was held to 0.006 A, and its atoms moved away from where all data have them."""
SIMILAR_ESD_ANGSTROM2 = 0.04
"""SHELXL's default of SIMU between atoms that are bonded to more than one other."""
SIMILAR_END_ESD_ANGSTROM2 = 0.08
"""SHELXL's default of SIMU where one of the two is bonded to nothing else."""
RIGID_ESD_ANGSTROM2 = 0.004
"""SHELXL's default of RIGU (Thorn, Dittrich & Sheldrick, Acta Cryst. A68, 448-451, 2012)."""
SURE_ANGSTROM = 0.1
"""What a bond may be off the length of its kind: further off, the kind is doubted and nothing is restrained. Half of
what tells C-C from C=C and C-O from C=O apart (0.2 A). In 21 molecular crystals of pyxtal's examples the lengths of
155 bonds are off those of their kinds by 0.027 A (root mean square), and those beyond 0.1 A are of wrong kinds."""
ONE_THREE_RATIO = 1.7
"""Of 1,3 distances to lengths, and of what they may be off: 0.17 A. In the same crystals 171 distances are off by
0.039 A, one in a hundred by more than 0.13 A."""
SURE_ESDS = 3.0
"""A bond may also be off by so many of its own esds, and no surer is it that its kind is wrong."""
MOST_ANGSTROM = 0.2
"""What it may be off at most: that tells single from double bonds."""
SCALE_ESDS = 2.0
"""Of the factor of all lengths (`bond_scale`, esd 0.7 % at least) from which the cell is taken to be off by it: cells
of electron diffraction are off by several per cent, and a target of 1.53 A would pull against all data. About one right
cell in twenty is scaled too, by 1.4 % or a little more: 0.02 A, one esd of a distance."""
SCALE_SITES = 5
"""Of which the factor must be known: fewer stand for the errors of single atoms. Chosen, not measured."""
ALIKE = {("Cl", "O"), ("B", "F"), ("P", "F"), ("As", "F"), ("Sb", "F"), ("N", "O"), ("C", "F")}
"""Centres and ends whose bonds are of one length when three or more ends of one element are there: perchlorate,
fluoroborate, fluorophosphate and the like, nitrate, trifluoromethyl. Sulfate and phosphate may carry hydrogen."""
MOVE_TOGETHER = frozenset({"B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Se", "Br", "I"})
"""Elements whose bonds to each other are stiff against the motion of a molecule: displacements are alike."""


def geometric_restraints(draft: Draft, *, esd_angstrom: float = 0.0) -> tuple[Restraint, ...]:
    """Return the restraints for the geometry and the displacements of a draft, as it stands.

    Distances of bonds whose kind leaves no doubt, distances between the ends of sure angles, equal distances of alike
    ends, planes of aromatic rings, acid, amide and nitro groups, displacements of bonded atoms of molecules: similar,
    and of anisotropic ones rigid along 1,2 and 1,3 distances. Hydrogen is left to ride. Where all lengths of the cell
    are off by one factor, targets are too: the data do not know the scale.

    Parameters
    ----------
    esd_angstrom
        Of a coordinate, typically: what bonds may be off those of their kind grows with it.
    """
    sure = min(MOST_ANGSTROM, max(SURE_ANGSTROM, SURE_ESDS * float(np.sqrt(2.0)) * esd_angstrom))
    factor = lengths_factor(draft)
    site, names = _surroundings(draft, scaled_cell(draft.unit_cell, factor))
    if not names:
        return ()
    kinds = kinds_of(site)
    return (
        *(_in_the_cell(item, factor) for item in _distances(site, kinds, names, sure)),
        *(_in_the_cell(item, factor) for item in _one_three(site, kinds, names, sure)),
        *_alike(site, names),
        *_planes(site, kinds, names),
        *_similar(site, names),
        *_rigid(site, names, [atom.u_aniso_angstrom2 is not None for atom in _heavy(draft)]),
    )


def lengths_factor(draft: Draft) -> float:
    """Return what the lengths of the cell have to be multiplied by to have usual bonds, 1 where that is not sure."""
    found = bond_scale(draft.atoms, draft.hall, draft.unit_cell)
    off = found is not None and found.sites >= SCALE_SITES and abs(np.log(found.factor)) > SCALE_ESDS * found.esd
    return found.factor if off and found is not None else 1.0


def _in_the_cell(restraint: Restraint, factor: float) -> Restraint:
    """Return the restraint with its target in the lengths of the cell as it is."""
    if factor == 1.0 or restraint.target_angstrom is None:
        return restraint
    target = round(restraint.target_angstrom / factor, 3)
    why = f"{restraint.why}, in a cell whose lengths are off by a factor of {1.0 / factor:.3f}"
    return restraint.model_copy(update={"target_angstrom": target, "why": why})


def _heavy(draft: Draft) -> list[DraftAtom]:
    return [atom for atom in draft.atoms if atom.element not in {"H", "D"}]


def _surroundings(draft: Draft, cell: UnitCell) -> tuple[Surroundings, list[str]]:
    heavy = _heavy(draft)
    positions = np.array([atom.position for atom in heavy]).reshape(-1, 3)
    elements = [atom.element for atom in heavy]
    carried = {group.pivot: len(group.hydrogens) for group in draft.riding}
    site = Surroundings(
        elements=elements,
        positions=positions @ orthogonalisation(cell).T,
        hydrogens=[carried.get(atom.label, 0) for atom in heavy],
        bonds=bonded(elements, positions, draft.hall, cell),
    )
    return site, [atom.label for atom in heavy]


def _pair(names: Sequence[str], first: int, second: int, operation: gemmi.Op) -> RestrainedPair:
    return RestrainedPair(first=names[first], second=names[second], operation=operation.triplet())


def _distances(
    site: Surroundings, kinds: dict[int, AtomKind], names: Sequence[str], sure: float
) -> Iterator[Restraint]:
    for i, bond in _each_bond(site):
        target = bond_length_angstrom(kinds.get(i), kinds.get(bond.other))
        if target is not None and abs(bond.length - target) <= sure:
            yield Restraint(
                kind="distance",
                pairs=(_pair(names, i, bond.other, bond.operation),),
                target_angstrom=target,
                esd=LENGTH_ESD_ANGSTROM,
                why=f"{kinds[i]} to {kinds[bond.other]}",
            )


def _each_bond(site: Surroundings) -> Iterator[tuple[int, Bond]]:
    """Yield each bond once; of bonds to an image, the one from the atom that comes first."""
    for i, bonds in enumerate(site.bonds):
        for bond in bonds:
            if i < bond.other or (i == bond.other and bond.operation.triplet() <= bond.operation.inverse().triplet()):
                yield i, bond


def _one_three(
    site: Surroundings, kinds: dict[int, AtomKind], names: Sequence[str], sure: float
) -> Iterator[Restraint]:
    strained = small_ring_angles(site)
    for middle, bonds in enumerate(site.bonds):
        for one, other in combinations(bonds, 2):
            angle = angle_deg(kinds.get(one.other), kinds.get(middle), kinds.get(other.other))
            a = bond_length_angstrom(kinds.get(one.other), kinds.get(middle))
            b = bond_length_angstrom(kinds.get(middle), kinds.get(other.other))
            if angle is None or a is None or b is None or (one.other, middle, other.other) in strained:
                continue
            target = float(np.sqrt(a * a + b * b - 2.0 * a * b * np.cos(np.radians(angle))))
            actual = float(np.linalg.norm(one.vector - other.vector))
            if abs(actual - target) <= ONE_THREE_RATIO * sure:
                yield Restraint(
                    kind="one-three distance",
                    pairs=(_between(names, one, other),),
                    target_angstrom=round(target, 3),
                    esd=ONE_THREE_ESD_ANGSTROM,
                    why=f"{angle:g} degrees at {names[middle]}, {kinds[middle]}",
                )


def _between(names: Sequence[str], one: Bond, other: Bond) -> RestrainedPair:
    """Return the pair of the ends of two bonds of one atom, the first moved to the asymmetric unit."""
    return _pair(names, one.other, other.other, one.operation.inverse() * other.operation)


def _alike(site: Surroundings, names: Sequence[str]) -> Iterator[Restraint]:
    for i, element in enumerate(site.elements):
        for end in sorted({other for centre, other in ALIKE if centre == element}):
            ends = set(site.ends(i, end))
            bonds = [bond for bond in site.bonds[i] if bond.other in ends]
            if len(bonds) < 3 or (element == "C") != (len(bonds) == 3 and len(site.bonds[i]) == 4):
                continue
            if element == "N" and len(site.bonds[i]) != 3:
                continue
            why = f"{element}{end}{len(bonds)} of {names[i]}"
            lengths = tuple(_pair(names, i, bond.other, bond.operation) for bond in bonds)
            yield Restraint(kind="equal distances", pairs=lengths, esd=LENGTH_ESD_ANGSTROM, why=why)
            across = tuple(
                _between(names, one, other)
                for one, other in combinations(bonds, 2)
                if float(one.vector @ other.vector) > -0.8 * one.length * other.length  # not opposite ones of six
            )
            yield Restraint(kind="equal distances", pairs=across, esd=ONE_THREE_ESD_ANGSTROM, why=why)


def _planes(site: Surroundings, kinds: dict[int, AtomKind], names: Sequence[str]) -> Iterator[Restraint]:
    for ring in aromatic_rings(site):
        carried = [bond.other for i in ring for bond in site.bonds[i] if bond.whole and bond.other not in ring]
        yield _plane(site, names, (*ring, *dict.fromkeys(carried)), "aromatic ring")
    for i, element in enumerate(site.elements):
        bonds = site.bonds[i]
        if not (site.flat(i) and all(bond.whole for bond in bonds)) or kinds.get(i) == "C aromatic":
            continue
        members = [i, *(bond.other for bond in bonds)]
        if kinds.get(i) == "C amide":
            nitrogen = next(bond.other for bond in bonds if kinds.get(bond.other) == "N amide")
            far = (bond.other for bond in site.bonds[nitrogen] if bond.whole)
            yield _plane(site, names, tuple(dict.fromkeys([*members, *far])), "amide group")
        elif element == "C" and len(site.ends(i, "O")) == 2:
            yield _plane(site, names, tuple(members), "acid group")
        elif kinds.get(i) == "N nitro":
            yield _plane(site, names, tuple(members), "nitro group")


def _plane(site: Surroundings, names: Sequence[str], members: tuple[int, ...], why: str) -> Restraint:
    """Return the restraint with three atoms first that span about BASE_ANGSTROM2."""
    places = site.positions[list(members)]

    def away(three: tuple[int, ...]) -> float:
        a, b, c = places[list(three)]
        return round(abs(float(np.linalg.norm(np.cross(b - a, c - a))) / 2.0 - BASE_ANGSTROM2), 3)

    base = min(combinations(range(len(members)), 3), key=away)
    order = (*base, *(k for k in range(len(members)) if k not in base))
    labels = tuple(names[members[k]] for k in order)
    return Restraint(kind="plane", atoms=labels, esd=PLANE_ESD_ANGSTROM3, why=why)


def _similar(site: Surroundings, names: Sequence[str]) -> Iterator[Restraint]:
    for i, bond in _each_bond(site):
        if not bond.whole or not {site.elements[i], site.elements[bond.other]} <= MOVE_TOGETHER:
            continue
        end = min(len(site.bonds[i]), len(site.bonds[bond.other])) == 1
        esd = SIMILAR_END_ESD_ANGSTROM2 if end else SIMILAR_ESD_ANGSTROM2
        pair = (_pair(names, i, bond.other, IDENTITY),)
        yield Restraint(kind="similar displacements", pairs=pair, esd=esd, why="bonded atoms")


def _rigid(site: Surroundings, names: Sequence[str], anisotropic: Sequence[bool]) -> Iterator[Restraint]:
    pairs: set[tuple[int, int]] = set()
    for i, bonds in enumerate(site.bonds):
        near = sorted({bond.other for bond in bonds if bond.whole and site.elements[bond.other] in MOVE_TOGETHER})
        if site.elements[i] in MOVE_TOGETHER:
            pairs |= {(min(i, j), max(i, j)) for j in near}
            pairs |= set(combinations(near, 2))
    for i, j in sorted(pairs):
        if anisotropic[i] and anisotropic[j]:
            pair = (_pair(names, i, j, IDENTITY),)
            yield Restraint(kind="rigid bond", pairs=pair, esd=RIGID_ESD_ANGSTROM2, why="atoms of one molecule")
