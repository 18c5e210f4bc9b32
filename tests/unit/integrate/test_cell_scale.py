"""The scale of a cell: how its uncertainty enters esds, and what contradicts a camera length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.integrate.cell_scale import (
    calibrated_scale,
    common_scale,
    curvature_doubt,
    scale_warnings,
    stated_scale,
    volume_esd,
    whole_esd,
    with_curvature,
)
from tasks.model import Detector, UnitCell

DETECTOR = Detector(name="d", shape_px=(64, 64), pixel_size_mm=0.01, camera_length_mm=110.0)
TRICLINIC = UnitCell.of((7.1, 8.2, 9.3, 81.0, 96.0, 107.0))
ESD = (0.001, 0.002, 0.003, 0.01, 0.02, 0.03)


def test_an_error_that_is_not_stated_is_assumed_and_said_to_be() -> None:
    stated = stated_scale(DETECTOR.model_copy(update={"camera_length_relative_error": 0.004}))
    assert (stated.relative_esd, stated.source) == (0.004, "stated")
    assert (stated_scale(DETECTOR).relative_esd, stated_scale(DETECTOR).source) == (0.01, "assumed")


def test_lengths_take_the_scale_in_squares_and_angles_none_of_it() -> None:
    whole = whole_esd(TRICLINIC, ESD, stated_scale(DETECTOR))
    assert whole is not None
    expected = [np.sqrt(esd**2 + (0.01 * length) ** 2) for esd, length in zip(ESD[:3], (7.1, 8.2, 9.3), strict=True)]
    assert whole[:3] == pytest.approx(expected)
    assert whole[3:] == ESD[3:]
    assert whole_esd(TRICLINIC, ESD, None) == ESD
    assert whole_esd(TRICLINIC, None, None) is None


def test_the_scale_enters_the_volume_three_times() -> None:
    esd = volume_esd(TRICLINIC, None, stated_scale(DETECTOR))
    assert esd == pytest.approx(0.03 * TRICLINIC.volume_angstrom3)


@given(a=st.floats(3, 40), esd=st.floats(1e-4, 0.05))
def test_the_volume_of_a_cube_and_of_a_box_follow_closed_forms(a: float, esd: float) -> None:
    cube, box = UnitCell.of((a, a, a, 90, 90, 90)), UnitCell.of((a, 2 * a, 3 * a, 90, 90, 90))
    assert volume_esd(cube, (esd,) * 3 + (0.0,) * 3, None) == pytest.approx(3 * a**2 * esd, rel=1e-4)
    assert volume_esd(box, (esd,) * 3 + (0.0,) * 3, None) == pytest.approx(7 * a**2 * esd, rel=1e-4)


def test_crystals_merged_share_the_error_of_the_camera_length_and_average_their_curvatures() -> None:
    one = with_curvature(stated_scale(DETECTOR), 1.02, 0.01)
    both = common_scale([one, with_curvature(stated_scale(DETECTOR), 1.04, 0.01)])
    assert both is not None
    assert both.relative_esd == 0.01
    assert both.curvature_ratio == pytest.approx(1.03)
    assert both.curvature_relative_esd == pytest.approx(0.01 / np.sqrt(2))
    assert common_scale([one, None]) is None


def test_a_calibration_beyond_the_stated_error_is_named_and_one_within_is_told() -> None:
    (within,) = scale_warnings(calibrated_scale(DETECTOR, 113.3, 1e-4))
    assert within == "camera length calibrated by the known cell: 113.3 mm (3.0% from the manifest)"
    sharp = DETECTOR.model_copy(update={"camera_length_relative_error": 0.005})
    (beyond,) = scale_warnings(calibrated_scale(sharp, 113.3, 1e-4))
    assert "6 times its error of 0.5%" in beyond


@pytest.mark.parametrize(("ratio", "named"), [(0.97, False), (0.90, True), (1.27, True)])
def test_a_curvature_far_from_the_camera_length_is_named(ratio: float, named: bool) -> None:
    doubt = curvature_doubt(with_curvature(stated_scale(DETECTOR), ratio, 0.01))
    assert (doubt is not None) == named
    assert doubt is None or f"{110 * ratio:.1f} mm" in doubt
