"""What the two halves of the events say about the stated sigmas."""

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.reflection_file import Unmerged

Floats = NDArray[np.float64]

LEAST_OBSERVATIONS = 100
RATIO_LOW = 0.7
RATIO_HIGH = 1.4


def sigma_ratio(data: Unmerged, halves: tuple[Floats, Floats]) -> float | None:
    """Return the spread of the difference of the halves in units of the stated sigmas; None for too few.

    The sum of both halves has the variance of their difference if the halves are independent. Only the weaker
    observations are asked: the sigmas of strong ones hold model errors that both halves share. The spread is the
    interquartile range over 1.349, which single outliers do not move.

    Parameters
    ----------
    halves
        The intensities (n,) of the observations from either half, on the scale of ``data``.
    """
    known = np.isfinite(data.sigma) & (data.sigma > 0) & np.isfinite(halves[0]) & np.isfinite(halves[1])
    weak = known & (np.abs(data.intensity) < 3.0 * data.sigma)
    if np.count_nonzero(weak) < LEAST_OBSERVATIONS:
        return None
    deviation = (halves[0] - halves[1])[weak] / data.sigma[weak]
    low, high = np.quantile(deviation, (0.25, 0.75))
    return float((high - low) / 1.349)


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
    return (f"the halves of the events differ by {ratio:.2f} times the stated sigmas of weak reflections: check them",)
