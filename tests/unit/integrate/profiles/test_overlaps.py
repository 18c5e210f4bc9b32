"""Spots that share pixels, and noise that is not Poisson's, on pictures whose truth is known."""

import numpy as np
import pytest

from tasks.integrate.geometry.prediction import Predictions
from tasks.integrate.profiles.overlaps import separated
from tasks.integrate.profiles.profile_fit import Measured, fit_patches
from tasks.integrate.spots.background import noise_factor

REACH = 5
BACKGROUND = 0.5


def predictions_at(px: np.ndarray, frame: np.ndarray) -> Predictions:
    none = np.zeros(len(px))
    return Predictions(np.zeros((len(px), 3), np.int32), frame, px, np.zeros((len(px), 3)), none, none)


def gaussian(px: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the share (n, m, m) of spots of 1.2 px width at ``px`` (n, 2) in patches about ``centre`` (n, 2)."""
    grid = np.arange(-REACH, REACH + 1)
    slow = centre[:, 0, None, None] + grid[None, :, None] - px[:, 0, None, None]
    fast = centre[:, 1, None, None] + grid[None, None, :] - px[:, 1, None, None]
    return np.exp(-0.5 * (slow**2 + fast**2) / 1.2**2) / (2 * np.pi * 1.2**2)


def taken_apart(
    alone: Measured,
    counts: np.ndarray,
    background: np.ndarray,
    *,
    expected: np.ndarray,
    px: np.ndarray,
    frame: np.ndarray,
) -> Measured:
    return separated(
        alone,
        counts,
        background,
        valid=np.ones(counts.shape, dtype=bool),
        expected=expected,
        centre=np.rint(px).astype(np.int64),
        predictions=predictions_at(px, frame),
        near=np.ones(len(px), dtype=bool),
    )


@pytest.mark.parametrize("apart", [2.5, 3.5, 5.0])
def test_a_weak_spot_beside_a_strong_one_is_measured_without_bias_and_with_an_honest_sigma(apart: float) -> None:
    rng = np.random.default_rng(1)
    pairs, truth = 400, np.array([800.0, 40.0])
    frame = np.repeat(np.arange(pairs), 2)
    angle = rng.uniform(0, 2 * np.pi, pairs)
    first = 20.0 + rng.uniform(-0.5, 0.5, (pairs, 2))
    px = np.stack([first, first + apart * np.stack([np.sin(angle), np.cos(angle)], 1)], axis=1).reshape(-1, 2)
    centre = np.rint(px).astype(np.int64)
    slow, fast = np.mgrid[:41, :41]
    pictures = []
    for one, two in px.reshape(pairs, 2, 2):
        shape = [np.exp(-0.5 * ((slow - p[0]) ** 2 + (fast - p[1]) ** 2) / 1.2**2) for p in (one, two)]
        mean = BACKGROUND + sum(t * s / (2 * np.pi * 1.2**2) for t, s in zip(truth, shape, strict=True))
        pictures.append(rng.poisson(mean))
    grid = np.arange(-REACH, REACH + 1)
    counts = np.stack(
        [pictures[f][np.ix_(c[0] + grid, c[1] + grid)] for f, c in zip(frame, centre, strict=True)]
    ).astype(np.float32)
    background = np.full_like(counts, BACKGROUND)
    valid = np.ones(counts.shape, dtype=bool)
    expected = gaussian(px, centre)
    alone = fit_patches(counts, background, valid, expected)
    together = taken_apart(alone, counts, background, expected=expected, px=px, frame=frame)
    weak = together.intensity[1::2]
    assert alone.intensity[1::2].mean() > 1.2 * truth[1] or apart == 5.0
    assert weak.mean() == pytest.approx(truth[1], abs=4 * weak.std() / np.sqrt(pairs) + 1.0)
    pull = (weak - truth[1]) / np.sqrt(together.noise[1::2] + truth[1])
    assert 0.7 < pull.var() < 1.3


def test_spots_far_apart_are_left_as_they_were() -> None:
    px = np.array([[10.0, 10.0], [30.0, 30.0]])
    centre = np.rint(px).astype(np.int64)
    expected = gaussian(px, centre)
    counts = (100 * expected + BACKGROUND).astype(np.float32)
    background, valid = np.full_like(counts, BACKGROUND), np.ones(counts.shape, dtype=bool)
    alone = fit_patches(counts, background, valid, expected)
    frame = np.zeros(2, dtype=np.int64)
    together = taken_apart(alone, counts, background, expected=expected, px=px, frame=frame)
    assert np.array_equal(together.intensity, alone.intensity)
    assert np.array_equal(together.noise, alone.noise)


@pytest.mark.parametrize("per_electron", [1, 3])
def test_the_noise_of_the_background_is_told_from_spots(per_electron: int) -> None:
    rng = np.random.default_rng(4)
    level = np.full((400, 400), 1.0, dtype=np.float32)
    image = per_electron * rng.poisson(level / per_electron).astype(np.float32)
    for slow, fast in rng.integers(10, 390, (500, 2)):
        image[slow - 1 : slow + 2, fast - 1 : fast + 2] += rng.poisson(20.0)
    found = noise_factor(image, np.ones(image.shape, dtype=bool), level, 5)
    assert found == pytest.approx(per_electron, rel=0.25)
