"""The order of a refinement: complete, assign, extinction, anisotropic, hydrogen, weights. Decisions, no numerics."""

import numpy as np

from tasks.model import Composition, DivergedError, Document, InputError, ProgramFailedError
from tasks.model.provenance import Attempt
from tasks.refine import completion, parameters
from tasks.refine.assembly import tidied
from tasks.refine.draft import Draft, Fit, Observations
from tasks.refine.geometry import contacts
from tasks.refine.hydrogens import with_hydrogens
from tasks.refine.naming import reassigned, renamed, swapped
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, Progress, tried_fit
from tasks.refine.validation import HELD_OUT

LONG_CYCLES = 40
SAME_PEAK_ANGSTROM = 0.5
HYDROGEN_ROUNDS = 3
HYDROGEN_GAIN = 0.001
EXTINCTION_START = 0.001
EXTINCTION_ESDS = 3.0


class Strategy(Document):
    """What a refinement may do beside moving atoms."""

    completion_rounds: int = 8
    reassign: bool = True
    anisotropic: bool = True
    hydrogens: bool = True
    extinction: bool = True


def refined(
    engine: LeastSquares,
    draft: Draft,
    observations: Observations,
    *,
    composition: Composition | None,
    strategy: Strategy,
) -> Progress:
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
    progress = Progress(engine.fit(start, observations, cycles=QUICK_CYCLES), ())
    progress = _completed(engine, progress, observations, composition, strategy)
    progress = progress._replace(fit=engine.fit(tidied(progress.fit.draft), observations, cycles=QUICK_CYCLES))
    if strategy.extinction:
        progress = _extinction(engine, progress, observations)
    if strategy.anisotropic:
        progress = _anisotropic(engine, progress, observations)
    if strategy.hydrogens:
        progress = _hydrogens(engine, progress, observations, composition)
    if strategy.reassign:
        progress = renamed(engine, progress, observations, composition)
    if strategy.extinction:
        progress = _extinction(engine, progress, observations)
    return _finished(engine, progress, observations)


def _completed(
    engine: LeastSquares,
    progress: Progress,
    observations: Observations,
    composition: Composition | None,
    strategy: Strategy,
) -> Progress:
    for _ in range(strategy.completion_rounds):
        before = progress.fit
        progress = _dropped(engine, progress, observations)
        if strategy.reassign:
            progress = reassigned(engine, progress, observations, composition)
            progress = swapped(engine, progress, observations)
        progress = _added(engine, progress, observations, composition)
        if progress.fit is before:
            break
    return progress


def _dropped(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    fit = progress.fit
    loose = set(completion.clashing_atoms(fit)) or set(completion.loose_atoms(fit))
    if not loose:
        return progress
    kept = tuple(atom for atom in fit.draft.atoms if atom.label not in loose)
    trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": kept}), observations)
    accepted = trial is not None and trial.r1 < fit.r1 + 0.01
    places = tuple(atom.position for atom in fit.draft.atoms if atom.label in loose) if accepted else ()
    change = f"dropped {', '.join(sorted(loose))}"
    progress = progress.tried(
        change, "too near to another atom, or displacements far above the others'", trial, accepted=accepted
    )
    return progress._replace(rejected=(*progress.rejected, *places))


def _added(
    engine: LeastSquares, progress: Progress, observations: Observations, composition: Composition | None
) -> Progress:
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
    trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": (*fit.draft.atoms, *found)}), observations)
    accepted = trial is not None and trial.r1 < fit.r1 and parameters.pays(fit, trial)
    change = f"added {len(found)} atoms from the difference density"
    progress = progress.tried(change, f"highest peak {fit.peaks[0].height_sigma:.1f} sigma", trial, accepted=accepted)
    places_wrong = () if accepted else tuple(atom.position for atom in found)
    return progress._replace(rejected=(*progress.rejected, *places_wrong))


def _anisotropic(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    fit = progress.fit
    chosen = parameters.anisotropic_elements(fit, observations)
    if not chosen:
        return progress
    trial = tried_fit(engine, parameters.made_anisotropic(fit.draft, chosen), observations, 2 * QUICK_CYCLES)
    for _ in range(3):
        if trial is None or not (wrong := parameters.not_positive_definite(trial)):
            break
        trial = tried_fit(engine, parameters.made_isotropic(trial.draft, wrong), observations)
    accepted = trial is not None and parameters.pays(fit, trial)
    reason = f"{fit.reflections} unique reflections, {fit.reflections_observed} observed"
    return progress.tried(f"made {', '.join(sorted(chosen))} anisotropic", reason, trial, accepted=accepted)


def _hydrogens(
    engine: LeastSquares, progress: Progress, observations: Observations, composition: Composition | None
) -> Progress:
    """Return the progress with riding hydrogen atoms, placed once more where they made the geometry clearer."""
    for _ in range(HYDROGEN_ROUNDS):
        fit = progress.fit
        draft = with_hydrogens(fit.draft, observations.radiation, composition)
        present = {(group.pivot, group.kind) for group in fit.draft.riding}
        if {(group.pivot, group.kind) for group in draft.riding} == present:
            break
        trial = tried_fit(engine, draft, observations)
        if trial is not None and trial.riding_refused:
            trial = tried_fit(engine, without_groups(trial.draft, trial.riding_refused), observations)
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


def _extinction(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    """Return the progress with extinction refined, if that is significant and left-out reflections gain from it.

    For electrons it stands for dynamical scattering, which weakens strong reflections likewise.
    """
    fit = progress.fit
    if fit.draft.extinction is not None:
        return progress
    begin = fit.draft.model_copy(update={"extinction": EXTINCTION_START})
    trial = tried_fit(engine, begin, observations, LONG_CYCLES)
    value = None if trial is None else trial.draft.extinction
    esd = None if trial is None else trial.extinction_esd
    significant = value is not None and esd is not None and value > EXTINCTION_ESDS * esd
    accepted = trial is not None and significant and parameters.pays(fit, trial)
    accepted = accepted and trial is not None and _predicts_better(engine, fit.draft, trial.draft, observations)
    return progress.tried("refined extinction", "strong reflections may be too weak", trial, accepted=accepted)


def _predicts_better(engine: LeastSquares, before: Draft, after: Draft, observations: Observations) -> bool:
    """Tell whether R1 of reflections that were left out is lower after a change."""
    values = []
    for draft in (before, after):
        try:
            fit = engine.fit(draft, observations, cycles=QUICK_CYCLES, held_out=HELD_OUT, seed=0)
        except (DivergedError, InputError, ProgramFailedError):
            return False
        values.append(fit.r1_free)
    return values[0] is not None and values[1] is not None and values[1] < values[0]


def _finished(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    final = _to_the_end(engine, progress.fit.draft, observations)
    attempts = [_ended(final, "with weights of its own")]
    if final.draft.extinction is not None and not final.converged:
        # with displacements, scale and extinction at odds, the extinction stands for something else
        again = _to_the_end(engine, final.draft.model_copy(update={"extinction": None}), observations)
        attempts.append(_ended(again, "without extinction, which did not settle"))
        final = again if again.converged else final
    return progress._replace(fit=final, attempts=(*progress.attempts, *attempts))


def _to_the_end(engine: LeastSquares, draft: Draft, observations: Observations) -> Fit:
    final = engine.fit(draft, observations, cycles=LONG_CYCLES, update_weights=True)
    for _ in range(3):
        draft = parameters.made_isotropic(final.draft, parameters.not_positive_definite(final))
        draft = held_at_floor(final.model_copy(update={"draft": draft}))
        if draft == final.draft:
            break
        final = engine.fit(draft, observations, cycles=LONG_CYCLES, update_weights=True)
    return final


def _ended(fit: Fit, reason: str) -> Attempt:
    outcome = f"R1 {fit.r1:.4f}, wR2 {fit.wr2:.4f}, shift/esd {fit.shift_over_esd_max:.3f}"
    return Attempt(change="refined to the end", reason=reason, outcome=outcome)


def held_at_floor(fit: Fit) -> Draft:
    """Return the draft with the displacements held of isotropic atoms that fell to the least value allowed."""
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    floor = {a.label for a in fit.atoms if a.u_equivalent <= parameters.U_FLOOR_ANGSTROM2 * 1.01} - riding
    atoms = (
        atom.model_copy(update={"refine_u": False}) if atom.label in floor and atom.u_aniso_angstrom2 is None else atom
        for atom in fit.draft.atoms
    )
    return fit.draft.model_copy(update={"atoms": tuple(atoms)})
