"""The spots that a map is measured from: what each frame's were expected to hold, and each cell's counts in them."""

from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from tasks.crystal.symmetry import laue_group_of
from tasks.frames import FrameSeries
from tasks.integrate import SET_ASIDE, Measurements, Reflections, own_pixels, read_traces, to_asymmetric_unit
from tasks.maps.orientation_fit import CellCounts, Curve, SpotModel, curve_of
from tasks.maps.strain_fit import Displacements
from tasks.model import SourceError
from tasks.model.arrays import Floats, Integers
from tasks.trace import FrameElectrons, kept_traces

TOLD = 0.99
"""Of what a frame's spots tell about the crystal's scale, the part that the spots used tell, the strongest first.
Chosen, not measured: the last hundredth is in many weak spots, each as dear as a strong one."""


class RockingPictures(NamedTuple):
    """What an integration says of its rocking curve and its frames; see `tasks.integrate.pictures`."""

    curve: Curve
    width: float
    spread: float
    scale: Floats
    setting: Floats
    basis: Floats
    wavelength: float


def rocking_pictures(reflections: Reflections) -> RockingPictures:
    """Return the rocking curve and the orientations of an integration.

    Raises
    ------
    SourceError
        If it keeps none: it is of another engine, or the file is gone.
    """
    kept_traces(reflections)
    if reflections.pictures is None or not reflections.pictures.path.is_file():
        raise SourceError(f"{reflections.id}: its orientations are not kept", "run again with integrate.engine=builtin")
    with h5py.File(reflections.pictures.path, "r") as file:
        rocking, geometry = file["rocking"], file["geometry"]
        return RockingPictures(
            curve=curve_of(np.asarray(rocking["x"]), np.asarray(rocking["density"])),
            width=float(rocking.attrs["width_per_angstrom"]),
            spread=float(np.radians(rocking.attrs["spread_deg"])),
            scale=np.asarray(rocking["scale"]),
            setting=np.asarray(geometry["setting"]),
            basis=np.asarray(geometry["basis"]),
            wavelength=float(geometry.attrs["wavelength_angstrom"]),
        )


def spot_models(
    reflections: Reflections, frames: FrameSeries, pictures: RockingPictures
) -> tuple[list[SpotModel], list[Measurements]]:
    """Return, frame by frame, what is expected of the spots that tell most, and the spots themselves.

    Intensities are those that the integration found; spots that share pixels with others are left out.
    """
    every = read_traces(kept_traces(reflections))
    fitted = np.isfinite(every.predicted) & (every.state != SET_ASIDE) & ~every.overlapped
    every = every.where(np.flatnonzero(fitted & every.core.any(axis=(1, 2))))
    keys = to_asymmetric_unit(every.hkl, laue_group_of(reflections.laue_group))
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.ravel().astype(np.int64)
    excitation, lever, length = excitations(every.hkl.astype(np.int64), every.frame, pictures)
    width = np.hypot(pictures.width, pictures.spread * length)
    seen = np.interp(excitation / width, pictures.curve.x, pictures.curve.density) / width
    partial = pictures.scale[every.frame] * seen
    total = np.bincount(group, every.predicted), np.bincount(group, partial)
    intensity = np.maximum(total[0], 0.0) / np.maximum(total[1], 1e-30)
    positions = np.array([max(frame.positions, 1) for frame in frames.frames], dtype=np.float64)
    strength = pictures.scale[every.frame] * intensity[group] / width / positions[every.frame]
    background = np.maximum(every.background, 0.0) / positions[every.frame]
    telling = (strength * seen * width) ** 2 / np.maximum(strength * seen * width + background, 1e-9)
    models, spots = [], []
    for frame in range(len(frames.frames)):
        rows = _telling(np.flatnonzero(every.frame == frame), telling)
        models.append(
            SpotModel(excitation[rows], width[rows], lever[rows], strength[rows], background[rows], group[rows])
        )
        spots.append(every.where(rows))
    return models, spots


def _telling(rows: Integers, telling: Floats) -> Integers:
    """Return the rows that tell most, ascending: of all that they tell together the part `TOLD`."""
    order = rows[np.argsort(-telling[rows], kind="stable")]
    total = np.cumsum(telling[order])
    if not len(order) or not total[-1] > 0:
        return rows[:0]
    return np.sort(order[: int(np.searchsorted(total, TOLD * total[-1])) + 1])


def excitations(hkl: Integers, frame: Integers, pictures: RockingPictures) -> tuple[Floats, Floats, Floats]:
    """Return excitation errors (n,), their derivatives (n, 3) by a rotation vector at tilt 0, and |q| (n,).

    In the orientations that the intensities gave; 1/angstrom.
    """
    q = np.einsum("nij,nj->ni", pictures.setting[frame], hkl.astype(np.float64))
    outgoing = q - np.array([0.0, 0.0, 1.0 / pictures.wavelength])
    size = np.linalg.norm(outgoing, axis=1)
    lever = -np.cross(q, outgoing / size[:, None])  # s = 1/wavelength - |k|: a turn w changes it by -(w x q).k
    turn = pictures.setting @ np.linalg.inv(pictures.basis)
    return (
        np.asarray(1.0 / pictures.wavelength - size),
        np.einsum("nji,nj->ni", turn[frame], lever),
        np.asarray(np.linalg.norm(q, axis=1)),
    )


def cell_counts(
    electrons: FrameElectrons, spots: Measurements, shape: tuple[int, int], cell: Integers, direct_beam_px: Floats
) -> tuple[CellCounts, Displacements]:
    """Return the counts of each map cell in the own pixels of one frame's spots, and how far off these lie radially.

    Parameters
    ----------
    shape
        Of the frame.
    cell
        (ny * nx,): map cell of each scan position of this tilt, -1 = none.
    direct_beam_px
        (2,) slow and fast.
    """
    label = np.full(shape, -1, dtype=np.int64)
    for number, (centre, core) in enumerate(zip(spots.centre, spots.core, strict=True)):
        label[own_pixels(centre, core)] = number
    home = cell[electrons.positions]
    cells, row = np.unique(home[home >= 0], return_inverse=True)
    where = np.full(len(home), -1, dtype=np.int64)
    where[home >= 0] = row
    spot, owner = label[electrons.slow, electrons.fast], where[electrons.owner]
    own = (spot >= 0) & (owner >= 0)
    spot, owner = spot[own], owner[own]
    table = sparse.coo_array((np.ones(len(spot)), (owner, spot)), shape=(len(cells), len(spots.frame)))
    px = np.stack([electrons.slow[own], electrons.fast[own]], axis=1).astype(np.float64)
    arm = spots.px[spot] - direct_beam_px
    radius = np.linalg.norm(arm, axis=1)
    off = ((px - spots.px[spot]) * arm).sum(axis=1) / np.maximum(radius, 1e-9)
    positions = np.bincount(row, minlength=len(cells)).astype(np.float64)
    return CellCounts(cells, positions, table.toarray()), Displacements(cells[owner], radius, off)


def neighbourhoods(where: Integers, electrons: Floats, *, enough: float) -> sparse.csr_array:
    """Return (n, n): which cells count for each.

    Itself where it has enough electrons, its 3 x 3 neighbours where they have enough together, or none.

    Parameters
    ----------
    where
        (n, 2): row and column of each cell on the map.
    electrons
        (n,) of each.
    """
    pairs = cKDTree(where).query_pairs(1, p=np.inf, output_type="ndarray")
    itself = sparse.eye_array(len(where), format="csr")
    one_way = sparse.csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=itself.shape)
    near = itself + one_way + one_way.T
    alone = electrons >= enough
    together = ~alone & (np.asarray(near @ electrons) >= enough)
    found = sparse.csr_array(sparse.diags_array(alone * 1.0) + sparse.diags_array(together * 1.0) @ near)
    found.eliminate_zeros()
    return found


def pooled(counts: CellCounts, around: sparse.csr_array) -> CellCounts:
    """Return counts with each cell's replaced by the sum of the cells that stand for it, by rows of `around` (n, n)."""
    select: sparse.csr_array = around[:, counts.cells].tocsr()
    rows = np.flatnonzero(np.diff(select.indptr))
    part = select[rows]
    counted: NDArray[np.float64] = part @ counts.counts
    return CellCounts(rows.astype(np.int64), np.asarray(part @ counts.number), np.asarray(counted))
