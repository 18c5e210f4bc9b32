"""What is unusual in a refined structure: warnings for the reader, evidence for the verdict."""

from collections import Counter
from collections.abc import Sequence

import gemmi
import numpy as np

from tasks.model import Composition
from tasks.refine.cell_check import Doubts
from tasks.refine.draft import DraftAtom, ModelFit, UniqueIntensities
from tasks.refine.geometry import bonds, close_contacts, contacts

U_LOW_ANGSTROM2 = 0.003
"""Just above the least value that refinement allows (`parameters.U_FLOOR_ANGSTROM2`)."""
U_HIGH_ANGSTROM2 = 0.15
"""Of an atom that is hardly there; by judgement."""
ANISOTROPY_HIGH = 8.0
"""Largest over smallest principal displacement that needs a look; by judgement."""
LOW_DATA_PER_PARAMETER = 6.0
"""Unique reflections; journals ask for 8 to 10, electron diffraction often has fewer."""
LARGE_SHIFT = 0.05
"""Of an esd, from which a refinement is not called converged in a report; by judgement."""
WHOLE_ATOM = 0.9
"""For each formula unit, from which the model has an atom too many: occupancies are good to some 0.1."""
NO_NEIGHBOUR_ANGSTROM = 3.6
"""Beyond any contact of packed atoms that are not hydrogen."""


def heavy_atoms(fit: ModelFit) -> list[DraftAtom]:
    """Return the atoms that are not hydrogen."""
    return [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]


def odd_displacements(fit: ModelFit) -> tuple[str, ...]:
    """Return the non-hydrogen atoms whose displacements are out of the range 0.003 to 0.15 A^2, or not definite."""
    heavy = {atom.label for atom in heavy_atoms(fit)}
    return tuple(
        row.label
        for row in fit.atoms
        if row.label in heavy
        and (not U_LOW_ANGSTROM2 <= row.u_equivalent <= U_HIGH_ANGSTROM2 or row.u_min_eigenvalue <= 0.0)
    )


def at_the_floor(fit: ModelFit) -> tuple[str, ...]:
    """Return the isotropic non-hydrogen atoms whose displacements fell to the least value that refinement allows."""
    heavy = {atom.label for atom in heavy_atoms(fit) if atom.u_aniso_angstrom2 is None}
    return tuple(row.label for row in fit.atoms if row.label in heavy and 0.0 < row.u_equivalent < U_LOW_ANGSTROM2)


def elongated(fit: ModelFit) -> tuple[str, ...]:
    """Return the atoms whose largest principal displacement is over eight times the smallest."""
    return tuple(
        row.label for row in fit.atoms if row.u_max_eigenvalue > ANISOTROPY_HIGH * max(row.u_min_eigenvalue, 1e-6)
    )


def close_pairs(fit: ModelFit) -> tuple[str, ...]:
    """Return the pairs of non-hydrogen atoms that are nearer than any bond."""
    heavy = heavy_atoms(fit)
    pairs = close_contacts(heavy, fit.draft.hall, fit.draft.unit_cell)
    return tuple(f"{heavy[p.first].label}-{heavy[p.second].label} {p.distance:.2f} A" for p in pairs)


def lonely(fit: ModelFit) -> tuple[str, ...]:
    """Return the non-hydrogen atoms with nothing within 3.6 A."""
    heavy = heavy_atoms(fit)
    if not heavy:
        return ()
    places = np.array([atom.position for atom in heavy])
    near = contacts(places, places, fit.draft.hall, fit.draft.unit_cell, cutoff=NO_NEIGHBOUR_ANGSTROM)
    accompanied = {pair.first for pair in near}
    return tuple(atom.label for index, atom in enumerate(heavy) if index not in accompanied)


def impossible_bonds(fit: ModelFit) -> tuple[str, ...]:
    """Return the light atoms with more neighbours than chemistry allows: C or N over 4, O over 4, terminal halogens."""
    most = {"C": 4, "N": 4, "O": 4, "F": 3, "Cl": 4}
    heavy = heavy_atoms(fit)
    degree = [Counter[int]() for _ in heavy]
    for bond in bonds(heavy, fit.draft.hall, fit.draft.unit_cell):
        if not gemmi.Element(heavy[bond.second].element).is_metal:
            degree[bond.first][heavy[bond.second].part] += 1
    # of an atom whose neighbours are disordered, those of one part are there at a time
    counts = (by_part[0] + max((n for part, n in by_part.items() if part), default=0) for by_part in degree)
    return tuple(atom.label for atom, count in zip(heavy, counts, strict=True) if count > most.get(atom.element, 12))


def composition_agreement(formula: dict[str, float], composition: Composition | None) -> float | None:
    """Return the part of the expected atoms, hydrogen apart, that the model has with the right element, in [0, 1].

    `formula` is that of the model for one formula unit. None without a composition.
    """
    if composition is None:
        return None
    expected = {e: n for e, n in composition.counts.items() if e not in {"H", "D"}}
    total = sum(expected.values())
    if total <= 0:
        return None
    surplus = sum(max(0.0, n - expected.get(e, 0.0)) for e, n in formula.items() if e not in {"H", "D"})
    matched = sum(min(n, formula.get(e, 0.0)) for e, n in expected.items())
    return float(max(0.0, (matched - 0.5 * surplus) / total))


def elements_not_found(formula: dict[str, float], composition: Composition | None) -> tuple[str, ...]:
    """Return the elements of the composition, hydrogen apart, that the model has none of."""
    if composition is None:
        return ()
    expected = {element for element, count in composition.counts.items() if count > 0} - {"H", "D"}
    return tuple(sorted(expected - {element for element, count in formula.items() if count > 0}))


def elements_in_surplus(formula: dict[str, float], composition: Composition | None) -> tuple[str, ...]:
    """Return in words the elements, hydrogen apart, with an atom or more too many in the formula unit."""
    if composition is None:
        return ()
    return tuple(
        f"{count:g} {element} where the composition has {composition.counts.get(element, 0.0):g}"
        for element, count in sorted(formula.items())
        if element not in {"H", "D"} and count - composition.counts.get(element, 0.0) >= WHOLE_ATOM
    )


def completeness_of_model(formula: dict[str, float], composition: Composition | None) -> float | None:
    """Return the non-hydrogen atoms of the model over those of the composition, whatever their elements."""
    if composition is None:
        return None
    expected = sum(n for e, n in composition.counts.items() if e not in {"H", "D"})
    found = sum(n for e, n in formula.items() if e not in {"H", "D"})
    return found / expected if expected > 0 else None


def warnings_of(
    fit: ModelFit,
    intensities: UniqueIntensities | None,
    *,
    formula: dict[str, float],
    composition: Composition | None,
    doubts: Doubts,
) -> tuple[str, ...]:
    """Return what a careful reader should know, in words; of the data nothing where they are None."""
    found: list[str] = []
    ratio = fit.reflections / fit.parameters
    if ratio < LOW_DATA_PER_PARAMETER:
        found.append(f"only {ratio:.1f} unique reflections per parameter: values and esds are weakly determined")
    if intensities is not None and intensities.completeness < 0.8:
        found.append(f"the unique data are {intensities.completeness:.0%} complete: the density may be smeared")
    found.extend(_about_atoms("displacement out of the range 0.003 to 0.15 A^2", odd_displacements(fit)))
    found.extend(_about_atoms("displacement ellipsoid very elongated or not positive definite", elongated(fit)))
    found.extend(_about_atoms("atoms nearer than a bond", close_pairs(fit)))
    found.extend(str(doubt) for doubt in doubts if doubt is not None)
    found.extend(_about_atoms("nothing within 3.6 A", lonely(fit)))
    found.extend(_about_atoms("more bonds than the element forms", impossible_bonds(fit)))
    if intensities is not None and intensities.absences_violated:
        found.append(
            f"{intensities.absences_violated} reflections that the space group forbids have I > 3 sigma"
            + (": multiple scattering may do that" if intensities.radiation == "electron" else "")
        )
    if fit.shift_over_esd_max > LARGE_SHIFT:
        found.append(f"largest shift/esd {fit.shift_over_esd_max:.2f} ({fit.shift_over_esd_at}): not fully converged")
    agreement = composition_agreement(formula, composition)
    if agreement is not None and agreement < 0.9:
        found.append(f"the model agrees with {agreement:.0%} of the composition")
    if fit.draft.weights[0] >= 0.2:
        found.append(
            "the weights are at their limit (a = 0.2): the data are far from kinematical, or the model is wrong"
        )
    return tuple(found)


def _about_atoms(what: str, labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    shown = ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
    return [f"{what}: {shown}"]
