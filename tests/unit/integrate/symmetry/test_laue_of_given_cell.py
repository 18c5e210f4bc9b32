"""A cell that obeys one symmetry exactly and another by a strain, under intensities that obey both."""

import numpy as np
import pytest

from tasks.crystal.lattice import lattice_rotations, metric, misfit_deg, rotation_order
from tasks.integrate.reflection_file import Unmerged
from tasks.integrate.symmetry.laue import determine_laue_group_in_setting
from tasks.integrate.symmetry.laue_score import SymmetryElement, rank_subgroups
from tasks.model import UnitCell
from tests.synthetic.adversarial_data import How, observed
from tests.synthetic.adversarial_structures import published


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


def test_a_tetragonal_cell_that_is_told_stays_so_where_intensities_are_nearly_cubic() -> None:
    data = observed(published("titanate"), How(d_min=0.7), np.random.default_rng(3))
    zeros = np.zeros(len(data.hkl))
    unmerged = Unmerged(data.hkl, data.intensity, data.sigma, zeros, zeros.astype(np.int32))
    assert determine_laue_group_in_setting(unmerged, data.cell).laue.point_group_hm() == "4/mmm"
