"""Why a crystal is not solved, in words."""

from tasks.refine import Refinement
from tasks.report.models import CrystalOutcome


def reason_of(crystal: CrystalOutcome) -> str | None:
    """Return in words why a crystal is not solved; None if it is."""
    if crystal.status == "solved":
        return None
    if crystal.failure is not None:
        known = () if crystal.solutions is None else crystal.solutions.diagnosis  # why, where refinement stopped
        return "; ".join((*known, crystal.failure.message))
    verdicts = [stage for stage in (crystal.refinement, crystal.solutions) if stage is not None]
    if not verdicts:
        return "the work on it did not begin" if crystal.frames is None else "its frames were not integrated"
    last = verdicts[0]
    said = last.reasons if isinstance(last, Refinement) else last.best.reasons
    diagnosis = () if crystal.solutions is None else crystal.solutions.diagnosis
    name = "the refined model" if isinstance(last, Refinement) else "the best candidate structure"
    if isinstance(last, Refinement) and last.verdict == "doubtful" and _explains(last):
        diagnosis = ()  # what data look like is no cause where a model explains them
    if crystal.phases and last.verdict != "doubtful":
        tried = ", ".join(trial.composition for trial in crystal.phases)
        diagnosis = (f"it fits none of the compositions ({tried})", *diagnosis)
    return "; ".join((*diagnosis, *said)) or f"{name} is {last.verdict.replace('-', ' ')}"


def _explains(refinement: Refinement) -> bool:
    """Tell whether a model predicts its data: where it does not, the places of its atoms are open."""
    return refinement.claims is None or refinement.claims.positions.state != "open"
