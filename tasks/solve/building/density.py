"""Density maps from phased amplitudes, and their peaks, reduced to the asymmetric unit."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import fft

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell
from tasks.solve.building.atoms import length_squared
from tasks.solve.phasing.peak_search import Peaks, maxima

POINTS_PER_D_MIN = 3.2
"""Two would hold the information; parabolas between points then miss the peak of an atom at d_min 1 A by 0.044 A (root
mean square of 60), with 2.5 by 0.017, with 3.2 by 0.010, with 4.5 by 0.003 at three times the cost."""
LEAST_HEIGHT = 0.5
"""Standard deviations of the map that a maximum must exceed."""


class MapPlan(NamedTuple):
    """How structure factors of the asymmetric unit fill the half grid of an inverse real transform.

    ``grid`` the shape; ``at`` (k,) flat places in the half grid; ``parent`` (k,) rows of the asymmetric list;
    ``factor`` (k,) phase factors; ``conjugate`` (k,).
    """

    grid: tuple[int, int, int]
    at: NDArray[np.int64]
    parent: NDArray[np.int64]
    factor: NDArray[np.complex64]
    conjugate: NDArray[np.bool_]


def plan_map(hkl: NDArray[np.int32], symmetry: Symmetry, cell: UnitCell, d_min_angstrom: float) -> MapPlan:
    """Return the plan for reflections (n, 3), unique under the Laue class of `symmetry`."""
    grid = grid_for(cell, d_min_angstrom)
    images, parents, factors, flips = [], [], [], []
    for rotation, translation in zip(symmetry.rotations, symmetry.translations, strict=True):
        image = hkl @ rotation
        factor = np.exp(-2j * np.pi * (hkl @ translation))
        for sign in (1, -1):
            half = sign * image[:, 2] >= 0
            images.append(sign * image[half])
            parents.append(np.flatnonzero(half))
            factors.append(factor[half])
            flips.append(np.full(int(half.sum()), sign < 0))
    index = np.concatenate(images)
    shape = (grid[0], grid[1], grid[2] // 2 + 1)
    wrapped = (index[:, 0] % grid[0], index[:, 1] % grid[1], index[:, 2])
    at, first = np.unique(np.ravel_multi_index(wrapped, shape), return_index=True)
    return MapPlan(
        grid,
        at,
        np.concatenate(parents)[first],
        np.concatenate(factors)[first].astype(np.complex64),
        np.concatenate(flips)[first],
    )


def grid_for(cell: UnitCell, d_min_angstrom: float) -> tuple[int, int, int]:
    """Return a grid of at least `POINTS_PER_D_MIN` points per `d_min_angstrom`, even and quick to transform."""
    sizes = []
    for length in cell.parameters[:3]:
        points = int(np.ceil(length * POINTS_PER_D_MIN / d_min_angstrom))
        size = max(8, points + points % 2)
        while fft.next_fast_len(size, real=True) != size or size % 2:
            size += 2 - size % 2
        sizes.append(size)
    return (sizes[0], sizes[1], sizes[2])


def density(coefficients: NDArray[np.complex128], plan: MapPlan) -> NDArray[np.float32]:
    """Return the map of coefficients (n,) of the asymmetric reflections, without F(000), in any scale."""
    value = coefficients.astype(np.complex64)[plan.parent] * plan.factor
    half = np.zeros((plan.grid[0], plan.grid[1], plan.grid[2] // 2 + 1), dtype=np.complex64)
    # rho(x) = sum F(h) exp(-2 pi i h x): the inverse transform has the other sign, hence the conjugate
    half.ravel()[plan.at] = np.where(plan.conjugate, value, value.conj())
    return np.asarray(fft.irfftn(half, s=plan.grid), dtype=np.float32) * np.float32(np.prod(plan.grid))


def peaks_in_group(
    values: NDArray[np.float32], symmetry: Symmetry, cell: UnitCell, *, most: int, nearest_angstrom: float = 0.5
) -> Peaks:
    """Return up to `most` peaks of the asymmetric unit, highest first.

    Peaks within `nearest_angstrom` of an image of a higher one are merged into it; a peak that close to its own
    images is moved to the special position between them.
    """
    position, height = maxima(values, floor=LEAST_HEIGHT * float(values.std()))
    wanted = np.argsort(-height, kind="stable")[: most * symmetry.order * 2 + 100]
    return reduce_peaks(position[wanted], height[wanted], symmetry, cell, most=most, nearest_angstrom=nearest_angstrom)


def reduce_peaks(
    position: NDArray[np.float64],
    height: NDArray[np.float64],
    symmetry: Symmetry,
    cell: UnitCell,
    *,
    most: int,
    nearest_angstrom: float,
) -> Peaks:
    """Return the symmetry-independent ones of peaks (n, 3) sorted by height, at most `most`."""
    rotations, translations = symmetry.operations()
    orthogonal = orthogonalisation(cell)
    kept, count = _reduce(position, rotations, translations, orthogonal, most, float(nearest_angstrom))
    rows = kept[:count]
    return Peaks(snap(position[rows].reshape(-1, 3), symmetry, cell, nearest_angstrom), height[rows])


def snap(
    position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell, within_angstrom: float
) -> NDArray[np.float64]:
    """Return positions (m, 3) moved to the special positions within reach, where there are any, into [0, 1)."""
    rotations, translations = symmetry.operations()
    orthogonal = orthogonalisation(cell)
    reaches = np.array([within_angstrom, within_angstrom, 0.1 * within_angstrom])
    return _snap(np.ascontiguousarray(position), rotations, translations, orthogonal, reaches)


@njit(cache=True)
def _snap(
    position: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    orthogonal: NDArray[np.float64],
    reaches: NDArray[np.float64],
) -> NDArray[np.float64]:  # pragma: no cover
    """Move each position to the mean of its images within reach, once for each reach."""
    found = position.copy()
    delta, total = np.empty(3), np.empty(3)
    for m in range(len(found)):
        for reach in reaches:
            total[0] = total[1] = total[2] = 0.0
            near = 0
            for o in range(len(rotations)):
                for axis in range(3):
                    moved = translations[o, axis] - found[m, axis]
                    for other in range(3):
                        moved += rotations[o, axis, other] * found[m, other]
                    delta[axis] = moved - np.round(moved)
                if length_squared(orthogonal, delta) < reach * reach:
                    for axis in range(3):
                        total[axis] += delta[axis]
                    near += 1
            for axis in range(3):
                found[m, axis] += total[axis] / near  # the identity is always near
        for axis in range(3):
            found[m, axis] -= np.floor(found[m, axis])
    return found


@njit(cache=True)
def _reduce(
    position: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    orthogonal: NDArray[np.float64],
    most: int,
    nearest: float,
) -> tuple[NDArray[np.int64], int]:  # pragma: no cover
    """Return the rows of the independent peaks and their number."""
    order = len(rotations)
    images = np.empty((most * order, 3))
    kept = np.empty(most, dtype=np.int64)
    count = 0
    for row in range(len(position)):
        if count == most:
            break
        x = position[row]
        free = True
        for other in range(count * order):
            d0 = images[other, 0] - x[0]
            d1 = images[other, 1] - x[1]
            d2 = images[other, 2] - x[2]
            d0 -= np.round(d0)
            d1 -= np.round(d1)
            d2 -= np.round(d2)
            e0 = orthogonal[0, 0] * d0 + orthogonal[0, 1] * d1 + orthogonal[0, 2] * d2
            e1 = orthogonal[1, 1] * d1 + orthogonal[1, 2] * d2
            e2 = orthogonal[2, 2] * d2
            if e0 * e0 + e1 * e1 + e2 * e2 < nearest * nearest:
                free = False
                break
        if not free:
            continue
        for op in range(order):
            for axis in range(3):
                images[count * order + op, axis] = (
                    rotations[op, axis, 0] * x[0]
                    + rotations[op, axis, 1] * x[1]
                    + rotations[op, axis, 2] * x[2]
                    + translations[op, axis]
                )
        kept[count] = row
        count += 1
    return kept, count
