"""The standard setting holds the same structure: the same structure factors, the indices permuted."""

import gemmi
import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.model.provenance import Provenance
from tasks.model.scattering import structure_factors
from tasks.solve.models import Atom, Solution, Solutions
from tasks.solve.setting import in_standard_axes

CELL = UnitCell.of((5.4, 7.2, 8.9, 90.0, 90.0, 90.0))
ATOMS = (
    Atom(label="Ba1", element="Ba", position=(0.11, 0.23, 0.37)),
    Atom(label="O1", element="O", position=(0.41, 0.07, 0.17)),
)


def solutions_in(symbol: str) -> Solutions:
    group = gemmi.SpaceGroup(symbol)
    solution = Solution(space_group=group.xhm(), hall=group.hall, unit_cell=CELL, atoms=ATOMS, r1=0.1, verdict="solved")
    return Solutions(
        id="x",
        candidates=(solution,),
        space_groups=(),
        trials=1,
        verdict="solved",
        margin="",
        provenance=Provenance(engine="test", version="0"),
    )


def amplitudes(solution: Solution, hkl: np.ndarray) -> np.ndarray:
    f = structure_factors(
        hkl,
        solution.unit_cell,
        gemmi.symops_from_hall(solution.hall),
        elements=[atom.element for atom in solution.atoms],
        positions=np.array([atom.position for atom in solution.atoms]),
        u_iso_angstrom2=np.full(len(solution.atoms), 0.02),
        occupancies=np.ones(len(solution.atoms)),
        radiation="electron",
    )
    return np.abs(f)


@pytest.mark.parametrize(
    ("symbol", "standard"),
    [
        ("P m c n", "P n m a"),
        ("P c a b", "P b c a"),
        ("F 2 d d", "F d d 2"),
        ("B b m m", "C m c m"),
        ("I m m b", "I m m a"),
        ("P n a b", "P b c n"),
        ("P 21 2 21", "P 21 21 2"),
        ("A c a m", "C m c e"),
    ],
)
def test_the_same_structure_in_standard_axes(symbol: str, standard: str) -> None:
    before = solutions_in(symbol)
    after = in_standard_axes(before).best
    assert gemmi.SpaceGroup(after.space_group).number == gemmi.SpaceGroup(symbol).number
    assert after.space_group == gemmi.SpaceGroup(standard).xhm()
    hkl = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    there = np.rint(hkl @ np.array(after.to_solution_cell).T).astype(np.int32)
    np.testing.assert_allclose(amplitudes(after, there), amplitudes(before.best, hkl), atol=1e-6 * 1e3)


@pytest.mark.parametrize("symbol", ["P n m a", "P 1 21/n 1", "P 21 21 21", "R -3 m:H", "P n n n:2", "I 41/a:1"])
def test_other_groups_stay_as_they_are(symbol: str) -> None:
    assert in_standard_axes(solutions_in(symbol)) == solutions_in(symbol)
