"""What SHELX's HKLF instruction does to a list of reflections: scale, matrix, weight."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.formats.intensity_table import IntensityTable
from tasks.integrate import DomainOverlaps, observations_at
from tasks.model import SourceError

HKLF_NUMBERS = 11
"""Of the instruction up to the end of its matrix: number, scale, nine elements."""
LARGEST_ELEMENT = 100.0
"""Of a matrix of HKLF. Chosen, not measured: supercells are a few times larger, and indices must stay whole numbers."""
WHOLE = 1e-3
"""Of an index after the matrix of HKLF: SHELX leaves out reflections with fractions; matrices have 4 decimals."""


def with_instruction(name: str, table: IntensityTable, numbers: Sequence[float]) -> IntensityTable:
    """Return the table with the scale and the matrix of HKLF n s r11 ... r33 wt applied.

    Source: SHELXL manual, HKLF. The scale multiplies F and sigma(F) of HKLF 3, F^2 and sigma(F^2) of the others; the
    weight divides sigma^2; matrices whose determinant is not positive are refused.

    Parameters
    ----------
    name
        Of the file, for errors.
    numbers
        As many of the instruction as are given; of none, the table comes back as it is.

    Raises
    ------
    SourceError
        If they are not what SHELX takes, or leave no whole indices.
    """
    if 2 < len(numbers) < HKLF_NUMBERS:
        raise SourceError(f"{name}: the matrix of HKLF has {len(numbers) - 2} of 9 numbers")
    scale = numbers[1] if len(numbers) > 1 else 1.0
    scale = scale**2 if numbers and abs(numbers[0]) == 3 else scale
    weight = numbers[HKLF_NUMBERS] if len(numbers) > HKLF_NUMBERS else 1.0
    matrix = np.array(numbers[2:HKLF_NUMBERS]).reshape(3, 3) if len(numbers) >= HKLF_NUMBERS else np.eye(3)
    if not (scale > 0 and weight > 0 and np.linalg.det(matrix) > 0 and np.abs(matrix).max() < LARGEST_ELEMENT):
        raise SourceError(
            f"{name}: HKLF {' '.join(f'{x:g}' for x in numbers)}: SHELX takes a positive scale, a positive "
            "weight and a matrix with a positive determinant only",
            "correct the HKLF instruction",
        )
    data = table.data._replace(
        intensity=table.data.intensity * scale, sigma=table.data.sigma * scale / math.sqrt(weight)
    )
    overlaps = table.overlaps
    if overlaps is not None:
        overlaps = overlaps._replace(
            intensity=overlaps.intensity * scale, sigma=overlaps.sigma * scale / math.sqrt(weight)
        )
        table = table._replace(overlaps=overlaps)
    if np.array_equal(matrix, np.eye(3)):
        return table._replace(data=data)
    if overlaps is not None:
        table = table._replace(overlaps=_turned(overlaps, matrix))
    turned = data.hkl @ matrix.T
    whole = np.abs(turned - np.rint(turned)).max(axis=1) < WHOLE
    if not whole.any():
        raise SourceError(f"{name}: the matrix of HKLF gives all reflections fractions for indices")
    kept = observations_at(data, whole)._replace(hkl=np.rint(turned[whole]).astype(np.int32))
    warnings = table.warnings
    if not whole.all():
        warnings = (*warnings, f"{int((~whole).sum())} reflections left out: the matrix of HKLF gives them fractions")
    return table._replace(data=kept, warnings=warnings)


def _turned(overlaps: DomainOverlaps, matrix: NDArray[np.float64]) -> DomainOverlaps:
    """Return overlaps with turned indices, without observations of a reflection that gets fractions."""
    turned = overlaps.hkl @ matrix.T
    whole = np.abs(turned - np.rint(turned)).max(axis=1) < WHOLE
    kept = np.bincount(overlaps.observation, ~whole, len(overlaps.intensity)) == 0
    return overlaps.reindexed(np.rint(turned)).chosen(kept)
