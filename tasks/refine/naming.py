"""Which element each atom is: trials in least squares of what the costs of single sites propose."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.model import Composition
from tasks.refine import completion, elements
from tasks.refine.draft import DraftAtom, Fit, Observations
from tasks.refine.element_odds import candidate_elements, site_costs
from tasks.refine.hydrogens import hydrogen_places, with_hydrogens
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import Progress, tried_fit

SWAPS = 3
SWAP_GAIN = 0.001
RESOLVED_COST = 0.001
"""What an exchange may cost in R1 that parts atoms nearer than a bond."""
RENAMING_ROUNDS = 2
RENAMING_GAIN = 0.0002


def reassigned(
    engine: LeastSquares, progress: Progress, observations: Observations, composition: Composition | None
) -> Progress:
    """Return the progress with elements chosen anew by the fit of each at each site, and the composition."""
    fit = progress.fit
    chosen = assigned_elements(fit, observations, composition)
    if chosen == tuple(atom.element for atom in fit.draft.atoms):
        return progress
    changed = sum(1 for atom, element in zip(fit.draft.atoms, chosen, strict=True) if atom.element != element)
    trial = tried_fit(engine, completion.relabelled(fit.draft, chosen), observations)
    # another composition may cost a little; the same one in other places must pay, or it would go to and fro
    same = sorted(chosen) == sorted(atom.element for atom in fit.draft.atoms)
    accepted = trial is not None and trial.r1 < fit.r1 + (-0.0005 if same else 0.003)
    reason = "fit of each element at each site, and the composition"
    return progress.tried(f"changed the element of {changed} atoms", reason, trial, accepted=accepted)


def swapped(engine: LeastSquares, progress: Progress, observations: Observations) -> Progress:
    """Return the progress with the elements of pairs of atoms exchanged where their looseness or room asks for it."""
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
    trial = tried_fit(engine, draft.model_copy(update={"atoms": tuple(atoms)}), observations)
    accepted = trial is not None and trial.r1 < fit.r1 - gain and (gain < 0 or trial.wr2 < fit.wr2)
    return progress.tried(f"exchanged the elements of {pair[0]} and {pair[1]}", reason, trial, accepted=accepted)


def assigned_elements(fit: Fit, observations: Observations, composition: Composition | None) -> tuple[str, ...]:
    """Return the element of each atom by exchange tests, chemistry and composition."""
    atoms = fit.draft.atoms
    candidates = candidate_elements(fit, composition)
    if len(candidates) < 2:
        return tuple(candidates * len(atoms)) if candidates else tuple(atom.element for atom in atoms)
    riders = None
    if composition is not None and "H" in composition.counts:
        riders = hydrogen_places(atoms, candidates, fit.draft.hall, fit.draft.unit_cell, observations.radiation)
    costs = site_costs(fit, atoms, candidates, observations=observations, riders=riders)
    return _cheapest(fit, atoms, candidates, costs, composition)


def renamed(
    engine: LeastSquares, progress: Progress, observations: Observations, composition: Composition | None
) -> Progress:
    """Return the progress with elements chosen once more, now that hydrogen atoms and displacements are in place.

    C, N and O differ by less than the hydrogen atoms they carry, which the first choice had to do without. Hydrogen
    is placed anew for the new names; R1 of all reflections must gain.
    """
    candidates = candidate_elements(progress.fit, composition)
    for _ in range(RENAMING_ROUNDS if len(candidates) > 1 else 0):
        fit = progress.fit
        heavy = tuple(atom for atom in fit.draft.atoms if atom.element not in {"H", "D"})
        costs = site_costs(fit, heavy, candidates, observations=observations)
        chosen = _cheapest(fit, heavy, candidates, costs, composition)
        if chosen == tuple(atom.element for atom in heavy):
            break
        bare = fit.draft.model_copy(update={"atoms": heavy, "riding": ()})
        draft = completion.relabelled(bare, chosen)
        if fit.draft.riding:
            draft = with_hydrogens(draft, observations.radiation, composition)
        trial = tried_fit(engine, draft, observations)
        accepted = trial is not None and trial.r1_all < fit.r1_all - RENAMING_GAIN and not trial.riding_refused
        count = sum(1 for atom, element in zip(heavy, chosen, strict=True) if atom.element != element)
        reason = "fit of each element at each site, hydrogen in place"
        progress = progress.tried(f"changed the element of {count} atoms", reason, trial, accepted=accepted)
        if not accepted:
            break
    return progress


def _cheapest(
    fit: Fit,
    atoms: Sequence[DraftAtom],
    candidates: list[str],
    costs: NDArray[np.float64],
    composition: Composition | None,
) -> tuple[str, ...]:
    """Return the elements of least cost (atoms, candidates) that keep to the composition."""
    multiplicity = {row.label: float(row.multiplicity) for row in fit.atoms}
    weights = np.array([multiplicity[atom.label] for atom in atoms])
    wanted = None if composition is None else elements.targets(composition, candidates, weights)
    return tuple(candidates[k] for k in elements.assign(costs, weights, wanted))
