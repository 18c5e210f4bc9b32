"""Rotations of frames from intensities on the flanks of rocking curves.

The positions of spots say little about a turn that moves reflections through the sphere; their intensities do. What
all frames have in common (the orientation, the axis) is a smooth function of the tilt, which many frames determine
together; each frame is off it by little, how little is learned.

Source of the idea: Palatinus et al., Acta Cryst. B75, 512-522 (2019).
"""

import numpy as np
from numba import njit

from tasks.integrate.rocking.model import RockingModel, RockingObservations, widths
from tasks.model.arrays import Floats, Integers

MOST_TURN = 2e-3
"""Of one step, radians (0.11 degrees): about the width of a curve by mosaic spread, beyond which its slope here says
nothing. Halved or doubled, no figure of the high-dose series of tests/unit/integrate/test_sigmas.py changes."""
LEAST_ROTATION, MOST_ROTATION = float(np.radians(0.0003)), float(np.radians(0.3))
"""Bounds of what is learned, radians. Steady frames need the lower one small: at 0.001 degrees the mean variance of
that series falls from 0.82 to 0.81, at 0.003 to 0.78, where the correlations fall, too. The upper one is chosen, not
measured: 0.1 and 1 degree change nothing."""
TREND_SPREAD = float(np.radians(0.05))
"""Of each coefficient of the parabola, radians: what positions of spots leave open. Chosen, not measured: halved or
doubled, no figure of that series changes."""


def with_turned_frames(
    model: RockingModel,
    observations: RockingObservations,
    residual: Floats,
    *,
    expected: Floats,
    slope: Floats,
    weight: Floats,
) -> RockingModel:
    """Return the model with the rotations of its frames after a step, with their covariance.

    Each frame is taken by itself; its scale moves along, so that the covariance knows what the two share.

    Parameters
    ----------
    residual, expected, slope, weight
        (n,) observed less expected intensity, expected one, its change per width, and inverse variance.
    """
    lever = (slope / widths(model, observations.length))[:, None] * observations.lever
    frames = len(model.scale)
    normal, gradient = _frame_sums(observations.frame, np.column_stack([expected, lever]), weight, residual, frames)
    normal[:, 0, 0] += min(model.scale_spreads.off, model.scale_spreads.next) ** -2
    # the scale of each frame eliminated
    across = normal[:, 1:, 0] / normal[:, 0, 0][:, None]
    own = normal[:, 1:, 1:] - across[:, :, None] * normal[:, 0, 1:][:, None, :]
    pull = gradient[:, 1:] - across * gradient[:, 0][:, None]
    shift, common = _trend_step(own, pull, np.zeros((frames, 3)) if model.trend is None else model.trend)
    trend = shift if model.trend is None else model.trend + shift
    spread = model.rotation_spread
    inverse = np.linalg.inv(own + np.eye(3) * spread**-2)
    away = model.rotation + shift - trend
    pull -= np.einsum("fij,fj->fi", own, shift) + away * spread**-2
    rotation = model.rotation + shift + np.clip(np.einsum("fij,fj->fi", inverse, pull), -MOST_TURN, MOST_TURN)
    present = np.unique(observations.frame)
    variance = np.diagonal(inverse[present], axis1=1, axis2=2)
    learned = _learned((rotation - trend)[present], variance, spread)
    return model._replace(
        rotation=rotation,
        trend=trend,
        rotation_covariance=np.asarray(inverse + common, dtype=np.float64),
        rotation_spread=learned,
    )


def _learned(away: Floats, variance: Floats, spread: float) -> float:
    """Return the spread that deviations (k, 3) with these variances under the present restraint speak for.

    The fixed point of MacKay, Neural Comput. 4, 415-447 (1992), section 4: the sum of their squares over the number of
    them that the data determine. One deviation in fifty may be any size.
    """
    determined = max(float((1.0 - variance / spread**2).sum()), 1e-3)
    found = np.sqrt(np.minimum(away**2, np.quantile(away**2, 0.98)).sum() / determined)
    return float(np.clip(np.clip(found, spread / 3.0, spread * 3.0), LEAST_ROTATION, MOST_ROTATION))


def _trend_step(own: Floats, pull: Floats, trend: Floats) -> tuple[Floats, Floats]:
    """Return by how much all frames turn together (frames, 3), with the covariance of each frame's (frames, 3, 3).

    The trend is a parabola over the series in each direction.
    """
    frames = len(own)
    place = np.linspace(-1.0, 1.0, frames)
    basis = np.stack([np.ones(frames), place, place**2 - 1.0 / 3.0], axis=1)
    known = np.linalg.lstsq(basis, trend, rcond=None)[0]
    normal = np.einsum("fa,fij,fb->aibj", basis, own, basis, optimize=True).reshape(9, 9)
    gradient = np.einsum("fa,fi->ai", basis, pull) - known * TREND_SPREAD**-2
    inverse = np.linalg.inv(normal + np.eye(9) * TREND_SPREAD**-2)
    shift = np.clip(basis @ (inverse @ gradient.ravel()).reshape(3, 3), -MOST_TURN, MOST_TURN)
    covariance = np.einsum("fa,aibj,fb->fij", basis, inverse.reshape(3, 3, 3, 3), basis, optimize=True)
    return shift, np.asarray(covariance, dtype=np.float64)


@njit(cache=True, nogil=True)
def _frame_sums(
    frame: Integers, jacobian: Floats, weight: Floats, residual: Floats, frames: int
) -> tuple[Floats, Floats]:  # pragma: no cover
    """Return each frame's normal matrix (frames, k, k) and gradient (frames, k)."""
    size = jacobian.shape[1]
    normal, gradient = np.zeros((frames, size, size)), np.zeros((frames, size))
    for i in range(len(frame)):
        for j in range(size):
            pull = weight[i] * jacobian[i, j]
            gradient[frame[i], j] += pull * residual[i]
            for k in range(size):
                normal[frame[i], j, k] += pull * jacobian[i, k]
    return normal, gradient
