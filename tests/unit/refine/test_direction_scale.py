"""A smooth scale by direction: it has the symmetry of the crystal, finds what was put in, and leaves the rest alone."""

import gemmi
import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.refine.direction_scale import (
    MOST_COEFFICIENTS,
    direction_basis,
    directions_of,
    fitted_coefficients,
    scale_of,
)

CELLS = {
    "P -1": (6.1, 7.2, 8.3, 82.0, 95.0, 104.0),
    "P 21/c": (7.0, 9.0, 11.0, 90.0, 101.0, 90.0),
    "P 21 21 21": (6.0, 7.0, 21.0, 90.0, 90.0, 90.0),
    "P 41": (7.0, 7.0, 12.0, 90.0, 90.0, 90.0),
    "P 63/m m c": (5.0, 5.0, 17.0, 90.0, 90.0, 120.0),
    "F m -3 m": (9.0, 9.0, 9.0, 90.0, 90.0, 90.0),
}
HALL = gemmi.SpaceGroup("P 21 21 21").hall
CELL = UnitCell.of(CELLS["P 21 21 21"])


def reflections(cell: UnitCell, most: int = 6) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(-most, most + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid[grid.any(axis=1)].astype(np.int32)


@pytest.mark.parametrize(
    ("symbol", "second", "fourth"),
    [("P -1", 5, 9), ("P 21/c", 3, 5), ("P 21 21 21", 2, 3), ("P 41", 1, 3), ("P 63/m m c", 1, 1), ("F m -3 m", 0, 1)],
)
def test_there_are_as_many_functions_as_the_laue_class_has_harmonics(symbol: str, second: int, fourth: int) -> None:
    """Numbers of invariant harmonics of order 2 and 4: International Tables D (2003), section 1.1.4."""
    basis = direction_basis(gemmi.SpaceGroup(symbol).hall, UnitCell.of(CELLS[symbol]))
    assert basis.combinations.shape[1] == min(MOST_COEFFICIENTS, second + fourth)


@pytest.mark.parametrize("symbol", list(CELLS))
def test_equivalent_reflections_have_one_scale(symbol: str) -> None:
    cell, hall = UnitCell.of(CELLS[symbol]), gemmi.SpaceGroup(symbol).hall
    basis, hkl = direction_basis(hall, cell), reflections(cell, 3)
    values = basis.values(directions_of(hkl, cell))
    assert np.abs(basis.values(directions_of(-hkl, cell)) - values).max() < 1e-9
    for operation in gemmi.symops_from_hall(hall).sym_ops:
        turned = (hkl @ (np.array(operation.rot) // gemmi.Op.DEN)).astype(np.int32)
        assert np.abs(basis.values(directions_of(turned, cell)) - values).max() < 1e-9


def test_an_absorption_that_was_put_in_is_found() -> None:
    rng, hkl = np.random.default_rng(0), reflections(CELL)
    calculated = rng.exponential(100.0, len(hkl))
    n = directions_of(hkl, CELL)
    path = np.exp(-0.6 * n[:, 0] ** 2 + 0.3 * n[:, 1] ** 2 * n[:, 2] ** 2)
    observed = 3.0 * path * calculated * rng.normal(1.0, 0.05, len(hkl))
    values = direction_basis(HALL, CELL).values(n)
    coefficients = fitted_coefficients(values, observed, calculated, 1.0 / calculated**2)
    found = scale_of(values, coefficients)
    assert np.std(np.log(found / path)) < 0.01


def test_displacements_that_are_not_isotropic_are_not_eaten() -> None:
    """Noise alone gives a scale of one within its esd, and isotropic attenuation by resolution none at all."""
    rng, hkl = np.random.default_rng(1), reflections(CELL)
    calculated = rng.exponential(100.0, len(hkl))
    s_sq = (directions_of(hkl, CELL) * 0.0).sum(axis=1) + CELL.gemmi().calculate_1_d2_array(hkl) / 4.0
    observed = calculated * np.exp(-2.0 * s_sq) * rng.normal(1.0, 0.2, len(hkl))
    values = direction_basis(HALL, CELL).values(directions_of(hkl, CELL))
    coefficients = fitted_coefficients(values, observed, calculated * np.exp(-2.0 * s_sq), 1.0 / calculated**2)
    assert np.abs(np.log(scale_of(values, coefficients))).max() < 0.06


def test_few_reflections_get_few_coefficients_or_none() -> None:
    hkl = reflections(CELL)[:100]
    values = direction_basis(HALL, CELL).values(directions_of(hkl, CELL))
    calculated = np.linspace(1.0, 100.0, 100)
    path = np.exp(0.5 * values[:, 0])
    assert (fitted_coefficients(values, path * calculated, calculated, np.ones(100))[2:] == 0.0).all()
    assert (fitted_coefficients(values[:30], calculated[:30], calculated[:30], np.ones(30)) == 0.0).all()
