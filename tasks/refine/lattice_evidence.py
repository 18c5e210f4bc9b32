"""Whether the intensities bear the cell: equivalents that agree, and no smaller cell that explains them as well."""

from itertools import product
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import d_star_squared
from tasks.model import UnitCell

LEAST_REFLECTIONS = 12
"""Of a class whose mean is compared: the mean E^2 of so many has a standard error of 0.3 (exponential distribution),
of 1 where there is no smaller cell. Chosen, not measured."""
SHELL_REFLECTIONS = 40
"""By whose mean an intensity is divided: enough for the mean, few enough that it follows the fall with resolution."""


class WeakClass(NamedTuple):
    """Reflections whose absence would mean a smaller cell, compared with all others."""

    condition: str
    """Which they are, as ``h + k odd``."""
    times: int
    """How many times the cell is larger than it need be without them."""
    mean: float
    """Of their intensities over that of the others, at equal resolution."""
    i_over_sigma: float
    """Mean of theirs."""


def weakest_class(
    hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64], *, hall: str, cell: UnitCell
) -> WeakClass | None:
    """Return the weakest class of reflections without which the cell would be two or three times smaller.

    None where no such class has enough reflections. Reflections (n, 3) are unique ones under the space group.
    """
    order = np.argsort(d_star_squared(hkl, cell), kind="stable")
    relative = np.empty(len(hkl))
    for shell in np.array_split(order, max(1, len(hkl) // SHELL_REFLECTIONS)):
        relative[shell] = intensity[shell] / max(float(intensity[shell].mean()), 1e-30)
    # equivalents may belong to different classes
    rotations = {tuple(map(tuple, op.rot)) for op in gemmi.symops_from_hall(hall).sym_ops}
    images = np.concatenate([hkl @ (np.array(rotation) // gemmi.Op.DEN) for rotation in sorted(rotations)])
    value = np.tile(relative, len(rotations))
    signal = np.tile(intensity / sigma, len(rotations))
    found = []
    for times in (2, 3):
        for row in _rows(times):
            outside = (images @ np.array(row)) % times != 0
            if min(int(outside.sum()), int((~outside).sum())) < LEAST_REFLECTIONS * len(rotations):
                continue
            ratio = float(value[outside].mean()) / max(float(value[~outside].mean()), 1e-30)
            found.append(WeakClass(_condition(row, times), times, ratio, float(signal[outside].mean())))
    return min(found, key=lambda one: one.mean, default=None)


def _rows(times: int) -> list[tuple[int, ...]]:
    """Return one row of each sublattice of prime index `times`: its reflections have row . hkl divisible by it."""
    rows = [row for row in product(range(times), repeat=3) if any(row)]
    return [row for row in rows if next(x for x in row if x) == 1]


def _condition(row: tuple[int, ...], times: int) -> str:
    parts = [name if factor == 1 else f"{factor}{name}" for factor, name in zip(row, "hkl", strict=True) if factor]
    return f"{' + '.join(parts)} {'odd' if times == 2 else f'no multiple of {times}'}"
