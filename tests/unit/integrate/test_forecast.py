"""What further tilts of a crystal would bring, against what they do bring; whether halves of the tilts agree."""

import numpy as np
import pytest

from tasks.crystal.lattice import reciprocal_matrix
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.forecast import forecast_completeness
from tasks.integrate.reflection_file import write_reflections
from tasks.integrate.tilt_halves import halves_agreement
from tasks.model import Detector, InputError
from tests.synthetic.frame_series import synthetic_frame_series
from tests.synthetic.structures import forsterite

ANGLES = np.arange(-21.0, 21.1, 1.5)
FIRST = 19
SMALL = Detector(
    name="4D Camera", shape_px=(288, 288), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(143.5, 143.5)
)
LIMIT = 1.0


@pytest.fixture(scope="module")
def crystal(tmp_path_factory):
    """The first tilts of a crystal, and all of them: frames and intensities of each."""
    place = tmp_path_factory.mktemp("all")
    made = synthetic_frame_series(forsterite(), ANGLES, place, seed=21, detector=SMALL)
    turn = made.ub @ np.linalg.inv(reciprocal_matrix(forsterite().cell))
    early = tmp_path_factory.mktemp("early")
    first = synthetic_frame_series(
        forsterite(), ANGLES[:FIRST], early, seed=22, detector=SMALL, orientation=turn
    ).series
    engine = BuiltinIntegrator(d_min_angstrom=LIMIT)
    return (first, engine.integrate(first, early)), (made.series, engine.integrate(made.series, place))


def test_the_completeness_foretold_is_that_which_the_planned_tilts_give(crystal):
    (frames, data), (_, whole) = crystal
    found = forecast_completeness(data, frames, planned_deg=ANGLES[FIRST:].tolist(), candidates_deg=[])
    assert found.now == pytest.approx(data.overall.completeness, abs=0.02)
    assert found.planned is not None
    assert found.planned > found.now + 0.05
    assert found.planned == pytest.approx(whole.overall.completeness, abs=0.05)
    assert found.best == ()


def test_the_tilts_that_would_add_most_are_those_far_from_the_ones_there(crystal):
    (frames, data), _ = crystal
    there, near, far = ANGLES[:FIRST].tolist(), [0.3], [40.0, 41.0]
    found = forecast_completeness(data, frames, planned_deg=[], candidates_deg=[*there, *near, *far], tilts=2)
    assert found.planned is None
    assert {tilt for tilt, _ in found.best} == set(far)
    shares = [found.now, *(share for _, share in found.best)]
    assert shares == sorted(shares)


def test_without_a_geometry_nothing_is_foretold(crystal):
    (frames, data), _ = crystal
    bare = data.model_copy(update={"pictures": None})
    with pytest.raises(InputError, match="keeps no geometry"):
        forecast_completeness(bare, frames, planned_deg=[10.0], candidates_deg=[])


def test_two_measurements_of_one_crystal_agree_and_permuted_ones_do_not(crystal, tmp_path):
    (_, data), (_, whole) = crystal
    agreement = halves_agreement(data, whole)
    assert agreement.cc > 0.95
    assert agreement.weak > 0.6
    merged = whole.unique_reflections
    mixed = np.random.default_rng(1).permutation(merged.intensity)
    other = whole.model_copy(
        update={"merged": write_reflections(merged._replace(intensity=mixed), tmp_path / "mixed.npz")}
    )
    assert abs(halves_agreement(data, other).cc) < 0.3


def test_few_common_reflections_tell_nothing(crystal, tmp_path):
    (_, data), _ = crystal
    few = data.unique_reflections
    few = type(few)(*(column[:29] for column in few))
    bare = data.model_copy(update={"merged": write_reflections(few, tmp_path / "few.npz")})
    assert halves_agreement(data, bare) == (29, None, None)
