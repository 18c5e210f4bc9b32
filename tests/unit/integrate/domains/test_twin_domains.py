"""Non-merohedral twins: two orientations of one lattice in the same frames."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.domains.joint import meeting, partners, sums_of
from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.overlaps import read_overlaps, separated
from tasks.integrate.reflection_file import Unmerged
from tasks.model import Detector
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.intensity_scores import score
from tests.synthetic.structures import albite, forsterite, kyanite
from tests.synthetic.twin_frames import twinned_series

DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)
SHARP = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)
ANGLES = np.arange(-60, 60.1, 1.5)


@pytest.mark.parametrize(
    ("make", "fraction", "axis", "seed"),
    [
        pytest.param(kyanite, 0.4, (1.0, 0.0, 0.0), 21, id="triclinic, about a: lattices that share a plane"),
        pytest.param(forsterite, 0.3, (1.0, 1.0, 0.0), 22, id="orthorhombic, about [110]"),
        pytest.param(albite, 0.25, (1.0, 0.0, 2.0), 23, id="triclinic, about [102]"),
    ],
)
def test_both_domains_of_a_twin_are_integrated(
    make: Callable[[], Structure], fraction: float, axis: tuple[float, float, float], seed: int, tmp_path: Path
) -> None:
    structure = make()
    made = twinned_series(
        structure, tmp_path / "frames", fraction=fraction, axis=axis, seed=seed, conditions=SHARP, angles_deg=ANGLES,
        detector=DETECTOR,
    )  # fmt: skip
    found = BuiltinIntegrator(d_min_angstrom=0.82).integrate(made.series, tmp_path)
    assert any("integrated as a twin of two domains" in text for text in found.warnings)
    assert found.unit_cell.volume_angstrom3 == pytest.approx(structure.cell.volume_angstrom3, rel=0.01)
    scored = score(found, structure)
    assert scored is not None
    assert scored.overall > 0.98
    assert found.overlaps is not None
    # counts of either domain depend on what its orientation shows
    assert separated(read_overlaps(found.overlaps)).fractions[1] == pytest.approx(fraction, abs=0.1)


def test_a_single_crystal_is_no_twin(tmp_path: Path) -> None:
    made = synthetic_frame_series(kyanite(), ANGLES, tmp_path, conditions=SHARP, detector=DETECTOR, seed=24)
    found = BuiltinIntegrator().integrate(made.series, tmp_path)
    assert found.overlaps is None
    assert not any("twin" in text for text in found.warnings)


def test_reflections_coincide_where_the_lattices_share_points() -> None:
    own = np.diag([0.1, 0.12, 0.15])
    half_turn = np.diag([1.0, -1.0, -1.0])
    sheared = np.array([[0.1, 0.0, 0.02], [0.0, 0.12, 0.0], [0.0, 0.0, 0.15]])
    hkl = np.array([[1, 2, 3], [4, -1, 0], [2, 1, 1]])
    assert partners(hkl, own, half_turn @ own, 1e-4).tolist() == [[1, -2, -3], [4, 1, 0], [2, -1, -1]]
    both = partners(hkl, sheared, half_turn @ sheared, 1e-3)
    # h' = h + 0.4 l is whole for l = 0 only
    assert both.any(axis=1).tolist() == [False, True, False]


def test_spots_of_two_domains_meet_on_a_frame_within_a_distance() -> None:
    px = np.array([[10.0, 10.0], [10.5, 10.0], [30.0, 30.0], [10.2, 10.0]])
    frame = np.array([0, 0, 0, 1])
    none = np.zeros(4)
    predictions = Predictions(np.ones((4, 3), np.int32), frame, px, np.zeros((4, 3)), none, none)
    domain = np.array([0, 1, 0, 1])
    near = np.ones(4, dtype=bool)
    assert meeting(predictions, domain, near, 1.0).tolist() == [True, True, False, False]
    assert meeting(predictions, domain, near & (domain == 0), 1.0).tolist() == [False, True, False, False]


def test_what_coincides_goes_on_as_a_sum() -> None:
    def observed(hkl: list[list[int]], intensity: list[float]) -> Unmerged:
        n = len(hkl)
        return Unmerged(np.array(hkl, np.int32), np.array(intensity), np.ones(n), np.zeros(n), np.zeros(n, np.int32))

    first = observed([[1, 0, 0], [1, 2, 0]], [10.0, 20.0])
    second = observed([[0, 1, 3]], [5.0])
    overlaps = sums_of(first, second, np.array([[0, 0, 0], [1, -2, 0]]))
    assert overlaps.hkl.tolist() == [[1, 0, 0], [1, 2, 0], [1, -2, 0], [0, 1, 3]]
    assert overlaps.domain.tolist() == [1, 1, 2, 2]
    assert overlaps.observation.tolist() == [0, 1, 1, 2]
    assert overlaps.intensity.tolist() == [10.0, 20.0, 5.0]
