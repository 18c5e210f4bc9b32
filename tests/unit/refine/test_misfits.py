"""Which reflections a structure fits worst, in the errors of its fit."""

import numpy as np
import pytest

from tasks.model import UnitCell
from tasks.refine import FittedIntensities, worst_fits
from tasks.simulate import uio66
from tests.synthetic.outcomes import example_refinement

HKL = np.array([[2, 0, 0], [0, 2, 2], [1, 1, 1], [4, 0, 0]], dtype=np.int32)
FITTED = FittedIntensities(
    UnitCell.of([10.0, 10.0, 10.0, 90.0, 90.0, 90.0]),
    HKL,
    observed=np.array([100.0, 40.0, -2.0, 7.0]),
    calculated=np.array([104.0, 10.0, 4.0, 7.0]),
    sigma=np.array([2.0, 3.0, 1.0, 0.5]),
)


def test_with_bare_sigmas_the_deviation_is_the_difference_over_sigma(tmp_path) -> None:
    model = example_refinement(tmp_path, uio66(), "crystal-01").model_copy(update={"weights": (0.0, 0.0), "goof": 2.0})
    first, second, third = worst_fits(FITTED, model, most=3)
    assert (first.hkl, first.deviation) == ((0, 2, 2), 5.0)
    assert (second.hkl, second.deviation) == ((1, 1, 1), -3.0)
    assert (third.hkl, third.deviation) == ((2, 0, 0), -1.0)
    assert first.d_angstrom == pytest.approx(10.0 / 8**0.5, abs=1e-4)
    assert (first.f_squared_observed, first.f_squared_calculated, first.sigma) == (40.0, 10.0, 3.0)


def test_the_weights_of_the_fit_take_from_strong_reflections(tmp_path) -> None:
    model = example_refinement(tmp_path, uio66(), "crystal-01").model_copy(update={"weights": (0.1, 0.0), "goof": 1.0})
    found = {one.hkl: one.deviation for one in worst_fits(FITTED, model, most=10)}
    p = (100.0 + 2 * 104.0) / 3
    assert found[2, 0, 0] == pytest.approx(-4.0 / (4.0 + (0.1 * p) ** 2) ** 0.5, abs=0.01)
    assert len(found) == len(HKL)
