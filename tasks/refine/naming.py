"""Which element each atom is: trials in least squares of what the costs of single sites propose."""

import math
from collections.abc import Callable

import numpy as np

from tasks.model import Composition
from tasks.refine import completion, elements
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.element_energy import exchanges, lowest
from tasks.refine.element_odds import candidate_elements, energy_of, naming_cost
from tasks.refine.hydrogens import with_hydrogens
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import RefineProgress, tried_fit

SWAPS = 3
"""Exchanges tried in a round, the worst pairs first; twice as many where room asks. Chosen, not measured: each costs
one fit, and the next round looks again."""
SWAP_GAIN = 0.001
"""Of R1, that an exchange must gain. Chosen, not measured: about what R1 moves by from cycle to cycle of weights;
less lets names go to and fro."""
RESOLVED_COST = 0.001
"""What an exchange may cost in R1 that parts atoms nearer than a bond."""
RENAMING_ROUNDS = 3
"""Each after a change that was accepted; it ends when none is. Chosen, not measured finely: tyrosine (tests' data) is
named right after one. It bounds the time, since names may go in circles where hydrogen moves with them."""
EXCHANGES = 5
"""Exchanges of two atoms tried per round, the cheapest first. Chosen, not measured: each costs one fit with hydrogen
placed anew."""
EXCHANGE_COST = 20.0
"""Exchanges that seem to cost more are not tried."""
GAIN = 0.5
"""Of twice the log-likelihood, so that names do not go to and fro."""
R1_TOLERANCE = 0.0005
"""Weights let a worse R1 pass for a better fit."""
R1_CHANCE = 0.38
"""Of R1 over the square root of the number of reflections: what is no clear gain, and what names that bonds prefer may
cost. Half a standard error of R1, as the standard deviation of absolute normal errors is 0.756 of their mean."""
SEED = 0
"""Of the annealing: any fixed number, so that the same data give the same names."""


def reassigned(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, composition: Composition | None
) -> RefineProgress:
    """Return the progress with elements chosen anew by the fit of each at each site, bonds, and the composition."""
    fit = progress.fit
    chosen = assigned_elements(fit, intensities, composition)
    if chosen == tuple(atom.element for atom in fit.draft.atoms):
        return progress
    changed = sum(1 for atom, element in zip(fit.draft.atoms, chosen, strict=True) if atom.element != element)
    trial = tried_fit(engine, completion.relabelled(fit.draft, chosen), intensities)
    accepted = trial is not None and _likelier(fit, trial, intensities, composition)
    reason = "fit of each element at each site, bonds, and the composition"
    return progress.tried(f"changed the element of {changed} atoms", reason, trial, accepted=accepted)


def _likelier(
    before: DraftFit, after: DraftFit, intensities: UniqueIntensities, composition: Composition | None
) -> bool:
    """Tell whether data, bonds and composition together prefer the elements of another fit."""
    with np.load(before.table.path, allow_pickle=False) as old, np.load(after.table.path, allow_pickle=False) as new:
        change = elements.evidence_change(dict(old), dict(new), intensities.radiation)
    candidates = candidate_elements(before, composition)
    return change + naming_cost(after, composition, candidates) - naming_cost(before, composition, candidates) < -GAIN


def swapped(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, composition: Composition | None
) -> RefineProgress:
    """Return the progress with the elements of pairs of atoms exchanged where their looseness or room asks for it.

    Unless R1 gains more than by chance, looseness gives way to bonds: elements of a salt that scatter alike look
    exchanged by it when they are not.
    """

    def likelier(before: DraftFit, after: DraftFit) -> bool:
        clear = before.r1 - after.r1 > _r1_by_chance(before.r1, before)
        return after.wr2 < before.wr2 and (clear or _likelier(before, after, intensities, composition))

    for pair in elements.suspicious_swaps(progress.fit, most=SWAPS):
        reason = "the heavy one far looser than the light one"
        progress = _exchanged(engine, progress, intensities, pair, gain=SWAP_GAIN, reason=reason, only_if=likelier)
    draft = progress.fit.draft
    for pair in elements.resolving_swaps(draft.atoms, draft.hall, draft.unit_cell, most=2 * SWAPS):
        reason = "one of them too large for its neighbours"
        progress = _exchanged(engine, progress, intensities, pair, gain=-RESOLVED_COST, reason=reason)
    return progress


def _exchanged(
    engine: LeastSquares,
    progress: RefineProgress,
    intensities: UniqueIntensities,
    pair: tuple[str, str],
    *,
    gain: float,
    reason: str,
    only_if: Callable[[DraftFit, DraftFit], bool] = lambda _before, _after: True,
) -> RefineProgress:
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
    trial = tried_fit(engine, draft.model_copy(update={"atoms": tuple(atoms)}), intensities)
    accepted = trial is not None and trial.r1 < fit.r1 - gain and only_if(fit, trial)
    return progress.tried(f"exchanged the elements of {pair[0]} and {pair[1]}", reason, trial, accepted=accepted)


def _r1_by_chance(r1: float, fit: DraftFit) -> float:
    return R1_CHANCE * r1 / math.sqrt(fit.reflections)


def assigned_elements(
    fit: DraftFit, intensities: UniqueIntensities, composition: Composition | None
) -> tuple[str, ...]:
    """Return the element of each atom by exchange tests, chemistry and composition."""
    atoms = fit.draft.atoms
    candidates = candidate_elements(fit, composition)
    if len(candidates) < 2:
        return tuple(candidates * len(atoms)) if candidates else tuple(atom.element for atom in atoms)
    energy, state = energy_of(fit, atoms, candidates, intensities=intensities, composition=composition)
    return tuple(energy.element(i, int(k)) for i, k in enumerate(lowest(energy, state, np.random.default_rng(SEED))))


def renamed(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, composition: Composition | None
) -> RefineProgress:
    """Return the progress with elements that data, bonds and composition prefer now that hydrogen atoms are in place.

    The likeliest assignment is tried, then exchanges of two atoms that the costs of single sites do not rule out:
    these are biased towards the names that there are. Hydrogen is placed anew.
    """
    candidates = candidate_elements(progress.fit, composition)
    tried: set[tuple[str, ...]] = set()
    for _ in range(RENAMING_ROUNDS if len(candidates) > 1 else 0):
        fit = progress.fit
        heavy = tuple(atom for atom in fit.draft.atoms if atom.element not in {"H", "D"})
        energy, state = energy_of(fit, heavy, candidates, intensities=intensities, composition=composition)
        proposals = [lowest(energy, state, np.random.default_rng(SEED))]
        proposals += exchanges(energy, state, most=EXCHANGES, below=EXCHANGE_COST)
        names = [tuple(energy.element(i, int(k)) for i, k in enumerate(proposal)) for proposal in proposals]
        tried.add(tuple(atom.element for atom in heavy))
        for chosen in names:
            if chosen in tried:
                continue
            tried.add(chosen)
            progress = _with_names(engine, progress, intensities, composition, chosen)
            if progress.fit is not fit:
                break
        if progress.fit is fit:
            break
    return progress


def _with_names(
    engine: LeastSquares,
    progress: RefineProgress,
    intensities: UniqueIntensities,
    composition: Composition | None,
    chosen: tuple[str, ...],
) -> RefineProgress:
    """Return the progress after a trial of elements for all atoms but hydrogen, which is placed anew."""
    fit = progress.fit
    heavy = tuple(atom for atom in fit.draft.atoms if atom.element not in {"H", "D"})
    bare = fit.draft.model_copy(update={"atoms": heavy, "riding": ()})
    draft = completion.relabelled(bare, chosen)
    if fit.draft.riding:
        draft = with_hydrogens(draft, intensities.radiation, composition)
    trial = tried_fit(engine, draft, intensities)
    tolerance = max(R1_TOLERANCE, _r1_by_chance(fit.r1_all, fit))
    accepted = trial is not None and not trial.riding_refused and trial.r1_all < fit.r1_all + tolerance
    accepted = accepted and trial is not None and _likelier(fit, trial, intensities, composition)
    pairs = zip(heavy, chosen, strict=True)
    changed = ", ".join(f"{atom.label} to {element}" for atom, element in pairs if atom.element != element)
    reason = "fit of each element at each site, bonds and composition, hydrogen in place"
    return progress.tried(f"changed {changed}", reason, trial, accepted=accepted)
