"""Where a refinement stands, and changes that are undone where least squares fails."""

import logging
from typing import NamedTuple

from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.model.provenance import Attempt
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.ports import LeastSquares

log = logging.getLogger("apertura.refine")

QUICK_CYCLES = 8
"""Of least squares for a trial; fits that settle end before. Chosen, not measured: enough to tell whether R1 falls,
and what is kept is refined to the end later (strategy.LONG_CYCLES)."""


class RefineProgress(NamedTuple):
    """Where a refinement stands: the best fit, what was tried, places where atoms proved wrong, swaps tried."""

    fit: DraftFit
    attempts: tuple[Attempt, ...]
    rejected: tuple[tuple[float, float, float], ...] = ()
    exchanged: frozenset[tuple[str, str]] = frozenset()

    def tried(self, change: str, reason: str, trial: DraftFit | None, *, accepted: bool) -> "RefineProgress":
        """Return the progress after one change."""
        if trial is None:
            outcome = "least squares failed or had no fits left, change undone"
        else:
            verb = "kept" if accepted else "undone"
            outcome = f"{verb}: R1 {self.fit.r1:.4f} -> {trial.r1:.4f}, wR2 {self.fit.wr2:.4f} -> {trial.wr2:.4f}"
        log.debug("%s (%s): %s", change, reason, outcome)
        attempt = Attempt(change=change, reason=reason, outcome=outcome)
        best = trial if accepted and trial is not None else self.fit
        return self._replace(fit=best, attempts=(*self.attempts, attempt))


def tried_fit(
    engine: LeastSquares, draft: Draft, intensities: UniqueIntensities, cycles: int = QUICK_CYCLES
) -> DraftFit | None:
    """Return the fit of a draft, None where least squares fails."""
    try:
        return engine.fit(draft, intensities, cycles=cycles)
    except (DivergedError, InputError, ProgramFailedError) as error:
        log.debug("undone: %s", error)
        return None
