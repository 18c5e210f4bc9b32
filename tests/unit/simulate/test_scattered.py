"""What one crystal scatters: thin limits, conservation, and where the models part."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.crystal.lattice import reciprocal_matrix
from tasks.model import Beam
from tasks.simulate.bloch import depths_to
from tasks.simulate.blocks import mosaic_blocks
from tasks.simulate.demo_structure import uio66
from tasks.simulate.diffraction import excitation_along_beam
from tasks.simulate.lattice import reflection_table, rotation_about
from tasks.simulate.potential import potential, relativistic_factor
from tasks.simulate.scattered import Scattered, TiltedCrystal, kinematical, many_beam

WAVELENGTH = Beam(energy_kev=300.0).wavelength_angstrom
D_MIN = 1.2
TABLE = reflection_table(uio66(), D_MIN)
POTENTIAL = potential(uio66(), d_min_angstrom=D_MIN, energy_kev=300.0)


def crystal(turn: NDArray[np.float64], *, mosaic_deg: float = 0.3, convergence_rad: float = 1.5e-4) -> TiltedCrystal:
    return TiltedCrystal(
        hkl=TABLE.hkl,
        f_squared=TABLE.f_squared,
        ub=turn @ reciprocal_matrix(uio66().cell),
        tilt=rotation_about((1, 0, 0), 20.0),
        wavelength_angstrom=WAVELENGTH,
        cross_section=(relativistic_factor(300.0) * WAVELENGTH / uio66().cell.volume_angstrom3) ** 2,
        mosaic_rad=float(np.radians(mosaic_deg)),
        convergence_rad=convergence_rad,
    )


def turned(seed: int) -> NDArray[np.float64]:
    return np.asarray(Rotation.random(rng=np.random.default_rng(seed)).as_matrix())


def strong(one: TiltedCrystal, thickness: float, *, blocks: int = 64, beams: int = 160, b: float = 0.0) -> Scattered:
    drawn = mosaic_blocks(blocks, one.mosaic_rad, np.random.default_rng(0))
    return many_beam(one, depths_to(thickness), potential=POTENTIAL, blocks=drawn, beams=beams, b_factor=b)


def at_the_end(seen: Scattered) -> NDArray[np.float64]:
    return np.asarray(np.bincount(seen.row, weights=seen.intensity[-1], minlength=len(TABLE.hkl)), dtype=np.float64)


def test_one_strong_reflection_has_the_integrated_intensity_of_its_extinction_distance() -> None:
    """The integral over s of (pi t / xi)^2 sinc^2 is pi^2 t / xi^2, with xi = pi V / (gamma lambda |F|)."""
    thickness, cell = 400.0, uio66().cell
    row = int(np.argmax(np.where(TABLE.hkl[:, 2] == 0, TABLE.f_squared, 0.0)))  # across the beam to begin with
    extinction = np.pi * cell.volume_angstrom3 / (relativistic_factor(300.0) * WAVELENGTH * TABLE.f_squared[row] ** 0.5)
    base = crystal(np.eye(3), mosaic_deg=0.0, convergence_rad=0.0)
    alone = base._replace(hkl=TABLE.hkl[[row]], f_squared=TABLE.f_squared[[row]], tilt=np.eye(3))
    axis = np.cross(alone.ub @ TABLE.hkl[row], [0, 0, 1])
    found, errors = [], []
    for angle in np.linspace(-8, 8, 1601):
        tilted = alone._replace(tilt=rotation_about(axis, angle))
        errors.append(excitation_along_beam(tilted.hkl @ (tilted.tilt @ tilted.ub).T, WAVELENGTH)[0])
        found.append(kinematical(tilted, depths_to(thickness)).intensity[-1].sum())
    near = np.abs(errors) < 0.02
    integral = np.abs(np.trapezoid(np.array(found)[near], np.array(errors)[near]))
    assert integral == pytest.approx(np.pi**2 * thickness / extinction**2, rel=0.01)


def test_a_thin_crystal_rocked_through_reflections_is_kinematical_in_both_models() -> None:
    """Their curves differ, sinc^2 and a normal distribution; the integrals do by 1/(pi^2 t s) = 3 % beyond the ends."""
    base, thickness = crystal(turned(1), mosaic_deg=0.0, convergence_rad=0.0), 100.0
    angles = np.linspace(-6, 6, 97)
    sums, errors = np.zeros((2, len(TABLE.hkl))), []
    for angle in angles:
        one = base._replace(tilt=rotation_about((1, 0, 0), angle))
        sums[0] += at_the_end(kinematical(one, depths_to(thickness)))
        sums[1] += at_the_end(strong(one, thickness, blocks=1, beams=120))
        errors.append(excitation_along_beam(TABLE.hkl @ (one.tilt @ one.ub).T, WAVELENGTH))
    passed = (np.array(errors[0]) * np.array(errors[-1]) < 0) & (
        np.minimum(np.abs(errors[0]), np.abs(errors[-1])) > 0.03
    )
    bright = passed & (sums[0] > np.quantile(sums[0, passed], 0.7))
    assert bright.sum() > 30
    inside = 1 - 1 / (np.pi**2 * thickness * 0.03)
    assert sums[1, bright].sum() == pytest.approx(inside * sums[0, bright].sum(), rel=0.035)
    assert np.corrcoef(sums[0, bright], sums[1, bright])[0, 1] > 0.99


@pytest.mark.parametrize("seed", [0, 3])
def test_no_model_scatters_more_than_arrives_even_at_a_zone_axis(seed: int) -> None:
    turn = rotation_about((1, 0, 0), -20.0) if seed == 0 else turned(seed)  # the tilt brings [001] along the beam
    for seen in (kinematical(crystal(turn), depths_to(2500.0)), strong(crystal(turn), 2500.0)):
        total = seen.intensity.sum(axis=1)
        assert (seen.intensity >= 0).all()
        assert total.max() <= 1.0
        assert total[0] == 0
    assert kinematical(crystal(rotation_about((1, 0, 0), -20.0)), depths_to(2500.0)).intensity[-1].sum() == (
        pytest.approx(0.95)
    )


def test_more_blocks_and_beams_change_a_crystal_of_eighty_nanometres_little() -> None:
    """Other blocks, and twice the beams: what the defaults of the plan are worth."""
    one = crystal(turned(1))
    fine = at_the_end(strong(one, 800.0, blocks=256, beams=320))
    for blocks, beams, within in ((64, 160, 0.05), (16, 160, 0.10)):
        coarse = at_the_end(strong(one, 800.0, blocks=blocks, beams=beams))
        assert np.abs(coarse - fine).sum() < within * fine.sum()
    assert np.abs(at_the_end(kinematical(one, depths_to(800.0))) - fine).sum() > 0.08 * fine.sum()


def test_a_larger_b_factor_damps_as_the_structure_factors_do() -> None:
    atoms = tuple(atom.model_copy(update={"u_iso_angstrom2": atom.u_iso_angstrom2 + 0.02}) for atom in uio66().atoms)
    softer = uio66().model_copy(update={"atoms": atoms})
    one, b_factor = crystal(turned(2)), 8 * np.pi**2 * 0.02
    damped = one._replace(f_squared=TABLE.f_squared * np.exp(-b_factor / 2 * TABLE.d_star**2))
    shaken = reflection_table(softer, D_MIN)
    assert damped.f_squared == pytest.approx(shaken.f_squared, rel=1e-6)
    by_b = at_the_end(strong(damped, 400.0, b=b_factor))
    drawn = mosaic_blocks(64, one.mosaic_rad, np.random.default_rng(0))
    theirs = potential(softer, d_min_angstrom=D_MIN, energy_kev=300.0)
    by_atoms = many_beam(damped, depths_to(400.0), potential=theirs, blocks=drawn, beams=160, b_factor=0.0)
    assert by_b == pytest.approx(at_the_end(by_atoms), abs=1e-9)


def test_a_wide_probe_lights_a_reflection_along_a_line_of_its_disc() -> None:
    """With no mosaic spread only the directions within the rocking curve, 1/t over |q|, excite a reflection."""
    one = crystal(turned(0), mosaic_deg=0.0, convergence_rad=4e-3)
    seen = strong(one, 1000.0, blocks=256)
    total = at_the_end(seen)
    row = int(np.argmax(np.where(TABLE.d_star > 0.5, total, 0.0)))
    mine = seen.row == row
    along = seen.q_xy[mine].mean(axis=0)
    along /= np.linalg.norm(along)
    weight = seen.intensity[-1, mine] / seen.intensity[-1, mine].sum()
    spread = [np.sqrt((weight * (seen.within[mine] @ axis) ** 2).sum() - (weight @ (seen.within[mine] @ axis)) ** 2)
              for axis in (along, np.array([-along[1], along[0]]))]  # fmt: skip
    assert spread[0] < 0.6 * spread[1]


def test_another_table_of_factors_gives_other_intensities() -> None:
    other = reflection_table(uio66(), D_MIN, "electron-mott-bethe")
    ratio = other.f_squared / TABLE.f_squared
    bright = TABLE.f_squared > np.quantile(TABLE.f_squared, 0.8)
    assert 0.001 < np.std(ratio[bright]) < 0.1
    assert np.median(ratio[bright]) == pytest.approx(1.0, abs=0.05)
