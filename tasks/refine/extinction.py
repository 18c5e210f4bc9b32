"""How much extinction a crystal can show."""

import math

from tasks.model import UnitCell
from tasks.refine.draft import UniqueIntensities

THICKNESS_ANGSTROM = 5000.0
"""Of the thickest crystal that is measured in transmission: at 300 kV few electrons pass 500 nm of a light material
without losing energy (mean free paths are 100 to 300 nm: Egerton, Electron Energy-Loss Spectroscopy, 3rd ed., 2011,
section 5.1)."""
COMPTON_ANGSTROM = 0.024263
"""h / m c (CODATA 2018, 2.42631e-12 m)."""


def most_extinction(cell: UnitCell, intensities: UniqueIntensities) -> float:
    """Return the largest EXTI of SHELXL that dynamical scattering of electrons explains; infinite for X-rays.

    In the two-beam case a crystal of thickness t has I / I_kin = 1 / A of the integral of J0(2 x) from 0 to A, with
    A = t lambda gamma F / V (Blackman, Proc. R. Soc. A173, 68-82, 1939), which is 1 / 2A for a thick one. SHELXL's
    (1 + 0.001 x F^2 lambda^3 / sin 2 theta)^(-1/2) is as much where x = 4000 (t gamma / V)^2 / d. The bound is that of
    the smallest d.
    """
    if intensities.radiation != "electron":
        return math.inf
    gamma = math.hypot(1.0, COMPTON_ANGSTROM / intensities.wavelength_angstrom)
    return 4000.0 * (THICKNESS_ANGSTROM * gamma / cell.volume_angstrom3) ** 2 / intensities.d_min_angstrom
