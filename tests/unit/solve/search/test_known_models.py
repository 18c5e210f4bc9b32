"""A model that trials find again is asked for more symmetry once only."""

from types import SimpleNamespace
from typing import cast

from tasks.solve.search.candidates import Candidate
from tasks.solve.search.progress import SearchProgress


def candidate(hall: str, atoms: int, r1: float, correlation: float) -> Candidate:
    """Return what a search asks of a candidate."""
    fit = SimpleNamespace(r1=r1, model=SimpleNamespace(element=("C",) * atoms))
    built = SimpleNamespace(fit=fit, correlation=correlation)
    return cast(Candidate, SimpleNamespace(task=SimpleNamespace(symmetry=SimpleNamespace(hall=hall)), built=built))


def test_the_same_model_is_new_once() -> None:
    progress = SearchProgress()
    assert progress.is_new(candidate("-P 2ybc", 12, 0.210, 0.80))
    assert not progress.is_new(candidate("-P 2ybc", 12, 0.2105, 0.801))


def test_another_group_other_atoms_or_a_better_fit_are_new() -> None:
    progress = SearchProgress()
    assert progress.is_new(candidate("-P 2ybc", 12, 0.210, 0.80))
    assert progress.is_new(candidate("P 2yb", 12, 0.210, 0.80))
    assert progress.is_new(candidate("-P 2ybc", 13, 0.210, 0.80))
    assert progress.is_new(candidate("-P 2ybc", 12, 0.190, 0.82))
