"""Merged intensities and sigmas of the built-in integrator against the |F|^2 that frames were simulated with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.integrate.builtin import BuiltinIntegrator
from tasks.model import Detector
from tasks.simulate.models import Structure
from tests.synthetic.frame_series import Conditions, synthetic_frame_series
from tests.synthetic.intensity_scores import score
from tests.synthetic.structures import diopside, kyanite

DETECTOR = Detector(
    name="small", shape_px=(360, 360), pixel_size_mm=0.02, camera_length_mm=110.0, direct_beam_px=(179.5, 179.5)
)


@pytest.mark.parametrize(
    ("make", "step", "changes"),
    [
        pytest.param(diopside, 1.0, {}, id="monoclinic, 1 degree"),
        pytest.param(kyanite, 1.0, {"mosaic_deg": 0.1}, id="triclinic, sharp curves"),
        pytest.param(diopside, 2.0, {"bragg": 60_000.0}, id="monoclinic, 2 degrees, high dose"),
    ],
)
def test_stated_sigmas_are_the_errors(
    make: Callable[[], Structure], step: float, changes: dict[str, float], tmp_path: Path
) -> None:
    seen = Conditions(disc_px=1.0, beam_jitter_px=0.2, d_min_angstrom=0.8)._replace(**changes)
    structure = make()
    angles = np.arange(-60, 60.1, step)
    made = synthetic_frame_series(structure, angles, tmp_path, conditions=seen, detector=DETECTOR, seed=4)
    found = BuiltinIntegrator(d_min_angstrom=0.85).integrate(made.series, tmp_path)
    result = score(found, structure)
    assert result is not None
    assert min(result.correlation) > 0.99
    # a shell of 60 to 160 reflections tells its variance to 0.1 to 0.2
    assert 0.7 < np.mean(result.variance) < 1.3
    assert max(result.variance) < 1.8
    assert not [text for text in found.warnings if "halves" in text]
