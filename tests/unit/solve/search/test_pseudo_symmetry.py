"""When a model obeys a higher symmetry than it was built in, and which group is taken."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.model import UnitCell
from tasks.solve.search import pseudo_symmetry
from tasks.solve.search.pseudo_symmetry import higher_symmetry, lower_symmetry, misfits

CELL = UnitCell.of((7.0, 8.0, 9.0, 90, 100, 90))


def candidate(symbol: str, r_free: float, *, verdict: str = "solved", value: float = 0.2) -> Any:
    return SimpleNamespace(
        task=SimpleNamespace(symmetry=symmetry_from_symbol(symbol)),
        judgement=SimpleNamespace(verdict=verdict, figures={"r_free": r_free}),
        value=value,
    )


def fits(**scores: float) -> Any:
    symbols = {"low": "P 1 21 1", "high": "P 1 21/m 1"}
    return [
        SimpleNamespace(symmetry=symmetry_from_symbol(symbols[name]), score=value) for name, value in scores.items()
    ]


def test_atoms_beside_a_centre_are_off_by_twice_their_error() -> None:
    """Two atoms related by a centre at (0.1, 0.2, 0.3), one moved 0.14 A along b: each image misses by 0.14 A."""
    centre = np.array([0.1, 0.2, 0.3])
    first = np.array([0.25, 0.4, 0.75])
    second = 2 * centre - first + [0, 0.14 / 8.0, 0]
    found = misfits(np.array([first, second]), symmetry_from_symbol("P 1"), symmetry_from_symbol("P -1"), centre, CELL)
    assert found[0] == pytest.approx([0, 0], abs=1e-12)
    assert found[1] == pytest.approx([0.14, 0.14], rel=1e-9)


def test_images_in_the_own_group_count() -> None:
    """A structure of P 21/c written in P c, whose glide plane lies at y = 0, has its centres at y = 1/4."""
    rng = np.random.default_rng(2)
    whole, half = symmetry_from_symbol("P 1 21/c 1"), symmetry_from_symbol("P 1 c 1")
    position, centre = rng.random((5, 3)), np.array([0.0, 0.25, 0.0])
    both = np.concatenate([position, 2 * centre - position])
    assert misfits(both, half, whole, centre, CELL).max() < 1e-9
    assert misfits(position, half, whole, centre, CELL).max() > 0.5


@pytest.mark.parametrize(
    ("r_free", "verdict", "score", "outcome"),
    [(0.22, "solved", 0.3, True), (0.22, "solved", 0.1, False), (0.24, "solved", 0.29, None),
     (0.24, "solved", 0.31, True), (0.25, "solved", 0.31, None), (0.22, "doubtful", 0.3, None)],
)  # fmt: skip
def test_a_higher_symmetry_that_predicts_as_well_is_taken_or_named(
    monkeypatch: pytest.MonkeyPatch, r_free: float, verdict: str, score: float, *, outcome: bool | None
) -> None:
    monkeypatch.setattr(pseudo_symmetry, "phases_of_model", lambda *_: None)
    monkeypatch.setattr(pseudo_symmetry, "_obeyed", lambda *_: None)
    best: Any = candidate("P 1 21 1", 0.20)
    best.built = None
    other = candidate("P 1 21/m 1", r_free, verdict=verdict)
    rival = higher_symmetry(best, [best, other], fits(low=0.2, high=score), None, None)  # type: ignore[arg-type]
    assert (None if rival is None else rival.taken) is outcome
    if rival is not None:
        assert "P 1 21/m 1" in rival.reason
        assert f"{r_free:.3f} against 0.200" in rival.reason


@pytest.mark.parametrize(("r1", "r_free", "outcome"), [(0.18, 0.203, True), (0.22, 0.203, False), (0.18, 0.21, False)])
def test_fewer_parameters_that_explain_all_as_well_are_preferred(
    monkeypatch: pytest.MonkeyPatch, r1: float, r_free: float, *, outcome: bool
) -> None:
    monkeypatch.setattr(pseudo_symmetry, "phases_of_model", lambda *_: None)
    monkeypatch.setattr(pseudo_symmetry, "_obeyed", lambda *_: None)
    best: Any = candidate("P 1 21 1", 0.20)
    best.built = SimpleNamespace(fit=SimpleNamespace(r1=0.19))
    other: Any = candidate("P 1 21/m 1", r_free)
    other.built = SimpleNamespace(fit=SimpleNamespace(r1=r1))
    rival = higher_symmetry(best, [best, other], fits(low=0.2, high=0.1), None, None)  # type: ignore[arg-type]
    assert rival is not None
    assert rival.taken is outcome


def test_a_smaller_group_that_explains_more_is_named() -> None:
    best: Any = candidate("P 1 21/m 1", 0.22)
    best.judgement.figures["r1"] = 0.20
    other: Any = candidate("P 1 21 1", 0.224)
    other.judgement.figures["r1"] = 0.16
    assert "P 1 21 1 is not excluded: R1 0.160 against 0.200" in (lower_symmetry(best, [best, other]) or "")
    other.judgement.figures["r1"] = 0.19
    assert lower_symmetry(best, [best, other]) is None
