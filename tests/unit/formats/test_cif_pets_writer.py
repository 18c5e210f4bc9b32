"""cif_pets: the axes are those of a file of PETS2, and everything is read back as it was."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from adapters.formats.cif_pets_writer import pets_axes, write_cif_pets, zone_axis
from adapters.formats.cif_reflections import read_cif_reflections
from tasks.crystal.lattice import reciprocal_matrix
from tasks.integrate import FrameIntensities
from tasks.model import UnitCell

CELL = UnitCell(a=7.1, b=7.4, c=7.6, alpha=115.1, beta=107.2, gamma=100.5)
ZONE = ("id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega", "scale")


def number(block: gemmi.cif.Block, tag: str) -> float:
    return float(gemmi.cif.as_number(block.find_value(tag)))


def ub_of(block: gemmi.cif.Block) -> np.ndarray:
    return np.array([[number(block, f"_diffrn_orient_matrix_UB_{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)])


def zones_of(block: gemmi.cif.Block) -> dict[int, np.ndarray]:
    rows = block.find("_diffrn_zone_axis_", ZONE)
    return {int(row[0]): np.array([float(text) for text in list(row)[1:]]) for row in rows}


def reflections_of(block: gemmi.cif.Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hkl (n, 3), intensity and sigma (n, 2), and the number of the zone (n,)."""
    columns = ("index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id")
    table = np.array([[float(text) for text in row] for row in block.find("_refln_", columns)])
    return table[:, :3], table[:, 3:5], table[:, 5].astype(int)


@pytest.fixture
def real(shared_data: Path) -> gemmi.cif.Block:
    return gemmi.cif.read(str(shared_data / "dynamical" / "pets2_albite.cif_pets")).sole_block()


@pytest.mark.needs_shared
def test_in_these_axes_the_reflections_of_pets_are_excited_and_in_no_others(real: gemmi.cif.Block) -> None:
    ub, zones, wavelength = ub_of(real), zones_of(real), number(real, "_diffrn_radiation_wavelength")
    hkl, _, frame = reflections_of(real)
    alpha = np.array([zones[one][4] for one in frame])
    off = {}
    for turn in (1, -1):
        for beam in (1, -1):
            q = Rotation.from_rotvec(np.radians(turn * alpha)[:, None] * [1.0, 0.0, 0.0]).apply(hkl @ ub.T)
            outgoing = np.linalg.norm(q + np.array([0, 0, beam / wavelength]), axis=1)
            off[turn, beam] = np.median(np.abs(1 / wavelength - outgoing))
    assert off[1, -1] < 0.02
    assert off[1, -1] < 0.5 * min(value for key, value in off.items() if key != (1, -1))


@pytest.mark.needs_shared
def test_the_zone_axes_that_pets_wrote_follow_from_its_matrix_and_angles(real: gemmi.cif.Block) -> None:
    ub = ub_of(real)
    for row in zones_of(real).values():
        alpha, beta = row[4], row[5]
        turn = Rotation.from_euler("x", alpha, degrees=True).as_matrix()
        found = zone_axis(turn @ ub, ub, alpha)
        np.testing.assert_allclose(found.uvw, row[:3], atol=1e-4)
        assert found.alpha == pytest.approx(alpha)
        assert found.beta == pytest.approx(beta, abs=1e-9)
        assert found.omega == pytest.approx(0.0, abs=1e-9)


def measured_frames(axis: tuple[float, float, float], width: float) -> FrameIntensities:
    """Return frames whose orientations are off the goniometer's by some hundredths of a degree, to 100 degrees."""
    rng = np.random.default_rng(8)
    angle = np.arange(-61.0, 101.0, 20.0)
    direction = np.array(axis) / np.linalg.norm(axis)
    basis = Rotation.random(rng=rng).as_matrix() @ reciprocal_matrix(CELL)
    tilt = Rotation.from_rotvec(np.radians(angle)[:, None] * direction).as_matrix()
    off = Rotation.from_rotvec(np.radians(rng.normal(0, 0.05, (len(angle), 3)))).as_matrix()
    frame = np.repeat(np.arange(len(angle)), 30)
    hkl = rng.integers(-9, 10, (len(frame), 3)).astype(np.int32)
    hkl[:, 0] += hkl.any(axis=1) == 0
    return FrameIntensities(
        setting=off @ tilt @ basis,
        basis=basis,
        angle_deg=angle,
        width_deg=np.full(len(angle), width),
        axis=direction,
        hkl=hkl,
        intensity=rng.normal(50, 400, len(frame)),
        sigma=rng.uniform(0.01, 30, len(frame)),
        frame=frame,
        curve=(0.001, 0.15),
    )


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.7933, -0.6088, 0.0), (-0.6, 0.79, 0.05)])
def test_matrix_and_angles_give_every_scattering_vector_back(tmp_path: Path, axis: tuple[float, float, float]) -> None:
    made = measured_frames(axis, 0.4)
    write_cif_pets(made, CELL, 0.0251, tmp_path / "a.cif_pets")
    block = gemmi.cif.read(str(tmp_path / "a.cif_pets")).sole_block()
    zones, ub = zones_of(block), ub_of(block)
    assert sorted(zones) == list(range(1, len(made.angle_deg) + 1))
    for one, row in zones.items():
        setting, tilt = made.setting[one - 1], made.angle_deg[one - 1]
        found = Rotation.from_euler("ZXY", [row[6], row[4], row[5]], degrees=True).as_matrix() @ ub
        np.testing.assert_allclose(found, setting, atol=2e-8)
        assert row[4] == pytest.approx(tilt, abs=5.0 if axis[2] else 0.5)
        assert row[3] == pytest.approx(0.2)
        for other in np.eye(3):  # what is at right angles to the zone axis lies at right angles to the beam
            assert (setting @ np.cross(row[:3], other))[2] == pytest.approx(0.0, abs=1e-7)
    np.testing.assert_allclose(pets_axes(made.axis)[0] @ pets_axes(made.axis)[0].T, np.eye(3), atol=1e-12)


def test_intensities_sigmas_frames_and_cell_are_read_back_exactly(tmp_path: Path) -> None:
    made = measured_frames((0.8, 0.6, 0.0), 0.0)
    write_cif_pets(made, CELL, 0.0251, tmp_path / "a.cif_pets")
    order = np.lexsort((made.hkl[:, 2], made.hkl[:, 1], made.hkl[:, 0], made.frame))

    block = gemmi.cif.read(str(tmp_path / "a.cif_pets")).sole_block()
    hkl, values, frame = reflections_of(block)
    np.testing.assert_array_equal(hkl, made.hkl[order])
    np.testing.assert_array_equal(values, np.column_stack([made.intensity, made.sigma])[order])
    np.testing.assert_array_equal(frame, made.frame[order] + 1)

    table = read_cif_reflections(tmp_path / "a.cif_pets")
    np.testing.assert_array_equal(table.data.hkl, made.hkl[order])
    np.testing.assert_array_equal(table.data.intensity, made.intensity[order])
    np.testing.assert_array_equal(table.data.sigma, made.sigma[order])
    assert len(np.unique(table.data.crystal)) == len(made.angle_deg)
    assert table.unit_cell is not None
    assert table.unit_cell.parameters == CELL.parameters
    assert table.wavelength_angstrom == 0.0251


@pytest.mark.needs_shared
def test_the_items_are_those_that_pets_writes(tmp_path: Path, real: gemmi.cif.Block) -> None:
    write_cif_pets(measured_frames((1.0, 0.0, 0.0), 0.4), CELL, 0.0251, tmp_path / "a.cif_pets")
    block = gemmi.cif.read(str(tmp_path / "a.cif_pets")).sole_block()

    def items(one: gemmi.cif.Block) -> list[str]:
        return [tag for item in one for tag in (item.loop.tags if item.loop else [item.pair[0]])]

    assert items(block) == items(real)
    assert block.name == real.name
