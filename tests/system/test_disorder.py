"""A molecule with an end in two orientations is refined from the ordered one that a solution shows."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import Composition
from tasks.refine.geometry import contacts
from tasks.solve.models import Atom, Solution
from tests.synthetic.disordered import trifluoromethyl
from tests.synthetic.solve_cases import reflections_document

pytestmark = pytest.mark.needs_shared


def test_both_orientations_of_a_trifluoromethyl_are_found(shared_data: Path, tmp_path: Path) -> None:
    made = trifluoromethyl(shared_data, share=0.6, noise=0.05)
    model, rng = made.model, np.random.default_rng(1)
    data = reflections_document(
        tmp_path, name="cf3", merged=made.merged, cell=model.cell, laue="P 1 2/m 1", radiation="electron"
    )
    known = [i for i in range(len(model.elements)) if i not in made.second]
    atoms = tuple(
        Atom(
            label=f"{model.elements[i]}{i}",
            element=model.elements[i],
            position=tuple((model.positions[i] + 0.005 * rng.normal(size=3)).tolist()),
        )
        for i in known
    )
    start = Solution(
        space_group="P 1 21 1", hall=gemmi.SpaceGroup("P 1 21 1").hall, unit_cell=model.cell, atoms=atoms, r1=0.3,
        verdict="solved",
    )  # fmt: skip
    folder = tmp_path / "refined"
    folder.mkdir()
    engine = SmtbxRefiner(hydrogens=False, reassign=False, extinction=False)
    result = engine.refine(data, start, Composition.parse(made.formula), folder)
    assert result.r1 < 0.04
    ours = {part: [atom for atom in result.atoms if atom.part == part] for part in (1, 2)}
    for part, truth in ((1, made.first), (2, made.second)):
        assert len(ours[part]) == 3
        places = np.array([atom.position for atom in ours[part]])
        near = contacts(model.positions[list(truth)], places, result.hall, result.unit_cell, cutoff=0.1)
        assert {pair.first for pair in near} == {0, 1, 2}
        expected = model.occupancies[truth[0]]
        assert all(atom.occupancy == pytest.approx(expected, abs=0.05) for atom in ours[part])
    assert result.formula == "C18 F3 N2 O1"
    text = result.res.path.read_text()
    assert "PART 1" in text
    assert "PART 2" in text
    assert result.verdict == "solved"
