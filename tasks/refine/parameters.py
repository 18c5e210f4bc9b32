"""How much the data can bear: isotropic or anisotropic, and whether more parameters paid."""

import math
from collections.abc import Sequence

import gemmi

from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities

REFLECTIONS_PER_PARAMETER = 8.0
"""Unique ones, as journals ask (8 to 10; checkCIF's data / parameter ratio); the lower end, as electron data are
seldom complete."""
OBSERVED_PER_PARAMETER = 5.0
"""With I > 2 sigma, which carry most of the information. Chosen, not measured: less lets displacements fit noise, more
leaves weak data isotropic."""
D_MIN_ANISOTROPIC_ANGSTROM = 1.1
"""Chosen, not measured: the inner end of the 1.1 to 1.2 A that Sheldrick takes for atomic resolution (Acta Cryst.
A46, 467-473, 1990); beyond, the shape of an atom cannot be told from its surroundings."""
LIGHT_UP_TO = 10
"""Atomic number of neon: elements up to it take anisotropic displacements together, since C, N and O of one molecule
move alike; heavier ones one after the other."""
U_FLOOR_ANGSTROM2 = 0.002
"""Carbon in diamond, the stiffest crystal, has about 0.002 A^2 at room temperature; the least in the published models
among the tests' data is 0.0047 (L-alanine)."""
U_CEILING_ANGSTROM2 = 1.0
"""Isotropic displacements are kept within these: beyond, they mean that the element or the atom is wrong."""
F_RATIO = 3.0
"""Least mean gain per added parameter, in units of the variance: about the 99 % point for many degrees of freedom."""


def anisotropic_elements(fit: DraftFit, intensities: UniqueIntensities) -> frozenset[str]:
    """Return the elements whose atoms the data can refine anisotropically.

    All but hydrogen if there remain 8 unique and 5 observed (I > 2 sigma) reflections for each parameter; else the
    heaviest elements beyond neon for which that holds; none when the data end above 1.1 A.
    """
    if intensities.d_min_angstrom > D_MIN_ANISOTROPIC_ANGSTROM:
        return frozenset()
    elements = {atom.element for atom in fit.draft.atoms if atom.element not in {"H", "D"}}
    heavy = (element for element in elements if gemmi.Element(element).atomic_number > LIGHT_UP_TO)
    steps = [{element} for element in sorted(heavy, key=lambda element: -gemmi.Element(element).atomic_number)]
    steps.append({element for element in elements if gemmi.Element(element).atomic_number <= LIGHT_UP_TO})
    chosen: set[str] = set()
    for step in steps:
        trial = chosen | step
        added = 5 * sum(1 for atom in fit.draft.atoms if atom.element in trial and atom.u_aniso_angstrom2 is None)
        parameters = fit.parameters + added
        if (
            fit.reflections < REFLECTIONS_PER_PARAMETER * parameters
            or fit.reflections_observed < OBSERVED_PER_PARAMETER * parameters
        ):
            break
        chosen = trial
    return frozenset(chosen)


def made_anisotropic(draft: Draft, elements: frozenset[str]) -> Draft:
    """Return the draft with anisotropic displacements of these elements, equal to the isotropic ones at first.

    Atoms in parts stay isotropic: occupancy, two places and an ellipsoid each are more than two overlapping peaks tell.
    """
    frac = draft.unit_cell.gemmi().reciprocal()
    # U(cif) of an isotropic atom in oblique axes: off-diagonal terms are U cos(angle*) in the reciprocal cell
    cosines = [math.cos(math.radians(angle)) for angle in (frac.gamma, frac.beta, frac.alpha)]

    def change(atom: DraftAtom) -> DraftAtom:
        if atom.element not in elements or atom.u_aniso_angstrom2 is not None or atom.part:
            return atom
        u = atom.u_iso_angstrom2
        return atom.model_copy(update={"u_aniso_angstrom2": (u, u, u, *(u * cosine for cosine in cosines))})

    return draft.model_copy(update={"atoms": tuple(change(atom) for atom in draft.atoms)})


def made_isotropic(draft: Draft, labels: Sequence[str]) -> Draft:
    """Return the draft with isotropic displacements of these atoms."""
    chosen = set(labels)
    atoms = (
        atom.model_copy(
            update={"u_aniso_angstrom2": None, "u_iso_angstrom2": min(max(atom.u_iso_angstrom2, 0.005), 0.2)}
        )
        if atom.label in chosen
        else atom
        for atom in draft.atoms
    )
    return draft.model_copy(update={"atoms": tuple(atoms)})


def not_positive_definite(fit: DraftFit) -> tuple[str, ...]:
    """Return the anisotropic atoms whose smallest principal displacement is below 0.001 A^2."""
    anisotropic = {atom.label for atom in fit.draft.atoms if atom.u_aniso_angstrom2 is not None}
    return tuple(atom.label for atom in fit.atoms if atom.label in anisotropic and atom.u_min_eigenvalue < 0.001)


def pays(before: DraftFit, after: DraftFit) -> bool:
    """Tell whether added parameters are worth it: Hamilton's test on wR2 at equal weights, and R1 must not rise.

    Source: Hamilton, Acta Cryst. 18, 502-510 (1965), with the F ratio fixed at 3.
    """
    added = after.parameters - before.parameters
    if added <= 0:
        return after.r1_all <= before.r1_all
    freedom = after.reflections - after.parameters
    if freedom <= 0 or after.r1 > before.r1 + 0.002:
        return False
    return before.wr2 >= after.wr2 * math.sqrt(1.0 + F_RATIO * added / freedom)
