"""Hydrogen that need not ride: places and displacements refined where the data bear it."""

import numpy as np

from tasks.crystal.lattice import orthogonalisation
from tasks.refine.draft import Draft, DraftFit, RidingGroup, UniqueIntensities
from tasks.refine.parameters import OBSERVED_PER_PARAMETER, REFLECTIONS_PER_PARAMETER, pays
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, RefineProgress, tried_fit
from tasks.refine.restraint_models import RestrainedPair, Restraint
from tasks.refine.restraints.step import compared

D_MIN_ANGSTROM = 0.9
"""Beyond, hydrogen is a shoulder of the atom that carries it: its electron is 0.9 to 1.1 A away. Chosen, not
measured."""
LENGTH_ESD_ANGSTROM = 0.02
"""Of the distance to its carrier, that of neutrons for electrons: SHELXL's default of DFIX."""
STRAYED_ANGSTROM = 0.1
"""From that distance: five esds; an atom that went so far is not hydrogen's peak, or not there."""
U_RANGE_ANGSTROM2 = (0.005, 0.2)
"""Of a refined hydrogen atom: neutron structures have 0.015 (12 K) to 0.1 (methyl groups at room temperature); beyond,
it fits noise. Chosen, not measured."""
PER_HYDROGEN = 4
"""Parameters: three of place, one of displacement."""


def hydrogen_freed(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress with hydrogen refined, its distances restrained, where left-out reflections gain by it.

    Groups whose atoms stray, or whose displacements mean nothing, ride on. Reflections are left out only where the fit
    gains enough for the parameters that it takes.
    """
    fit = progress.fit
    count = sum(len(group.hydrogens) for group in fit.draft.riding)
    wanted = fit.parameters + PER_HYDROGEN * count
    bears = (
        count > 0
        and intensities.d_min_angstrom <= D_MIN_ANGSTROM
        and fit.reflections >= REFLECTIONS_PER_PARAMETER * wanted
        and fit.reflections_observed >= OBSERVED_PER_PARAMETER * wanted
    )
    if not bears:
        return progress
    chosen = fit.draft.riding
    trial = tried_fit(engine, freed(fit.draft, chosen), intensities, 2 * QUICK_CYCLES)
    if trial is not None and (lost := strayed(trial, chosen)):
        chosen = tuple(group for group in chosen if group.pivot not in lost)
        trial = tried_fit(engine, freed(fit.draft, chosen), intensities, 2 * QUICK_CYCLES) if chosen else None
    sound = trial is not None and not strayed(trial, chosen) and pays(fit, trial)
    verdict = compared(engine, fit.draft, trial.draft, intensities) if sound and trial is not None else None
    atoms = sum(len(group.hydrogens) for group in chosen)
    reason = (
        f"{fit.reflections / wanted:.1f} reflections per parameter; {verdict or 'no gain, or places that cannot be'}"
    )
    accepted = verdict is not None and verdict.better
    return progress.tried(f"refined {atoms} of {count} hydrogen atoms", reason, trial, accepted=accepted)


def freed(draft: Draft, groups: tuple[RidingGroup, ...]) -> Draft:
    """Return the draft with the hydrogen atoms of these groups refined, isotropic, their distances restrained."""
    free = {label: group for group in groups for label in group.hydrogens}
    atoms = (
        a.model_copy(update={"refine_position": True, "refine_u": True}) if a.label in free else a for a in draft.atoms
    )
    held = (
        Restraint(
            kind="distance",
            pairs=(RestrainedPair(first=group.pivot, second=label),),
            target_angstrom=group.bond_length_angstrom,
            esd=LENGTH_ESD_ANGSTROM,
            why="hydrogen to what carries it",
        )
        for label, group in free.items()
    )
    return draft.model_copy(
        update={
            "atoms": tuple(atoms),
            "riding": tuple(group for group in draft.riding if group not in groups),
            "restraints": (*draft.restraints, *held),
        }
    )


def strayed(fit: DraftFit, groups: tuple[RidingGroup, ...]) -> frozenset[str]:
    """Return the carriers of refined hydrogen atoms that are too far off, or whose displacements mean nothing."""
    orthogonal = orthogonalisation(fit.draft.unit_cell)
    places = {atom.label: orthogonal @ np.array(atom.position) for atom in fit.draft.atoms}
    u = {row.label: row.u_equivalent for row in fit.atoms}
    low, high = U_RANGE_ANGSTROM2
    return frozenset(
        group.pivot
        for group in groups
        for label in group.hydrogens
        if abs(np.linalg.norm(places[label] - places[group.pivot]) - group.bond_length_angstrom) > STRAYED_ANGSTROM
        or not low <= u[label] <= high
    )
