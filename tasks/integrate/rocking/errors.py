"""How sure an intensity measured on a frame is: counting, the frame's own parameters, and what the model leaves.

The variance of an intensity is that of the counts, plus what the covariance of its frame's rotation gives,
plus two terms that are learned: an error of the scale and one of the place on the curve. They are variance components,
estimated from the squared residuals by Fisher scoring (Searle, Casella & McCulloch, Variance Components, 1992,
chapter 6), each square held to CLIP_SQUARE variances, so that outliers do not speak.
"""

import numpy as np

from tasks.events.coincidence import variance_factor
from tasks.integrate.rocking.model import RockingModel, RockingObservations, widths
from tasks.model.arrays import Floats

LEAST_VARIANCE = 0.02
"""Counts^2: a weight stays finite where nothing is expected. Of no account: at 0.2 the mean variance of the high-dose
series of tests/unit/integrate/test_sigmas.py falls from 0.82 to 0.81, at 1.0 to 0.78."""
CLIP_SQUARE = 9.0
"""Three deviations: a normal error is held to them once in 370 times. 4 and 16 change no figure of that series."""
CLIPPED_MEAN = 0.9950
"""Mean of min(z^2, CLIP_SQUARE) of a standard normal z: 1 - 2 (3 f(3) + Q(3)) + 18 Q(3), with f its density and Q its
upper tail. All squares are scaled to it. With 0.9733, the mean of z^2 of those within, squares came out 2 % too large,
and no mean variance of that series and two others moved by more than 0.001."""
PRIOR_SCALE, PRIOR_PLACE = 0.005, 0.01
"""Relative error, and error of the place in widths, before any residual. Chosen, not measured: half and four times as
much move the mean variance of that series by 0.003. Where few residuals tell, they are what remains."""
PRIOR_OBSERVATIONS = 4.0
"""Observations without any other error that the prior counts for. Chosen, not measured: 1 and 16 move the mean variance
of that series by 0.004; more drown the few strong reflections that show an error, fewer learn it from chance."""
COINCIDENCE_ERROR = 0.02
"""Relative error of an intensity that was corrected for electrons lost to others, at one electron within reach and
camera frame, growing with its square. Sums of spots came to 0.99, 0.97 and 0.94 of what arrived at 1, 2 and 3
(natrolite, 250 electrons, seed 1, random marks: `python -m tests.benchmarks.coincidence`), by other rules
a little more."""
MOST_FILL = 4.0
"""Up to which the variance of a corrected intensity follows its fill: beyond, it is set aside (`FILL_LIMIT` of
tasks.frames.counting is 3, of what was measured; this is of what is expected)."""
LEAST_FREE = 0.2
"""A residual's square is divided by its free share, and grows five times at most; of those less free none is asked.
Chosen, not measured: 0.1 and 0.4 change no figure of that series."""
PRIOR_GROUPS = 60
"""Reflections of one shell of the prior: their mean is known to 1 / sqrt(60) = 13 % (Wilson). 20 and 180 change no
correlation of that series, and its mean variance by 0.001."""
MOST_SCALE, MOST_PLACE = 0.5, 0.7
"""Bounds of the two errors. Chosen, not measured: half and twice as much change nothing in that series; beyond them an
intensity says nothing, and a fit that fails would call all residuals its error."""


def believable(
    merged: Floats, partial: Floats, observations: RockingObservations, *, prior_counts: float = 0.5
) -> Floats:
    """Return the intensities (groups,) to compute variances from: none counted does not mean none there.

    The mean of the posterior of a Poisson rate, with half a count more than was counted (Jeffreys, Proc. R. Soc. A186,
    453-461, 1946) and a prior of the mean intensity at that resolution.

    Parameters
    ----------
    merged
        (groups,).
    partial
        (n,) G p.
    prior_counts
        How many counts the prior weighs.
    """
    groups = len(merged)
    seen = np.bincount(observations.group, weights=partial, minlength=groups)
    number = np.bincount(observations.group, minlength=groups)
    length = np.bincount(observations.group, weights=observations.length, minlength=groups) / np.maximum(number, 1)
    counted = np.maximum(merged, 0.0) * seen
    prior = np.zeros(groups)
    for rows in np.array_split(np.argsort(length, kind="stable"), max(1, groups // PRIOR_GROUPS)):
        prior[rows] = max(float(counted[rows].sum()), 1.0) / max(float(seen[rows].sum()), 1e-30)
    return np.asarray((counted + prior_counts) / (seen + prior_counts / prior))


def counting_variance(observations: RockingObservations, expected: Floats) -> Floats:
    """Return the variance (n,) that the counts of background and signal give, and electrons lost to others."""
    signal = np.maximum(expected, 0.0)
    if observations.fill is not None and observations.spread is not None:
        fill = np.minimum(observations.fill * signal, MOST_FILL)
        error = COINCIDENCE_ERROR * fill**2 * signal
        signal = signal * variance_factor(fill, observations.spread) + error**2
    return np.asarray(observations.noise + signal + LEAST_VARIANCE)


def model_variance(model: RockingModel, observations: RockingObservations, expected: Floats, slope: Floats) -> Floats:
    """Return the variance (n,) of intensities: counting, scale error, and position error on the curve's flank.

    Parameters
    ----------
    expected
        (n,) G p I.
    slope
        (n,) change of ``expected`` when the excitation error moves by one width.
    """
    signal = np.maximum(expected, 0.0)
    extra = (model.error_scale * signal) ** 2 + (model.error_excitation * slope) ** 2
    return counting_variance(observations, expected) + extra


def frame_variance(model: RockingModel, observations: RockingObservations, slope: Floats) -> Floats:
    """Return the variance (n,) of the expected intensities that the errors of their frames' rotations give."""
    if model.rotation_covariance is None:
        return np.zeros(len(slope))
    lever = (slope / widths(model, observations.length))[:, None] * observations.lever
    covariance = model.rotation_covariance[observations.frame]
    return np.asarray(np.einsum("ni,nij,nj->n", lever, covariance, lever, optimize=True))


def with_errors(
    model: RockingModel,
    observations: RockingObservations,
    *,
    expected: Floats,
    slope: Floats,
    free: Floats,
    known: Floats,
) -> RockingModel:
    """Return the model with its error terms after one step of scoring on the residuals.

    Parameters
    ----------
    free
        (n,) the share of an observation's variance that its residual keeps: the rest went into its own expectation.
    known
        (n,) variance from counting and from the frames' parameters.
    """
    used = free > LEAST_FREE
    signal = np.maximum(expected[used], 0.0)
    terms = np.stack([signal**2, slope[used] ** 2], axis=1)
    present = np.array([model.error_scale, model.error_excitation]) ** 2
    variance = known[used] + terms @ present
    square = (observations.intensity - expected)[used] ** 2 / free[used]
    square = np.minimum(square, CLIP_SQUARE * variance) / CLIPPED_MEAN
    prior = np.array([PRIOR_SCALE, PRIOR_PLACE]) ** 2
    weighted = terms / variance[:, None] ** 2
    held = PRIOR_OBSERVATIONS * prior**-2
    normal = terms.T @ weighted + np.diag(held)
    right = weighted.T @ (square - known[used]) + held * prior
    found = _nonnegative(normal, right)
    found = np.clip(found, present / 4.0, np.maximum(present * 4.0, prior))
    scale, place = np.sqrt(np.minimum(found, [MOST_SCALE**2, MOST_PLACE**2]))
    return model._replace(error_scale=float(scale), error_excitation=float(place))


def _nonnegative(normal: Floats, right: Floats) -> Floats:
    """Solve two normal equations; a solution below zero is put to zero and the other solved alone."""
    found = np.linalg.solve(normal, right)
    for index in (0, 1):
        if found[index] < 0:
            found = np.where(np.arange(2) == index, 0.0, np.maximum(right / np.diag(normal), 0.0))
    return np.asarray(found, dtype=np.float64)
