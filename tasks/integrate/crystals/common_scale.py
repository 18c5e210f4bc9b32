"""One scale for the observations of several crystals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import Matrix
from tasks.crystal.scattering import d_star_squared
from tasks.integrate.crystals.crystal_match import Table, averaged, row_keys
from tasks.integrate.reflection_file import Unmerged
from tasks.model import UnitCell

ROUNDS = 10
"""Turns over all sets; each scale follows the mean of the others, so they settle slowly. One is too few for the three
partial crystals of tests/unit/integrate/crystals/test_combine.py, three are enough; the rest is reserve."""
MIN_STRONG = 20
"""Reflections that hold a scale and a B. Chosen, not measured: with intensities that differ by 30 % the scale is then
known to some 7 % (0.3 / sqrt(20)); a set with fewer keeps the scale that it had."""
MAX_B = 20.0
"""Angstrom^2 by which crystals of one series may differ. Chosen, not measured: a guard against fits to a narrow range
of resolution, wide of any real difference (at 1 angstrom it multiplies by exp(10))."""


class CommonScale(NamedTuple):
    """Intensities are multiplied by ``factor * exp(b_angstrom2 * s^2 / 2)`` with s = 1/d."""

    factor: float
    b_angstrom2: float


def scaled(data: Unmerged, scale: CommonScale, cell: UnitCell) -> Unmerged:
    """Return observations brought to the common scale."""
    by = _multiplier(scale, d_star_squared(data.hkl, cell))
    return data._replace(intensity=data.intensity * by, sigma=data.sigma * by)


def fit_common_scale(sets: Sequence[Unmerged], cell: UnitCell, rotations: Sequence[Matrix]) -> list[CommonScale]:
    """Bring several sets in one indexing to the first one's scale, and to the mean of their fall-offs.

    The mean is weighted by what sets measured, the sum of (I / sigma)^2: merged, the parts of a crystal fall off as the
    whole does, however the first of them does. Alternates the mean of each unique reflection over the sets with a
    robust fit of ln(mean / own) = a + B s^2 / 2 to the strong common ones (Hamilton, Rollett & Sparks, Acta Cryst. 18,
    129 (1965), on logarithms).

    Parameters
    ----------
    rotations
        Of the Laue group: reflections that they relate count as the same.
    """
    tables = [_table(data, rotations) for data in sets]
    keys = np.concatenate([row_keys(table.hkl) for table in tables])
    unique, first, member = np.unique(keys, return_index=True, return_inverse=True)
    owner = np.repeat(np.arange(len(sets)), [len(table.hkl) for table in tables])
    value = np.full((len(sets), len(unique)), np.nan)
    value[owner, member] = np.concatenate([table.value for table in tables])
    hkl = np.concatenate([table.hkl for table in tables])[first]
    s_squared = d_star_squared(hkl.astype(np.int32), cell)
    scales = [CommonScale(1.0, 0.0) for _ in sets]
    for _ in range(ROUNDS if len(sets) > 1 else 0):
        for number in range(len(sets)):
            others = [i for i in range(len(sets)) if i != number]
            stack = np.array([value[i] * _multiplier(scales[i], s_squared) for i in others])
            counted = np.isfinite(stack).sum(axis=0)
            reference = np.nansum(stack, axis=0) / np.maximum(counted, 1)
            scales[number] = _fit(value[number], np.where(counted > 0, reference, np.nan), s_squared, scales[number])
        scales = [CommonScale(s.factor / scales[0].factor, s.b_angstrom2 - scales[0].b_angstrom2) for s in scales]
    measured = [float(((data.intensity / data.sigma) ** 2).sum()) for data in sets]
    mean = float(np.average([scale.b_angstrom2 for scale in scales], weights=measured)) if sum(measured) > 0 else 0.0
    return [scale._replace(b_angstrom2=scale.b_angstrom2 - mean) for scale in scales]


def _multiplier(scale: CommonScale, s_squared: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(scale.factor * np.exp(0.5 * scale.b_angstrom2 * s_squared))


def _table(data: Unmerged, rotations: Sequence[Matrix]) -> Table:
    """Return mean intensities by the highest-sorting equivalent of each reflection."""
    hkl = data.hkl.astype(np.int64)
    images = np.stack([hkl @ rotation for rotation in rotations])
    keys = np.stack([row_keys(image) for image in images])
    highest = np.take_along_axis(images, keys.argmax(axis=0)[None, :, None], axis=0)[0]
    return averaged(highest, data.intensity)


def _fit(
    own: NDArray[np.float64], reference: NDArray[np.float64], s_squared: NDArray[np.float64], before: CommonScale
) -> CommonScale:
    common = np.isfinite(own) & np.isfinite(reference)
    if np.count_nonzero(common) < MIN_STRONG:
        return before
    geometric = np.sqrt(np.maximum(own, 0.0) * np.maximum(reference, 0.0))
    strong = common & (geometric > np.median(geometric[common]))
    if np.count_nonzero(strong) < MIN_STRONG:
        return before
    target = np.log(reference[strong] / own[strong])
    design = np.stack([np.ones(target.size), 0.5 * s_squared[strong]], axis=1)
    weight = np.ones(target.size)
    solution = np.zeros(2)
    for _ in range(10):
        root = np.sqrt(weight)
        solution = np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0]
        residual = np.abs(target - design @ solution)
        weight = 1.0 / np.maximum(residual, 0.1 * max(float(np.median(residual)), 1e-6))
    return CommonScale(float(np.exp(solution[0])), float(np.clip(solution[1], -MAX_B, MAX_B)))
