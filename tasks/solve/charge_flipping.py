"""Charge flipping on normalised structure factors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.solve.problem import PhaseProblem


class FlippingState(NamedTuple):
    """Where an iteration stands."""

    phase_rad: NDArray[np.float32]
    """(measured,)"""
    f000: float
    floating: NDArray[np.complex64]
    """(n,) coefficients of the last modified density, for those without amplitude."""
    skewness: float
    """Of the density before flipping."""


def random_phases(problem: PhaseProblem, rng: np.random.Generator) -> FlippingState:
    """Start from uniform random phases, with nothing for the missing reflections."""
    phase = rng.uniform(-np.pi, np.pi, problem.measured).astype(np.float32)
    return FlippingState(phase, 0.0, np.zeros(len(problem.hkl), dtype=np.complex64), 0.0)


def flip(
    problem: PhaseProblem,
    state: FlippingState,
    *,
    amplitude: NDArray[np.float32],
    threshold: float = 1.1,
    weak: NDArray[np.bool_],
) -> FlippingState:
    """Do one cycle of charge flipping.

    Source: Oszlanyi & Suto, Acta Cryst. A60, 134-141 (2004); weak reflections keep their calculated modulus and are
    shifted by pi/2: ibid. A61, 147-152 (2005); E instead of F: ibid. A62 (2006). Missing and free reflections and
    F(000) float.

    Parameters
    ----------
    amplitude
        (measured,) |E| to impose.
    threshold
        In standard deviations of the density.
    weak
        (measured,) reflections treated as weak.
    """
    coefficients = state.floating.copy()
    known = ~(problem.free | weak)
    rows = np.flatnonzero(known)
    coefficients[rows] = amplitude[rows] * np.exp(1j * state.phase_rad[rows])
    turned = np.flatnonzero(weak & ~problem.free)
    coefficients[turned] *= 1j
    points = np.prod(problem.grid.shape)
    density = problem.grid.to_map(coefficients) + np.float32(state.f000 / points)
    sigma = density.std()
    centred = density - density.mean()
    skewness = float((centred**3).mean() / sigma**3)
    flipped = np.where(density < threshold * sigma, -density, density)
    calculated = problem.grid.to_coefficients(flipped)
    return FlippingState(
        np.angle(calculated[: problem.measured]), float(flipped.sum(dtype=np.float64)), calculated, skewness
    )
