"""Extinction in the quick fit: found where strong reflections are weak, not found where they are not."""

import gemmi
import numpy as np
import pytest

from tasks.crystal.scattering import structure_factors
from tasks.crystal.symmetry import symmetry_from_symbol
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tasks.solve.building.atoms import Model
from tasks.solve.building.cross_validation import free_r, r1_without_structure
from tasks.solve.building.least_squares import Free, attenuation, refine
from tasks.solve.data.observations import GroupAmplitudes, observe
from tests.synthetic.solve_dynamical import two_beam

CELL = UnitCell.of((7.1, 9.3, 11.9, 90, 97, 90))
GROUP = symmetry_from_symbol("P 1 21/c 1")
SITE = np.random.default_rng(4).random((6, 3))
ELEMENTS = ("Ti", "O", "O", "Si", "O", "O")
WEAKENED = Free(u_iso=True, extinction=True)


def model(position: np.ndarray) -> Model:
    return Model(ELEMENTS, position, np.full(6, 0.02), np.ones(6), np.ones(6))


def kinematical() -> tuple[np.ndarray, np.ndarray]:
    hkl = gemmi.make_miller_array(CELL.gemmi(), gemmi.SpaceGroup("P 1 21/c 1"), 0.9).astype(np.int32)
    f = structure_factors(
        hkl, CELL, gemmi.SpaceGroup(GROUP.symbol).operations(), elements=ELEMENTS, positions=SITE,
        u_iso_angstrom2=np.full(6, 0.02), occupancies=np.ones(6), radiation="electron",
    )  # fmt: skip
    return hkl, np.abs(f)


def observed(hkl: np.ndarray, intensity: np.ndarray) -> GroupAmplitudes:
    rng = np.random.default_rng(1)
    noisy = intensity * (1 + 0.03 * rng.normal(size=len(hkl)))
    merged = Merged(hkl, noisy, 0.03 * noisy + 1e-3 * noisy.mean(), np.ones(len(hkl), dtype=np.int32))
    return observe(merged, GROUP, cell=CELL, radiation="electron", d_min_angstrom=0.9)


@pytest.mark.parametrize("true", [0.5, 2.0, 8.0])
def test_the_extinction_that_made_the_data_comes_out(true: float) -> None:
    hkl, f = kinematical()
    data = observed(hkl, (f * attenuation(f**2, true)) ** 2)
    plain = refine(model(SITE), data, GROUP, free=Free(u_iso=True), cycles=12)
    found = refine(model(SITE + 0.002), data, GROUP, free=WEAKENED, cycles=20)
    assert found.extinction == pytest.approx(true, rel=0.2)
    assert found.r1 < 0.03 < plain.r1


def test_two_beam_intensities_are_explained_and_displacements_stay_right() -> None:
    hkl, f = kinematical()
    data = observed(hkl, two_beam(f, 1.5))
    plain = refine(model(SITE), data, GROUP, free=Free(u_iso=True), cycles=12)
    found = refine(model(SITE), data, GROUP, free=WEAKENED, cycles=20)
    assert found.r1 < 0.10 < 0.15 < plain.r1
    assert np.abs(found.model.u_iso - 0.02).max() < np.abs(plain.model.u_iso - 0.02).max()
    left_out = [free_r(fit.model, data, GROUP, extinction=fit.extinction) for fit in (found, plain)]
    assert left_out[0] < 0.5 * left_out[1]


def test_kinematical_intensities_show_none() -> None:
    hkl, f = kinematical()
    found = refine(model(SITE), observed(hkl, f**2), GROUP, free=WEAKENED, cycles=20)
    assert found.extinction < 0.05


def test_intensities_without_structure_are_0_41_off_for_wilsons_statistics() -> None:
    hkl, _ = kinematical()
    group = symmetry_from_symbol("P 1")
    hkl = gemmi.make_miller_array(CELL.gemmi(), gemmi.SpaceGroup("P -1"), 0.7).astype(np.int32)
    intensity = np.random.default_rng(2).exponential(size=len(hkl))
    merged = Merged(hkl, intensity, np.full(len(hkl), 1e-6), np.ones(len(hkl), dtype=np.int32))
    data = observe(merged, group, cell=CELL, radiation="electron", d_min_angstrom=0.7)
    # the mean deviation of |F| from its mean over that mean, Rayleigh's distribution
    grid = np.linspace(0, 8, 200001)
    density, mean = 2 * grid * np.exp(-(grid**2)), np.sqrt(np.pi) / 2
    expected = np.trapezoid(np.abs(grid - mean) * density, grid) / mean
    assert r1_without_structure(data, group) == pytest.approx(expected, abs=0.02)
