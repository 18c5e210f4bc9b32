"""A cell that obeys one symmetry exactly and another by a strain, under intensities that obey both."""

import pytest

from tasks.crystal.lattice import lattice_rotations, metric, misfit_deg, rotation_order
from tasks.integrate.symmetry.laue_score import SymmetryElement, rank_subgroups
from tasks.model import UnitCell


@pytest.mark.parametrize(
    ("cell", "order"),
    [
        ((3.82, 3.89, 11.68, 90, 90, 90), 4),  # YBa2Cu3O7: pseudo-tetragonal by structure, not by its axes
        ((3.855, 3.857, 11.68, 90, 90, 90), 8),  # axes that are equal within their errors
        ((3.82, 3.89, 11.68, 89.7, 90.4, 90.2), 8),  # nothing exact: the frames may be distorted
    ],
)
def test_unequal_axes_under_exact_right_angles_are_unequal(cell: tuple[float, ...], order: int) -> None:
    unit_cell = UnitCell.of(cell)
    rotations = lattice_rotations(unit_cell, 3.0)
    assert len(rotations) == 8
    tensor = metric(unit_cell)
    elements = [
        SymmetryElement(rotation, rotation_order(rotation), 0.87, 250, 0.1, misfit_deg(rotation, tensor), 0.5)
        for rotation in rotations[1:]
    ]
    ranked = rank_subgroups(rotations, elements)
    assert len(ranked[0][0]) == order
