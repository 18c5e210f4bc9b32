"""What a reader of an intensity file returns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate import Unmerged
from tasks.model import UnitCell


class IntensityTable(NamedTuple):
    """Observations as listed, and what else the file says of them; None where it is silent."""

    data: Unmerged
    unit_cell: UnitCell | None = None
    wavelength_angstrom: float | None = None
    space_group: str | None = None
    warnings: tuple[str, ...] = ()


class Positions(NamedTuple):
    """Where unmerged reflections were observed, (n,) each, hkl (n, 3); integers are pixel centres."""

    hkl: NDArray[np.int32]
    slow_px: NDArray[np.float64]
    fast_px: NDArray[np.float64]
    angle_deg: NDArray[np.float64]


def observations(
    hkl: NDArray[np.int32],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.float64],
    *,
    angle_deg: NDArray[np.float64] | None = None,
    crystal: NDArray[np.int32] | None = None,
) -> Unmerged:
    """Return a table of observations; angle and crystal are zero where a file does not give them."""
    n = len(intensity)
    return Unmerged(
        np.ascontiguousarray(hkl, dtype=np.int32).reshape(n, 3),
        np.asarray(intensity, dtype=np.float64),
        np.asarray(sigma, dtype=np.float64),
        np.zeros(n) if angle_deg is None else np.asarray(angle_deg, dtype=np.float64),
        np.zeros(n, dtype=np.int32) if crystal is None else np.asarray(crystal, dtype=np.int32),
    )
