"""What a dose leaves of a crystal."""

import math
from typing import NamedTuple

from tasks.simulate.models import DamagePlan


class Damaged(NamedTuple):
    """The part of the crystal that still diffracts, and what its atoms' B has gained, in angstrom^2."""

    left: float
    b_factor: float


def damaged(plan: DamagePlan, dose_e_per_a2: float) -> Damaged:
    """Return the state of a crystal after a dose in electrons per square angstrom."""
    lifetime = plan.lifetime_e_per_a2
    left = 1.0 if lifetime is None else math.exp(-dose_e_per_a2 / lifetime)
    return Damaged(left, plan.b_factor_per_dose * dose_e_per_a2)
