"""The equations of a fall-off's rate, against dense least squares with every intensity and every scale in it."""

import numpy as np
import pytest

from tasks.integrate.rocking.decay import rate_covariance, rate_equations
from tasks.integrate.rocking.frame_scales import prior_precision
from tasks.integrate.rocking.model import (
    Decay,
    RockingFit,
    RockingModel,
    RockingObservations,
    ScaleSpreads,
    gaussian_shape,
    seen_scale,
)

FRAMES, GROUPS = 12, 40


def problem(seed: int) -> tuple[RockingFit, RockingObservations, np.ndarray]:
    """Return a fit of noisy measurements of reflections, p = G, merged with weights; and the exposures."""
    rng = np.random.default_rng(seed)
    group, frame = np.repeat(np.arange(GROUPS), 4), rng.integers(0, FRAMES, 4 * GROUPS)
    none = np.zeros(len(group))
    length = rng.uniform(0.2, 1.2, GROUPS)[group]
    exposure = np.arange(FRAMES) / (FRAMES - 1)
    scale = np.exp(rng.normal(0, 0.1, FRAMES))
    intensity = rng.exponential(100.0, GROUPS)[group] * scale[frame] + rng.normal(0, 5.0, len(group))
    observations = RockingObservations(intensity, none, group, frame, length, none, none, np.zeros((len(group), 3)))
    model = RockingModel(0.01, 0.001, gaussian_shape(), scale, np.zeros((FRAMES, 3)))
    model = model._replace(scale_spreads=ScaleSpreads(0.3, 0.2))
    partial, variance = scale[frame], rng.uniform(10, 40, len(group))
    information = np.bincount(group, weights=partial**2 / variance)
    merged = np.bincount(group, weights=partial * intensity / variance) / information
    expected = partial * merged[group]
    fit = RockingFit(model, partial, expected, variance, merged, information, none, variance)
    return fit, observations, exposure


def test_the_rate_is_that_of_dense_least_squares() -> None:
    fit, observations, exposure = problem(3)
    columns = np.stack([exposure, exposure**2], axis=1)
    found = rate_equations(fit, observations, GROUPS, columns)
    rows = np.arange(len(observations.group))
    dense = np.zeros((len(rows), GROUPS + FRAMES + 2))
    dense[rows, observations.group] = fit.partial
    dense[rows, GROUPS + observations.frame] = fit.expected
    dense[:, -2:] = -columns[observations.frame] * (observations.length**2 * fit.expected)[:, None]
    weight = 1.0 / fit.variance
    normal = (dense * weight[:, None]).T @ dense
    gradient = dense.T @ (weight * (observations.intensity - fit.expected))
    held = prior_precision(FRAMES, fit.model.scale_spreads)
    off = np.log(fit.model.scale) - np.log(fit.model.scale).mean()
    scales = slice(GROUPS, GROUPS + FRAMES)
    normal[scales, scales] += held
    gradient[scales] -= held @ off
    step, covariance = np.linalg.solve(normal, gradient)[-2:], np.linalg.inv(normal)[-2:, -2:]
    assert np.linalg.solve(found.information, found.gradient) == pytest.approx(step, rel=1e-8)
    assert np.linalg.inv(found.information) == pytest.approx(covariance, rel=1e-8)


def test_the_variance_of_the_rate_grows_where_frames_err_together() -> None:
    fit, observations, exposure = problem(4)
    sound = rate_equations(fit, observations, GROUPS, exposure[:, None])
    shift = 8.0 * np.sign(np.sin(5.0 * np.arange(FRAMES)))[observations.frame] * np.sqrt(fit.variance)
    moved = observations._replace(intensity=observations.intensity + shift * (observations.length - 0.7))
    together = rate_equations(fit, moved, GROUPS, exposure[:, None])
    assert rate_covariance(together, moved)[0, 0] > 3 * rate_covariance(sound, observations)[0, 0]
    assert rate_covariance(together, moved)[0, 0] > 3 / together.information[0, 0]


def test_a_decay_multiplies_the_scale_by_what_is_left() -> None:
    fit, observations, exposure = problem(5)
    decayed = fit.model._replace(decay=Decay(exposure, 0.7))
    left = seen_scale(decayed, observations) / seen_scale(fit.model, observations)
    assert left == pytest.approx(np.exp(-0.7 * exposure[observations.frame] * observations.length**2), rel=1e-12)
