"""Frames of discs are integrated as frames of points are: lattice, intensities and what is said of overlaps."""

from pathlib import Path

import numpy as np
import pytest

from tasks.events.beam_disc import BeamDisc
from tasks.integrate.builtin import BuiltinIntegrator
from tasks.model import Detector
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.intensity_scores import score
from tests.synthetic.structures import forsterite

DETECTOR = Detector(
    name="small", shape_px=(360, 360), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(179.5, 179.5)
)


@pytest.mark.parametrize("radius", [5.5, 8.25], ids=["1.0 mrad", "1.5 mrad"])
def test_discs_give_the_intensities_of_the_structure(radius: float, tmp_path: Path) -> None:
    conditions = Conditions(disc_px=radius, beam_jitter_px=0.1, d_min_angstrom=0.8)
    made = synthetic_frame_series(
        forsterite(), np.arange(-60, 60.1, 2.0), tmp_path, conditions=conditions, detector=DETECTOR, seed=21
    )
    series = made.series.model_copy(update={"disc": BeamDisc(radius_px=radius, edge_px=0.58, scans=9)})
    found = BuiltinIntegrator(d_min_angstrom=0.85).integrate(series, tmp_path)
    result = score(found, forsterite())
    assert result is not None
    assert result.overall > 0.98
    assert np.mean(result.variance) < 2.0
    assert found.indexed_fraction is not None
    assert found.indexed_fraction > 0.95
    assert found.discs is not None
    assert found.discs.radius_px == radius
    assert 0.05 < found.discs.overlapped_share < 0.6
    assert any("overlap others" in text for text in found.warnings)
