"""The many-beam simulator against kinematical theory, two-beam theory and conservation of electrons."""

import gemmi
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, special

from tasks.crystal.scattering import structure_factors
from tasks.model import UnitCell
from tests.synthetic.many_beam import Potential, Rotated, Structure, beam_intensities, rock


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


@pytest.mark.parametrize("thickness", [100.0, 500.0, 1500.0])
def test_two_beams_follow_blackman(thickness: float) -> None:
    u, wave_number = 0.004, 40.0
    errors = np.linspace(-0.05, 0.05, 40001)
    matrix = np.array([[0, u], [u, 0]], dtype=np.complex128)
    curve = [beam_intensities(matrix, np.array([0.0, s]), wave_number, np.array([thickness]))[1] for s in errors]
    area = integrate.trapezoid(curve, errors)
    a = np.pi * thickness * u / wave_number
    blackman = np.pi * u / wave_number * integrate.quad(lambda x: special.j0(2 * x), 0, a)[0]
    assert area == pytest.approx(blackman, rel=0.02 if thickness > 200 else 0.03)


def test_no_electron_is_lost() -> None:
    structure = a_structure("P 1", occupancy=1.0)
    potential = Potential(structure, 1.2, 200.0)
    beams = np.concatenate([np.zeros((1, 3), dtype=np.int32), potential.hkl[:60]])
    u = potential.of(beams[:, None] - beams[None])
    excitation = np.concatenate([[0.0], np.random.default_rng(1).normal(size=60) * 0.01])
    assert beam_intensities(u, excitation, 40.0, np.array([300.0, 900.0])).sum() == pytest.approx(1.0, abs=1e-9)
