"""The order of a refinement: complete, assign, anisotropic, hydrogen, extinction, weights. Decisions, no numerics."""

import logging
from typing import NamedTuple

import numpy as np

from tasks.model import Composition, DivergedError, Document, InputError, ProgramFailedError
from tasks.model.provenance import Attempt
from tasks.refine import completion, elements, parameters
from tasks.refine.assembly import tidied
from tasks.refine.draft import Draft, Fit, Observations
from tasks.refine.geometry import contacts
from tasks.refine.hydrogens import hydrogen_places, with_hydrogens
from tasks.refine.ports import LeastSquares

log = logging.getLogger("apertura.refine")

QUICK_CYCLES = 8
LONG_CYCLES = 40
SAME_PEAK_ANGSTROM = 0.5
SWAPS = 3
SWAP_GAIN = 0.001
RESOLVED_COST = 0.001
"""What an exchange may cost in R1 that parts atoms nearer than a bond."""
EXTINCTION_START = 0.001


class Strategy(Document):
    """What a refinement may do beside moving atoms."""

    completion_rounds: int = 8
    reassign: bool = True
    anisotropic: bool = True
    hydrogens: bool = True
    extinction: bool = True


class Progress(NamedTuple):
    """Where a refinement stands: the best fit, what was tried, places where atoms proved wrong, swaps tried."""

    fit: Fit
    attempts: tuple[Attempt, ...]
    rejected: tuple[tuple[float, float, float], ...] = ()
    exchanged: frozenset[tuple[str, str]] = frozenset()

    def tried(self, change: str, reason: str, trial: Fit | None, *, accepted: bool) -> "Progress":
        """Return the progress after one change."""
        if trial is None:
            outcome = "least squares failed, change undone"
        else:
            verb = "kept" if accepted else "undone"
            outcome = f"{verb}: R1 {self.fit.r1:.4f} -> {trial.r1:.4f}, wR2 {self.fit.wr2:.4f} -> {trial.wr2:.4f}"
        log.debug("%s (%s): %s", change, reason, outcome)
        attempt = Attempt(change=change, reason=reason, outcome=outcome)
        best = trial if accepted and trial is not None else self.fit
        return self._replace(fit=best, attempts=(*self.attempts, attempt))


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
    if strategy.anisotropic:
        progress = _anisotropic(engine, progress, observations)
    if strategy.hydrogens:
        progress = _hydrogens(engine, progress, observations, composition)
    if strategy.extinction:
        progress = _extinction(engine, progress, observations)
    return _finished(engine, progress, observations)


def _try(engine: LeastSquares, draft: Draft, observations: Observations, cycles: int = QUICK_CYCLES) -> Fit | None:
    try:
        return engine.fit(draft, observations, cycles=cycles)
    except (DivergedError, InputError, ProgramFailedError) as error:
        log.debug("undone: %s", error)
        return None


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
            progress = _reassigned(engine, progress, observations, composition)
            progress = _swapped(engine, progress, observations)
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
    trial = _try(engine, fit.draft.model_copy(update={"atoms": kept}), observations)
    accepted = trial is not None and trial.r1 < fit.r1 + 0.01
    places = tuple(atom.position for atom in fit.draft.atoms if atom.label in loose) if accepted else ()
    change = f"dropped {', '.join(sorted(loose))}"
    progress = progress.tried(
        change, "too near to another atom, or displacements far above the others'", trial, accepted=accepted
    )
    return progress._replace(rejected=(*progress.rejected, *places))


def _reassigned(
    engine: LeastSquares, progress: Progress, observations: Observations, composition: Composition | None
) -> Progress:
    fit = progress.fit
    chosen = assigned_elements(fit, observations, composition)
    if chosen == tuple(atom.element for atom in fit.draft.atoms):
        return progress
    changed = sum(1 for atom, element in zip(fit.draft.atoms, chosen, strict=True) if atom.element != element)
    trial = _try(engine, completion.relabelled(fit.draft, chosen), observations)
    # another composition may cost a little; the same one in other places must pay, or it would go to and fro
    same = sorted(chosen) == sorted(atom.element for atom in fit.draft.atoms)
    accepted = trial is not None and trial.r1 < fit.r1 + (-0.0005 if same else 0.003)
    reason = "fit of each element at each site, and the composition"
    return progress.tried(f"changed the element of {changed} atoms", reason, trial, accepted=accepted)


def _swapped(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    for pair in elements.suspicious_swaps(progress.fit, most=SWAPS):
        reason = "the heavy one far looser than the light one"
        progress = _exchanged(engine, progress, observations, pair, gain=SWAP_GAIN, reason=reason)
    draft = progress.fit.draft
    for pair in elements.resolving_swaps(draft.atoms, draft.hall, draft.unit_cell, most=2 * SWAPS):
        reason = "one of them too large for its neighbours"
        progress = _exchanged(engine, progress, observations, pair, gain=-RESOLVED_COST, reason=reason)
    return progress


def _exchanged(
    engine: LeastSquares,
    progress: Progress,
    observations: Observations,
    pair: tuple[str, str],
    *,
    gain: float,
    reason: str,
) -> Progress:
    """Return the progress with the elements of two atoms exchanged, if R1 gains so much; no pair is tried twice."""
    fit = progress.fit
    by_label = {atom.label: atom for atom in fit.draft.atoms}
    if not set(pair) <= set(by_label) or pair in progress.exchanged:
        return progress
    progress = progress._replace(exchanged=progress.exchanged | {pair})
    changed = {pair[0]: by_label[pair[1]].element, pair[1]: by_label[pair[0]].element}
    names = [changed.get(atom.label, atom.element) for atom in fit.draft.atoms]
    typical = float(np.median([row.u_equivalent for row in fit.atoms]))
    draft = completion.relabelled(fit.draft, names)
    atoms = (
        new.model_copy(update={"u_iso_angstrom2": typical}) if old.label in changed else new
        for old, new in zip(fit.draft.atoms, draft.atoms, strict=True)
    )
    trial = _try(engine, draft.model_copy(update={"atoms": tuple(atoms)}), observations)
    accepted = trial is not None and trial.r1 < fit.r1 - gain and (gain < 0 or trial.wr2 < fit.wr2)
    return progress.tried(f"exchanged the elements of {pair[0]} and {pair[1]}", reason, trial, accepted=accepted)


def assigned_elements(fit: Fit, observations: Observations, composition: Composition | None) -> tuple[str, ...]:
    """Return the element of each atom by exchange tests, chemistry and composition."""
    atoms = fit.draft.atoms
    listed = set(fit.draft.elements) if composition is None else set(composition.counts)
    candidates = sorted(listed - {"H", "D"})
    if len(candidates) < 2:
        return tuple(candidates * len(atoms)) if candidates else tuple(atom.element for atom in atoms)
    with np.load(fit.table.path, allow_pickle=False) as file:
        residual = elements.residual_of(dict(file))
    hall, cell = fit.draft.hall, fit.draft.unit_cell
    riders = None
    if composition is not None and "H" in composition.counts:
        riders = hydrogen_places(atoms, candidates, hall, cell, observations.radiation)
    costs = elements.exchange_costs(
        residual, atoms, candidates, hall=hall, cell=cell, radiation=observations.radiation, riders=riders
    )
    costs = costs + elements.chemistry_costs(atoms, candidates, hall, cell)
    costs = costs + elements.crowding_costs(atoms, candidates, hall, cell)
    weights = np.array([atom.multiplicity for atom in fit.atoms], dtype=np.float64)
    wanted = None if composition is None else elements.targets(composition, candidates, weights)
    return tuple(candidates[k] for k in elements.assign(costs, weights, wanted))


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
    trial = _try(engine, fit.draft.model_copy(update={"atoms": (*fit.draft.atoms, *found)}), observations)
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
    trial = _try(engine, parameters.made_anisotropic(fit.draft, chosen), observations, 2 * QUICK_CYCLES)
    for _ in range(3):
        if trial is None or not (wrong := parameters.not_positive_definite(trial)):
            break
        trial = _try(engine, parameters.made_isotropic(trial.draft, wrong), observations)
    accepted = trial is not None and parameters.pays(fit, trial)
    reason = f"{fit.reflections} unique reflections, {fit.reflections_observed} observed"
    return progress.tried(f"made {', '.join(sorted(chosen))} anisotropic", reason, trial, accepted=accepted)


def _hydrogens(
    engine: LeastSquares, progress: Progress, observations: Observations, composition: Composition | None
) -> Progress:
    fit = progress.fit
    draft = with_hydrogens(fit.draft, observations.radiation, composition)
    count = len(draft.atoms) - len(fit.draft.atoms)
    if count == 0:
        return progress
    trial = _try(engine, draft, observations)
    if trial is not None and trial.riding_refused:
        trial = _try(engine, without_groups(trial.draft, trial.riding_refused), observations)
    accepted = trial is not None and trial.r1_all < fit.r1_all + 0.001
    return progress.tried(f"added {count} riding hydrogen atoms", "geometry", trial, accepted=accepted)


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
    fit = progress.fit
    trial = _try(engine, fit.draft.model_copy(update={"extinction": EXTINCTION_START}), observations)
    value = None if trial is None else trial.draft.extinction
    esd = None if trial is None else trial.extinction_esd
    significant = value is not None and esd is not None and value > 4.0 * esd
    accepted = trial is not None and significant and parameters.pays(fit, trial)
    return progress.tried("refined extinction", "strong reflections may be too weak", trial, accepted=accepted)


def _finished(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    final = engine.fit(progress.fit.draft, observations, cycles=LONG_CYCLES, update_weights=True)
    for _ in range(3):
        draft = parameters.made_isotropic(final.draft, parameters.not_positive_definite(final))
        draft = held_at_floor(final.model_copy(update={"draft": draft}))
        if draft == final.draft:
            break
        final = engine.fit(draft, observations, cycles=LONG_CYCLES, update_weights=True)
    outcome = f"R1 {final.r1:.4f}, wR2 {final.wr2:.4f}, shift/esd {final.shift_over_esd_max:.3f}"
    attempt = Attempt(change="refined to the end", reason="with weights of its own", outcome=outcome)
    return progress._replace(fit=final, attempts=(*progress.attempts, attempt))


def held_at_floor(fit: Fit) -> Draft:
    """Return the draft with the displacements held of isotropic atoms that fell to the least value allowed."""
    riding = {label for group in fit.draft.riding for label in group.hydrogens}
    floor = {a.label for a in fit.atoms if a.u_equivalent <= parameters.U_FLOOR_ANGSTROM2 * 1.01} - riding
    atoms = (
        atom.model_copy(update={"refine_u": False}) if atom.label in floor and atom.u_aniso_angstrom2 is None else atom
        for atom in fit.draft.atoms
    )
    return fit.draft.model_copy(update={"atoms": tuple(atoms)})
