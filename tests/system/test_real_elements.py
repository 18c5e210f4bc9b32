"""The elements of real structures, named from electron data far from kinematical."""

from collections import Counter
from pathlib import Path

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import Composition
from tasks.solve.engines import DirectMethods
from tests.synthetic.solve_cases import all_cases, load


def test_the_sites_of_a_garnet_are_named_and_sure(shared_data: Path, tmp_path: Path) -> None:
    """Aluminium at the octahedral site scatters as oxygen would in these data; lutetium must not be in doubt."""
    case = next(item for item in all_cases(shared_data) if item.name == "luag")
    composition = Composition.parse(case.composition)
    data = load(case, tmp_path / "data")
    solutions = DirectMethods(workers=1).solve(data, composition, tmp_path)
    folder = tmp_path / "refine"
    folder.mkdir()
    result = SmtbxRefiner().refine(data, solutions.best, composition, folder)
    assert Counter(atom.element for atom in result.atoms) == {"Lu": 1, "Al": 2, "O": 1}
    lutetium = next(atom for atom in result.atoms if atom.element == "Lu")
    assert lutetium.element_odds is not None
    assert lutetium.element_odds > 0.9
