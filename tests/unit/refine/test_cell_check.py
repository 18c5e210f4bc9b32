"""A cell with one edge wrong shows in the bonds."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tasks.model import UnitCell
from tasks.refine.cell_check import cell_doubt
from tasks.refine.draft import Draft, DraftAtom, DraftFit
from tests.synthetic.drafts import fit_of

CELL = (14.0, 15.0, 16.0, 90.0, 95.0, 90.0)
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)


def molecules(tmp_path: Path, cell: UnitCell) -> DraftFit:
    """Eight molecules of neopentane, C-C 1.53 A, drawn in the right cell and refined in another."""
    inverse = np.array(UnitCell.of(CELL).gemmi().frac.mat.tolist())
    turns = Rotation.random(8, rng=np.random.default_rng(4)).as_matrix()
    atoms = []
    for number, (turn, corner) in enumerate(zip(turns, itertools.product((3.0, 10.0), repeat=3), strict=True)):
        for leg, place in enumerate([np.zeros(3), *(1.53 * CORNERS @ turn.T)]):
            x, y, z = (inverse @ (place + corner)).tolist()
            atoms.append(DraftAtom(label=f"C{10 * number + leg}", element="C", position=(x, y, z)))
    return fit_of(Draft(hall="P 1", unit_cell=cell, atoms=tuple(atoms)), tmp_path / "fit")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_edge_that_is_a_tenth_too_long_is_named(tmp_path: Path, axis: int) -> None:
    wrong = list(CELL)
    wrong[axis] *= 1.1
    doubt = cell_doubt(molecules(tmp_path, UnitCell.of(tuple(wrong))))
    assert doubt is not None
    assert abs(doubt.factors[axis] * 1.1 - 1.0) < 0.04
    assert "abc"[axis] in str(doubt)


def test_the_right_cell_is_not_doubted(tmp_path: Path) -> None:
    assert cell_doubt(molecules(tmp_path, UnitCell.of(CELL))) is None
    assert cell_doubt(molecules(tmp_path, UnitCell.of((14.2, 15.2, 16.2, 90, 95, 90)))) is None
