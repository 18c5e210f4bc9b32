"""Bonds against covalent radii: a wrong cell or composition shows in lengths of a structure that fits its data."""

import numpy as np
import pytest

from tasks.crystal.contacts import is_bond
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.model import UnitCell
from tasks.solve.building.atoms import Model
from tasks.solve.building.bonds import BondFit, fit_of_bonds, neighbours
from tasks.solve.building.ranking import LEAST_GAIN, isolated

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


@pytest.mark.parametrize(("stretched", "alone"), [(1.0, 0), (1.2, 3)])
def test_ions_of_lead_are_neighbours_farther_apart_than_bonds(stretched: float, alone: int) -> None:
    # matlockite, Wyckoff, Crystal Structures 1, 294 (1963): Pb-F 2.51 A and Pb-Cl 3.10 A, 0.08 and 0.22 A beyond bonds
    cell = UnitCell.of((4.106 * stretched, 4.106 * stretched, 7.23 * stretched, 90, 90, 90))
    place = np.array([[0.0, 0.5, 0.2], [0.0, 0.0, 0.0], [0.0, 0.5, 0.65]])
    model = Model(("Pb", "F", "Cl"), place, np.full(3, 0.02), np.ones(3), np.ones(3))
    assert isolated(model, symmetry=symmetry_from_symbol("P 4/n m m:1"), cell=cell) == alone


def test_a_nonmetal_far_from_any_other_is_alone() -> None:
    place = np.array([[0.1, 0.1, 0.1], [0.1 + 2.4 / 12, 0.1, 0.1]])
    model = Model(("F", "Cl"), place, np.full(2, 0.02), np.ones(2), np.ones(2))
    assert isolated(model, symmetry=symmetry_from_symbol("P 1"), cell=CELL) == 2
