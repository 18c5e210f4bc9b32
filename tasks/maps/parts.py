"""A crystal that bends, divided into parts each of nearly one orientation."""

from typing import NamedTuple

import h5py
import numpy as np
from scipy.spatial import cKDTree

from tasks.integrate import Reflections
from tasks.maps.models import CrystalMaps
from tasks.maps.spots import rocking_pictures
from tasks.model import Vector
from tasks.model.arrays import Floats, Integers, Mask

SIGNIFICANT = 5.0
"""Sigmas of a bend that is taken for one. Chosen, not measured: its width against the curve decides before."""
LEAST_WIDTHS = 2.5
"""Bend over the width of a position's rocking curve from which a crystal is divided. UiO-66 of 200 nm, seeds 10 to 13
of `python -m tests.benchmarks.bent`: R1 against the truth in one orientation and by parts is 0.039 and 0.036 at 1.9
widths (0.2 degrees), 0.058 and 0.025 at 4.1, 0.066 and 0.032 at 7.5, 0.198 and 0.059 at 13.5 (3 degrees). Straight
crystals have 0.2 at most: of none is found more than 0.02 degrees."""
MOST_PARTS = 9
"""Of a crystal. Chosen: each costs as much as another aperture. At 3 degrees R1 against the truth is 0.092, 0.064 and
0.059 by 3, 6 and 9 parts (seed 10)."""
LEAST_ELECTRONS = 7.0
"""Of an observation of a part, on average: with fewer, sums are no good measure of what a spot holds
(`tasks.integrate.rocking.sparse`). A crystal of 100 nm with 93,000 electrons, bent by 2 degrees (seed 10): R1 against
the truth is 0.113 in one orientation, 0.090, 0.084 and 0.121 by 2, 4 and 8 parts, of 14, 7 and 3.5 electrons."""
FEWEST_POSITIONS = 6
"""Of a part, on average. Chosen, not measured: fewer are hardly told apart by orientation, as each looks through the
crystal another way at each tilt."""


class OrientationPart(NamedTuple):
    """Positions of a crystal, ``masks`` (n_tilts, ny, nx), turned by ``turn_deg`` against its mean orientation."""

    masks: Mask
    turn_deg: Vector


def number_of_parts(maps: CrystalMaps, reflections: Reflections) -> int:
    """Return into how many parts a crystal is to be divided, each to turn by a rocking curve's width; 1 = it is not.

    The width is that of a position's curve, as an angle at the median length of the reflections.
    """
    if maps.bend_deg is None or maps.bend_sigma_deg is None or maps.bend_deg < SIGNIFICANT * maps.bend_sigma_deg:
        return 1
    widths = maps.bend_deg / position_width_deg(maps, reflections)
    observations = reflections.overall.observations * maps.curve_ratio  # of a part: its curve is narrower
    by_electrons = maps.electrons / (LEAST_ELECTRONS * observations)
    most = min(MOST_PARTS, maps.positions // FEWEST_POSITIONS, int(by_electrons))
    return min(most, int(np.rint(widths))) if widths >= LEAST_WIDTHS and most > 1 else 1


def position_width_deg(maps: CrystalMaps, reflections: Reflections) -> float:
    """Return the width of a position's rocking curve as an angle, in degrees."""
    pictures = rocking_pictures(reflections)
    length = np.linalg.norm(reflections.hkl @ pictures.basis.T, axis=1)
    angle = np.hypot(pictures.width / float(np.median(length)), pictures.spread)
    return float(np.degrees(angle)) * maps.curve_ratio


def parts_by_orientation(maps: CrystalMaps, masks: Mask, number: int) -> tuple[OrientationPart, ...]:
    """Return parts that hold the positions (n_tilts, ny, nx) of a crystal between them, each exactly once.

    Cells of the map are ranked by their rotation about the axis about which rotations differ most, and dealt out in
    parts of equal electrons. A position without a value goes with the nearest cell that has one.
    """
    with h5py.File(maps.file.path, "r") as file:
        rotation = np.asarray(file["rotation_deg"], dtype=np.float64).reshape(-1, 3)
        electrons = np.asarray(file["electrons"], dtype=np.float64).ravel()
        cell = np.asarray(file["cell"], dtype=np.int64)
    known = np.flatnonzero(np.isfinite(rotation[:, 0]))
    weight = np.maximum(electrons[known], 1.0)
    axis = np.linalg.eigh(np.cov(rotation[known].T, aweights=weight))[1][:, -1]
    order = np.argsort(rotation[known] @ axis, kind="stable")
    upto = np.cumsum(weight[order]) - 0.5 * weight[order]
    own = np.empty(len(known), dtype=np.int64)
    own[order] = np.minimum((number * upto / weight.sum()).astype(np.int64), number - 1)
    part = _nearest(known, own, cell.shape[1:])[np.maximum(cell, 0)]
    lost = masks & (cell < 0)  # beyond the map: with the positions beside them
    for tilt in np.flatnonzero(lost.any(axis=(1, 2))).tolist():
        part[tilt] = _beside(part[tilt], masks[tilt] & ~lost[tilt], lost[tilt])
    return tuple(
        OrientationPart(
            masks & (part == one), _vector(np.average(rotation[known][own == one], axis=0, weights=weight[own == one]))
        )
        for one in np.unique(own).tolist()  # one bright cell may stand for more than a part
    )


def _nearest(known: Integers, own: Integers, shape: tuple[int, ...]) -> Integers:
    """Return the part of every cell (ny * nx,) of the map: that of the nearest one that is known."""
    places = np.stack(np.divmod(np.arange(int(np.prod(shape))), shape[1]), axis=1)
    return np.asarray(own[cKDTree(places[known]).query(places)[1]])


def _beside(part: Integers, told: Mask, lost: Mask) -> Integers:
    """Return the parts of one tilt (ny, nx) with positions that lie on no cell as the nearest that does."""
    if not told.any():
        return part
    found = part.copy()
    found[lost] = part[told][cKDTree(np.argwhere(told)).query(np.argwhere(lost))[1]]
    return found


def _vector(values: Floats) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
