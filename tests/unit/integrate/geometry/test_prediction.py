import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.integrate.geometry.mapping import (
    Crystal,
    Geometry,
    detector_px,
    excitation_error,
    laboratory_q,
    orientations,
    rotations,
)
from tasks.integrate.geometry.prediction import all_hkl, predict, travel_of

WAVELENGTH = 0.0196875


def geometry(axis=(1.0, 0.0, 0.0), angles=(0.0,), ellipse=(0.0, 0.0)) -> Geometry:
    beam = np.tile([287.5, 280.25], (len(angles), 1))
    return Geometry(WAVELENGTH, 11000.0, beam, np.array(axis), np.array(angles, dtype=float), ellipse)


@given(
    slow=st.floats(0, 575),
    fast=st.floats(0, 575),
    e1=st.floats(-0.03, 0.03),
    e2=st.floats(-0.03, 0.03),
)
def test_a_pixel_goes_to_the_ewald_sphere_and_back(slow: float, fast: float, e1: float, e2: float) -> None:
    setup = geometry(ellipse=(e1, e2))
    px = np.array([[slow, fast]])
    q = laboratory_q(px, setup.beam_px, setup)
    assert excitation_error(q, WAVELENGTH) == pytest.approx([0.0], abs=1e-10)
    assert detector_px(q, setup.beam_px, setup) == pytest.approx(px, abs=1e-7)


def test_row_0_is_up_and_the_sphere_bends_away_from_the_source() -> None:
    setup = geometry()
    q = laboratory_q(np.array([[187.5, 280.25], [287.5, 380.25]]), setup.beam_px, setup)
    assert q[0, 1] > 0 and q[0, 0] == pytest.approx(0)  # noqa: PT018
    assert q[1, 0] > 0 and q[1, 1] == pytest.approx(0)  # noqa: PT018
    # the beam travels along -z: scattered rays lose momentum along -z, so q has a component along +z
    assert (q[:, 2] > 0).all()


def test_a_positive_tilt_about_x_takes_y_to_z() -> None:
    turn = rotations(np.array([1.0, 0.0, 0.0]), np.array([90.0]))[0]
    assert turn @ [0.0, 1.0, 0.0] == pytest.approx([0.0, 0.0, 1.0])


def test_a_point_inside_the_sphere_has_a_positive_excitation_error() -> None:
    inside = np.array([[0.5, 0.0, 0.5]])  # towards the sphere's centre, which lies along +z
    assert excitation_error(inside, WAVELENGTH)[0] > 0


def test_predictions_are_where_the_lattice_points_cross_and_travel_is_the_derivative() -> None:
    setup = geometry(axis=(0.6, 0.8, 0.0), angles=(-10.0, -9.9))
    crystal = Crystal(np.diag([0.05, 0.07, 0.09]), np.zeros((2, 3)))
    hkl = all_hkl(crystal.basis, 1.0, 100.0)
    found = predict(
        setup, crystal, hkl, width_deg=np.full(2, 0.1), used=np.ones(2, bool), shape=(576, 576), reach=(0.004, 0.0)
    )
    matrices = orientations(setup, crystal)
    q = np.einsum("nij,nj->ni", matrices[found.frame], found.hkl.astype(float))
    assert found.q == pytest.approx(q)
    both = [tuple(row) for row in found.hkl[found.frame == 0]]
    later = {tuple(row): s for row, s in zip(found.hkl[found.frame == 1], found.excitation[found.frame == 1])}
    pairs = [
        (later[row] - s, travel)
        for row, s, travel in zip(both, found.excitation[found.frame == 0], found.travel[found.frame == 0])
        if row in later
    ]
    assert len(pairs) > 40
    change, travel = np.array(pairs).T
    assert change == pytest.approx(travel, abs=1e-5)
    assert np.ptp(travel) > 1e-3


def test_nothing_travels_on_the_rotation_axis() -> None:
    assert travel_of(np.array([[0.5, 0.0, 0.0]]), np.array([1.0, 0, 0]), np.array([1.0]), WAVELENGTH) == pytest.approx(
        0
    )
