"""The solving engines end to end on data whose answer is known, and on data that has none."""

from pathlib import Path

import numpy as np
import pytest

from tasks.model import Composition, InputError
from tasks.solve.engines import DirectMethods
from tasks.solve.task import solve_structure, summary
from tests.synthetic.match_structure import match_structure
from tests.synthetic.solve_cases import Case, all_cases, load, merge, read_hklf4, reflections_document
from tests.synthetic.solve_simulated import uio66


def case(name: str, shared_data: Path) -> Case:
    return next(item for item in all_cases(shared_data) if item.name == name)


@pytest.mark.parametrize(("name", "number"), [("l-alanine", 19), ("luag", 230)])
def test_real_data_are_solved_in_the_right_group(name: str, number: int, shared_data: Path, tmp_path: Path) -> None:
    import gemmi

    item = case(name, shared_data)
    data = load(item, tmp_path / "data")
    solutions = solve_structure(data, Composition.parse(item.composition), DirectMethods(), tmp_path / "solve")
    assert solutions.verdict == "solved"
    assert gemmi.find_spacegroup_by_name(solutions.best.space_group).number == number
    match = match_structure(solutions.best, item.published, cell=item.cell)
    assert match.fraction == 1.0
    assert match.rms_angstrom < 0.1
    assert (tmp_path / "solve" / "solution-1.cif").is_file()
    assert "| space group |" in summary(solutions)


def test_uio66_data_with_noise_are_solved(shared_data: Path, tmp_path: Path) -> None:
    item = uio66(shared_data, seed=3)
    data = reflections_document(
        tmp_path, name="uio66", merged=item.merged, cell=item.cell, laue=item.laue, radiation="electron"
    )
    solutions = DirectMethods(seed=3).solve(data, Composition.parse(item.composition), tmp_path)
    assert solutions.verdict == "solved"
    assert solutions.best.space_group == "F m -3 m"
    assert match_structure(solutions.best, item.published, cell=item.cell).fraction >= 0.8


def test_permuted_intensities_are_never_called_solved(shared_data: Path, tmp_path: Path) -> None:
    item = case("l-alanine", shared_data)
    merged = merge(*read_hklf4(item.hkl), item.laue)
    rows = np.random.default_rng(2).permutation(len(merged.hkl))
    mixed = merged._replace(intensity=merged.intensity[rows], sigma=merged.sigma[rows])
    data = reflections_document(
        tmp_path, name="mixed", merged=mixed, cell=item.cell, laue=item.laue, radiation=item.radiation
    )
    solutions = DirectMethods(trials=4).solve(data, Composition.parse(item.composition), tmp_path)
    assert solutions.verdict == "not-solved"
    assert any("against" in reason for reason in solutions.best.reasons)


def test_a_space_group_of_another_laue_class_is_refused(shared_data: Path, tmp_path: Path) -> None:
    data = load(case("l-alanine", shared_data), tmp_path)
    with pytest.raises(InputError, match="Laue class"):
        DirectMethods(space_group="P 1 21/c 1").solve(data, None, tmp_path)
