"""Split and partly occupied sites, where the map asks for them and left-out reflections agree."""

from collections.abc import Sequence

import gemmi
import numpy as np

from tasks.refine import parameters
from tasks.refine.alternatives import Alternative, along_axis, alternative
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.element_odds import ElementOdds
from tasks.refine.geometry import bonds, close_contacts
from tasks.refine.ports import LeastSquares
from tasks.refine.prediction import predicts_better
from tasks.refine.progress import RefineProgress, tried_fit
from tasks.refine.settings import RefineSettings

LOOSE_RATIO = 1.7
"""Of U(eq) to the median, from which an atom is looked at. Chosen, not measured: in published models of the tests' data
the ends of molecules reach 1.8; a look costs a fit, and left-out reflections decide."""
ELONGATED = 4.0
"""Of the largest to the smallest principal displacement, likewise; checkCIF asks about 4 and more."""
MOST_GROUPS = 4
"""Looked at, the loosest first: each costs up to four fits. Chosen, not measured."""
MOST_MEMBERS = 8
"""Atoms of a group: more is no group but a wrong model."""
SPLIT_CYCLES = 20
"""Of least squares for a split: occupancy and displacements, which are correlated, take more than a plain trial."""
FIRST_SHARE = 0.6
"""Occupancy of the first part to begin with; two equal ones would not part."""
MOBILE_CATIONS = frozenset({"Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Ag", "Tl"})
"""Of the sites in pores and channels that are often there in part."""
OCCUPANCY_RANGE = (0.1, 0.9)
"""Of both parts, outside of which the second is noise. Chosen, not measured."""
ESDS = 4.0
"""By which an occupancy must differ from none and from all."""


def disordered(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, settings: RefineSettings
) -> RefineProgress:
    """Return the progress with groups of atoms split over two places, and loose ones without bonds partly occupied."""
    if not settings.disorder:
        return progress
    for members in loose_groups(progress.fit)[:MOST_GROUPS]:
        progress = _split(engine, progress, intensities, members)
    return _partly_occupied(engine, progress, intensities)


def loose_groups(fit: DraftFit) -> list[tuple[str, ...]]:
    """Return groups of atoms with large or odd displacements, the loosest first: bonded ones, and ends of one atom.

    Three like ends of one atom of which one is loose are one group, as they turn together.
    """
    heavy = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"} and not atom.part]
    rows = {row.label: row for row in fit.atoms}
    if len(heavy) < 3:
        return []
    median = float(np.median([rows[atom.label].u_equivalent for atom in heavy]))
    loose = {i for i, atom in enumerate(heavy) if _is_loose(fit, atom, median)}
    neighbours: dict[int, set[int]] = {i: set() for i in range(len(heavy))}
    for bond in bonds(heavy, fit.draft.hall, fit.draft.unit_cell):
        neighbours[bond.first].add(bond.second)
    for near in neighbours.values():
        for element in {heavy[j].element for j in near}:
            ends = {j for j in near if len(neighbours[j]) == 1 and heavy[j].element == element}
            if len(ends) >= 3 and ends & loose:
                loose |= ends
    linked = {i: (neighbours[i] & loose) | {k for j in neighbours[i] for k in neighbours[j] & loose} for i in loose}
    groups = []
    left = set(loose)
    while left:
        group, edge = set(), {min(left)}
        while edge:
            group |= edge
            edge = {k for i in edge for k in linked[i]} - group
        left -= group
        if len(group) <= MOST_MEMBERS and any(neighbours[i] for i in group):
            groups.append(sorted(group))
    worst = [max(rows[heavy[i].label].u_equivalent for i in group) for group in groups]
    order = sorted(range(len(groups)), key=lambda g: -worst[g])
    return [tuple(heavy[i].label for i in groups[g]) for g in order]


def _is_loose(fit: DraftFit, atom: DraftAtom, median: float) -> bool:
    row = next(row for row in fit.atoms if row.label == atom.label)
    long = atom.u_aniso_angstrom2 is not None and row.u_max_eigenvalue > ELONGATED * max(row.u_min_eigenvalue, 1e-6)
    return row.u_equivalent > LOOSE_RATIO * median or (long and row.u_equivalent > median)


def _split(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, members: Sequence[str]
) -> RefineProgress:
    """Return the progress after a trial of two places for a group, by a map without it."""
    fit = progress.fit
    bare = without(fit.draft, members)
    omitted = tried_fit(engine, bare, intensities)
    found = None if omitted is None else alternative(fit.draft, members, omitted.peaks)
    if found is None and len(members) == 1:
        found = along_axis(fit.draft, members[0])
    if found is None:
        return progress
    trial = tried_fit(engine, split_draft(fit.draft, found), intensities, SPLIT_CYCLES)
    if trial is not None and _share(trial.draft, found) < 0.5:
        trial = tried_fit(engine, larger_first(trial.draft, found), intensities)
    accepted = trial is not None and is_sound(trial, found) and parameters.pays(fit, trial)
    accepted = accepted and trial is not None and predicts_better(engine, fit.draft, trial.draft, intensities)
    change = f"split {', '.join(found.labels)} over two places"
    if trial is not None:
        share = _share(trial.draft, found)
        change += f", {share:.0%} and {1 - share:.0%}"
    return progress.tried(change, "large displacements, and density at two places without them", trial,
                          accepted=accepted)  # fmt: skip


def without(draft: Draft, labels: Sequence[str]) -> Draft:
    """Return a draft without atoms and the hydrogen that rides on them."""
    gone = set(labels)
    riding = tuple(group for group in draft.riding if group.pivot not in gone)
    gone |= {label for group in draft.riding if group.pivot in gone for label in group.hydrogens}
    kept = tuple(atom for atom in draft.atoms if atom.label not in gone)
    return draft.model_copy(update={"atoms": kept, "riding": riding})


def split_draft(draft: Draft, found: Alternative) -> Draft:
    """Return the draft with atoms in two parts, the occupancies of which add up to one.

    Both places of an atom share one isotropic displacement. Hydrogen that rides on the atoms, or on their neighbours,
    whose surroundings are two now, is taken off.
    """
    heavy = [atom for atom in draft.atoms if atom.element not in {"H", "D"}]
    names = [atom.label for atom in heavy]
    near = {
        names[bond.first] for bond in bonds(heavy, draft.hall, draft.unit_cell) if names[bond.second] in found.labels
    }
    draft = _bare(draft, {*found.labels, *near})
    used = {atom.label for atom in draft.atoms}
    group, part = _free_group(draft), 1 + max((atom.part for atom in draft.atoms), default=0) // 2 * 2
    typical = float(np.median([atom.u_iso_angstrom2 for atom in heavy]))
    by_label = {atom.label: atom for atom in draft.atoms}
    ones, twos = [], []
    for label, first, second in zip(found.labels, found.first, found.second, strict=True):
        atom = by_label[label].model_copy(
            update={
                "position": _triple(first), "u_aniso_angstrom2": None, "u_iso_angstrom2": 1.3 * typical,
                "occupancy": FIRST_SHARE, "part": part, "occupancy_group": group,
            }
        )  # fmt: skip
        ones.append(atom)
        name = next(name for letter in "BCDEFGHIJKLM" if (name := f"{label}{letter}") not in used)
        used.add(name)
        twos.append(
            atom.model_copy(
                update={
                    "label": name, "position": _triple(second), "occupancy": 1.0 - FIRST_SHARE, "part": part + 1,
                    "occupancy_group": f"-{group}", "u_as": label,
                }
            )
        )  # fmt: skip
    atoms: list[DraftAtom] = []
    for atom in draft.atoms:
        if atom.label not in found.labels:
            atoms.append(atom)
        elif atom.label == next(a.label for a in draft.atoms if a.label in found.labels):
            atoms.extend([*ones, *twos])
    return draft.model_copy(update={"atoms": tuple(atoms)})


def _share(draft: Draft, found: Alternative) -> float:
    return next(atom.occupancy for atom in draft.atoms if atom.label == found.labels[0])


def larger_first(draft: Draft, found: Alternative) -> Draft:
    """Return a split draft with the two places of each atom exchanged, so that the first is there more often."""
    other = {atom.u_as: atom for atom in draft.atoms if atom.u_as in found.labels}
    other |= {atom.label: one for atom in other.values() for one in draft.atoms if one.label == atom.u_as}
    atoms = (
        atom.model_copy(update={"position": other[atom.label].position, "occupancy": other[atom.label].occupancy})
        if atom.label in other
        else atom
        for atom in draft.atoms
    )
    return draft.model_copy(update={"atoms": tuple(atoms)})


def _bare(draft: Draft, pivots: set[str]) -> Draft:
    gone = {label for group in draft.riding if group.pivot in pivots for label in group.hydrogens}
    riding = tuple(group for group in draft.riding if group.pivot not in pivots)
    kept = tuple(atom for atom in draft.atoms if atom.label not in gone)
    return draft.model_copy(update={"atoms": kept, "riding": riding})


def _free_group(draft: Draft) -> str:
    used = {(atom.occupancy_group or "").lstrip("-") for atom in draft.atoms}
    return next(name for number in range(len(used) + 1) if (name := _letters(number)) not in used)


def _letters(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{number}"


def _triple(place: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in place)
    return (x, y, z)


def is_sound(fit: DraftFit, found: Alternative) -> bool:
    """Tell whether both parts of a split are there beyond doubt, at bonds' distances from what they hang on."""
    row = next(row for row in fit.atoms if row.label == found.labels[0])
    share = _share(fit.draft, found)
    least, most = OCCUPANCY_RANGE
    if row.occupancy_esd is None or not least <= share <= most:
        return False
    if min(share, 1.0 - share) < ESDS * row.occupancy_esd:
        return False
    members = {atom.label for atom in fit.draft.atoms if atom.label in found.labels or atom.u_as in found.labels}
    heavy = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    near = close_contacts(heavy, fit.draft.hall, fit.draft.unit_cell)
    if any({heavy[pair.first].label, heavy[pair.second].label} & members for pair in near):
        return False
    held = {heavy[bond.first].label for bond in bonds(heavy, fit.draft.hall, fit.draft.unit_cell)}
    rows = {row.label: row for row in fit.atoms}
    return members <= held and all(rows[label].u_equivalent < parameters.U_CEILING_ANGSTROM2 / 5 for label in members)


def _partly_occupied(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress with occupancies refined of loose atoms that may be absent: water, cations, guests."""
    for label in loose_guests(progress.fit)[:MOST_GROUPS]:
        fit = progress.fit
        group = _free_group(fit.draft)
        atoms = tuple(
            atom.model_copy(update={"occupancy": 0.7, "occupancy_group": group}) if atom.label == label else atom
            for atom in fit.draft.atoms
        )
        trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": atoms}), intensities, SPLIT_CYCLES)
        accepted = trial is not None and _is_partial(trial, label) and parameters.pays(fit, trial)
        accepted = accepted and trial is not None and predicts_better(engine, fit.draft, trial.draft, intensities)
        change = f"refined the occupancy of {label}"
        reason = "large displacements, and bonded to nothing but metals"
        progress = progress.tried(change, reason, trial, accepted=accepted)
    return progress


def loose_guests(fit: DraftFit) -> list[str]:
    """Return loose atoms that may be absent, the loosest first: cations, and what is bonded to nothing but metals.

    Of metals only alkali and alkaline earth ones, which move about in pores: an atom of a framework that scatters less
    than its element is another element, not a part of one.
    """
    heavy = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    if len(heavy) < 3:
        return []
    rows = {row.label: row for row in fit.atoms}
    median = float(np.median([rows[atom.label].u_equivalent for atom in heavy]))
    metal = [gemmi.Element(atom.element).is_metal for atom in heavy]
    bonded = {
        heavy[bond.first].label
        for bond in bonds(heavy, fit.draft.hall, fit.draft.unit_cell)
        if not metal[bond.first] and not metal[bond.second]
    }
    guests = [
        atom.label
        for atom, is_metal in zip(heavy, metal, strict=True)
        if atom.label not in bonded and not atom.part and _is_loose(fit, atom, median)
        if not is_metal or atom.element in MOBILE_CATIONS
    ]
    return sorted(guests, key=lambda label: -rows[label].u_equivalent)


def _is_partial(fit: DraftFit, label: str) -> bool:
    share = next(atom.occupancy for atom in fit.draft.atoms if atom.label == label)
    esd = next(row.occupancy_esd for row in fit.atoms if row.label == label)
    return esd is not None and share > max(OCCUPANCY_RANGE[0], ESDS * esd) and share < 1.0 - ESDS * esd


def odds_of_places(fit: DraftFit, odds: tuple[ElementOdds, ...]) -> tuple[ElementOdds, ...]:
    """Return the odds of elements less those of second places: an atom is the same one wherever it is."""
    second = {atom.label for atom in fit.draft.atoms if atom.u_as is not None}
    return tuple(item for item in odds if item.label not in second)
