"""The phase problem in the primitive cell: what all phasing methods work on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import transformed_cell, triangular_basis
from tasks.crystal.miller import to_hemisphere
from tasks.model import UnitCell
from tasks.solve.data.prepared import NormalisedHemisphere
from tasks.solve.phasing.grid import FourierGrid, fourier_grid, grid_shape

GRID_FINENESS = 2.5
"""Grid points per d_min: 2 would do for the reflections themselves, but density modification makes higher ones, which
fold back. With 2.0 six sets of `python -m tests.benchmarks.solve` are solved in 37 trials in place of 26."""
FREE_FRACTION = 0.05
"""Usual for free reflections (Brunger, Nature 355, 472-475, 1992, took 10 %); more would weaken the phasing, which does
not see them. Chosen, not measured."""
FREE_SEED = 20150100
"""Any number, the same for all, so that the free reflections depend on nothing but the data."""


class PhaseProblem(NamedTuple):
    """Amplitudes and the grid. The first `measured` of the reflections (n, 3) have an amplitude, the rest float."""

    cell: UnitCell
    """Primitive."""
    hkl: NDArray[np.int32]
    """(n, 3) in the primitive cell: measured, then missing."""
    measured: int
    e: NDArray[np.float32]
    """(measured,) |E|."""
    weight: NDArray[np.float32]
    """(measured,) how far |E| can be trusted, in (0, 1]."""
    free: NDArray[np.bool_]
    """(measured,) whole orbits that no phasing method sees: they float like the missing ones."""
    conjugated: NDArray[np.bool_]
    """(n,) whose Friedel mate this is, of the reflection in the order of the data."""
    grid: FourierGrid
    """For all n reflections."""
    atoms: float
    """Expected non-hydrogen atoms in the primitive cell."""
    d_min_angstrom: float


def phase_problem(data: NormalisedHemisphere, *, free_fraction: float = FREE_FRACTION) -> PhaseProblem:
    """Return the problem of one data set; the choice of free reflections depends on nothing but the data."""
    basis = triangular_basis(data.operations.find_centering())
    cell = transformed_cell(data.cell, basis)
    centred = np.concatenate([data.hkl, data.missing]).astype(np.int64)
    hkl, conjugated = to_hemisphere(np.rint(centred @ basis).astype(np.int32))
    orbits = data.parent.max() + 1
    drawn = np.random.default_rng(FREE_SEED).random(orbits) < free_fraction
    shape = grid_shape(cell, data.d_min_angstrom / GRID_FINENESS)
    variance = (data.sigma_e * data.e) ** 2  # of E^2/2: what a peak or a density modification responds to
    return PhaseProblem(
        cell=cell,
        hkl=hkl,
        measured=len(data.hkl),
        e=data.e.astype(np.float32),
        weight=(1.0 / (1.0 + variance)).astype(np.float32),
        free=drawn[data.parent],
        conjugated=conjugated,
        grid=fourier_grid(hkl, shape),
        atoms=data.atoms_per_cell / len(data.operations.cen_ops),
        d_min_angstrom=data.d_min_angstrom,
    )
