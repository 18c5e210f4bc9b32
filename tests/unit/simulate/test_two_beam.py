"""Two beams: the closed form, the spread of orientations, and averages made smooth."""

import numpy as np
import pytest
from scipy import integrate

from tasks.simulate.two_beam import smoothed, spread_quantiles, two_beam_intensities


def test_the_recurrence_is_the_closed_form() -> None:
    coupling, error = np.array([0.0, 1e-4, 3e-3]), np.linspace(-0.02, 0.02, 7)[None].repeat(3, axis=0)
    got = two_beam_intensities(coupling, error, 37.0, 60)
    depth = 37.0 * np.arange(60)[:, None, None]
    w = np.sqrt(coupling[:, None] ** 2 + error**2)
    expected = (coupling[:, None] / np.maximum(w, 1e-300)) ** 2 * np.sin(np.pi * depth * w) ** 2
    assert got == pytest.approx(expected, abs=1e-10)


def test_a_thin_crystal_has_the_kinematical_integral() -> None:
    error = np.linspace(-0.2, 0.2, 40001)
    nu, thickness = 2e-4, 100.0
    curve = two_beam_intensities(np.array([nu]), error[None], thickness, 2)[1, 0]
    assert integrate.trapezoid(curve, error) == pytest.approx(np.pi**2 * nu**2 * thickness, rel=0.01)


@pytest.mark.parametrize(("mosaic", "convergence"), [(3e-3, 0.0), (0.0, 1e-3), (2e-3, 1.5e-3)])
def test_the_spread_has_the_variance_of_its_parts(mosaic: float, convergence: float) -> None:
    spread = spread_quantiles(mosaic, convergence)
    assert spread.mean() == pytest.approx(0.0, abs=1e-3 * (mosaic + convergence))
    assert spread.std() == pytest.approx(np.hypot(mosaic, convergence / 2), rel=0.02)
    if mosaic == 0:
        assert np.abs(spread).max() < convergence


def test_an_average_over_few_orientations_becomes_that_over_all() -> None:
    """A third beam changes the two-beam curve; sixteen orientations of 0.3 degrees then give its average to 3 %."""
    rng = np.random.default_rng(0)
    coupling, depth = np.array([3e-4]), 80.0
    wide = spread_quantiles(5e-3, 0.0)
    few = rng.choice(wide, 16)

    def curve(error: np.ndarray) -> np.ndarray:
        two = two_beam_intensities(coupling, error[None], depth, 11)
        return two * (0.8 + 20 * error)

    truth = curve(wide).mean(axis=2)[-1, 0]
    closed = two_beam_intensities(coupling, few[None], depth, 11)
    got = smoothed(curve(few), closed, two_beam_intensities(coupling, wide[None], depth, 11).mean(axis=2))
    assert abs(curve(few).mean(axis=2)[-1, 0] / truth - 1) > 0.1
    assert got.mean(axis=2)[-1, 0] == pytest.approx(truth, rel=0.03)
    assert (got >= 0).all()
