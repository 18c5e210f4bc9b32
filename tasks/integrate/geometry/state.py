"""What a geometry refinement moves: the state, its parameters, and where it predicts spots."""

from typing import Literal, NamedTuple

import gemmi
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tasks.integrate.geometry.mapping import Crystal, Geometry, orientations, shear_direction
from tasks.integrate.spots.spot_search import Spots
from tasks.model.arrays import Floats

CrystalSystem = Literal["triclinic", "monoclinic", "orthorhombic", "tetragonal", "hexagonal", "cubic"]

FREE_CELL: dict[str, tuple[tuple[int, ...], ...]] = {
    "triclinic": ((0,), (1,), (2,), (3,), (4,), (5,)),
    "monoclinic": ((0,), (1,), (2,), (4,)),
    "orthorhombic": ((0,), (1,), (2,)),
    "tetragonal": ((0, 1), (2,)),
    "hexagonal": ((0, 1), (2,)),
    "cubic": ((0, 1, 2),),
}
"""Places of the cell (a, b, c, alpha, beta, gamma) that are free, those that are equal together: the conventional cells
of International Tables A, b the unique axis of monoclinic ones; trigonal crystals in hexagonal axes."""


class Freedom(NamedTuple):
    """What may move: the crystal system's cell, the axis, the ellipse, the camera length, the frames.

    ``shear``: of the ellipse only the part that no strain of the cell looks like. ``curvature``: the camera length
    longer and the wavelength shorter by one factor, which bends the Ewald sphere less and leaves lengths as they are.
    """

    system: CrystalSystem = "triclinic"
    cell: bool = True
    axis: bool = True
    ellipse: bool = False
    distance: bool = False
    frames: bool = True
    shear: bool = False
    curvature: bool = False


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


class State(NamedTuple):
    """What is refined: geometry, orientation (3, 3), cell (6,) and the frames' rotations (frames, 3)."""

    geometry: Geometry
    orientation: Floats
    cell: Floats
    correction: Floats

    def crystal(self) -> Crystal:
        """Return the lattice in its orientation."""
        return Crystal(self.orientation @ cell_basis(self.cell), self.correction)


def start_state(geometry: Geometry, crystal: Crystal, system: CrystalSystem) -> State:
    """Return the state to start from: the cell with its constraints, the orientation nearest to the crystal's."""
    cell = constrained_cell(cell_of_basis(crystal.basis), system)
    left, _, right = np.linalg.svd(crystal.basis @ np.linalg.inv(cell_basis(cell)))
    return State(geometry, left @ right, cell, crystal.correction.copy())


def shared_names(freedom: Freedom) -> list[tuple[str, tuple[int, ...]]]:
    """Return the parameters that all frames share, as (kind, places)."""
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
    if freedom.curvature:
        names.append(("curvature", (0,)))
    return [*names, ("beam", (0,)), ("beam", (1,))]


def after_step(state: State, names: list[tuple[str, tuple[int, ...]]], step: Floats) -> State:
    """Return the state after a step (s,) of the shared parameters."""
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
        elif kind == "curvature":
            farther, shorter = geometry.distance_px * (1 + value), geometry.wavelength / (1 + value)
            geometry = geometry._replace(distance_px=farther, wavelength=shorter)
        else:
            beam = geometry.beam_px.copy()
            beam[:, group[0]] += value
            geometry = geometry._replace(beam_px=beam)
    geometry = geometry._replace(ellipse=(ellipse[0], ellipse[1]))
    orientation = np.asarray(Rotation.from_rotvec(turn).as_matrix()) @ orientation
    return State(geometry, orientation, cell, state.correction)


def frames_moved(state: State, frames: NDArray[np.int64], step: Floats) -> State:
    """Return the state after steps (frames, 5) of the frames: shift of the beam (2), rotation vector (3)."""
    beam = state.geometry.beam_px.copy()
    beam[frames] += step[:, :2]
    correction = state.correction.copy()
    correction[frames] += step[:, 2:]
    return state._replace(geometry=state.geometry._replace(beam_px=beam), correction=correction)


def predicted(state: State, spots: Spots, hkl: NDArray[np.int64]) -> Floats:
    """Return (n, 3) where the spots should be, (slow, fast) in px, and their excitation errors, 1/angstrom."""
    geometry = state.geometry
    matrices = orientations(geometry, state.crystal())
    camera = np.array([geometry.wavelength, geometry.distance_px, *geometry.ellipse])
    found: Floats = _projected(matrices, spots.frame, hkl, geometry.beam_px, camera)
    return found


@njit(cache=True, nogil=True)
def _projected(
    matrices: Floats, frame: NDArray[np.int64], hkl: NDArray[np.int64], beam_px: Floats, camera: Floats
) -> Floats:  # pragma: no cover
    """Return what `predicted` does; the same as `detector_px` and `excitation_error` in one pass.

    Parameters
    ----------
    matrices
        (frames, 3, 3), hkl to q in the laboratory.
    camera
        Wavelength, distance in px, and the ellipse's two parts.
    """
    radius, distance, e1, e2 = 1.0 / camera[0], camera[1], camera[2], camera[3]
    determinant = 1.0 - e1 * e1 - e2 * e2
    result = np.empty((len(hkl), 3))
    for i in range(len(hkl)):
        setting = matrices[frame[i]]
        h, k, l = hkl[i, 0], hkl[i, 1], hkl[i, 2]
        qx = setting[0, 0] * h + setting[0, 1] * k + setting[0, 2] * l
        qy = setting[1, 0] * h + setting[1, 1] * k + setting[1, 2] * l
        depth = radius - (setting[2, 0] * h + setting[2, 1] * k + setting[2, 2] * l)
        x, y = qx * distance / depth, qy * distance / depth
        result[i, 0] = beam_px[frame[i], 0] - ((1.0 + e1) * y - e2 * x) / determinant
        result[i, 1] = beam_px[frame[i], 1] + ((1.0 - e1) * x - e2 * y) / determinant
        result[i, 2] = radius - np.sqrt(qx * qx + qy * qy + depth * depth)
    return result


def residuals(state: State, spots: Spots, hkl: NDArray[np.int64]) -> Floats:
    """Return observed less predicted, (n, 3); a spot seen has an excitation error of zero."""
    target = np.column_stack([spots.px, np.zeros(len(hkl))])
    return target - predicted(state, spots, hkl)


def difference_steps(names: list[tuple[str, tuple[int, ...]]]) -> Floats:
    """Return the steps (s,) for derivatives by differences."""
    size = {
        "rotation": 1e-5,
        "cell": 1e-4,
        "axis": 1e-5,
        "ellipse": 1e-5,
        "shear": 1e-5,
        "distance": 1e-5,
        "curvature": 1e-4,
        "beam": 1e-3,
    }
    return np.array([size[kind] for kind, _ in names])
