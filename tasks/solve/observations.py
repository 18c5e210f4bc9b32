"""The merged intensities as one space group sees them: amplitudes, normalised amplitudes, what is missing."""

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tasks.model.scattering import Radiation, d_star_squared
from tasks.solve.atoms import Observed
from tasks.solve.symmetry import Symmetry, absent, epsilon, laue_of

SHELL_REFLECTIONS = 60


def observe(
    merged: Merged, symmetry: Symmetry, *, cell: UnitCell, radiation: Radiation, d_min_angstrom: float
) -> Observed:
    """Return the reflections to `d_min_angstrom` that `symmetry` allows.

    `merged` is unique under the Laue class of `symmetry`, in its axes.
    """
    d_star_sq = d_star_squared(merged.hkl, cell)
    keep = ~absent(merged.hkl, symmetry) & (d_star_sq <= 1.0 / d_min_angstrom**2) & (d_star_sq > 0)
    hkl, d_star_sq = merged.hkl[keep], d_star_sq[keep]
    intensity, sigma = merged.intensity[keep], np.maximum(merged.sigma[keep], 1e-12)
    amplitude = np.sqrt(np.maximum(intensity, 0.0))
    return Observed(
        hkl=hkl,
        amplitude=amplitude,
        sigma=sigma / np.maximum(2.0 * amplitude, np.sqrt(sigma)),
        strong=intensity > 2.0 * sigma,
        d_star_sq=d_star_sq,
        e_value=np.sqrt(normalised_intensity(hkl, intensity, symmetry, d_star_sq)),
        centric=is_centric(hkl, symmetry),
        missing=missing_reflections(hkl, symmetry, cell, d_star_sq),
        cell=cell,
        radiation=radiation,
    )


def normalised_intensity(
    hkl: NDArray[np.int32], intensity: NDArray[np.float64], symmetry: Symmetry, d_star_sq: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return E^2 = I / (epsilon <I / epsilon>), (n,), never negative; the mean is taken in smooth shells."""
    reduced = np.maximum(intensity, 0.0) / epsilon(hkl, symmetry)
    return reduced / shell_mean(reduced, d_star_sq)


def shell_mean(value: NDArray[np.float64], d_star_sq: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of positive values (n,) as a smooth function of 1/d^2, (n,): log-linear between shells."""
    count = int(np.clip(len(value) // SHELL_REFLECTIONS, 3, 30))
    shells = np.array_split(np.argsort(d_star_sq, kind="stable"), min(count, max(1, len(value))))
    overall = max(float(value.mean()), 1e-30)
    centre = np.array([d_star_sq[shell].mean() for shell in shells])
    mean = np.array([max(float(value[shell].mean()), 1e-6 * overall) for shell in shells])
    return np.exp(np.interp(d_star_sq, centre, np.log(mean)))


def is_centric(hkl: NDArray[np.int32], symmetry: Symmetry) -> NDArray[np.bool_]:
    """Tell which reflections have a phase restricted by symmetry, (n,)."""
    result = np.zeros(len(hkl), dtype=bool)
    for rotation in symmetry.rotations:
        result |= (hkl @ rotation == -hkl).all(axis=1)
    return result


def missing_reflections(
    hkl: NDArray[np.int32], symmetry: Symmetry, cell: UnitCell, d_star_sq: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return the unique, allowed reflections inside the resolution of `hkl` that are not in it, (k, 3)."""
    group = gemmi.SpaceGroup(symmetry.symbol)
    d_min = 1.0 / np.sqrt(d_star_sq.max()) * (1 - 1e-6)
    full = gemmi.make_miller_array(cell.gemmi(), group, d_min).astype(np.int32)
    rotations = laue_of(symmetry)
    have = np.unique(_code(representative(hkl, rotations)))
    wanted = representative(full, rotations)
    return wanted[~np.isin(_code(wanted), have) & ~absent(wanted, symmetry)]


def representative(hkl: NDArray[np.int32], rotations: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the member of each Laue orbit whose index sorts last, (n, 3)."""
    best = hkl.astype(np.int32)
    for rotation in rotations:
        image = (hkl @ rotation).astype(np.int32)
        best = np.where((_code(image) > _code(best))[:, None], image, best)
    return best


def _code(hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    wide = hkl.astype(np.int64) + 4096
    return (wide[:, 0] * 8192 + wide[:, 1]) * 8192 + wide[:, 2]
