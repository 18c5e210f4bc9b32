"""The reflections that a refined structure fits worst."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.model import Document, UnitCell
from tasks.refine.models import Refinement
from tasks.refine.weighting import shelx_weights


class FittedIntensities(NamedTuple):
    """F^2 of a refinement in the cell of its structure, on the absolute scale: hkl (n, 3) int32, the rest (n,)."""

    unit_cell: UnitCell
    hkl: NDArray[np.int32]
    observed: NDArray[np.float64]
    calculated: NDArray[np.float64]
    sigma: NDArray[np.float64]


class Misfit(Document):
    """One reflection, as measured and as the structure has it; F^2 on the absolute scale."""

    hkl: tuple[int, int, int]
    d_angstrom: float
    f_squared_observed: float
    f_squared_calculated: float
    sigma: float
    deviation: float = Field(description="observed less calculated, in the errors that the weights of the fit mean")


def worst_fits(fitted: FittedIntensities, model: Refinement, *, most: int) -> tuple[Misfit, ...]:
    """Return the reflections of the largest |deviation|, at most so many, the worst first.

    The deviation is sqrt(w) (Fo^2 - Fc^2) / S, with the weights and the goodness of fit S of the refinement: Error/esd
    in the list of most disagreeable reflections of SHELXL (SHELX manual).
    """
    a, b = model.weights[0], model.weights[1]
    weight = shelx_weights(fitted.observed, fitted.sigma, fitted.calculated, a=a, b=b)
    difference = fitted.observed - fitted.calculated
    deviation = np.sqrt(np.maximum(weight, 0.0)) * difference / (model.goof or 1.0)
    order = np.argsort(-np.abs(deviation), kind="stable")[:most]
    cell = fitted.unit_cell.gemmi()
    return tuple(
        Misfit(
            hkl=(int(h), int(k), int(l)),
            d_angstrom=round(float(cell.calculate_d((int(h), int(k), int(l)))), 4),
            f_squared_observed=float(fitted.observed[row]),
            f_squared_calculated=float(fitted.calculated[row]),
            sigma=float(fitted.sigma[row]),
            deviation=round(float(deviation[row]), 2),
        )
        for row, (h, k, l) in zip(order, fitted.hkl[order], strict=True)
    )
