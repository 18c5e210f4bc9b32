"""How sure the name of each atom is: the odds of its element against the others of the composition."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model import Composition
from tasks.refine import elements
from tasks.refine.draft import DraftAtom, Fit, Observations

SETTLED = 0.8
LISTED = 8


class ElementOdds(NamedTuple):
    """Odds of the element an atom has, in (0, 1], and the likeliest other one."""

    label: str
    element: str
    odds: float
    other: str


def site_costs(
    fit: Fit,
    atoms: Sequence[DraftAtom],
    candidates: Sequence[str],
    *,
    observations: Observations,
    riders: Mapping[tuple[int, str], NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Return how badly each element would suit each atom, (atoms, candidates): fit, bonds and room, as a chi^2."""
    hall, cell = fit.draft.hall, fit.draft.unit_cell
    with np.load(fit.table.path, allow_pickle=False) as file:
        residual = elements.residual_of(dict(file))
    costs = elements.exchange_costs(
        residual, atoms, candidates, hall=hall, cell=cell, radiation=observations.radiation, riders=riders
    )
    costs = costs + elements.chemistry_costs(atoms, candidates, hall, cell)
    return costs + elements.crowding_costs(atoms, candidates, hall, cell)


def candidate_elements(fit: Fit, composition: Composition | None) -> list[str]:
    """Return the elements that an atom may be: of the composition, else of the model, hydrogen apart."""
    listed = set(fit.draft.elements) if composition is None else set(composition.counts)
    return sorted(listed - {"H", "D"})


def element_odds(fit: Fit, observations: Observations, composition: Composition | None) -> tuple[ElementOdds, ...]:
    """Return the odds of the name of each atom but hydrogen; none where there is no choice.

    By Bayes' theorem, with the frequencies in the composition (in the model without one) before, and exp(-cost / 2)
    as the likelihood: the costs are twice negative log-likelihoods, tempered for electron data. Neighbours are taken
    to be what they are called, so that the odds of two exchanged atoms are too high.
    """
    atoms = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    candidates = sorted({*candidate_elements(fit, composition), *(atom.element for atom in atoms)})
    if len(candidates) < 2 or not atoms:
        return ()
    names = [atom.element for atom in atoms]
    counts = {name: float(names.count(name)) for name in candidates} if composition is None else composition.counts
    share = np.array([max(counts.get(name, 0.0), 0.1) for name in candidates])
    costs = site_costs(fit, atoms, candidates, observations=observations)
    score = np.log(share / share.sum()) - 0.5 * (costs - costs.min(axis=1, keepdims=True))
    likelihood = np.exp(score - score.max(axis=1, keepdims=True))
    odds = likelihood / likelihood.sum(axis=1, keepdims=True)
    found = []
    for row, atom in enumerate(atoms):
        own = candidates.index(atom.element)
        rest = np.where(np.arange(len(candidates)) == own, -1.0, odds[row])
        found.append(ElementOdds(atom.label, atom.element, float(odds[row, own]), candidates[int(rest.argmax())]))
    return tuple(found)


def unsettled(odds: Sequence[ElementOdds]) -> str | None:
    """Return which names are not settled, in words; None if all are."""
    doubtful = sorted((item for item in odds if item.odds < SETTLED), key=lambda item: item.odds)
    if not doubtful:
        return None
    shown = ", ".join(f"{item.label} ({item.odds:.0%}, else {item.other})" for item in doubtful[:LISTED])
    more = f" and {len(doubtful) - LISTED} more" if len(doubtful) > LISTED else ""
    return f"the element is not settled at {len(doubtful)} of {len(odds)} atoms: {shown}{more}"
