"""Least squares on spot positions and excitation errors: cell, orientation, axis, beam, per-frame corrections.

A robust Gauss-Newton iteration (weights of the soft L1 loss; Triggs et al., Vision Algorithms, LNCS 1883, 298-372,
2000). The per-frame parameters are restrained to zero; the width of the restraint is learned from them (their variance
less what their esds explain), so that a good goniometer is left alone and a bad one is followed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.geometry.mapping import Crystal, Geometry
from tasks.integrate.geometry.normal_equations import LeastSquaresStep, robust_scales, solve_step
from tasks.integrate.geometry.state import (
    Freedom,
    State,
    after_step,
    frames_moved,
    residuals,
    shared_names,
    start_state,
)
from tasks.integrate.spots.spot_search import Spots
from tasks.model import NotIndexedError
from tasks.model.arrays import Floats

CYCLES = 12
"""Most cycles, should the steps not settle: `_settled` may end the refinement before. Chosen, not measured: fewer leave
far starts unsettled, more only cost time."""
LEAST_CYCLES = 5
"""Cycles before the steps are judged: frames move from the third on, and the spreads learned from them hold them one
cycle later. Chosen, not measured: fewer may stop on restraints that are still those of the start."""
SETTLED_ESDS = 0.03
"""Step over esd that no longer matters: 0.03 esds left over add 0.05 % to an error (sqrt(1 + 0.03^2))."""
LEAST_ROTATION_RAD = np.radians(0.002)
"""Least spread learned of the frames' rotations: 0.002 degrees move a point at 1 angstrom by 3.5e-5 1/angstrom, a
twentieth of the relrod of a crystal of 150 nm. At zero the restraint would pin the frames for good."""
LEAST_SHIFT_PX = 0.02
"""Least spread learned of the frames' shifts: what 25 spots of a frame with 0.1 px of error each can tell. At zero the
restraint would pin the frames for good."""


class Refined(NamedTuple):
    """A refined geometry and crystal with its figures.

    ``cell`` (6,), ``cell_esd`` (6,), ``rmsd_px`` of positions, ``rms_excitation`` in 1/angstrom,
    ``rotation_spread_deg`` of the frames' corrections. ``distance_esd`` is that of the camera length or, where the
    curvature was free, of the factor of that, relative; zero where neither moved. No esd of the cell holds the error of
    a camera length that did not move. ``turn_esd`` (3,): of the rotation vector of the crystal, radians.
    ``ellipse_esd``: the larger of its two parts', zero where it did not move.
    """

    geometry: Geometry
    crystal: Crystal
    cell: Floats
    cell_esd: Floats
    rmsd_px: float
    rms_excitation: float
    rotation_spread_deg: float
    shift_spread_px: float
    distance_esd: float = 0.0
    turn_esd: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ellipse_esd: float = 0.0


def refine_geometry(
    geometry: Geometry, crystal: Crystal, spots: Spots, hkl: NDArray[np.int64], *, freedom: Freedom
) -> Refined:
    """Refine against indexed spots.

    Parameters
    ----------
    crystal
        In the conventional setting of ``freedom.system``.
    spots, hkl
        (n,) indexed spots and their indices (n, 3).
    """
    state = start_state(geometry, crystal, freedom.system)
    names = shared_names(freedom)
    frames = np.unique(spots.frame)
    position = np.searchsorted(frames, spots.frame)
    spread_rotation, spread_shift = np.radians(0.1), 0.5
    base_weight = 1.0 / np.sqrt(0.15 + 2.0 / np.maximum(spots.counts, 1.0))
    solution = LeastSquaresStep(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    for cycle in range(CYCLES):
        move_frames = freedom.frames and cycle >= 2
        residual = residuals(state, spots, hkl)
        scale = robust_scales(residual, base_weight)
        solution = solve_step(
            state,
            spots,
            hkl,
            residual=residual,
            weight=base_weight[:, None] / scale,
            names=names,
            position=position if move_frames else None,
            frames=frames,
            spread=(spread_rotation, spread_shift),
        )
        state = after_step(state, names, solution.shared)
        _check(state)
        if move_frames:
            state = frames_moved(state, frames, solution.per_frame)
            spread_rotation = _learned(
                state.correction[frames], solution.variance[:, 2:], LEAST_ROTATION_RAD, np.radians(1.0)
            )
            offset = state.geometry.beam_px[frames] - np.median(state.geometry.beam_px[frames], axis=0)
            spread_shift = _learned(offset, solution.variance[:, :2], LEAST_SHIFT_PX, 3.0)
        if cycle >= LEAST_CYCLES and _settled(solution):
            break
    _check(state)
    return _figures(state, spots, hkl, names, solution, spread_rotation, spread_shift)


def _check(state: State) -> None:
    """Refuse a state that ran away: the spots were not those of this lattice.

    Raises
    ------
    NotIndexedError
        If a cell parameter is no number or absurd, or the angles of the cell enclose no volume.
    """
    low, high = np.array([0.5] * 3 + [10.0] * 3), np.array([2000.0] * 3 + [170.0] * 3)
    sound = np.isfinite(state.cell).all() and (state.cell > low).all() and (state.cell < high).all()
    moved = state.geometry.beam_px, state.correction
    if not sound or not np.isfinite(state.crystal().basis).all() or not all(np.isfinite(part).all() for part in moved):
        raise NotIndexedError("the refinement of the geometry ran away: the lattice found is not the spots' own")


def _settled(solution: LeastSquaresStep) -> bool:
    """Tell whether the last step is small against the esds, of what is shared and of nearly all frames."""
    shared = np.abs(solution.shared) / np.sqrt(solution.shared_variance)
    if not len(solution.per_frame):
        return bool(shared.max() < SETTLED_ESDS)
    own = np.abs(solution.per_frame) / np.sqrt(solution.variance)
    return bool(shared.max() < SETTLED_ESDS and np.quantile(own, 0.9) < SETTLED_ESDS)


def _learned(values: Floats, variance: Floats, least: float, most: float) -> float:
    """Return the spread of parameters beyond their esds, by robust moments."""
    excess = np.median(values**2) / 0.455 - np.median(variance)
    return float(np.clip(np.sqrt(max(excess, 0.0)), least, most))


def _figures(
    state: State,
    spots: Spots,
    hkl: NDArray[np.int64],
    names: list[tuple[str, tuple[int, ...]]],
    solution: LeastSquaresStep,
    spread_rotation: float,
    spread_shift: float,
) -> Refined:
    residual = residuals(state, spots, hkl)
    distance = np.hypot(residual[:, 0], residual[:, 1])
    inside = distance <= max(4 * float(np.median(distance)), 0.5)
    esd, distance_esd, ellipse_esd = np.zeros(6), 0.0, 0.0
    for (kind, group), variance in zip(names, solution.shared_variance, strict=True):
        if kind == "cell":
            esd[list(group)] = np.sqrt(variance)
        elif kind in ("distance", "curvature"):
            distance_esd = float(np.sqrt(variance))
        elif kind == "ellipse":
            ellipse_esd = max(ellipse_esd, float(np.sqrt(variance)))
    return Refined(
        geometry=state.geometry,
        crystal=state.crystal(),
        cell=state.cell,
        cell_esd=esd,
        rmsd_px=float(np.sqrt(np.mean(distance[inside] ** 2))),
        rms_excitation=float(1.4826 * np.median(np.abs(residual[:, 2]))),
        rotation_spread_deg=float(np.degrees(spread_rotation)),
        shift_spread_px=spread_shift,
        distance_esd=distance_esd,
        turn_esd=_turn_esd(names, solution),
        ellipse_esd=ellipse_esd,
    )


def _turn_esd(names: list[tuple[str, tuple[int, ...]]], solution: LeastSquaresStep) -> tuple[float, float, float]:
    rotation = [kind == "rotation" for kind, _ in names]
    first, second, third = np.sqrt(solution.shared_variance[rotation]).tolist()
    return first, second, third
