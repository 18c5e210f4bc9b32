"""How far the intensities say anything."""

import gemmi
import numpy as np

from tasks.crystal.scattering import d_star_squared
from tasks.integrate.merging.equivalents import group_equivalents
from tasks.integrate.merging.statistics import cc_half, mean_i_over_sigma
from tasks.integrate.reflection_file import Unmerged
from tasks.model import UnitCell

MIN_CC_HALF = 0.3
"""The usual bound: Karplus & Diederichs, Curr. Opin. Struct. Biol. 34, 60-68 (2015)."""
MIN_I_OVER_SIGMA = 1.0
"""Below the customary 2: weaker shells improve a model, too (Karplus & Diederichs, Science 336, 1030-1033, 2012).
Chosen, not measured, as it alone decides where there are no equivalents."""
PER_SHELL = 60
"""Observations. If each reflection was measured twice CC1/2 rests on 30 pairs, and that of noise scatters by
1 / sqrt(29) = 0.19 about zero: it passes MIN_CC_HALF once in 19."""


def significant_d_min(data: Unmerged, laue: gemmi.SpaceGroup, cell: UnitCell, *, shells: int = 20) -> float:
    """Return the high-resolution limit in angstrom: the end of the last shell with I/sigma >= 1 and CC1/2 >= 0.3.

    CC1/2 = 0.3 is the usual bound (Karplus & Diederichs, Curr. Opin. Struct. Biol. 34, 60-68, 2015). A shell without
    enough equivalents is judged by I/sigma alone.
    Shells hold equally many observations, at least 60.
    """
    d_star_sq = d_star_squared(data.hkl, cell)
    member = group_equivalents(data.hkl, laue).member
    order = np.argsort(d_star_sq, kind="stable")
    parts = np.array_split(order, int(np.clip(len(order) // PER_SHELL, 1, shells)))
    for rows in reversed(parts):
        group = np.unique(member[rows], return_inverse=True)[1].astype(np.int64)
        ratio = mean_i_over_sigma(data.intensity[rows], data.sigma[rows], group)
        agreement = cc_half(data.intensity[rows], group)
        significant = ratio is not None and ratio >= MIN_I_OVER_SIGMA
        if significant and (agreement is None or agreement >= MIN_CC_HALF):
            return float(d_star_sq[rows].max() ** -0.5)
    return float(d_star_sq.max() ** -0.5)
