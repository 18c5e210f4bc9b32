"""Which atoms to drop and which density peaks to take as atoms."""

import math
from collections.abc import Sequence

import gemmi
import numpy as np

from tasks.crystal.contacts import covalent_radius
from tasks.crystal.contents import units_in_cell
from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import operations_from_hall
from tasks.model import Composition, UnitCell
from tasks.refine.draft import Draft, DraftAtom, DraftFit, ModelFit
from tasks.refine.geometry import Contact, contacts, never_together

U_DROP_ANGSTROM2 = 0.20
"""U(eq) above which nothing is at a site: 0.45 A r.m.s., a third of a bond. Chosen, not measured: less drops
disordered guests, more keeps atoms that only soak up noise. A drop that costs 0.01 of R1 is undone."""
U_DROP_RATIO = 4.0
"""To the median U(eq): twice what sound atoms reach in published models (tests' data: natrolite's water 1.9, sucrose
1.8, L-alanine 1.2 times the median of the atoms that are not hydrogen)."""
PEAK_SIGMA_BONDED = 4.0
"""Height over the r.m.s. of the map. Noise exceeds 4 sigma at 3e-5 of the points of a normal map, and few of these
lie at a bond's distance from an atom."""
PEAK_SIGMA_ISOLATED = 6.0
"""The same for a peak that no bond supports: noise exceeds 6 sigma at 1e-9 of the points, none of a map's 1e5 or so."""
PEAK_HEIGHT_FRACTION = 0.45
"""A new atom's peak is at least this part of the highest peak of the same list."""
FURTHEST_ANGSTROM = 3.6
"""Of a new atom from the nearest one. Atoms that are not hydrogen touch at 3.0 (O, O) to 3.4 A (C, C; Bondi, J. Phys.
Chem. 68, 441-451, 1964): a peak further off stands in a void, where noise and ripples lie too."""
NEVER_ANGSTROM = 0.95
"""No two atoms other than hydrogen are nearer: the shortest bonds are N2 (1.10) and CO (1.13 A), less 0.15 A for
positions that have not converged."""
CROWDED_ANGSTROM3 = 10.0
"""Cell volume for each atom but hydrogen: dense oxides have 8.5 (corundum) to 10.4 (forsterite), quartz 12.6,
molecules about 18. Less says that the composition is a multiple; one that is not is found again as a multiple."""
SMALLEST_VOLUME_PER_ATOM_ANGSTROM3 = 8.0
"""Cell volume for each atom but hydrogen when room is reckoned: just below the 8.5 of corundum, the densest oxide
that is common; nitrides and carbon are denser and would be filled too little."""


def without_clashes(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> tuple[DraftAtom, ...]:
    """Return the atoms less those that coincide with another or with their own image, the tighter bound one kept."""
    kept = list(atoms)
    while pairs := _too_near(kept, hall, cell):
        worst = min(pairs, key=lambda pair: pair.distance)
        first, second = kept[worst.first], kept[worst.second]
        loser = worst.first if first.u_iso_angstrom2 > second.u_iso_angstrom2 else worst.second
        del kept[loser]
    return tuple(kept)


def _too_near(atoms: Sequence[DraftAtom], hall: str, cell: UnitCell) -> list[Contact]:
    """Return the pairs that no two elements could form: while elements are unsure, radii say nothing."""
    places = np.array([atom.position for atom in atoms]).reshape(-1, 3)
    near = contacts(places, places, hall, cell, cutoff=NEVER_ANGSTROM)
    orthogonal = orthogonalisation(cell)
    return [pair for pair in near if pair.first != pair.second and not never_together(atoms, pair, orthogonal)]


def loose_atoms(fit: DraftFit) -> tuple[str, ...]:
    """Return the labels of atoms whose displacement says that nothing is there.

    U(eq) above 0.20 A^2, or above four times the median of the others and above 0.10 A^2. Riding atoms do not count.
    """
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    candidates = [atom for atom in fit.atoms if atom.label not in riding]
    if len(candidates) < 2:
        return ()
    typical = float(np.median([atom.u_equivalent for atom in candidates]))
    limit = min(U_DROP_ANGSTROM2, max(0.10, U_DROP_RATIO * typical))
    loose = [atom for atom in candidates if atom.u_equivalent > limit]
    worst_first = sorted(loose, key=lambda atom: -atom.u_equivalent)
    # a few at a time: the others may recover once the worst is gone
    return tuple(atom.label for atom in worst_first[: max(1, len(candidates) // 5)])


def clashing_atoms(fit: DraftFit) -> tuple[str, ...]:
    """Return the looser one of each pair of atoms nearer than 0.95 A, riding atoms apart."""
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    atoms = [atom for atom in fit.draft.atoms if atom.label not in riding]
    kept = {atom.label for atom in without_clashes(atoms, fit.draft.hall, fit.draft.unit_cell)}
    return tuple(atom.label for atom in atoms if atom.label not in kept)


def fitting_composition(composition: Composition | None, cell: UnitCell) -> Composition | None:
    """Return the composition, divided by its greatest common divisor when the cell is too small to hold it once.

    A composition may be given in any multiple, such as the contents of a cell twice as large. Too small: less than
    10 A^3 for each atom that is not hydrogen.
    """
    if composition is None:
        return None
    heavy = sum(count for element, count in composition.counts.items() if element not in {"H", "D"})
    counts = composition.counts
    if heavy * CROWDED_ANGSTROM3 <= cell.volume_angstrom3 or any(abs(n - round(n)) > 1e-6 for n in counts.values()):
        return composition
    divisor = math.gcd(*(round(count) for count in counts.values()))
    return Composition(counts={element: count / divisor for element, count in counts.items()})


def cell_contents(fit: ModelFit) -> dict[str, float]:
    """Return how many atoms of each element the refined model has in the cell."""
    counts: dict[str, float] = {}
    for atom, row in zip(fit.draft.atoms, fit.atoms, strict=True):
        counts[atom.element] = counts.get(atom.element, 0.0) + atom.occupancy * row.multiplicity
    return counts


def atoms_missing(composition: Composition | None, fit: DraftFit) -> int | None:
    """Return how many more atoms of general position the composition leaves room for; None if it is not known."""
    if composition is None:
        return None
    order = len(operations_from_hall(fit.draft.hall)[0])
    heavy = {atom.label for atom in fit.draft.atoms if atom.element not in {"H", "D"}}
    present = float(sum(atom.multiplicity for atom in fit.atoms if atom.label in heavy))
    units = units_in_cell(composition, cell_contents(fit), fit.draft.hall)
    per_formula = sum(count for element, count in composition.counts.items() if element not in {"H", "D"})
    room = fit.draft.unit_cell.volume_angstrom3 / SMALLEST_VOLUME_PER_ATOM_ANGSTROM3
    return max(0, math.ceil((min(units * per_formula, room) - present) / order - 1e-6))


def new_atoms(fit: DraftFit, elements: Sequence[str], *, most: int | None) -> tuple[DraftAtom, ...]:
    """Return the peaks of the difference density that can be atoms, as the lightest of `elements`.

    A peak must stand out of the map, be as high as a part of the highest, lie no nearer to any atom than a short
    bond, and within 3.6 A of one; far from everything it must stand out more.

    Parameters
    ----------
    elements
        Of the composition, without hydrogen.
    most
        How many at most; None = 12.
    """
    draft = fit.draft
    heavy = [atom for atom in draft.atoms if atom.element not in {"H", "D"}]
    limit = 12 if most is None else min(most, 12)
    if not fit.peaks or not heavy or limit == 0:
        return ()
    light = min(elements, key=lambda element: gemmi.Element(element).atomic_number)
    floor = PEAK_HEIGHT_FRACTION * fit.peaks[0].height
    used = {atom.label for atom in draft.atoms}
    typical = min(0.08, float(np.median([atom.u_iso_angstrom2 for atom in heavy])) * 1.3)
    chosen: list[DraftAtom] = []
    for peak in fit.peaks:
        if len(chosen) == limit or peak.height < floor:
            break
        place = np.array([peak.position])
        others = np.array([atom.position for atom in [*heavy, *chosen]])
        near = contacts(place, others, draft.hall, draft.unit_cell, cutoff=FURTHEST_ANGSTROM)
        own = contacts(place, place, draft.hall, draft.unit_cell, cutoff=1.0)
        names = [atom.element for atom in [*heavy, *chosen]]
        shortest = [0.82 * (covalent_radius(light) + covalent_radius(names[pair.second])) for pair in near]
        if any(pair.distance < least for pair, least in zip(near, shortest, strict=True)):
            continue
        bonded = any(pair.distance < least / 0.82 + 0.45 for pair, least in zip(near, shortest, strict=True))
        if peak.height_sigma < (PEAK_SIGMA_BONDED if bonded else PEAK_SIGMA_ISOLATED) or not near:
            continue
        if any(pair.distance > 0.4 for pair in own):
            continue
        label = _free_label(light, used)
        used.add(label)
        chosen.append(DraftAtom(label=label, element=light, position=peak.position, u_iso_angstrom2=typical))
    return tuple(chosen)


def _free_label(element: str, used: set[str]) -> str:
    number = 1
    while f"{element}{number}" in used:
        number += 1
    return f"{element}{number}"


def relabelled(draft: Draft, elements: Sequence[str]) -> Draft:
    """Return the draft with these elements, one for each atom, and labels that match them.

    Atoms that keep their element keep their label if it begins with the element's symbol. The second place of an atom
    has the element of the first.
    """
    used: set[str] = set()
    atoms = []
    named = {atom.label: element for atom, element in zip(draft.atoms, elements, strict=True)}
    for atom in draft.atoms:
        element = named[atom.label if atom.u_as is None else atom.u_as]
        stem = atom.label if atom.u_as is None else atom.label[:-1]
        keeps = element == atom.element and stem.rstrip("0123456789") == element and atom.label not in used
        label = atom.label if keeps else _free_label(element, used | {other.label for other in draft.atoms})
        used.add(label)
        atoms.append(atom.model_copy(update={"label": label, "element": element}))
    renamed = {old.label: new.label for old, new in zip(draft.atoms, atoms, strict=True)}
    atoms = [a if a.u_as is None else a.model_copy(update={"u_as": renamed[a.u_as]}) for a in atoms]
    return draft.model_copy(update={"atoms": tuple(atoms)})
