"""Matrices and primitive axes of cells, against gemmi and by volume."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.lattice import (
    cell_of_metric,
    fractionalisation,
    metric,
    orthogonalisation,
    primitive_basis,
    reciprocal_matrix,
    transformed_cell,
    triangular_basis,
)
from tasks.model import UnitCell

TRICLINIC = UnitCell.of((7.1, 8.2, 9.3, 81.0, 96.0, 107.0))
LATTICE_POINTS = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}


def test_fractional_coordinates_become_cartesian_as_in_gemmi() -> None:
    place = np.array([0.31, -0.27, 1.4])
    theirs = TRICLINIC.gemmi().orthogonalize(gemmi.Fractional(*place)).tolist()
    assert orthogonalisation(TRICLINIC) @ place == pytest.approx(theirs)
    assert fractionalisation(TRICLINIC) @ theirs == pytest.approx(place)


def test_reciprocal_vectors_have_the_length_of_one_over_d() -> None:
    hkl = np.array([3, -2, 5])
    assert np.linalg.norm(reciprocal_matrix(TRICLINIC) @ hkl) == pytest.approx(1 / TRICLINIC.gemmi().calculate_d(hkl))


def test_a_cell_comes_back_from_its_metric() -> None:
    assert cell_of_metric(metric(TRICLINIC)).parameters == pytest.approx(TRICLINIC.parameters)


@pytest.mark.parametrize("choice", [primitive_basis, triangular_basis])
@pytest.mark.parametrize("centring", LATTICE_POINTS)
def test_primitive_axes_reach_every_lattice_point_once(choice, centring: str) -> None:
    cell = UnitCell.of((8.0, 8.0, 11.0, 90, 90, 120)) if centring == "R" else UnitCell.of((8, 9, 11, 90, 90, 90))
    basis = choice(centring)
    assert transformed_cell(cell, basis).volume_angstrom3 * LATTICE_POINTS[centring] == pytest.approx(
        cell.volume_angstrom3
    )
    group = next(g for g in gemmi.spacegroup_table() if g.centring_type() == centring)
    for vector in [*np.eye(3), *(np.array(v) / gemmi.Op.DEN for v in group.operations().cen_ops)]:
        steps = np.linalg.solve(basis, vector)
        assert steps == pytest.approx(np.rint(steps), abs=1e-9)


def test_no_lattice_has_a_letter_that_the_tables_lack() -> None:
    with pytest.raises(ValueError, match="'Q'"):
        primitive_basis("Q")
