"""Which of several phases a crystal is of."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows import pipeline
from flows.phases import best_phase, best_with_solution
from flows.progress import QuietSteps
from flows.review import NoReview
from flows.settings import Settings
from tasks.model import Composition, InputError
from tasks.report import CrystalOutcome, Failure
from tasks.solve import Solution, Solutions
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


class Person(NoReview):
    """Takes the last candidate, or refuses all; counts how often it was asked."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses, self.asked = refuses, 0

    def solution(self, crystal: str, solutions: Solutions) -> Solution:
        self.asked += 1
        if self.refuses:
            raise InputError(f"a person refused the space group of {crystal}")
        return solutions.candidates[-1]


def reviewed(person: Person, outcome: Made, folder: Path, monkeypatch: pytest.MonkeyPatch) -> CrystalOutcome:
    """Return what a crystal comes to that the second of two compositions solves; a person is asked."""
    run = pipeline.Run(folder, Settings(), QuietSteps(), (FIRST, SECOND), person)
    crystal = outcome("doubtful")

    def tried(unasked: pipeline.Run, _crystal: CrystalOutcome, _data: object, contents: Composition, **_: object):
        assert isinstance(unasked.review, NoReview)
        assert not isinstance(unasked.review, Person)
        return outcome("solved" if contents == SECOND else "doubtful", 0.1)

    def refined(_run: pipeline.Run, found: CrystalOutcome, _data: object, contents: Composition, *, folder: Path):
        assert contents == SECOND
        assert folder.name == "reviewed"
        return found.model_copy(update={"id": "as the person wants"})

    monkeypatch.setattr(pipeline, "structure_in_phase", tried)
    monkeypatch.setattr(pipeline, "refined_structure", refined)
    return pipeline.structure(run, crystal)


def test_a_person_is_asked_once_about_the_phase_that_wins(
    outcome: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person()
    found = reviewed(person, outcome, tmp_path, monkeypatch)
    assert (person.asked, found.id, found.composition) == (1, "as the person wants", SECOND.formula())


def test_what_a_person_refuses_is_not_solved_whatever_the_phase(
    outcome: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = reviewed(Person(refuses=True), outcome, tmp_path, monkeypatch)
    assert found.status == "not-solved"
    assert "a person refused" in found.failure.message
