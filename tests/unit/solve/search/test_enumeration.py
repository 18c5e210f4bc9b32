"""Structures of 16 to 50 unique reflections: right ones solved, others not, and the reason said."""

from pathlib import Path

import pytest

from tasks.integrate import Reflections
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, InputError
from tasks.solve.engines import DirectMethods
from tasks.solve.models import Solutions
from tests.synthetic.match_structure import match_structure
from tests.synthetic.solve_cases import reflections_document
from tests.synthetic.tiny_cases import Tiny, reshuffled, tiny


def document(case: Tiny, folder: Path, merged: Merged | None = None, radiation: str = "electron") -> Reflections:
    data = case.merged if merged is None else merged
    return reflections_document(
        folder / "data", name="tiny", merged=data, cell=case.cell, laue=case.laue, radiation=radiation
    )


def solved(data: Reflections, formula: str | None, folder: Path) -> Solutions:
    composition = None if formula is None else Composition.parse(formula)
    return DirectMethods(workers=1, time_limit_s=1).solve(data, composition, folder)


@pytest.mark.parametrize(
    ("name", "group", "radiation"),
    [
        ("halite", "F m -3 m", "electron"),
        ("fluorite", "F m -3 m", "xray"),
        ("diamond", "F d -3 m:2", "electron"),
        ("copper", "F m -3 m", "xray"),
        ("caesium-chloride", "P m -3 m", "electron"),
        ("perovskite", "P m -3 m", "xray"),
        ("cuprite", "P n -3 m:2", "electron"),
        ("sphalerite", "F -4 3 m", "electron"),
    ],
)
def test_prototypes_are_solved_from_few_reflections_with_8_per_cent_noise(
    name: str, group: str, radiation: str, tmp_path: Path
) -> None:
    case = tiny(name, noise=0.08, radiation=radiation, seed=1)  # type: ignore[arg-type]
    found = solved(document(case, tmp_path, radiation=radiation), case.formula, tmp_path)
    assert found.verdict == "solved"
    assert found.best.space_group == group
    assert match_structure(found.best, case.published, cell=case.cell).fraction == 1.0
    assert found.best.figures["explained_by_chance"] <= 0.01


def test_a_free_coordinate_is_found_too(tmp_path: Path) -> None:
    case = tiny("spinel", noise=0.05, radiation="electron", seed=0)
    found = solved(document(case, tmp_path), case.formula, tmp_path)
    assert (found.verdict, found.best.space_group) == ("solved", "F d -3 m:2")
    assert match_structure(found.best, case.published, cell=case.cell).fraction == 1.0


@pytest.mark.parametrize(("name", "seed"), [("halite", 0), ("fluorite", 2), ("copper", 0)])
def test_shuffled_intensities_are_never_solved(name: str, seed: int, tmp_path: Path) -> None:
    case = tiny(name, noise=0.05, radiation="electron", seed=seed)
    found = solved(document(case, tmp_path, reshuffled(case.merged, seed)), case.formula, tmp_path)
    assert found.verdict != "solved"
    assert any("at random" in reason or "R1" in reason for reason in found.best.reasons)


def test_a_wrong_composition_is_named_by_the_scattering_powers(tmp_path: Path) -> None:
    case = tiny("halite", noise=0.05, radiation="xray", seed=0)
    found = solved(document(case, tmp_path, radiation="xray"), "K Br", tmp_path)
    assert found.verdict != "solved"
    assert any("scattering powers" in reason for reason in found.best.reasons)


def test_fewer_than_twenty_reflections_ask_for_the_composition(tmp_path: Path) -> None:
    case = tiny("halite", noise=0.05, radiation="electron", seed=0)
    assert len(case.merged.hkl) == 19
    with pytest.raises(InputError, match=r"19 unique reflections are too few .* without a composition"):
        solved(document(case, tmp_path), None, tmp_path)


def test_the_same_data_give_the_same_answer(tmp_path: Path) -> None:
    case = tiny("fluorite", noise=0.05, radiation="electron", seed=3)
    first, second = (solved(document(case, tmp_path), case.formula, tmp_path) for _ in range(2))
    assert first.best == second.best


def test_ions_of_equal_power_that_could_be_exchanged_leave_the_structure_in_doubt(tmp_path: Path) -> None:
    # manganese and iron at the two places of a perovskite of 20 reflections: 4 % of their scattering tells them apart
    case = tiny("perovskite", noise=0.08, radiation="electron", seed=0)
    found = solved(document(case, tmp_path), "Mn Fe O3", tmp_path)
    assert found.verdict != "solved"
    assert any("other arrangement" in reason or "scattering" in reason for reason in found.best.reasons)
