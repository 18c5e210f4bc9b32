"""The lattice centring that absent classes of reflections show."""

import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import d_star_squared
from tasks.integrate.merging.normalisation import normalised_intensities
from tasks.integrate.reflection_file import Unmerged
from tasks.model import UnitCell

CENTRING_VECTORS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "F": ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)),
    "I": ((0.5, 0.5, 0.5),),
    "C": ((0.5, 0.5, 0.0),),
    "A": ((0.0, 0.5, 0.5),),
    "B": ((0.5, 0.0, 0.5),),
}
"""In the order of trial: the ones that forbid most first."""

MAX_RATIO = 0.1
"""Mean E^2 of a forbidden class over that of the allowed one, above which the class is not absent."""

MAX_STRONG_RATIO = 0.3
"""Share above 3 sigma in a forbidden class over that in the allowed one, above which the class is not absent."""

MIN_SHARE = 1 / 6
"""Reflections listed of a class, relative to the rest, below which the class was left out of the list."""

MIN_ALLOWED = 30
"""Allowed reflections whose mean E^2 is the measure: that of 30 acentric ones is known to 18 % (1 / sqrt(30)), enough
to tell a tenth of it (MAX_RATIO)."""


def find_centring(data: Unmerged, cell: UnitCell) -> str:
    """Return P, A, B, C, I, F or R (obverse, hexagonal axes) of intensities in a given cell.

    A class is absent if its mean E^2 is below a tenth of the others', or if it was left out of the data altogether
    though reflections next to it are there. Weak superstructure reflections above that count as present.
    """
    allowed_cell = _is_hexagonal(cell)
    for letter, vectors in CENTRING_VECTORS.items():
        if letter == "R" and not allowed_cell:
            continue
        forbidden = _forbidden(data.hkl, vectors)
        if np.count_nonzero(~forbidden) >= MIN_ALLOWED and _is_absent(data, cell, forbidden, vectors):
            return letter
    return "P"


def _is_absent(
    data: Unmerged, cell: UnitCell, forbidden: NDArray[np.bool_], vectors: tuple[tuple[float, float, float], ...]
) -> bool:
    """Judge a centring: each of its classes must be weak, or hardly listed because a program left it out.

    Weak is both: mean E^2 and the share of reflections above 3 sigma well below the allowed ones'. The mean alone is
    ruled by noise at the resolution limit, the share alone by sigmas that are too small.
    """
    d_star_sq = d_star_squared(data.hkl, cell)
    order = np.flatnonzero(~forbidden)[np.argsort(d_star_sq[~forbidden], kind="stable")]
    factor = normalised_intensities(data.intensity[order], d_star_sq[order])
    normalised = data.intensity * np.interp(d_star_sq, d_star_sq[order], factor)
    weight = 1.0 / (1.0 + (data.sigma * np.interp(d_star_sq, d_star_sq[order], factor)) ** 2)
    strong = data.intensity > 3.0 * data.sigma
    for vector in vectors:
        rows = _forbidden(data.hkl, (vector,))
        if np.count_nonzero(rows) < MIN_SHARE * np.count_nonzero(~rows):
            continue  # left out of the list
        mean = np.average(normalised[rows], weights=weight[rows])
        allowed = np.average(normalised[~forbidden], weights=weight[~forbidden])
        if not mean < MAX_RATIO * allowed or not strong[rows].mean() < MAX_STRONG_RATIO * strong[~forbidden].mean():
            return False
    return True


def _forbidden(hkl: NDArray[np.int32], vectors: tuple[tuple[float, float, float], ...]) -> NDArray[np.bool_]:
    phase = hkl @ np.array(vectors).T
    return np.asarray(np.any(np.abs(phase - np.rint(phase)) > 1e-3, axis=1))


def _is_hexagonal(cell: UnitCell) -> bool:
    same = abs(cell.a - cell.b) < 0.05 * cell.a
    return same and abs(cell.gamma - 120) < 3 and abs(cell.alpha - 90) < 3 and abs(cell.beta - 90) < 3
