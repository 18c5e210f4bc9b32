"""How far several crystals together may show what one shows to its own limit of resolution."""

from collections.abc import Sequence

import numpy as np

from tasks.integrate.models import Reflections

FALL_OFF_ANGSTROM2 = 4.0
"""B of intensities that fall as exp(-B / 2 d^2), scattering factors of light atoms included. Chosen, not measured: what
is measured too far out is noise, which the limit of the merged intensities cuts off."""


def joint_d_min(members: Sequence[Reflections], crystals: int) -> float:
    """Return the resolution in angstrom at which so many crystals together are as weak as the best at its limit.

    Sigmas fall with the root of their number.
    """
    best = min(one.d_min_angstrom for one in members)
    return float((best**-2 + np.log(max(crystals, 1)) / FALL_OFF_ANGSTROM2) ** -0.5)
