"""Disorder is found from the ordered model that a solution shows, and none where there is none."""

from pathlib import Path

import gemmi
import numpy as np
import pytest

from adapters.cctbx.refine_engine import SmtbxRefiner
from tasks.model import Composition
from tasks.refine.models import Refinement
from tasks.solve.models import Atom, Solution
from tests.synthetic.disordered import Disordered, partial_water, trifluoromethyl
from tests.synthetic.solve_cases import reflections_document

pytestmark = pytest.mark.needs_shared


def refined(made: Disordered, laue: str, group: str, known: list[int], folder: Path) -> Refinement:
    """Return the refinement that begins with some of the atoms, displaced by 0.003 of the cell at most."""
    model, rng = made.model, np.random.default_rng(1)
    data = reflections_document(
        folder, name="made", merged=made.merged, cell=model.cell, laue=laue, radiation="electron"
    )
    atoms = tuple(
        Atom(
            label=f"{model.elements[i]}{i}",
            element=model.elements[i],
            position=tuple((model.positions[i] + rng.uniform(-0.003, 0.003, 3) * (model.elements[i] != "Si")).tolist()),
        )
        for i in known
    )
    start = Solution(
        space_group=group, hall=gemmi.SpaceGroup(group).hall, unit_cell=model.cell, atoms=atoms, r1=0.3,
        verdict="solved",
    )  # fmt: skip
    engine = SmtbxRefiner(hydrogens=False, reassign=False, extinction=False, anisotropic=False)
    (folder / "refined").mkdir()
    return engine.refine(data, start, Composition.parse(made.formula), folder / "refined")


def test_both_orientations_of_a_trifluoromethyl_are_found(shared_data: Path, tmp_path: Path) -> None:
    made = trifluoromethyl(shared_data, share=0.6, noise=0.05)
    model = made.model
    known = [i for i in range(len(model.elements)) if i not in made.second]
    result = refined(made, "P 1 2/m 1", "P 1 21 1", known, tmp_path)
    assert result.r1 < 0.04
    orthogonal = np.array(model.cell.gemmi().orth.mat.tolist())
    places = {atom.label: np.array(atom.position) for atom in result.atoms}
    for part, truth in ((1, made.first), (2, made.second)):
        ours = [atom for atom in result.atoms if atom.part == part]
        assert len(ours) == 3
        assert all(atom.occupancy == pytest.approx(model.occupancies[truth[0]], abs=0.05) for atom in ours)
        carrier = next(place for label, place in places.items() if label == "C1")
        arms = [orthogonal @ (np.array(atom.position) - carrier) for atom in ours]
        assert all(np.linalg.norm(arm) == pytest.approx(1.33, abs=0.03) for arm in arms)
    assert result.formula == "C18 F3 N2 O1"
    text = result.res.path.read_text()
    assert "PART 1" in text
    assert "PART 2" in text
    assert result.verdict == "solved"


def test_water_that_is_there_in_part_is_found_to_be(shared_data: Path, tmp_path: Path) -> None:
    made = partial_water(shared_data, share=0.55)
    result = refined(made, "F m m m", "F d d 2", list(range(len(made.model.elements))), tmp_path)
    partial = [atom for atom in result.atoms if atom.occupancy_esd is not None]
    assert len(partial) == 1
    assert partial[0].occupancy == pytest.approx(0.55, abs=0.05)
    assert partial[0].u_iso_angstrom2 == pytest.approx(0.025, abs=0.006)
    assert [atom.occupancy for atom in result.atoms if atom is not partial[0]] == [1.0] * (len(result.atoms) - 1)


def test_nothing_is_split_where_nothing_is_disordered(shared_data: Path, tmp_path: Path) -> None:
    made = partial_water(shared_data, share=1.0)
    result = refined(made, "F m m m", "F d d 2", list(range(len(made.model.elements))), tmp_path)
    assert all(atom.part == 0 and atom.occupancy == 1.0 for atom in result.atoms)
    assert "PART" not in result.res.path.read_text()
