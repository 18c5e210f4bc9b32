"""From merged intensities to amplitudes |F| and normalised amplitudes |E|."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, scattering_factor
from tasks.model import Composition, InputError

FRENCH_WILSON_POINTS = 96
"""Of the quadrature over +-6 sigma: |F| of -3 to 30 sigma(I) is then within 0.0004 of that of 2000 points, its sigma
within 0.0005, both relative; half as many points are four times as far off."""
SMOOTHING_WINDOWS = 12  # independent windows over the resolution range


class WilsonFit(NamedTuple):
    """<I> = scale * sum(f^2) * exp(-B/(2 d^2)) * correction(d), and the expectation (n,) for each reflection."""

    b_angstrom2: float
    scale: float
    expected_intensity: NDArray[np.float64]
    residual: float
    """Root mean square of ln(<I>/Wilson line) over shells."""


def sum_of_squared_factors(
    contents: Composition | None, d_star_sq: NDArray[np.float64], radiation: Radiation
) -> NDArray[np.float64]:
    """Return the mean squared scattering factor of the composition, (n,); of carbon where it is unknown."""
    counts = contents.counts if contents is not None else {"C": 1.0}
    total = sum(number * scattering_factor(element, d_star_sq, radiation) ** 2 for element, number in counts.items())
    return np.asarray(total, dtype=np.float64) / sum(counts.values())


def fit_wilson(
    intensity: NDArray[np.float64],
    d_star_sq: NDArray[np.float64],
    factors_sq: NDArray[np.float64],
    *,
    general: NDArray[np.bool_],
) -> WilsonFit:
    """Fit the Wilson line and a smooth correction to it.

    Source: Wilson, Nature 150, 151-152 (1942). The correction is a Gaussian-weighted running mean of the intensities
    over the line, in the rank of resolution, so that each window holds equally many reflections: it takes up the
    Debye effect of bond distances and dynamical flattening, which no overall B can describe.

    Parameters
    ----------
    intensity, d_star_sq, factors_sq
        (n,) merged intensities, 1/d^2 in 1/angstrom^2, mean squared scattering factors.
    general
        (n,) reflections that no rotation of the Laue group maps on themselves: the statistics are taken from these
        where they are at least half of the data, since the intensity factor of the others depends on the unknown
        space group.

    Raises
    ------
    InputError
        If the mean intensity is not positive.
    """
    used = general if general.mean() > 0.5 else np.ones(len(intensity), dtype=bool)
    if not intensity[used].mean() > 0:
        raise InputError(f"{len(intensity)} intensities of mean {intensity.mean():.3g} cannot be put on a scale")
    order = np.flatnonzero(used)[np.argsort(d_star_sq[used], kind="stable")]
    slope, offset, residual = _wilson_line(intensity[order], d_star_sq[order], factors_sq[order])
    line = factors_sq * np.exp(offset + slope * d_star_sq)
    correction = _running_mean(d_star_sq, d_star_sq[order], intensity[order], line[order])
    return WilsonFit(-2.0 * slope, float(np.exp(offset)), line * correction, residual)


def _wilson_line(
    intensity: NDArray[np.float64], d_star_sq: NDArray[np.float64], factors_sq: NDArray[np.float64]
) -> tuple[float, float, float]:
    shells = np.array_split(np.arange(len(intensity)), max(3, min(20, len(intensity) // 30)))
    mean = np.array([intensity[shell].mean() / factors_sq[shell].mean() for shell in shells])
    x = np.array([d_star_sq[shell].mean() for shell in shells])
    positive = mean > 1e-6 * mean.max()
    if positive.sum() < 2:
        return 0.0, float(np.log(max(mean.max(), 1e-300))), 0.0
    slope, offset = np.polyfit(x[positive], np.log(mean[positive]), 1)
    rest = np.log(mean[positive]) - (offset + slope * x[positive])
    return float(slope), float(offset), float(np.sqrt(np.mean(rest**2)))


def _running_mean(
    at: NDArray[np.float64], d_star_sq: NDArray[np.float64], intensity: NDArray[np.float64], line: NDArray[np.float64]
) -> NDArray[np.float64]:
    count = len(d_star_sq)
    knots = np.linspace(0, count - 1, min(4 * SMOOTHING_WINDOWS, count))
    width = max(count / (2.0 * SMOOTHING_WINDOWS), 10.0)
    kernel = np.exp(-0.5 * ((knots[:, None] - np.arange(count)) / width) ** 2)
    smooth = (kernel @ intensity) / (kernel @ line)
    smooth = np.maximum(smooth, 0.02 * np.median(smooth[smooth > 0]))
    return np.interp(at, np.interp(knots, np.arange(count), d_star_sq), smooth)


def french_wilson(
    intensity: NDArray[np.float64], sigma: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the posterior mean and standard deviation of |F|, (n,) each; negative intensities give small |F|.

    Source: French & Wilson, Acta Cryst. A34, 517-525 (1978), with the acentric prior exp(-J/expected) for all
    reflections, since the space group is not known, and by quadrature instead of tables.
    """
    sigma = np.maximum(sigma, 1e-6 * expected)
    centre = intensity - sigma**2 / expected
    low = np.sqrt(np.maximum(0.0, centre - 6.0 * sigma))
    high = np.sqrt(np.maximum(centre, 0.0) + 6.0 * sigma)
    fraction = (np.arange(FRENCH_WILSON_POINTS) + 0.5) / FRENCH_WILSON_POINTS
    amplitude = low[:, None] + (high - low)[:, None] * fraction
    # the density of F is 2 F times that of J = F^2; the tail of very negative intensities needs the maximum removed
    log_density = np.log(amplitude) - 0.5 * ((amplitude**2 - centre[:, None]) / sigma[:, None]) ** 2
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    density /= density.sum(axis=1, keepdims=True)
    mean = (density * amplitude).sum(axis=1)
    variance = (density * amplitude**2).sum(axis=1) - mean**2
    return mean, np.sqrt(np.maximum(variance, 0.0))
