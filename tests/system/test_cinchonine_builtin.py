"""The real cinchonine series with the built-in integrator, against what was published."""

from pathlib import Path

import pytest

from tasks.integrate.builtin import BuiltinIntegrator
from tests.benchmarks.integrate.cinchonine import PUBLISHED, cinchonine_series
from tests.synthetic.published_r1 import common_r1

pytestmark = pytest.mark.needs_shared


def test_the_published_model_fits_the_intensities_of_the_builtin_integrator(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "cinchonine"
    series = cinchonine_series(folder, tmp_path)
    (tmp_path / "integrate").mkdir()
    found = BuiltinIntegrator().integrate(series, tmp_path / "integrate")
    assert found.space_group == "P 1 21 1"
    assert found.unit_cell.parameters[:3] == pytest.approx((10.732, 7.283, 11.107), rel=0.01)
    assert found.unit_cell.parameters[4] == pytest.approx(108.06, abs=0.2)
    assert found.overall.cc_half is not None
    assert found.overall.cc_half >= 0.99
    every, strong, number = common_r1([found], folder / PUBLISHED, laue="P 1 2/m 1", d_min=1.0)
    assert number > 650
    assert every[0] < 0.209  # DIALS by the same measure on the same reflections
    assert strong[0] < 0.19
