"""How fast intensities fall off with resolution over a series, from reflections measured early and late.

The relative change of an intensity is -x |q|^2 for each unit of the rate, x the exposure. Merged intensities and the
scales of the frames are eliminated from its normal equations exactly, as those of the scales are (`frame_scales`): what
remains is what no intensity and no scale can take up. So the loss that all reflections of a frame share is not asked
for here: it is in the frame's scale, with the volume that was illuminated.

Sources: temperature factors that grow with the dose, Borek, Ginell, Cymborowski, Minor & Otwinowski, J. Synchrotron
Rad. 14, 24-33 (2007), and for electrons Hattne et al., Structure 26, 759-766 (2018). Variances of the rates are the
largest of that of the model and those of clusters of residuals (Liang & Zeger, Biometrika 73, 13-22, 1986): what
reflections and what frames have in common beyond the model is in them.
"""

from typing import NamedTuple

import numpy as np

from tasks.integrate.rocking.frame_scales import away_from_expected, eliminated, prior_precision
from tasks.integrate.rocking.model import Decay, RockingFit, RockingObservations
from tasks.model.arrays import Floats, Integers

MOST_STEP = 0.7
"""Of the exponent at the highest resolution in one step, a factor of two: the equations are linear in the rate, and
what they are made of is not. Chosen, not measured: it bounds a step, not its end."""


class RateEquations(NamedTuple):
    """Normal matrix (k, k) and gradient (k,) of rates.

    ``scores``, ``weights`` (n, k): what each observation gives to the gradient, and to the diagonal of the matrix.
    """

    information: Floats
    gradient: Floats
    scores: Floats
    weights: Floats


def rate_equations(fit: RockingFit, observations: RockingObservations, groups: int, exposure: Floats) -> RateEquations:
    """Return the equations of rates at the present fit.

    Parameters
    ----------
    exposure
        (frames, k): column by column the exposures that a rate is multiplied with.
    """
    frames = len(fit.model.scale)
    weight = 1.0 / fit.variance
    change = -exposure[observations.frame] * (observations.length**2 * fit.expected)[:, None]
    without = _without_merged(fit, observations, groups, weight, change)
    normal, _ = eliminated(observations, fit.partial, fit.expected, weight, frames=frames, groups=groups)
    present = np.unique(observations.frame)
    held = prior_precision(len(present), fit.model.scale_spreads)
    cross = cluster_sums((weight * fit.expected)[:, None] * without, observations.frame, frames)
    share = np.zeros((frames, change.shape[1]))
    share[present] = np.linalg.solve(normal[np.ix_(present, present)] + held, cross[present])
    left = change - fit.expected[:, None] * share[observations.frame]
    left = _without_merged(fit, observations, groups, weight, left)
    residual = observations.intensity - fit.expected
    scores = (weight * residual)[:, None] * left
    off = away_from_expected(np.log(fit.model.scale), fit.model.prior, present)[present]
    gradient = scores.sum(axis=0) + share[present].T @ (held @ off)
    return RateEquations((left * weight[:, None]).T @ change, gradient, scores, weight[:, None] * left**2)


def _without_merged(
    fit: RockingFit, observations: RockingObservations, groups: int, weight: Floats, change: Floats
) -> Floats:
    """Return changes of expected intensities (n, k) less what the merged intensities take up of them."""
    total = cluster_sums((weight * fit.partial)[:, None] * change, observations.group, groups)
    taken = total / np.maximum(fit.information, 1e-30)[:, None]
    return np.asarray(change - fit.partial[:, None] * taken[observations.group])


def rate_covariance(equations: RateEquations, observations: RockingObservations) -> Floats:
    """Return the covariance (k, k) of rates: that of the model, of reflections or of frames, of the largest trace."""
    inverse = np.asarray(np.linalg.pinv(equations.information, hermitian=True), dtype=np.float64)
    found: list[Floats] = [inverse]
    for member in (observations.group, observations.frame):
        sums = cluster_sums(equations.scores, member, int(member.max()) + 1)
        found.append(inverse @ (sums.T @ sums) @ inverse)
    return max(found, key=lambda each: float(np.trace(each)))


def cluster_sums(values: Floats, member: Integers, clusters: int) -> Floats:
    """Return the sums (clusters, k) of values (n, k)."""
    return np.stack([np.bincount(member, weights=column, minlength=clusters) for column in values.T], axis=1)


def with_rate_step(decay: Decay, fit: RockingFit, observations: RockingObservations, groups: int) -> Decay:
    """Return the decay after a Gauss-Newton step of its rate."""
    equations = rate_equations(fit, observations, groups, decay.exposure[:, None])
    step = float(equations.gradient[0] / max(equations.information[0, 0], 1e-30))
    most = MOST_STEP / float(observations.length.max()) ** 2
    variance = float(rate_covariance(equations, observations)[0, 0])
    return decay._replace(rate=decay.rate + float(np.clip(step, -most, most)), variance=variance)
