"""Elements are claimed as far as the intensities bear them: not without a composition, nor against the data."""

from pathlib import Path

import pytest

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import Composition
from tasks.refine.element_rivals import CONTRADICTED, ElementRival, contradictions, rivals_of
from tasks.refine.models import Refinement
from tests.synthetic.structures import forsterite
from tests.synthetic.true_model import true_model


def refined(folder: Path, composition: str | None, called: dict[str, str] | None = None) -> Refinement:
    """Return forsterite, its magnesium and silicon called something else, refined with a composition."""
    data, solution = true_model(forsterite(), folder / "data", called=called)
    workdir = folder / "refine"
    workdir.mkdir()
    told = None if composition is None else Composition.parse(composition)
    return SmtbxRefiner().refine(data, solution, told, workdir)


def test_with_its_composition_a_structure_is_solved_and_its_elements_claimed(tmp_path: Path) -> None:
    found = refined(tmp_path, "Mg2 Si O4")
    assert found.verdict == "solved"
    assert found.claims is not None
    assert found.claims.positions.state == "settled"
    assert found.claims.elements.state in {"settled", "likely"}


def test_without_a_composition_it_is_not_called_solved_however_well_it_fits(tmp_path: Path) -> None:
    found = refined(tmp_path, None, called={"Mg": "Na", "Si": "Al"})
    assert found.r1 < 0.1
    assert found.verdict == "doubtful"
    assert "give --composition" in found.reasons[0]
    assert found.claims is not None
    assert (found.claims.elements.state, found.claims.positions.state) == ("open", "likely")


@pytest.mark.parametrize(("composition", "called"), [("Mg2 Ge O4", {"Si": "Ge"})])
def test_the_composition_of_another_compound_is_contradicted(
    composition: str, called: dict[str, str], tmp_path: Path
) -> None:
    found = refined(tmp_path, composition, called)
    assert found.verdict != "solved"
    assert found.claims is not None
    assert found.claims.elements.state == "open"


@pytest.mark.parametrize(("composition", "called"), [("Al2 Si O4", {"Mg": "Al"})])
def test_a_neighbour_in_the_periodic_table_is_never_certain(
    composition: str, called: dict[str, str], tmp_path: Path
) -> None:
    found = refined(tmp_path, composition, called)
    assert found.claims is not None
    assert found.claims.elements.state != "settled"


def test_rivals_are_neighbours_and_far_elements_that_the_composition_does_not_name() -> None:
    names = rivals_of("Si", {"Al", "Si", "O"}, "electron")
    assert {"Mg", "P", "S"} <= set(names)
    assert "Al" not in names
    assert not {"Ne", "Ar"} & set(names)


def test_only_what_fits_clearly_better_contradicts() -> None:
    rivals = (
        ElementRival("Mg", "Fe", -CONTRADICTED - 1, stronger=True),
        ElementRival("O", "F", -CONTRADICTED + 1, stronger=True),
    )
    (said,) = contradictions(rivals)
    assert "a heavier element such as Fe where the composition has Mg" in said


def test_an_element_that_is_wholly_there_speaks_against_one_in_part_whatever_it_costs() -> None:
    rival = ElementRival("Ca", "Mg", 2.0, stronger=False, instead_of_part=True)
    assert contradictions([rival]) == (
        "Mg that is wholly there explains as much as Ca that is there in part: is it that?",
    )
    assert contradictions([rival._replace(instead_of_part=False)]) == ()
