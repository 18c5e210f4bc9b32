"""A twin from its file to a refined structure: group, law and fraction are found, and said everywhere."""

import json

import gemmi
import pytest

from adapters.cctbx.refine_engine import SmtbxRefiner
from adapters.formats.read_intensities import reflections_from_file
from adapters.formats.shelx_ins import read_shelx
from tasks.model import Composition
from tasks.model.twin import Twin
from tasks.refine import Refinement, refine_structure
from tasks.solve import DirectMethods, Solutions
from tests.synthetic.twins import CRYOLITE, hklf4, observe_twin


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Solutions, Refinement]:
    """Return cryolite, two crystals of equal size: the data merge in mmm, the structure is monoclinic."""
    folder = tmp_path_factory.mktemp("cryolite")
    (folder / "twin.hkl").write_text(hklf4(observe_twin(CRYOLITE, 0.5)))
    data = reflections_from_file(
        folder / "twin.hkl", cell=CRYOLITE.cell, radiation="electron", energy_kev=200, workdir=folder
    )
    assert data.laue_group == "P m m m"
    composition = Composition.parse(CRYOLITE.formula)
    solutions = DirectMethods(workers=1).solve(data, composition, folder)
    return solutions, refine_structure(data, solutions.best, composition, SmtbxRefiner(), folder / "refined")


def test_group_law_and_fraction_are_found(solved: tuple[Solutions, Refinement]) -> None:
    solutions, refinement = solved
    assert solutions.verdict == refinement.verdict == "solved"
    assert refinement.space_group == "P 1 21/n 1"
    assert isinstance(refinement.twin, Twin)
    assert refinement.twin.law == "h,-k,-l"
    assert refinement.twin.fraction == pytest.approx(0.5, abs=0.03)
    assert refinement.r1 < 0.021  # the true model against a single crystal comes to 0.016
    assert refinement.formula == "Al1 F6 Na3"
    assert any(reason.startswith("twin: ") for reason in refinement.reasons)
    assert json.loads(refinement.model_dump_json())["twin"]["law"] == "h,-k,-l"


def test_the_files_carry_the_twin(solved: tuple[Solutions, Refinement]) -> None:
    _, refinement = solved
    for reference in (refinement.res, refinement.ins):
        read = read_shelx(reference.path)
        assert read.twin == (1, 0, 0, 0, -1, 0, 0, 0, -1, 2)
        assert read.basf == pytest.approx((refinement.twin.fraction,), abs=1e-5)
    block = gemmi.cif.read(str(refinement.cif.path)).sole_block()
    rows = [list(row) for row in block.find("_twin_individual_", ["id", "mass_fraction_refined", "twin_lattice_type"])]
    assert [(row[0], row[2]) for row in rows] == [("1", "ref"), ("2", "pmt")]
    assert gemmi.cif.as_number(rows[1][1]) == pytest.approx(refinement.twin.fraction, abs=1e-3)
