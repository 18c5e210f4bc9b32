"""Elements that the composition does not name, tried in least squares where they seem to fit better than its own."""

from collections.abc import Sequence

import numpy as np

from tasks.refine import elements
from tasks.refine.draft import DraftFit, UniqueIntensities
from tasks.refine.element_rivals import ElementRival
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, tried_fit

TRIED_BELOW = -3.0
"""Cost by the quadratic form from which a rival is refined: it is right to some tenths near zero, and says too little
of rivals far off, as F(calc) does not change in proportion. Chosen, not measured; more only costs trials."""
MOST_TRIALS = 3
"""The cheapest rivals are tried: each costs one fit."""
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
    return tuple(rival._replace(cost=measured.get(rival.element, max(rival.cost, TRIED_BELOW))) for rival in rivals)


def _measured(engine: LeastSquares, fit: DraftFit, intensities: UniqueIntensities, rival: ElementRival) -> float:
    atoms = (
        atom.model_copy(update={"element": rival.other, "refine_u": True}) if atom.element == rival.element else atom
        for atom in fit.draft.atoms
    )
    trial = tried_fit(engine, fit.draft.model_copy(update={"atoms": tuple(atoms)}), intensities, 2 * QUICK_CYCLES)
    if trial is None:
        return 0.0
    with np.load(fit.table.path, allow_pickle=False) as old, np.load(trial.table.path, allow_pickle=False) as new:
        change = elements.evidence_change(dict(old), dict(new), intensities.radiation)
    return change if trial.r1 < fit.r1 - R1_GAIN else max(change, 0.0)
