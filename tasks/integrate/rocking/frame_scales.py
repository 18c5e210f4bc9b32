"""Scales of frames from reflections that several frames measured, with the covariance of all scales together.

A crystal of low symmetry links frames that are far apart by few reflections: its scales may drift slowly, and no
frame's own equations show it. So the merged intensities are eliminated from the normal equations exactly (variable
projection: Golub & Pereyra, SIAM J. Numer. Anal. 10, 413-432, 1973), which couples the frames, and what the data leave
open is held by a prior: scales are near those expected, and near their neighbours'. How near is learned from the
scales and their covariance (expectation and maximisation: Dempster, Laird & Rubin, J. R. Stat. Soc. B39, 1-38, 1977).
"""

from typing import NamedTuple

import numpy as np

from tasks.integrate.rocking.model import RockingObservations, ScaleSpreads
from tasks.model.arrays import Floats, Integers

MOST_STEP = 0.7
"""Of a log scale in one step, a factor of two: the equations hold near the present scales only. Chosen, not measured:
halved or doubled, no figure of the high-dose series of tests/unit/integrate/test_sigmas.py changes."""
MIN_FRAMES = 5
"""Scales that tell their spreads. Chosen, not measured: four differences tell a spread to 1 / sqrt(8) = 35 %."""
LEAST_SPREAD, MOST_OFF, MOST_NEXT = 0.003, 1.5, 0.7
"""Bounds of the spreads of log scales. At a floor of 0.01 the mean variance of that series falls from 0.82 to 0.80, at
0.001 nothing changes. The others, factors of 4.5 and 2, are chosen, not measured: half and twice change nothing."""


KNOWN_LEARNINGS = 10
"""Of the spreads in a step of scales of known intensities. Few counts move them slowly, and spreads that are still wide
let a frame's scale follow its brightest spot: the intensity then is the one that was known. Drawn counts of 150
reflections on 60 frames of one scale, 8 electrons a spot (seeds 20 to 27): scales are off by 0.042 after 8 steps of one
learning each, by 0.017, 0.015, 0.017 with 10, 30, 100; of scales that scatter or drift all four do alike."""


class FrameScales(NamedTuple):
    """Log scales (frames,), their covariance (frames, frames) but for a common factor, and the spreads learned."""

    log_scale: Floats
    covariance: Floats
    spreads: ScaleSpreads


def moved_scales(
    observations: RockingObservations,
    *,
    log_scale: Floats,
    prior: Floats | None,
    partial: Floats,
    expected: Floats,
    weight: Floats,
    groups: int,
    spreads: ScaleSpreads,
    free: Floats | None = None,
) -> FrameScales:
    """Return the scales after a Gauss-Newton step on the residuals of merged intensities.

    Parameters
    ----------
    log_scale, prior
        (frames,), present scales and those expected (not their logarithms; None = all equal).
    partial, expected, weight
        (n,) p G, p G I and the inverse variances with which I was merged.
    free
        (frames, k): courses of the log scales that the prior does not hold; None = it holds all.
    """
    normal, gradient = eliminated(observations, partial, expected, weight, frames=len(log_scale), groups=groups)
    present = np.unique(observations.frame)
    return _stepped(normal, gradient, present, log_scale=log_scale, prior=prior, spreads=spreads, free=free)


def scales_of_known(
    observations: RockingObservations,
    *,
    log_scale: Floats,
    prior: Floats | None,
    expected: Floats,
    weight: Floats,
    spreads: ScaleSpreads,
) -> FrameScales:
    """Return the scales after a Gauss-Newton step on the residuals of intensities that are known but for one factor.

    Nothing is eliminated: each frame's electrons tell its scale, and no few links between frames let scales drift. The
    spreads are learned to their end before the step.

    Parameters
    ----------
    expected, weight
        (n,) p G I and the inverse variances of what was measured.
    """
    frame, frames = observations.frame, len(log_scale)
    own = np.asarray(np.bincount(frame, weights=weight * expected**2, minlength=frames), dtype=np.float64)
    residual = observations.intensity - expected
    gradient = np.asarray(np.bincount(frame, weights=weight * residual * expected, minlength=frames), dtype=np.float64)
    present, normal = np.unique(frame), np.asarray(np.diag(own), dtype=np.float64)
    for _ in range(KNOWN_LEARNINGS):
        found = _stepped(normal, gradient, present, log_scale=log_scale, prior=prior, spreads=spreads, free=None)
        spreads = found.spreads
    return found


def _stepped(
    normal: Floats,
    gradient: Floats,
    present: Integers,
    *,
    log_scale: Floats,
    prior: Floats | None,
    spreads: ScaleSpreads,
    free: Floats | None,
) -> FrameScales:
    """Return the scales after the step that normal equations (frames, frames) and their gradient (frames,) ask for."""
    frames = len(log_scale)
    off = away_from_expected(log_scale, prior, present)
    course = None if free is None else free[present]
    held = prior_precision(len(present), spreads, course)
    inverse = np.linalg.inv(normal[np.ix_(present, present)] + held)
    step = inverse @ (gradient[present] - held @ off[present])
    moved = log_scale.copy()
    moved[present] += np.clip(step, -MOST_STEP, MOST_STEP)
    centred = inverse - inverse.mean(axis=0) - inverse.mean(axis=1)[:, None] + inverse.mean()
    covariance = np.zeros((frames, frames))
    covariance[np.ix_(present, present)] = centred
    left = (off + moved - log_scale)[present]
    spreads = _learned(left - left.mean(), centred, spreads, course)
    return FrameScales(moved - np.median(moved[present]), covariance, spreads)


def away_from_expected(log_scale: Floats, prior: Floats | None, present: Integers) -> Floats:
    """Return by how much log scales (frames,) are off those expected, less the mean of the frames present."""
    off = log_scale - (0.0 if prior is None else np.log(prior))
    return np.asarray(off - off[present].mean())


def eliminated(
    observations: RockingObservations, partial: Floats, expected: Floats, weight: Floats, *, frames: int, groups: int
) -> tuple[Floats, Floats]:
    """Return the normal matrix (frames, frames) and the gradient (frames,) of log scales without merged intensities."""
    frame, group = observations.frame, observations.group
    information = np.bincount(group, weights=weight * partial**2, minlength=groups)
    cell = group * frames + frame
    total = np.bincount(cell, weights=weight * partial * expected, minlength=groups * frames)
    pull = total.reshape(groups, frames) / np.sqrt(np.maximum(information, 1e-30))[:, None]
    own = np.bincount(frame, weights=weight * expected**2, minlength=frames)
    residual = observations.intensity - expected
    gradient = np.bincount(frame, weights=weight * residual * expected, minlength=frames)
    return np.diag(own) - pull.T @ pull, np.asarray(gradient, dtype=np.float64)


def prior_precision(number: int, spreads: ScaleSpreads, free: Floats | None = None) -> Floats:
    """Return the precision matrix of scales that stay near what is expected and near their neighbours'.

    Parameters
    ----------
    free
        (number, k): courses of which nothing is expected, of any size; None = none.
    """
    identity = np.eye(number, dtype=np.float64)
    difference = np.asarray(np.diff(identity, axis=0), dtype=np.float64)
    held: Floats = identity * spreads.off**-2 + difference.T @ difference * spreads.next**-2
    if free is None:
        return held
    course = free - free.mean(axis=0)
    pull = held @ course
    return held - pull @ np.linalg.pinv(course.T @ pull, hermitian=True) @ pull.T


def _learned(off: Floats, covariance: Floats, spreads: ScaleSpreads, free: Floats | None) -> ScaleSpreads:
    """Return the spreads at which what the prior expects of squares is what scales and covariance show.

    The fixed point of the evidence (MacKay, Neural Comput. 4, 415-447, 1992) for two priors that hold the same scales.
    The roughness of a chain has the eigenvalues 2 - 2 cos(pi k / n); its first mode, a common factor, is left out.
    """
    if len(off) < MIN_FRAMES:
        return spreads
    roughness = 2.0 - 2.0 * np.cos(np.pi * np.arange(1, len(off)) / len(off))
    expected = 1.0 / (spreads.off**-2 + roughness * spreads.next**-2)
    far, near = float(expected.sum()), float((roughness * expected).sum())
    if free is not None:
        off, covariance, squares = _without_course(off, covariance, spreads, free)
        far, near = far - squares[0], near - squares[1]
    variance = np.diag(covariance)
    away = float((off**2 + variance).sum()) / far
    # one frame in a hundred may jump, by a beam that was blanked or an aperture that lost its crystal
    step = np.diff(off) ** 2
    step = np.minimum(step, np.quantile(step, 0.99))
    between = variance[1:] + variance[:-1] - 2 * np.diag(covariance, 1)
    following = float((step + np.maximum(between, 0.0)).sum()) / near
    return ScaleSpreads(
        float(np.clip(spreads.off * np.sqrt(away), LEAST_SPREAD, MOST_OFF)),
        float(np.clip(spreads.next * np.sqrt(following), LEAST_SPREAD, MOST_NEXT)),
    )


def _without_course(
    off: Floats, covariance: Floats, spreads: ScaleSpreads, free: Floats
) -> tuple[Floats, Floats, tuple[float, float]]:
    """Return log scales and covariance without their free courses, and what the prior expects less of either square."""
    course = free - free.mean(axis=0)
    pull = prior_precision(len(off), spreads) @ course
    known = np.linalg.pinv(course.T @ pull, hermitian=True)
    left = np.eye(len(off)) - course @ known @ pull.T
    steps = np.diff(course, axis=0)
    squares = float(np.sum((course @ known) * course)), float(np.sum((steps @ known) * steps))
    return left @ off, left @ covariance @ left.T, squares
