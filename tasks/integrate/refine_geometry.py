"""Least squares on spot positions and excitation errors: cell, orientation, axis, beam, per-frame corrections.

A robust Gauss-Newton iteration (weights of the soft L1 loss; Triggs et al., Vision Algorithms, LNCS 1883, 298-372,
2000). The per-frame parameters are restrained to zero; the width of the restraint is learned from them (their variance
less what their esds explain), so that a good goniometer is left alone and a bad one is followed.
"""

from typing import Literal, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.integrate.geometry import Crystal, Geometry, detector_px, excitation_error, settings, shear_direction
from tasks.integrate.spots import Spots
from tasks.model import NotIndexedError

Floats = NDArray[np.float64]
CrystalSystem = Literal["triclinic", "monoclinic", "orthorhombic", "tetragonal", "hexagonal", "cubic"]

FREE_CELL: dict[str, tuple[tuple[int, ...], ...]] = {
    "triclinic": ((0,), (1,), (2,), (3,), (4,), (5,)),
    "monoclinic": ((0,), (1,), (2,), (4,)),
    "orthorhombic": ((0,), (1,), (2,)),
    "tetragonal": ((0, 1), (2,)),
    "hexagonal": ((0, 1), (2,)),
    "cubic": ((0, 1, 2),),
}
CYCLES = 12
LEAST_CYCLES = 5
SETTLED_ESDS = 0.03
LEAST_ROTATION_RAD = np.radians(0.002)
LEAST_SHIFT_PX = 0.02
ELLIPSE_SPREAD = 0.02


class Refined(NamedTuple):
    """A refined geometry and crystal with its figures.

    ``cell`` (6,), ``cell_esd`` (6,), ``rmsd_px`` of positions, ``rms_excitation`` in 1/angstrom, ``used`` spots after
    robust weighting, ``rotation_spread_deg`` of the frames' corrections.
    """

    geometry: Geometry
    crystal: Crystal
    cell: Floats
    cell_esd: Floats
    rmsd_px: float
    rms_excitation: float
    rotation_spread_deg: float
    shift_spread_px: float


class Freedom(NamedTuple):
    """What may move: the crystal system's cell, the axis, the ellipse, the camera length, the frames.

    ``shear``: of the ellipse only the part that no strain of the cell looks like.
    """

    system: CrystalSystem = "triclinic"
    cell: bool = True
    axis: bool = True
    ellipse: bool = False
    distance: bool = False
    frames: bool = True
    shear: bool = False


def cell_basis(cell: Floats) -> Floats:
    """Return the matrix (3, 3) with columns a*, b*, c* of a cell in gemmi's orientation."""
    return np.array(gemmi.UnitCell(*cell).frac.mat.tolist()).T


def cell_of_basis(basis: Floats) -> Floats:
    """Return the six parameters of the cell with these reciprocal axes (columns)."""
    rows = np.linalg.inv(basis)
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / lengths[:, None]
    cosines = np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1, 1)
    return np.concatenate([lengths, np.degrees(np.arccos(cosines))])


def constrained_cell(cell: Floats, system: CrystalSystem) -> Floats:
    """Return the cell (6,) with the constraints of a crystal system imposed by averaging."""
    result = np.array([0.0, 0.0, 0.0, 90.0, 90.0, 120.0 if system == "hexagonal" else 90.0])
    for group in FREE_CELL[system]:
        result[list(group)] = cell[list(group)].mean()
    return result


class _State(NamedTuple):
    geometry: Geometry
    orientation: Floats
    cell: Floats
    correction: Floats

    def crystal(self) -> Crystal:
        return Crystal(self.orientation @ cell_basis(self.cell), self.correction)


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
    state = _start(geometry, crystal, freedom.system)
    names = _global_names(freedom)
    frames = np.unique(spots.frame)
    position = np.searchsorted(frames, spots.frame)
    spread_rotation, spread_shift = np.radians(0.1), 0.5
    base_weight = 1.0 / np.sqrt(0.15 + 2.0 / np.maximum(spots.counts, 1.0))
    solution = _Solution(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    for cycle in range(CYCLES):
        move_frames = freedom.frames and cycle >= 2
        residual = _residual(state, spots, hkl)
        scale = _scales(residual, base_weight)
        solution = _solve(
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
        state = _moved(state, names, solution.shared)
        _check(state)
        if move_frames:
            state = _frames_moved(state, frames, solution.per_frame)
            spread_rotation = _learned(
                state.correction[frames], solution.variance[:, 2:], LEAST_ROTATION_RAD, np.radians(1.0)
            )
            offset = state.geometry.beam_px[frames] - np.median(state.geometry.beam_px[frames], axis=0)
            spread_shift = _learned(offset, solution.variance[:, :2], LEAST_SHIFT_PX, 3.0)
        if cycle >= LEAST_CYCLES and _settled(solution):
            break
    return _figures(state, spots, hkl, names, solution, spread_rotation, spread_shift)


def _check(state: _State) -> None:
    """Refuse a state that ran away: the spots were not those of this lattice.

    Raises
    ------
    NotIndexedError
        If a cell parameter is no number or absurd.
    """
    low, high = np.array([0.5] * 3 + [10.0] * 3), np.array([2000.0] * 3 + [170.0] * 3)
    sound = np.isfinite(state.cell).all() and (state.cell > low).all() and (state.cell < high).all()
    geometry = state.geometry
    if not sound or not np.isfinite(geometry.beam_px).all():
        raise NotIndexedError("the refinement of the geometry ran away: the lattice found is not the spots' own")


class _Solution(NamedTuple):
    shared: Floats
    per_frame: Floats
    variance: Floats
    shared_variance: Floats


def _settled(solution: _Solution) -> bool:
    """Tell whether the last step is small against the esds, of what is shared and of nearly all frames."""
    shared = np.abs(solution.shared) / np.sqrt(solution.shared_variance)
    if not len(solution.per_frame):
        return bool(shared.max() < SETTLED_ESDS)
    own = np.abs(solution.per_frame) / np.sqrt(solution.variance)
    return bool(shared.max() < SETTLED_ESDS and np.quantile(own, 0.9) < SETTLED_ESDS)


def _start(geometry: Geometry, crystal: Crystal, system: CrystalSystem) -> _State:
    cell = constrained_cell(cell_of_basis(crystal.basis), system)
    left, _, right = np.linalg.svd(crystal.basis @ np.linalg.inv(cell_basis(cell)))
    return _State(geometry, left @ right, cell, crystal.correction.copy())


def _global_names(freedom: Freedom) -> list[tuple[str, tuple[int, ...]]]:
    names: list[tuple[str, tuple[int, ...]]] = [("rotation", (index,)) for index in range(3)]
    if freedom.cell:
        names += [("cell", group) for group in FREE_CELL[freedom.system]]
    if freedom.axis:
        names.append(("axis", (0,)))
    if freedom.ellipse:
        names += [("ellipse", (0,)), ("ellipse", (1,))]
    elif freedom.shear:
        names.append(("shear", (0,)))
    if freedom.distance:
        names.append(("distance", (0,)))
    return [*names, ("beam", (0,)), ("beam", (1,))]


def _moved(state: _State, names: list[tuple[str, tuple[int, ...]]], step: Floats) -> _State:
    geometry, orientation, cell = state.geometry, state.orientation, state.cell.copy()
    turn = np.zeros(3)
    ellipse = list(geometry.ellipse)
    for (kind, group), value in zip(names, step, strict=True):
        if kind == "rotation":
            turn[group[0]] = value
        elif kind == "cell":
            cell[list(group)] += value
        elif kind == "axis":
            geometry = geometry._replace(axis=Rotation.from_rotvec([0.0, 0.0, value]).apply(geometry.axis))
        elif kind == "ellipse":
            ellipse[group[0]] += value
        elif kind == "shear":
            ellipse = [part + value * unit for part, unit in zip(ellipse, shear_direction(geometry.axis), strict=True)]
        elif kind == "distance":
            geometry = geometry._replace(distance_px=geometry.distance_px * (1 + value))
        else:
            beam = geometry.beam_px.copy()
            beam[:, group[0]] += value
            geometry = geometry._replace(beam_px=beam)
    geometry = geometry._replace(ellipse=(ellipse[0], ellipse[1]))
    orientation = np.asarray(Rotation.from_rotvec(turn).as_matrix()) @ orientation
    return _State(geometry, orientation, cell, state.correction)


def _frames_moved(state: _State, frames: NDArray[np.int64], step: Floats) -> _State:
    beam = state.geometry.beam_px.copy()
    beam[frames] += step[:, :2]
    correction = state.correction.copy()
    correction[frames] += step[:, 2:]
    return state._replace(geometry=state.geometry._replace(beam_px=beam), correction=correction)


def _predicted(state: _State, spots: Spots, hkl: NDArray[np.int64]) -> Floats:
    matrices = settings(state.geometry, state.crystal())
    q = np.einsum("nij,nj->ni", matrices[spots.frame], hkl.astype(np.float64))
    px = detector_px(q, state.geometry.beam_px[spots.frame], state.geometry)
    return np.column_stack([px, excitation_error(q, state.geometry.wavelength)])


def _residual(state: _State, spots: Spots, hkl: NDArray[np.int64]) -> Floats:
    target = np.column_stack([spots.px, np.zeros(len(hkl))])
    return target - _predicted(state, spots, hkl)


def _scales(residual: Floats, weight: Floats) -> Floats:
    """Return robust standard deviations (3,) of the weighted residuals: 1.4826 times the median absolute ones."""
    scale = 1.4826 * np.median(np.abs(residual * weight[:, None]), axis=0)
    in_plane = max(float(np.mean(scale[:2])), 0.01)
    return np.array([in_plane, in_plane, max(float(scale[2]), 1e-5)])


def _steps(names: list[tuple[str, tuple[int, ...]]]) -> Floats:
    size = {
        "rotation": 1e-5,
        "cell": 1e-4,
        "axis": 1e-5,
        "ellipse": 1e-5,
        "shear": 1e-5,
        "distance": 1e-5,
        "beam": 1e-3,
    }
    return np.array([size[kind] for kind, _ in names])


def _solve(
    state: _State,
    spots: Spots,
    hkl: NDArray[np.int64],
    *,
    residual: Floats,
    weight: Floats,
    names: list[tuple[str, tuple[int, ...]]],
    position: NDArray[np.int64] | None,
    frames: NDArray[np.int64],
    spread: tuple[float, float],
) -> _Solution:
    reduced_residual = residual * weight
    robust = (1.0 + (reduced_residual**2).sum(axis=1)) ** -0.25
    weight = weight * robust[:, None]
    base = _predicted(state, spots, hkl)
    steps = _steps(names)
    columns = []
    for index, step in enumerate(steps):
        move = np.zeros(len(steps))
        move[index] = step
        columns.append((_predicted(_moved(state, names, move), spots, hkl) - base) / step * weight)
    jacobian = np.stack(columns, axis=2)
    target = residual * weight
    held, offset_held = _restraints(state, names)
    flat = jacobian.reshape(-1, jacobian.shape[2])
    common = _damped(flat.T @ flat) + np.diag(held)
    gradient = flat.T @ target.ravel() - held * offset_held
    if position is None:
        inverse = np.linalg.inv(common)
        none = np.zeros((0, 5))
        return _Solution(inverse @ gradient, none, none, np.diag(inverse))
    blocks = _frame_columns(state, spots, hkl, base, weight, frames)
    extra = np.array([1 / spread[1], 1 / spread[1], *[1 / spread[0]] * 3]) ** 2
    offset = state.geometry.beam_px[frames] - np.median(state.geometry.beam_px[frames], axis=0)
    shift = np.column_stack([offset, state.correction[frames]])
    own = _by_frame(blocks.transpose(0, 2, 1) @ blocks, position, len(frames)) + np.diag(extra)
    mixed = _by_frame(jacobian.transpose(0, 2, 1) @ blocks, position, len(frames))
    pull = _by_frame(np.einsum("nki,nk->ni", blocks, target), position, len(frames)) - extra * shift
    return _eliminated(common, _damped(own), mixed, gradient, pull)


def _restraints(state: _State, names: list[tuple[str, tuple[int, ...]]]) -> tuple[Floats, Floats]:
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


def _by_frame(values: Floats, position: NDArray[np.int64], frames: int) -> Floats:
    """Return the sums (frames, ...) of values (n, ...) over the spots of each frame."""
    columns = values.reshape(len(values), -1).T
    sums = [np.bincount(position, weights=column, minlength=frames) for column in columns]
    return np.asarray(np.stack(sums, axis=1).reshape(frames, *values.shape[1:]), dtype=np.float64)


def _eliminated(common: Floats, own: Floats, mixed: Floats, gradient: Floats, pull: Floats) -> _Solution:
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
    return _Solution(shared, step, variance, np.diag(inverse))


def _frame_columns(
    state: _State, spots: Spots, hkl: NDArray[np.int64], base: Floats, weight: Floats, frames: NDArray[np.int64]
) -> Floats:
    """Return the derivatives (n, 3, 5) by the parameters of each spot's own frame."""
    columns = []
    for index, step in enumerate((1e-3, 1e-3, 1e-5, 1e-5, 1e-5)):
        move = np.zeros((len(frames), 5))
        move[:, index] = step
        columns.append((_predicted(_frames_moved(state, frames, move), spots, hkl) - base) / step * weight)
    return np.stack(columns, axis=2)


def _learned(values: Floats, variance: Floats, least: float, most: float) -> float:
    """Return the spread of parameters beyond their esds, by robust moments."""
    excess = np.median(values**2) / 0.455 - np.median(variance)
    return float(np.clip(np.sqrt(max(excess, 0.0)), least, most))


def _figures(
    state: _State,
    spots: Spots,
    hkl: NDArray[np.int64],
    names: list[tuple[str, tuple[int, ...]]],
    solution: _Solution,
    spread_rotation: float,
    spread_shift: float,
) -> Refined:
    residual = _residual(state, spots, hkl)
    distance = np.hypot(residual[:, 0], residual[:, 1])
    inside = distance <= max(4 * float(np.median(distance)), 0.5)
    esd = np.zeros(6)
    for (kind, group), variance in zip(names, solution.shared_variance, strict=True):
        if kind == "cell":
            esd[list(group)] = np.sqrt(variance)
    return Refined(
        geometry=state.geometry,
        crystal=state.crystal(),
        cell=state.cell,
        cell_esd=esd,
        rmsd_px=float(np.sqrt(np.mean(distance[inside] ** 2))),
        rms_excitation=float(1.4826 * np.median(np.abs(residual[:, 2]))),
        rotation_spread_deg=float(np.degrees(spread_rotation)),
        shift_spread_px=spread_shift,
    )
