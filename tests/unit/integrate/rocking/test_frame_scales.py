"""Scales of frames that few reflections link, against the truth they were simulated with."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tasks.integrate.rocking.frame_scales import moved_scales, prior_precision
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


def solved(
    observations: RockingObservations, counts: np.ndarray, free: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, ScaleSpreads]:
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
            free=free,
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


def chain(seed: int, slope: float) -> tuple[RockingObservations, np.ndarray]:
    """Return reflections measured on two frames next to each other, and no others: a loss shows between neighbours."""
    rng = np.random.default_rng(seed)
    first = np.repeat(np.arange(FRAMES - 1), 10)
    frame = np.stack([first, first + 1], axis=1).ravel()
    group = np.repeat(np.arange(len(first)), 2)
    scale = slope * (np.arange(FRAMES) / (FRAMES - 1) - 0.5)
    counts = rng.poisson(rng.exponential(2000.0, len(first))[group] * np.exp(scale[frame]))
    none = np.zeros(len(group))
    columns = (counts.astype(float), none, group, frame, none, none, none, np.zeros((len(group), 3)))
    return RockingObservations(*columns), counts


def test_a_steady_loss_is_known_to_its_esd_where_the_prior_does_not_hold_it() -> None:
    """Told by neighbours alone, a loss of 0.5 is 0.1 to 0.24 with an esd of 0.05 under the prior that holds it."""
    course = np.arange(FRAMES) / (FRAMES - 1)
    lever = (course - course.mean()) / np.sum((course - course.mean()) ** 2)
    off: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(10):
        observations, counts = chain(seed, -0.5)
        for freed, found in off.items():
            log_scale, covariance, _ = solved(observations, counts, course[:, None] if freed else None)
            found.append(float(lever @ log_scale + 0.5) / float(np.sqrt(lever @ covariance @ lever)))
    assert 0.3 < np.mean(np.square(off[True])) < 2.0
    assert abs(np.mean(off[True])) < 1.0
    assert np.mean(off[False]) > 3.0


def test_a_free_course_costs_nothing_and_what_is_off_it_costs_as_much_as_at_its_best() -> None:
    spreads, course = ScaleSpreads(0.3, 0.05), np.arange(12.0) ** 2
    held, freed = prior_precision(12, spreads), prior_precision(12, spreads, course[:, None])
    off = np.random.default_rng(1).normal(0, 0.1, 12)
    moved = off + 0.7 * (course - course.mean())
    best = minimize_scalar(
        lambda by: (off - by * (course - course.mean())) @ held @ (off - by * (course - course.mean()))
    )
    assert off @ freed @ off == pytest.approx(best.fun, rel=1e-9)
    assert moved @ freed @ moved == pytest.approx(best.fun, rel=1e-6)
