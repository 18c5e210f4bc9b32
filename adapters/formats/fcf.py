"""Calculated intensities from an FCF, as SHELXL's LIST 4 and this project's own refinement write it."""

from pathlib import Path

import gemmi
import numpy as np

from tasks.model import SourceError, UnitCell
from tasks.refine import CalculatedIntensities

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
COLUMNS = ("index_h", "index_k", "index_l", "F_squared_calc")


def read_fcf(path: Path) -> CalculatedIntensities:
    """Return the Miller indices and F(calc)^2 of an FCF.

    Raises
    ------
    SourceError
        If it cannot be read, or does not hold them.
    """
    try:
        block = gemmi.cif.read(str(path)).sole_block()
        a, b, c, alpha, beta, gamma = (float(gemmi.cif.as_number(block.find_value(f"_cell_{name}"))) for name in CELL)
        cell = UnitCell(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)
        table = block.find("_refln_", list(COLUMNS))
        rows = np.array([[float(gemmi.cif.as_number(value)) for value in row] for row in table])
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"{path}: not a readable FCF: {error}", "refine again") from error
    if not len(rows) or not np.isfinite(rows).all():
        raise SourceError(f"{path}: holds no {', '.join(COLUMNS)} (LIST 4)", "refine again")
    return CalculatedIntensities(cell, rows[:, :3].astype(np.int32), rows[:, 3])
