"""A scale that depends on the direction of a reflection in the crystal, smooth and of few coefficients.

Absorption, shape and beam damage weaken reflections by where they point. What is left of that after merging has the
symmetry of the Laue class. It is not the displacements: those act by resolution too.
"""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.lattice import fractionalisation, orthogonalisation
from tasks.model import UnitCell

Array = NDArray[np.float64]

MOST_COEFFICIENTS = 8
"""Of the scale: spherical harmonics of order 2 and 4 have 14 in a triclinic crystal, of which eight at most are taken,
the smoothest first. Chosen, not measured: more begin to fit single reflections."""
REFLECTIONS_PER_COEFFICIENT = 40
"""At least: a coefficient of the logarithm is then known to 0.05 where intensities are off by 0.3 of themselves."""
STRONGEST = 1.0
"""Of the logarithm of the scale, at most: beyond a factor of 2.7 either way it is no correction but another crystal."""
RIDGE = 1e-3
"""Of the mean curvature, added to each coefficient: directions that hold no reflection leave their combination of
coefficients at zero."""
CYCLES = 8
"""Of Gauss and Newton: the logarithm is nearly linear, three suffice."""
SAME = 1e-6
"""Relative singular value below which a combination of functions vanishes by symmetry."""


class DirectionBasis(NamedTuple):
    """Even functions on the sphere with the symmetry of a Laue class, zero in the mean."""

    exponents: NDArray[np.int64]
    """(m, 3) of the monomials x^i y^j z^k of a unit vector."""
    combinations: Array
    """(m, k) of the monomials, one column for each function."""
    rotations: Array
    """(r, 3, 3) cartesian, that the functions are averaged over."""
    means: Array
    """(k,) of the functions over the sphere, taken off."""

    def values(self, directions: Array) -> Array:
        """Return the functions, (n, k), at unit vectors (n, 3)."""
        return _averaged(directions, self.exponents, self.rotations) @ self.combinations - self.means


def direction_basis(hall: str, cell: UnitCell) -> DirectionBasis:
    """Return the functions of order 2 and 4 that the Laue class allows, order 2 first, MOST_COEFFICIENTS at most.

    Polynomials of even degree on the sphere are spherical harmonics of even orders. None in no class but for order 2 in
    cubic crystals.
    """
    rotations = _cartesian_rotations(hall, cell)
    grid = _sphere()
    columns: list[Array] = []
    exponents = np.array([(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)])
    fourth = _averaged(grid, exponents, rotations)
    second_exponents = [(2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (1, 0, 1), (0, 1, 1)]
    # a monomial of degree 2 times x^2 + y^2 + z^2 = 1 is one of degree 4
    lifted = np.zeros((len(exponents), len(second_exponents)))
    place = {tuple(row): k for k, row in enumerate(exponents.tolist())}
    for column, (i, j, k) in enumerate(second_exponents):
        for plus in ((2, 0, 0), (0, 2, 0), (0, 0, 2)):
            lifted[place[i + plus[0], j + plus[1], k + plus[2]], column] += 1.0
    taken = np.zeros((len(grid), 0))
    for candidates in (lifted, np.eye(len(exponents))):
        values = fourth @ candidates
        values = values - values.mean(axis=0)
        values = values - taken @ (taken.T @ values) / len(grid) if taken.shape[1] else values
        _, singular, right = np.linalg.svd(values, full_matrices=False)
        kept = singular > SAME * np.sqrt(len(grid))
        for row, size in zip(right[kept], singular[kept], strict=True):
            combination = candidates @ row * np.sqrt(len(grid)) / size
            value = fourth @ combination
            value = value - value.mean()
            rest = value - taken @ (taken.T @ value) / len(grid) if taken.shape[1] else value
            if np.linalg.norm(rest) > 1e-3 * np.linalg.norm(value):
                columns.append(combination)
                taken = np.column_stack([taken, rest * np.sqrt(len(grid)) / np.linalg.norm(rest)])
    chosen = np.array(columns[:MOST_COEFFICIENTS]).reshape(-1, len(exponents)).T
    return DirectionBasis(exponents, chosen, rotations, (fourth @ chosen).mean(axis=0))


def _cartesian_rotations(hall: str, cell: UnitCell) -> Array:
    forward, backward = orthogonalisation(cell), fractionalisation(cell)
    listed = gemmi.symops_from_hall(hall).sym_ops
    return np.array([forward @ (np.array(op.rot) / gemmi.Op.DEN) @ backward for op in listed])


def _sphere() -> Array:
    """Return 2000 directions spread evenly (a Fibonacci lattice), (n, 3)."""
    count = 2000
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * k
    r = np.sqrt(1.0 - z**2)
    return np.column_stack([r * np.cos(turn), r * np.sin(turn), z])


def _averaged(directions: Array, exponents: NDArray[np.int64], rotations: Array) -> Array:
    """Return the monomials averaged over the rotations, (n, m)."""
    turned = np.einsum("rij,nj->rni", rotations, directions)
    return np.asarray(np.prod(turned[:, :, None, :] ** exponents[None, None], axis=-1).mean(axis=0))


def directions_of(hkl: NDArray[np.int32], cell: UnitCell) -> Array:
    """Return the cartesian unit vectors along reflections (n, 3)."""
    vectors = np.asarray(hkl, dtype=np.float64) @ fractionalisation(cell)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1)[:, None])


def fitted_coefficients(basis: Array, f_sq_obs: Array, f_sq_calc: Array, weight: Array) -> Array:
    """Return the coefficients c of log(scale) = basis c that make the weighted misfit of intensities least, (k,).

    The overall scale is fitted along and dropped. At most one coefficient for 40 reflections is fitted, the first ones;
    the others are zero.

    Parameters
    ----------
    basis
        (n, k) values of the functions at the reflections.
    f_sq_obs, f_sq_calc, weight
        (n,) on one scale.
    """
    count = min(basis.shape[1], len(f_sq_obs) // REFLECTIONS_PER_COEFFICIENT)
    result = np.zeros(basis.shape[1])
    if count == 0:
        return result
    design = np.column_stack([np.ones(len(basis)), basis[:, :count]])
    overall = float((weight * f_sq_obs) @ f_sq_calc / ((weight * f_sq_calc) @ f_sq_calc))
    f_sq_calc = max(overall, 1e-3) * f_sq_calc
    c = np.zeros(count + 1)
    for _ in range(CYCLES):
        model = f_sq_calc * np.exp(np.clip(design @ c, -STRONGEST, STRONGEST))
        slope = design * model[:, None]
        normal = slope.T @ (slope * weight[:, None])
        normal += RIDGE * np.trace(normal) / len(normal) * np.diag(np.r_[0.0, np.ones(count)])
        target = slope.T @ (weight * (f_sq_obs - model)) - RIDGE * np.trace(normal) / len(normal) * np.r_[0.0, c[1:]]
        step = np.linalg.solve(normal, target)
        c = c + step
        if np.abs(step).max() < 1e-5:
            break
    result[:count] = c[1:]
    return result


def scale_of(basis: Array, coefficients: Array) -> Array:
    """Return what intensities were multiplied by on their way, (n,), by functions (n, k) and coefficients (k,)."""
    return np.asarray(np.exp(np.clip(basis @ coefficients, -STRONGEST, STRONGEST)))
