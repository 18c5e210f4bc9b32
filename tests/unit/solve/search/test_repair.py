"""Models with a wrong part are replaced by better ones, and right models are soon left alone."""

from typing import Any, NamedTuple

import pytest

from tasks.solve.search import repair as module
from tasks.solve.search.repair import TRIES, repaired


class Fit(NamedTuple):
    r1: float


class Built(NamedTuple):
    fit: Fit
    r_free: float


class Judgement(NamedTuple):
    verdict: str
    figures: dict[str, float]


class Candidate(NamedTuple):
    task: Any
    built: Built
    judgement: Judgement
    value: float


def judged(_task: object, built: Built) -> Judgement:
    return Judgement("solved" if built.r_free < 0.28 else "doubtful", {"r_free": built.r_free})


def run(monkeypatch: pytest.MonkeyPatch, tries: list[tuple[float, float]]) -> tuple[Any, int]:
    """Return what a model of R1 0.19 and free R1 0.21 becomes when tries lead to these, and how many were made."""
    made = 0

    def one(*_: object) -> Built:
        nonlocal made
        made += 1
        r1, r_free = tries[min(made, len(tries)) - 1]
        return Built(Fit(r1), r_free)

    monkeypatch.setattr(module, "_without_half", one)
    monkeypatch.setattr(module, "judge_built", judged)
    start = Built(Fit(0.19), 0.21)
    candidate: Any = Candidate(None, start, judged(None, start), 0.2)
    return repaired(candidate, seed=0), made


def test_the_better_model_is_taken_and_ranked_by_its_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = run(monkeypatch, [(0.19, 0.21), (0.11, 0.13)])
    assert found.built.fit.r1 == 0.11
    assert found.value == pytest.approx(0.2 - 0.08)


def test_a_model_that_comes_back_three_times_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found, made = run(monkeypatch, [(0.191, 0.21)])
    assert found.built.fit.r1 == 0.19
    assert made == 3


@pytest.mark.parametrize("other", [(0.25, 0.15), (0.15, 0.21), (0.15, 0.3)])
def test_what_fits_or_predicts_worse_is_not_taken(monkeypatch: pytest.MonkeyPatch, other: tuple[float, float]) -> None:
    found, made = run(monkeypatch, [other])
    assert found.built.fit.r1 == 0.19
    assert made == TRIES
