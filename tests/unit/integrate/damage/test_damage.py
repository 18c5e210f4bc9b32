"""Damage on simulated frames: the rate it was made with, intensities as without it, and sound series left alone."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.frames.models import FrameSeries
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.integrate.models import Damage as Found
from tasks.integrate.models import Reflections
from tasks.model import Detector
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, Damage, moved_atoms, orders_of, synthetic_frame_series
from tests.synthetic.intensity_scores import score
from tests.synthetic.structures import diopside, forsterite

DETECTOR = Detector(
    name="small", shape_px=(360, 360), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(179.5, 179.5)
)
HALF = float(np.log(2.0))
SEEN = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)
ANGLES = np.arange(-60, 60.1, 2.0)


def frames(structure: Structure, folder: Path, damage: Damage, angles: NDArray[np.float64] = ANGLES) -> FrameSeries:
    made = synthetic_frame_series(structure, angles, folder, conditions=SEEN, detector=DETECTOR, seed=5, damage=damage)
    return made.series


def integrated(series: FrameSeries, folder: Path) -> tuple[Reflections, Found]:
    folder.mkdir()
    found = BuiltinIntegrator(d_min_angstrom=0.85).integrate(series, folder)
    assert found.damage is not None
    return found, found.damage


def without_order(series: FrameSeries) -> FrameSeries:
    return series.model_copy(update={"frames": tuple(f.model_copy(update={"order": None}) for f in series.frames)})


@pytest.mark.parametrize("order", ["rising", "symmetric"])
def test_a_known_fall_off_is_found_and_taken_out(order: str, tmp_path: Path) -> None:
    structure = diopside()
    made = Damage(orders_of(order, len(ANGLES)), fall_off_angstrom2=HALF, scale_loss=0.5)
    series = frames(structure, tmp_path, made)
    corrected, damage = integrated(series, tmp_path / "with")
    plain, unknown = integrated(without_order(series), tmp_path / "without")
    assert (damage.state, damage.axis, unknown.state) == ("modelled", "order", "not known")
    # b over all exposures; that of the last frame's middle is a little less
    assert damage.fall_off_esd_angstrom2 is not None
    assert damage.fall_off_angstrom2 == pytest.approx(HALF, abs=4 * damage.fall_off_esd_angstrom2)
    assert damage.fall_off_esd_angstrom2 < 0.05
    assert damage.half_intensity_dose == pytest.approx(len(ANGLES), rel=0.2)
    better, worse = score(corrected, structure), score(plain, structure)
    assert better is not None
    assert worse is not None
    assert better.r1 < 0.5 * worse.r1
    assert better.overall > worse.overall
    assert 0.5 < np.mean(better.variance) < 1.5
    assert np.mean(worse.variance) > 2
    assert any("1 A halve in" in text for text in corrected.warnings)
    # points of the course, by no model of it, lie on the curve that was simulated
    for point in damage.course[1:]:
        truth = np.exp(-HALF * point.exposure / len(ANGLES))
        assert abs(point.intensity - truth) < 5 * np.hypot(point.esd, damage.fall_off_esd_angstrom2)


def test_a_sound_series_is_left_as_it_is_whether_its_order_is_known_or_not(tmp_path: Path) -> None:
    series = frames(diopside(), tmp_path, Damage(orders_of("rising", len(ANGLES))))
    known, damage = integrated(series, tmp_path / "known")
    unknown, _ = integrated(without_order(series), tmp_path / "unknown")
    assert damage.state == "none"
    assert damage.left_out_deg == ()
    assert known.merged.sha256 == unknown.merged.sha256
    assert known.unmerged.sha256 == unknown.unmerged.sha256
    assert known.warnings == unknown.warnings


def test_tilts_at_which_the_crystal_has_become_another_are_left_out(tmp_path: Path) -> None:
    structure = forsterite()
    angles = np.arange(-60, 60.1, 1.0)
    order = orders_of("symmetric", len(angles))
    made = Damage(order, changed=moved_atoms(structure, 5), onset=0.6)
    found, damage = integrated(frames(structure, tmp_path, made, angles), tmp_path / "with")
    assert damage.state == "cut", damage.cuts
    late = angles[order >= 0.6 * len(angles)]
    assert set(damage.left_out_deg) >= set(late[np.abs(late) > 45])
    assert len(damage.left_out_deg) <= 1.3 * len(late)
    assert any("left out for damage" in text for text in found.warnings)
    result = score(found, structure)
    assert result is not None
    assert result.r1 < 0.03  # 0.14 to 0.18 with all of it


def test_a_fall_off_with_the_tilt_is_named_and_not_corrected_where_the_order_is_not_known(tmp_path: Path) -> None:
    made = Damage(orders_of("rising", len(ANGLES)), fall_off_angstrom2=3 * HALF)
    found, damage = integrated(without_order(frames(diopside(), tmp_path, made)), tmp_path / "without")
    assert damage.state == "not known"
    assert damage.half_intensity_dose is None
    assert any("possible damage" in text and "higher tilts" in text for text in found.warnings)


def test_the_stated_dose_is_the_axis(tmp_path: Path) -> None:
    made = Damage(orders_of("rising", len(ANGLES)), fall_off_angstrom2=HALF)
    series = frames(diopside(), tmp_path, made)
    dosed = tuple(
        frame.model_copy(update={"accumulated_dose_e_per_A2": 2.0 * (place + 0.5)})
        for place, frame in enumerate(series.frames)
    )
    _, damage = integrated(series.model_copy(update={"frames": dosed}), tmp_path / "with")
    assert damage.axis == "dose"
    assert damage.last_exposure == pytest.approx(2.0 * (len(ANGLES) - 0.5))
    assert damage.half_intensity_dose == pytest.approx(2.0 * len(ANGLES), rel=0.2)


def test_a_second_pass_over_all_tilts_tells_the_loss_of_scale_from_what_tilts_illuminate(tmp_path: Path) -> None:
    """Dose fractions: each tilt twice, all of the second pass after the first; the scale falls by a factor of e."""
    angles = np.repeat(np.arange(-60, 60.1, 4.0), 2)
    order = np.argsort(np.concatenate([np.arange(0, len(angles), 2), np.arange(1, len(angles), 2)]))
    made = Damage(order, fall_off_angstrom2=HALF, scale_loss=1.0)
    _, damage = integrated(frames(forsterite(), tmp_path, made, angles), tmp_path / "with")
    assert damage.state == "modelled"
    assert damage.fall_off_esd_angstrom2 is not None
    assert damage.fall_off_angstrom2 == pytest.approx(HALF, abs=4 * damage.fall_off_esd_angstrom2)
    assert damage.scale_loss is not None
    assert damage.scale_loss_esd is not None
    assert damage.scale_loss == pytest.approx(1.0, abs=4 * damage.scale_loss_esd)
    assert damage.scale_loss_esd < 0.1
