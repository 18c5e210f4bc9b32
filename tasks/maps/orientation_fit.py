"""Orientation and scale of every map cell by a Poisson likelihood of the counts in the reflections' own pixels.

A cell's electrons of reflection h at tilt t are expected to be N (A K p(s + l . w) + b): N positions, A the cell's
scale, K from the intensity and the scale of the frame that the integration found, p the rocking curve at the
excitation error s turned by w, b the background. Gauss-Newton with the expected (Fisher) information from
w = 0. The curve of a cell is narrower than that of a crystal that bends: one factor for all cells is fitted with them,
and so are the intensities and the scales of the frames, by expectation and maximisation. Last comes the width of each
cell's own curve against that of all, as if scale and rotation, which stay as they are, moved with it.

Departure from textbook maximum likelihood (McCullagh & Nelder, Generalized Linear Models, 1989, chapter 2): a wide
normal prior keeps cells that say nothing about an axis finite. The covariance is the inverse of the information, raised
where counts scatter more than Poisson's, or that of gradients that scatter from frame to frame (Liang & Zeger,
Biometrika 73, 13-22, 1986), whichever is larger: a cell looks through the crystal, at each tilt another way.
"""

from typing import Literal, NamedTuple

import numpy as np

from tasks.model.arrays import Floats, Integers

Block = Literal["cells", "curve", "intensities", "frames", "widths"]
FIRST: tuple[Block, ...] = ("cells",) * 3
ROUND: tuple[Block, ...] = ("cells", "curve", "intensities", "cells", "frames")
LAST: tuple[Block, ...] = ("widths",) * 3
ROUNDS = 4
"""Blocks of parameters in the order in which they are stepped, one after another: intensities and scales that are
raised at once are raised twice, and the fit swings. Chosen, not measured: Gauss-Newton doubles its digits with each
step of a block, and the blocks say little about each other."""
MOST_STEP_DEG, MOST_STEP_SCALE, MOST_STEP_CURVE = 0.5, 0.7, 0.2
"""Of one step: a bound on its length, not on where it ends. Chosen, not measured: a turn of half a degree stays within
the rocking curve of most crystals, 0.7 is a factor of two, 0.2 a fifth of the width."""
PRIOR_DEG, PRIOR_SCALE = 5.0, 2.0
"""Standard deviations of a rotation and of a log scale before any count. Chosen, not measured: so wide that a cell with
a hundred electrons does not feel them."""
PRIOR_WIDTH = 1.0
"""Standard deviation of the logarithm of a cell's width before any count. Chosen, not measured: e times as wide or as
narrow as the others is one sigma, so that a cell with a hundred electrons hardly feels it."""
NARROWEST, WIDEST = 0.2, 1.2
"""Of the crystal's curve, that of a cell. It can hardly be wider; a fifth is a bend of five times the curve, beyond
which a lattice is not integrated as one crystal. Chosen, not measured."""
PRIOR_ELECTRONS = 100.0
"""With which a group's intensity is held to what the integration found: 10 %. Free intensities of reflections that few
tilts see take up what rotations explain. Chosen, not measured: the error that a bend makes in them is of this size."""
LEAST_EXPECTED = 1e-6
"""Electrons: a logarithm stays finite where neither background nor signal is expected."""


class SpotModel(NamedTuple):
    """What is expected of the used spots (m,) of one frame.

    ``excitation`` and ``width`` in 1/angstrom; ``lever`` (m, 3): derivative of the excitation error by a rotation
    vector at tilt 0; ``strength``: electrons that one position of scale 1 is expected to give where the curve, of unit
    integral over widths, is 1; ``background`` of one position; ``group`` of equivalents.
    """

    excitation: Floats
    width: Floats
    lever: Floats
    strength: Floats
    background: Floats
    group: Integers


class CellCounts(NamedTuple):
    """Counts of one frame: ``cells`` (c,) numbers, ``number`` (c,) of positions, ``counts`` (c, m) in the spots."""

    cells: Integers
    number: Floats
    counts: Floats


class Curve(NamedTuple):
    """The rocking curve over widths: ``x`` and ``density`` (k,), of unit integral, and its ``slope`` (k,)."""

    x: Floats
    density: Floats
    slope: Floats


class OrientationFit(NamedTuple):
    """Per cell (n,): ``rotation`` (n, 3) radians at tilt 0, ``log_scale``, ``covariance`` (n, 4, 4), scale first.

    ``log_width``: of a cell's curve over that of all cells, and ``width_sigma``; fitted when all else is.
    ``narrower``: width of a cell's curve over that of the crystal, with its sigma; ``intensity`` (groups,) and
    ``scale`` (frames,): factors on what the integration had. ``spread``: squared deviations over Poisson's, 1 where
    the model holds.
    """

    rotation: Floats
    log_scale: Floats
    covariance: Floats
    narrower: float
    narrower_sigma: float
    intensity: Floats
    scale: Floats
    spread: float
    log_width: Floats
    width_sigma: Floats


class _Sums(NamedTuple):
    """What one pass over the frames gathers; ``scatter``: products of the gradients of single frames.

    ``width`` (cells, 3): gradient by the logarithm of a cell's width, its information, and its scatter; ``across``
    (cells, 4): information that it shares with scale and rotation.
    """

    gradient: Floats
    information: Floats
    scatter: Floats
    curve: Floats
    group: Floats
    frame: Floats
    deviation: Floats
    width: Floats
    across: Floats


def curve_of(x: Floats, density: Floats) -> Curve:
    """Return a curve with its slope, as the mean over half a width: the table is learned in bins of a quarter."""
    area = float(np.trapezoid(density, x))
    height = np.asarray(density, dtype=np.float64) / area
    slope = (np.interp(x + 0.25, x, height) - np.interp(x - 0.25, x, height)) * 2.0
    return Curve(np.asarray(x, dtype=np.float64), height, slope)


def fit_orientations(models: list[SpotModel], counts: list[CellCounts], curve: Curve, cells: int) -> OrientationFit:
    """Return orientation and scale of every cell.

    Parameters
    ----------
    models, counts
        Frame by frame, of the same spots.
    cells
        How many there are; numbers in ``counts`` are below it.
    """
    groups = 1 + max((int(one.group.max(initial=-1)) for one in models), default=-1)
    fit = OrientationFit(
        np.zeros((cells, 3)),
        np.zeros(cells),
        np.zeros((cells, 4, 4)),
        1.0,
        0.0,
        np.ones(groups),
        np.ones(len(models)),
        1.0,
        np.zeros(cells),
        np.zeros(cells),
    )
    for block in (*FIRST, *ROUND * ROUNDS, *FIRST):
        fit = _stepped(fit, _sums(models, counts, curve, fit), block)
    sums = _sums(models, counts, curve, fit)
    spread = float(sums.deviation[0] / max(sums.deviation[1], LEAST_EXPECTED))
    sigma = fit.narrower * float(np.sqrt(max(spread, 1.0) / max(sums.curve[1], LEAST_EXPECTED)))
    fit = fit._replace(covariance=_covariance(sums, spread), spread=spread, narrower_sigma=sigma)
    for block in LAST:
        sums = _sums(models, counts, curve, fit)
        fit = _stepped(fit, sums, block)
    return fit._replace(width_sigma=_width_sigma(sums, spread))


def _covariance(sums: _Sums, spread: float) -> Floats:
    """Return the covariances (cells, 4, 4): of the counts, or of the frames' gradients, whichever is larger."""
    inverse = np.linalg.inv(sums.information + _prior())
    counted = inverse * max(spread, 1.0)
    scattered = inverse @ sums.scatter @ inverse
    traces = (np.trace(one[:, 1:, 1:], axis1=1, axis2=2) for one in (counted, scattered))
    larger = np.less(*traces)
    return np.where(larger[:, None, None], scattered, counted)


def _width_sigma(sums: _Sums, spread: float) -> Floats:
    """Return the sigma (cells,) of log widths, by the counts or by the frames' gradients, whichever is larger."""
    information = _width_information(sums)
    return np.sqrt(np.maximum(max(spread, 1.0) / information, sums.width[:, 2] / information**2))


def _width_information(sums: _Sums) -> Floats:
    """Return the information (cells,) of log widths that scale and rotation do not share."""
    shared = np.linalg.solve(sums.information + _prior(), sums.across[:, :, None])[:, :, 0]
    return np.asarray(sums.width[:, 1] + PRIOR_WIDTH**-2 - np.einsum("ci,ci->c", sums.across, shared))


def _prior() -> Floats:
    return np.diag([PRIOR_SCALE**-2.0, *[np.radians(PRIOR_DEG) ** -2.0] * 3])


def _stepped(fit: OrientationFit, sums: _Sums, block: Block) -> OrientationFit:
    """Return the fit after a step of one block of its parameters."""
    if block == "cells":
        return _turned(fit, sums)
    if block == "curve":
        step = float(np.clip(sums.curve[0] / max(sums.curve[1], LEAST_EXPECTED), -MOST_STEP_CURVE, MOST_STEP_CURVE))
        return fit._replace(narrower=float(np.clip(fit.narrower * np.exp(step), NARROWEST, WIDEST)))
    if block == "widths":
        return _widened(fit, sums)
    if block == "intensities":
        return fit._replace(intensity=_held(fit.intensity, sums.group))
    return fit._replace(scale=_held(fit.scale, sums.frame))


def _turned(fit: OrientationFit, sums: _Sums) -> OrientationFit:
    present = np.concatenate([fit.log_scale[:, None], fit.rotation], axis=1)
    gradient = sums.gradient - present @ _prior()
    step = np.linalg.solve(sums.information + _prior(), gradient[:, :, None])[:, :, 0]
    length = np.linalg.norm(step[:, 1:], axis=1, keepdims=True)
    turn = step[:, 1:] * np.minimum(1.0, np.radians(MOST_STEP_DEG) / np.maximum(length, 1e-12))
    scale = np.clip(step[:, 0], -MOST_STEP_SCALE, MOST_STEP_SCALE)
    return fit._replace(rotation=fit.rotation + turn, log_scale=fit.log_scale + scale)


def _widened(fit: OrientationFit, sums: _Sums) -> OrientationFit:
    """Return the fit after a step of the cells' widths, as if scale and rotation, which stay, moved along."""
    present = np.concatenate([fit.log_scale[:, None], fit.rotation], axis=1)
    others = np.linalg.solve(sums.information + _prior(), (sums.gradient - present @ _prior())[:, :, None])[:, :, 0]
    gradient = sums.width[:, 0] - fit.log_width * PRIOR_WIDTH**-2 - np.einsum("ci,ci->c", sums.across, others)
    step = np.clip(gradient / _width_information(sums), -MOST_STEP_CURVE, MOST_STEP_CURVE)
    return fit._replace(log_width=fit.log_width + step)


def _held(intensity: Floats, sums: Floats) -> Floats:
    """Return the factors (groups,) of the largest posterior, with a gamma prior about 1 (Gelman et al., 2013, 2.6)."""
    at_one = sums[1] / intensity
    return np.asarray((sums[0] + PRIOR_ELECTRONS) / (at_one + PRIOR_ELECTRONS))


def _sums(models: list[SpotModel], counts: list[CellCounts], curve: Curve, fit: OrientationFit) -> _Sums:
    n = len(fit.log_scale)
    sums = _Sums(
        np.zeros((n, 4)), np.zeros((n, 4, 4)), np.zeros((n, 4, 4)), np.zeros(2), np.zeros((2, len(fit.intensity))),
        np.zeros((2, len(fit.scale))), np.zeros(2), np.zeros((n, 3)), np.zeros((n, 4)),
    )  # fmt: skip
    for frame, (model, seen) in enumerate(zip(models, counts, strict=True)):
        if len(seen.cells) and len(model.width):
            _add_frame(sums, frame, model, seen, curve=curve, fit=fit)
    return sums


def _add_frame(
    sums: _Sums, frame: int, model: SpotModel, seen: CellCounts, *, curve: Curve, fit: OrientationFit
) -> None:
    """Add the gradients and the Fisher information of one frame's counts."""
    own = np.exp(fit.log_width[seen.cells])[:, None]
    width = model.width * fit.narrower * own
    place = (model.excitation + fit.rotation[seen.cells] @ model.lever.T) / width
    height = model.strength * fit.intensity[model.group] * fit.scale[frame] / fit.narrower
    amount = seen.number[:, None] * np.exp(fit.log_scale[seen.cells])[:, None] * height / own
    signal = amount * np.interp(place, curve.x, curve.density)
    slope = amount * np.interp(place, curve.x, curve.slope)
    expected = np.maximum(signal + seen.number[:, None] * model.background, LEAST_EXPECTED)
    residual = seen.counts / expected - 1.0
    change, lever = slope / width, model.lever
    gradient = np.concatenate([(residual * signal).sum(axis=1, keepdims=True), (residual * change) @ lever], axis=1)
    sums.gradient[seen.cells] += gradient
    sums.scatter[seen.cells] += gradient[:, :, None] * gradient[:, None, :]
    products = (lever[:, :, None] * lever[:, None, :]).reshape(-1, 9)
    information = np.zeros((len(seen.cells), 4, 4))
    information[:, 0, 0] = (signal**2 / expected).sum(axis=1)
    information[:, 0, 1:] = information[:, 1:, 0] = (signal * change / expected) @ lever
    information[:, 1:, 1:] = ((change**2 / expected) @ products).reshape(-1, 3, 3)
    sums.information[seen.cells] += information
    wider = -signal - place * slope
    sums.curve[:] += (residual * wider).sum(), (wider**2 / expected).sum()
    pull, weighted = (residual * wider).sum(axis=1), wider / expected
    sums.width[seen.cells] += np.stack([pull, (weighted * wider).sum(axis=1), pull**2], axis=1)
    sums.across[seen.cells, 0] += (weighted * signal).sum(axis=1)
    sums.across[seen.cells, 1:] += (weighted * change) @ lever
    of_signal = signal / expected * seen.counts  # each count is the reflection's by this chance
    groups = len(fit.intensity)
    for row, part in enumerate((of_signal, signal)):
        sums.group[row] += np.bincount(model.group, weights=part.sum(axis=0), minlength=groups)
    sums.frame[:, frame] = of_signal.sum(), signal.sum()
    sums.deviation[:] += ((seen.counts - expected) ** 2).sum(), expected.sum()
