"""Whether all lengths are wrong by one factor, and what would explain it: the camera length or the beam energy.

Both scale a cell alike. They differ in the curvature of the Ewald sphere, which shows the scattering angles, hence the
camera length, whatever the wavelength: where it agrees with the camera length, the energy is wrong.
"""

from typing import Literal, NamedTuple

import numpy as np

from tasks.integrate import CellScale, curvature_doubt
from tasks.model.experiment import energy_of_wavelength_kev
from tasks.refine.bond_scale import COARSE_SPREAD, BondScale

Cause = Literal["camera length", "beam energy", "either", "neither alone"]

LEAST_SIGMAS = 3.0
"""Of the common factor of the bonds, alone or averaged with the curvature, from which lengths are called wrong; also of
what a cause must explain. Of 116 published structures that did not set anything, 49 organic crystals and 67 of
CIFs, 3 come to more by their bonds alone (tests/benchmarks/cell_scale.py)."""
VERDICTS: dict[Cause, str] = {
    "camera length": ", and the curvature of the Ewald sphere says that it is the camera length",
    "beam energy": ", and the curvature of the Ewald sphere says that it is the beam energy",
    "neither alone": ", but by the curvature of the Ewald sphere neither does alone: both, or elements, are wrong",
    "either": "",
}
LEAST_CHANGE = 0.015
"""Of all lengths, relative: an error of the camera length of 1 % is usual, and no news."""


class ScaleDoubt(NamedTuple):
    """By which ``factor`` all lengths should be multiplied, with its relative esd, the cause, and all in words.

    ``kinds``: elements whose bonds ask for it.
    """

    factor: float
    esd: float
    cause: Cause
    text: str
    kinds: int = 0

    def __str__(self) -> str:
        return self.text


def scale_doubt(
    found: BondScale | None, scale: CellScale | None, wavelength_angstrom: float | None
) -> ScaleDoubt | None:
    """Return what bonds and curvature say against the scale of all lengths, None if they do not contradict it.

    The bonds decide alone, or with the curvature where both point to one camera length; the curvature decides alone
    only where nothing is known of the bonds, and then with the more standard uncertainties of `curvature_doubt`.
    """
    if found is None:
        said = None if scale is None else curvature_doubt(scale)
        if said is None or scale is None or scale.curvature_ratio is None or scale.curvature_relative_esd is None:
            return None
        return ScaleDoubt(scale.curvature_ratio, scale.curvature_relative_esd, "camera length", said)
    off, esd = float(np.log(found.factor)), found.esd
    bent = _curvature(scale)
    together = off, esd
    if bent is not None and abs(off - bent[0]) < LEAST_SIGMAS * np.hypot(esd, bent[1]):
        weight = np.array([esd, bent[1]]) ** -2.0
        together = float(np.average([off, bent[0]], weights=weight)), float(weight.sum() ** -0.5)
    strongest = max(((off, esd), together), key=lambda row: abs(row[0]) / row[1])
    if abs(strongest[0]) <= max(LEAST_SIGMAS * strongest[1], LEAST_CHANGE):
        return None
    cause = _cause(off, esd, scale)
    factor = float(np.exp(strongest[0]))
    by = "the bonds" if found.sites else "the room for its atoms" if found.esd < COARSE_SPREAD else "the nearest atoms"
    text = _explained(factor, scale, wavelength_angstrom, size=f"{_size(factor, strongest[1])} by {by}")
    return ScaleDoubt(factor, strongest[1], cause, text + VERDICTS[cause], found.kinds)


def _curvature(scale: CellScale | None) -> tuple[float, float] | None:
    """Return the logarithm of the factor that the curvature asks of the camera length, and its esd."""
    if scale is None or scale.curvature_ratio is None or scale.curvature_relative_esd is None:
        return None
    return float(np.log(scale.curvature_ratio)), scale.curvature_relative_esd


def _cause(off: float, esd: float, scale: CellScale | None) -> Cause:
    """Return what explains that the bonds ask for a factor, by the camera length that the curvature shows."""
    bent = _curvature(scale)
    if scale is None or bent is None:
        return "either"
    by_length = abs(off - bent[0]) < LEAST_SIGMAS * np.hypot(esd, bent[1])
    by_energy = abs(bent[0]) < LEAST_SIGMAS * np.hypot(bent[1], scale.relative_esd)
    if by_length and by_energy:
        return "either"
    return "camera length" if by_length else "beam energy" if by_energy else "neither alone"


def _size(factor: float, esd: float) -> str:
    size, word = (1.0 / factor, "long") if factor < 1.0 else (factor, "short")
    digits = 3 if abs(size - 1.0) < 0.1 else 2
    return f"all lengths are {size:.{digits}f}({max(1, round(esd * size * 10**digits))}) times too {word}"


def _explained(factor: float, scale: CellScale | None, wavelength: float | None, *, size: str) -> str:
    """Return how large the error is, and the camera length and the energy that would explain it."""
    said = []
    if scale is not None:
        length = scale.camera_length_mm
        said.append(f"a camera length of {length * factor:.4g} mm in place of {length:.4g} mm")
    elif wavelength is not None:
        said.append(f"a camera length {factor:.3g} times that used")
    if wavelength is not None:
        right, given = (energy_of_wavelength_kev(wavelength * x) for x in (factor, 1.0))
        said.append(f"a beam energy of {right:.0f} keV in place of {given:.0f} keV")
    return f"{size}: {' or '.join(said)} would explain it" if said else size
