"""Whether what fills the pores of a structure goes into F(calc) as a mask, and what is said of it."""

from tasks.model import DivergedError, InputError, ProgramFailedError
from tasks.refine.draft import Draft, DraftFit, UniqueIntensities
from tasks.refine.ports import LeastSquares
from tasks.refine.prediction import predicts_better
from tasks.refine.progress import RefineProgress, tried_fit
from tasks.refine.settings import RefineSettings
from tasks.refine.solvent_mask import SolventMask, is_empty

ROUNDS = 2
"""Of mask and least squares in turn: UiO-66 with liquid in its pores moves by less than 0.0005 of R1 after two
(`python -m tests.benchmarks.pores`)."""
SETTLED = 0.0005
"""Of R1, below which another round is not worth it."""
LEFT_OUT_GAIN = 0.003
"""Of R1 of reflections that were left out, that a mask must gain. A mask of empty pores of UiO-66 loses 0.016,
of pores with 120 and 200 atoms a cell it gains 0.014 and 0.08 to 0.10 (`python -m tests.benchmarks.pores`)."""


def with_solvent(
    engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities, settings: RefineSettings
) -> RefineProgress:
    """Return the progress with a mask of what fills the pores, made for the model as it stands, or without one.

    ``auto`` keeps it where reflections that were left out of mask and fit agree better, and where the pores hold
    something: that also decides between a mask and atoms, since a mask is made of the pores that atoms leave open.
    Twins have none: least squares adds it to the first crystal alone (smtbx's `least_squares.h`, `process_twinning`).
    """
    if settings.solvent_mask == "off" or progress.fit.draft.twin or intensities.overlaps is not None:
        return progress
    fit = progress.fit
    bare = fit.draft.model_copy(update={"solvent": None})
    found = _mask_of(engine, bare, intensities)
    if found is None or (settings.solvent_mask == "auto" and is_empty(found, intensities.radiation)):
        return _without(engine, progress, intensities)
    volume, share = found.volume_angstrom3, found.accessible_share
    if fit.draft.solvent is not None:
        trial = tried_fit(engine, bare.model_copy(update={"solvent": found}), intensities)
        change = f"masked the contents of {volume:.0f} A^3 of pores anew"
        return progress.tried(change, "the model is better than it was", trial, accepted=trial is not None)
    trial = _settled(engine, bare, found, intensities)
    accepted = trial is not None and (
        settings.solvent_mask == "on"
        or (trial.r1 < fit.r1 and predicts_better(engine, bare, trial.draft, intensities, by=LEFT_OUT_GAIN))
    )
    change = f"masked the contents of {volume:.0f} A^3 of pores, {share:.0%} of the cell"
    return progress.tried(change, "atoms leave pores open, which hold density", trial, accepted=accepted)


def _without(engine: LeastSquares, progress: RefineProgress, intensities: UniqueIntensities) -> RefineProgress:
    """Return the progress with a mask taken off that does not hold for the model any more."""
    fit = progress.fit
    if fit.draft.solvent is None:
        return progress
    trial = tried_fit(engine, fit.draft.model_copy(update={"solvent": None}), intensities)
    return progress.tried("took the mask off", "the pores hold nothing that counts", trial, accepted=trial is not None)


def _mask_of(engine: LeastSquares, draft: Draft, intensities: UniqueIntensities) -> SolventMask | None:
    try:
        return engine.solvent(draft, intensities)
    except (DivergedError, InputError, ProgramFailedError):
        return None


def _settled(engine: LeastSquares, bare: Draft, mask: SolventMask, intensities: UniqueIntensities) -> DraftFit | None:
    """Return the fit after rounds of least squares, each with what the pores hold by the model before."""
    fit: DraftFit | None = None
    draft = bare
    for _ in range(ROUNDS):
        trial = tried_fit(engine, draft.model_copy(update={"solvent": mask}), intensities)
        if trial is None:
            return fit
        done = fit is not None and abs(fit.r1 - trial.r1) < SETTLED
        fit, draft = trial, trial.draft.model_copy(update={"solvent": None})
        again = None if done else _mask_of(engine, draft, intensities)
        if again is None:
            return fit
        mask = again
    return fit
