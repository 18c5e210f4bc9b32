"""Which hand the anomalous differences ask for. Imported by the worker only, after cctbx."""

import math

from cctbx import miller
from cctbx.array_family import flex
from smtbx import absolute_structure

LEAST_DIFFERENCE = 1e-3
"""Of F(calc)^2 of Friedel mates, root mean square, over their mean: with less the structure has no anomalous scattering
that could tell the hand (light atoms with molybdenum radiation have some 2e-3)."""


def hooft(fo_sq: miller.array, f_calc: miller.array, scale: float) -> tuple[float, float] | None:
    """Return Hooft's y and its esd; None without Friedel pairs or anomalous differences, or with a centre.

    Source: Hooft, Straver & Spek, J. Appl. Cryst. 41, 96-103 (2008), as implemented by smtbx.
    """
    if not fo_sq.anomalous_flag() or fo_sq.space_group().is_centric() or not fo_sq.is_unique_set_under_symmetry():
        return None
    calculated = f_calc.as_intensity_array()
    differences = calculated.anomalous_differences()
    if not differences.size():
        return None
    spread = math.sqrt(flex.mean(flex.pow2(differences.data())))
    if spread < LEAST_DIFFERENCE * flex.mean(calculated.data()):
        return None
    analysis = absolute_structure.hooft_analysis(fo_sq, f_calc, scale_factor=scale)
    y, esd = float(analysis.hooft_y), float(analysis.sigma_y)
    return (y, esd) if math.isfinite(y) and math.isfinite(esd) and esd > 0 else None
