"""Whether a change of a model foretells reflections that it was not fitted to."""

from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.refine.draft import Draft, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES
from tasks.refine.validation import HELD_OUT


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
