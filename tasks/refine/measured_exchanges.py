"""Exchanges of two elements of a refined model, measured in least squares: what its names are surer than."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tasks.model import Composition
from tasks.refine import elements
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.element_energy import exchanges
from tasks.refine.element_odds import candidate_elements, energy_of, naming_cost
from tasks.refine.geometry import electropositive
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, tried_fit

MOST_MEASURED = 4
"""The cheapest by the quadratic form are refined: each costs one fit. Chosen, not measured."""
MEASURED_BELOW = 20.0
"""Cost by the quadratic form, beyond which an exchange is left to it: it counts exp(-10)."""
SAME_STRUCTURE = 0.005
"""Relative difference of F(calc) up to which an exchange is the same structure about another origin, or its inverse, if
bonds are no other either. Chosen, not measured: names of silicon and aluminium exchanged in X-rays change F by 0.02."""
EVEN = 1.0
"""Cost below which an exchange does as well: one standard deviation. Right names of tyrosine (tests' data) have 2.5 and
more, N to C; cadmium and iodine of CdI2, exchanged, less than zero."""
SAME_BONDS = 0.5
"""Of the cost of names, likewise."""


class MeasuredExchange(NamedTuple):
    """An exchange of the elements of two atoms, and twice the negative log-likelihood that it costs."""

    first: str
    second: str
    cost: float


def measured_exchanges(
    engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, composition: Composition | None
) -> tuple[MeasuredExchange, ...]:
    """Return the likeliest exchanges of two elements with what data, bonds and composition have against each.

    The quadratic form of `energy_of` only proposes them. An exchange that fails in least squares, or gives the same
    structure, is left out.
    """
    heavy = [atom for atom in fit.draft.atoms if atom.element not in {"H", "D"}]
    candidates = candidate_elements(fit, composition)
    if len({atom.element for atom in heavy}) < 2:
        return ()
    energy, state = energy_of(fit, heavy, candidates, intensities=intensities, composition=composition)
    before = naming_cost(fit, composition, candidates)
    found = []
    for proposal in exchanges(energy, state, most=MOST_MEASURED, below=MEASURED_BELOW):
        chosen = {atom.label: energy.element(i, int(proposal[i])) for i, atom in enumerate(heavy)}
        # labels stay, as riding atoms and restraints know their atoms by them
        atoms = (
            atom.model_copy(update={"element": chosen.get(atom.u_as or atom.label, atom.element)})
            for atom in fit.draft.atoms
        )
        trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": tuple(atoms)}), intensities, 2 * QUICK_CYCLES)
        if trial is None:
            continue
        bonds = naming_cost(trial, composition, candidates) - before
        change, apart = _compared(fit, trial, intensities)
        if apart > SAME_STRUCTURE or abs(bonds) > SAME_BONDS:
            first, second = (atom.label for atom in heavy if atom.element != chosen[atom.label])
            found.append(MeasuredExchange(first, second, change + bonds))
    return tuple(found)


def _compared(fit: DraftFit, trial: DraftFit, intensities: UniqueIntensities) -> tuple[float, float]:
    """Return the change of twice the negative log-likelihood, and by how much F(calc) differs, relative."""
    with np.load(fit.table.path, allow_pickle=False) as old, np.load(trial.table.path, allow_pickle=False) as new:
        change = elements.evidence_change(dict(old), dict(new), intensities.radiation)
        was, now = (np.sqrt(np.maximum(table["f_sq_calc"], 0.0)) for table in (old, new))
    scale = float(was @ now) / max(float(now @ now), 1e-12)
    return change, float(np.abs(was - scale * now).sum() / max(float(was.sum()), 1e-12))


def exchanged_names(fit: DraftFit, measured: Sequence[MeasuredExchange]) -> dict[str, tuple[float, str]]:
    """Return for atoms by label how likely it is that they have another name by an exchange, and the likeliest one.

    Measured costs are taken as they are: the temperature of samples stands for errors of the quadratic form.
    """
    name = {atom.label: atom.element for atom in fit.draft.atoms}
    # beyond e^30 an exchange is certain, and the exponential may overflow
    weight = {row: float(np.exp(min(-row.cost / 2.0, 30.0))) for row in measured}
    total = 1.0 + sum(weight.values())
    found: dict[str, tuple[float, str]] = {}
    for row in sorted(measured, key=lambda row: row.cost):
        for one, other in ((row.first, row.second), (row.second, row.first)):
            share, first = found.get(one, (0.0, name[other]))
            found[one] = (share + weight[row] / total, first)
    return found


def undecided(measured: Sequence[MeasuredExchange], fit: DraftFit) -> str | None:
    """Return in words which names may as well be exchanged; None if there are none.

    Of two non-metals nothing is said here: which of the light atoms of a molecule is carbon, nitrogen or oxygen may be
    open, as the odds say, and the molecule is found all the same. A metal in the place of another element is another
    structure.
    """
    metal = {atom.label: electropositive(atom.element) for atom in fit.draft.atoms}
    even = sorted((row for row in measured if row.cost < EVEN), key=lambda row: row.cost)
    pairs = [f"{row.first} and {row.second}" for row in even if metal[row.first] or metal[row.second]]
    return f"which atom is which is not decided: {', '.join(pairs)} may be exchanged" if pairs else None
