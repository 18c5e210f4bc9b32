"""The probe against the Airy pattern, an edge's closed form, and geometry."""

import numpy as np
import pytest
from scipy import special

from tasks.simulate.models import Instrument
from tasks.simulate.probe import AIRY_FWHM, depth_weights, lit, places_met_nm, probe_fwhm_nm
from tasks.simulate.shapes import Polyhedron, scan_points_nm


def slab(half_width: float, thickness: float) -> Polyhedron:
    distances = np.array([half_width, half_width, thickness / 2] * 2)
    return Polyhedron(np.vstack([np.eye(3), -np.eye(3)]), distances, np.array([0.0, 0.0, 7.0]))


def test_the_probe_is_as_wide_as_its_diffraction_limit() -> None:
    half = np.pi * AIRY_FWHM
    assert (2 * special.j1(half) / half) ** 2 == pytest.approx(0.5, abs=1e-3)
    assert probe_fwhm_nm(Instrument(convergence_mrad=1.0), 0.02) == pytest.approx(1.029)
    assert probe_fwhm_nm(Instrument(convergence_mrad=1.0, probe_nm=4.0), 0.02) == 4.0
    assert probe_fwhm_nm(Instrument(convergence_mrad=0.0), 0.02) == 0.0


def test_the_edge_of_a_slab_is_blurred_as_by_a_normal_distribution() -> None:
    fwhm = 20.0
    sigma = fwhm / np.sqrt(8 * np.log(2))
    places = np.stack([np.linspace(-160, -40, 121), np.zeros(121)], axis=1)
    seen = lit(slab(100.0, 50.0), places, fwhm)
    met = np.zeros(121)
    met[seen.position] = seen.length_nm @ seen.weight
    expected = 50 * special.ndtr((places[:, 0] + 100) / sigma)
    assert np.abs(met - expected).max() < 0.05 * 50
    assert np.abs(met - expected).mean() < 0.01 * 50
    assert met.sum() == pytest.approx(expected.sum(), rel=0.01)
    assert set(np.round(seen.middle_nm[seen.length_nm > 0], 9)) == {7.0}


def test_depths_keep_the_electrons_and_the_mean_thickness() -> None:
    places = np.random.default_rng(0).uniform(-130, 130, (300, 2))
    seen = lit(slab(100.0, 53.0), places, 15.0)
    depth = np.linspace(0, 60, 14)
    weight = depth_weights(seen, np.ones_like(seen.length_nm), depth)
    assert weight.sum(axis=1) == pytest.approx(np.ones(len(seen.position)))
    assert weight @ depth == pytest.approx(seen.length_nm @ seen.weight)


@pytest.mark.parametrize("rotation_deg", [0.0, 35.0])
def test_a_drifting_specimen_is_met_later_on_its_way(rotation_deg: float) -> None:
    """What lay under the first position lies, after the whole scan, the stated steps further on."""
    regular = Instrument(scan_shape=(9, 5), step_nm=4.0, scan_rotation_deg=rotation_deg, flyback_columns=0)
    drifting = regular.model_copy(update={"scan_drift_steps": (3.0, -1.0)})
    shift = (scan_points_nm((9, 5), 4.0, rotation_deg) - places_met_nm(drifting)).reshape(9, 5, 2)
    angle = np.radians(rotation_deg)
    slow, fast = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    assert shift[-1, -1] - shift[0, 0] == pytest.approx(4.0 * (3 * slow - fast))
    assert shift.mean(axis=(0, 1)) == pytest.approx([0, 0], abs=1e-9)
    sheared = places_met_nm(regular.model_copy(update={"scan_shear_steps": 2.0})).reshape(9, 5, 2)
    apart = scan_points_nm((9, 5), 4.0, rotation_deg).reshape(9, 5, 2) - sheared
    assert apart[-1, 2] - apart[0, 2] == pytest.approx(8.0 * fast)
    assert apart[3, 0] == pytest.approx(apart[3, 4])
