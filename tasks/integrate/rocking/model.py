"""The rocking model: how much of a reflection a frame sees, and its refinement against the intensities themselves.

An intensity measured at the excitation error s is G p(s; q) I, where I is the integral over s of the reflection's
rocking curve and p integrates to one. The width of p has a part that does not depend on q (the relrod of a thin
crystal, about 1/thickness) and one that grows with it (mosaic spread and convergence are angles). The exposure of a
rotated frame averages p over the excitation errors that it passes: a still is the same with no passage. The shape of
p is learned from the data: table values over s / width.

Source of the idea: post-refinement, Rossmann et al., J. Appl. Cryst. 12, 570-581 (1979); frame orientations from
intensities as in Palatinus et al., Acta Cryst. B75, 512-522 (2019). Departure: scales, widths, shape and orientations
are fitted together, against the current merged intensities, with Poisson variances (`rocking_fit`).
"""

from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit

from tasks.model.arrays import Floats, Integers, Mask

SHAPE_LIMIT = 8.0
"""In widths: exp(-32) = 1e-14 of a normal curve's peak. 6 and 10 move the mean variance of the high-dose series of
tests/unit/integrate/test_sigmas.py by 0.001."""
SHAPE_POINTS = 321
"""Steps of 0.05 widths: linear interpolation is off by 0.05^2 / 8 = 0.03 % of a normal curve's peak."""


class Shape(NamedTuple):
    """The rocking curve over x = s / width: ``density`` (k,) at ``x`` (k,), its integral from below, ``cumulative``."""

    x: Floats
    density: Floats
    cumulative: Floats


class RockingObservations(NamedTuple):
    """Measured predictions (n,) as the rocking model sees them.

    ``group``: number of the unique reflection; ``frame``: position of the frame; ``length``: |q|; ``lever`` (n, 3):
    derivative of the excitation error by a rotation vector in the laboratory; ``noise``: variance without the signal.
    ``fill``, ``spread``: of `tasks.integrate.profiles.pixels.SpotLoss`; None where every electron is counted.
    """

    intensity: Floats
    noise: Floats
    group: Integers
    frame: Integers
    length: Floats
    excitation: Floats
    travel: Floats
    lever: Floats
    fill: Floats | None = None
    spread: Floats | None = None

    def where(self, selected: Mask | Integers) -> "RockingObservations":
        """Return some of the observations."""
        columns: Any = (None if column is None else cast("Any", column)[selected] for column in self)
        return RockingObservations(*columns)


class ScaleSpreads(NamedTuple):
    """Standard deviations of log scales from what is expected of them, and from one frame to the next."""

    off: float
    next: float


class Decay(NamedTuple):
    """Damage that shows in the fall-off with resolution: intensities are exp(-rate x |q|^2) of what they were.

    ``exposure`` (frames,): x, zero before the first exposure and one at the last frame; ``rate`` in angstrom^2 over the
    series; ``variance`` of the rate. That of the scale is in the frames' scales; ``answer`` (frames,): by how much log
    scales rise for each unit of the rate, None = not known yet.
    """

    exposure: Floats
    rate: float
    variance: float = 0.0
    answer: Floats | None = None


class RockingModel(NamedTuple):
    """Widths (1/angstrom; radians), shape, frame scales (frames,) and rotations (frames, 3), relative model errors.

    ``prior`` (frames,): scales expected before any intensity is looked at; None = all equal.
    ``error_scale``: relative error of an intensity whatever its place on the curve; ``error_excitation``: error of the
    excitation error in units of the width. ``scale_covariance`` (frames, frames) is that of the log scales,
    ``rotation_covariance`` (frames, 3, 3) that of each frame's rotation; None = not known yet. ``scale_spreads`` and
    ``rotation_spread`` (radians) restrain them, the rotations to their ``trend`` (frames, 3).
    ``width_covariance`` (2, 2): of the logarithms of width and spread. ``decay``: None = no damage is modelled.
    ``course`` (frames,): log scales may follow it by any factor, whatever their prior; None = there is none.
    """

    width: float
    spread: float
    shape: Shape
    scale: Floats
    rotation: Floats
    prior: Floats | None = None
    error_scale: float = 0.05
    error_excitation: float = 0.1
    scale_covariance: Floats | None = None
    rotation_covariance: Floats | None = None
    scale_spreads: ScaleSpreads = ScaleSpreads(0.25, 0.2)
    rotation_spread: float = float(np.radians(0.03))
    trend: Floats | None = None
    width_covariance: Floats | None = None
    decay: Decay | None = None
    course: Floats | None = None


class RockingFit(NamedTuple):
    """A model with what follows from it: p, its change per width, expected intensities and variances (n,), merged I.

    ``slope`` (n,): change of the expected intensity per width; ``own`` (n,): variance without the errors of the
    frames' parameters.
    """

    model: RockingModel
    partial: Floats
    expected: Floats
    variance: Floats
    merged: Floats
    information: Floats
    slope: Floats
    own: Floats


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


def seen_scale(model: RockingModel, observations: RockingObservations) -> Floats:
    """Return what p (n,) is multiplied by on its frame: the scale, and what damage left at this resolution."""
    scale: Floats = model.scale[observations.frame]
    if model.decay is None:
        return scale
    return scale * np.exp(-model.decay.rate * model.decay.exposure[observations.frame] * observations.length**2)


def response(model: RockingModel, observations: RockingObservations, *, rotated: bool = True) -> Floats:
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


def slope_of(model: RockingModel, observations: RockingObservations) -> Floats:
    """Return the change (n,) of p when the excitation error moves by one width."""
    step = 0.25 * widths(model, observations.length)
    above = response(model, observations._replace(excitation=observations.excitation + step))
    return (above - response(model, observations._replace(excitation=observations.excitation - step))) * 2.0


def place_of(model: RockingModel, observations: RockingObservations) -> Floats:
    """Return how far from the middle of the curve (n,) the frames were taken, in widths."""
    rotated = np.einsum("ij,ij->i", observations.lever, model.rotation[observations.frame])
    return np.abs(observations.excitation + rotated) / widths(model, observations.length)
