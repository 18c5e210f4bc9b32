"""A camera length or an energy stated wrong leaves every residual as it is: the curvature of the Ewald sphere tells."""

from pathlib import Path

import numpy as np
import pytest

from tasks.integrate.builtin import BuiltinIntegrator
from tasks.model import Beam, Detector, NotIndexedError
from tests.synthetic.frame_series import Conditions, SyntheticSeries, synthetic_frame_series
from tests.synthetic.structures import diopside

DETECTOR = Detector(
    name="small", shape_px=(300, 300), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(149.5, 149.5)
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSeries:
    conditions = Conditions(disc_px=1.0, d_min_angstrom=0.8)
    folder = tmp_path_factory.mktemp("frames")
    angles = np.arange(-56, 56.1, 2.0)
    return synthetic_frame_series(diopside(), angles, folder, conditions=conditions, detector=DETECTOR, seed=5)


def test_an_energy_stated_wrong_scales_the_cell_and_leaves_the_camera_length_right(
    made: SyntheticSeries, tmp_path: Path
) -> None:
    series = made.series.model_copy(update={"beam": Beam(energy_kev=200.0)})
    found = BuiltinIntegrator(d_min_angstrom=0.9).integrate(series, tmp_path)
    scale = found.cell_scale
    assert scale is not None
    assert scale.curvature_ratio is not None
    assert scale.curvature_relative_esd is not None
    ratio = found.unit_cell.volume_angstrom3 / diopside().cell.volume_angstrom3
    assert ratio ** (1 / 3) == pytest.approx(0.0250793 / 0.0196875, rel=0.003)
    assert abs(scale.curvature_ratio - 1.0) < 3 * scale.curvature_relative_esd < 0.15
    assert not [text for text in found.warnings if "curvature" in text]


def test_a_camera_length_a_fifth_too_long_is_named_by_the_curvature(made: SyntheticSeries, tmp_path: Path) -> None:
    series = made.series.model_copy(
        update={"detector": made.series.detector.model_copy(update={"camera_length_mm": 132.0})}
    )
    found = BuiltinIntegrator(d_min_angstrom=1.0).integrate(series, tmp_path)
    scale = found.cell_scale
    assert scale is not None
    assert scale.curvature_ratio is not None
    assert scale.curvature_relative_esd is not None
    assert abs(scale.curvature_ratio - 110 / 132) < 3 * scale.curvature_relative_esd
    assert any("curvature of the Ewald sphere asks for a camera length" in text for text in found.warnings)


def test_a_known_cell_of_another_scale_is_refused_with_the_energy_that_would_explain_it(
    made: SyntheticSeries, tmp_path: Path
) -> None:
    series = made.series.model_copy(update={"beam": Beam(energy_kev=200.0)})
    with pytest.raises(NotIndexedError, match=r"300 keV") as refused:
        BuiltinIntegrator(d_min_angstrom=0.9, known_cell=diopside().cell).integrate(series, tmp_path)
    assert "1.27 times as long" in refused.value.message
