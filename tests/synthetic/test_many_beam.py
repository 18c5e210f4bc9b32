"""The many-beam simulator against kinematical theory; its waves are tested in tests/unit/simulate/test_bloch.py."""

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.crystal.scattering import structure_factors
from tasks.model import UnitCell
from tests.synthetic.many_beam import Rotated, Structure, rock


def a_structure(symbol: str, *, occupancy: float) -> Structure:
    rng = np.random.default_rng(3)
    return Structure(
        UnitCell.of((6.1, 7.3, 8.2, 90, 104, 90)), gemmi.SpaceGroup(symbol), ("C", "O", "N", "C", "C", "O"),
        rng.random((6, 3)), np.full(6, 0.02), np.full(6, occupancy),
    )  # fmt: skip


def kinematical(structure: Structure, hkl: NDArray[np.int32]) -> NDArray[np.float64]:
    f = structure_factors(
        hkl, structure.cell, structure.group.operations(), elements=structure.elements, positions=structure.positions,
        u_iso_angstrom2=structure.u_iso, occupancies=structure.occupancies, radiation="electron",
    )  # fmt: skip
    return np.asarray(np.abs(f) ** 2)


@pytest.mark.parametrize("symbol", ["P 1 21/c 1", "P 1 21 1"])  # real and complex structure matrices
def test_a_crystal_that_scatters_weakly_gives_the_squares_of_structure_factors(symbol: str) -> None:
    structure = a_structure(symbol, occupancy=0.02)
    rocked = rock(structure, Rotated(1.0, 400.0, tilt_deg=5.0, domains=1))
    true = kinematical(structure, rocked.hkl)
    assert len(true) > 30
    # tails of rocking curves beyond the window: 1 / (pi^2 t window), 2.5 %, less those of the neighbours' curves
    assert rocked.intensity.sum() == pytest.approx(true.sum(), rel=0.04)
    strong = true > 0.2 * true.mean()
    assert rocked.intensity[strong] == pytest.approx(true[strong], rel=0.1)


def test_a_thick_crystal_flattens_intensities_and_fills_absences() -> None:
    structure = a_structure("P 1 21/c 1", occupancy=1.0)
    rocked = rock(structure, Rotated(1.0, 600.0, tilt_deg=9.0))
    true = kinematical(structure, rocked.hkl)
    strong = true > np.quantile(true, 0.9)
    assert rocked.intensity[strong].sum() < 0.85 * true[strong].sum()
    absent = structure.group.operations().systematic_absences(rocked.hkl)
    assert absent.sum() > 1
    assert rocked.intensity[absent].mean() > 0.002 * rocked.intensity.mean()
