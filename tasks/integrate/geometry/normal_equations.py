"""Normal equations of a geometry refinement: shared parameters and a block for each frame."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.integrate.geometry.mapping import shear_direction
from tasks.integrate.geometry.state import State, after_step, difference_steps, frames_moved, predicted
from tasks.integrate.spots.spot_search import Spots
from tasks.model.arrays import Floats

ELLIPSE_SPREAD = 0.02
"""Expected size of an ellipse (long axis over the mean, less one): 0.5 to 4 % of long over short axis are common in
electron microscopes, that is up to 0.02 here. Holds it where the spots hardly tell it from the cell."""


class LeastSquaresStep(NamedTuple):
    """Steps and variances: of the shared parameters (s,) and of the frames' (frames, 5)."""

    shared: Floats
    per_frame: Floats
    variance: Floats
    shared_variance: Floats


def robust_scales(residual: Floats, weight: Floats) -> Floats:
    """Return robust standard deviations (3,) of the weighted residuals: 1.4826 times the median absolute ones."""
    scale = 1.4826 * np.median(np.abs(residual * weight[:, None]), axis=0)
    in_plane = max(float(np.mean(scale[:2])), 0.01)
    return np.array([in_plane, in_plane, max(float(scale[2]), 1e-5)])


def solve_step(
    state: State,
    spots: Spots,
    hkl: NDArray[np.int64],
    *,
    residual: Floats,
    weight: Floats,
    names: list[tuple[str, tuple[int, ...]]],
    position: NDArray[np.int64] | None,
    frames: NDArray[np.int64],
    spread: tuple[float, float],
) -> LeastSquaresStep:
    """Return the step of all parameters: normal equations with robust weights, the frames' blocks eliminated.

    The curvature is told by excitation errors alone. That of a spot moves its prediction too, outwards for one sign,
    and positions made the sphere 0.3 to 5.6 % flatter than it is, always flatter (natrolite, forsterite and urea,
    seeds 1 to 3 of tests/benchmarks/cell_scale.py).

    Parameters
    ----------
    residual, weight
        (n, 3).
    position
        (n,) places of the spots' frames in ``frames``; None leaves the frames where they are.
    spread
        Standard deviations of the frames' rotations (radians) and shifts (px).
    """
    reduced_residual = residual * weight
    robust = (1.0 + (reduced_residual**2).sum(axis=1)) ** -0.25
    weight = weight * robust[:, None]
    base = predicted(state, spots, hkl)
    steps = difference_steps(names)
    columns = []
    for index, step in enumerate(steps):
        move = np.zeros(len(steps))
        move[index] = step
        columns.append((predicted(after_step(state, names, move), spots, hkl) - base) / step * weight)
        if names[index][0] == "curvature":
            columns[-1][:, :2] = 0.0
    jacobian = np.stack(columns, axis=2)
    target = residual * weight
    held, offset_held = _restraints(state, names)
    flat = jacobian.reshape(-1, jacobian.shape[2])
    common = _damped(flat.T @ flat) + np.diag(held)
    gradient = flat.T @ target.ravel() - held * offset_held
    if position is None:
        inverse = np.linalg.inv(common)
        none = np.zeros((0, 5))
        return LeastSquaresStep(inverse @ gradient, none, none, np.diag(inverse))
    blocks = _frame_columns(state, spots, hkl, base, weight, frames)
    extra = np.array([1 / spread[1], 1 / spread[1], *[1 / spread[0]] * 3]) ** 2
    offset = state.geometry.beam_px[frames] - np.median(state.geometry.beam_px[frames], axis=0)
    shift = np.column_stack([offset, state.correction[frames]])
    own, mixed, pull = _by_frame(jacobian, blocks, target, position, len(frames))
    return _eliminated(common, _damped(own + np.diag(extra)), mixed, gradient, pull - extra * shift)


def _restraints(state: State, names: list[tuple[str, tuple[int, ...]]]) -> tuple[Floats, Floats]:
    """Return the weights (s,) that hold shared parameters and what these are off by: ellipses are small."""
    weight, off = np.zeros(len(names)), np.zeros(len(names))
    for number, (kind, group) in enumerate(names):
        if kind in ("ellipse", "shear"):
            weight[number] = ELLIPSE_SPREAD**-2
            unit = shear_direction(state.geometry.axis) if kind == "shear" else np.eye(2)[group[0]]
            off[number] = float(np.dot(state.geometry.ellipse, unit))
    return weight, off


def _damped(normal: Floats) -> Floats:
    """Return normal matrices (..., k, k) with a trifle on their diagonals, against unseen parameters."""
    diagonal = np.diagonal(normal, axis1=-2, axis2=-1)
    return np.asarray(normal + (1e-9 * diagonal + 1e-12)[..., None] * np.eye(normal.shape[-1]))


@njit(cache=True, nogil=True)
def _by_frame(
    jacobian: Floats, blocks: Floats, target: Floats, position: NDArray[np.int64], frames: int
) -> tuple[Floats, Floats, Floats]:  # pragma: no cover
    """Return each frame's normal matrix (frames, 5, 5), that with the shared parameters (frames, s, 5) and gradient.

    Parameters
    ----------
    jacobian, blocks, target
        (n, 3, s), (n, 3, 5) and (n, 3), weighted.
    """
    shared, own = jacobian.shape[2], blocks.shape[2]
    normal, mixed = np.zeros((frames, own, own)), np.zeros((frames, shared, own))
    gradient = np.zeros((frames, own))
    for i in range(len(blocks)):
        at = position[i]
        for row in range(3):
            for k in range(own):
                value = blocks[i, row, k]
                gradient[at, k] += value * target[i, row]
                for j in range(own):
                    normal[at, j, k] += value * blocks[i, row, j]
                for j in range(shared):
                    mixed[at, j, k] += value * jacobian[i, row, j]
    return normal, mixed, gradient


def _eliminated(common: Floats, own: Floats, mixed: Floats, gradient: Floats, pull: Floats) -> LeastSquaresStep:
    """Solve normal equations in which no two frames share a block, by the Schur complement of the frames' blocks.

    Parameters
    ----------
    common, own, mixed
        (s, s) of the shared parameters, (frames, 5, 5) of each frame's, (frames, s, 5) between them.
    gradient, pull
        (s,) and (frames, 5).
    """
    inner = np.linalg.inv(own)
    across = mixed @ inner
    inverse = np.linalg.inv(common - np.einsum("fij,fkj->ik", across, mixed))
    shared = inverse @ (gradient - np.einsum("fij,fj->i", across, pull))
    step = np.einsum("fij,fj->fi", inner, pull) - np.einsum("fij,i->fj", across, shared)
    variance = np.diagonal(inner, axis1=1, axis2=2) + np.einsum(
        "fij,ik,fkj->fj", across, inverse, across, optimize=True
    )
    return LeastSquaresStep(shared, step, variance, np.diag(inverse))


def _frame_columns(
    state: State, spots: Spots, hkl: NDArray[np.int64], base: Floats, weight: Floats, frames: NDArray[np.int64]
) -> Floats:
    """Return the derivatives (n, 3, 5) by the parameters of each spot's own frame."""
    columns = []
    for index, step in enumerate((1e-3, 1e-3, 1e-5, 1e-5, 1e-5)):
        move = np.zeros((len(frames), 5))
        move[:, index] = step
        columns.append((predicted(frames_moved(state, frames, move), spots, hkl) - base) / step * weight)
    return np.stack(columns, axis=2)
