"""What a reader of an intensity file returns."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from tasks.integrate import DomainOverlaps, Unmerged
from tasks.model import UnitCell

ELECTRONS_BELOW_ANGSTROM = 0.06
"""Wavelength up to which a file that names no radiation holds electron data: 46 keV electrons, or photons of 207 keV.
Chosen, not measured: electrons of 60 to 300 keV have 0.049 to 0.020 A, X-ray diffraction is rarely done below 0.1 A."""
LARGEST_INDEX = 2**15 - 1
"""Of a Miller index or a batch number in columns of any width: a cell of 1000 angstrom to 0.1 angstrom has indices of
10 000. Chosen, not measured: what is larger is another quantity."""


class IntensityTable(NamedTuple):
    """Observations as listed, and what else the file says of them; None where it is silent."""

    data: Unmerged
    unit_cell: UnitCell | None = None
    wavelength_angstrom: float | None = None
    space_group: str | None = None
    warnings: tuple[str, ...] = ()
    composition: str | None = None
    radiation: Literal["electron", "xray"] | None = None
    trusted_group: bool = False
    """Whether `space_group` was chosen by a person or a refinement, not by a program that looks at the lattice."""
    overlaps: DomainOverlaps | None = None
    """What was measured of a non-merohedral twin, where `data` are shares of it."""
    facts: tuple[tuple[str, JsonValue], ...] = ()
    """What else the file says and no run needs, by name, for people."""

    @property
    def probe(self) -> Literal["electron", "xray"] | None:
        """What was diffracted: as stated, else by the wavelength, else None."""
        if self.radiation is not None or self.wavelength_angstrom is None:
            return self.radiation
        return "electron" if self.wavelength_angstrom < ELECTRONS_BELOW_ANGSTROM else "xray"


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


def squared(f: NDArray[np.float64], sigma: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return F^2 of amplitudes with its sigma, 2 F sigma(F) + sigma(F)^2."""
    return f**2, np.abs(2.0 * f * sigma) + sigma**2
