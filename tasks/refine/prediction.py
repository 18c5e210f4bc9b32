"""Whether a change of a model foretells reflections that it was not fitted to."""

import numpy as np

from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.refine.draft import Draft, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES
from tasks.refine.validation import HELD_OUT, shaken


def predicts_better(
    engine: LeastSquares, before: Draft, after: Draft, intensities: UniqueIntensities, *, by: float = 0.0
) -> bool:
    """Tell whether R1 of reflections that were left out falls by more than `by`; no if least squares fails."""
    values = []
    for draft in (before, after):
        try:
            fit = engine.fit(draft, intensities, cycles=QUICK_CYCLES, held_out=HELD_OUT, seed=0)
        except (DivergedError, InputError, ProgramFailedError):
            return False
        values.append(fit.r1_free)
    return values[0] is not None and values[1] is not None and values[1] < values[0] - by


def left_out_r1(
    engine: LeastSquares,
    draft: Draft,
    intensities: UniqueIntensities,
    *,
    draws: int,
    share: float = HELD_OUT,
    cycles: int = QUICK_CYCLES,
    shake: bool = False,
) -> float | None:
    """Return R1 of reflections left out of the fit, a fraction, over some draws; None where least squares fails.

    Parameters
    ----------
    share
        Of the reflections, left out of each draw.
    shake
        Whether the atoms are shaken before each fit.
    """
    values, counts = [], []
    for seed in range(draws):
        start = shaken(draft, np.random.default_rng(seed)) if shake else draft
        try:
            fit = engine.fit(start, intensities, cycles=cycles, held_out=share, seed=seed)
        except (DivergedError, InputError, ProgramFailedError):
            return None
        if fit.r1_free is not None:
            values.append(fit.r1_free)
            counts.append(fit.reflections_free)
    return float(np.average(values, weights=counts)) if sum(counts) else None
