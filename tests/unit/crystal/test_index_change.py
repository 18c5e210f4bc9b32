"""Changes of indices between two settings of one lattice, or of two alike."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.index_change import changed, index_changes, orbit
from tasks.crystal.lattice import transformed_cell
from tasks.model import UnitCell

HKL = np.random.default_rng(2).integers(-6, 7, (40, 3)).astype(np.int32)


@pytest.mark.parametrize(
    ("cell", "basis"),
    [
        ((5.1, 6.3, 7.7, 81.0, 97.0, 105.0), ((1, 1, 0), (0, 1, 0), (0, 0, 1))),
        ((5.1, 6.3, 7.7, 90.0, 97.0, 90.0), ((1, 0, 0), (0, 1, 0), (-1, 0, 1))),
        ((9.0, 9.0, 9.0, 90.0, 90.0, 90.0), ((0, 1, 0), (0, 0, 1), (1, 0, 0))),
    ],
)
def test_the_change_between_two_settings_is_among_those_found(cell: tuple, basis: tuple) -> None:
    first, matrix = UnitCell.of(list(cell)), np.array(basis, dtype=np.float64)
    found = index_changes(first, "P", transformed_cell(first, matrix), "P")
    assert min(np.abs(one - matrix).max() for one in found) < 1e-9


def test_every_change_of_a_centred_lattice_keeps_the_spacings() -> None:
    cubic = UnitCell.of([20.7, 20.7, 20.7, 90.0, 90.0, 90.0])
    allowed = HKL[(HKL[:, :1] % 2 == HKL % 2).all(axis=1)]
    primitive = UnitCell.of([20.7 / 2**0.5] * 3 + [60.0] * 3)
    found = index_changes(cubic, "F", primitive, "P")
    assert len(found) == 24  # the rotations of a cube
    for change in found:
        indices, whole = changed(allowed, change)
        assert whole.all()
        there = primitive.gemmi().calculate_d_array(indices)
        assert there == pytest.approx(cubic.gemmi().calculate_d_array(allowed), rel=1e-6)


def test_other_lattices_have_no_change_and_half_indices_are_not_whole() -> None:
    cell = UnitCell.of([5.0, 6.0, 7.0, 90.0, 90.0, 90.0])
    assert index_changes(cell, "P", UnitCell.of([5.0, 6.0, 9.0, 90.0, 90.0, 90.0]), "P") == []
    _, whole = changed(np.array([[2, 0, 0], [1, 0, 0]], dtype=np.int32), np.diag([0.5, 1.0, 1.0]))
    assert whole.tolist() == [True, False]


def test_an_orbit_holds_each_equivalent_once() -> None:
    assert len(orbit((2, 0, 0), gemmi.symops_from_hall("-F 4 2 3"))) == 6
    assert orbit((1, 2, 3), gemmi.symops_from_hall("-P 2yb")).tolist() == [
        [1, 2, 3], [-1, -2, -3], [-1, 2, -3], [1, -2, 3]
    ]  # fmt: skip
