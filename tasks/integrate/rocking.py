"""The rocking model: how much of a reflection a frame sees, and its refinement against the intensities themselves.

An intensity measured at the excitation error s is G p(s; q) I, where I is the integral over s of the reflection's
rocking curve and p integrates to one. The width of p has a part that does not depend on q (the relrod of a thin
crystal, about 1/thickness) and one that grows with it (mosaic spread and convergence are angles). The exposure of a
rotated frame averages p over the excitation errors that it passes: a still is the same with no passage. The shape of
p is learned from the data: table values over s / width.

Source of the idea: post-refinement, Rossmann et al., J. Appl. Cryst. 12, 570-581 (1979); frame orientations from
intensities as in Palatinus et al., Acta Cryst. B75, 512-522 (2019). Departure: scales, widths, shape and orientations
are fitted together, against the current merged intensities, with Poisson variances.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

SHAPE_LIMIT = 8.0
SHAPE_POINTS = 321
ROBUST_SQUARE = 16.0
LEAST_VARIANCE = 0.02
SCALE_OFF_PRIOR, SCALE_OFF_ALONE = 0.25, 1.5
"""Standard deviations of a frame's log scale from what is expected of it: by its scan positions, and without them."""


class Shape(NamedTuple):
    """The rocking curve over x = s / width: ``density`` (k,) at ``x`` (k,), its integral from below, ``cumulative``."""

    x: Floats
    density: Floats
    cumulative: Floats


class Observations(NamedTuple):
    """Measured predictions (n,) as the rocking model sees them.

    ``group``: number of the unique reflection; ``frame``: position of the frame; ``length``: |q|; ``lever`` (n, 3):
    derivative of the excitation error by a rotation vector in the laboratory; ``noise``: variance without the signal.
    """

    intensity: Floats
    noise: Floats
    group: Integers
    frame: Integers
    length: Floats
    excitation: Floats
    travel: Floats
    lever: Floats

    def where(self, selected: Mask | Integers) -> "Observations":
        """Return some of the observations."""
        return Observations(*(cast("Any", column)[selected] for column in self))


class RockingModel(NamedTuple):
    """Widths (1/angstrom; radians), shape, frame scales (frames,) and rotations (frames, 3), relative model errors.

    ``prior`` (frames,): scales expected before any intensity is looked at; None = all equal.
    ``error_scale``: relative error of an intensity whatever its place on the curve; ``error_excitation``: error of the
    excitation error in units of the width.
    """

    width: float
    spread: float
    shape: Shape
    scale: Floats
    rotation: Floats
    prior: Floats | None = None
    error_scale: float = 0.05
    error_excitation: float = 0.1


def gaussian_shape() -> Shape:
    """Return the normal density."""
    x = np.linspace(-SHAPE_LIMIT, SHAPE_LIMIT, SHAPE_POINTS)
    return normalised_shape(x, np.exp(-0.5 * x**2))


def normalised_shape(x: Floats, density: Floats) -> Shape:
    """Return the shape with unit integral."""
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(x))])
    return Shape(x, density / cumulative[-1], cumulative / cumulative[-1])


def widths(model: RockingModel, length: Floats) -> Floats:
    """Return the width (n,) of the rocking curve at |q| (n,)."""
    return np.hypot(model.width, model.spread * length)


def response(model: RockingModel, observations: Observations, *, rotated: bool = True) -> Floats:
    """Return p (n,), in angstrom: the mean density of the rocking curve over the exposure."""
    width = widths(model, observations.length)
    excitation = observations.excitation
    if rotated:
        excitation = excitation + np.einsum("ij,ij->i", observations.lever, model.rotation[observations.frame])
    return mean_density(model.shape, excitation / width, observations.travel / width) / width


def mean_density(shape: Shape, centre: Floats, travel: Floats) -> Floats:
    """Return the mean of the density over [centre - travel / 2, centre + travel / 2], (n,); x is evenly spaced."""
    found: Floats = _mean_density(shape.x, shape.density, shape.cumulative, centre, travel)
    return found


@njit(cache=True, nogil=True)
def _between_points(position: float, values: Floats) -> float:  # pragma: no cover
    """Return the value at a position (in steps from the first point), the end values beyond the ends."""
    if position <= 0.0:
        return float(values[0])
    index = int(position)
    if index >= len(values) - 1:
        return float(values[-1])
    return float(values[index] + (position - index) * (values[index + 1] - values[index]))


@njit(cache=True, nogil=True)
def _mean_density(
    x: Floats, density: Floats, cumulative: Floats, centre: Floats, travel: Floats
) -> Floats:  # pragma: no cover
    per_unit = (len(x) - 1) / (x[-1] - x[0])
    result = np.zeros(len(centre))
    for i in range(len(centre)):
        half = max(abs(travel[i]), 1e-3) / 2
        if half >= 0.02:
            high = _between_points((centre[i] + half - x[0]) * per_unit, cumulative)
            low = _between_points((centre[i] - half - x[0]) * per_unit, cumulative)
            result[i] = (high - low) / (2 * half)
        elif x[0] <= centre[i] <= x[-1]:
            result[i] = _between_points((centre[i] - x[0]) * per_unit, density)
    return result


def merged_intensities(
    observations: Observations, partial: Floats, variance: Floats, groups: int
) -> tuple[Floats, Floats]:
    """Return I (groups,) and its information (groups,) from intensities that are ``partial`` (n,) times I."""
    information = np.bincount(observations.group, weights=partial**2 / variance, minlength=groups)
    total = np.bincount(observations.group, weights=partial * observations.intensity / variance, minlength=groups)
    return total / np.maximum(information, 1e-30), np.asarray(information, dtype=np.float64)


def model_variance(model: RockingModel, observations: Observations, expected: Floats, slope: Floats) -> Floats:
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
    return np.asarray(observations.noise + signal + extra + LEAST_VARIANCE)


class Fit(NamedTuple):
    """A model with what follows from it: p, its change per width, expected intensities and variances (n,), merged I."""

    model: RockingModel
    partial: Floats
    expected: Floats
    variance: Floats
    merged: Floats
    information: Floats


def evaluate(model: RockingModel, observations: Observations, groups: int, start: Floats | None = None) -> Fit:
    """Merge with the current model; the variances follow from the merged intensities, so this is iterated."""
    partial = response(model, observations) * model.scale[observations.frame]
    width = widths(model, observations.length)
    nudged = observations._replace(excitation=observations.excitation + 0.25 * width)
    other = observations._replace(excitation=observations.excitation - 0.25 * width)
    slope = (response(model, nudged) - response(model, other)) * 2.0 * model.scale[observations.frame]
    merged = np.zeros(groups) if start is None else start
    variance = observations.noise + np.maximum(observations.intensity, 0) + 1.0
    information = np.zeros(groups)
    for cycle in range(4):
        if cycle or start is not None:
            each = np.maximum(merged, 0.0)[observations.group]
            variance = model_variance(model, observations, partial * each, slope * each)
            # an observation beyond four deviations of the model is held to the pull of one at four
            pull = (observations.intensity - partial * each) ** 2 / variance
            variance = variance * np.maximum(1.0, pull / ROBUST_SQUARE)
        merged, information = merged_intensities(observations, partial, variance, groups)
    return Fit(model, partial, partial * merged[observations.group], variance, merged, information)


def refine_model(
    model: RockingModel, observations: Observations, groups: int, *, cycles: int, orientations: bool
) -> Fit:
    """Refine scales, widths and (if asked) frame rotations against the intensities.

    Alternates merging with Gauss-Newton steps. Frame scales are restrained to their neighbours' in the logarithm and
    rotations to zero, by spreads that are learned: what they vary beyond their esds.
    """
    fit = evaluate(model, observations, groups)
    spreads = Spreads(0.2, float(np.radians(0.03)))
    for cycle in range(cycles):
        rotations = orientations and cycle >= 2
        model, spreads = _step(fit, observations, rotations=rotations, spreads=spreads)
        model = _with_errors(model, fit, observations)
        fit = evaluate(model, observations, groups, fit.merged)
    return fit


class Spreads(NamedTuple):
    """Standard deviations of the frames' log scales about their neighbours' and of their rotations (radians)."""

    scale: float
    rotation: float


def _step(fit: Fit, observations: Observations, *, rotations: bool, spreads: Spreads) -> tuple[RockingModel, Spreads]:
    model = fit.model
    frames = len(model.scale)
    residual = observations.intensity - fit.expected
    weight = _independence(fit, observations) / fit.variance
    columns = [fit.expected]
    if rotations:
        for axis in range(3):
            moved = model.rotation.copy()
            moved[:, axis] += 2e-5
            changed = response(model._replace(rotation=moved), observations) * model.scale[observations.frame]
            columns.append((changed * fit.merged[observations.group] - fit.expected) / 2e-5)
    jacobian = np.stack(columns, axis=1)
    size = jacobian.shape[1]
    normal = np.zeros((frames, size, size))
    np.add.at(normal, observations.frame, weight[:, None, None] * jacobian[:, :, None] * jacobian[:, None, :])
    gradient = np.zeros((frames, size))
    np.add.at(gradient, observations.frame, (weight * residual)[:, None] * jacobian)
    log_scale = np.log(model.scale)
    expected = np.zeros(frames) if model.prior is None else np.log(model.prior)
    off = SCALE_OFF_ALONE if model.prior is None else SCALE_OFF_PRIOR
    smooth = expected + _smoothed(log_scale - expected, normal[:, 0, 0])
    normal[:, 0, 0] += spreads.scale**-2 + off**-2
    gradient[:, 0] -= spreads.scale**-2 * (log_scale - smooth) + off**-2 * (log_scale - expected)
    for axis in range(1, size):
        normal[:, axis, axis] += spreads.rotation**-2
        gradient[:, axis] -= model.rotation[:, axis - 1] * spreads.rotation**-2
    step = np.linalg.solve(normal, gradient[..., None])[..., 0]
    log_scale = log_scale + np.clip(step[:, 0], -0.7, 0.7)
    present = np.unique(observations.frame)
    inverse = np.asarray(np.linalg.inv(normal)[present], dtype=np.float64)
    variance = inverse[:, range(size), range(size)]
    spreads = spreads._replace(scale=_learned((log_scale - smooth)[present], variance[:, 0], 0.01, 0.5))
    log_scale = log_scale - np.median(log_scale[present])
    rotation = model.rotation
    if rotations:
        rotation = rotation + np.clip(step[:, 1:], -2e-3, 2e-3)
        turned = _learned(rotation[present], variance[:, 1:], np.radians(0.002), np.radians(0.3))
        spreads = spreads._replace(rotation=turned)
    model = model._replace(scale=np.exp(log_scale), rotation=rotation)
    return _widths_step(model, fit, observations, weight), spreads


def _learned(values: Floats, variance: Floats, least: float, most: float) -> float:
    """Return the spread of parameters by robust moments, their variances under the restraint added."""
    return float(np.clip(np.sqrt(np.median(values**2) / 0.455 + np.median(variance)), least, most))


def _independence(fit: Fit, observations: Observations) -> Floats:
    """Return (n,) 1 less the share that an observation has in its own expectation: alone it says nothing."""
    share = fit.partial**2 / fit.variance / np.maximum(fit.information[observations.group], 1e-30)
    return np.clip(1.0 - share, 0.0, 1.0)


def _smoothed(values: Floats, information: Floats) -> Floats:
    weight = np.maximum(np.minimum(information, 1e4), 1e-6)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.5) ** 2)
    above = np.convolve(np.pad(values * weight, 6, mode="reflect"), kernel, mode="valid")
    below = np.convolve(np.pad(weight, 6, mode="reflect"), kernel, mode="valid")
    return np.asarray(above / below)


def _widths_step(model: RockingModel, fit: Fit, observations: Observations, weight: Floats) -> RockingModel:
    residual = observations.intensity - fit.expected
    columns = []
    for name in ("width", "spread"):
        changed = model._replace(**{name: getattr(model, name) * 1.01})
        partial = response(changed, observations) * model.scale[observations.frame]
        base = response(model, observations) * model.scale[observations.frame]
        columns.append((partial - base) * fit.merged[observations.group] / 0.01)
    jacobian = np.stack(columns, axis=1)
    normal = (jacobian * weight[:, None]).T @ jacobian + np.diag([25.0, 25.0])
    step = np.clip(np.linalg.solve(normal, jacobian.T @ (weight * residual)), -0.15, 0.15)
    return model._replace(width=model.width * float(np.exp(step[0])), spread=model.spread * float(np.exp(step[1])))


def _with_errors(model: RockingModel, fit: Fit, observations: Observations) -> RockingModel:
    """Return the model with its relative errors from strong observations at the top and on the flank of the curve."""
    width = widths(model, observations.length)
    rotated = np.einsum("ij,ij->i", observations.lever, model.rotation[observations.frame])
    place = np.abs((observations.excitation + rotated) / width)
    counting = observations.noise + np.maximum(fit.expected, 0.0)
    free = _independence(fit, observations)
    excess = (observations.intensity - fit.expected) ** 2 / np.maximum(free, 0.05) - counting
    strong = (fit.expected > 30.0) & (free > 0.2)
    top = strong & (place < 0.4)
    flank = strong & (place > 0.7) & (place < 2.0)
    scale, excitation = model.error_scale, model.error_excitation
    if top.sum() > 30:
        scale = float(np.sqrt(np.clip(_trimmed(excess[top] / fit.expected[top] ** 2), 1e-4, 0.25)))
    if flank.sum() > 30:
        rest = excess[flank] / fit.expected[flank] ** 2 - scale**2
        excitation = float(np.sqrt(np.clip(_trimmed(rest / place[flank] ** 2), 4e-4, 0.5)))
    return model._replace(error_scale=scale, error_excitation=excitation)


def _trimmed(values: Floats) -> float:
    ordered = np.sort(values)
    return float(np.mean(ordered[: max(1, int(0.97 * len(ordered)))]))


def learned_shape(fit: Fit, observations: Observations) -> Shape:
    """Return the shape of the rocking curve that the intensities show, made even in s and falling from the middle.

    Each bin of |s| / width holds the ratio of the intensities to what a curve of height one would give; empty bins
    keep the present shape.
    """
    model = fit.model
    width = widths(model, observations.length)
    rotated = np.einsum("ij,ij->i", observations.lever, model.rotation[observations.frame])
    place = np.abs(observations.excitation + rotated) / width
    flat = model.scale[observations.frame] * fit.merged[observations.group] / width
    weight = 1.0 / fit.variance
    edges = np.array([0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0])
    which = np.digitize(place, edges) - 1
    ok = (which < len(edges) - 1) & (flat > 0)
    above = np.bincount(which[ok], weights=(weight * flat * observations.intensity)[ok], minlength=len(edges) - 1)
    below = np.bincount(which[ok], weights=(weight * flat**2)[ok], minlength=len(edges) - 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    present = np.interp(middle, model.shape.x, model.shape.density)
    count = np.bincount(which[ok], minlength=len(edges) - 1)
    value = np.where((below > 0) & (count > 20), above / np.maximum(below, 1e-30), present)
    value = np.minimum.accumulate(np.maximum(value, 0.0))
    x = model.shape.x
    density = np.interp(np.abs(x), np.concatenate([[0.0], middle, [6.0]]), np.concatenate([[value[0]], value, [0.0]]))
    return normalised_shape(x, density)
