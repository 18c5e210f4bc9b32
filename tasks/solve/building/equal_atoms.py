"""Structure factors of equal atoms, fast: what a search computes at every turn."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, scattering_factor
from tasks.crystal.symmetry import Symmetry


class EqualAtoms(NamedTuple):
    """Reflections (n, 3) arranged in rows of equal h and k, and the operations that are summed over."""

    factor: NDArray[np.float64]
    """(n,) scattering and Debye-Waller factor, times the number of centring vectors, of one atom."""
    rows: NDArray[np.int64]
    """(r, 5): h, k, least l, number of l, place of the first in the array of sums."""
    place: NDArray[np.int64]
    """(n,) where the sum of each reflection lies."""
    top: NDArray[np.int64]
    """(3,) largest |h|, |k|, |l|."""
    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    centric: bool
    """Whether the operations are half of all, the rest being their inverses: sums are real then."""


def arrange(
    hkl: NDArray[np.int32],
    symmetry: Symmetry,
    *,
    element: str,
    u_iso: float,
    d_star_sq: NDArray[np.float64],
    radiation: Radiation,
) -> EqualAtoms:
    """Return the arrangement for reflections (n, 3) that the centring allows."""
    pairs, member = np.unique(hkl[:, :2], axis=0, return_inverse=True)
    member = member.ravel()
    low = np.full(len(pairs), np.iinfo(np.int64).max)
    high = np.full(len(pairs), np.iinfo(np.int64).min)
    np.minimum.at(low, member, hkl[:, 2])
    np.maximum.at(high, member, hkl[:, 2])
    count = high - low + 1
    begin = np.cumsum(count) - count
    rotations, translations, centric = _half(symmetry)
    debye_waller = np.exp(-2.0 * np.pi**2 * d_star_sq * u_iso)
    return EqualAtoms(
        factor=scattering_factor(element, d_star_sq, radiation) * debye_waller * len(symmetry.centring),
        rows=np.column_stack([pairs, low, count, begin]).astype(np.int64),
        place=begin[member] + hkl[:, 2] - low[member],
        top=np.abs(hkl).max(axis=0, initial=0).astype(np.int64),
        rotations=rotations,
        translations=translations,
        centric=centric,
    )


def _half(symmetry: Symmetry) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Return the operations without the inverses of others, if the inversion is at the origin; else all."""
    rotations, translations = symmetry.rotations, symmetry.translations
    kept: list[int] = []
    dropped: set[int] = set()
    for row, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        if row in dropped:
            continue
        turn = translations + translation
        inverse = (rotations == -rotation).all(axis=(1, 2)) & (np.abs(turn - np.round(turn)) < 1e-6).all(axis=1)
        kept.append(row)
        dropped.update(int(other) for other in np.flatnonzero(inverse))
    centric = 2 * len(kept) == len(rotations)
    chosen = kept if centric else list(range(len(rotations)))
    return rotations[chosen].astype(np.float64), translations[chosen], centric


def structure_factors_of(
    atoms: EqualAtoms, position: NDArray[np.float64], power: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return F (n,) of atoms at positions (m, 3) with powers (m,): occupancy over the order of the site."""
    real, imaginary = _sums(
        atoms.rows, atoms.top, atoms.rotations, atoms.translations, np.ascontiguousarray(position), power
    )
    if atoms.centric:
        return atoms.factor * 2.0 * real[atoms.place].astype(np.complex128)
    return atoms.factor * (real[atoms.place] + 1j * imaginary[atoms.place])


@njit(cache=True)
def _sums(
    rows: NDArray[np.int64],
    top: NDArray[np.int64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    position: NDArray[np.float64],
    power: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # pragma: no cover
    """Return real and imaginary part of the sums of exp(2 pi i h x): along a row of l the tables lie in order."""
    size = rows[-1, 3] + rows[-1, 4] if len(rows) else 0
    real, imaginary = np.zeros(size), np.zeros(size)
    widest = max(top[0], top[1], top[2])
    cosine, sine = np.empty((3, 2 * widest + 1)), np.empty((3, 2 * widest + 1))
    for m in range(len(position)):
        for o in range(len(rotations)):
            for axis in range(3):
                turn = translations[o, axis]
                for other in range(3):
                    turn += rotations[o, axis, other] * position[m, other]
                for k in range(top[axis] + 1):
                    angle = 2.0 * np.pi * k * turn
                    c, s = np.cos(angle), np.sin(angle)
                    cosine[axis, widest + k], cosine[axis, widest - k] = c, c
                    sine[axis, widest + k], sine[axis, widest - k] = s, -s
            third_cosine, third_sine = cosine[2], sine[2]
            for row in range(len(rows)):
                h, k = rows[row, 0] + widest, rows[row, 1] + widest
                a = power[m] * (cosine[0, h] * cosine[1, k] - sine[0, h] * sine[1, k])
                b = power[m] * (cosine[0, h] * sine[1, k] + sine[0, h] * cosine[1, k])
                first, count, begin = rows[row, 2] + widest, rows[row, 3], rows[row, 4]
                x, y = third_cosine[first : first + count], third_sine[first : first + count]
                p, q = real[begin : begin + count], imaginary[begin : begin + count]
                for step in range(count):
                    p[step] += a * x[step] - b * y[step]
                    q[step] += a * y[step] + b * x[step]
    return real, imaginary
