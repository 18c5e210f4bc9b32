"""Whether a model is refined with restraints: few data call for them, left-out reflections decide."""

from typing import NamedTuple

from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.refine import parameters
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.progress import QUICK_CYCLES, RefineProgress, tried_fit
from tasks.refine.restraints.geometry import geometric_restraints
from tasks.refine.settings import RefineSettings
from tasks.refine.validation import HELD_OUT

SEEDS = (0, 1, 2)
"""Of the reflections that are left out: R1 of one tenth of few data is uncertain by a tenth of itself (40 reflections
of a disagreement of 0.1), that of three tenths by 0.6 of that."""
LEFT_OUT_MARGIN = 0.002
"""What R1 of left-out reflections may rise by, as in `parameters.pays`: a difference that refinement leaves anyway.
Chosen, not measured."""
LEAST_RESTRAINED = 4.0
"""Reflections per parameter below which atoms stay isotropic even with restraints: similar and rigid-bond displacements
together remove about half of the freedom (Thorn, Dittrich & Sheldrick, Acta Cryst. A68, 448-451, 2012). Chosen, not
measured."""


class LeftOut(NamedTuple):
    """R1 of reflections that were left out of the fit, over several choices of them, and their number."""

    r1: float
    reflections: int


def restrained(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, settings: RefineSettings
) -> RefineProgress:
    """Return the progress with restraints where data are few and left-out reflections do not suffer from them."""
    fit = progress.fit
    if settings.restraints == "none" or (settings.restraints == "auto" and data_suffice(fit)):
        return progress
    draft = fit.draft.model_copy(update={"restraints": geometric_restraints(fit.draft)})
    if not draft.restraints or draft.restraints == fit.draft.restraints:
        return progress
    trial = tried_fit(engine, draft, intensities, QUICK_CYCLES)
    if trial is not None:  # bonds that were too far off to be sure may have become so
        draft = trial.draft.model_copy(update={"restraints": geometric_restraints(trial.draft)})
        trial = tried_fit(engine, draft, intensities, QUICK_CYCLES)
    before = left_out(engine, fit.draft, intensities)
    after = None if trial is None else left_out(engine, trial.draft, intensities)
    accepted = before is not None and after is not None and after.r1 <= before.r1 + LEFT_OUT_MARGIN
    reason = f"{fit.reflections / fit.parameters:.1f} reflections per parameter; {_said(before, after)}"
    change = f"restrained with {trial.restraints if trial else 0} equations of chemistry"
    return progress.tried(change, reason, trial, accepted=accepted)


def data_suffice(fit: DraftFit) -> bool:
    """Tell whether there are 8 unique reflections for each parameter."""
    return fit.reflections >= parameters.REFLECTIONS_PER_PARAMETER * fit.parameters


def _said(before: LeftOut | None, after: LeftOut | None) -> str:
    if before is None or after is None:
        return "no reflections could be left out"
    return f"R1 of {after.reflections} left-out reflections {before.r1:.4f} -> {after.r1:.4f}"


def left_out(engine: LeastSquares, draft: Draft, intensities: UniqueIntensities) -> LeftOut | None:
    """Return R1 of reflections that a draft was not fitted to; None where least squares fails or none is observed."""
    total, count = 0.0, 0
    for seed in SEEDS:
        try:
            fit = engine.fit(draft, intensities, cycles=2 * QUICK_CYCLES, held_out=HELD_OUT, seed=seed)
        except (DivergedError, InputError, ProgramFailedError):
            return None
        total += (fit.r1_free or 0.0) * fit.reflections_free
        count += fit.reflections_free
    return LeftOut(total / count, count) if count else None
