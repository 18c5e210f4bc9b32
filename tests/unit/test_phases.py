"""Which of several phases a crystal is of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.phases import best_phase, best_with_solution
from tasks.model import Composition
from tasks.report import CrystalOutcome, Failure
from tests.synthetic.outcomes import example_outcome

FIRST, SECOND = Composition.parse("Mg2 Si O4"), Composition.parse("Ca C O3")
Made = Callable[..., CrystalOutcome]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder: Path = tmp_path_factory.mktemp("outcome")
    crystal = next(one for one in example_outcome(folder).crystals if one.refinement is not None)

    def made(verdict: str | None, r1_free: float = 0.1) -> CrystalOutcome:
        if verdict is None:
            failure = Failure(stage="solve", code="S1", message="no lattice of atoms", advice="")
            return crystal.model_copy(update={"refinement": None, "solutions": None, "failure": failure})
        change = {"verdict": verdict, "r1_free": r1_free, "reasons": ("as told",)}
        return crystal.model_copy(update={"refinement": crystal.refinement.model_copy(update=change)})

    return made


def test_the_contents_with_the_best_verdict_win(outcome: Made) -> None:
    found = best_phase([(FIRST, outcome("doubtful", 0.05)), (SECOND, outcome("solved", 0.15))])
    assert found.composition == SECOND.formula()
    assert found.refinement.verdict == "solved"
    assert [trial.verdict for trial in found.phases] == ["solved", "doubtful"]


def test_two_that_explain_alike_leave_the_phase_open(outcome: Made) -> None:
    alike = best_phase([(FIRST, outcome("solved", 0.11)), (SECOND, outcome("solved", 0.10))])
    assert alike.refinement.verdict == "doubtful"
    assert "explain it alike" in alike.refinement.reasons[0]
    assert alike.refinement.reasons[1:] == ("as told",)
    apart = best_phase([(FIRST, outcome("solved", 0.16)), (SECOND, outcome("solved", 0.10))])
    assert apart.refinement.verdict == "solved"


def test_contents_without_a_model_come_last_and_say_why(outcome: Made) -> None:
    found = best_phase([(FIRST, outcome(None)), (SECOND, outcome("not-solved", 0.5))])
    assert found.phases[1].reason == "no lattice of atoms"
    assert found.phases[1].formula is None
    assert found.refinement.verdict == "not-solved"


def test_only_an_outcome_with_candidates_is_refined_again(outcome: Made) -> None:
    assert best_with_solution([(FIRST, outcome(None))]) is None
    better = outcome("doubtful", 0.2)
    assert best_with_solution([(FIRST, outcome(None)), (SECOND, outcome("not-solved", 0.4)), (FIRST, better)]) is better
