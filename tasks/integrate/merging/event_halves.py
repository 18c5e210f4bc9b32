"""What the two halves of the events say about the stated sigmas."""

import numpy as np

from tasks.integrate.reflection_file import Unmerged
from tasks.model.arrays import Floats

LEAST_OBSERVATIONS = 30
"""Effective number, (sum w)^2 / sum w^2: the ratio is then known to 1 / sqrt(2 * 30) = 13 %, and RATIO_LOW and
RATIO_HIGH are 2 and 3 standard deviations from one."""
MOST_I_OVER_SIGMA = 10.0
"""Chosen, not measured: a relative error of the model, which the halves share, rivals counting there if it is 10 %.
Only observations below 3 were asked before, and good data were warned about."""
MOST_DEVIATION = 5.0
"""In sigmas; a normal deviate lies beyond once in 1.7 million."""
RATIO_LOW = 0.7
"""A little less than 1 / sqrt(2), and sqrt(2) for `RATIO_HIGH`: variances wrong by a factor of two."""
RATIO_HIGH = 1.4
"""Single shells of simulated series have variances of (I - I_true)/sigma of 0.64 to 1.43 (tests/benchmarks/RESULTS.md),
and the roots of these, 0.8 to 1.2, should give no warning."""


def sigma_ratio(data: Unmerged, halves: tuple[Floats, Floats]) -> float | None:
    """Return the spread of the difference of the halves in units of the stated sigmas; None for too few.

    The sum of both halves has the variance of their difference if the halves are independent. The sigmas of the
    strongest observations hold model errors that both halves share, and those of observations of next to no counts
    what a count more would make of them: neither is asked. Observations weigh as the square of I/sigma up to
    MOST_I_OVER_SIGMA, and single deviations are held to MOST_DEVIATION.

    Parameters
    ----------
    halves
        The intensities (n,) of the observations from either half, on the scale of ``data``.
    """
    known = np.isfinite(data.sigma) & (data.sigma > 0) & np.isfinite(halves[0]) & np.isfinite(halves[1])
    strength = np.where(known, data.intensity / np.where(known, data.sigma, 1.0), 0.0) ** 2
    asked = known & (strength < MOST_I_OVER_SIGMA**2)
    weight = strength[asked]
    if not weight.sum() > 0 or weight.sum() ** 2 < LEAST_OBSERVATIONS * (weight**2).sum():
        return None
    square = ((halves[0] - halves[1])[asked] / data.sigma[asked]) ** 2
    return float(np.sqrt(np.average(np.minimum(square, MOST_DEVIATION**2), weights=weight)))


def halves_warnings(
    data: Unmerged, halves: tuple[Floats, Floats] | None, *, noise_factor: float = 1.0
) -> tuple[str, ...]:
    """Say so if the halves of the events differ more or less than the stated sigmas allow.

    Parameters
    ----------
    noise_factor
        Counts that one electron left: a coin for each of them splits electrons, so that halves differ by less.
    """
    ratio = None if halves is None else sigma_ratio(data, halves)
    ratio = None if ratio is None else ratio * float(np.sqrt(noise_factor))
    if ratio is None or RATIO_LOW <= ratio <= RATIO_HIGH:
        return ()
    return (f"the halves of the events differ by {ratio:.2f} times the stated sigmas: check them",)
