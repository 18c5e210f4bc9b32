"""Atoms of the asymmetric unit as arrays, their sites, and their structure factors with derivatives."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.model import UnitCell
from tasks.model.scattering import Radiation, scattering_factor
from tasks.solve.symmetry import Symmetry

SITE_ANGSTROM = 0.05


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


def multiplicities(position: NDArray[np.float64], symmetry: Symmetry, cell: UnitCell) -> NDArray[np.float64]:
    """Return how many images each position has in the cell, (m,)."""
    return symmetry.order / stabilisers(position, symmetry, cell)[0]


def form_factors(model: Model, d_star_sq: NDArray[np.float64], radiation: Radiation) -> NDArray[np.float64]:
    """Return occupancy times scattering factor times Debye-Waller factor, (n, m)."""
    table = {name: scattering_factor(name, d_star_sq, radiation) for name in set(model.element)}
    factors = np.empty((len(d_star_sq), len(model.element)))
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
    return _sum(
        hkl.astype(np.float64), symmetry.rotations.astype(np.float64), symmetry.translations, model.position, weights
    )


@njit(cache=True)
def _sum(
    hkl: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    position: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.complex128]:  # pragma: no cover
    total = np.zeros(len(hkl), dtype=np.complex128)
    two_pi = 2.0 * np.pi
    for n in range(len(hkl)):
        h, k, l = hkl[n]
        real, imaginary = 0.0, 0.0
        for o in range(len(rotations)):
            r = rotations[o]
            a = two_pi * (h * r[0, 0] + k * r[1, 0] + l * r[2, 0])
            b = two_pi * (h * r[0, 1] + k * r[1, 1] + l * r[2, 1])
            c = two_pi * (h * r[0, 2] + k * r[1, 2] + l * r[2, 2])
            t = two_pi * (h * translations[o, 0] + k * translations[o, 1] + l * translations[o, 2])
            for m in range(len(position)):
                angle = a * position[m, 0] + b * position[m, 1] + c * position[m, 2] + t
                real += weights[n, m] * np.cos(angle)
                imaginary += weights[n, m] * np.sin(angle)
        total[n] = complex(real, imaginary)
    return total


@njit(cache=True)
def trigonometric_sums(
    hkl: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    position: NDArray[np.float64],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:  # pragma: no cover
    """Return G (n, m), the sum of exp(2 pi i h (R x + t)) over the operations, and its gradient (n, m, 3)."""
    n_hkl, n_atoms = len(hkl), len(position)
    value = np.zeros((n_hkl, n_atoms), dtype=np.complex128)
    gradient = np.zeros((n_hkl, n_atoms, 3), dtype=np.complex128)
    two_pi = 2.0 * np.pi
    for n in range(n_hkl):
        h, k, l = hkl[n]
        for o in range(len(rotations)):
            r = rotations[o]
            a = two_pi * (h * r[0, 0] + k * r[1, 0] + l * r[2, 0])
            b = two_pi * (h * r[0, 1] + k * r[1, 1] + l * r[2, 1])
            c = two_pi * (h * r[0, 2] + k * r[1, 2] + l * r[2, 2])
            t = two_pi * (h * translations[o, 0] + k * translations[o, 1] + l * translations[o, 2])
            for m in range(n_atoms):
                angle = a * position[m, 0] + b * position[m, 1] + c * position[m, 2] + t
                cosine, sine = np.cos(angle), np.sin(angle)
                value[n, m] += complex(cosine, sine)
                gradient[n, m, 0] += complex(-a * sine, a * cosine)
                gradient[n, m, 1] += complex(-b * sine, b * cosine)
                gradient[n, m, 2] += complex(-c * sine, c * cosine)
    return value, gradient
