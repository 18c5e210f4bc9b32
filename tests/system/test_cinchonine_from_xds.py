"""The XDS_ASCII.HKL of a real XDS run, read, merged, solved and refined without any licensed program."""

from pathlib import Path

import pytest

from adapters.cctbx.refine_engine import SmtbxRefiner
from adapters.formats.read_intensities import reflections_from_file
from tasks.model import Composition
from tasks.refine.models import Refinement
from tasks.refine.task import refine_structure
from tasks.solve.engines import DirectMethods
from tasks.solve.models import Atom, Solution
from tasks.solve.task import solve_structure
from tests.synthetic.match_structure import Match, match_structure
from tests.synthetic.solve_cases import Published, from_res

pytestmark = pytest.mark.needs_shared

RUN = Path("cinchonine/DemoData/Cinchonine")


def against_published(refined: Refinement, published: Published) -> Match:
    """Return how the refined atoms, hydrogen left out, agree with the published ones."""
    atoms = tuple(
        Atom(label=atom.label, element=atom.element, position=atom.position)
        for atom in refined.atoms
        if atom.element != "H"
    )
    model = Solution(
        space_group=refined.space_group,
        hall=refined.hall,
        unit_cell=refined.unit_cell,
        atoms=atoms,
        r1=refined.r1,
        verdict=refined.verdict,
    )
    return match_structure(model, published, cell=refined.unit_cell)


def test_the_data_of_xds_give_the_published_structure_with_the_embedded_engines(
    shared_data: Path, tmp_path: Path
) -> None:
    composition = Composition.parse("C19 H22 N2 O")
    folders = {name: tmp_path / name for name in ("data", "solve", "refine")}
    for folder in folders.values():
        folder.mkdir()
    data = reflections_from_file(
        shared_data / RUN / "xds/XDS_ASCII.HKL", cell=None, energy_kev=200, workdir=folders["data"]
    )
    assert data.space_group == "P 1 21 1"
    solutions = solve_structure(data, composition, DirectMethods(), folders["solve"])
    refined = refine_structure(data, solutions.best, composition, SmtbxRefiner(), folders["refine"])
    published = from_res(shared_data / RUN / "shelxl/shelxl.res", "P 1 21 1")
    match = against_published(refined, published)
    assert refined.space_group == "P 1 21 1"
    assert match.fraction == 1.0
    # carbon, nitrogen and oxygen are hard to tell apart by electrons at this completeness: 17 of 22 agree
    assert match.same_element >= 0.7
    assert match.rms_angstrom < 0.1
    assert sum(atom.element != "H" for atom in refined.atoms) == len(published.elements) == 22
    assert refined.r1 < 0.21
