"""Atoms of the asymmetric unit as arrays, their sites, and their structure factors with derivatives."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.crystal.lattice import orthogonalisation
from tasks.crystal.scattering import Radiation, scattering_factor
from tasks.crystal.sites import stabilised
from tasks.crystal.symmetry import Symmetry
from tasks.model import UnitCell

SITE_ANGSTROM = 0.05
"""An image nearer than this to its atom is the atom: less than `crystal.sites` allows, as peaks are snapped first."""
START_U = 0.03
"""U (A^2) of pseudo-atoms."""


class Model(NamedTuple):
    """Atoms: ``element`` (m,) symbols, ``position`` (m, 3), ``u_iso`` (m,) A^2, ``occupancy`` (m,), ``peak`` (m,).

    Before elements are assigned the occupancy is the scattering power relative to `element`.
    """

    element: tuple[str, ...]
    position: NDArray[np.float64]
    u_iso: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    peak: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> "Model":
        """Return the atoms of these rows."""
        element = tuple(self.element[row] for row in rows)
        return Model(element, self.position[rows], self.u_iso[rows], self.occupancy[rows], self.peak[rows])

    def plus(self, other: "Model") -> "Model":
        """Return the atoms of both."""
        arrays = (np.concatenate([mine, theirs]) for mine, theirs in zip(self[1:], other[1:], strict=True))
        return Model(self.element + other.element, *arrays)


def stabilisers(
    position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return the number of operations that fix each position, (m,), and the free directions, (3, r) each."""
    operations = symmetry.operations()
    fixes = stabilised(position, operations, cell, within_angstrom=SITE_ANGSTROM)
    bases = []
    for row in fixes:
        if row.sum() == 1:
            bases.append(np.eye(3))
            continue
        u, singular, _ = np.linalg.svd(operations.rotations[row].mean(axis=0))
        bases.append(u[:, singular > 0.5])
    return fixes.sum(axis=1).astype(np.float64), bases


def site_orders(position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell) -> NDArray[np.float64]:
    """Return the number of operations that fix each position, (m,)."""
    rotations, translations = symmetry.operations()
    orthogonal = orthogonalisation(cell)
    return _site_orders(np.ascontiguousarray(position), rotations, translations, orthogonal)


@njit(cache=True)
def length_squared(orthogonal: NDArray[np.float64], delta: NDArray[np.float64]) -> float:  # pragma: no cover
    """Return the square of the length (A^2) of a fractional vector (3,)."""
    square = 0.0
    for axis in range(3):
        along = 0.0
        for other in range(3):
            along += orthogonal[axis, other] * delta[other]
        square += along * along
    return square


@njit(cache=True)
def _site_orders(
    position: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    orthogonal: NDArray[np.float64],
) -> NDArray[np.float64]:  # pragma: no cover
    count = np.zeros(len(position))
    delta = np.empty(3)
    for m in range(len(position)):
        for o in range(len(rotations)):
            for axis in range(3):
                moved = translations[o, axis] - position[m, axis]
                for other in range(3):
                    moved += rotations[o, axis, other] * position[m, other]
                delta[axis] = moved - np.round(moved)
            if length_squared(orthogonal, delta) < SITE_ANGSTROM * SITE_ANGSTROM:
                count[m] += 1.0
    return count


def multiplicities(position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell) -> NDArray[np.float64]:
    """Return how many images each position has in the cell, (m,)."""
    return symmetry.order / site_orders(position, symmetry, cell)


def form_factors(model: Model, d_star_sq: NDArray[np.float64], radiation: Radiation) -> NDArray[np.float64]:
    """Return occupancy times scattering factor times Debye-Waller factor, (n, m)."""
    table = {name: scattering_factor(name, d_star_sq, radiation) for name in set(model.element)}
    factors = np.empty((len(d_star_sq), len(model.element)), order="F")  # the sums run over one atom after the other
    for column, name in enumerate(model.element):
        factors[:, column] = table[name]
    factors *= np.exp(-2.0 * np.pi**2 * d_star_sq[:, None] * model.u_iso)
    return factors * model.occupancy


def calculate(
    hkl: NDArray[np.int32], model: Model, symmetry: Symmetry, *, cell: UnitCell, radiation: Radiation,
    d_star_sq: NDArray[np.float64],
) -> NDArray[np.complex128]:  # fmt: skip
    """Return F(hkl), (n,), for reflections that the centring allows."""
    fixing, _ = stabilisers(model.position, symmetry, cell)
    weights = form_factors(model, d_star_sq, radiation) * (len(symmetry.centring) / fixing)
    return _sum(hkl, _largest(hkl), _images(symmetry, model.position), weights.T)


def trigonometric_sums(
    hkl: NDArray[np.int32], symmetry: Symmetry, position: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return G (n, m), the sum of exp(2 pi i h (R x + t)) over the operations, and its gradient (n, m, 3)."""
    images = _images(symmetry, position)
    value, gradient = _sums(hkl, _largest(hkl), symmetry.rotations.astype(np.float64), images)
    return value.T, gradient.transpose(2, 0, 1)


def _images(symmetry: Symmetry, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the images of positions (m, 3) under the operations, (m, o, 3)."""
    return np.einsum("oij,mj->moi", symmetry.rotations.astype(np.float64), position) + symmetry.translations


def _largest(hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the largest |h|, |k| and |l|."""
    return np.abs(hkl).max(axis=0, initial=0).astype(np.int64)


@njit(cache=True)
def _powers(turn: float, limit: int) -> NDArray[np.complex128]:  # pragma: no cover
    """Return exp(2 pi i k turn) for k from -limit to limit: products of these replace sines and cosines."""
    table = np.empty(2 * limit + 1, dtype=np.complex128)
    for k in range(limit + 1):
        angle = 2.0 * np.pi * k * turn
        table[limit + k] = complex(np.cos(angle), np.sin(angle))
        table[limit - k] = complex(np.cos(angle), -np.sin(angle))
    return table


@njit(cache=True)
def _sum(
    hkl: NDArray[np.int32], top: NDArray[np.int64], images: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.complex128]:  # pragma: no cover
    """Return the sum over atoms of weights (m, n) times that over images (m, o, 3), (n,)."""
    total = np.zeros(len(hkl), dtype=np.complex128)
    part = np.empty(len(hkl), dtype=np.complex128)
    a, b, c = top
    for m in range(images.shape[0]):
        for n in range(len(hkl)):
            part[n] = 0.0
        for o in range(images.shape[1]):
            first, second, third = _powers(images[m, o, 0], a), _powers(images[m, o, 1], b), _powers(images[m, o, 2], c)
            for n in range(len(hkl)):
                part[n] += first[hkl[n, 0] + a] * second[hkl[n, 1] + b] * third[hkl[n, 2] + c]
        for n in range(len(hkl)):
            total[n] += weights[m, n] * part[n]
    return total


@njit(cache=True)
def _sums(
    hkl: NDArray[np.int32], top: NDArray[np.int64], rotations: NDArray[np.float64], images: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:  # pragma: no cover
    """Return the sums over operations, (m, n), and their gradients, (m, 3, n)."""
    n_hkl, n_atoms = len(hkl), images.shape[0]
    value = np.zeros((n_atoms, n_hkl), dtype=np.complex128)
    gradient = np.zeros((n_atoms, 3, n_hkl), dtype=np.complex128)
    a, b, c = top
    two_pi = 2.0 * np.pi
    for m in range(n_atoms):
        for o in range(images.shape[1]):
            first, second, third = _powers(images[m, o, 0], a), _powers(images[m, o, 1], b), _powers(images[m, o, 2], c)
            for n in range(n_hkl):
                h, k, l = hkl[n, 0], hkl[n, 1], hkl[n, 2]
                term = first[h + a] * second[k + b] * third[l + c]
                value[m, n] += term
                slope = complex(-two_pi * term.imag, two_pi * term.real)
                for axis in range(3):
                    index = h * rotations[o, 0, axis] + k * rotations[o, 1, axis] + l * rotations[o, 2, axis]
                    gradient[m, axis, n] += index * slope
    return value, gradient
