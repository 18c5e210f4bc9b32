"""Fourier coefficients of a crystal's potential, as the many-beam equations need them."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import constants

from tasks.crystal.scattering import Table, d_star_squared
from tasks.model import UnitCell
from tasks.simulate.lattice import laue_orbits, member_factors, miller_sphere
from tasks.simulate.models import Structure

REAL_WITHIN = 1e-9
"""Of the largest coefficient: imaginary parts below are rounding (1e-13 for UiO-66), and real matrices are faster."""


def relativistic_factor(energy_kev: float) -> float:
    """Return the mass of an electron over its rest mass: it multiplies scattering amplitudes, 1.587 at 300 keV."""
    rest_kev = constants.physical_constants["electron mass energy equivalent in MeV"][0] * 1e3
    return 1.0 + energy_kev / float(rest_kev)


class Potential(NamedTuple):
    """Coefficients U = gamma F / (pi V) in 1/angstrom^2 of all differences of the beams within ``1 / d_min``.

    Humphreys, Rep. Prog. Phys. 42, 1825-1887 (1979), equation 2.6; F in angstrom with the atoms' displacements in it.
    They are amplitudes of exp(+2 pi i g r), so conjugate to structure factors, whose sign crystallography chose.
    ``per_f`` is U over F; the table is periodic in Miller indices.
    """

    cell: UnitCell
    per_f: float
    table: NDArray[np.float64] | NDArray[np.complex128]

    def of(self, hkl: NDArray[np.int32]) -> NDArray[np.float64] | NDArray[np.complex128]:
        """Return U of indices (..., 3) that are differences of beams."""
        wrapped = hkl % np.array(self.table.shape)
        return np.asarray(self.table[wrapped[..., 0], wrapped[..., 1], wrapped[..., 2]])


def potential(
    structure: Structure, *, d_min_angstrom: float, energy_kev: float, table: Table = "electron"
) -> Potential:
    """Return the potential of a structure for beams with d of at least `d_min_angstrom`."""
    hkl = miller_sphere(structure.cell, d_min_angstrom / 2)
    hkl = np.concatenate([np.zeros((1, 3), dtype=np.int32), hkl[~_extinct(hkl, structure.group)]])
    per_f = relativistic_factor(energy_kev) / (np.pi * structure.cell.volume_angstrom3)
    u = factors_of(structure, hkl, table).conj() * per_f
    grid = np.zeros(tuple(2 * np.abs(hkl).max(axis=0) + 1), dtype=np.complex128)
    grid[tuple((hkl % np.array(grid.shape)).T)] = u
    if np.abs(u.imag).max() < REAL_WITHIN * np.abs(u).max():
        return Potential(structure.cell, per_f, np.ascontiguousarray(grid.real))
    return Potential(structure.cell, per_f, grid)


def factors_of(structure: Structure, hkl: NDArray[np.int32], table: Table) -> NDArray[np.complex128]:
    """Return F, (n,), in angstrom, of indices (n, 3)."""
    orbits = laue_orbits(hkl, structure.group)
    factors = member_factors(structure, orbits, table)
    return np.where(orbits.mate, factors.conj(), factors) * np.exp(2j * np.pi * orbits.turns)


def _extinct(hkl: NDArray[np.int32], group: gemmi.GroupOps) -> NDArray[np.bool_]:
    """Tell which indices (n, 3) the centring of the lattice forbids, (n,)."""
    centring = gemmi.GroupOps([gemmi.Op("x,y,z").translated(shift) for shift in group.cen_ops])
    return np.asarray(centring.systematic_absences(hkl))


def distances_squared(hkl: NDArray[np.int32], cell: UnitCell) -> NDArray[np.float64]:
    """Return |g - h|^2 in 1/angstrom^2, (n, n), of beams (n, 3)."""
    between = (hkl[:, None, :] - hkl[None, :, :]).reshape(-1, 3)
    return d_star_squared(between, cell).reshape(len(hkl), len(hkl))
