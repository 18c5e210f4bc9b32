"""Dual-space recycling of E maps: peaks kept at random in real space, weighted amplitudes in reciprocal space."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.model import UnitCell
from tasks.solve.phasing.peak_search import find_peaks
from tasks.solve.phasing.problem import PhaseProblem

MAP_FLOOR_SIGMA = 0.8  # maxima below this are not worth looking at


def recycle(
    problem: PhaseProblem,
    coefficients: NDArray[np.complex64],
    rng: np.random.Generator,
    *,
    cycles: int,
    omit_fraction: float,
    omit_every: int,
    atoms: int,
    radius_angstrom: float,
    sharpness: float,
    floating: float,
) -> NDArray[np.complex64]:
    """Return the coefficients (n,) of the density after some cycles.

    Source: the scheme is that of SHELXT (Sheldrick, Acta Cryst. A71, 3-8, 2015): atoms are masked out of an E map,
    some of them left out at random, and the density between them cleared. Departures: the E map is weighted by
    tanh(|Eo Ec| / 2), which is Sim's weight of a centric reflection with the calculated amplitudes put on the scale
    of the observed ones (Sim, Acta Cryst. 13, 511-512, 1960), rather than by a power of E; no omission in the last
    tenth of the cycles.

    Parameters
    ----------
    coefficients
        (n,) to start from, on any scale.
    omit_fraction, omit_every
        This part of the peaks is left out in every so many-th cycle.
    atoms
        How many peaks make the model.
    radius_angstrom
        Standard deviation of the Gaussian around each peak by which the density is multiplied.
    sharpness
        Power of the density: below 1 it makes atoms more equal.
    floating
        Weight of the calculated coefficients of reflections without amplitude, 0 to leave them out.
    """
    known = np.flatnonzero(~problem.free)
    amplitude = (problem.e * problem.weight)[known]
    quiet = cycles - max(1, cycles // 10)
    for cycle in range(cycles):
        density = problem.grid.to_map(weighted(coefficients, known, amplitude, floating))
        omitting = cycle % omit_every == omit_every - 1 and cycle < quiet
        positions = _model(problem.cell, density, rng, atoms=atoms, omit_fraction=omit_fraction if omitting else 0.0)
        modified = masked(
            density, positions, *_metric(problem.cell), np.float32(radius_angstrom), np.float32(sharpness)
        )
        coefficients = problem.grid.to_coefficients(modified)
    return coefficients


def weighted(
    coefficients: NDArray[np.complex64], known: NDArray[np.int64], amplitude: NDArray[np.float32], floating: float
) -> NDArray[np.complex64]:
    """Return the coefficients of the next E map, (n,): observed amplitudes where `known`, weighted by agreement."""
    calculated = coefficients[known]
    modulus = np.abs(calculated)
    scale = np.sqrt((amplitude**2).sum() / max(float((modulus**2).sum()), 1e-20))
    weight = amplitude * np.tanh(0.5 * scale * amplitude * modulus)
    result = coefficients * np.complex64(scale * floating)
    result[known] = weight * calculated / np.maximum(modulus, np.float32(1e-12))
    return result


def random_start(problem: PhaseProblem, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Return coefficients (n,) with random phases, nothing where there is no amplitude."""
    coefficients = np.zeros(len(problem.hkl), dtype=np.complex64)
    phase = rng.uniform(-np.pi, np.pi, problem.measured)
    coefficients[: problem.measured] = problem.e * np.exp(1j * phase)
    return coefficients


def _model(
    cell: UnitCell, density: NDArray[np.float32], rng: np.random.Generator, *, atoms: int, omit_fraction: float
) -> NDArray[np.float64]:
    floor = MAP_FLOOR_SIGMA * float(density.std())
    positions = find_peaks(density, cell, count=atoms, distance_angstrom=0.9, floor=floor).position
    if omit_fraction > 0:
        positions = positions[rng.random(len(positions)) >= omit_fraction]
    return positions


def _metric(cell: UnitCell) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    orthogonal = orthogonalisation(cell)
    return orthogonal, np.linalg.norm(fractionalisation(cell), axis=1)


@njit(cache=True)
def masked(
    density: NDArray[np.float32],
    positions: NDArray[np.float64],
    orthogonal: NDArray[np.float64],
    reciprocal_lengths: NDArray[np.float64],
    sigma: np.float32,
    power: np.float32,
) -> NDArray[np.float32]:
    """Return density^power (where positive) times a Gaussian of `sigma` angstrom around the nearest of the positions.

    Parameters
    ----------
    positions
        (m, 3) fractional.
    orthogonal
        (3, 3) upper triangular, fractional to angstrom.
    reciprocal_lengths
        (3,) a*, b*, c*.
    """
    n0, n1, n2 = density.shape
    result = np.zeros_like(density)
    reach = 2.2 * sigma
    narrow = 0.5 / (sigma * sigma)
    half = np.empty(3, dtype=np.int64)
    for axis in range(3):
        half[axis] = int(np.ceil(reach * reciprocal_lengths[axis] * density.shape[axis]))
    for x, y, z in positions:
        i0, j0, k0 = int(np.floor(x * n0 + 0.5)), int(np.floor(y * n1 + 0.5)), int(np.floor(z * n2 + 0.5))
        for i in range(i0 - half[0], i0 + half[0] + 1):
            for j in range(j0 - half[1], j0 + half[1] + 1):
                line, out = density[i % n0, j % n1], result[i % n0, j % n1]
                u, v = i / n0 - x, j / n1 - y
                dy0 = orthogonal[1, 1] * v
                dx0 = orthogonal[0, 0] * u + orthogonal[0, 1] * v
                for k in range(k0 - half[2], k0 + half[2] + 1):
                    w = k / n2 - z
                    dx, dy, dz = dx0 + orthogonal[0, 2] * w, dy0 + orthogonal[1, 2] * w, orthogonal[2, 2] * w
                    square = dx * dx + dy * dy + dz * dz
                    place = k % n2
                    value = line[place]
                    if square < reach * reach and value > 0:
                        if power != 1:
                            value = value**power
                        out[place] = max(out[place], value * np.float32(np.exp(-square * narrow)))
    return result
