"""The standard setting holds the same structure: the same structure factors, the indices permuted."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.scattering import structure_factors
from tasks.crystal.twin_laws import law_of_triplet, twin_indices
from tasks.model import UnitCell
from tasks.model.provenance import Provenance
from tasks.model.twin import Twin
from tasks.solve.groups.setting import in_stated_setting
from tasks.solve.models import Atom, Solution, Solutions

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
    after = in_stated_setting(before, keep_axes=False).best
    assert gemmi.SpaceGroup(after.space_group).number == gemmi.SpaceGroup(symbol).number
    assert after.space_group == gemmi.SpaceGroup(standard).xhm()
    hkl = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    there = np.rint(hkl @ np.array(after.to_solution_cell).T).astype(np.int32)
    np.testing.assert_allclose(amplitudes(after, there), amplitudes(before.best, hkl), atol=1e-6 * 1e3)


@pytest.mark.parametrize("symbol", ["P n m a", "P 1 21/c 1", "P 21 21 21", "R -3 m:H", "P n n n:2", "I 41/a:1"])
@pytest.mark.parametrize("keep_axes", [True, False])
def test_standard_settings_stay_as_they_are(symbol: str, keep_axes: bool) -> None:
    assert in_stated_setting(solutions_in(symbol), keep_axes=keep_axes) == solutions_in(symbol)


@pytest.mark.parametrize(("symbol", "keep_axes", "number"), [("P m c n", True, 62), ("P 1 21/n 1", False, 14)])
def test_a_setting_that_stays_is_named(symbol: str, keep_axes: bool, number: int) -> None:
    before = solutions_in(symbol).best
    after = in_stated_setting(solutions_in(symbol), keep_axes=keep_axes).best
    assert after.model_copy(update={"reasons": ()}) == before
    assert f"(no. {number})" in after.reasons[-1]


@pytest.mark.parametrize("symbol", ["P m c n", "F 2 d d", "P 21 2 21"])
def test_a_twin_law_goes_with_the_axes(symbol: str) -> None:
    before = solutions_in(symbol)
    told = before.best.model_copy(update={"twin": Twin(law="k,-h,l", fraction=0.3)})
    after = in_stated_setting(before.model_copy(update={"candidates": (told,)}), keep_axes=False).best
    hkl = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    second = twin_indices(hkl, law_of_triplet(told.twin.law))
    change = np.array(after.to_solution_cell)
    there = np.rint(hkl @ change.T).astype(np.int32)
    np.testing.assert_array_equal(
        twin_indices(there, law_of_triplet(after.twin.law)), np.rint(second @ change.T).astype(np.int32)
    )
    assert after.twin.fraction == 0.3
