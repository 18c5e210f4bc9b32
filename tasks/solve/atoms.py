"""Atoms of the asymmetric unit as arrays, their sites, and their structure factors with derivatives."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.model import UnitCell
from tasks.model.scattering import Radiation, scattering_factor
from tasks.solve.symmetry import Symmetry

SITE_ANGSTROM = 0.05
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


class Observed(NamedTuple):
    """Reflections unique under the Laue class, extinctions of the group left out.

    ``amplitude`` (n,) F >= 0, ``sigma`` (n,) of F, ``strong`` (n,): I > 2 sigma(I), ``d_star_sq`` (n,),
    ``e_value`` (n,) normalised amplitude, ``centric`` (n,), ``missing`` (k, 3): not measured, inside d_min.
    """

    hkl: NDArray[np.int32]
    amplitude: NDArray[np.float64]
    sigma: NDArray[np.float64]
    strong: NDArray[np.bool_]
    d_star_sq: NDArray[np.float64]
    e_value: NDArray[np.float64]
    centric: NDArray[np.bool_]
    missing: NDArray[np.int32]
    cell: UnitCell
    radiation: Radiation


def stabilisers(
    position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return the number of operations that fix each position, (m,), and the free directions, (3, r) each."""
    rotations, translations = symmetry.operations()
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    delta = np.einsum("oij,mj->moi", rotations, position) + translations - position[:, None, :]
    delta -= np.round(delta)
    fixes = np.linalg.norm(delta @ orthogonal.T, axis=2) < SITE_ANGSTROM
    bases = []
    for row in fixes:
        if row.sum() == 1:
            bases.append(np.eye(3))
            continue
        u, singular, _ = np.linalg.svd(rotations[row].mean(axis=0))
        bases.append(u[:, singular > 0.5])
    return fixes.sum(axis=1).astype(np.float64), bases


def site_orders(position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell) -> NDArray[np.float64]:
    """Return the number of operations that fix each position, (m,)."""
    rotations, translations = symmetry.operations()
    orthogonal = np.array(cell.gemmi().orth.mat.tolist())
    return _site_orders(np.ascontiguousarray(position), rotations.astype(np.float64), translations, orthogonal)


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
            square = 0.0
            for axis in range(3):
                along = 0.0
                for other in range(3):
                    along += orthogonal[axis, other] * delta[other]
                square += along * along
            if square < SITE_ANGSTROM * SITE_ANGSTROM:
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
    return _sum(hkl, symmetry.rotations.astype(np.float64), symmetry.translations, model.position, weights.T)


def trigonometric_sums(
    hkl: NDArray[np.int32], symmetry: Symmetry, position: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return G (n, m), the sum of exp(2 pi i h (R x + t)) over the operations, and its gradient (n, m, 3)."""
    value, gradient = _sums(hkl, symmetry.rotations.astype(np.float64), symmetry.translations, position)
    return value.T, gradient.transpose(2, 0, 1)


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
    hkl: NDArray[np.int32],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    position: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.complex128]:  # pragma: no cover
    """Return the sum over atoms of weights (m, n) times that over operations, (n,)."""
    total = np.zeros(len(hkl), dtype=np.complex128)
    part = np.empty(len(hkl), dtype=np.complex128)
    top = np.array([np.abs(hkl[:, axis]).max() if len(hkl) else 0 for axis in range(3)])
    for m in range(len(position)):
        part[:] = 0.0
        for o in range(len(rotations)):
            image = rotations[o] @ position[m] + translations[o]
            first, second, third = _powers(image[0], top[0]), _powers(image[1], top[1]), _powers(image[2], top[2])
            for n in range(len(hkl)):
                part[n] += first[hkl[n, 0] + top[0]] * second[hkl[n, 1] + top[1]] * third[hkl[n, 2] + top[2]]
        for n in range(len(hkl)):
            total[n] += weights[m, n] * part[n]
    return total


@njit(cache=True)
def _sums(
    hkl: NDArray[np.int32],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    position: NDArray[np.float64],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:  # pragma: no cover
    """Return the sums over operations, (m, n), and their gradients, (m, 3, n)."""
    n_hkl, n_atoms = len(hkl), len(position)
    value = np.zeros((n_atoms, n_hkl), dtype=np.complex128)
    gradient = np.zeros((n_atoms, 3, n_hkl), dtype=np.complex128)
    top = np.array([np.abs(hkl[:, axis]).max() if n_hkl else 0 for axis in range(3)])
    two_pi = 2.0 * np.pi
    for m in range(n_atoms):
        for o in range(len(rotations)):
            r = rotations[o]
            image = r @ position[m] + translations[o]
            first, second, third = _powers(image[0], top[0]), _powers(image[1], top[1]), _powers(image[2], top[2])
            for n in range(n_hkl):
                h, k, l = hkl[n]
                term = first[h + top[0]] * second[k + top[1]] * third[l + top[2]]
                value[m, n] += term
                slope = complex(-two_pi * term.imag, two_pi * term.real)
                gradient[m, 0, n] += (h * r[0, 0] + k * r[1, 0] + l * r[2, 0]) * slope
                gradient[m, 1, n] += (h * r[0, 1] + k * r[1, 1] + l * r[2, 1]) * slope
                gradient[m, 2, n] += (h * r[0, 2] + k * r[1, 2] + l * r[2, 2]) * slope
    return value, gradient
