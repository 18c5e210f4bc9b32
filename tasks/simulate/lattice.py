"""Reflections of a structure with their intensities, and orientation matrices."""

from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.special import itj0y0

from tasks.crystal.scattering import Table, d_star_squared, structure_factors
from tasks.model import UnitCell, Vector
from tasks.simulate.models import Structure


class ReflectionTable(NamedTuple):
    """All reflections in a sphere, Friedel mates included: hkl (n, 3) int32, |F|^2 (n,) in angstrom^2, 1/d (n,)."""

    hkl: NDArray[np.int32]
    f_squared: NDArray[np.float64]
    d_star: NDArray[np.float64]


def reflection_table(structure: Structure, d_min_angstrom: float, table: Table = "electron") -> ReflectionTable:
    """Return every reflection to `d_min_angstrom` that the structure does not extinguish."""
    hkl = miller_sphere(structure.cell, d_min_angstrom)
    f_squared = np.abs(member_factors(structure, laue_orbits(hkl, structure.group), table)) ** 2
    seen = f_squared > 1e-9 * f_squared.max()
    d_star = np.sqrt(d_star_squared(hkl, structure.cell))
    return ReflectionTable(hkl[seen], f_squared[seen], d_star[seen])


def miller_sphere(cell: UnitCell, d_min_angstrom: float) -> NDArray[np.int32]:
    """Return all Miller indices (n, 3) but 0 0 0 with d >= d_min."""
    limits = [int(length / d_min_angstrom) for length in cell.parameters[:3]]  # |h| = |q.a| <= a / d_min
    grid = np.meshgrid(*[np.arange(-limit, limit + 1, dtype=np.int32) for limit in limits], indexing="ij")
    hkl = np.stack(grid, axis=-1).reshape(-1, 3)
    d_star_sq = d_star_squared(hkl, cell)
    return hkl[(d_star_sq <= d_min_angstrom**-2) & (d_star_sq > 0)]


class LaueOrbits(NamedTuple):
    """One fixed member of the Laue orbit of each of n indices, and how the structure factors hang together.

    F(hkl) is F(``member``), or where ``mate`` its conjugate, times exp(2 pi i ``turns``): an operation x' = R x + t
    makes F(h R) = F(h) exp(-2 pi i h t).
    """

    member: NDArray[np.int64]
    mate: NDArray[np.bool_]
    turns: NDArray[np.float64]


def laue_orbits(hkl: NDArray[np.int32], group: gemmi.GroupOps) -> LaueOrbits:
    """Return for each index (n, 3) the member of its Laue orbit that comes last."""
    operations = {tuple(map(tuple, operation.rot)): operation for operation in reversed(list(group))}
    indices = hkl.astype(np.int64)
    span = 2 * int(np.abs(hkl).max()) * 4 + 1
    weights = np.array([span * span, span, 1], dtype=np.int64)
    best = np.full(len(hkl), np.iinfo(np.int64).min)
    member, mate, turns = np.zeros(hkl.shape, dtype=np.int64), np.zeros(len(hkl), dtype=bool), np.zeros(len(hkl))
    for operation in operations.values():
        image = indices @ (np.array(operation.rot) // gemmi.Op.DEN)
        turn = indices @ np.array(operation.tran) / gemmi.Op.DEN
        for inverse, signed in ((False, image), (True, -image)):
            key = signed @ weights
            higher = key > best
            best[higher], member[higher] = key[higher], signed[higher]
            mate[higher], turns[higher] = inverse, turn[higher]
    return LaueOrbits(member, mate, turns)


def member_factors(structure: Structure, orbits: LaueOrbits, table: Table) -> NDArray[np.complex128]:
    """Return F of the ``member`` of each index, (n,), summed over the atoms once for each orbit."""
    unique, back = np.unique(orbits.member, axis=0, return_inverse=True)
    factors = structure_factors(
        unique.astype(np.int32),
        structure.cell,
        structure.group,
        elements=[atom.element for atom in structure.atoms],
        positions=np.array([atom.position for atom in structure.atoms]),
        u_iso_angstrom2=np.array([atom.u_iso_angstrom2 for atom in structure.atoms]),
        occupancies=np.array([atom.occupancy for atom in structure.atoms]),
        radiation=table,
    )
    return factors[back.ravel()]


def flattened(f_squared: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Return integrated intensities after two-beam dynamical diffraction, (n,), on the scale of |F|^2.

    Blackman, Proc. R. Soc. A 173, 68-82 (1939): I_dyn / I_kin = (1/A) integral from 0 to A of J0(2x) dx with A
    proportional to |F| times thickness. `strength` is A of a reflection of the mean |F|^2; 0 is kinematical.
    """
    if strength == 0:
        return f_squared
    amplitude = strength * np.sqrt(f_squared / f_squared.mean())
    return f_squared * itj0y0(2 * amplitude)[0] / (2 * np.maximum(amplitude, 1e-9))


def rotation_about(axis: Vector | NDArray[np.float64], angle_deg: float) -> NDArray[np.float64]:
    """Return the matrix (3, 3) of a right-handed rotation about `axis`."""
    unit = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    return Rotation.from_rotvec(unit * np.radians(angle_deg)).as_matrix()
