"""Electron scattering factors in the four Gaussians that a SFAC line of SHELX takes."""

import functools

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from tasks.crystal.scattering import scattering_factor
from tasks.crystal.scattering_tables import Gaussians, ScatteringTable, factor_to_fit, is_charged

S_MAX = 1.5
"""sin(theta)/lambda up to which the four Gaussians follow the table, 1/angstrom: d = 0.33 angstrom."""

S_MIN_OF_FOUR = 0.05
"""From where the four Gaussians of other tables follow them, 1/angstrom: d = 10 angstrom, inside of which small cells
have a few reflections at most. Chosen, not measured: less makes the fit of ions worse where all reflections are."""
FOUR_OFF = 0.01
"""What `four_gaussians` is off at most."""


@functools.cache
def four_gaussians(element: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a (4,) in angstrom and b (4,) in angstrom^2 for f(s) = sum a exp(-b s^2) of an element for electrons.

    The five Gaussians of Peng et al. (1996) fitted by four, without a constant, to better than 1 % of f up to
    s = 1.5 1/angstrom.
    """
    s_sq = np.linspace(0.0, S_MAX, 151) ** 2
    wanted = scattering_factor(element, 4.0 * s_sq, "electron")
    coefficients = gemmi.Element("H" if element == "D" else element).c4322
    amplitudes, widths = np.array(coefficients.a), np.array(coefficients.b)
    order = np.argsort(widths)
    # the start: the two broadest of the five taken together
    start_a = [*amplitudes[order][:3], amplitudes[order][3:].sum()]
    start_b = [*widths[order][:3], np.average(widths[order][3:], weights=np.maximum(amplitudes[order][3:], 1e-6))]
    start = np.log(np.maximum(np.array([*start_a, *start_b]), 1e-4))

    def misfit(x: NDArray[np.float64]) -> NDArray[np.float64]:
        model = np.exp(-np.outer(s_sq, np.exp(x[4:]))) @ np.exp(x[:4])
        return (model - wanted) / wanted

    found = np.exp(least_squares(misfit, start, max_nfev=2000).x)
    return tuple(float(x) for x in found[:4]), tuple(float(x) for x in found[4:])


@functools.cache
def four_gaussians_of(symbol: str, table: ScatteringTable) -> Gaussians:
    """Return four Gaussians for an element or ion of any table for electrons, and how far they are off at most.

    From s = 0.05 1/angstrom (d = 10 angstrom) on: Gaussians cannot follow the rise of an ion's factor below.
    """
    if table == "peng-1996":
        return Gaussians(*four_gaussians(symbol), FOUR_OFF)
    grid = factor_to_fit(symbol, table, S_MIN_OF_FOUR)
    start = np.log(np.geomspace(0.5, 0.5 / S_MIN_OF_FOUR**2 if is_charged(symbol, table) else 60.0, 4))

    def misfit(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return grid.fitted(np.exp(x))[1]

    return grid.gaussians(np.exp(least_squares(misfit, start, max_nfev=400).x))
