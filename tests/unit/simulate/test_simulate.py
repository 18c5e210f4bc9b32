"""The forward model against independent formulae."""

import numpy as np
import pytest

from tasks.crystal.lattice import reciprocal_matrix
from tasks.model import UnitCell
from tasks.model.experiment import Beam
from tasks.simulate.demo_structure import uio66
from tasks.simulate.diffraction import (
    Projection,
    Rocking,
    elliptical,
    excitation_along_beam,
    excited_reflections,
)
from tasks.simulate.exposure import expose
from tasks.simulate.lattice import flattened, miller_sphere, reflection_table, rotation_about
from tasks.simulate.models import (
    ClusterPlan,
    Instrument,
    ScatteringPlan,
    SimulationSettings,
    Structure,
    StructureAtom,
    TiltPlan,
)
from tasks.simulate.shapes import Polyhedron, scan_points_nm, thickness, turned
from tasks.simulate.specimen import prepare_specimen

WAVELENGTH = Beam(energy_kev=300.0).wavelength_angstrom
SMALL = Instrument(scan_shape=(16, 16), step_nm=30.0, flyback_columns=2)


def settings(**changes: object) -> SimulationSettings:
    start = SimulationSettings(
        seed=3,
        tilts=TiltPlan(start_deg=-40, stop_deg=40, step_deg=20),
        instrument=SMALL,
        scattering=ScatteringPlan(d_min_angstrom=1.5),
    )
    return start.model_copy(update=changes)


def cube(edge: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Polyhedron:
    return Polyhedron(np.vstack([np.eye(3), -np.eye(3)]), np.full(6, edge / 2), np.array(centre))


def test_equal_seeds_give_equal_events_and_another_seed_does_not() -> None:
    first, second = (expose(prepare_specimen(uio66(), settings()), 2) for _ in range(2))
    other = expose(prepare_specimen(uio66(), settings(seed=4)), 2)
    assert np.array_equal(first.events, second.events)
    assert np.array_equal(first.offsets, second.offsets)
    assert not np.array_equal(first.events[:1000], other.events[:1000])


def test_counts_per_position_are_poisson_with_the_dose_as_mean() -> None:
    no_loss = ScatteringPlan(electrons_per_pattern=250, d_min_angstrom=1.5, halo_fraction=0.1, background_fraction=0.0)
    empty = ClusterPlan(crystals=0)
    counts = np.diff(expose(prepare_specimen(uio66(), settings(scattering=no_loss, cluster=empty)), 2).offsets)
    assert len(counts) == 16 * 18
    assert counts.mean() == pytest.approx(250, abs=4 * np.sqrt(250 / len(counts)))
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / len(counts)))


def test_events_lie_on_the_detector_and_are_sorted_within_a_position() -> None:
    exposure = expose(prepare_specimen(uio66(), settings()), 0)
    assert exposure.events.max() < 576 * 576
    for begin, end in zip(exposure.offsets[:-1], exposure.offsets[1:], strict=True):
        assert (np.diff(exposure.events[begin:end].astype(np.int64)) >= 0).all()


def test_the_excitation_error_closes_the_triangle_of_wave_vectors() -> None:
    q = np.random.default_rng(0).normal(0, 0.7, (200, 3))
    s1 = np.array([0, 0, -1 / WAVELENGTH]) + q
    s1[:, 2] += excitation_along_beam(q, WAVELENGTH)
    assert np.linalg.norm(s1, axis=1) == pytest.approx(np.full(200, 1 / WAVELENGTH), rel=1e-12)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.3, -0.9, 0.0)])
def test_spots_lie_where_laue_and_bragg_put_them(axis: tuple[float, float, float]) -> None:
    """Turn a reflection into its Bragg position by bisection; its radius is then L tan(2 asin(lambda / 2d))."""
    cell = UnitCell.of((5.9, 12.3, 7.8, 81.0, 95.0, 102.0))
    start = rotation_about((1, 2, 3), 50) @ reciprocal_matrix(cell) @ np.array([2, -3, 4])
    angles = np.linspace(-180, 180, 721)
    errors = [excitation_along_beam((rotation_about(axis, angle) @ start)[None], WAVELENGTH)[0] for angle in angles]
    crossing = np.flatnonzero(np.diff(np.sign(errors)))
    assert len(crossing)
    low, high = angles[crossing[0]], angles[crossing[0] + 1]
    for _ in range(60):
        middle = (low + high) / 2
        value = excitation_along_beam((rotation_about(axis, middle) @ start)[None], WAVELENGTH)[0]
        low, high = (middle, high) if np.sign(value) == np.sign(errors[crossing[0]]) else (low, middle)
    q = rotation_about(axis, low) @ start
    offset = Projection(WAVELENGTH, 11000.0, np.eye(2)).offsets(q[None, :2])[0]
    d = float(cell.gemmi().calculate_d([2, -3, 4]))
    assert np.hypot(*offset) == pytest.approx(11000 * np.tan(2 * np.arcsin(WAVELENGTH / (2 * d))), rel=1e-10)
    assert np.arctan2(-offset[0], offset[1]) == pytest.approx(np.arctan2(q[1], q[0]), abs=1e-12)


def test_y_is_up_and_x_is_right_on_the_detector() -> None:
    offsets = Projection(WAVELENGTH, 11000.0, np.eye(2)).offsets(np.array([[0.1, 0.0], [0.0, 0.1]]))
    assert offsets[0] == pytest.approx([0.0, 11000 * np.tan(np.arcsin(0.1 * WAVELENGTH))])
    assert offsets[1] == pytest.approx([-11000 * np.tan(np.arcsin(0.1 * WAVELENGTH)), 0.0])


def test_a_positive_tilt_brings_up_the_reflections_below() -> None:
    """Right-handed about +x turns +y towards +z: q = (0, y, -z) rises to the Ewald sphere at a positive tilt only."""
    q = np.array([0.0, 0.5 * np.cos(np.radians(3)), -0.5 * np.sin(np.radians(3))])
    rocking = Rocking(2000.0, np.radians(0.1), 0.0)

    def strength(tilt_deg: float) -> float:
        turned_q = (rotation_about((1, 0, 0), tilt_deg) @ q)[None]
        return float(excited_reflections(turned_q, np.ones(1), WAVELENGTH, rocking).strength.sum())

    exact = 3 + np.degrees(np.arcsin(0.25 * WAVELENGTH))
    assert strength(exact) > 0.99 * strength(exact + 0.001)
    assert strength(exact) > 10
    assert strength(-exact) == 0


def test_the_rocking_curve_integrates_to_the_intensity() -> None:
    steps = np.linspace(-3, 3, 6001)
    q = np.array([0.0, 0.5, 0.0])
    rocking = Rocking(1000.0, np.radians(0.3), 1e-3)
    turned_q = np.array([rotation_about((1, 0, 0), step) @ q for step in steps])
    seen = excited_reflections(turned_q, np.full(len(steps), 7.0), WAVELENGTH, rocking)
    integral = seen.strength.sum() * 0.5 * np.radians(steps[1] - steps[0])  # ds = |q| d(angle)
    assert integral == pytest.approx(7.0, rel=2e-3)


@pytest.mark.parametrize("tilt_deg", [0.0, 30.0, 45.0])
def test_a_cube_is_as_thick_and_as_wide_as_geometry_says(tilt_deg: float) -> None:
    points = np.stack(np.meshgrid(np.zeros(1), np.linspace(-200, 200, 8001)), axis=-1).reshape(-1, 2)
    depth = thickness(turned(cube(100.0), rotation_about((1, 0, 0), tilt_deg), np.zeros(3)), points)
    angle = np.radians(tilt_deg)
    assert (depth > 0).sum() * 0.05 == pytest.approx(100 * (np.cos(angle) + np.sin(angle)), abs=0.2)
    assert depth.max() == pytest.approx(100 / np.cos(angle), abs=0.1)
    assert depth.sum() * 0.05 == pytest.approx(100 * 100, rel=1e-3)


def test_a_crystal_off_the_axis_moves_and_foreshortens_with_the_tilt() -> None:
    points = scan_points_nm((101, 101), 5.0, 0.0)
    for tilt_deg in (-50.0, 0.0, 35.0):
        angle = np.radians(tilt_deg)
        depth = thickness(
            turned(cube(20.0, (40.0, 100.0, 60.0)), rotation_about((1, 0, 0), tilt_deg), np.zeros(3)), points
        )
        centre = (points * depth[:, None]).sum(axis=0) / depth.sum()
        assert centre == pytest.approx([40.0, 100 * np.cos(angle) - 60 * np.sin(angle)], abs=1.0)


@pytest.mark.parametrize("rotation_deg", [0.0, 90.0, -35.0])
def test_the_scan_turns_counter_clockwise_as_displayed(rotation_deg: float) -> None:
    points = scan_points_nm((3, 5), 2.0, rotation_deg).reshape(3, 5, 2)
    fast, slow = points[0, 1] - points[0, 0], points[1, 0] - points[0, 0]
    angle = np.radians(rotation_deg)
    assert fast == pytest.approx([2 * np.cos(angle), 2 * np.sin(angle)])
    assert fast[0] * slow[1] - fast[1] * slow[0] == pytest.approx(-4.0)  # y is opposite to the slow axis
    assert points.mean(axis=(0, 1)) == pytest.approx([0, 0])


def test_reflections_agree_with_gemmi_on_a_triclinic_cell() -> None:
    cell = UnitCell.of((5.0, 6.5, 8.1, 83.0, 97.0, 105.0))
    atom = StructureAtom(label="C1", element="C", position=(0.1, 0.2, 0.3))
    table = reflection_table(Structure(name="x", cell=cell, hall="P 1", atoms=(atom,)), 0.9)
    import gemmi

    unique = gemmi.make_miller_array(cell.gemmi(), gemmi.SpaceGroup("P 1"), 0.9)
    assert len(table.hkl) == 2 * len(unique)
    assert len(miller_sphere(cell, 0.9)) == len(table.hkl)
    sizes = [cell.gemmi().calculate_d(list(map(int, hkl))) for hkl in table.hkl[:50]]
    assert 1 / table.d_star[:50] == pytest.approx(sizes)


def test_the_demo_shows_no_absent_reflection_and_cubic_equivalents_are_equal() -> None:
    table = reflection_table(uio66(), 2.0)
    parity = table.hkl % 2
    assert (parity == parity[:, :1]).all()
    value = {tuple(hkl): f for hkl, f in zip(table.hkl.tolist(), table.f_squared, strict=True)}
    assert value[(1, 1, 3)] == pytest.approx(value[(3, -1, 1)], rel=1e-9)


def test_blackman_leaves_weak_reflections_and_flattens_strong_ones() -> None:
    kinematical = np.array([1e-6, 1.0, 100.0])
    dynamical = flattened(kinematical, 1.0)
    ratio = dynamical / kinematical
    assert ratio[0] == pytest.approx(1.0, abs=1e-3)
    assert (np.diff(ratio) < 0).all()


def test_an_ellipse_keeps_its_area_and_has_the_stated_axes() -> None:
    matrix = elliptical(0.04, 25.0)
    long, short = np.linalg.svd(matrix)[1]
    assert long / short == pytest.approx(1.04)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    along = np.array([np.cos(np.radians(25)), np.sin(np.radians(25))])
    assert matrix @ along == pytest.approx(long * along)


def test_the_direct_beam_lies_at_the_stated_pixel_and_follows_the_descan() -> None:
    """With nothing but the direct beam, the centroid per corner of the scan is centre plus descan."""
    instrument = SMALL.model_copy(
        update={"direct_beam_px": (200.0, 310.0), "beam_jitter_px": 0.0, "descan_px": (6.0, -4.0), "flyback_columns": 0}
    )
    plan = ScatteringPlan(d_min_angstrom=3, halo_fraction=0, background_fraction=0, electrons_per_pattern=2000)
    run = settings(instrument=instrument, scattering=plan, cluster=ClusterPlan(crystals=0))
    exposure = expose(prepare_specimen(uio66(), run), 0)
    rows, columns = np.divmod(exposure.events.astype(np.int64), 576)
    first, last = slice(0, exposure.offsets[1]), slice(exposure.offsets[-2], None)
    assert [rows.mean(), columns.mean()] == pytest.approx([200.0, 310.0], abs=0.02)
    assert rows[last].mean() - rows[first].mean() == pytest.approx(6.0, abs=0.3)
    assert columns[last].mean() - columns[first].mean() == pytest.approx(-4.0, abs=0.3)


def test_gaps_and_unequal_steps_come_out_of_the_plan() -> None:
    plan = TiltPlan(start_deg=-30, stop_deg=30, step_deg=1, jitter_deg=0.1, gaps_deg=((-5.0, 5.0),))
    tilts = prepare_specimen(uio66(), settings(tilts=plan)).tilts
    assert not ((tilts.recorded_deg >= -5) & (tilts.recorded_deg <= 5)).any()
    assert np.diff(tilts.recorded_deg).std() > 0.05
    assert np.array_equal(tilts.recorded_deg, tilts.true_deg)


def test_the_bad_part_has_the_stated_share_and_turn() -> None:
    specimen = prepare_specimen(uio66(), settings(cluster=ClusterPlan(bad_fraction=0.3, bad_misorientation_deg=7.0)))
    good, bad = specimen.domains[:2]
    assert (good.crystal, bad.crystal, good.bad, bad.bad) == (0, 0, False, True)
    turn = bad.ub @ np.linalg.inv(good.ub)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(7.0, abs=1e-6)
    depth = expose(specimen, 2).thickness_nm
    assert depth[1].sum() / depth[:2].sum() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("depletion", "tolerance"), [(0.0, 1e-9), (1.0, 1.0)])
def test_reflections_follow_the_thickness_and_never_take_more_than_the_beam_when_depleted(
    depletion: float, tolerance: float
) -> None:
    plan = ScatteringPlan(d_min_angstrom=1.5, depletion=depletion, bragg_fraction=0.6)
    specimen = prepare_specimen(uio66(), settings(scattering=plan, cluster=ClusterPlan(crystals=1, bad_fraction=0)))
    exposure = expose(specimen, 2)
    depth, share = exposure.thickness_nm[0].ravel(), exposure.bragg_fraction[0].ravel()
    slopes = share[depth > 0] / depth[depth > 0]
    assert np.ptp(slopes) <= tolerance * slopes.max()
    assert share[depth == 0].max() == 0
    if depletion == 1:
        assert share.max() < 1
        assert slopes[np.argmax(depth[depth > 0])] == slopes.min()


def test_the_electrons_of_a_pattern_go_where_the_shares_say() -> None:
    """Count what falls outside the direct beam over the whole scan; its Poisson error is far below 3 %."""
    plan = ScatteringPlan(d_min_angstrom=1.5, halo_fraction=0, background_fraction=0, electrons_per_pattern=2000)
    specimen = prepare_specimen(uio66(), settings(scattering=plan, cluster=ClusterPlan(size_nm=300)))
    exposure = expose(specimen, 2)
    rows, columns = np.divmod(exposure.events.astype(np.int64), 576)
    centre = specimen.tilts.beam_px[2]
    outside = (np.hypot(rows - centre[0], columns - centre[1]) > 5.2).sum()
    assert outside == pytest.approx(2000 * exposure.bragg_fraction.sum(), rel=0.03)
