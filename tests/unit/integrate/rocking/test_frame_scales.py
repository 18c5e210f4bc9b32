"""Scales of frames that few reflections link, against the truth they were simulated with."""

import numpy as np
import pytest

from tasks.integrate.rocking.frame_scales import moved_scales
from tasks.integrate.rocking.model import RockingObservations, ScaleSpreads

FRAMES = 80


def linked(seed: int, drift: float, jump: float = 0.0) -> tuple[RockingObservations, np.ndarray, np.ndarray]:
    """Return reflections measured on one frame or two, near each other or far apart, p = 1; and the log scales."""
    rng = np.random.default_rng(seed)
    scale = drift * np.linspace(-1, 1, FRAMES) ** 2 + jump * (np.arange(FRAMES) == 40)
    rows = []
    for group in range(600):
        intensity = rng.exponential(2000.0)
        first = int(rng.integers(0, FRAMES))
        far = int(rng.integers(0, FRAMES)) if rng.random() < 0.1 else first + 1
        rows += [
            (group, frame, rng.poisson(intensity * np.exp(scale[frame]))) for frame in {first, far} if frame < FRAMES
        ]
    group, frame, counts = (np.array(column) for column in zip(*rows, strict=True))
    none = np.zeros(len(group))
    observations = RockingObservations(
        counts.astype(float), none, group, frame, none, none, none, np.zeros((len(group), 3))
    )
    return observations, scale, counts


def solved(observations: RockingObservations, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, ScaleSpreads]:
    log_scale, spreads = np.zeros(FRAMES), ScaleSpreads(1.5, 0.2)
    covariance = np.zeros((FRAMES, FRAMES))
    weight = 1.0 / np.maximum(counts, 1.0)
    for _ in range(25):
        partial = np.exp(log_scale)[observations.frame]
        groups = int(observations.group.max()) + 1
        information = np.bincount(observations.group, weights=weight * partial**2, minlength=groups)
        total = np.bincount(observations.group, weights=weight * partial * counts, minlength=groups)
        merged = total / np.maximum(information, 1e-30)
        weight = 1.0 / np.maximum(partial * merged[observations.group], 1.0)
        found = moved_scales(
            observations,
            log_scale=log_scale,
            prior=None,
            partial=partial,
            expected=partial * merged[observations.group],
            weight=weight,
            groups=groups,
            spreads=spreads,
        )
        log_scale, covariance, spreads = found
    return log_scale, covariance, spreads


@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_a_slow_drift_is_followed_over_frames_that_few_reflections_link(drift: float) -> None:
    observations, truth, counts = linked(1, drift)
    log_scale, _, spreads = solved(observations, counts)
    off = log_scale - truth
    assert np.std(off) < 0.02
    if drift == 0.0:
        assert spreads.off < 0.05


def test_the_covariance_says_how_far_off_the_scales_are() -> None:
    chi = []
    for seed in range(12):
        observations, truth, counts = linked(seed, 0.3)
        log_scale, covariance, _ = solved(observations, counts)
        off = (log_scale - truth) - np.mean(log_scale - truth)
        values, vectors = np.linalg.eigh(covariance)
        slow = vectors[:, -5:]  # the five least certain combinations of scales
        chi += ((slow.T @ off) ** 2 / values[-5:]).tolist()
    assert 0.5 < np.mean(chi) < 2.0
