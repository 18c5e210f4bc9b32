"""Intensities from an FCF, as SHELXL's LIST 4 and this project's own refinement write it."""

from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.model import SourceError, UnitCell
from tasks.refine import CalculatedIntensities, FittedIntensities

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
CALCULATED = ("index_h", "index_k", "index_l", "F_squared_calc")
FITTED = (*CALCULATED, "F_squared_meas", "F_squared_sigma")


def read_fcf(path: Path) -> CalculatedIntensities:
    """Return the Miller indices and F(calc)^2 of an FCF.

    Raises
    ------
    SourceError
        If it cannot be read, or does not hold them.
    """
    cell, rows = _table(path, CALCULATED)
    return CalculatedIntensities(cell, rows[:, :3].astype(np.int32), rows[:, 3])


def read_fit(path: Path) -> FittedIntensities:
    """Return the Miller indices, F(obs)^2, F(calc)^2 and sigma of an FCF.

    Raises
    ------
    SourceError
        If it cannot be read, or does not hold them.
    """
    cell, rows = _table(path, FITTED)
    return FittedIntensities(cell, rows[:, :3].astype(np.int32), rows[:, 4], rows[:, 3], rows[:, 5])


def _table(path: Path, columns: tuple[str, ...]) -> tuple[UnitCell, NDArray[np.float64]]:
    """Return the cell and the columns (n, k) of the loop of reflections."""
    try:
        block = gemmi.cif.read(str(path)).sole_block()
        a, b, c, alpha, beta, gamma = (float(gemmi.cif.as_number(block.find_value(f"_cell_{name}"))) for name in CELL)
        cell = UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)
        table = block.find("_refln_", list(columns))
        rows = np.array([[float(gemmi.cif.as_number(value)) for value in row] for row in table])
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"{path}: not a readable FCF: {error}", "refine again") from error
    if not len(rows) or not np.isfinite(rows).all():
        raise SourceError(f"{path}: holds no {', '.join(columns)} (LIST 4)", "refine again")
    return cell, rows
