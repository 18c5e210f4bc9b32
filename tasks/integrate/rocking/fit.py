"""Refinement of the rocking model against the intensities themselves: merging and Gauss-Newton steps in turn."""

import numpy as np

from tasks.integrate.rocking.decay import with_rate_step
from tasks.integrate.rocking.errors import believable, counting_variance, frame_variance, model_variance, with_errors
from tasks.integrate.rocking.frame_rotations import with_turned_frames
from tasks.integrate.rocking.frame_scales import moved_scales
from tasks.integrate.rocking.model import (
    RockingFit,
    RockingModel,
    RockingObservations,
    Shape,
    normalised_shape,
    place_of,
    response,
    seen_scale,
    slope_of,
)
from tasks.model.arrays import Floats

ROBUST_SQUARE = 16.0
"""Four deviations, which a normal error passes once in 16000 times. 9, 25 or no limit move the mean variance of the
high-dose series of tests/unit/integrate/test_sigmas.py by 0.004 at most."""
SHAPE_EDGES = np.array([0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0, 6.0])
"""In widths. Chosen, not measured: steps of a quarter where nearly all of a curve lies (99.7 % of a normal one within
3), wider ones where few counts are left."""
SHAPE_PRIOR = 0.1
"""Chosen, not measured: halved or doubled, no figure of that series changes. Looser, noise in the tails makes a shape;
tighter, the curve stays the normal one it started from."""
WIDTH_SPREAD = 0.2
"""Of a logarithm, about its present value: a step's length, not its end. Chosen, not measured: halved or doubled, no
figure of that series changes."""


def merged_intensities(
    observations: RockingObservations, partial: Floats, variance: Floats, groups: int
) -> tuple[Floats, Floats]:
    """Return I (groups,) and its information (groups,) from intensities that are ``partial`` (n,) times I."""
    information = np.bincount(observations.group, weights=partial**2 / variance, minlength=groups)
    total = np.bincount(observations.group, weights=partial * observations.intensity / variance, minlength=groups)
    return total / np.maximum(information, 1e-30), np.asarray(information, dtype=np.float64)


def evaluate(
    model: RockingModel, observations: RockingObservations, groups: int, start: Floats | None = None
) -> RockingFit:
    """Merge with the current model; the variances follow from the merged intensities, so this is iterated."""
    scale = seen_scale(model, observations)
    partial = response(model, observations) * scale
    slope = slope_of(model, observations) * scale
    turned = frame_variance(model, observations, slope)
    merged = np.zeros(groups) if start is None else start
    own = variance = observations.noise + np.maximum(observations.intensity, 0) + 1.0
    information = np.zeros(groups)
    for cycle in range(4):
        if cycle or start is not None:
            each = believable(merged, partial, observations)[observations.group]
            own = model_variance(model, observations, partial * each, slope * each)
            variance = own + turned * each**2
            # an observation beyond four deviations of the model is held to the pull of one at four
            pull = np.maximum(1.0, (observations.intensity - partial * each) ** 2 / variance / ROBUST_SQUARE)
            own, variance = own * pull, variance * pull
        merged, information = merged_intensities(observations, partial, variance, groups)
    each = merged[observations.group]
    return RockingFit(model, partial, partial * each, variance, merged, information, slope * each, own)


def refine_model(
    model: RockingModel, observations: RockingObservations, groups: int, *, cycles: int, orientations: bool
) -> RockingFit:
    """Refine scales, widths and (if asked) frame rotations against the intensities.

    Alternates merging with Gauss-Newton steps. Frame scales are restrained to what is expected and to their neighbours'
    (`frame_scales`), rotations to zero, by spreads that are learned: what they vary beyond their esds.
    """
    fit = evaluate(model, observations, groups)
    for cycle in range(cycles):
        model = _step(fit, observations, groups, rotations=orientations and cycle >= 2)
        model = _with_errors(model, fit, observations)
        fit = evaluate(model, observations, groups, fit.merged)
    return fit


def _step(fit: RockingFit, observations: RockingObservations, groups: int, *, rotations: bool) -> RockingModel:
    """Return the model after one step of its scales, of its rotations if asked, of its decay and of its widths."""
    scales = moved_scales(
        observations,
        log_scale=np.log(fit.model.scale),
        prior=fit.model.prior,
        partial=fit.partial,
        expected=fit.expected,
        weight=1.0 / fit.variance,
        groups=groups,
        spreads=fit.model.scale_spreads,
    )
    weight = _independence(fit, observations) / fit.own
    model = fit.model
    if rotations:
        residual = observations.intensity - fit.expected
        model = with_turned_frames(model, observations, residual, expected=fit.expected, slope=fit.slope, weight=weight)
    model = model._replace(
        scale=np.exp(scales.log_scale), scale_covariance=scales.covariance, scale_spreads=scales.spreads
    )
    if model.decay is not None:
        model = model._replace(decay=with_rate_step(model.decay, fit, observations, groups))
    return _widths_step(model, fit, observations, weight)


def _independence(fit: RockingFit, observations: RockingObservations) -> Floats:
    """Return (n,) 1 less the share that an observation has in its own expectation: alone it says nothing."""
    share = fit.partial**2 / fit.variance / np.maximum(fit.information[observations.group], 1e-30)
    return np.clip(1.0 - share, 0.0, 1.0)


def width_levers(model: RockingModel, observations: RockingObservations) -> Floats:
    """Return the relative changes (n, 2) of p when the logarithms of width and spread change; zero where p is."""
    base = response(model, observations)
    columns = []
    for name in ("width", "spread"):
        changed = response(model._replace(**{name: getattr(model, name) * 1.01}), observations)
        columns.append(np.where(base > 0, (changed - base) / np.maximum(base, 1e-30) / 0.01, 0.0))
    return np.stack(columns, axis=1)


def _widths_step(
    model: RockingModel, fit: RockingFit, observations: RockingObservations, weight: Floats
) -> RockingModel:
    jacobian = width_levers(model, observations) * fit.expected[:, None]
    residual = observations.intensity - fit.expected
    covariance = np.linalg.inv((jacobian * weight[:, None]).T @ jacobian + np.eye(2) * WIDTH_SPREAD**-2)
    step = np.clip(covariance @ (jacobian.T @ (weight * residual)), -0.15, 0.15)
    return model._replace(
        width=model.width * float(np.exp(step[0])),
        spread=model.spread * float(np.exp(step[1])),
        width_covariance=np.asarray(covariance, dtype=np.float64),
    )


def _with_errors(model: RockingModel, fit: RockingFit, observations: RockingObservations) -> RockingModel:
    """Return the model with the error terms that the residuals of a fit show."""
    frames = frame_variance(model, observations, fit.slope)
    free = _independence(fit, observations) - frames / fit.variance
    counting = counting_variance(observations, fit.expected)
    return with_errors(model, observations, expected=fit.expected, slope=fit.slope, free=free, known=counting + frames)


def learned_shape(fit: RockingFit, observations: RockingObservations) -> Shape:
    """Return the shape of the rocking curve that the intensities show, made even in s and falling from the middle.

    The present curve is multiplied by the ratio of the intensities to what it lets expect, bin by bin of |s| / width;
    a ratio is held to one as if it were known so to SHAPE_PRIOR.
    """
    model = fit.model
    which = np.digitize(place_of(model, observations), SHAPE_EDGES) - 1
    ok = (which < len(SHAPE_EDGES) - 1) & (fit.expected > 0)
    weight = fit.expected[ok] / fit.variance[ok]
    bins = len(SHAPE_EDGES) - 1
    above = np.bincount(which[ok], weights=weight * observations.intensity[ok], minlength=bins)
    below = np.bincount(which[ok], weights=weight * fit.expected[ok], minlength=bins)
    ratio = (np.maximum(above, 0.0) + SHAPE_PRIOR**-2) / (below + SHAPE_PRIOR**-2)
    middle = 0.5 * (SHAPE_EDGES[1:] + SHAPE_EDGES[:-1])
    x = model.shape.x
    density = model.shape.density * np.interp(np.abs(x), middle, ratio)
    half = len(x) // 2
    falling = np.minimum.accumulate(density[half:])
    return normalised_shape(x, np.concatenate([falling[:0:-1], falling]))
