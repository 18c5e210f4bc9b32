"""Elements that the composition does not name, tried in least squares where they seem to fit better than its own."""

from collections.abc import Sequence

import gemmi
import numpy as np

from tasks.crystal.scattering import scattering_factor
from tasks.refine import elements
from tasks.refine.disorder import MOBILE_CATIONS
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.element_rivals import ElementRival, rivals_below
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, tried_fit

TRIED_BELOW = -3.0
"""Cost by the quadratic form from which a rival is refined: it is right to some tenths near zero, and says too little
of rivals far off, as F(calc) does not change in proportion. Chosen, not measured; more only costs trials."""
MOST_TRIALS = 3
"""The cheapest rivals are tried: each costs one fit."""
AS_WELL = 0.005
"""Of R1, by which an element that is wholly there may fit worse than one in part, and leave open which it is. Chosen,
not measured: about what an occupancy more gains by chance."""
WHERE = np.array([0.1, 0.3, 0.6, 1.0])
"""1 / d^2 in 1/angstrom^2, at which factors are compared: from 3 to 1 angstrom, where most reflections are."""
R1_GAIN = 0.002
"""What R1 must gain for a rival to count: weights alone may let a worse R1 pass for a better fit."""


def tried_rivals(
    engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, rivals: Sequence[ElementRival]
) -> tuple[ElementRival, ...]:
    """Return the rivals with the costs that least squares gives those which seem to fit better.

    The cost is n ln of the ratio of chi^2 (`elements.evidence_change`), the variance not being known. A trial that
    fails leaves a rival as good as its element.
    """
    suspect = sorted((rival for rival in rivals if rival.cost < TRIED_BELOW), key=lambda rival: rival.cost)
    measured = {rival.element: _measured(engine, fit, intensities, rival) for rival in suspect[:MOST_TRIALS]}
    found = tuple(rival._replace(cost=measured.get(rival.element, max(rival.cost, TRIED_BELOW))) for rival in rivals)
    return (*found, *_whole_rivals(engine, fit, intensities))


def _whole_rivals(engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities) -> tuple[ElementRival, ...]:
    """Return lighter elements that, wholly there, explain as much as cations that were refined to be there in part."""
    radiation = intensities.radiation
    partial = {
        atom.element: atom.occupancy
        for atom in fit.draft.atoms
        if atom.part == 0 and atom.occupancy_group is not None and atom.element in MOBILE_CATIONS
    }
    found = []
    for element, share in partial.items():
        number = gemmi.Element(element).atomic_number
        wanted = share * scattering_factor(element, WHERE, radiation)
        others = rivals_below(number, radiation)
        if not others:
            continue
        other = min(others, key=lambda name: abs(float((scattering_factor(name, WHERE, radiation) - wanted).sum())))
        atoms = (
            atom.model_copy(update={"element": other, "occupancy": 1.0, "occupancy_group": None, "refine_u": True})
            if atom.element == element and atom.occupancy_group is not None and atom.part == 0
            else atom
            for atom in fit.draft.atoms
        )
        trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": tuple(atoms)}), intensities, 2 * QUICK_CYCLES)
        if trial is not None and trial.r1 <= fit.r1 + AS_WELL:
            cost = _change(fit, trial, intensities)
            found.append(ElementRival(element, other, cost, stronger=False, instead_of_part=True))
    return tuple(found)


def _measured(engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, rival: ElementRival) -> float:
    atoms = (
        atom.model_copy(update={"element": rival.other, "refine_u": True}) if atom.element == rival.element else atom
        for atom in fit.draft.atoms
    )
    trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": tuple(atoms)}), intensities, 2 * QUICK_CYCLES)
    if trial is None:
        return 0.0
    change = _change(fit, trial, intensities)
    return change if trial.r1 < fit.r1 - R1_GAIN else max(change, 0.0)


def _change(fit: DraftFit, trial: DraftFit, intensities: UniqueIntensities) -> float:
    """Return n ln of the ratio of chi^2 of a trial to that of a fit."""
    with np.load(fit.table.path, allow_pickle=False) as old, np.load(trial.table.path, allow_pickle=False) as new:
        return elements.evidence_change(dict(old), dict(new), intensities.radiation)
