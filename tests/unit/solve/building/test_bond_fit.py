"""Bonds against covalent radii: a wrong cell or composition shows in lengths of a structure that fits its data."""

import numpy as np
import pytest

from tasks.crystal.contacts import is_bond
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.model import UnitCell
from tasks.solve.building.bonds import BondFit, fit_of_bonds, neighbours
from tasks.solve.building.ranking import LEAST_GAIN

CELL = UnitCell.of((12.0, 12.0, 12.0, 90, 90, 90))
CORNERS = np.stack(np.meshgrid(*[[0.0, 1.42]] * 3), axis=-1).reshape(-1, 3) / 12.0 + 0.3
"""Fractional: a cube of carbon atoms with bonds along all three axes."""


def fit(cell: UnitCell, element: str) -> BondFit:
    names = (element,) * len(CORNERS)
    near = neighbours(CORNERS, symmetry_from_symbol("P 1"), cell, within_angstrom=3.2)
    return fit_of_bonds(near, is_bond(near, names), names, cell)


def test_sound_bonds_ask_for_no_other_cell() -> None:
    found = fit(CELL, "C")
    assert found.short == 0.0
    assert found.axes.max() / found.axes.min() == pytest.approx(1.0, abs=0.02)


def test_a_stretched_cell_is_asked_back() -> None:
    found = fit(UnitCell.of((1.25 * 12, 0.8 * 12, 12.0, 90, 90, 90)), "C")
    assert found.gain > LEAST_GAIN
    assert found.axes[0] < found.axes[2] < found.axes[1]
    assert found.axes.max() / found.axes.min() > 1.25


def test_a_metal_in_place_of_carbon_has_bonds_that_are_too_short() -> None:
    assert fit(CELL, "Fe").short > 0.2


def test_no_bonds_are_no_objection() -> None:
    near = neighbours(CORNERS[:1], symmetry_from_symbol("P 1"), CELL, within_angstrom=3.2)
    found = fit_of_bonds(near, is_bond(near, ("C",)), ("C",), CELL)
    assert (found.short, found.gain) == (0.0, 0.0)
