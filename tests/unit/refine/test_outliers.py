"""Reflections measured wrong are told from a model that is wrong."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.refine.outliers import outliers_of


def table(factor: NDArray[np.float64], *, error: float = 0.03, seed: int = 3) -> dict[str, NDArray[np.float64]]:
    """Return the table of a fit whose observed intensities are so many times (n,) those calculated, errors apart."""
    rng = np.random.default_rng(seed)
    f_calc = 10.0 + 90.0 * rng.random(len(factor))
    f_obs = np.sqrt(factor) * f_calc * (1.0 + error * rng.normal(size=len(factor)))
    return {"f_sq_obs": f_obs**2, "sigma": 0.02 * f_obs**2, "f_sq_calc": f_calc**2}


def test_a_ring_that_is_much_too_strong_is_to_blame() -> None:
    factor = np.ones(400)
    factor[120:150] = 15.0
    found = outliers_of(table(factor))
    assert found is not None
    assert 25 <= found.number <= 40
    assert found.observed == 400
    assert found.r1_of_others == pytest.approx(0.03 * np.sqrt(2.0 / np.pi), rel=0.15)
    assert "outliers" in str(found)


@pytest.mark.parametrize("error", [0.02, 0.1, 0.3])
def test_errors_of_all_reflections_blame_none(error: float) -> None:
    assert outliers_of(table(np.ones(400), error=error)) is None


def test_a_model_that_is_wrong_blames_none() -> None:
    rng = np.random.default_rng(7)
    assert outliers_of(table(rng.exponential(size=400))) is None


def test_half_of_the_reflections_are_no_outliers() -> None:
    assert outliers_of(table(np.where(np.arange(400) % 2, 1.0, 4.0), error=0.001)) is None


def test_few_reflections_and_perfect_ones_blame_none() -> None:
    factor = np.ones(30)
    factor[:3] = 15.0
    assert outliers_of(table(factor)) is None
    assert outliers_of(table(np.ones(400), error=0.0)) is None
