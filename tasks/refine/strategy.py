"""How a model grows in least squares: complete, assign, extinction, anisotropic, hydrogen, weights. No numerics."""

from pathlib import Path

import numpy as np

from tasks.model import Composition, DivergedError, ProgramFailedError
from tasks.model.provenance import Attempt
from tasks.refine import completion, parameters, twinning
from tasks.refine.assembly import tidied
from tasks.refine.bounded import BoundedLeastSquares
from tasks.refine.direction_step import direction_scaled
from tasks.refine.disorder import disordered
from tasks.refine.draft import Draft, DraftAtom, DraftFit, UniqueIntensities
from tasks.refine.extinction import most_extinction
from tasks.refine.geometry import contacts
from tasks.refine.hydrogen_freedom import hydrogen_freed
from tasks.refine.hydrogens import with_hydrogens
from tasks.refine.naming import reassigned, renamed, swapped
from tasks.refine.observed import draft_labels
from tasks.refine.overlapped import with_domains
from tasks.refine.ports import LeastSquares
from tasks.refine.prediction import predicts_better
from tasks.refine.progress import QUICK_CYCLES, RefineProgress, tried_fit
from tasks.refine.restraints.step import anisotropic_by_restraints, restrained
from tasks.refine.scattering_choice import with_scattering
from tasks.refine.settings import RefineSettings
from tasks.refine.solvent import with_solvent
from tasks.refine.told_counts import kept_to_told_counts
from tasks.solve import Solution

LONG_CYCLES = 40
"""Of what must converge; fits that settle end before."""
SAME_PEAK_ANGSTROM = 0.5
"""A peak this near to where an atom proved wrong is the same peak: a third of a bond."""
HYDROGEN_ROUNDS = 3
"""Hydrogen makes the geometry clearer, and that places more of it; how often is by judgement."""
HYDROGEN_GAIN = 0.001
"""Of R1 of all data: what the first placing may cost, and what a new one must gain; by judgement."""
EXTINCTION_START = 0.001
"""Any small value: least squares takes it where the data want it."""
TO_THE_END = "refined to the end"
LEAST_PARAMETERS = 2
"""The scale and one more, without which there is nothing to refine: of diamond that is the displacement."""
EXTINCTION_ESDS = 3.0
"""What is usually called significant."""


def first_draft(solution: Solution) -> Draft:
    """Return the first model of a solution; its hydrogen atoms are left to the geometry."""
    atoms = [atom for atom in solution.atoms if atom.element not in {"H", "D"}]
    labels = draft_labels([atom.element for atom in atoms])
    return Draft(
        hall=solution.hall,
        unit_cell=solution.unit_cell,
        twin=twinning.twin_components(solution.twin),
        atoms=tuple(
            DraftAtom(
                label=label,
                element=atom.element,
                position=atom.position,
                u_iso_angstrom2=min(max(atom.u_iso_angstrom2, 0.005), 0.1),
                occupancy=atom.occupancy,
            )
            for atom, label in zip(atoms, labels, strict=True)
        ),
    )


def start_of(solution: Solution, intensities: UniqueIntensities, settings: RefineSettings) -> Draft:
    """Return the first model of a solution with what the data and the settings say of it."""
    return with_scattering(with_domains(first_draft(solution), intensities), intensities.radiation, settings)


def refined(
    engine: LeastSquares,
    draft: Draft,
    intensities: UniqueIntensities,
    *,
    composition: Composition | None,
    settings: RefineSettings,
) -> RefineProgress:
    """Refine a first model to the end; return the last fit and what was tried on the way.

    Raises
    ------
    DivergedError
        If the model itself, before any change, has no atoms or cannot be refined.
    """
    if not draft.atoms:
        raise DivergedError("the solution has no atoms to refine")
    start = draft.model_copy(
        update={"atoms": completion.without_clashes(draft.atoms, draft.hall, draft.unit_cell), "riding": ()}
    )
    progress = RefineProgress(engine.fit(start, intensities, cycles=QUICK_CYCLES), ())
    unbounded, engine = engine, BoundedLeastSquares(engine, most=settings.fits)
    progress = _completed(engine, progress, intensities, composition, settings)
    progress = progress._replace(fit=tried_fit(unbounded, tidied(progress.fit.draft), intensities) or progress.fit)
    if settings.twins:
        progress = twinning.settled(engine, twinning.twinned(engine, progress, intensities), intensities)
    progress = with_solvent(engine, progress, intensities, settings)
    if settings.extinction:
        progress = _extinction(engine, progress, intensities)
    if settings.anisotropic:
        progress = _anisotropic(engine, progress, intensities)
    if settings.hydrogens:
        progress = _hydrogens(engine, progress, intensities, composition)
    if settings.reassign:
        progress = renamed(engine, progress, intensities, composition)
        progress = kept_to_told_counts(engine, progress, intensities, composition)
    before = progress.fit
    progress = restrained(engine, progress, intensities, settings)
    if settings.hydrogens and progress.fit is not before:
        progress = _hydrogens(engine, progress, intensities, composition)
    progress = anisotropic_by_restraints(engine, progress, intensities, settings)
    if settings.extinction:
        progress = _extinction(engine, progress, intensities)
    progress = _parted(engine, progress, intensities, composition, settings)
    progress = _masked(engine, progress, intensities, settings)
    if settings.hydrogens and settings.refine_hydrogens:
        progress = hydrogen_freed(engine, progress, intensities)
    return _finished(unbounded, progress, intensities)


def scaled_by_direction(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, workdir: Path
) -> tuple[RefineProgress, UniqueIntensities]:
    """Return a refinement gone on with intensities corrected by direction, and these, where left-out ones gain."""
    found = direction_scaled(engine, progress.fit, intensities, workdir)
    trial = found.fit if found.accepted else progress.fit
    progress = progress.tried("scaled by direction", found.outcome, trial, accepted=found.accepted)
    return (_finished(engine, progress, found.intensities) if found.accepted else progress), found.intensities


def _parted(
    engine: LeastSquares,
    progress: RefineProgress,
    intensities: UniqueIntensities,
    composition: Composition | None,
    settings: RefineSettings,
) -> RefineProgress:
    """Return the progress with disorder, and what was refused before and may pay now that it is taken care of."""
    parted = disordered(engine, progress, intensities, settings)
    if parted.fit is progress.fit:
        return parted
    if settings.anisotropic:
        parted = _anisotropic(engine, parted, intensities)
    if settings.hydrogens:
        parted = _hydrogens(engine, parted, intensities, composition)
    return renamed(engine, parted, intensities, composition) if settings.reassign else parted


def _masked(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, settings: RefineSettings
) -> RefineProgress:
    """Return the progress with a mask for the model as it is now, and what may pay only with it."""
    masked = with_solvent(engine, progress, intensities, settings)
    if masked.fit.draft.solvent is None or progress.fit.draft.solvent is not None or not settings.anisotropic:
        return masked
    return _anisotropic(engine, masked, intensities)


def _completed(
    engine: LeastSquares,
    progress: RefineProgress,
    intensities: UniqueIntensities,
    composition: Composition | None,
    settings: RefineSettings,
) -> RefineProgress:
    for _ in range(settings.completion_rounds):
        before = progress.fit
        progress = _dropped(engine, progress, intensities)
        if settings.reassign:
            progress = reassigned(engine, progress, intensities, composition)
            progress = swapped(engine, progress, intensities, composition)
        progress = _added(engine, progress, intensities, composition)
        if progress.fit is before:
            break
    return progress


def _dropped(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    fit = progress.fit
    loose = set(completion.clashing_atoms(fit)) or set(completion.loose_atoms(fit))
    if not loose:
        return progress
    kept = tuple(atom for atom in fit.draft.atoms if atom.label not in loose)
    trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": kept}), intensities)
    accepted = trial is not None and trial.r1 < fit.r1 + 0.01
    places = tuple(atom.position for atom in fit.draft.atoms if atom.label in loose) if accepted else ()
    change = f"dropped {', '.join(sorted(loose))}"
    progress = progress.tried(
        change, "too near to another atom, or displacements far above the others'", trial, accepted=accepted
    )
    return progress._replace(rejected=(*progress.rejected, *places))


def _added(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, composition: Composition | None
) -> RefineProgress:
    fit = progress.fit
    listed = set(fit.draft.elements) if composition is None else set(composition.counts)
    most = completion.atoms_missing(composition, fit)
    found = completion.new_atoms(fit, sorted(listed - {"H", "D"}), most=most)
    if progress.rejected and found:
        places = np.array([atom.position for atom in found])
        wrong = np.array(progress.rejected)
        draft = fit.draft
        near = contacts(places, wrong, draft.hall, draft.unit_cell, cutoff=SAME_PEAK_ANGSTROM)
        again = {pair.first for pair in near}
        found = tuple(atom for index, atom in enumerate(found) if index not in again)
    if not found:
        return progress
    trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": (*fit.draft.atoms, *found)}), intensities)
    accepted = trial is not None and trial.r1 < fit.r1 and parameters.pays(fit, trial)
    change = f"added {len(found)} atoms from the difference density"
    progress = progress.tried(change, f"highest peak {fit.peaks[0].height_sigma:.1f} sigma", trial, accepted=accepted)
    places_wrong = () if accepted else tuple(atom.position for atom in found)
    return progress._replace(rejected=(*progress.rejected, *places_wrong))


def _anisotropic(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    fit = progress.fit
    chosen = parameters.anisotropic_elements(fit, intensities)
    draft = parameters.made_anisotropic(fit.draft, chosen)
    if draft == fit.draft:
        return progress
    trial = tried_fit(engine, draft, intensities, 2 * QUICK_CYCLES)
    for _ in range(3):
        if trial is None or not (wrong := parameters.not_positive_definite(trial)):
            break
        trial = tried_fit(engine, parameters.made_isotropic(trial.draft, wrong), intensities)
    accepted = trial is not None and parameters.pays(fit, trial)
    reason = f"{fit.reflections} unique reflections, {fit.reflections_observed} observed"
    return progress.tried(f"made {', '.join(sorted(chosen))} anisotropic", reason, trial, accepted=accepted)


def _hydrogens(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, composition: Composition | None
) -> RefineProgress:
    """Return the progress with riding hydrogen atoms, placed once more where they made the geometry clearer."""
    for _ in range(HYDROGEN_ROUNDS):
        fit = progress.fit
        draft = with_hydrogens(fit.draft, intensities.radiation, composition)
        present = {(group.pivot, group.kind) for group in fit.draft.riding}
        if {(group.pivot, group.kind) for group in draft.riding} == present:
            break
        trial = tried_fit(engine, draft, intensities)
        if trial is not None and trial.riding_refused:
            trial = tried_fit(engine, without_groups(trial.draft, trial.riding_refused), intensities)
        margin = -HYDROGEN_GAIN if present else HYDROGEN_GAIN
        accepted = trial is not None and trial.r1_all < fit.r1_all + margin
        count = sum(len(group.hydrogens) for group in draft.riding)
        change = f"added {count} riding hydrogen atoms" if not present else f"placed {count} hydrogen atoms anew"
        progress = progress.tried(change, "geometry", trial, accepted=accepted)
        if not accepted:
            break
    return progress


def without_groups(draft: Draft, pivots: tuple[str, ...]) -> Draft:
    """Return the draft without the riding hydrogen atoms of these pivots."""
    gone = {label for group in draft.riding if group.pivot in pivots for label in group.hydrogens}
    return draft.model_copy(
        update={
            "atoms": tuple(atom for atom in draft.atoms if atom.label not in gone),
            "riding": tuple(group for group in draft.riding if group.pivot not in pivots),
        }
    )


def _extinction(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress with extinction refined, if that is significant and left-out reflections gain from it.

    For electrons it stands for dynamical scattering, which weakens strong reflections likewise.
    """
    fit = progress.fit
    if fit.draft.extinction is not None:
        return progress
    begin = fit.draft.model_copy(update={"extinction": EXTINCTION_START})
    trial = tried_fit(engine, begin, intensities, LONG_CYCLES)
    value = None if trial is None else trial.draft.extinction
    esd = None if trial is None else trial.extinction_esd
    significant = value is not None and esd is not None and value > EXTINCTION_ESDS * esd
    possible = value is not None and value <= most_extinction(fit.draft.unit_cell, intensities)
    accepted = trial is not None and significant and possible and parameters.pays(fit, trial)
    accepted = accepted and trial is not None and predicts_better(engine, fit.draft, trial.draft, intensities)
    return progress.tried("refined extinction", "strong reflections may be too weak", trial, accepted=accepted)


def _finished(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress refined to the end; where that fails, as it was, which is then not called converged."""
    try:
        final = _to_the_end(engine, progress.fit.draft, intensities)
    except (DivergedError, ProgramFailedError) as error:
        final = progress.fit.model_copy(update={"converged": False})
        attempts = [Attempt(change=TO_THE_END, reason="with weights of its own", outcome=f"undone: {error}")]
        return progress._replace(fit=final, attempts=(*progress.attempts, *attempts))
    attempts = [_ended(final, "with weights of its own")]
    if final.draft.extinction is not None and not final.converged:
        # with displacements, scale and extinction at odds, the extinction stands for something else
        reason = "without extinction, which did not settle"
        try:
            again = _to_the_end(engine, final.draft.model_copy(update={"extinction": None}), intensities)
        except (DivergedError, ProgramFailedError) as error:
            attempts.append(Attempt(change=TO_THE_END, reason=reason, outcome=f"undone: {error}"))
        else:
            attempts.append(_ended(again, reason))
            final = again if again.converged else final
    return progress._replace(fit=final, attempts=(*progress.attempts, *attempts))


def _to_the_end(engine: LeastSquares, draft: Draft, intensities: UniqueIntensities) -> DraftFit:
    final = engine.fit(draft, intensities, cycles=LONG_CYCLES, update_weights=True)
    for _ in range(3):
        draft = parameters.made_isotropic(final.draft, parameters.not_positive_definite(final))
        draft = held_at_floor(final.model_copy(update={"draft": draft}))
        if draft == final.draft:
            break
        final = engine.fit(draft, intensities, cycles=LONG_CYCLES, update_weights=True)
    # what wants to go beyond a bound has come to rest there
    at_bounds = all(atom.u_equivalent <= parameters.U_FLOOR_ANGSTROM2 * 1.01 for atom in final.atoms)
    return final.model_copy(update={"converged": True}) if at_bounds and final.parameters == LEAST_PARAMETERS else final


def _ended(fit: DraftFit, reason: str) -> Attempt:
    outcome = f"R1 {fit.r1:.4f}, wR2 {fit.wr2:.4f}, shift/esd {fit.shift_over_esd_max:.3f}"
    return Attempt(change=TO_THE_END, reason=reason, outcome=outcome)


def held_at_floor(fit: DraftFit) -> Draft:
    """Return the draft with the displacements held of isotropic atoms that fell to the least value allowed."""
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    floor = {a.label for a in fit.atoms if a.u_equivalent <= parameters.U_FLOOR_ANGSTROM2 * 1.01} - riding
    if fit.parameters - len(floor) < LEAST_PARAMETERS:
        return fit.draft
    atoms = (
        atom.model_copy(update={"refine_u": False}) if atom.label in floor and atom.u_aniso_angstrom2 is None else atom
        for atom in fit.draft.atoms
    )
    return fit.draft.model_copy(update={"atoms": tuple(atoms)})
