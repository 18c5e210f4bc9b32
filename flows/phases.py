"""Which of several phases a crystal is of: its structure is solved with the contents of each, and one must win."""

from collections.abc import Sequence

from flows.policies import preference
from tasks.model import Composition
from tasks.report import CrystalOutcome, PhaseTrial

CLEAR_MARGIN = 0.02
"""By which R1 of left-out reflections must be lower with the contents that win, where another is solved too. Chosen,
not measured: about as much as it moves when other reflections are left out; lower, and chance names the phase."""
PhaseOutcome = tuple[Composition, CrystalOutcome]
"""Contents of a phase, and what a crystal came to with them."""
NO_MODEL = (3, 1.0, 1.0)
"""The rank of contents without a refined model, after those of every verdict."""


def best_with_solution(outcomes: Sequence[PhaseOutcome]) -> CrystalOutcome | None:
    """Return the best outcome that has candidate structures; None without any."""
    return min((found for _, found in outcomes if found.solutions is not None), key=_rank, default=None)


def best_phase(outcomes: Sequence[PhaseOutcome]) -> CrystalOutcome:
    """Return what the contents that explain a crystal best came to, with the trials of all.

    Contents are ranked by verdict, then R1 of left-out reflections. If a second is solved as well and not clearly
    worse, the phase is not told apart: doubtful. If none is solved, the reason says that the crystal fits none.
    """
    ranked = sorted(outcomes, key=lambda item: _rank(item[1]))
    contents, winner = ranked[0]
    trials = tuple(_trial(composition, outcome) for composition, outcome in ranked)
    chosen = winner.model_copy(update={"phases": trials, "composition": contents.formula()})
    if winner.status != "solved" or winner.refinement is None:
        return chosen
    rival = next((trial for trial in trials[1:] if trial.verdict == "solved"), None)
    if rival is None or _margin(trials[0], rival) >= CLEAR_MARGIN:
        return chosen
    reason = f"{trials[0].composition} and {rival.composition} explain it alike: which phase it is stays open"
    model = winner.refinement.model_copy(
        update={"verdict": "doubtful", "reasons": (reason, *winner.refinement.reasons)}
    )
    return chosen.model_copy(update={"refinement": model})


def _rank(outcome: CrystalOutcome) -> tuple[int, float, float]:
    return NO_MODEL if outcome.refinement is None else preference(outcome.refinement)


def _margin(best: PhaseTrial, rival: PhaseTrial) -> float:
    if best.r1_left_out is None or rival.r1_left_out is None:
        return 0.0
    return rival.r1_left_out - best.r1_left_out


def _trial(composition: Composition, outcome: CrystalOutcome) -> PhaseTrial:
    model = outcome.refinement
    if model is None:
        message = outcome.failure.message if outcome.failure is not None else "no model"
        return PhaseTrial(composition=composition.formula(), verdict="not-solved", reason=message)
    return PhaseTrial(
        composition=composition.formula(),
        verdict=model.verdict,
        formula=model.formula,
        space_group=model.space_group,
        r1=model.r1,
        r1_left_out=model.r1_free,
        reason="; ".join(model.reasons),
    )
