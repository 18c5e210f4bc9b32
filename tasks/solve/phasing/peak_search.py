"""Maxima of a periodic map."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.model import UnitCell


class Peaks(NamedTuple):
    """Maxima, highest first."""

    position: NDArray[np.float64]
    """(m, 3) fractional, in [0, 1)."""
    height: NDArray[np.float64]
    """(m,) interpolated, in the units of the map."""


def find_peaks(
    density: NDArray[np.float32], cell: UnitCell, *, count: int, distance_angstrom: float, floor: float = 0.0
) -> Peaks:
    """Return the `count` highest maxima that are no nearer to a higher one than `distance_angstrom`.

    Positions and heights come from parabolas through three points along each axis.

    Parameters
    ----------
    density
        Periodic map, axes along a, b, c.
    floor
        Maxima must exceed this.
    """
    index = _local_maxima(density, np.float32(floor))
    if len(index) == 0:
        return Peaks(np.zeros((0, 3)), np.zeros(0))
    height = density[index[:, 0], index[:, 1], index[:, 2]]
    order = np.argsort(-height, kind="stable")[: 4 * count]
    position, height64 = _interpolated(density, index[order])
    order = np.argsort(-height64, kind="stable")
    position, height64 = position[order], height64[order]
    orthogonal = orthogonalisation(cell)
    kept = _keep_apart(position, orthogonal, distance_angstrom**2, count)
    return Peaks(position[kept] % 1.0, height64[kept])


def maxima(density: NDArray[np.float32], *, floor: float) -> Peaks:
    """Return all maxima beyond `floor`, as `find_peaks` but in the order of the map, whatever their distances."""
    return Peaks(*_interpolated(density, _local_maxima(density, np.float32(floor))))


@njit(cache=True)
def _local_maxima(density: NDArray[np.float32], floor: np.float32) -> NDArray[np.int64]:
    n0, n1, n2 = density.shape
    found = np.empty((density.size // 8 + 1, 3), dtype=np.int64)
    count = 0
    for i in range(n0):
        for j in range(n1):
            line = density[i, j]
            for k in range(n2):
                value = line[k]
                if value <= floor or value < line[k - 1] or value < line[k + 1 - n2]:  # a negative index wraps
                    continue
                if count < len(found) and _is_maximum(density, i, j, k):
                    found[count, 0], found[count, 1], found[count, 2] = i, j, k
                    count += 1
    return found[:count].copy()


@njit(cache=True)
def _is_maximum(density: NDArray[np.float32], i: int, j: int, k: int) -> bool:
    n0, n1, n2 = density.shape
    value = density[i, j, k]
    for di in (0, -1, 1):
        for dj in (0, -1, 1):
            line = density[i + di - n0 * (i + di >= n0), j + dj - n1 * (j + dj >= n1)]
            for dk in (0, -1, 1):
                other = line[k + dk - n2 * (k + dk >= n2)]
                # of equal neighbours the first in the order of the array is the maximum
                if other > value or (other == value and (di, dj, dk) < (0, 0, 0)):
                    return False
    return True


@njit(cache=True)
def _interpolated(
    density: NDArray[np.float32], index: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shape = density.shape
    position = np.empty((len(index), 3))
    height = np.empty(len(index))
    for row in range(len(index)):
        i, j, k = index[row, 0], index[row, 1], index[row, 2]
        centre = float(density[i, j, k])
        height[row] = centre
        for axis in range(3):
            u, v, w = axis == 0, axis == 1, axis == 2  # a negative index wraps
            left = float(density[i - u, j - v, k - w])
            right = float(density[i + u - shape[0] * u, j + v - shape[1] * v, k + w - shape[2] * w])
            curvature = 2.0 * centre - left - right
            step = 0.5 * (right - left) / curvature if curvature > 0 else 0.0
            height[row] += 0.25 * (right - left) * step
            position[row, axis] = (index[row, axis] + step) / shape[axis]
    return position, height


@njit(cache=True)
def _keep_apart(
    position: NDArray[np.float64], orthogonal: NDArray[np.float64], distance_sq: float, count: int
) -> NDArray[np.int64]:
    kept = np.empty(min(count, len(position)), dtype=np.int64)
    number = 0
    for row in range(len(position)):
        if number >= len(kept):
            break
        clear = True
        for other in range(number):
            u = position[row, 0] - position[kept[other], 0]
            v = position[row, 1] - position[kept[other], 1]
            w = position[row, 2] - position[kept[other], 2]
            u, v, w = u - np.floor(u + 0.5), v - np.floor(v + 0.5), w - np.floor(w + 0.5)
            x = orthogonal[0, 0] * u + orthogonal[0, 1] * v + orthogonal[0, 2] * w
            y = orthogonal[1, 1] * v + orthogonal[1, 2] * w
            z = orthogonal[2, 2] * w
            if x * x + y * y + z * z < distance_sq:
                clear = False
                break
        if clear:
            kept[number] = row
            number += 1
    return kept[:number]
